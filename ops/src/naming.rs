//! Names of backing files: a plain name, `file:` and a name, or a `json:` tree of plain files.
//!
//! The tree is taken apart here, inside the sandbox, and only a plain name goes to the gate. A tree that says anything
//! but "this file, in this format" is refused: options of a block layer in an image have been a way out before.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use instar_disk::{Fault, Format, Result, fault};
use serde_json::{Map, Value};

/// A file to be opened, and the format that the name itself prescribes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) name: Vec<u8>,
    pub(crate) format: Option<Format>,
}

/// Takes a name from an image apart.
///
/// # Errors
/// `REFUSED_NAME` for a tree that is not plain; `UNKNOWN_FORMAT`.
pub(crate) fn parse(name: &[u8]) -> Result<Named> {
    if let Some(tree) = name.strip_prefix(b"json:") {
        return parse_tree(tree).ok_or_else(|| Fault::new(fault::core::REFUSED_NAME).named(name));
    }
    Ok(Named {
        name: name.strip_prefix(b"file:").map_or_else(|| name.to_vec(), path),
        format: None,
    })
}

/// A name that is known to be one of a file, so that no colon in it makes it a protocol's.
fn path(name: &[u8]) -> Vec<u8> {
    let mark = name.iter().find(|byte| matches!(byte, b':' | b'/'));
    match mark {
        Some(b':') => [b"./", name].concat(),
        _ => name.to_vec(),
    }
}

fn parse_tree(tree: &[u8]) -> Option<Named> {
    let Value::Object(mut node) = serde_json::from_slice(tree).ok()? else {
        return None;
    };
    let driver = take_text(&mut node, "driver")?;
    let named = match driver {
        Some(driver) if driver != "file" => {
            let format = Format::from_name(driver.as_bytes())?;
            Named {
                name: take_file(&mut node)?,
                format: Some(format),
            }
        }
        Some(_) => Named {
            name: path(take_text(&mut node, "filename")??.as_bytes()),
            format: None,
        },
        None => Named {
            name: take_file(&mut node)?,
            format: None,
        },
    };
    node.is_empty().then_some(named)
}

/// The file below a format node: nested, or as dotted keys.
fn take_file(node: &mut Map<String, Value>) -> Option<Vec<u8>> {
    let (driver, filename) = match node.remove("file") {
        Some(Value::Object(mut file)) => {
            let parts = (take_text(&mut file, "driver")?, take_text(&mut file, "filename")?);
            file.is_empty().then_some(parts)?
        }
        Some(_) => return None,
        None => (take_text(node, "file.driver")?, take_text(node, "file.filename")?),
    };
    if driver.is_some_and(|driver| driver != "file") {
        return None;
    }
    filename.map(|name| path(name.as_bytes()))
}

/// `Some(None)` if the key is missing; `None` if its value is not a string.
#[expect(clippy::option_option, reason = "absent and wrong are two answers")]
fn take_text(node: &mut Map<String, Value>, key: &str) -> Option<Option<String>> {
    match node.remove(key) {
        None => Some(None),
        Some(Value::String(text)) => Some(Some(text.as_str().to_owned())),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_pass_through() {
        for (name, plain) in [
            ("a.img", "a.img"),
            ("file:a", "a"),
            ("file:a:b", "./a:b"),
            ("file:/a:b", "/a:b"),
            (r#"json:{"driver":"file","filename":"a:b"}"#, "./a:b"),
            ("/x/y", "/x/y"),
            ("nbd://h/x", "nbd://h/x"),
        ] {
            assert_eq!(
                parse(name.as_bytes()).unwrap(),
                Named {
                    name: plain.into(),
                    format: None
                }
            );
        }
    }

    #[test]
    fn trees_of_plain_files_are_understood() {
        for tree in [
            r#"json:{"driver":"qcow2","file":{"driver":"file","filename":"b.img"}}"#,
            r#"json:{"driver":"qcow2","file.driver":"file","file.filename":"b.img"}"#,
            r#"json:{"driver":"qcow2","file":{"filename":"b.img"}}"#,
        ] {
            let format = Some(Format::Qcow2);
            assert_eq!(
                parse(tree.as_bytes()).unwrap(),
                Named {
                    name: b"b.img".to_vec(),
                    format
                },
                "{tree}"
            );
        }
        let file = r#"json:{"driver":"file","filename":"b.img"}"#;
        assert_eq!(
            parse(file.as_bytes()).unwrap(),
            Named {
                name: b"b.img".to_vec(),
                format: None
            }
        );
    }

    #[test]
    fn trees_that_lead_elsewhere_are_refused() {
        for tree in [
            r#"json:{"driver":"nbd","server":{"type":"inet"}}"#,
            r#"json:{"driver":"qcow2","file":{"driver":"nbd","host":"h"}}"#,
            r#"json:{"driver":"qcow2","file":{"driver":"file","filename":"b","locking":"off"}}"#,
            r#"json:{"driver":"qcow2","backing":null,"file":{"driver":"file","filename":"b"}}"#,
            r#"json:{"driver":"qcow2","file":"node"}"#,
            r#"json:{"driver":"raw","offset":512,"file.filename":"b"}"#,
            "json:",
            "json:[]",
            "json:{}",
            "json:{",
        ] {
            assert_eq!(
                parse(tree.as_bytes()).unwrap_err().code,
                fault::core::REFUSED_NAME,
                "{tree}"
            );
        }
    }
}
