//! The command line of the packages; `cargo xtask man` and `cargo xtask package` start it.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use instar_cli::completion::Shell;
use instar_packages::date::Epoch;
use instar_packages::files::{self, output, read, write};
use instar_packages::{papers, release, root};

const USAGE: &str = "usage: cargo xtask man [DIRECTORY] | package [--twice | --tools]";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["man"] => man(&root().join("target/man")),
        ["man", directory] if !directory.starts_with('-') => man(Path::new(directory)),
        ["package"] => package(false),
        ["package", "--twice"] => package(true),
        ["package", "--tools"] => release::tools(root()).map(drop),
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("packages: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Writes pages and completions.
fn man(directory: &Path) -> Result<(), String> {
    for (file, text) in papers::pages(Epoch::of(root())?) {
        write(&directory.join(file), text.as_bytes())?;
    }
    for shell in Shell::ALL {
        let name = format!("completions/{shell:?}/{}", shell.file()).to_lowercase();
        write(&directory.join(name), papers::completion(shell).as_bytes())?;
    }
    println!("{}", directory.display());
    Ok(())
}

fn package(twice: bool) -> Result<(), String> {
    let epoch = Epoch::of(root())?;
    let out = release::make(root(), root(), epoch)?;
    if twice {
        let second = copy()?;
        let again = release::make(&second, root(), epoch)?;
        compare(&out, &again)?;
    }
    for name in release::names(&out)? {
        let bytes = read(&out.join(&name))?.len();
        println!("{bytes:>10}  target/package/out/{name}");
    }
    Ok(())
}

/// The source in another directory, whose name has another length.
fn copy() -> Result<PathBuf, String> {
    let second = root().join("target/package/a-second-directory/instar");
    files::make_anew(&second)?;
    let list = output(Command::new("git").current_dir(root()).args([
        "ls-files",
        "--cached",
        "--others",
        "--exclude-standard",
    ]))?;
    for file in list.lines().filter(|file| root().join(file).is_file()) {
        write(&second.join(file), &read(&root().join(file))?)?;
    }
    Ok(second)
}

/// Demands that two directories have the same files with the same bytes.
fn compare(first: &Path, second: &Path) -> Result<(), String> {
    let names = release::names(first)?;
    if names != release::names(second)? {
        return Err("two builds gave files with different names".to_owned());
    }
    let mut different = Vec::new();
    for name in &names {
        if read(&first.join(name))? != read(&second.join(name))? {
            different.push(name.as_str());
        }
    }
    if different.is_empty() {
        println!(
            "two builds in two directories gave the same {} files",
            names.len()
        );
        return Ok(());
    }
    Err(format!(
        "two builds gave different bytes: {}",
        different.join(", ")
    ))
}
