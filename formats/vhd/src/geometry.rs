//! Cylinders, heads, sectors, and the disk sizes that they can express.

use instar_disk::fault::vhd as faults;
use instar_disk::{Fault, Result};

/// Sectors of the largest disk: the format's 2040 GiB.
pub(crate) const SECTORS_MAX: u64 = 0xff00_0000;

/// Sectors of the largest geometry: 65535 cylinders, 16 heads, 255 sectors a track.
const CHS_MAX: u64 = 65535 * 16 * 255;

/// Sectors above which tracks have 255 sectors.
const CHS_63_MAX: u64 = 65535 * 16 * 63;

/// A disk's geometry as ATA knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Geometry {
    /// Cylinders.
    pub cylinders: u16,
    /// Heads.
    pub heads: u8,
    /// Sectors a track.
    pub sectors: u8,
}

impl Geometry {
    /// The largest, which says nothing of the disk's size.
    pub const LARGEST: Self = Self {
        cylinders: 65535,
        heads: 16,
        sectors: 255,
    };

    /// Sectors that it addresses.
    #[must_use]
    pub fn total(self) -> u64 {
        u64::from(self.cylinders)
            .saturating_mul(u64::from(self.heads))
            .saturating_mul(u64::from(self.sectors))
    }

    /// The geometry that the specification's appendix computes for `total` sectors. It addresses at most that many.
    #[must_use]
    pub fn of_sectors(total: u64) -> Self {
        let total = total.min(CHS_MAX);
        let (sectors, heads) = if total >= CHS_63_MAX {
            (255, 16)
        } else {
            small(total)
        };
        let tracks = total.checked_div(u64::from(sectors)).unwrap_or(0);
        let cylinders = tracks.checked_div(u64::from(heads)).unwrap_or(0);
        Self {
            cylinders: u16::try_from(cylinders).unwrap_or(u16::MAX),
            heads,
            sectors,
        }
    }

    /// The geometry of the smallest disk of at least `wanted` sectors that has one; the largest geometry if none has.
    #[must_use]
    pub fn at_least(wanted: u64) -> Self {
        if wanted > CHS_MAX {
            return Self::LARGEST;
        }
        // Ends: from the largest geometry's sectors on the answer addresses them all. Steps are few, since a geometry
        // falls short of its argument by less than one cylinder.
        (wanted..=CHS_MAX)
            .map(|sectors| {
                if wanted == 0 {
                    Self::default()
                } else {
                    Self::of_sectors(sectors)
                }
            })
            .find(|geometry| geometry.total() >= wanted)
            .unwrap_or(Self::LARGEST)
    }
}

/// Sectors a track and heads for a disk below 65535 x 16 x 63 sectors.
fn small(total: u64) -> (u8, u8) {
    const TRACKS_A_HEAD: u64 = 1024;
    let tracks = total / 17;
    let heads = tracks.div_ceil(TRACKS_A_HEAD).max(4);
    if heads <= 16 && tracks < heads.saturating_mul(TRACKS_A_HEAD) {
        return (17, u8::try_from(heads).unwrap_or(16));
    }
    if total / 31 < 16 * TRACKS_A_HEAD {
        return (31, 16);
    }
    (63, 16)
}

/// Size in bytes and geometry of a new disk for `bytes`.
///
/// With `force_size` the size is `bytes`, rounded up to a sector, and the geometry the largest; else the size is the next
/// one that a geometry expresses, unless that is the largest.
///
/// # Errors
/// `SIZE` over 2040 GiB.
pub fn rounded_size(bytes: u64, force_size: bool) -> Result<(u64, Geometry)> {
    let sectors = bytes.div_ceil(512);
    let geometry = if force_size {
        Geometry::LARGEST
    } else {
        Geometry::at_least(sectors)
    };
    let sectors = if geometry.total() == CHS_MAX {
        sectors
    } else {
        geometry.total()
    };
    if sectors > SECTORS_MAX {
        return Err(Fault::new(faults::SIZE));
    }
    Ok((sectors.saturating_mul(512), geometry))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_ends_within_one_cylinder() {
        for wanted in [
            1,
            68,
            69,
            17 * 4 * 1024,
            1_000_000,
            CHS_63_MAX - 1,
            CHS_63_MAX,
            CHS_MAX - 1,
            CHS_MAX,
        ] {
            let geometry = Geometry::at_least(wanted);
            assert!(
                geometry.total() >= wanted && geometry.total() - wanted < 16 * 255,
                "{wanted} {geometry:?}"
            );
        }
        assert_eq!(Geometry::at_least(0), Geometry::default());
    }

    #[test]
    fn forced_and_huge_sizes_keep_their_sectors() {
        assert_eq!(rounded_size(1000, true).unwrap(), (1024, Geometry::LARGEST));
        assert_eq!(
            rounded_size(128 << 30, false).unwrap(),
            (128 << 30, Geometry::LARGEST)
        );
        assert_eq!(
            rounded_size(SECTORS_MAX * 512, false).unwrap().0,
            SECTORS_MAX * 512
        );
        assert_eq!(
            rounded_size(SECTORS_MAX * 512 + 1, true).unwrap_err().code,
            faults::SIZE
        );
    }
}
