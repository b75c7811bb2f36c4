//! The script for zsh.

use std::fmt::Write;

use super::values::{self, Argument, Key, Value};
use super::{bash, is_offered, long_names, names, short_text};
use crate::flags::{Flag, POLICY, Page, TOP};
use crate::verbs;

pub(super) fn script() -> String {
    let mut text = include_str!("instar.zsh").to_owned();
    verbs_function(&mut text);
    top(&mut text);
    arguments(&mut text);
    formats(&mut text);
    keys(&mut text);
    text.push_str("\n_instar \"$@\"\n");
    text
}

fn verbs_function(text: &mut String) {
    text.push_str("\n_instar_verbs() {\n    local -a verbs=(\n");
    for page in verbs::pages() {
        let _ = writeln!(
            text,
            "        {}",
            quoted(&format!("{}:{}", page.name, page.summary))
        );
    }
    text.push_str("    )\n    _describe -t commands command verbs\n}\n");
}

/// What may stand before the verb.
fn top(text: &mut String) {
    text.push_str("\n_instar_top() {\n    _arguments -C -s -S : \\\n");
    for flag in TOP.iter().chain(POLICY) {
        specs(text, 8, flag, values::of(None, flag));
    }
    // The words of the line shall stay as the last specification leaves them.
    text.push_str("        '1: :->verb' '*:: :->rest'\n    local -i ret=$?\n    compstate[restore]=\n    return ret\n}\n");
}

fn arguments(text: &mut String) {
    text.push_str("\n_instar_arguments() {\n    case $1 in\n");
    for page in verbs::pages() {
        let _ = writeln!(text, "    {})\n        _arguments -s -S : \\", page.name);
        for flag in page.flags() {
            specs(text, 12, flag, values::of(Some(page), flag));
        }
        let commands = values::commands(page);
        if !commands.is_empty() {
            let spec = format!("1:command:({})", commands.join(" "));
            let _ = writeln!(text, "            {} \\", quoted(&spec));
        }
        let _ = writeln!(text, "            {}\n        ;;", quoted(&operands(page)));
    }
    text.push_str("    esac\n}\n");
}

fn operands(page: &Page) -> String {
    match (page.operands, bash::operands(page).next()) {
        (_, Some(_)) => "*: :_instar_operands".to_owned(),
        ([], None) => "*: :".to_owned(),
        _ => "*:image:_files".to_owned(),
    }
}

/// One line for each spelling of an option.
fn specs(text: &mut String, indent: usize, flag: &Flag, argument: Option<Argument>) {
    if !is_offered(flag) {
        return;
    }
    let others = names(flag).join(" ");
    let help = escaped(&short_text(flag));
    let action = argument.as_ref().map(|argument| {
        let label = flag.value.unwrap_or_default().trim_matches(['[', ']', '=']);
        format!("{}:{}", escaped(label), action(&argument.value))
    });
    let optional = argument.is_some_and(|argument| argument.optional);
    let repeats = if flag.exact.iter().any(|name| name.ends_with("-dir")) {
        "*".to_owned()
    } else {
        format!("({others})")
    };
    let letter = flag.short.map(|letter| format!("-{}", char::from(letter)));
    for name in letter.into_iter().chain(long_names(flag)) {
        let is_long = name.starts_with("--");
        let spec = match &action {
            Some(action) if optional && is_long => format!("{repeats}{name}=-[{help}]::{action}"),
            Some(action) if !optional && is_long => format!("{repeats}{name}=[{help}]:{action}"),
            Some(action) if !optional => format!("{repeats}{name}+[{help}]:{action}"),
            _ => format!("{repeats}{name}[{help}]"),
        };
        let _ = writeln!(text, "{:indent$}{} \\", "", quoted(&spec));
    }
}

fn action(value: &Value) -> String {
    match value {
        Value::Words(words) => format!("({})", words.join(" ")),
        Value::Keys => "_instar_keys".to_owned(),
        Value::File => "_files".to_owned(),
        Value::Directory => "_files -/".to_owned(),
        Value::Anything => " ".to_owned(),
    }
}

/// The options that say of which format a list is, after the format without them.
fn formats(text: &mut String) {
    text.push_str("\n_instar_format_options() {\n    case $1 in\n");
    for page in verbs::pages() {
        if let Some((flag, default)) = values::decides_format(page) {
            let _ = writeln!(
                text,
                "    {}) reply=({default} {}) ;;",
                page.name,
                names(flag).join(" ")
            );
        }
    }
    text.push_str("    *) return 1 ;;\n    esac\n}\n");
}

fn keys(text: &mut String) {
    text.push_str("\n_instar_keys_of() {\n    case $1:$2 in\n");
    for (format, keys) in values::of_existing_images() {
        list(text, &format!("amend:{format}"), &keys);
    }
    text.push_str("    amend:*) return 1 ;;\n");
    for (format, keys) in values::of_new_images() {
        list(text, &format!("*:{format}"), &keys);
    }
    text.push_str("    *) return 1 ;;\n    esac\n}\n");
}

fn list(text: &mut String, pattern: &str, keys: &[Key]) {
    let _ = writeln!(text, "    {pattern})\n        _values -s , option \\");
    for key in keys {
        let action = if key.values.is_empty() {
            " ".to_owned()
        } else {
            format!("({})", key.values.join(" "))
        };
        let spec = format!("{}[{}]:value:{action}", key.name, escaped(key.text));
        let _ = writeln!(text, "            {} \\", quoted(&spec));
    }
    text.push_str("            && return 0\n        ;;\n");
}

/// Characters that mean something in a specification.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('[', "\\[")
        .replace(']', "\\]")
        .replace(':', "\\:")
}

/// One word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
