//! Command lines: options of every verb, good and bad, in any order, spelled in full, abbreviated or joined.

use instar_tests::Dice;

use crate::case::Step;
use crate::content::Piece;
use crate::values::{format, number};

pub(super) fn steps(dice: &mut Dice) -> Vec<Step> {
    let (steps, names) = material(dice);
    let verb = &VERBS[dice.below(VERBS.len() as u64) as usize];
    let mut words = vec![verb.name.to_owned()];
    for _ in 0..dice.below(5) {
        option(dice, verb, names, &mut words);
    }
    for kind in verb
        .operands
        .iter()
        .take(verb.operands.len() - usize::from(dice.one_in(14)))
    {
        let text = argument(dice, *kind, names);
        let place = if dice.one_in(4) {
            1 + dice.below(words.len() as u64) as usize
        } else {
            words.len()
        };
        words.insert(place, text);
    }
    if dice.one_in(30) {
        words.push(argument(dice, Kind::Image, names));
    }
    if dice.one_in(40) {
        let odd = dice.of(&[
            "--",
            "-",
            "",
            "--nonsense",
            "-Z",
            "--=",
            "--image-opts",
            "-h1",
            "-?",
        ]);
        words.insert(1 + dice.below(words.len() as u64) as usize, odd.to_owned());
    }
    let mut all = steps;
    all.push(Step::Both(words));
    all
}

/// The images that lines are about.
fn material(dice: &mut Dice) -> (Vec<Step>, &'static [&'static str]) {
    let disk = Step::Disk(
        "disk.raw".to_owned(),
        300 << 10,
        vec![Piece::Lines(0, 40 << 10), Piece::Noise(128 << 10, 30 << 10, 5)],
    );
    let qcow2 = Step::setup("convert -f raw -O qcow2 -o cluster_size=4k disk.raw q");
    match dice.below(3) {
        0 => (vec![disk, qcow2], &["disk.raw", "q", "q"]),
        1 => {
            let over = Step::setup("create -q -f qcow2 -b q -F qcow2 over 400k");
            (vec![disk, qcow2, over], &["disk.raw", "q", "over", "over"])
        }
        _ => {
            let snapshot = Step::setup("snapshot -c one q");
            let bitmap = Step::setup("bitmap --add q b0");
            let other = Step::setup("convert -f raw -O vmdk disk.raw v");
            (
                vec![disk, qcow2, snapshot, bitmap, other],
                &["disk.raw", "q", "q", "v"],
            )
        }
    }
}

/// What an argument is.
#[derive(Clone, Copy)]
enum Kind {
    None,
    Image,
    Target,
    Format,
    Size,
    Rate,
    Count,
    Cache,
    Output,
    Snapshot,
    Bitmap,
    Options,
    Backing,
    Repair,
    Object,
    Dd,
}

struct Verb {
    name: &'static str,
    operands: &'static [Kind],
    options: &'static [(&'static str, Kind)],
}

use Kind::{
    Backing, Bitmap, Cache, Count, Dd, Format, Image, None, Object, Options, Output, Rate, Repair, Size,
    Snapshot, Target,
};

