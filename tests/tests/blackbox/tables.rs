//! Images whose tables are looked through and damaged: places in them, found by walking.

use instar_tests::craft::{Crafted, field};
use instar_tests::variant::io;
use instar_tests::{Bench, Outcome};

pub(crate) const CLUSTER: u64 = 65536;
pub(crate) const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

/// What a run said, with the program's name taken off the messages.
pub(crate) fn said(outcome: &Outcome) -> (Option<i32>, String, String) {
    let errors = outcome.errors();
    let errors: Vec<&str> = errors
        .lines()
        .map(|line| line.strip_prefix("qemu-img: ").or(line.strip_prefix("instar: ")).unwrap_or(line))
        .collect();
    (outcome.code(), outcome.text(), errors.join("\n"))
}

/// A qcow2 of 16 MiB with data, holes, zeros and compressed clusters, made with `options`.
pub(crate) fn image(bench: &Bench, options: &str) -> Tables {
    let image = Crafted::image(bench, "image", "16M", options, 5 * CLUSTER);
    io(
        bench,
        "image",
        &["write -P 7 1M 300k", "write -z 2M 128k", "write -c -P 9 3M 64k", "write -c -P 8 4M 64k"],
    );
    Tables(image)
}

/// Two snapshots, and writes in between.
pub(crate) fn with_snapshots(bench: &Bench) -> Tables {
    let tables = image(bench, "");
    bench.qemu(["snapshot", "-c", "first", "image"]).succeeds();
    io(bench, "image", &["write -P 1 64k 128k"]);
    bench.qemu(["snapshot", "-c", "second", "image"]).succeeds();
    io(bench, "image", &["write -P 2 128k 128k"]);
    tables
}

/// Places in an image, found by walking its tables.
pub(crate) struct Tables(pub(crate) Crafted);

impl Tables {
    pub(crate) fn l1(&self) -> u64 {
        self.0.get(field::L1_TABLE_OFFSET)
    }

    pub(crate) fn l2(&self) -> u64 {
        self.0.get(self.l1()) & OFFSET
    }

    /// The L2 entry of a guest cluster.
    pub(crate) fn entry(&self, cluster: u64) -> u64 {
        self.l2() + cluster * 8
    }

    pub(crate) fn refcount_table(&self) -> u64 {
        self.0.get(field::REFCOUNT_TABLE_OFFSET)
    }

    /// The 16-bit refcount of the host cluster at `offset`.
    pub(crate) fn refcount(&self, offset: u64) -> u64 {
        self.0.get(self.refcount_table()) + offset / CLUSTER * 2
    }

    pub(crate) fn snapshots(&self) -> u64 {
        self.0.get(field::SNAPSHOTS_OFFSET)
    }

    /// Sets the 16-bit refcount of the host cluster at `offset`.
    pub(crate) fn count(&self, offset: u64, refcount: u16) {
        self.0.bytes(self.refcount(offset), &refcount.to_be_bytes());
    }
}
