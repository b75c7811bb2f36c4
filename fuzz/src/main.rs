//! The search: libFuzzer over the target that `INSTAR_FUZZ_TARGET` names. `cargo xtask fuzz` builds and starts it.
//!
//! Without a name it lists the targets. With `INSTAR_FUZZ_SEEDS` it writes the seeds of the target into that directory, and ends.
#![no_main]
#![forbid(unsafe_code)]

use std::path::Path;
use std::sync::LazyLock;

use instar_fuzz::Dice;
use instar_fuzz::targets::{TARGETS, Target, named};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("INSTAR_FUZZ_TARGET").unwrap_or_default();
    let Some(target) = named(&name) else {
        for target in TARGETS {
            println!("{}", target.name);
        }
        std::process::exit(i32::from(!name.is_empty()));
    };
    if let Some(directory) = std::env::var_os("INSTAR_FUZZ_SEEDS") {
        for (number, seed) in (target.seeds)().iter().enumerate() {
            if let Err(error) = std::fs::write(Path::new(&directory).join(format!("seed-{number:02}")), seed)
            {
                eprintln!("{}: {error}", directory.display());
                std::process::exit(2);
            }
        }
        std::process::exit(0);
    }
    target
});

fuzz_target!(init: LazyLock::force(&TARGET), |input: &[u8]| -> () { (TARGET.oracle)(input) });

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut input = data[..size].to_vec();
    let mut blind = |bytes: &mut Vec<u8>, longest: usize| {
        let size = bytes.len();
        bytes.resize((size + 64).min(longest.max(size)), 0);
        let room = bytes.len();
        let size = fuzzer_mutate(bytes, size, room);
        bytes.truncate(size);
    };
    (TARGET.mutate)(&mut input, &mut Dice::new(seed.into()), &mut blind);
    let size = input.len().min(max_size);
    data[..size].copy_from_slice(&input[..size]);
    size
});