const VERBS: &[Verb] = &[
    Verb {
        name: "info",
        operands: &[Image],
        options: &[
            ("-f", Format),
            ("--format", Format),
            ("--output", Output),
            ("--backing-chain", None),
            ("-U", None),
            ("--force-share", None),
            ("--image-opts", None),
            ("--object", Object),
            ("-t", Cache),
            ("--limits", None),
        ],
    },
    Verb {
        name: "create",
        operands: &[Target, Size],
        options: &[
            ("-f", Format),
            ("-q", None),
            ("-u", None),
            ("-b", Backing),
            ("-F", Format),
            ("-o", Options),
            ("-o", Options),
            ("--object", Object),
        ],
    },
    Verb {
        name: "convert",
        operands: &[Image, Target],
        options: &[
            ("-f", Format),
            ("-O", Format),
            ("-O", Format),
            ("-o", Options),
            ("-c", None),
            ("-n", None),
            ("-p", None),
            ("-q", None),
            ("-S", Size),
            ("-m", Count),
            ("-r", Rate),
            ("-t", Cache),
            ("-T", Cache),
            ("-l", Snapshot),
            ("-B", Backing),
            ("-F", Format),
            ("-W", None),
            ("-C", None),
            ("-U", None),
            ("--bitmaps", None),
            ("--salvage", None),
            ("--target-is-zero", None),
            ("--skip-broken-bitmaps", None),
            ("--target-image-opts", None),
        ],
    },
    Verb {
        name: "measure",
        operands: &[Image],
        options: &[
            ("-f", Format),
            ("-O", Format),
            ("-o", Options),
            ("--output", Output),
            ("--size", Size),
            ("-l", Snapshot),
            ("-U", None),
        ],
    },
    Verb {
        name: "map",
        operands: &[Image],
        options: &[
            ("-f", Format),
            ("--output", Output),
            ("-s", Size),
            ("-l", Size),
            ("--start-offset", Size),
            ("--max-length", Size),
            ("-U", None),
        ],
    },
    Verb {
        name: "compare",
        operands: &[Image, Image],
        options: &[
            ("-f", Format),
            ("-F", Format),
            ("-s", None),
            ("-q", None),
            ("-p", None),
            ("-T", Cache),
            ("-U", None),
            ("--image-opts", None),
        ],
    },
    Verb {
        name: "check",
        operands: &[Image],
        options: &[
            ("-f", Format),
            ("--output", Output),
            ("-q", None),
            ("-r", Repair),
            ("-T", Cache),
            ("-U", None),
        ],
    },
    Verb {
        name: "snapshot",
        operands: &[Image],
        options: &[
            ("-l", None),
            ("-c", Snapshot),
            ("-a", Snapshot),
            ("-d", Snapshot),
            ("-q", None),
            ("-U", None),
            ("-f", Format),
        ],
    },
    Verb {
        name: "resize",
        operands: &[Image, Size],
        options: &[
            ("-f", Format),
            ("--preallocation", Cache),
            ("-q", None),
            ("--shrink", None),
            ("--image-opts", None),
        ],
    },
    Verb {
        name: "rebase",
        operands: &[Image],
        options: &[
            ("-f", Format),
            ("-b", Backing),
            ("-b", Backing),
            ("-F", Format),
            ("-u", None),
            ("-c", None),
            ("-p", None),
            ("-q", None),
            ("-t", Cache),
            ("-T", Cache),
            ("-U", None),
        ],
    },
    Verb {
        name: "commit",
        operands: &[Image],
        options: &[
            ("-f", Format),
            ("-b", Backing),
            ("-d", None),
            ("-q", None),
            ("-p", None),
            ("-t", Cache),
            ("-r", Rate),
        ],
    },
    Verb {
        name: "bitmap",
        operands: &[Image, Bitmap],
        options: &[
            ("--add", None),
            ("--add", None),
            ("--remove", None),
            ("--clear", None),
            ("--enable", None),
            ("--disable", None),
            ("--merge", Bitmap),
            ("-g", Size),
            ("-b", Image),
            ("-F", Format),
            ("-f", Format),
        ],
    },
    Verb {
        name: "amend",
        operands: &[Image],
        options: &[
            ("-f", Format),
            ("-o", Options),
            ("-o", Options),
            ("-q", None),
            ("-p", None),
            ("-t", Cache),
            ("--force", None),
        ],
    },
    Verb {
        name: "dd",
        operands: &[Dd, Dd, Dd],
        options: &[
            ("-f", Format),
            ("-O", Format),
            ("-U", None),
            ("--image-opts", None),
        ],
    },
];

