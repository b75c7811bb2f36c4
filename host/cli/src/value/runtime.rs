//! Runtime options of the block layer in a tree that a user writes: looked at as the reference tool does, and kept as far as
//! they change anything here.

use instar_abi::job::{SizeRule, Window};

use super::nodes::{NamedRule, Part};
use super::place::Refusal;
use super::tree::Tree;
use super::{list, number};

/// What the options that every node has come to.
pub(super) struct Common {
    /// Locks of other processes are ignored.
    pub(super) share: bool,
    /// `force-share=on` was said, or `-U`.
    pub(super) forced: bool,
    /// Past the page cache.
    pub(super) direct: bool,
    /// Not to be written to.
    pub(super) read_only: bool,
}

/// Options with a fixed set of values that change nothing here, the values, and the words for another one.
const CHOICES: &[(&str, &[&[u8]], &str)] = &[
    (
        "discard",
        &[b"ignore", b"off", b"unmap", b"on"],
        "Invalid discard option",
    ),
    ("detect-zeroes", &[b"off", b"on", b"unmap"], ""),
    ("locking", &[b"auto", b"on", b"off"], ""),
    ("aio", &[b"threads", b"native", b"io_uring"], ""),
];

/// Truth values that change nothing here.
const TRUTHS: &[&str] = &[
    "auto-read-only",
    "cache.no-flush",
    "drop-cache",
    "x-check-cache-dropped",
];

/// Options whose values have no effect.
const ANYTHING: &[&str] = &["aio-max-batch", "node-name"];

/// Takes what every node has.
pub(super) fn take_common(tree: &mut Tree, levels: &[String], mut share: bool) -> Result<Common, Refusal> {
    let asked = share;
    let (mut direct, mut read_only, mut forced) = (false, false, asked);
    let mut native = false;
    for level in levels {
        let mut take = |name: &str| tree.take(&format!("{level}{name}"));
        for name in ANYTHING {
            take(name);
        }
        for name in TRUTHS {
            if let Some(value) = take(name) {
                truth(name, &value)?;
            }
        }
        for (name, values, words) in CHOICES {
            let Some(value) = take(name) else { continue };
            if !values.contains(&value.as_slice()) {
                return Err(Refusal::Open(if words.is_empty() {
                    [b"invalid parameter value: ".as_slice(), &value].concat()
                } else {
                    words.as_bytes().to_vec()
                }));
            }
            share |= *name == "locking" && value == b"off";
            native |= *name == "aio" && value == b"native";
        }
        if let Some(value) = take("cache.direct") {
            direct |= truth("cache.direct", &value)?;
        }
        if let Some(value) = take("read-only") {
            read_only |= truth("read-only", &value)?;
        }
        if let Some(value) = take("force-share") {
            let on = truth("force-share", &value)?;
            if asked && !on {
                return Err(Refusal::Whole(
                    b"--force-share/-U conflicts with image options".to_vec(),
                ));
            }
            forced |= on;
            share |= on;
        }
    }
    if native && !direct {
        return Err(Refusal::Open(
            b"aio=native was specified, but it requires cache.direct=on, which was not specified.".to_vec(),
        ));
    }
    Ok(Common {
        share,
        forced,
        direct,
        read_only,
    })
}

/// Takes `offset` and `size` of the raw image whose options begin with `level`.
pub(super) fn take_part(tree: &mut Tree, level: &str) -> Result<Part, Refusal> {
    let offset = tree.take_leaf(&format!("{level}offset"));
    let length = tree.take_leaf(&format!("{level}size"));
    let bytes = |name, leaf: &Option<_>| {
        let leaf: Option<&super::tree::Leaf> = leaf.as_ref();
        leaf.map(|leaf| size(name, &leaf.text)).transpose()
    };
    let (start, count) = (bytes("offset", &offset)?, bytes("size", &length)?);
    let window = (start.is_some() || count.is_some()).then(|| Window {
        offset: start.unwrap_or(0),
        length: count,
    });
    Ok(Part {
        offset,
        size: length,
        window,
    })
}

/// Takes `force_size_calc` of a VHD.
pub(super) fn take_size_rule(tree: &mut Tree) -> Result<Option<NamedRule>, Refusal> {
    let Some(word) = tree.take("force_size_calc") else {
        return Ok(None);
    };
    let rule = match word.as_slice() {
        b"chs" => SizeRule::Geometry,
        b"current_size" => SizeRule::CurrentSize,
        other => {
            let text = [b"Invalid size calculation mode: '", other, b"'"];
            return Err(Refusal::Open(text.concat()));
        }
    };
    Ok(Some(NamedRule { word, rule }))
}

/// Takes the options of a qcow2 image that change nothing here: caches have bounds of their own, and sources are not written to.
pub(super) fn take_qcow2(tree: &mut Tree) -> Result<(), Refusal> {
    for name in [
        "lazy-refcounts",
        "pass-discard-request",
        "pass-discard-snapshot",
        "pass-discard-other",
        "discard-no-unref",
    ] {
        if let Some(value) = tree.take(name) {
            truth(name, &value)?;
        }
    }
    let mut sizes = [None; 3];
    for (size, name) in sizes
        .iter_mut()
        .zip(["cache-size", "l2-cache-size", "refcount-cache-size"])
    {
        *size = take_size(tree, name)?;
    }
    if sizes.iter().all(Option::is_some) {
        return Err(Refusal::Open(
            b"cache-size, l2-cache-size and refcount-cache-size may not be set at the same time".to_vec(),
        ));
    }
    take_size(tree, "l2-cache-entry-size")?;
    if let Some(value) = tree.take("cache-clean-interval")
        && number::unsigned(&value).is_err()
    {
        return Err(Refusal::Open(
            b"Parameter 'cache-clean-interval' expects a number".to_vec(),
        ));
    }
    if let Some(value) = tree.take("overlap-check")
        && !["none", "constant", "cached", "all"]
            .iter()
            .any(|name| name.as_bytes() == value)
    {
        return Err(Refusal::Open(
            [
                b"Unsupported value '".as_slice(),
                &value,
                b"' for qcow2 option 'overlap-check'. Allowed are any of the following: none, constant, cached, all",
            ]
            .concat(),
        ));
    }
    Ok(())
}

fn take_size(tree: &mut Tree, name: &str) -> Result<Option<u64>, Refusal> {
    tree.take(name).map(|value| size(name, &value)).transpose()
}

fn size(name: &str, value: &[u8]) -> Result<u64, Refusal> {
    number::size(value).map_err(|bad| Refusal::Open(number::bad_parameter(name, value, bad)))
}

fn truth(name: &str, value: &[u8]) -> Result<bool, Refusal> {
    list::boolean(value)
        .ok_or_else(|| Refusal::Open(format!("Parameter '{name}' expects 'on' or 'off'").into_bytes()))
}
