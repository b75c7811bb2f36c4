//! Archives in the format of POSIX (ustar), with one time and no owner but root.

use crate::date::Epoch;

/// Unit of the format.
const BLOCK: usize = 512;

/// Longest name that needs no prefix: spec.
const NAME: usize = 100;

/// An archive that is being written.
#[derive(Debug)]
pub struct Archive {
    bytes: Vec<u8>,
    epoch: Epoch,
}

impl Archive {
    #[must_use]
    pub const fn new(epoch: Epoch) -> Self {
        Self {
            bytes: Vec::new(),
            epoch,
        }
    }

    /// Adds a directory.
    ///
    /// # Errors
    /// If its name is too long.
    pub fn directory(&mut self, name: &str) -> Result<(), String> {
        self.header(&format!("{name}/"), 0o755, 0, b'5', "")
    }

    /// Adds a file.
    ///
    /// # Errors
    /// If its name is too long.
    pub fn file(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<(), String> {
        self.header(name, mode, content.len(), b'0', "")?;
        self.bytes.extend_from_slice(content);
        self.pad(BLOCK);
        Ok(())
    }

    /// Adds a symbolic link.
    ///
    /// # Errors
    /// If a name is too long.
    pub fn link(&mut self, name: &str, target: &str) -> Result<(), String> {
        self.header(name, 0o777, 0, b'2', target)
    }

    /// The archive, with its end.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&[0; 2 * BLOCK]);
        self.pad(20 * BLOCK);
        self.bytes
    }

    fn pad(&mut self, unit: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(unit), 0);
    }

    fn header(&mut self, name: &str, mode: u32, size: usize, kind: u8, target: &str) -> Result<(), String> {
        if name.len() > NAME || target.len() > NAME {
            return Err(format!("{name}: a name in an archive has at most {NAME} bytes"));
        }
        let epoch = self.epoch.0;
        let mut block = Vec::with_capacity(BLOCK);
        let mut field = |text: &str, length: usize| {
            let end = block.len() + length;
            block.extend_from_slice(text.as_bytes());
            block.resize(end, 0);
        };
        field(name, NAME);
        field(&format!("{mode:07o}"), 8);
        field("0000000", 8);
        field("0000000", 8);
        field(&format!("{size:011o}"), 12);
        field(&format!("{epoch:011o}"), 12);
        // The sum counts its own field as spaces.
        field("        ", 8);
        field(std::str::from_utf8(&[kind]).unwrap_or_default(), 1);
        field(target, NAME);
        field("ustar\0", 6);
        field("00", 2);
        field("root", 32);
        field("root", 32);
        field("", BLOCK - 329);
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        let sum = format!("{sum:06o}\0 ");
        for (place, byte) in block.iter_mut().skip(148).zip(sum.bytes()) {
            *place = byte;
        }
        self.bytes.extend_from_slice(&block);
        Ok(())
    }
}
