//! Chains of operations: an image that is made, written to and changed by one verb after another, each by instar and by qemu-img.

use instar_tests::Dice;

use crate::case::Step;
use crate::content::Piece;
use crate::recipe;

/// What is there, as far as it matters for what may come next.
struct History {
    steps: Vec<Step>,
    format: &'static str,
    /// Bytes of the disk that nobody has cut off.
    size: u64,
    layered: bool,
    /// What the image can have: that of qcow2 of version 3 with its data in it.
    version3: bool,
    snapshots: u64,
    bitmaps: u64,
}

pub(super) fn steps(dice: &mut Dice) -> Vec<Step> {
    let mut history = start(dice);
    for _ in 0..2 + dice.below(6) {
        history.step(dice);
    }
    history.look(dice);
    history.steps
}

const LAYOUTS: &[&str] = &[
    "compat=1.1",
    "cluster_size=4k",
    "cluster_size=4k",
    "cluster_size=512",
    "cluster_size=1k,refcount_bits=64",
    "refcount_bits=8,lazy_refcounts=on",
    "cluster_size=4k,refcount_bits=2",
    "extended_l2=on",
    "cluster_size=16k,extended_l2=on",
    "compression_type=zstd",
    "compat=0.10",
    "compat=0.10,cluster_size=4k",
    "data_file=image.data",
    "preallocation=metadata,cluster_size=4k",
];

fn start(dice: &mut Dice) -> History {
    let format = dice.of(&[
        "qcow2",
        "qcow2",
        "qcow2",
        "qcow2",
        "qcow2",
        "raw",
        "vmdk",
        "vdi",
        "vpc",
        "vhdx",
        "qed",
        "qcow",
        "parallels",
    ]);
    let layered = ["qcow2", "qed", "qcow"].contains(&format) && dice.one_in(2);
    let size = 512 * (1 + dice.below(4096));
    let base = (
        512 * (1 + dice.below(2048)),
        vec![Piece::Lines(0, 60 << 10), Piece::Noise(256 << 10, 9000, 3)],
    );
    let mut steps = Vec::new();
    let mut version3 = format == "qcow2";
    if layered {
        steps.push(Step::Disk("low.raw".to_owned(), base.0.max(300 << 10), base.1));
        for name in ["one", "two"] {
            steps.push(Step::setup(&format!(
                "create -q -f qcow2 -o cluster_size=4k -b low.raw -F raw {name} 2M"
            )));
        }
        steps.push(io("qcow2", "one", &["write -P 41 100k 300k", "write -z 1M 100k"]));
        steps.push(io(
            "qcow2",
            "two",
            &["write -P 42 200k 500k", "write -z 1200k 40k"],
        ));
    }
    let backing = if layered { "-b one -F qcow2" } else { "" };
    let layout = if format == "qcow2" { dice.of(LAYOUTS) } else { "" };
    version3 &= !layout.contains("0.10");
    let options = if layout.is_empty() {
        String::new()
    } else {
        format!("-o {layout}")
    };
    let made = format!("create -f {format} {options} {backing} image {size}");
    // Those that round the size are looked at with what they made of it.
    steps.push(if dice.one_in(3) {
        Step::both(&made)
    } else {
        Step::setup(&made)
    });
    if format == "vpc" {
        steps.pop();
        steps.push(Step::setup(&format!(
            "create -q -f vpc -o force_size=on image {size}"
        )));
    }
    History {
        steps,
        format,
        size,
        layered,
        version3,
        snapshots: 0,
        bitmaps: 0,
    }
}

fn io(format: &str, image: &str, commands: &[&str]) -> Step {
    Step::Io(
        format.to_owned(),
        image.to_owned(),
        commands.iter().map(|&words| words.to_owned()).collect(),
    )
}

impl History {
    fn both(&mut self, line: &str) {
        self.steps.push(Step::both(line));
    }

    fn step(&mut self, dice: &mut Dice) {
        let qcow2 = self.format == "qcow2";
        match dice.below(20) {
            0..=5 => self.write(dice),
            6 | 7 if qcow2 => self.snapshot(dice),
            8 if qcow2 => self.bitmap(dice),
            9 if qcow2 => self.amend(dice),
            10 if self.layered => self.rebase(dice),
            11 if self.layered => {
                let drop = if dice.one_in(2) { "-d" } else { "" };
                self.both(&format!("commit {drop} -f {} image", self.format));
            }
            12 | 13 => self.resize(dice),
            14 => self.check(dice),
            15 => self.convert(dice),
            16 => {
                let (block, skip) = (dice.of(&[512, 4096, 10_000]), dice.below(40));
                let line = format!(
                    "dd -f {} if=image of=window bs={block} skip={skip} count={}",
                    self.format,
                    skip + dice.below(100)
                );
                self.both(&line);
                self.steps.push(Step::Same("window".to_owned(), "raw".to_owned()));
            }
            17 if self.layered => self.both(&format!("compare -f {} -F qcow2 image two", self.format)),
            18 => self.both(&format!(
                "measure --output=json -O qcow2 -f {} image",
                self.format
            )),
            _ => self.look(dice),
        }
        if dice.one_in(3) {
            self.same();
        }
    }

    fn same(&mut self) {
        self.steps
            .push(Step::Same("image".to_owned(), self.format.to_owned()));
    }

