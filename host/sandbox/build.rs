//! Builds the guest, so that `cargo build` is the whole of the build.
//!
//! Cargo is called once for each processor level, with an environment cleaned of everything that belongs to the outer
//! build, and with a target directory of its own: no lock is shared. A host built without optimisation gets one guest
//! for any processor, built fast; an optimised one gets both levels, built well.

use std::env::{self, var_os};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// The ordinary target: no custom specification, so stable cargo will do.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A processor level: the name of its variable, then flags for rustc and for C.
struct Level {
    variable: &'static str,
    name: &'static str,
    rust: &'static [&'static str],
    c: &'static str,
}

const BASELINE: Level = Level {
    variable: "INSTAR_GUEST_BASELINE",
    name: "baseline",
    rust: &["-Ctarget-cpu=x86-64"],
    c: "-march=x86-64",
};

const V3: Level = Level {
    variable: "INSTAR_GUEST_V3",
    name: "v3",
    rust: &["-Ctarget-cpu=x86-64-v3", "-Ctarget-feature=+aes,+pclmulqdq"],
    c: "-march=x86-64-v3 -maes -mpclmul",
};

/// C in the guest has no thread-local storage for a stack canary to lie in.
const C_FLAGS: &str =
    "-fno-stack-protector -fcf-protection=none -U_FORTIFY_SOURCE -fno-asynchronous-unwind-tables";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=INSTAR_GUEST");
    let optimised = var_os("PROFILE").is_some_and(|profile| profile == "release");
    let workspace = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let out = PathBuf::from(var_os("OUT_DIR").unwrap_or_default());
    if var_os("INSTAR_GUEST").is_some_and(|value| value == "skip") {
        // For checks that never run it: an empty file, which the sandbox refuses to start.
        let empty = out.join("no-guest");
        if optimised || std::fs::write(&empty, b"").is_err() {
            fail("INSTAR_GUEST=skip is for unoptimised checks only");
        }
        export(&BASELINE, &empty);
        export(&V3, &empty);
        return;
    }
    let profile = if optimised { "guest" } else { "guest-dev" };
    let baseline = build(&BASELINE, profile, &workspace, &out);
    export(&BASELINE, &baseline);
    if optimised {
        export(&V3, &build(&V3, profile, &workspace, &out));
    } else {
        export(&V3, &baseline);
    }
    for file in [
        "Cargo.toml",
        "Cargo.lock",
        "guest/link.ld",
        "guest/build.rs",
        "guest/Cargo.toml",
    ] {
        watch(&workspace.join(file));
    }
}

fn build(level: &Level, profile: &str, workspace: &Path, out: &Path) -> PathBuf {
    let target = out.join("guest").join(level.name);
    let mut command = Command::new(var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(workspace)
        .args(["build", "--quiet", "--package", "instar-guest", "--bin", "guest"])
        .args([
            "--profile",
            profile,
            "--target",
            TARGET,
            "--locked",
            "--target-dir",
        ])
        .arg(&target);
    for (name, _) in env::vars_os() {
        if belongs_to_outer_build(&name) {
            command.env_remove(name);
        }
    }
    let mut flags = vec![
        "-Crelocation-model=static",
        "-Ctarget-feature=+crt-static",
        "--cfg=guest_bare",
    ];
    flags.extend(level.rust);
    let places = places(workspace);
    flags.extend(places.iter().map(String::as_str));
    command.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
    command.env(
        format!("CFLAGS_{}", TARGET.replace('-', "_")),
        format!("{} {C_FLAGS}", level.c),
    );
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => fail(&format!("building the guest: {status}")),
        Err(error) => fail(&format!("starting cargo for the guest: {error}")),
    }
    let built = target.join(TARGET).join(profile);
    watch_dependencies(&built.join("guest.d"));
    built.join("guest")
}

/// Flags that keep the directories of this machine out of the guest, so that it is the same wherever it is built.
fn places(workspace: &Path) -> Vec<String> {
    let home = || var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    let cargo = var_os("CARGO_HOME").map(PathBuf::from).or_else(home);
    [(Some(workspace.to_owned()), "/instar"), (cargo, "/cargo")]
        .into_iter()
        .filter_map(|(place, name)| Some((place?.canonicalize().ok()?, name)))
        .map(|(place, name)| format!("--remap-path-prefix={}={name}", place.display()))
        .collect()
}

/// What would make the inner cargo build something else than a plain call does.
fn belongs_to_outer_build(name: &OsString) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    let kept = ["CARGO_HOME", "CARGO_MAKEFLAGS", "CARGO_NET_OFFLINE"].contains(&name)
        || ["CARGO_SOURCE", "CARGO_REGISTR", "CARGO_HTTP"]
            .iter()
            .any(|start| name.starts_with(start));
    let prefixes = [
        "CARGO",
        "RUSTC",
        "RUSTDOC",
        "RUSTFLAGS",
        "CLIPPY",
        "DEP_",
        "CFLAGS",
        "TARGET_",
        "HOST_",
    ];
    let names = [
        "LLVM_PROFILE_FILE",
        "TARGET",
        "HOST",
        "OUT_DIR",
        "PROFILE",
        "OPT_LEVEL",
        "DEBUG",
        "NUM_JOBS",
    ];
    !kept && (prefixes.iter().any(|start| name.starts_with(start)) || names.contains(&name))
}

/// Every source file that cargo names in its dependency file.
fn watch_dependencies(file: &Path) {
    let Ok(text) = std::fs::read_to_string(file) else {
        fail(&format!("no dependency file at {}", file.display()));
    };
    let sources = text
        .lines()
        .filter_map(|line| line.split_once(": ").map(|(_, sources)| sources));
    for source in sources
        .flat_map(|sources| sources.split(' '))
        .filter(|source| !source.is_empty())
    {
        watch(Path::new(source));
        // A crate that gains a file or a dependency does so in its manifest's directory.
        if let Some(manifest) = Path::new(source)
            .ancestors()
            .map(|directory| directory.join("Cargo.toml"))
            .find(|manifest| manifest.exists())
        {
            watch(&manifest);
        }
    }
}

fn watch(path: &Path) {
    println!("cargo:rerun-if-changed={}", path.display());
}

fn export(level: &Level, path: &Path) {
    println!("cargo:rustc-env={}={}", level.variable, path.display());
}

fn fail(why: &str) -> ! {
    println!("cargo:error={why}");
    exit(1)
}
