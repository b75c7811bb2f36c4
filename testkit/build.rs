//! Compiles what qemu-img is started with in tests.

use std::env;
use std::path::Path;
use std::process::Command;

const SOURCE: &str = "src/hurry.c";

fn main() -> Result<(), String> {
    println!("cargo:rerun-if-changed={SOURCE}");
    println!("cargo:rerun-if-env-changed=CC");
    let output = Path::new(&env::var_os("OUT_DIR").ok_or("cargo does not say where")?).join("hurry.so");
    let compiler = env::var("CC").unwrap_or_else(|_| "cc".to_owned());
    let done = Command::new(&compiler)
        .args(["-shared", "-fPIC", "-O2", "-o"])
        .arg(&output)
        .arg(SOURCE)
        .status()
        .map_err(|error| format!("{compiler}: {error} (a C compiler is needed, package gcc)"))?;
    if !done.success() {
        return Err(format!("{compiler} cannot compile {SOURCE}"));
    }
    println!("cargo:rustc-env=HURRY={}", output.display());
    Ok(())
}
