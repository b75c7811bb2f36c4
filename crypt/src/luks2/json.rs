//! The JSON as it stands. Members that are not here say nothing about the meaning of the sectors.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Deserialize;

/// All of it.
#[derive(Deserialize)]
pub(super) struct Json {
    pub(super) keyslots: BTreeMap<String, RawSlot>,
    pub(super) segments: BTreeMap<String, RawSegment>,
    pub(super) digests: BTreeMap<String, RawDigest>,
    pub(super) config: RawConfig,
}

#[derive(Deserialize)]
pub(super) struct RawConfig {
    #[serde(default)]
    pub(super) requirements: Option<RawRequirements>,
}

#[derive(Deserialize)]
pub(super) struct RawRequirements {
    #[serde(default)]
    pub(super) mandatory: Vec<String>,
}

#[derive(Deserialize)]
pub(super) struct RawSegment {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) offset: String,
    pub(super) size: String,
    #[serde(default)]
    pub(super) iv_tweak: String,
    #[serde(default)]
    pub(super) encryption: String,
    #[serde(default)]
    pub(super) sector_size: u32,
    #[serde(default)]
    pub(super) integrity: Option<RawIntegrity>,
}

#[derive(Deserialize)]
pub(super) struct RawIntegrity {
    #[serde(rename = "type")]
    pub(super) kind: String,
}

#[derive(Deserialize)]
pub(super) struct RawSlot {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) key_size: u32,
    #[serde(default)]
    pub(super) priority: Option<u8>,
    #[serde(default)]
    pub(super) af: Option<RawSplitter>,
    pub(super) area: RawArea,
    #[serde(default)]
    pub(super) kdf: Option<RawDerivation>,
}

#[derive(Deserialize)]
pub(super) struct RawSplitter {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) stripes: u32,
    pub(super) hash: String,
}

#[derive(Deserialize)]
pub(super) struct RawArea {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) offset: String,
    pub(super) size: String,
    #[serde(default)]
    pub(super) encryption: String,
    #[serde(default)]
    pub(super) key_size: u32,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum RawDerivation {
    Pbkdf2 {
        hash: String,
        iterations: u32,
        salt: String,
    },
    Argon2i {
        time: u32,
        memory: u32,
        cpus: u32,
        salt: String,
    },
    Argon2id {
        time: u32,
        memory: u32,
        cpus: u32,
        salt: String,
    },
    #[serde(other)]
    Unknown,
}

#[derive(Deserialize)]
pub(super) struct RawDigest {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) keyslots: Vec<String>,
    pub(super) segments: Vec<String>,
    pub(super) hash: String,
    pub(super) iterations: u32,
    pub(super) salt: String,
    pub(super) digest: String,
}
