//! What comes before any change: an image that another writer left unfinished is checked and repaired.

use instar_disk::fault::qed as faults;
use instar_disk::{Fault, File, Result};
use zerocopy::{FromZeros, IntoBytes};

use crate::header::Header;
use crate::raw::{RawHeader, feature};
use crate::scan::scan;

/// The header of the image in `file`, which is about to be changed. If it is marked for a check, entries that lead nowhere are removed
/// first, and the mark after that.
///
/// # Errors
/// What is wrong with the header; `SHARED` for clusters that are used twice in a marked image; the host's.
pub(crate) fn clean(file: File<'_>) -> Result<(Header, RawHeader)> {
    let (header, _) = Header::read(&file)?;
    if header.need_check {
        let tally = scan(file, &header, true)?;
        refuse_shared(file, tally.shared)?;
    }
    if header.need_check || header.autoclear {
        clear_marks(file, true)?;
    }
    Header::read(&file)
}

/// Refuses an image in which so many clusters are used twice: what is written to one of them would show up elsewhere.
///
/// # Errors
/// `SHARED`.
pub(crate) fn refuse_shared(file: File<'_>, shared: u64) -> Result<()> {
    if shared == 0 {
        return Ok(());
    }
    Err(Fault::new(faults::SHARED).with([shared]).in_file(file.slot()))
}

/// Takes from the header what a writer takes from it, if anything is there: features that would have to be kept up, and, if the image is
/// `sound`, the mark that asks for a check.
pub(crate) fn clear_marks(file: File<'_>, sound: bool) -> Result<()> {
    let mut raw = RawHeader::new_zeroed();
    file.read_padded(0, raw.as_mut_bytes())?;
    let features = raw.features.get();
    let kept = if sound {
        features & !feature::NEED_CHECK
    } else {
        features
    };
    if kept == features && raw.autoclear_features.get() == 0 {
        return Ok(());
    }
    raw.features.set(kept);
    raw.autoclear_features.set(0);
    file.flush()?;
    file.write(0, raw.as_bytes())?;
    file.flush()
}
