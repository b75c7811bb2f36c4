//! The script for fish.

use std::fmt::Write;

use super::values::{self, Argument, Key, Value};
use super::{bash, is_offered, names, short_text};
use crate::flags::{Flag, POLICY, Page, TOP};
use crate::verbs;

pub(super) fn script() -> String {
    let mut text = include_str!("instar.fish").to_owned();
    skipped(&mut text);
    formats(&mut text);
    keys(&mut text);
    text.push('\n');
    for page in verbs::pages() {
        let _ = writeln!(
            text,
            "complete -c instar -n __instar_needs_verb -f -a {} -d {}",
            page.name,
            quoted(page.summary)
        );
    }
    for flag in TOP.iter().chain(POLICY) {
        option(&mut text, "__instar_needs_verb", flag, values::of(None, flag));
    }
    for page in verbs::pages() {
        verb(&mut text, page);
    }
    text
}

fn verb(text: &mut String, page: &Page) {
    let condition = quoted(&format!("__instar_verb_is {}", page.name));
    text.push('\n');
    for flag in page.flags() {
        option(text, &condition, flag, values::of(Some(page), flag));
    }
    let commands = values::commands(page).join(" ");
    if !commands.is_empty() {
        let _ = writeln!(
            text,
            "complete -c instar -n '__instar_verb_is {}; and not __fish_seen_subcommand_from {commands}' -f -a '{commands}'",
            page.name
        );
    }
    if bash::operands(page).next().is_some() {
        let _ = writeln!(
            text,
            "complete -c instar -n {condition} -f -a '(__instar_operands)'"
        );
    }
}

fn option(text: &mut String, condition: &str, flag: &Flag, argument: Option<Argument>) {
    if !is_offered(flag) {
        return;
    }
    let letter = flag.short.map(|letter| format!(" -s {}", char::from(letter)));
    let long = flag
        .long
        .iter()
        .chain(flag.exact)
        .map(|name| format!(" -l {name}"));
    let optional = argument.as_ref().is_some_and(|argument| argument.optional);
    let tail = match argument {
        Some(Argument {
            value,
            optional: false,
        }) => match value {
            Value::Words(words) => format!(" -x -a '{}'", words.join(" ")),
            Value::Keys => " -x -a '(__instar_keys)'".to_owned(),
            Value::File => " -r -F".to_owned(),
            Value::Directory => " -x -a '(__fish_complete_directories)'".to_owned(),
            Value::Anything => " -x".to_owned(),
        },
        _ => String::new(),
    };
    let all: String = letter.clone().into_iter().chain(long.clone()).collect();
    let line = |names: &str| {
        format!(
            "complete -c instar -n {condition}{names}{tail} -d {}\n",
            quoted(&short_text(flag))
        )
    };
    if optional {
        // The letter never takes it.
        for name in letter.into_iter().chain(long) {
            text.push_str(&line(&name));
        }
    } else {
        text.push_str(&line(&all));
    }
}

/// Options before the verb that are followed by an argument.
fn skipped(text: &mut String) {
    let with_argument = TOP
        .iter()
        .chain(POLICY)
        .filter(|flag| values::of(None, flag).is_some_and(|argument| !argument.optional));
    let names: Vec<String> = with_argument.flat_map(names).collect();
    let _ = writeln!(text, "\nset -g __instar_skipped {}", names.join(" "));
}

fn formats(text: &mut String) {
    text.push_str("\nfunction __instar_format_options\n    switch $argv[1]\n");
    for page in verbs::pages() {
        if let Some((flag, default)) = values::decides_format(page) {
            let names = names(flag).join("\\n");
            let _ = writeln!(
                text,
                "        case {}\n            printf '{default}\\n{names}\\n'",
                page.name
            );
        }
    }
    text.push_str("    end\nend\n");
}

fn keys(text: &mut String) {
    text.push_str("\nfunction __instar_keys_of\n    switch $argv[1]:$argv[2]\n");
    for (format, keys) in values::of_existing_images() {
        list(text, &format!("amend:{format}"), &keys);
    }
    text.push_str("        case 'amend:*'\n");
    for (format, keys) in values::of_new_images() {
        list(text, &format!("'*:{format}'"), &keys);
    }
    text.push_str("    end\nend\n");
}

/// One line for each: its name, what it is, its values.
fn list(text: &mut String, pattern: &str, keys: &[Key]) {
    let _ = writeln!(text, "        case {pattern}");
    for key in keys {
        let _ = writeln!(
            text,
            "            printf '%s\\t%s\\t%s\\n' {} {} {}",
            key.name,
            quoted(key.text),
            quoted(&key.values.join(" "))
        );
    }
}

/// One word of the shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}
