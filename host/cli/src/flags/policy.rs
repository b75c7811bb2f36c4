//! What every verb takes beside its own options: how far the image is trusted, and how hard it is confined.

use super::{Flag, Group, Id};

/// The group as help shows it.
pub(super) const GROUP: Group = Group {
    title: "Safety",
    flags: FLAGS,
};

/// The options. None may be abbreviated: abbreviations belong to the reference tool's names.
pub const FLAGS: &[Flag] = &[
    Flag {
        id: Id::Untrusted,
        short: None,
        long: &[],
        exact: &["untrusted"],
        value: None,
        help: "open nothing that an image names, refuse ambiguous formats, and cap the virtual size",
    },
    Flag {
        id: Id::AllowDir,
        short: None,
        long: &[],
        exact: &["allow-dir"],
        value: Some("DIR"),
        help: "let images also name files in DIR; may be given more than once",
    },
    Flag {
        id: Id::UntrustedDir,
        short: None,
        long: &[],
        exact: &["untrusted-dir"],
        value: Some("DIR"),
        help: "images in DIR belong to somebody else: they open no file beside them and none in allowed directories",
    },
    Flag {
        id: Id::Sandbox,
        short: None,
        long: &[],
        exact: &["sandbox"],
        value: Some("auto|kvm|process"),
        help: "where images are parsed (see instar sandbox --help)",
    },
    Flag {
        id: Id::Timeout,
        short: None,
        long: &[],
        exact: &["timeout"],
        value: Some("SECONDS"),
        help: "stop a run that takes longer",
    },
    Flag {
        id: Id::Memory,
        short: None,
        long: &[],
        exact: &["memory"],
        value: Some("SIZE"),
        help: "memory of the sandbox (default 128M)",
    },
    Flag {
        id: Id::MaxSize,
        short: None,
        long: &[],
        exact: &["max-size"],
        value: Some("SIZE"),
        help: "refuse images with a larger virtual size (default 1T with --untrusted, otherwise none)",
    },
    Flag {
        id: Id::MaxOutput,
        short: None,
        long: &[],
        exact: &["max-output"],
        value: Some("SIZE"),
        help: "stop before a target grows larger; also lifts the limits on reused data",
    },
    Flag {
        id: Id::MaxChain,
        short: None,
        long: &[],
        exact: &["max-chain"],
        value: Some("LAYERS"),
        help: "refuse longer backing chains (default 200)",
    },
    Flag {
        id: Id::QemuVersion,
        short: None,
        long: &[],
        exact: &["qemu-version"],
        value: Some("7.2|10.0|11.1|auto"),
        help: "behave like this release of qemu-img (default 10.0); auto: the release of the installed package",
    },
    Flag {
        id: Id::Config,
        short: None,
        long: &[],
        exact: &["config"],
        value: Some("FILE"),
        help: "read settings from FILE too, after /etc/instar.toml and ~/.config/instar/config.toml",
    },
    Flag {
        id: Id::Failure,
        short: None,
        long: &[],
        exact: &["failure"],
        value: Some("json:N"),
        help: "for programs: if it fails, say why in a line of JSON on descriptor N",
    },
];
