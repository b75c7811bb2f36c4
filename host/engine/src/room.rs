//! Room on a filesystem.

use instar_abi::FileKind;
use rustix::fs::fstatvfs;

use crate::file::OpenFile;

/// Whether the filesystem has so many bytes free, with `more` that could be; where it does not say, trying will tell. Else
/// everybody's space would be used up, for a moment, by a reservation that fails in the end.
pub(crate) fn has_room(file: &OpenFile, bytes: u64, more: u64) -> bool {
    file.kind == FileKind::Block
        || fstatvfs(&file.fd).map_or(true, |space| {
            let free = space.f_bfree.saturating_mul(space.f_frsize);
            space.f_blocks == 0 || free.saturating_add(more) >= bytes
        })
}
