//! Random histories: an image that is written to and changed by one verb after another, by us, by qemu-img and by both in turn. The
//! exit codes, the words, the disk, snapshots and bitmaps are the same after each step.

use std::fs;

use instar_tests::compare::{called, qemu_info};
use instar_tests::variant::io;
use instar_tests::{Bench, Dice, Outcome, Sandbox, both_sandboxes, disk};

/// Histories for each sandbox; `INSTAR_TEST_HISTORIES` asks for more, and `INSTAR_TEST_HISTORY` for one.
const HISTORIES: u64 = 6;
/// Steps of each.
const STEPS: u64 = 12;

/// Options that an image has from the start.
const LAYOUTS: &[&str] = &[
    "compat=1.1",
    "compat=0.10",
    "cluster_size=512",
    "cluster_size=4k",
    "cluster_size=2M",
    "cluster_size=4k,refcount_bits=64",
    "refcount_bits=8,lazy_refcounts=on",
    "refcount_bits=2",
    "extended_l2=on",
    "cluster_size=16k,extended_l2=on",
    "data_file=data",
    "data_file=data,data_file_raw=on",
    "compression_type=zstd",
];

/// The same history three times, each in a directory of its own.
struct History {
    ours: Bench,
    theirs: Bench,
    mixed: Bench,
    dice: Dice,
    /// Bytes of the disk.
    size: u64,
    /// Names that were given, and perhaps taken again.
    snapshots: Vec<String>,
    bitmaps: Vec<String>,
    layout: &'static str,
    done: Vec<String>,
}

impl History {
    fn new(sandbox: Sandbox, number: u64) -> Self {
        let salt = if sandbox == Sandbox::Kvm { 0 } else { 1 << 32 };
        let mut dice = Dice::new(number + salt);
        let layout = dice.of(LAYOUTS);
        // Data in a file of its own that is raw has nothing below.
        let overlay = !layout.contains("raw") && dice.below(2) == 0;
        let size = SECTOR * (1 + dice.below(24 << 11));
        let benches = [(); 3].map(|()| Bench::new(sandbox));
        for bench in &benches {
            disk::usual(&bench.path("low.raw"));
            for (base, cluster) in [("one", "cluster_size=64k"), ("two", "cluster_size=4k")] {
                bench
                    .qemu([
                        "create", "-q", "-f", "qcow2", "-o", cluster, "-b", "low.raw", "-F", "raw", base,
                        "20M",
                    ])
                    .succeeds();
            }
            io(bench, "one", &["write -P 41 1M 3M", "write -z 8M 1M"]);
            io(bench, "two", &["write -P 42 2M 5M", "write -z 9M 1M"]);
            let size = size.to_string();
            let mut words = vec!["create", "-q", "-f", "qcow2", "-o", layout];
            if overlay {
                words.extend(["-b", "one", "-F", "qcow2"]);
            }
            bench.qemu(words.into_iter().chain(["image", size.as_str()])).succeeds();
        }
        let [ours, theirs, mixed] = benches;
        Self {
            ours,
            theirs,
            mixed,
            dice,
            size,
            snapshots: Vec::new(),
            bitmaps: Vec::new(),
            layout,
            done: vec![format!("{layout}, overlay: {overlay}")],
        }
    }

    fn benches(&self) -> [&Bench; 3] {
        [&self.ours, &self.theirs, &self.mixed]
    }

    fn step(&mut self) {
        match self.dice.below(16) {
            0..=4 => self.write(),
            5..=7 => self.snapshot(),
            8 | 9 => self.resize(),
            10 | 11 => self.bitmap(),
            12 => self.rebase(),
            13 => self.commit(),
            14 => self.amend(),
            _ => self.check(),
        }
    }

    fn write(&mut self) {
        for _ in 0..1 + self.dice.below(4) {
            let start = self.dice.below(self.size / SECTOR) * SECTOR;
            let scale = self.dice.below(9);
            let length = (SECTOR * (1 + self.dice.below(4 << scale))).min(self.size - start);
            let what = match self.dice.below(6) {
                0 => "write -z".to_owned(),
                1 => "discard".to_owned(),
                _ => format!("write -P {}", 1 + self.dice.below(255)),
            };
            let command = format!("{what} {start} {length}");
            for bench in self.benches() {
                io(bench, "image", &[&command]);
            }
            self.done.push(command);
        }
    }

