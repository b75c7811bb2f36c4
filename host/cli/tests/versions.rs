//! The page about releases shows the table that the program works by.

#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests: a failure here is a test failure"
)]

use std::fmt::Write;

use instar_cli::release::{FACTS, PROFILES};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/versions.md");
const START: &str = "<!-- facts: written by this program's own tests, with INSTAR_BLESS set -->\n";
const END: &str = "<!-- end of facts -->";

fn table() -> String {
    let mut text = String::from("| since | until |");
    for profile in PROFILES {
        let _ = write!(text, " {} |", profile.series);
    }
    text.push_str(" what it does |\n| --- | --- | --- | --- | --- | --- |\n");
    for row in FACTS {
        let until = row.until.map_or_else(String::new, |until| until.to_string());
        let _ = write!(text, "| {} | {until} |", row.since);
        for profile in PROFILES {
            text.push_str(if profile.has(row.fact) { " yes |" } else { " no |" });
        }
        let _ = writeln!(text, " {} |", row.what);
    }
    text
}

#[test]
fn the_page_about_releases_shows_every_fact() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(START).unwrap();
    let (shown, after) = rest.split_once(END).unwrap();
    if std::env::var_os("INSTAR_BLESS").is_some() {
        std::fs::write(PAGE, format!("{before}{START}{}{END}{after}", table())).unwrap();
        return;
    }
    assert_eq!(
        shown,
        table(),
        "docs/versions.md is not what the table says; run: INSTAR_BLESS=1 cargo test --package instar --test versions"
    );
}
