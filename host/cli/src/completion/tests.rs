use std::ffi::OsString;

use super::values::{self, Value};
use super::{Shell, is_offered, names, script};
use crate::flags::{Id, Page};
use crate::program::Program;
use crate::verbs;

#[test]
fn every_shell_knows_every_verb_and_every_option() {
    for shell in Shell::ALL {
        let text = script(shell);
        for page in verbs::pages() {
            assert!(text.contains(page.name), "{shell:?}: {}", page.name);
            for name in page.flags().filter(|flag| is_offered(flag)).flat_map(names) {
                let spelling = match (shell, name.strip_prefix("--")) {
                    (Shell::Fish, Some(long)) => format!(" -l {long} "),
                    (Shell::Fish, None) => format!(" -s {} ", name.trim_start_matches('-')),
                    _ => name.clone(),
                };
                assert!(text.contains(&spelling), "{shell:?}: {} {name}", page.name);
            }
        }
    }
}

/// A line that is right without the option of `id`, but for the option itself.
fn line(page: &Page, id: Id) -> Vec<&'static str> {
    let mut line = match (page.name, id) {
        ("convert", Id::BackingFormat) => vec!["-O", "qcow2", "-B", "c"],
        ("create", Id::BackingFormat) => vec!["-f", "qcow2", "-b", "c"],
        ("bitmap", Id::SourceFormat) => vec!["--merge", "m", "-b", "c"],
        ("bitmap", _) => vec!["--add"],
        ("amend", _) => vec!["-o", "size=1G"],
        ("rebase", _) => vec!["-b", "c"],
        ("fleet", Id::Output) => vec!["status"],
        ("fleet", _) => vec!["plan", "--to", "b"],
        _ => vec![],
    };
    line.extend_from_slice(match page.name {
        "convert" | "compare" | "bitmap" => &["a", "b"],
        "dd" => &["if=a", "of=b"],
        "resize" => &["a", "+1G"],
        "create" => &["a", "1G"],
        "sandbox" | "selftest" | "worker" => &[],
        _ => &["a"],
    });
    line
}

#[test]
fn what_is_offered_behind_an_option_is_accepted_there() {
    let program = Program::new(Some("instar".into()));
    for page in verbs::pages() {
        for flag in page.flags().filter(|flag| is_offered(flag)) {
            let Some(argument) = values::of(Some(page), flag) else {
                continue;
            };
            let Value::Words(words) = argument.value else {
                continue;
            };
            let names = names(flag);
            let long = names.iter().find(|name| name.starts_with("--"));
            for word in words {
                let option = match long {
                    Some(long) => format!("{long}={word}"),
                    None => format!("{}{word}", names[0]),
                };
                let all = [page.name, &option]
                    .into_iter()
                    .chain(line(page, flag.id))
                    .map(OsString::from);
                let outcome = crate::judge(&program, all.collect());
                assert!(outcome.is_ok(), "{} {option}: {outcome:?}", page.name);
            }
        }
    }
}

#[test]
fn lists_of_options_are_offered_where_there_is_a_format_to_offer_them_for() {
    let made: Vec<&str> = values::of_new_images().map(|(format, _)| format).collect();
    let amended: Vec<&str> = values::of_existing_images().map(|(format, _)| format).collect();
    for page in verbs::pages() {
        let takes_list = page
            .flags()
            .any(|flag| values::of(Some(page), flag).is_some_and(|argument| argument.value == Value::Keys));
        let decided = values::decides_format(page);
        assert_eq!(takes_list, decided.is_some(), "{}", page.name);
        if let Some((_, default)) = decided {
            let known = if page.name == "amend" { &amended } else { &made };
            assert!(known.contains(&default), "{}", page.name);
        }
    }
    let (_, keys) = values::of_new_images()
        .find(|(format, _)| *format == "qcow2")
        .unwrap();
    let values_of = |name: &str| &keys.iter().find(|key| key.name == name).unwrap().values;
    assert_eq!(*values_of("lazy_refcounts"), ["on", "off"]);
    assert_eq!(*values_of("preallocation"), ["off", "metadata", "falloc", "full"]);
    assert!(values_of("data_file").is_empty());
}