fn option(dice: &mut Dice, verb: &Verb, names: &[&'static str], words: &mut Vec<String>) {
    let (name, kind) = dice.of(verb.options);
    let name = if name.starts_with("--") && dice.one_in(8) {
        // An abbreviation, which may mean several.
        name[..3 + dice.below(name.len() as u64 - 3) as usize].to_owned()
    } else {
        name.to_owned()
    };
    if matches!(kind, Kind::None) {
        words.push(name);
        return;
    }
    let value = argument(dice, kind, names);
    match dice.below(6) {
        0 if name.starts_with("--") => words.push(format!("{name}={value}")),
        0 => words.push(format!("{name}{value}")),
        _ => words.extend([name, value]),
    }
}

fn argument(dice: &mut Dice, kind: Kind, names: &[&'static str]) -> String {
    match kind {
        Image => image(dice, names),
        Format => format(dice).to_owned(),
        Size => match dice.below(4) {
            0 => number(dice, 1 << 22),
            1 => format!("{}{}", dice.of(&["", "+", "-"]), dice.below(1 << 20)),
            _ => dice
                .of(&["1M", "64k", "300k", "512", "4k", "77k", "2M"])
                .to_owned(),
        },
        Count => number(dice, 20),
        Dd => match dice.below(6) {
            0 | 1 => format!("if={}", dice.of(names)),
            2 | 3 => "of=out".to_owned(),
            4 => format!(
                "bs={}",
                dice.of(&["512", "1000", "4k", "1M", "0", "-1", "2G", "x", "", "0x400"])
            ),
            _ => format!("{}={}", dice.of(&["count", "skip"]), number(dice, 600)),
        },
        Options => options(dice),
        _ => dice.of(words_of(kind)).to_owned(),
    }
}

/// What an argument may be, where that is one of a few words.
fn words_of(kind: Kind) -> &'static [&'static str] {
    match kind {
        Target => &["out", "out", "out", "out", "absent/out", "", "q"],
        // A slow one keeps us waiting.
        Rate => &["1G", "100M", "0", "x", "-1", "", "1T", "8E"],
        Cache => &[
            "none",
            "writeback",
            "unsafe",
            "directsync",
            "writethrough",
            "off",
            "full",
            "metadata",
            "falloc",
            "nonsense",
            "",
        ],
        Output => &["json", "human", "xml", "", "JSON"],
        Snapshot => &[
            "one",
            "1",
            "new",
            "",
            "snapshot.name=one",
            "snapshot.id=1",
            "absent",
        ],
        Bitmap => &["b0", "b0", "b1", "new", "", "a bitmap"],
        Backing => &["disk.raw", "q", "q", "", "absent", "out", "./q"],
        Repair => &["all", "leaks", "none", ""],
        Object => &[
            "secret,id=s,data=x",
            "secret,id=s",
            "nonsense,id=s",
            "",
            "help",
            "secret,data=x",
        ],
        _ => &[""],
    }
}

/// An image by one of its names.
fn image(dice: &mut Dice, names: &[&'static str]) -> String {
    let name = if dice.one_in(40) { "absent" } else { dice.of(names) };
    match dice.below(20) {
        0 => format!("driver={},file.filename={name}", format(dice)),
        1 => format!("file:{name}"),
        2 => format!("./{name}"),
        3 => dice
            .of(&[
                "",
                "nbd:x",
                "json:{}",
                r#"json:{"driver":"raw","file":{"driver":"file","filename":"q"}}"#,
            ])
            .to_owned(),
        _ => name.to_owned(),
    }
}

/// A list of options of a format.
fn options(dice: &mut Dice) -> String {
    let mut list = Vec::new();
    for _ in 0..1 + dice.below(3) {
        list.push(match dice.below(10) {
            0 => format!("cluster_size={}", number(dice, 65536)),
            1 => format!("size={}", number(dice, 1 << 20)),
            2 => format!("backing_fmt={}", format(dice)),
            3 => dice.of(WHOLE_OPTIONS).to_owned(),
            _ => {
                let (name, values) = dice.of(OPTIONS);
                format!("{name}={}", dice.of(values))
            }
        });
    }
    list.join(",")
}

const SWITCH: &[&str] = &["on", "off", "yes", "true", "1", ""];
const SIZES: &[&str] = &["1M", "2", "4", "16", "x"];

const OPTIONS: &[(&str, &[&str])] = &[
    ("cluster_size", &["512", "4k", "64k", "2M", "4M", "256"]),
    ("compat", &["0.10", "1.1", "v2", "v3", "", "2"]),
    ("refcount_bits", &["1", "2", "8", "16", "64", "3", "128", "x"]),
    ("preallocation", &["off", "metadata", "falloc", "full", "x"]),
    (
        "subformat",
        &[
            "monolithicSparse",
            "streamOptimized",
            "fixed",
            "dynamic",
            "monolithicFlat",
            "x",
        ],
    ),
    ("lazy_refcounts", SWITCH),
    ("extended_l2", SWITCH),
    ("data_file_raw", SWITCH),
    ("static", SWITCH),
    ("force_size", SWITCH),
    ("nocow", SWITCH),
    ("compression_type", &["zlib", "zstd", "lzo"]),
    ("backing_file", &["q", "absent", ""]),
    ("block_size", SIZES),
    ("log_size", SIZES),
    ("table_size", SIZES),
    ("hwversion", SIZES),
    ("adapter_type", &["ide", "lsilogic", "x"]),
];

const WHOLE_OPTIONS: &[&str] = &[
    "help",
    "?",
    "",
    "nonsense=1",
    "size",
    "=",
    "a,b",
    "block_size=1M",
    "log_size=1M",
    "table_size=2",
    "extent_size_hint=1M",
];
