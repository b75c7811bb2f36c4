//! Compare: bytes of two files, or of one and zeros, that never enter the guest.

use crate::buffer::Buffer;
use crate::file::{OpenFile, Outcome, bytes};
use crate::scan::is_zero;
use crate::stop::Stop;

/// What Compare is asked to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compare<'a> {
    pub(crate) one: (&'a OpenFile, u64),
    /// None: zeros.
    pub(crate) other: Option<(&'a OpenFile, u64)>,
    pub(crate) length: u64,
}

impl Compare<'_> {
    /// Compares; gives the bytes that are the same, from the start.
    pub(crate) fn carry_out(self, buffer: &mut Buffer, stop: &Stop) -> Outcome<u64> {
        match self.other {
            Some((other, offset)) if offset == self.one.1 && std::ptr::eq(other, self.one.0) => {
                Ok(self.length)
            }
            Some(other) => {
                let mut twin = buffer.take_twin();
                let same = self.against(other, buffer, &mut twin, stop);
                buffer.return_twin(twin);
                same
            }
            None => self.against_zeros(buffer, stop),
        }
    }

    fn against(
        self,
        (other, other_offset): (&OpenFile, u64),
        buffer: &mut Buffer,
        twin: &mut Buffer,
        stop: &Stop,
    ) -> Outcome<u64> {
        let (one, offset) = self.one;
        let mut done = 0;
        while done < self.length {
            stop.check()?;
            let step = STEP.min(self.length - done);
            let (_, left) = buffer.fill(one, offset + done, step)?;
            let (_, right) = twin.fill(other, other_offset + done, step)?;
            let same = same(left, right);
            done += same;
            if same < step {
                break;
            }
        }
        Ok(done)
    }

    fn against_zeros(self, buffer: &mut Buffer, stop: &Stop) -> Outcome<u64> {
        let (one, offset) = self.one;
        let mut done = 0;
        while done < self.length {
            stop.check()?;
            let step = STEP.min(self.length - done);
            let (_, found) = buffer.fill(one, offset + done, step)?;
            if !is_zero(found) {
                let zeros = found.iter().take_while(|byte| **byte == 0).count();
                return Ok(done + bytes(zeros));
            }
            done += step;
        }
        Ok(done)
    }
}

/// How many bytes are the same from the start of two pieces of one length.
fn same(left: &[u8], right: &[u8]) -> u64 {
    if left == right {
        return bytes(left.len());
    }
    let pairs = left.iter().zip(right);
    bytes(pairs.take_while(|(one, other)| one == other).count())
}

/// Bytes of each side that are looked at together. Ours: both fit a second-level cache.
const STEP: u64 = 128 << 10;

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn the_first_difference_counts() {
        let left = vec![7; 1000];
        assert_eq!(same(&left, &left), 1000);
        for at in [0, 1, 511, 512, 999] {
            let mut right = left.clone();
            right[at] = 8;
            assert_eq!(same(&left, &right), at as u64);
        }
    }
}