    fn snapshot(&mut self) {
        match (self.dice.below(4), self.snapshots.is_empty()) {
            (0 | 1, _) | (_, true) => {
                let name = format!("s{}", self.dice.below(9));
                self.both(&["snapshot", "-c", &name, "image"]);
                self.snapshots.push(name);
            }
            (way, false) => {
                let name = self.one_of(&self.snapshots.clone());
                self.both(&["snapshot", if way == 2 { "-a" } else { "-d" }, &name, "image"]);
            }
        }
    }

    /// After a cut inside a cluster qemu-img shows old data where the disk grows again (deviation `resize-adds-zeros`).
    fn resize(&mut self) {
        let sectors = self.size / SECTOR;
        let size = match self.dice.below(3) {
            0 => sectors + self.dice.below(4 << 11),
            1 => sectors.max(self.dice.below(64 << 11)),
            _ => (1 + self.dice.below(sectors / LARGEST + 1)) * LARGEST,
        };
        let size = (size * SECTOR).to_string();
        let mut words = vec!["resize"];
        if self.dice.below(4) > 0 {
            words.push("--shrink");
        }
        words.extend(["image", &size]);
        self.both(&words);
    }

    fn bitmap(&mut self) {
        let (way, granularity) = (self.dice.below(7), self.dice.of(&["512", "4k", "64k", "1M"]));
        let name = format!("b{}", self.dice.below(5));
        if way < 3 || self.bitmaps.is_empty() {
            self.both(&["bitmap", "--add", "-g", granularity, "image", &name]);
            self.bitmaps.push(name);
            return;
        }
        let (one, other) = (self.one_of(&self.bitmaps.clone()), self.one_of(&self.bitmaps.clone()));
        match way {
            3 => self.both(&["bitmap", "--merge", &other, "image", &one]),
            _ => {
                let act = self.dice.of(&["--remove", "--clear", "--disable", "--enable"]);
                self.both(&["bitmap", act, "image", &one]);
            }
        }
    }

    /// qemu-img loses zeros of version 2 (deviation `rebase-zeros`), and does not survive the largest clusters (`rebase-aborts`).
    fn rebase(&mut self) {
        if ["0.10", "2M"].iter().any(|layout| self.layout.contains(layout)) {
            return;
        }
        let base = self.dice.of(&["one", "two", ""]);
        let mut words = vec!["rebase"];
        if self.dice.below(4) == 0 {
            words.push("-u");
        }
        if !base.is_empty() {
            words.extend(["-F", "qcow2"]);
        }
        words.extend(["-b", base, "image"]);
        self.both(&words);
    }

    fn commit(&mut self) {
        let words: &[&str] = if self.dice.below(2) == 0 {
            &["commit", "-d", "image"]
        } else {
            &["commit", "image"]
        };
        self.both(words);
    }

    fn amend(&mut self) {
        let option = self.dice.of(&[
            "lazy_refcounts=on",
            "lazy_refcounts=off",
            "refcount_bits=16",
            "refcount_bits=64",
            "refcount_bits=4",
            "refcount_bits=2",
            "compat=0.10",
            "compat=1.1",
        ]);
        // Of those qemu-img loses bits and clusters (deviations `amend-bitmaps` and `amend-shared-zeros`).
        if option != "compat=0.10" || !self.has("bitmaps") && !self.has("snapshots") {
            self.both(&["amend", "-o", option, "image"]);
        }
    }

    /// qemu-img takes the snapshots of an image that also has bitmaps for what needs no room.
    fn check(&mut self) {
        if self.has("bitmaps") && self.has("snapshots") {
            return;
        }
        self.both(&["check", "-q", "-r", "all", "image"]);
    }

    /// The image that only qemu-img changes has some.
    fn has(&self, what: &str) -> bool {
        let info = qemu_info(&self.theirs, "image");
        info[what].is_array() || info["format-specific"]["data"][what].is_array()
    }

