//! The script for bash.

use std::fmt::Write;

use super::values::{self, Argument, Value};
use super::{is_offered, names};
use crate::flags::{Flag, POLICY, Page, TOP};
use crate::verbs;

pub(super) fn script() -> String {
    let mut text = include_str!("instar.bash").to_owned();
    words(&mut text);
    arguments(&mut text);
    keys(&mut text);
    formats(&mut text);
    text.push_str("\ncomplete -F _instar instar qemu-img\n");
    text
}

/// Verbs, and the options, commands and operands of each.
fn words(text: &mut String) {
    let verbs: Vec<&str> = verbs::pages().map(|page| page.name).collect();
    function(text, "_instar_verbs", |text| {
        let _ = writeln!(text, "    echo {}", verbs.join(" "));
    });
    function(text, "_instar_options", |text| {
        cases(text, "$1", |text| {
            arm(text, "''", &all_names(TOP.iter().chain(POLICY)));
            for page in verbs::pages() {
                arm(text, page.name, &all_names(page.flags()));
            }
        });
    });
    function(text, "_instar_commands", |text| {
        cases(text, "$1", |text| {
            for page in verbs::pages() {
                let words: Vec<String> = values::commands(page).into_iter().map(str::to_owned).collect();
                if !words.is_empty() {
                    arm(text, page.name, &words);
                }
            }
        });
    });
    function(text, "_instar_operands", |text| {
        cases(text, "$1", |text| {
            for page in verbs::pages() {
                let heads: Vec<String> = operands(page).map(|head| format!("{head}=")).collect();
                if !heads.is_empty() {
                    arm(text, page.name, &heads);
                }
            }
        });
    });
}

/// What stands before `=` in the operands of a verb, if they are written so.
pub(super) fn operands(page: &Page) -> impl Iterator<Item = &'static str> {
    page.operands
        .iter()
        .filter_map(|(operand, _)| Some(operand.split_once('=')?.0))
}

fn all_names<'a>(flags: impl Iterator<Item = &'a Flag>) -> Vec<String> {
    flags.filter(|flag| is_offered(flag)).flat_map(names).collect()
}

fn arguments(text: &mut String) {
    function(text, "_instar_argument", |text| {
        cases(text, "$1:$2", |text| {
            for page in verbs::pages() {
                for flag in page.groups.iter().flat_map(|group| group.flags) {
                    argument(text, page.name, flag, values::of(Some(page), flag));
                }
            }
            for flag in TOP.iter().chain(POLICY) {
                argument(text, "*", flag, values::of(None, flag));
            }
            text.push_str("        *) return 1 ;;\n");
        });
    });
}

fn argument(text: &mut String, verb: &str, flag: &Flag, argument: Option<Argument>) {
    let (Some(argument), true) = (argument, is_offered(flag)) else {
        return;
    };
    let patterns: Vec<String> = names(flag).iter().map(|name| format!("{verb}:{name}")).collect();
    let mut words: Vec<String> = Vec::new();
    if argument.optional {
        words.push("optional".to_owned());
    }
    match argument.value {
        Value::Words(list) => {
            words.push("words".to_owned());
            words.extend(list.into_iter().map(str::to_owned));
        }
        Value::Keys => words.push("keys".to_owned()),
        Value::File => words.push("file".to_owned()),
        Value::Directory => words.push("directory".to_owned()),
        Value::Anything => words.push("anything".to_owned()),
    }
    arm(text, &patterns.join(" | "), &words);
}

fn keys(text: &mut String) {
    let amended: Vec<_> = values::of_existing_images()
        .map(|(format, keys)| (format!("amend:{format}"), keys))
        .collect();
    let made = values::of_new_images().map(|(format, keys)| (format!("*:{format}"), keys));
    let all: Vec<_> = amended
        .into_iter()
        .chain([("amend:*".to_owned(), Vec::new())])
        .chain(made)
        .collect();
    function(text, "_instar_keys", |text| {
        cases(text, "$1:$2", |text| {
            for (pattern, keys) in &all {
                let names: Vec<String> = keys.iter().map(|key| key.name.to_owned()).collect();
                arm(text, pattern, &names);
            }
        });
    });
    function(text, "_instar_values", |text| {
        cases(text, "$1:$2:$3", |text| {
            for (pattern, keys) in &all {
                for key in keys.iter().filter(|key| !key.values.is_empty()) {
                    let values: Vec<String> = key.values.iter().map(|value| (*value).to_owned()).collect();
                    arm(text, &format!("{pattern}:{}", key.name), &values);
                }
            }
        });
    });
}

fn formats(text: &mut String) {
    function(text, "_instar_format", |text| {
        cases(text, "$1", |text| {
            for page in verbs::pages() {
                if let Some((flag, default)) = values::decides_format(page) {
                    let words = [vec![default.to_owned()], names(flag)].concat();
                    arm(text, page.name, &words);
                }
            }
        });
    });
}

fn function(text: &mut String, name: &str, body: impl FnOnce(&mut String)) {
    let _ = writeln!(text, "\n{name}() {{");
    body(text);
    text.push_str("}\n");
}

fn cases(text: &mut String, word: &str, arms: impl FnOnce(&mut String)) {
    let _ = writeln!(text, "    case {word} in");
    arms(text);
    text.push_str("    esac\n");
}

fn arm(text: &mut String, pattern: &str, words: &[String]) {
    let _ = writeln!(text, "        {pattern}) echo \"{}\" ;;", words.join(" "));
}
