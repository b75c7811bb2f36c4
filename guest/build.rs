//! Links the bare guest at its fixed address. Ordinary builds (tests, lints) are left alone.

use std::env::var;

fn main() {
    println!("cargo:rerun-if-changed=link.ld");
    println!("cargo:rerun-if-changed=build.rs");
    if var("CARGO_CFG_GUEST_BARE").is_err() {
        return;
    }
    let here = var("CARGO_MANIFEST_DIR").unwrap_or_default();
    for argument in [
        "-nostartfiles",
        "-nostdlib",
        "-static",
        "-no-pie",
        "-Wl,--build-id=none",
        "-Wl,-z,norelro",
        "-Wl,-z,max-page-size=4096",
        "-Wl,--gc-sections",
    ] {
        println!("cargo:rustc-link-arg-bin=guest={argument}");
    }
    println!("cargo:rustc-link-arg-bin=guest=-Wl,-T,{here}/link.ld");
}
