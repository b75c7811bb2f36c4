//! What the decoders from slice to slice share: a stream that is used up, and a unit that is filled and looked back into.

use crate::BadStream;

/// What is left of a stream.
pub(crate) struct From<'s>(pub(crate) &'s [u8]);

impl<'s> From<'s> {
    pub(crate) fn byte(&mut self) -> Result<u8, BadStream> {
        let (first, rest) = self.0.split_first().ok_or(BadStream)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Result<&'s [u8], BadStream> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(BadStream)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], BadStream> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(BadStream)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(crate) fn le32(&mut self) -> Result<u32, BadStream> {
        self.array().map(u32::from_le_bytes)
    }
}

/// A unit, and how much of it is filled.
pub(crate) struct Into<'u> {
    unit: &'u mut [u8],
    at: usize,
}

impl<'u> Into<'u> {
    pub(crate) const fn new(unit: &'u mut [u8]) -> Self {
        Self { unit, at: 0 }
    }

    pub(crate) const fn filled(&self) -> usize {
        self.at
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.at >= self.unit.len()
    }

    /// What was filled from byte `start` on.
    pub(crate) fn since(&self, start: usize) -> &[u8] {
        self.unit.get(start..self.at).unwrap_or_default()
    }

    /// Appends bytes.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), BadStream> {
        let end = self.at.checked_add(bytes.len()).ok_or(BadStream)?;
        self.unit
            .get_mut(self.at..end)
            .ok_or(BadStream)?
            .copy_from_slice(bytes);
        self.at = end;
        Ok(())
    }

    /// Appends a byte so many times.
    pub(crate) fn fill(&mut self, byte: u8, count: usize) -> Result<(), BadStream> {
        let end = self.at.checked_add(count).ok_or(BadStream)?;
        self.unit.get_mut(self.at..end).ok_or(BadStream)?.fill(byte);
        self.at = end;
        Ok(())
    }

    /// Appends `length` bytes that begin `distance` bytes back; they may run into themselves.
    pub(crate) fn repeat(&mut self, distance: usize, length: usize) -> Result<(), BadStream> {
        let start = self.at.checked_sub(distance).ok_or(BadStream)?;
        let end = self.at.checked_add(length).ok_or(BadStream)?;
        if distance == 0 || end > self.unit.len() {
            return Err(BadStream);
        }
        // Each step doubles what there is to copy.
        while self.at < end {
            let step = self.at.saturating_sub(start).min(end.saturating_sub(self.at));
            let from = start..start.saturating_add(step);
            self.unit.copy_within(from, self.at);
            self.at = self.at.saturating_add(step);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Into;

    #[test]
    fn a_repetition_may_run_into_itself() {
        let mut unit = [0; 12];
        let mut into = Into::new(&mut unit);
        into.put(b"abc").unwrap();
        into.repeat(3, 8).unwrap();
        assert!(into.repeat(12, 1).is_err() && into.repeat(0, 1).is_err() && into.repeat(1, 2).is_err());
        into.repeat(11, 1).unwrap();
        assert!(into.is_full() && into.repeat(1, 1).is_err());
        assert_eq!(&unit, b"abcabcabcaba");
    }
}