    fn one_of(&mut self, names: &[String]) -> String {
        let number = self.dice.below(names.len() as u64);
        names[usize::try_from(number).unwrap()].clone()
    }

    /// Runs one command on each image, in the mixed history by one of the programs.
    fn both(&mut self, words: &[&str]) {
        let by_us = self.dice.below(2) == 0;
        let line = words.join(" ");
        self.done.push(if by_us {
            line.clone()
        } else {
            format!("{line} (mixed: qemu-img)")
        });
        let (theirs, ours) = (self.theirs.qemu(words), self.ours.instar(words));
        let mixed = if by_us {
            self.mixed.instar(words)
        } else {
            self.mixed.qemu(words)
        };
        for other in [&ours, &mixed] {
            if words.contains(&"check") {
                // What leaked where qemu-img failed is found once.
                assert_eq!(theirs.code(), other.code(), "{self}\n{other}");
                continue;
            }
            assert_eq!(said(&theirs), said(other), "{self}\n{other}");
        }
    }

    /// All three hold the same, and nothing is wrong with what we have written to.
    fn compare(&mut self) {
        let seen = self.benches().map(|bench| {
            let info = qemu_info(bench, "image");
            let snapshots: Vec<_> = info["snapshots"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|one| [one["id"].clone(), one["name"].clone(), one["vm-state-size"].clone()])
                .collect();
            let data = &info["format-specific"]["data"];
            let facts = [
                "compat",
                "lazy-refcounts",
                "refcount-bits",
                "bitmaps",
                "extended-l2",
                "data-file",
                "data-file-raw",
            ];
            (
                info["virtual-size"].as_u64().unwrap(),
                info["backing-filename"].clone(),
                snapshots,
                facts.map(|fact| data[fact].clone()),
            )
        });
        self.size = seen[1].0;
        assert_eq!(seen[1], seen[0], "{self}");
        assert_eq!(seen[1], seen[2], "{self}");
        // Where qemu-img fails, clusters may leak.
        for (bench, allowed) in [(&self.ours, 0), (&self.mixed, 3)] {
            let outcome = bench.qemu(["check", "image"]);
            let code = outcome.code();
            assert!(code == Some(0) || code == Some(allowed), "{self}\n{outcome}");
            for file in ["image", "one", "two"] {
                let reference = self.theirs.path(file);
                let outcome = bench.qemu(["compare", "-q", reference.to_str().unwrap(), file]);
                assert_eq!(outcome.code(), Some(0), "{file}: {self}\n{outcome}");
            }
        }
    }

    /// Each snapshot holds the same disk.
    fn compare_snapshots(&self) {
        let info = qemu_info(&self.theirs, "image");
        for snapshot in info["snapshots"].as_array().into_iter().flatten() {
            let id = format!("snapshot.id={}", snapshot["id"].as_str().unwrap());
            let disks = self.benches().map(|bench| {
                bench.qemu(["convert", "-l", &id, "-O", "raw", "image", "snapshot.raw"]).succeeds();
                fs::read(bench.path("snapshot.raw")).unwrap()
            });
            assert!(disks[0] == disks[1] && disks[1] == disks[2], "{id}: {self}");
        }
    }
}

impl std::fmt::Display for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.done.join("\n  "))
    }
}

both_sandboxes!(any_history_of_changes_gives_what_qemu_img_gives,);

fn any_history_of_changes_gives_what_qemu_img_gives(bench: &Bench) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let histories = match number("INSTAR_TEST_HISTORY") {
        Some(one) => one..one + 1,
        None => 0..number("INSTAR_TEST_HISTORIES").unwrap_or(HISTORIES),
    };
    for number in histories {
        let mut history = History::new(bench.sandbox(), number);
        history.done.insert(0, format!("history {number}"));
        for _ in 0..STEPS {
            history.step();
            history.compare();
        }
        history.compare_snapshots();
    }
}

/// Exit code and words; qemu-img calls some images by a number that changes.
fn said(outcome: &Outcome) -> (Option<i32>, String, String) {
    (outcome.code(), outcome.text(), called(outcome.message(), "image"))
}

const SECTOR: u64 = 512;
/// Sectors of the largest cluster.
const LARGEST: u64 = 4096;
