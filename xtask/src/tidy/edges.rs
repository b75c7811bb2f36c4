//! Who may import whom. Only what is linked into the product counts: the dependencies of tests and build scripts do not.
//!
//! ```text
//!  host/cli ──► host/run ──► host/{sandbox, engine, jail, memory} ──► abi ◄── guest ──► ops ──► {formats/*, codecs, crypt, partitions} ──► disk ──► abi
//! ```

use std::collections::{BTreeMap, BTreeSet};

use super::House;
use crate::workspace::Member;

/// Each place in the house, and the places it may look into.
const ALLOWED: &[(&str, &[&str])] = &[
    ("abi", &[]),
    ("disk", &["abi"]),
    ("codecs", &["abi", "disk"]),
    ("crypt", &["abi", "disk"]),
    ("formats/", &["abi", "disk", "codecs", "crypt"]),
    ("partitions", &["abi", "disk"]),
    ("streams/", &["abi", "disk"]),
    (
        "ops",
        &[
            "abi",
            "disk",
            "codecs",
            "crypt",
            "formats/",
            "partitions",
            "streams/",
        ],
    ),
    ("guest", &["abi", "disk", "ops"]),
    ("host/memory", &["abi"]),
    ("host/engine", &["abi", "host/memory"]),
    ("host/sandbox", &["abi", "host/jail", "host/memory"]),
    ("host/jail", &["abi", "host/memory"]),
    (
        "host/run",
        &["abi", "host/memory", "host/engine", "host/sandbox", "host/jail"],
    ),
    (
        "host/cli",
        &[
            "abi",
            "host/run",
            "host/memory",
            "host/engine",
            "host/sandbox",
            "host/jail",
        ],
    ),
    ("host/client", &["abi"]),
    // Outside the product.
    ("testkit", &["abi", "disk"]),
    ("tests", &["testkit"]),
    ("differential", &["testkit", "tests"]),
    // Signals are waited for in one way.
    ("benches", &["host/jail"]),
    ("xtask", &["testkit"]),
    // Pages and completions come from the tables of options.
    ("packages", &["host/cli"]),
    // Its oracles are about both sides.
    (
        "fuzz",
        &[
            "abi",
            "disk",
            "codecs",
            "crypt",
            "formats/",
            "ops",
            "host/memory",
            "host/engine",
            "host/run",
            "host/cli",
            "testkit",
        ],
    ),
];

/// What must never be linked into the process that holds file descriptors.
const UNTRUSTED_SIDE: &[&str] = &[
    "disk",
    "codecs",
    "crypt",
    "formats/",
    "partitions",
    "streams/",
    "ops",
    "guest",
    "testkit",
];

/// Crates that need an operating system; the sandboxed side has none.
const NEEDS_SYSTEM: &[&str] = &[
    "libc",
    "rustix",
    "kvm-ioctls",
    "kvm-bindings",
    "tempfile",
    "landlock",
];

/// Codec libraries and parsers that the host has no use for.
const PARSES_IMAGES: &[&str] = &["zlib-rs", "zstd-safe", "ruzstd", "flate2", "miniz_oxide"];

pub(super) fn check(house: &House) -> Result<Vec<String>, String> {
    Ok(broken(&house.members))
}

fn broken(members: &BTreeMap<String, Member>) -> Vec<String> {
    let mut findings = Vec::new();
    for (name, member) in members {
        let Some((_, allowed)) = ALLOWED.iter().find(|(place, _)| within(&member.place, place)) else {
            findings.push(format!(
                "{}: no rule defines what this crate may import",
                member.place
            ));
            continue;
        };
        for dependency in &member.dependencies {
            findings.extend(edge(
                members,
                member,
                dependency.name.as_str(),
                allowed,
                dependency,
            ));
        }
        if member.place.starts_with("host/") {
            findings.extend(reaches_untrusted_side(members, name));
        }
    }
    findings
}

fn edge(
    members: &BTreeMap<String, Member>,
    member: &Member,
    name: &str,
    allowed: &[&str],
    dependency: &crate::workspace::Dependency,
) -> Option<String> {
    let from = &member.place;
    let Some(target) = members.get(name) else {
        return foreign(from, name, dependency.is_normal());
    };
    if target.place == "testkit"
        && !dependency.is_dev()
        && !["tests", "xtask", "differential", "fuzz"].contains(&from.as_str())
    {
        return Some(format!(
            "{from} -> testkit: test support is allowed only under [dev-dependencies]"
        ));
    }
    let tolerated = !dependency.is_normal() || allowed.iter().any(|place| within(&target.place, place));
    (!tolerated).then(|| format!("{from} -> {}: this edge is not allowed", target.place))
}

