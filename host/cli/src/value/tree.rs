//! Block-layer trees that a user writes, `driver=qcow2,file.filename=X` or `json:{…}`, flattened to dotted names.

use serde_json::Value as Json;

use super::list;

/// A tree, flattened: `file.filename` and its value.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tree(Vec<(Vec<u8>, Value)>);

/// A value as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    pub text: Vec<u8>,
    /// It was a number of JSON.
    pub number: bool,
}

impl Leaf {
    /// As it is shown.
    #[must_use]
    pub fn json(&self) -> crate::json::Json {
        let number = str::from_utf8(&self.text).ok().and_then(|text| text.parse().ok());
        match number.filter(|_| self.number) {
            Some(number) => crate::json::Json::Number(number),
            None => crate::json::Json::Text(self.text.clone()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    /// Text, also of truth values.
    Text(Vec<u8>),
    /// The text of a number.
    Number(Vec<u8>),
    /// `null`.
    Null,
}

/// Depth of nesting that is read. Ours; a sensible tree has two levels.
const DEPTH: usize = 8;

impl Tree {
    /// The tree of `--image-opts`.
    ///
    /// # Errors
    /// A message if the first word is not a setting.
    pub fn from_options(text: &[u8]) -> Result<Self, Vec<u8>> {
        let settings = list::settings(text);
        if let Some(first) = settings.first().filter(|setting| setting.bare) {
            let name = &first.name;
            return Err([
                b"Cannot find device='",
                name.as_slice(),
                b"' nor node-name='",
                name,
                b"'",
            ]
            .concat());
        }
        let mut tree = Self::default();
        for setting in settings {
            tree.set(setting.name, Value::Text(setting.value));
        }
        Ok(tree)
    }

    /// The tree of `json:{…}`, given what follows the colon.
    ///
    /// # Errors
    /// A message.
    pub fn from_json(text: &[u8]) -> Result<Self, Vec<u8>> {
        let value: Json = serde_json::from_slice(text)
            .map_err(|error| format!("Could not parse the JSON options: {error}").into_bytes())?;
        if !value.is_object() {
            return Err(b"Invalid JSON object given".to_vec());
        }
        let mut tree = Self::default();
        tree.flatten("", &value, 0)?;
        Ok(tree)
    }

    /// Takes a value out.
    pub fn take(&mut self, name: &str) -> Option<Vec<u8>> {
        self.take_leaf(name).map(|leaf| leaf.text)
    }

    /// Takes a value out as it was written.
    pub fn take_leaf(&mut self, name: &str) -> Option<Leaf> {
        let at = self
            .0
            .iter()
            .position(|(known, value)| known == name.as_bytes() && *value != Value::Null)?;
        match self.0.remove(at).1 {
            Value::Text(text) => Some(Leaf { text, number: false }),
            Value::Number(text) => Some(Leaf { text, number: true }),
            Value::Null => None,
        }
    }

    /// Takes a `null` out, or an empty value, which once meant the same.
    pub fn take_null(&mut self, name: &str) -> bool {
        let known = self.0.len();
        self.0.retain(|(known, value)| {
            known != name.as_bytes() || !matches!(value, Value::Null) && *value != Value::Text(Vec::new())
        });
        self.0.len() < known
    }

    /// Takes out what is below `prefix`, which ends with a dot.
    #[must_use]
    pub fn take_below(&mut self, prefix: &str) -> Self {
        let (below, rest) = std::mem::take(&mut self.0)
            .into_iter()
            .partition(|(name, _)| name.starts_with(prefix.as_bytes()));
        self.0 = rest;
        let mut below = Self(below);
        for (name, _) in &mut below.0 {
            name.drain(..prefix.len());
        }
        below
    }

    /// Whether any name starts with `prefix`.
    #[must_use]
    pub fn has_prefix(&self, prefix: &str) -> bool {
        self.0.iter().any(|(name, _)| name.starts_with(prefix.as_bytes()))
    }

    /// Whether the value of that name is the name of a server.
    #[must_use]
    pub fn leads_to_server(&self, name: &str) -> bool {
        let found = self.0.iter().find(|(known, _)| known == name.as_bytes());
        matches!(found, Some((_, Value::Text(text))) if super::remote::named(text).is_some())
    }

    /// The settings that were not used.
    #[must_use]
    pub fn left_over(&self) -> Option<&[u8]> {
        self.0.first().map(|(name, _)| name.as_slice())
    }

    fn set(&mut self, name: Vec<u8>, value: Value) {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value));
    }

    fn flatten(&mut self, name: &str, value: &Json, depth: usize) -> Result<(), Vec<u8>> {
        if depth > DEPTH {
            return Err(b"The JSON options are nested too deeply".to_vec());
        }
        let text = match value {
            Json::Object(members) => {
                for (key, value) in members {
                    let inner = if name.is_empty() {
                        key.clone()
                    } else {
                        format!("{name}.{key}")
                    };
                    self.flatten(&inner, value, depth + 1)?;
                }
                return Ok(());
            }
            Json::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    self.flatten(&format!("{name}.{index}"), value, depth + 1)?;
                }
                return Ok(());
            }
            Json::Null => None,
            Json::Bool(true) => Some("on".to_owned()),
            Json::Bool(false) => Some("off".to_owned()),
            Json::Number(number) => {
                self.set(
                    name.as_bytes().to_vec(),
                    Value::Number(number.to_string().into_bytes()),
                );
                return Ok(());
            }
            Json::String(text) => Some(text.clone()),
        };
        let leaf = text.map_or(Value::Null, |text| Value::Text(text.into_bytes()));
        self.set(name.as_bytes().to_vec(), leaf);
        Ok(())
    }
}
