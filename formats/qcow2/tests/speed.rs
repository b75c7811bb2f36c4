//! How fast tables are walked: run with `cargo test --release -p instar-qcow2 --test speed -- --ignored --nocapture`.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "tests"
)]

mod support;

use instar_disk::File;
use instar_qcow2::OpenOptions;
use instar_testkit::Native;
use support::Bench;

/// Nanoseconds that this thread has run: other work on the machine does not count.
fn on_cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split_whitespace().next().unwrap().parse().unwrap()
}

/// Maps everything some times over; says how long an entry and a mapping take.
fn walk(what: &str, bench: &Bench, entries_per_size: u64) {
    let host = Native::new(1);
    let facts = host.source(bench.path("image"));
    let mut image = instar_qcow2::open(File::new(&host, facts), OpenOptions::default()).unwrap();
    let size = image.size();
    let entries = size / entries_per_size;
    let rounds = (1 << 24) / entries;
    let mut mappings = 0_u64;
    let started = on_cpu();
    for _ in 0..rounds {
        let mut offset = 0;
        while offset < size {
            offset += image.map(offset).unwrap().length;
            mappings += 1;
        }
    }
    let spent = (on_cpu() - started) as f64;
    let (entry, mapping) = (spent / (rounds * entries) as f64, spent / mappings as f64);
    println!("{what:40} {entry:8.2} ns an entry {mapping:10.1} ns a mapping {mappings:10} mappings");
}

#[test]
#[ignore = "a measurement"]
fn walks_tables() {
    for (options, unit) in [
        ("cluster_size=64k", 65536),
        ("cluster_size=4k", 4096),
        ("cluster_size=512", 512),
        ("extended_l2=on,cluster_size=64k", 65536),
    ] {
        let bench = Bench::new();
        let size = 8192 * unit;
        bench.qemu_img(&format!(
            "create -q -f qcow2 -o preallocation=metadata,{options} image {size}"
        ));
        walk(&format!("contiguous, {options}"), &bench, unit);
        // Neighbours change places: no two clusters follow one another.
        let mut bytes = bench.bytes("image");
        let entry = if options.contains("extended") { 16 } else { 8 };
        let l1 = u64::from_be_bytes(bytes[40..48].try_into().unwrap()) as usize;
        let tables = u32::from_be_bytes(bytes[36..40].try_into().unwrap()) as usize;
        for table in 0..tables {
            let at = l1 + table * 8;
            let l2 = u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap()) as usize & !(1 << 63);
            for pair in bytes[l2..l2 + unit as usize].chunks_mut(2 * entry) {
                let (left, right) = pair.split_at_mut(entry);
                left.swap_with_slice(right);
            }
        }
        bench.put("image", &bytes);
        walk(&format!("scattered, {options}"), &bench, unit);
    }
    let bench = Bench::new();
    bench.qemu_img("create -q -f qcow2 image 1T");
    walk("empty, 1 TiB", &bench, 65536);
}
