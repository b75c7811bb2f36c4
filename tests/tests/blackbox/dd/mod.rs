//! The matrix of `dd`: one file for each dimension, one test for each row, beside every release of qemu-img that can be started and in both
//! sandboxes.
//!
//! ```text
//!  rows! { a_name: "words"; … } ─► ROWS, which baselines are recorded of and docs/verbs/dd.md shows
//!                               └► a_name::kvm, a_name::process ─► judge: each live release, then instar as that release
//! ```

mod chains;
mod contract;
mod inputs;
mod matrix;
mod operands;
mod outputs;
mod raw_windows;
mod structured_windows;

pub(crate) use matrix::{DIMENSIONS, Row, complaint, line, material, sources};

/// Rows of a dimension: a list of them, and a test of each in both sandboxes.
macro_rules! rows {
    ($($name:ident: $words:literal;)*) => {
        pub(super) const ROWS: &[super::Row] = &[$(super::Row { name: stringify!($name), words: $words }),*];

        $(mod $name {
            fn check(bench: &instar_tests::Bench) {
                super::super::matrix::judge(bench, $words);
            }

            #[test]
            fn kvm() {
                instar_tests::Bench::with(instar_tests::Sandbox::Kvm, module_path!(), check);
            }

            #[test]
            fn process() {
                instar_tests::Bench::with(instar_tests::Sandbox::Process, module_path!(), check);
            }
        })*
    };
}
use rows;
