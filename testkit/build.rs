//! Compiles what qemu-img is started with in tests.

use std::env;
use std::path::Path;
use std::process::Command;

const SOURCES: [&str; 2] = ["src/oracle/hurry.c", "src/oracle/kept.c"];

fn main() -> Result<(), String> {
    for source in SOURCES {
        println!("cargo:rerun-if-changed={source}");
    }
    println!("cargo:rerun-if-env-changed=CC");
    let output = Path::new(&env::var_os("OUT_DIR").ok_or("cargo does not say where")?).join("oracle.so");
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let done = Command::new(&compiler)
        .args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-o"])
        .arg(&output)
        .args(SOURCES)
        .status()
        .map_err(|error| format!("{compiler}: {error} (a C compiler is needed, package gcc)"))?;
    if !done.success() {
        return Err(format!("{compiler} cannot compile {SOURCES:?}"));
    }
    println!("cargo:rustc-env=ORACLE={}", output.display());
    Ok(())
}
