//! instar: a drop-in `qemu-img` that can be pointed at a hostile disk image.

fn main() -> std::process::ExitCode {
    instar_cli::main()
}
