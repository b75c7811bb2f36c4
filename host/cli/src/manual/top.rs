//! The page of the program.

use instar_abi::Format;

use super::roff::{Roff, bold, italic};
use super::{Edition, entries, prose};
use crate::flags::{POLICY, TOP};
use crate::{settings, verbs};

pub(super) fn page(edition: Edition<'_>) -> String {
    let mut roff = Roff::new("instar", edition);
    roff.heading("NAME");
    roff.raw("instar \\- work with disk images, parsed in a sandbox");
    roff.heading("SYNOPSIS");
    roff.raw(&format!(
        "{} [{}] {} [{}] ...",
        bold("instar"),
        italic("options"),
        italic("COMMAND"),
        italic("options")
    ));
    let sections = prose::sections(include_str!("instar.txt"));
    let (first, last): (Vec<_>, Vec<_>) = sections
        .iter()
        .partition(|section| section.title == "DESCRIPTION");
    for section in first {
        section.write(&mut roff);
    }
    roff.heading("COMMANDS");
    for page in verbs::pages() {
        roff.entry(
            &format!("{}(1)", bold(&format!("instar-{}", page.name))),
            page.summary,
        );
    }
    roff.heading("OPTIONS");
    entries::write(&mut roff, TOP);
    roff.subheading("Safety");
    roff.text("These stand before or after COMMAND.");
    entries::write(&mut roff, POLICY);
    roff.heading("FORMATS");
    let names = |read_only: bool| {
        let names = Format::ALL
            .into_iter()
            .filter(|format| format.is_read_only() == read_only);
        names.map(Format::name).collect::<Vec<_>>().join(", ")
    };
    roff.text(&format!(
        "Read and written: {}. Read only: {}.",
        names(false),
        names(true)
    ));
    environment(&mut roff);
    for section in last {
        section.write(&mut roff);
    }
    roff.finish()
}

/// The variables: one for each key of the configuration, and those of other kinds.
fn environment(roff: &mut Roff) {
    roff.heading("ENVIRONMENT");
    for key in settings::KEYS {
        let name = bold(&settings::variable(key));
        let option = POLICY.iter().find(|flag| flag.exact == [*key]);
        match option {
            Some(flag) => roff.entry(
                &name,
                &format!("`{key}` in a configuration file, as `--{key}`: {}", flag.help),
            ),
            None => roff.entry(
                &name,
                &format!("`{key}` in a configuration file: {}", of_administrators(key)),
            ),
        }
    }
    for (name, meaning) in OTHERS {
        roff.entry(&bold(name), meaning);
    }
}

/// What the settings without an option mean.
pub(super) fn of_administrators(key: &str) -> &'static str {
    match key {
        "trust-key" => {
            "the file with the key that seals records of trusted names, shared by several users (default: a key for each user)"
        }
        "require-kvm" => "`on`: fail where KVM does not work, instead of using a process",
        "require-landlock" => "`on`: fail where the kernel has no Landlock",
        _ => "",
    }
}

const OTHERS: &[(&str, &str)] = &[
    ("INSTAR_CONFIG", "one more configuration file, as `--config`"),
    (
        "INSTAR_SEED",
        "identifiers and times in new images come from this text, so that equal runs write equal bytes",
    ),
    ("XDG_CONFIG_HOME, HOME", "where the user's configuration file is"),
    (
        "XDG_STATE_HOME, HOME",
        "where the user's key for records of trusted names is",
    ),
    ("TZ", "the time zone of dates in lists of snapshots"),
];
