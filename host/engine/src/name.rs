//! File names: as a user types them, and as an image holds them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// The path that a name typed by the user means: qemu-img takes what stands before a colon, ahead of any slash, for a
/// protocol; only `file:` is one here.
///
/// # Errors
/// The protocol's name.
pub(crate) fn typed(name: &OsStr) -> Result<&Path, String> {
    match protocol(name.as_bytes()) {
        None => Ok(Path::new(name)),
        Some(b"file") => Ok(Path::new(OsStr::from_bytes(
            name.as_bytes().get(b"file:".len()..).unwrap_or_default(),
        ))),
        Some(other) => Err(String::from_utf8_lossy(other).into_owned()),
    }
}

/// The path that a name found in an image means, if it is a plain file name: no URL, no `json:` tree, no option
/// string, nothing that a C string cannot hold.
pub(crate) fn found(name: &[u8]) -> Option<&Path> {
    let plain = !name.is_empty() && !name.contains(&0) && protocol(name).is_none();
    plain.then(|| Path::new(OsStr::from_bytes(name)))
}

/// What stands before the first colon, if no slash comes first.
fn protocol(name: &[u8]) -> Option<&[u8]> {
    let end = name.iter().position(|byte| matches!(byte, b':' | b'/'))?;
    (name.get(end) == Some(&b':')).then(|| name.get(..end).unwrap_or_default())
}

/// `path` without `.`, `..` and doubled slashes, by its text alone: what is on disk is not looked at. A `..` at the
/// root stays there.
pub(crate) fn normalise(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colon_before_any_slash_makes_a_protocol() {
        for (name, path) in [
            ("plain", Ok("plain")),
            ("file:plain", Ok("plain")),
            ("file:a:b", Ok("a:b")),
            ("./a:b", Ok("./a:b")),
            ("/a:b", Ok("/a:b")),
            ("nbd://host", Err("nbd")),
            ("json:{}", Err("json")),
            (":x", Err("")),
            ("a:b", Err("a")),
        ] {
            assert_eq!(
                typed(OsStr::new(name)),
                path.map(Path::new).map_err(str::to_owned),
                "{name}"
            );
        }
    }

    #[test]
    fn names_in_images_are_plain_or_nothing() {
        for name in ["a", "../a", "/a/b", "./x:y", "dir/x:y", "\u{7f}\n", "%s"] {
            assert_eq!(found(name.as_bytes()), Some(Path::new(name)), "{name}");
        }
        for name in [
            "",
            "a\0b",
            "nbd:unix:/x",
            "file:x",
            "json:{\"driver\":\"raw\"}",
            "http://x/",
            "fat:.",
            ":",
        ] {
            assert_eq!(found(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn paths_are_normalised_by_their_text() {
        for (path, normal) in [
            ("/a/./b//c/", "/a/b/c"),
            ("/a/../b", "/b"),
            ("/../../b", "/b"),
            ("/a/b/../../..", "/"),
        ] {
            assert_eq!(normalise(Path::new(path)), Path::new(normal), "{path}");
        }
    }
}
