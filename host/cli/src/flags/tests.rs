use std::collections::HashSet;
use std::ffi::OsString;

use super::{Getopt, Id, Item, TOP, top_page, verb_page};
use crate::program::Program;
use crate::verbs::{self, Verb};

fn items(verb: &str, words: &[&str]) -> Result<Vec<Item>, String> {
    let page = Verb::find(verb.as_bytes()).unwrap().page;
    let words = words.iter().map(OsString::from).collect();
    Getopt::new(page.flags(), words, false)
        .collect::<Result<_, _>>()
        .map_err(|error| String::from_utf8(error.0).unwrap())
}

fn flag(id: Id, value: &str) -> Item {
    Item::Flag(id, value.into())
}

fn operand(value: &str) -> Item {
    Item::Operand(value.into())
}

#[test]
fn names_and_letters_are_unique_in_each_table() {
    for flags in verbs::pages()
        .map(|page| page.flags().collect::<Vec<_>>())
        .chain([TOP.iter().collect()])
    {
        let mut names = HashSet::new();
        let mut letters = HashSet::new();
        let mut ids = HashSet::new();
        for flag in flags {
            // What is hidden from help is a further letter of another.
            assert!(flag.help.is_empty() || ids.insert(flag.id), "{flag:?}");
            for name in flag.long.iter().chain(flag.exact) {
                assert!(names.insert(*name), "{name}");
            }
            if let Some(letter) = flag.short {
                assert!(letters.insert(letter), "{flag:?}");
            }
            assert!(
                flag.short.is_some() || !flag.long.is_empty() || !flag.exact.is_empty(),
                "{flag:?} cannot be written"
            );
        }
    }
}

#[test]
fn help_fits_eighty_columns_and_names_every_option() {
    for called in ["instar", "qemu-img"] {
        let program = Program::new(Some(called.into()));
        let mut pages = vec![top_page(verbs::pages(), &program)];
        for page in verbs::pages() {
            let text = verb_page(page, &program);
            for flag in page.flags().filter(|flag| !flag.help.is_empty()) {
                let name = flag.long.first().or(flag.exact.first()).unwrap();
                assert!(text.contains(&format!("--{name}")), "{name}");
            }
            pages.push(text);
        }
        for line in pages.iter().flat_map(|page| page.lines()) {
            assert!(line.len() <= 80, "{line}");
            assert_eq!(line, line.trim_end());
        }
    }
}

/// libguestfs looks for this before it uses `-U`.
#[test]
fn the_top_page_says_that_info_takes_force_share() {
    let page = top_page(verbs::pages(), &Program::new(Some("qemu-img".into())));
    assert!(
        page.lines()
            .any(|line| line.contains("info") && line.contains("-U"))
    );
}

#[test]
fn options_and_operands_may_be_mixed() {
    assert_eq!(
        items(
            "info",
            &["a", "--output=json", "-U", "-fraw", "--format", "qcow2"]
        )
        .unwrap(),
        [
            operand("a"),
            flag(Id::Output, "json"),
            flag(Id::ForceShare, ""),
            flag(Id::Format, "raw"),
            flag(Id::Format, "qcow2"),
        ]
    );
}

#[test]
fn letters_cluster_and_the_last_may_take_what_follows() {
    assert_eq!(
        items("convert", &["-pcnOqcow2", "-", "--", "-x"]).unwrap(),
        [
            flag(Id::Progress, ""),
            flag(Id::Compress, ""),
            flag(Id::NoCreate, ""),
            flag(Id::OutputFormat, "qcow2"),
            operand("-"),
            operand("-x"),
        ]
    );
}

#[test]
fn abbreviations_never_reach_options_of_our_own() {
    assert_eq!(
        items("convert", &["--p"]).unwrap_err(),
        "option '--parallel' requires an argument"
    );
    assert_eq!(
        items("convert", &["--t"]).unwrap_err(),
        "option '--t' is ambiguous; possibilities: '--target-image-opts' '--target-is-zero'"
    );
    assert_eq!(
        items("convert", &["--timeout", "5"]).unwrap(),
        [flag(Id::Timeout, "5")]
    );
    assert_eq!(
        items("info", &["--untrust"]).unwrap_err(),
        "unrecognized option '--untrust'"
    );
}

#[test]
fn mistakes_are_reported_in_getopts_words() {
    for (words, message) in [
        (&["--foo"][..], "unrecognized option '--foo'"),
        (&["--foo=bar"], "unrecognized option '--foo=bar'"),
        (&["-x"], "invalid option -- 'x'"),
        (&["-U=3"], "invalid option -- '='"),
        (&["-f"], "option requires an argument -- 'f'"),
        (&["--output"], "option '--output' requires an argument"),
        (&["--help=3"], "option '--help' doesn't allow an argument"),
        (
            &["--o"],
            "option '--o' is ambiguous; possibilities: '--output' '--object'",
        ),
    ] {
        assert_eq!(items("info", words).unwrap_err(), message);
    }
}
