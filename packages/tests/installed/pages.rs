//! Manual pages.

use std::process::Command;

use instar_packages::papers;
use tempfile::tempdir;

use crate::support::{EPOCH, installed, options, quiet, verbs};

#[test]
fn every_verb_has_a_page_with_every_option_that_help_shows() {
    let pages = papers::pages(EPOCH);
    for verb in verbs() {
        let file = format!("instar-{verb}.1");
        let (_, text) = pages
            .iter()
            .find(|(name, _)| *name == file)
            .unwrap_or_else(|| panic!("no page {file}"));
        let options = options(&verb);
        assert!(options.len() > 10, "{verb}: {options:?}");
        for option in options {
            assert!(
                text.contains(&format!("\\fB{}\\fP", option.replace('-', "\\-"))),
                "{file}: {option}"
            );
        }
        for section in [
            "NAME",
            "SYNOPSIS",
            "OPTIONS",
            "EXAMPLES",
            "EXIT STATUS",
            "FILES",
            "ENVIRONMENT",
            "SEE ALSO",
        ] {
            assert!(text.contains(&format!(".SH \"{section}\"")), "{file}: {section}");
        }
    }
    assert_eq!(pages.len(), verbs().len() + 1);
}

#[test]
fn groff_sets_every_page_without_a_warning() {
    let (Some(man), Some(groff)) = (
        installed("man", "pages are not set"),
        installed("groff", "pages are not set"),
    ) else {
        return;
    };
    let directory = tempdir().unwrap();
    for (name, text) in papers::pages(EPOCH) {
        let file = directory.path().join(&name);
        std::fs::write(&file, &text).unwrap();
        let page = quiet(
            Command::new(&man)
                .args(["--warnings", "--encoding=UTF-8", "--local-file"])
                .arg(&file)
                .env("LC_ALL", "C.UTF-8")
                .env("MANWIDTH", "80"),
        );
        assert!(page.contains("SYNOPSIS"), "{name}: {page}");
        quiet(
            Command::new(&groff)
                .args(["-man", "-ww", "-z", "-Tutf8"])
                .arg(&file),
        );
    }
}

/// `man -k` and `apropos` read the line below NAME.
#[test]
fn the_index_of_pages_finds_what_each_is_for() {
    let Some(lexgrog) = installed("lexgrog", "lines for apropos are not read") else {
        return;
    };
    let directory = tempdir().unwrap();
    for (name, text) in papers::pages(EPOCH) {
        let file = directory.path().join(&name);
        std::fs::write(&file, text).unwrap();
        let line = quiet(Command::new(&lexgrog).arg(&file));
        let title = name.trim_end_matches(".1");
        assert!(line.contains(&format!("\"{title} - ")), "{line}");
    }
}
