//! What becomes of clusters that are added.

use instar_disk::Resizing;
use instar_disk::job::Preallocation;

use crate::edit::transaction::Look;

/// What every cluster that is added gets for an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// None: it reads as zero by itself.
    Nothing,
    /// One that hides the layer below.
    Zero,
    /// A place; `zero`: which reads as zero, whatever it holds; `subclusters`: all of which are allocated.
    Data { zero: bool, subclusters: bool },
}

impl Fill {
    /// What becomes of the clusters that are added; `apart`: data stands in a file of its own.
    pub(super) fn of(look: &Look<'_>, to: &Resizing<'_>, apart: bool, sealed: bool) -> Self {
        let old = look.header.virtual_size();
        let raw = look.header.features.data_file_raw();
        let shown = to.below > old;
        match to.preallocation {
            _ if to.size == old => Self::Nothing,
            Preallocation::Off if !raw && shown => Self::Zero,
            Preallocation::Off if !raw => Self::Nothing,
            // What is reserved for encrypted data is noise.
            _ if sealed => Self::Data {
                zero: look.header.version >= 3,
                subclusters: false,
            },
            Preallocation::Falloc | Preallocation::Full if !apart => Self::Data {
                zero: false,
                subclusters: look.layout.extended_l2() && shown,
            },
            _ => Self::Data {
                zero: shown,
                subclusters: false,
            },
        }
    }
}
