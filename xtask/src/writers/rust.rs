//! Writers in Rust: the crates imago (qcow2) and vhdx-rs (VHDX) by a small program, and qcow2-rs by its own tool.

use std::path::Path;
use std::process::Command;

use super::bench::Bench;
use super::{Image, Made};
use crate::run::output;

const PROGRAM: &str = include_str!("scripts/rust_writers.rs");

const TARGET: &str = "x86_64-unknown-linux-gnu";

const IMAGO: &str = "0.2.6";
const VHDX: &str = "0.1.0";
const QCOW2: &str = "0.1.6";

pub(super) fn make(bench: &Bench) -> Result<Vec<Made>, String> {
    let home = bench.home.join("rust");
    let program = build(&home)?;
    let room = bench.room("rust")?;
    let mut imago = Made::new("imago", IMAGO);
    let mut vhdx = Made::new("vhdx-rs", VHDX);
    for disk in ["odd", "even", "empty"] {
        let report = output(
            Command::new(&program)
                .current_dir(&room)
                .arg(format!("{disk}.raw")),
        )?;
        for line in report.lines() {
            let mut words = line.splitn(3, ' ');
            let (Some(state), Some(name)) = (words.next(), words.next()) else {
                continue;
            };
            let outcome = match state {
                "made" => Ok(String::new()),
                _ => Err(words.next().unwrap_or("no reason was given").to_owned()),
            };
            let (made, format) = if name.ends_with(".vhdx") {
                (&mut vhdx, "vhdx")
            } else {
                (&mut imago, "qcow2")
            };
            made.add(
                outcome,
                Image {
                    variant: name.to_owned(),
                    path: room.join(name),
                    format,
                    truth: Some(room.join(format!("{disk}.raw"))),
                    deviation: None,
                },
            );
        }
    }
    Ok(vec![imago, vhdx, tool(bench, &home)?])
}

/// Builds the program beside the workspace: these crates are not part of instar.
fn build(home: &Path) -> Result<std::path::PathBuf, String> {
    let fail = |error: std::io::Error| error.to_string();
    std::fs::create_dir_all(home.join("src")).map_err(fail)?;
    let manifest = format!(
        "[package]\nname = \"rust-writers\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[workspace]\n\n[dependencies]\n\
         imago = {{ version = \"={IMAGO}\", default-features = false, features = [\"sync\"] }}\n\
         vhdx-rs = \"={VHDX}\"\n"
    );
    std::fs::write(home.join("Cargo.toml"), manifest).map_err(fail)?;
    std::fs::write(home.join("src/main.rs"), PROGRAM).map_err(fail)?;
    // vhdx-rs names a newer compiler than it needs.
    output(outside(home).args(["build", "--quiet", "--ignore-rust-version", "--target", TARGET]))?;
    Ok(home.join("target").join(TARGET).join("debug/rust-writers"))
}

/// qcow2-rs brings a tool that formats and converts.
fn tool(bench: &Bench, home: &Path) -> Result<Made, String> {
    let program = home.join("bin/rqcow2");
    if !program.exists() {
        output(
            outside(home)
                .args(["install", "--quiet", "--debug", "--root"])
                .arg(home)
                .arg(format!("qcow2-rs@{QCOW2}")),
        )?;
    }
    let room = bench.room("qcow2-rs")?;
    let mut made = Made::new("qcow2-rs (rqcow2)", QCOW2);
    for bits in ["12", "14", "16", "21"] {
        for order in ["0", "4", "6"] {
            let name = format!("format-{bits}-{order}.qcow2");
            let outcome = output(
                Command::new(&program)
                    .current_dir(&room)
                    .args(["format", "-s", "8", "-c", bits, "-r", order, &name]),
            );
            made.add(
                outcome,
                Image {
                    variant: format!("format, cluster bits {bits}, refcount order {order}"),
                    path: room.join(&name),
                    format: "qcow2",
                    truth: Some(bench.disks.empty.clone()),
                    deviation: None,
                },
            );
        }
    }
    for disk in ["odd", "even", "empty"] {
        let name = format!("{disk}.qcow2");
        let outcome = output(Command::new(&program).current_dir(&room).args([
            "convert",
            "-f",
            "raw",
            "-O",
            "qcow2",
            "-o",
            &name,
            &format!("{disk}.raw"),
        ]));
        made.add(
            outcome,
            Image {
                variant: format!("convert, {disk} disk"),
                path: room.join(&name),
                format: "qcow2",
                truth: Some(room.join(format!("{disk}.raw"))),
                deviation: None,
            },
        );
    }
    Ok(made)
}

/// Cargo away from the settings of this workspace.
fn outside(home: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(home)
        .env("CARGO_TARGET_DIR", home.join("target"))
        .env_remove("CARGO_BUILD_TARGET");
    command
}
