//! `name=value,name=value`: literal commas are doubled, a bare name is `on`, a bare `noNAME` is `off`.

/// One setting, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Left of `=`.
    pub name: Vec<u8>,
    /// Right of it, commas single.
    pub value: Vec<u8>,
    /// There was no `=`.
    pub bare: bool,
}

/// Whether a list may be joined to others by a comma: neither empty, nor beginning or ending with a lone comma.
#[must_use]
pub fn joinable(list: &[u8]) -> bool {
    let commas = list.iter().rev().take_while(|byte| **byte == b',').count();
    !list.is_empty() && list.first() != Some(&b',') && commas.is_multiple_of(2)
}

/// The settings of a list.
#[must_use]
pub fn settings(list: &[u8]) -> Vec<Setting> {
    let mut found = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let name_bytes = rest
            .iter()
            .position(|byte| matches!(byte, b'=' | b','))
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(name_bytes);
        if let Some(after) = after.strip_prefix(b"=") {
            let (value, used) = value(after);
            found.push(Setting {
                name: name.to_vec(),
                value,
                bare: false,
            });
            rest = after.get(used..).unwrap_or_default();
        } else {
            let (name, value) = match name.strip_prefix(b"no") {
                Some(name) => (name, b"off".to_vec()),
                None => (name, b"on".to_vec()),
            };
            found.push(Setting {
                name: name.to_vec(),
                value,
                bare: true,
            });
            rest = after.get(1..).unwrap_or_default();
        }
    }
    found
}

/// Whether the list asks for help: a bare `help` or `?` anywhere in it.
#[must_use]
pub fn asks_for_help(list: &[u8]) -> bool {
    settings(list)
        .iter()
        .any(|setting| setting.bare && matches!(setting.name.as_slice(), b"help" | b"?"))
}

/// A truth value.
#[must_use]
pub fn boolean(word: &[u8]) -> Option<bool> {
    match word {
        b"on" | b"yes" | b"true" | b"y" => Some(true),
        b"off" | b"no" | b"false" | b"n" => Some(false),
        _ => None,
    }
}

/// A value up to its comma, and the bytes used with that comma.
fn value(text: &[u8]) -> (Vec<u8>, usize) {
    let mut value = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        at += 1;
        if *byte == b',' {
            if text.get(at) != Some(&b',') {
                break;
            }
            at += 1;
        }
        value.push(*byte);
    }
    (value, at)
}

/// A value as it stands in a list of settings: commas are doubled.
#[must_use]
pub fn doubled(value: &[u8]) -> Vec<u8> {
    let mut doubled = Vec::with_capacity(value.len());
    for byte in value {
        doubled.push(*byte);
        if *byte == b',' {
            doubled.push(b',');
        }
    }
    doubled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &str) -> Vec<(String, String)> {
        settings(list.as_bytes())
            .into_iter()
            .map(|setting| {
                (
                    String::from_utf8(setting.name).unwrap(),
                    String::from_utf8(setting.value).unwrap(),
                )
            })
            .collect()
    }

    #[test]
    fn doubled_commas_are_one() {
        assert_eq!(
            pairs("a=1,,2,b=3"),
            [("a".into(), "1,2".into()), ("b".into(), "3".into())]
        );
        assert_eq!(pairs("a=,,"), [("a".into(), ",".into())]);
        assert_eq!(pairs("a=1,"), [("a".into(), "1".into())]);
    }

    #[test]
    fn bare_names_are_booleans() {
        assert_eq!(
            pairs("lazy,nolazy"),
            [("lazy".into(), "on".into()), ("lazy".into(), "off".into())]
        );
    }

    #[test]
    fn a_lone_comma_at_either_end_is_refused() {
        for (list, good) in [
            ("a", true),
            ("a,,", true),
            ("", false),
            (",a", false),
            ("a,", false),
        ] {
            assert_eq!(joinable(list.as_bytes()), good, "{list}");
        }
    }

    #[test]
    fn help_is_found_anywhere_but_not_in_values() {
        assert!(asks_for_help(b"help"));
        assert!(asks_for_help(b"a=b,?"));
        assert!(!asks_for_help(b"a=help"));
    }
}
