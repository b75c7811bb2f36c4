//! What `info` shows.

use alloc::vec::Vec;

use instar_disk::report::{Info, Specific, VmdkExtentInfo, VmdkInfo};
use instar_disk::{Format, Image, ImageText};

use crate::image::Vmdk;

impl Vmdk<'_> {
    pub(crate) fn info(&self) -> Info {
        let extents = self.extents.iter().map(|extent| {
            let origin = extent.origin.as_ref();
            VmdkExtentInfo {
                name: origin.map(|(name, _)| ImageText::new(name)),
                slot: Some(extent.file.slot()),
                virtual_size: extent.bytes,
                format: ImageText::new(origin.map_or("", |(_, word)| word).as_bytes()),
                cluster_size: extent.kind.grain(),
                compressed: extent.kind.is_compressed(),
            }
        });
        Info {
            slot: self.file.slot(),
            format: Format::Vmdk,
            virtual_size: self.size(),
            cluster_size: self.common_grain(),
            encrypted: false,
            // qemu-img says it of the extent only.
            compressed: false,
            dirty: false,
            backing: self.backing(),
            export_size: None,
            snapshots: Vec::new(),
            specific: Some(Specific::Vmdk(VmdkInfo {
                create_type: ImageText::new(&self.create_type),
                cid: self.cid,
                parent_cid: self.parent_cid,
                extents: extents.collect(),
            })),
        }
    }

    /// The grain, when all extents are of one kind.
    fn common_grain(&self) -> Option<u64> {
        let traits = |extent: &crate::extent::Extent<'_>| (extent.kind.grain(), extent.kind.is_compressed());
        let first = self.extents.first().map(traits)?;
        self.extents
            .iter()
            .all(|extent| traits(extent) == first)
            .then_some(first.0)?
    }
}