    fn write(&mut self, dice: &mut Dice) {
        if self.size < 512 {
            return;
        }
        let mut commands = Vec::new();
        for _ in 0..1 + dice.below(3) {
            let start = dice.below(self.size / 512) * 512;
            let scale = dice.below(9);
            let length = (512 * (1 + dice.below(4 << scale))).min(self.size - start);
            commands.push(match dice.below(6) {
                0 => format!("write -z {start} {length}"),
                1 if self.format == "qcow2" => format!("discard {start} {length}"),
                _ => format!("write -P {} {start} {length}", 1 + dice.below(255)),
            });
        }
        self.steps
            .push(Step::Io(self.format.to_owned(), "image".to_owned(), commands));
    }

    fn snapshot(&mut self, dice: &mut Dice) {
        let known = self.snapshots;
        match dice.below(4) {
            2 if known > 0 => self.both(&format!("snapshot -a s{} image", dice.below(known))),
            3 if known > 0 => self.both(&format!("snapshot -d s{} image", dice.below(known))),
            _ => {
                self.both(&format!("snapshot -c s{known} image"));
                self.snapshots += 1;
            }
        }
    }

    fn bitmap(&mut self, dice: &mut Dice) {
        let known = self.bitmaps;
        let granularity = dice.of(&["512", "4k", "64k", "1M"]);
        if known == 0 || dice.one_in(3) {
            self.both(&format!("bitmap --add -g {granularity} image b{known}"));
            self.bitmaps += 1;
            return;
        }
        let (one, other) = (dice.below(known), dice.below(known));
        match dice.below(6) {
            0 => self.both(&format!("bitmap --merge b{other} image b{one}")),
            _ => {
                let act = dice.of(&["--remove", "--clear", "--disable", "--enable"]);
                self.both(&format!("bitmap {act} image b{one}"));
            }
        }
    }

    /// Other changes of the version lose something in qemu-img (deviations `amend-bitmaps`, `amend-shared-zeros`).
    fn amend(&mut self, dice: &mut Dice) {
        let option = dice.of(&[
            "lazy_refcounts=on",
            "lazy_refcounts=off",
            "refcount_bits=16",
            "refcount_bits=64",
            "refcount_bits=4",
            "refcount_bits=1",
            "compat=1.1",
            "nonsense=1",
        ]);
        self.both(&format!("amend -f qcow2 -o {option} image"));
        if option == "compat=1.1" {
            self.version3 = true;
        }
    }

    /// qemu-img loses zeros of version 2 (deviation `rebase-zeros`).
    fn rebase(&mut self, dice: &mut Dice) {
        if !self.version3 {
            return;
        }
        let words = dice.of(&[
            "-b two -F qcow2",
            "-b one -F qcow2",
            "-b low.raw -F raw",
            "-b absent -F qcow2",
            "-c -b two -F qcow2",
        ]);
        self.both(&format!("rebase {words} image"));
    }

    /// What was cut off inside a cluster comes back in qemu-img (deviation `resize-adds-zeros`), so cuts are at its largest cluster.
    fn resize(&mut self, dice: &mut Dice) {
        let (size, shrink) = match dice.below(4) {
            0 if self.size >= 2 << 20 => (self.size / (2 << 20) * (2 << 20), true),
            1 => (self.size, false),
            _ => (self.size + 512 * dice.below(4096), false),
        };
        if self.format == "vpc" {
            return;
        }
        let option = if shrink { "--shrink" } else { "" };
        self.both(&format!("resize {option} -f {} image {size}", self.format));
        if ["qcow2", "raw", "qed"].contains(&self.format) && self.snapshots == 0 {
            self.size = size.min(self.size);
        }
    }

    /// qemu-img takes the snapshots of an image that also has bitmaps for what needs no room.
    fn check(&mut self, dice: &mut Dice) {
        if self.bitmaps > 0 && self.snapshots > 0 {
            return;
        }
        let repair = dice.of(&["", "", "-r leaks", "-r all"]);
        self.both(&format!("check {repair} -f {} image", self.format));
    }

    fn convert(&mut self, dice: &mut Dice) {
        let target = dice.of(&[
            "raw",
            "qcow2",
            "qcow2",
            "vmdk",
            "vdi",
            "vhdx",
            "qed",
            "qcow",
            "parallels",
        ]);
        let options = recipe::options(dice, target);
        // A data file has the name of the other image's.
        let options = if options.contains("data_file") {
            ""
        } else {
            options
        };
        self.both(&format!(
            "convert -f {} -O {target} {options} image copy",
            self.format
        ));
        self.steps.push(Step::Same("copy".to_owned(), target.to_owned()));
        if target != "raw" && dice.one_in(2) {
            self.both(&format!("info --output=json -f {target} copy"));
        }
        if ["qcow2", "vdi", "vhdx", "qed", "parallels"].contains(&target) && dice.one_in(2) {
            self.both(&format!("check -f {target} copy"));
        }
    }

    fn look(&mut self, dice: &mut Dice) {
        let format = self.format;
        match dice.below(5) {
            0 => self.both(&format!("info -f {format} image")),
            1 => self.both(&format!("map -f {format} image")),
            2 => self.both("snapshot -l image"),
            3 if self.format == "qcow2" => self.both("check image"),
            _ => self.both(&format!("info --output=json -f {format} image")),
        }
        self.same();
    }
}
