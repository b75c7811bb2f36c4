//! `sandbox`: the page.

use crate::flags::{Group, HELP, OUTPUT, Page};

pub(super) const PAGE: Page = Page {
    name: "sandbox",
    summary: "show how this machine confines the parsing of images",
    usage: "[options]",
    about: "Images are parsed in a virtual machine without an operating system (kvm) or, where /dev/kvm cannot be opened, in a process that may make only a handful of system calls (process). This command shows which one is in use and why, what the kernel offers, and which protections are in force.",
    operands: &[],
    groups: &[Group {
        title: "Output",
        flags: &[HELP, OUTPUT],
    }],
    examples: &[
        ("sandbox", "what protects me here?"),
        ("sandbox --sandbox kvm", "could a virtual machine be used?"),
    ],
};
