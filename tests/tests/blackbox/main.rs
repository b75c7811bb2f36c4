//! instar beside the installed qemu-img: same options, same bytes, same exit codes.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    clippy::too_many_lines,
    reason = "tests: a failure here is a test failure"
)]

mod account;
mod amend;
mod argon2;
mod baselines;
mod bench;
mod bitmap;
mod bitmaps;
mod bounds;
mod callers;
mod causes;
mod check;
mod checksum;
mod commit;
mod compact;
mod compare;
mod confined;
mod container;
mod create;
mod dd;
mod dependencies;
mod detached;
mod deviating;
mod devices;
mod dmg;
mod existing;
mod failing;
mod faults;
mod fleet;
mod formats;
mod histories;
mod info;
mod invocation;
mod layers;
mod layouts;
mod luks;
mod map;
mod measure;
mod missing;
mod modes;
mod nbd;
mod newest;
mod options;
mod other_writers;
mod ova;
mod parallels;
mod partitions;
mod parts;
mod presets;
mod qcow;
mod qcow2_encrypted;
mod qcow2_encrypted_changes;
mod qcow2_encrypting;
mod qed;
mod random;
mod read_only;
mod reading;
mod rebase;
mod reflink;
mod repair;
mod resize;
mod safety;
mod sandbox;
mod sandboxes_agree;
mod second_opinion;
mod selftest;
mod snapshot;
mod sparse;
mod streams;
mod tables;
mod targets;
mod trust;
mod unknown;
mod writers;
mod writing;
