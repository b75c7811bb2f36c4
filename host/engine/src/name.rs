//! File names as images hold them. What a user types is a path by the time it comes here.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use instar_abi::Role;

/// The path that a name found in an image means, if it is a plain file name: no URL, no `json:` tree, no option
/// string, nothing that a C string cannot hold. The pieces of an image are always files, whatever they are called.
pub(crate) fn found(name: &[u8], role: Role) -> Option<&Path> {
    let file = role == Role::Extent || protocol(name).is_none();
    let plain = file && !name.is_empty() && !name.contains(&0);
    plain.then(|| Path::new(OsStr::from_bytes(name)))
}

/// A name that an image is given, as the image will ask for it later: `file:` says that it is one of a file.
pub(crate) fn asked(name: &[u8]) -> Vec<u8> {
    match name.strip_prefix(b"file:") {
        Some(path) if protocol(path).is_some() => [b"./", path].concat(),
        Some(path) => path.to_vec(),
        None => name.to_vec(),
    }
}

/// What stands before the first colon, if no slash comes first.
fn protocol(name: &[u8]) -> Option<&[u8]> {
    let end = name.iter().position(|byte| matches!(byte, b':' | b'/'))?;
    (name.get(end) == Some(&b':')).then(|| name.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_images_are_plain_or_nothing() {
        for name in ["a", "../a", "/a/b", "./x:y", "dir/x:y", "\u{7f}\n", "%s"] {
            assert_eq!(
                found(name.as_bytes(), Role::Backing),
                Some(Path::new(name)),
                "{name}"
            );
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
            assert_eq!(found(name.as_bytes(), Role::DataFile), None, "{name}");
        }
    }

    #[test]
    fn the_pieces_of_an_image_are_files_whatever_they_are_called() {
        for name in ["p:q-flat.vmdk", "nbd:x", "a"] {
            assert_eq!(
                found(name.as_bytes(), Role::Extent),
                Some(Path::new(name)),
                "{name}"
            );
        }
        assert_eq!(found(b"", Role::Extent), None);
        assert_eq!(found(b"a\0b", Role::Extent), None);
    }

    #[test]
    fn a_name_is_asked_for_without_the_word_that_makes_it_one_of_a_file() {
        for (name, asked_for) in [
            ("a", "a"),
            ("file:a", "a"),
            ("file:a:b", "./a:b"),
            ("file:/a:b", "/a:b"),
            ("/a:b", "/a:b"),
        ] {
            assert_eq!(asked(name.as_bytes()), asked_for.as_bytes(), "{name}");
        }
    }
}
