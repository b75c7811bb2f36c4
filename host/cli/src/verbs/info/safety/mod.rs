//! `info --safety`: whether a stranger's image is safe to read.

mod run;
mod show;

pub(super) use run::run;
