//! The corpus of every target, and changes of it from a fixed seed, as ordinary tests: the same oracles without the engine.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a test failure")]

use instar_fuzz::replay;
use instar_fuzz::targets::TARGETS;

/// Changes for each target.
const CHANGES: u64 = 500;

macro_rules! targets {
    ($($name:ident),* $(,)?) => {
        $(#[test]
        fn $name() {
            replay::run(stringify!($name), CHANGES);
        })*

        #[test]
        fn every_target_is_a_test() {
            let tests = [$(stringify!($name)),*];
            let targets: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(tests.as_slice(), targets);
        }
    };
}

targets! {
    asif, bochs, cloop, dmg, luks, ova, parallels, qcow, qcow2, qed, raw, vdi, vhdx, vmdk, vpc, zst, descriptor, change, convert,
    window, packed, partitions, vhd_size, request, engine, report, command_line, name, value, configuration,
}
