//! JSON as the reference tool prints it: its order of keys, its spacing, its escapes.

mod print;
mod text;

pub use print::{one_line, pretty};
pub use text::lossy_codepoints;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// true, false.
    Bool(bool),
    Number(i128),
    /// Text, not necessarily UTF-8; it is printed as valid JSON whatever it is.
    Text(Vec<u8>),
    /// `[…]`
    List(Vec<Self>),
    /// `{…}`
    Object(Object),
}

/// Members in the order in which they were set; [`Object::in_order`] gives the order in which they are printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object(Vec<(&'static str, Json)>);

/// Buckets of the reference tool's dictionaries.
const BUCKETS: u32 = 512;

impl Object {
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// With one more member.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<Json>) -> Self {
        self.0.push((key, value.into()));
        self
    }

    /// With one more member, if there is a value.
    #[must_use]
    pub fn with_some(self, key: &'static str, value: Option<impl Into<Json>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// The members by bucket of the reference tool's hash; in one bucket the newest first.
    #[must_use]
    pub fn in_order(&self) -> Vec<(&'static str, &Json)> {
        let mut members: Vec<_> = self.0.iter().rev().map(|(key, value)| (*key, value)).collect();
        members.sort_by_key(|(key, _)| bucket(key));
        members
    }

    /// Whether there are no members.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The bucket of a key: a shift-and-add hash over its bytes, then one step of a linear congruential generator.
fn bucket(key: &str) -> u32 {
    let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
    let mut hash = 0x238F_13AF_u32.wrapping_mul(length);
    for (byte, index) in key.bytes().zip(0_u32..) {
        hash = hash.wrapping_add(u32::from(byte) << (index.wrapping_mul(5) % 24));
    }
    1_103_515_243_u32.wrapping_mul(hash).wrapping_add(12345) % BUCKETS
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Json {
    fn from(value: u64) -> Self {
        Self::Number(value.into())
    }
}

impl From<u32> for Json {
    fn from(value: u32) -> Self {
        Self::Number(value.into())
    }
}

impl From<i64> for Json {
    fn from(value: i64) -> Self {
        Self::Number(value.into())
    }
}

impl From<&str> for Json {
    fn from(value: &str) -> Self {
        Self::Text(value.as_bytes().to_vec())
    }
}

impl From<&[u8]> for Json {
    fn from(value: &[u8]) -> Self {
        Self::Text(value.to_vec())
    }
}

impl From<Vec<Self>> for Json {
    fn from(value: Vec<Self>) -> Self {
        Self::List(value)
    }
}

impl From<Object> for Json {
    fn from(value: Object) -> Self {
        Self::Object(value)
    }
}

#[cfg(test)]
mod tests;
