//! Checksums of foreign formats, computed apart from the code under test: an edit that does not make them right again
//! shows nothing but a wrong checksum.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A file of a foreign format being edited.
#[derive(Debug)]
pub struct Edited {
    file: File,
}

impl Edited {
    /// An existing file.
    ///
    /// # Panics
    ///
    /// If it cannot be opened.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        Self {
            file: File::options().read(true).write(true).open(path).unwrap(),
        }
    }

    /// Writes bytes.
    ///
    /// # Panics
    ///
    /// If they cannot be written.
    pub fn put(&self, offset: u64, bytes: &[u8]) -> &Self {
        self.file.write_all_at(bytes, offset).unwrap();
        self
    }

    /// Reads bytes.
    ///
    /// # Panics
    ///
    /// If the file ends before.
    #[must_use]
    pub fn get(&self, offset: u64, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset).unwrap();
        bytes
    }

    /// Sets the file's length.
    ///
    /// # Panics
    ///
    /// If it cannot be set.
    pub fn length(&self, length: u64) -> &Self {
        self.file.set_len(length).unwrap();
        self
    }

    /// The file's length.
    ///
    /// # Panics
    ///
    /// If the system cannot say.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.file.metadata().unwrap().len()
    }

    /// Makes the checksum of a VHD footer at `offset` right.
    pub fn seal_vhd_footer(&self, offset: u64) -> &Self {
        self.seal_vhd(offset, 512, 64)
    }

    /// Makes the checksum of the dynamic header at byte 512 of a VHD right.
    pub fn seal_vhd_header(&self) -> &Self {
        self.seal_vhd(512, 1024, 36)
    }

    fn seal_vhd(&self, offset: u64, length: usize, field: u64) -> &Self {
        self.put(offset + field, &[0; 4]);
        let sum: u32 = self.get(offset, length).iter().map(|byte| u32::from(*byte)).sum();
        self.put(offset + field, &(!sum).to_be_bytes())
    }

    /// Makes the checksum of the VHDX structure of `length` bytes at `offset` right.
    pub fn seal_vhdx(&self, offset: u64, length: usize) -> &Self {
        self.put(offset + 4, &[0; 4]);
        let sum = crc32c(&self.get(offset, length));
        self.put(offset + 4, &sum.to_le_bytes())
    }
}

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg()))
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_crc_is_castagnolis() {
        assert_eq!(super::crc32c(b"123456789"), 0xe306_9283);
    }
}
