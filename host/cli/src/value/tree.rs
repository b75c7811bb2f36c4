//! Block-layer trees that a user writes, `driver=qcow2,file.filename=X` or `json:{…}`, flattened to dotted names.

use serde_json::Value;

use super::list;

/// A tree, flattened: `file.filename` and its value.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tree(Vec<(Vec<u8>, Vec<u8>)>);

/// Depth of nesting that is read. Ours; a sensible tree has two levels.
const DEPTH: usize = 8;

impl Tree {
    /// The tree of `--image-opts`.
    ///
    /// # Errors
    /// A message, when the first word is no setting.
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
            tree.set(setting.name, setting.value);
        }
        Ok(tree)
    }

    /// The tree of `json:{…}`, given what follows the colon.
    ///
    /// # Errors
    /// A message.
    pub fn from_json(text: &[u8]) -> Result<Self, Vec<u8>> {
        let value: Value = serde_json::from_slice(text)
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
        let at = self.0.iter().position(|(known, _)| known == name.as_bytes())?;
        Some(self.0.remove(at).1)
    }

    /// Whether any name starts with `prefix`.
    #[must_use]
    pub fn has_prefix(&self, prefix: &str) -> bool {
        self.0.iter().any(|(name, _)| name.starts_with(prefix.as_bytes()))
    }

    /// What nobody took.
    #[must_use]
    pub fn left_over(&self) -> Option<(&[u8], &[u8])> {
        self.0
            .first()
            .map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    fn set(&mut self, name: Vec<u8>, value: Vec<u8>) {
        self.0.retain(|(known, _)| *known != name);
        self.0.push((name, value));
    }

    fn flatten(&mut self, name: &str, value: &Value, depth: usize) -> Result<(), Vec<u8>> {
        if depth > DEPTH {
            return Err(b"The JSON options are nested too deeply".to_vec());
        }
        let text = match value {
            Value::Object(members) => {
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
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    self.flatten(&format!("{name}.{index}"), value, depth + 1)?;
                }
                return Ok(());
            }
            Value::Null => String::new(),
            Value::Bool(true) => "on".to_owned(),
            Value::Bool(false) => "off".to_owned(),
            Value::Number(number) => number.to_string(),
            Value::String(text) => text.clone(),
        };
        self.set(name.as_bytes().to_vec(), text.into_bytes());
        Ok(())
    }
}