/// Judges a dependency on a crate that is not ours.
fn foreign(from: &str, name: &str, normal: bool) -> Option<String> {
    let untrusted = UNTRUSTED_SIDE
        .iter()
        .any(|place| *place != "testkit" && within(from, place));
    if normal && untrusted && NEEDS_SYSTEM.contains(&name) {
        return Some(format!(
            "{from} -> {name}: the sandboxed side has no operating system"
        ));
    }
    if normal && from.starts_with("host/") && PARSES_IMAGES.contains(&name) {
        return Some(format!(
            "{from} -> {name}: the host must not decode contents of images"
        ));
    }
    None
}

/// Walks the normal dependencies of a host crate, however far.
fn reaches_untrusted_side(members: &BTreeMap<String, Member>, start: &str) -> Option<String> {
    let mut seen = BTreeSet::new();
    let mut open = vec![(start, start.to_owned())];
    while let Some((name, path)) = open.pop() {
        let Some(member) = members.get(name) else { continue };
        if !seen.insert(name) {
            continue;
        }
        if UNTRUSTED_SIDE.iter().any(|place| within(&member.place, place)) {
            return Some(format!("{path}: the host must link no code that parses images"));
        }
        for dependency in member
            .dependencies
            .iter()
            .filter(|dependency| dependency.is_normal())
        {
            open.push((&dependency.name, format!("{path} -> {}", dependency.name)));
        }
    }
    None
}

/// Whether `place` is what the rule names, or lies in it where the rule names a directory.
fn within(place: &str, rule: &str) -> bool {
    place == rule || (rule.ends_with('/') && place.starts_with(rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(place: &str, dependencies: &str) -> Member {
        Member {
            place: place.to_owned(),
            dependencies: serde_json::from_str(dependencies).unwrap(),
        }
    }

    fn house(cli: &str, engine: &str) -> BTreeMap<String, Member> {
        [
            ("cli", member("host/cli", cli)),
            ("engine", member("host/engine", engine)),
            ("guest", member("guest", r#"[{"name":"ops","kind":null}]"#)),
            ("ops", member("ops", r#"[{"name":"raw","kind":null}]"#)),
            (
                "raw",
                member(
                    "formats/raw",
                    r#"[{"name":"disk","kind":null},{"name":"testkit","kind":"dev"}]"#,
                ),
            ),
            ("disk", member("disk", "[]")),
            ("testkit", member("testkit", r#"[{"name":"disk","kind":null}]"#)),
        ]
        .map(|(name, member)| (name.to_owned(), member))
        .into()
    }

    #[test]
    fn accepts_the_house_as_designed() {
        let engine = r#"[{"name":"engine","kind":null},{"name":"guest","kind":"build"}]"#;
        assert_eq!(broken(&house(engine, "[]")), Vec::<String>::new());
    }

    #[test]
    fn refuses_a_host_crate_that_imports_a_format() {
        let findings = broken(&house("[]", r#"[{"name":"raw","kind":null}]"#));
        assert!(
            findings.iter().any(|f| f.contains("host/engine -> formats/raw")),
            "{findings:?}"
        );
    }

    #[test]
    fn refuses_a_format_that_is_reached_by_a_detour() {
        let mut members = house(
            r#"[{"name":"engine","kind":null}]"#,
            r#"[{"name":"abi","kind":null}]"#,
        );
        members.insert(
            "abi".to_owned(),
            member("abi", r#"[{"name":"disk","kind":null}]"#),
        );
        let findings = broken(&members);
        assert!(
            findings
                .iter()
                .any(|f| f.starts_with("cli -> engine -> abi -> disk")),
            "{findings:?}"
        );
    }

    #[test]
    fn refuses_the_test_kit_outside_tests() {
        let findings = broken(&house(r#"[{"name":"testkit","kind":null}]"#, "[]"));
        assert!(findings.iter().any(|f| f.contains("testkit")), "{findings:?}");
    }

    #[test]
    fn refuses_formats_that_import_each_other() {
        let mut members = house("[]", "[]");
        members.insert(
            "vdi".to_owned(),
            member("formats/vdi", r#"[{"name":"raw","kind":null}]"#),
        );
        assert!(!broken(&members).is_empty());
    }

    #[test]
    fn refuses_a_codec_on_the_host_and_a_system_on_the_guest() {
        assert!(!broken(&house("[]", r#"[{"name":"zlib-rs","kind":null}]"#)).is_empty());
        let mut members = house("[]", "[]");
        members.insert(
            "vdi".to_owned(),
            member("formats/vdi", r#"[{"name":"libc","kind":null}]"#),
        );
        assert!(!broken(&members).is_empty());
    }
}
