//! Manual pages and completions, as files.

use instar_cli::completion::{self, Shell};
use instar_cli::manual::{self, Edition};

use crate::VERSION;
use crate::date::Epoch;

/// Pages: the name of each file, and its text.
#[must_use]
pub fn pages(epoch: Epoch) -> Vec<(String, String)> {
    let edition = Edition {
        version: VERSION,
        date: &epoch.day(),
    };
    let pages = manual::pages(edition);
    pages.into_iter().map(|page| (page.file, page.text)).collect()
}

/// The script for a shell.
#[must_use]
pub fn completion(shell: Shell) -> String {
    completion::script(shell)
}
