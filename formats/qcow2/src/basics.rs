//! The fields of a header on which the meaning of all others depends.

use instar_disk::fault::qcow2 as faults;
use instar_disk::{Fault, Result};

use crate::features::Features;
use crate::raw::{self, RawHeader, limit};

/// Those fields, each valid by itself.
pub(crate) struct Basics {
    pub(crate) version: u32,
    pub(crate) cluster_bits: u32,
    pub(crate) header_length: u32,
    pub(crate) features: Features,
    pub(crate) refcount_order: u32,
    pub(crate) encryption: u32,
}

impl Basics {
    pub(crate) fn parse(raw: &RawHeader) -> Result<Self> {
        if raw.magic.get() != raw::MAGIC {
            return Err(Fault::new(faults::NOT_QCOW2));
        }
        let version = raw.version.get();
        if version != 2 && version != 3 {
            return Err(Fault::new(faults::VERSION).with([u64::from(version)]));
        }
        let cluster_bits = raw.cluster_bits.get();
        if !(limit::MIN_CLUSTER_BITS..=limit::MAX_CLUSTER_BITS).contains(&cluster_bits) {
            return Err(Fault::new(faults::CLUSTER_BITS).with([u64::from(cluster_bits)]));
        }
        let mut basics = Self {
            version,
            cluster_bits,
            header_length: raw::HEADER_V2,
            features: Features::default(),
            refcount_order: 4,
            encryption: raw.crypt_method.get(),
        };
        // In version 2 those bytes are no header: whatever they hold, they mean nothing.
        if version == 3 {
            basics.header_length = raw.header_length.get();
            basics.features = Features {
                incompatible: raw.incompatible_features.get(),
                compatible: raw.compatible_features.get(),
                autoclear: raw.autoclear_features.get(),
            };
            basics.refcount_order = raw.refcount_order.get();
            if basics.header_length < raw::HEADER_V3 {
                return Err(Fault::new(faults::HEADER_SHORT).with([u64::from(basics.header_length)]));
            }
        }
        let cluster_size = 1_u64 << cluster_bits;
        if u64::from(basics.header_length) > cluster_size {
            let length = u64::from(basics.header_length);
            return Err(Fault::new(faults::HEADER_LONG).with([length, cluster_size]));
        }
        Ok(basics)
    }
}
