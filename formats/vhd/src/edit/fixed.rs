//! A fixed disk: its footer goes with its end, and at any moment the last sector of the file is one.
//!
//! ```text
//!  grow    old disk │ footer                       │ footer of the old disk
//!          old disk │ zeros ………………………… │ footer of the old disk
//!          new disk ……………………………………… │ footer of the new disk: one sector
//!  shrink  new disk │            …                 │ footer of the new disk: one sector
//!          new disk │ footer │      …              │ footer
//!          new disk │ footer │  cut
//! ```

use instar_disk::job::Preallocation;
use instar_disk::{Fault, File, Preallocate, Result, ZeroHow, fault};
use zerocopy::IntoBytes;

use super::SECTOR;
use crate::raw::RawFooter;

pub(super) struct Fixed<'h> {
    pub(super) file: File<'h>,
    /// Bytes of the disk.
    pub(super) old: u64,
    /// Where the footer is.
    pub(super) at: u64,
    pub(super) raw: RawFooter,
}

impl Fixed<'_> {
    pub(super) fn resize(&self, size: u64, next: &RawFooter, mode: Preallocation) -> Result<()> {
        if self.old > self.at {
            return Err(Fault::new(fault::vhd::NOT_VHD));
        }
        let file = &self.file;
        let at = self.at.max(size);
        if at > self.at {
            // It extends the file.
            file.write(at, self.raw.as_bytes())?;
            file.flush()?;
        }
        if size > self.old {
            let how = match mode {
                Preallocation::Off | Preallocation::Metadata => ZeroHow::MayUnmap,
                Preallocation::Falloc | Preallocation::Full => ZeroHow::Keep,
            };
            let added = size.saturating_sub(self.old);
            if let Err(fault) = file.zero(self.old, added, how) {
                self.take_back(at);
                return Err(fault);
            }
            file.flush()?;
        }
        file.write(at, next.as_bytes())?;
        file.flush()?;
        if at > size {
            file.write(size, next.as_bytes())?;
            file.flush()?;
            // A file that stays long is no fault of the change.
            let _ = file.resize(size.saturating_add(SECTOR), Preallocate::Off);
        }
        Ok(())
    }

    /// There is no room for a larger disk: the file gets its old length, if its old footer can be put back first.
    fn take_back(&self, at: u64) {
        if at > self.at {
            let written = self.file.write(self.at, self.raw.as_bytes());
            let flushed = written.and_then(|()| self.file.flush());
            let _ = flushed.and_then(|()| {
                let end = self.at.saturating_add(SECTOR);
                self.file.resize(end, Preallocate::Off)
            });
        }
    }
}
