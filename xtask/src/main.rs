//! The tools of the project.
//!
//! ```text
//!  cargo xtask demo         build, make a qcow2 image, convert it, compare with qemu-img
//!  cargo xtask ci           everything that must pass before a change lands
//!  cargo xtask test FILTER  the tests whose names match; builds nothing else
//!  cargo xtask tidy         the rules that the compiler does not check: imports, file sizes, unsafe code, links
//!  cargo xtask tidy --bless rewrite the unsafe ceiling after unsafe code was removed
//!  cargo xtask deviations   render tests/deviations.toml to docs/deviations.md
//!  cargo xtask compatibility  try every format beside qemu-img, and write the table in README.md
//!  cargo xtask references   fetch releases of qemu-img to compare with into target/references
//!  cargo xtask writers [NAME…]  fetch other programs that write images, and read their images; --write for docs/writers.md
//!  cargo xtask clients [NAME…]  run callers of qemu-img with qemu-img and with instar: `lines`, oslo.utils, ovirt-imageio
//!  cargo xtask differential [--seed S] [--cases N] [--campaign NAME]…  random cases beside qemu-img; docs/differential.md
//!  cargo xtask slurm        run the script of `instar fleet` on daemons of Slurm, and kill one of them; docs/fleet.md
//!  cargo xtask baselines    rewrite tests/baselines from the references, and the matrix of dd
//!  cargo xtask fuzz [TARGET…]  search for inputs that break a rule; --minutes N for each target, --merge to keep what was found
//!  cargo xtask man [DIRECTORY]  manual pages and completions for shells; target/man
//!  cargo xtask package [--twice]  all packages of a release, in target/package/out; docs/packages.md
//!  cargo xtask wheel [--debug]  build the Python package, and test it installed into an environment of its own
//!  cargo xtask coverage [--corpus]  which lines the tests of the formats and the corpus of the search reach, by crate
//! ```
#![forbid(unsafe_code)]

mod apt;
mod baselines;
mod ci;
mod clients;
mod compatibility;
mod coverage;
mod dd_matrix;
mod demo;
mod deviations;
mod differential;
mod filter;
mod fuzz;
mod packages;
mod references;
mod run;
mod slurm;
mod tidy;
mod wheel;
mod workspace;
mod writers;

use std::process::ExitCode;

type Outcome = Result<(), String>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["tidy"] => tidy::check(),
        ["tidy", "--bless"] => tidy::bless(),
        ["ci"] => ci::run(),
        ["demo", rest @ ..] => demo::run(rest),
        ["deviations"] => deviations::render(),
        ["differential", rest @ ..] => differential::run(rest),
        ["clients", rest @ ..] => clients::run(rest),
        ["writers", rest @ ..] => writers::run(rest),
        ["compatibility"] => compatibility::render(),
        ["test", rest @ ..] => filter::run(rest),
        ["baselines"] => baselines::record(),
        ["coverage", rest @ ..] => coverage::run(rest),
        ["fuzz", rest @ ..] => fuzz::run(rest),
        ["man", ..] | ["package", ..] => packages::run(&words),
        ["references", rest @ ..] => references::run(rest),
        ["slurm", rest @ ..] => slurm::run(rest),
        ["wheel", rest @ ..] => wheel::run(rest),
        _ => Err(
            "usage: cargo xtask demo [IMAGE] | ci | test FILTER | tidy [--bless] | deviations | compatibility | references \
             | baselines | writers [NAME…] [--write] | clients [NAME…] | differential [OPTION…] | slurm \
             | man [DIRECTORY] | package [--twice | --tools] | wheel [--debug] \
             | coverage [--corpus] | fuzz [TARGET…] [--minutes N] [--merge]"
                .to_owned(),
        ),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
