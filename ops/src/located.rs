//! Where bytes of a disk are, all layers considered.

use instar_disk::{Encoded, Kind, Sealed, Slot};

/// Where bytes are, and how many alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    /// Bytes, at least 1.
    pub(crate) length: u64,
    pub(crate) from: Origin,
}

/// Where bytes come from. There is no layer below that could say more: what no layer has is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Data { slot: Slot, offset: u64 },
    Encoded(Encoded),
    Sealed(Sealed),
    Zero,
}

impl Origin {
    /// Where bytes of that kind come from, if nothing lies below them.
    pub(crate) const fn of(kind: Kind) -> Self {
        match kind {
            Kind::Zero { .. } | Kind::Unallocated => Self::Zero,
            Kind::Data { slot, offset } => Self::Data { slot, offset },
            Kind::Encoded(encoded) => Self::Encoded(encoded),
            Kind::Sealed(sealed) => Self::Sealed(sealed),
        }
    }
}
