//! `fleet`: the page.

use super::args::Action;
use crate::flags::{Flag, Group, HELP, Id, OUTPUT, Page};

pub(super) const PAGE: Page = Page {
    name: "fleet",
    summary: "convert many images, or one enormous image, on many machines",
    usage: "plan|run|status|finish|script [options] ...",
    about: "Divides work into items in a plan, a plain file on storage that all machines share, and carries out one item at a time. Any engine may call it, on any machine, as often as it likes: a finished item is not done again, and a killed one leaves nothing under the name of its target.",
    operands: &[
        (
            "plan IMAGE...",
            "print a plan: each IMAGE becomes an item, converted into the directory of --to",
        ),
        (
            "plan IMAGE TARGET",
            "with --range-size: print a plan that converts one IMAGE in ranges",
        ),
        ("run PLAN", "carry out one item"),
        ("status PLAN", "say what has been done, and what has not"),
        (
            "finish PLAN",
            "check that everything has been done; give a target in ranges its name",
        ),
        (
            "script PLAN",
            "print a script that has an engine carry out the plan",
        ),
    ],
    groups: &[PLAN, RUN, FINISH, SCRIPT],
    examples: &[
        (
            "fleet plan -O qcow2 -c --to new/ old/*.vmdk > plan.jsonl",
            "an item for each image, the largest first",
        ),
        ("fleet run --item 17 plan.jsonl", "carry out one of them"),
        ("fleet status plan.jsonl", "how far is it?"),
        ("fleet finish plan.jsonl", "has everything been done?"),
        (
            "fleet plan --range-size 64G big.qcow2 big.raw > plan.jsonl",
            "one image in ranges of 64 GiB",
        ),
        (
            "fleet script --slurm plan.jsonl > job.sh",
            "a job array for Slurm",
        ),
    ],
};

const PLAN: Group = Group {
    title: "plan",
    flags: &[
        HELP,
        own(Id::To, &["to"], Some("DIR"), "the directory of the targets"),
        own(
            Id::RangeSize,
            &["range-size"],
            Some("SIZE"),
            "convert one image in ranges of this size, in multiples of 1 MiB",
        ),
        Flag {
            id: Id::Format,
            short: Some(b'f'),
            long: &["source-format"],
            exact: &["format"],
            value: Some("FORMAT"),
            help: "format of the images (default: as the first bytes say)",
        },
        Flag {
            id: Id::OutputFormat,
            short: Some(b'O'),
            long: &["output-format"],
            exact: &["target-format"],
            value: Some("FORMAT"),
            help: "format of the targets (default raw)",
        },
        Flag {
            id: Id::Options,
            short: Some(b'o'),
            long: &["options"],
            exact: &["target-options"],
            value: Some("NAME=VALUE,..."),
            help: "options of that format",
        },
        Flag {
            id: Id::Compress,
            short: Some(b'c'),
            long: &[],
            exact: &["compress"],
            value: None,
            help: "compress; not in ranges",
        },
        Flag {
            id: Id::SparseSize,
            short: Some(b'S'),
            long: &["sparse-size"],
            exact: &[],
            value: Some("SIZE"),
            help: "leave out runs of zeros of at least this length (default 4k)",
        },
        Flag {
            id: Id::Parallel,
            short: Some(b'm'),
            long: &[],
            exact: &["lanes"],
            value: Some("N"),
            help: "work in N lanes, 1 to 16 (default: one for each processor)",
        },
        Flag {
            id: Id::Rate,
            short: Some(b'r'),
            long: &["rate"],
            exact: &["rate-limit"],
            value: Some("SIZE"),
            help: "write at most this much per second in each item",
        },
        own(
            Id::Checksum,
            &["checksum"],
            Some("[=NAME]"),
            "record the checksum of each disk: blake3 (default) or sha256; not in ranges",
        ),
        own(
            Id::InFlight,
            &["in-flight"],
            Some("N"),
            "scripts and engines run at most N items at once",
        ),
    ],
};

const RUN: Group = Group {
    title: "run",
    flags: &[
        own(
            Id::FleetItem,
            &["item"],
            Some("N"),
            "which item (default: the number in JOB_COMPLETION_INDEX or SLURM_ARRAY_TASK_ID)",
        ),
        own(Id::Again, &["again"], None, "also if it was recorded as failed"),
    ],
};

const FINISH: Group = Group {
    title: "status and finish",
    flags: &[
        OUTPUT,
        own(
            Id::Waive,
            &["waive"],
            Some("N,..."),
            "finish without these items; not in ranges",
        ),
        own(
            Id::Verify,
            &["verify"],
            None,
            "compare each target with its source first",
        ),
    ],
};

const SCRIPT: Group = Group {
    title: "script",
    flags: &[
        own(Id::Slurm, &["slurm"], None, "a job array for sbatch"),
        own(
            Id::Kubernetes,
            &["kubernetes"],
            None,
            "an indexed Job, for kubectl create -f",
        ),
        own(
            Id::ParallelTool,
            &["parallel"],
            None,
            "a command line for GNU parallel",
        ),
        own(
            Id::ContainerImage,
            &["image"],
            Some("REFERENCE"),
            "the container image with instar in it (with --kubernetes)",
        ),
        own(
            Id::Claim,
            &["claim"],
            Some("NAME:PATH"),
            "the volume claim that holds plan, images and targets, and where it is mounted (with\n--kubernetes); may be given more than once",
        ),
    ],
};

/// The options of one action.
pub(super) fn of(action: Action) -> Vec<Id> {
    let ids = |group: &Group| group.flags.iter().map(|flag| flag.id).collect();
    match action {
        Action::Plan => ids(&PLAN),
        Action::Run => ids(&RUN),
        Action::Status => vec![Id::Output],
        Action::Finish => vec![Id::Waive, Id::Verify],
        Action::Script => ids(&SCRIPT),
    }
}

/// What an option is called.
pub(super) fn name(id: Id) -> &'static str {
    let flag = PAGE.flags().find(|flag| flag.id == id);
    let names = flag
        .into_iter()
        .flat_map(|flag| flag.exact.iter().chain(flag.long));
    names.copied().next().unwrap_or_default()
}

/// An option that the reference tool has nothing like.
const fn own(
    id: Id,
    exact: &'static [&'static str],
    value: Option<&'static str>,
    help: &'static str,
) -> Flag {
    Flag {
        id,
        short: None,
        long: &[],
        exact,
        value,
        help,
    }
}
