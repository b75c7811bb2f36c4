//! instar: a drop-in `qemu-img` that can be pointed at a hostile disk image.
#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    instar_cli::main()
}
