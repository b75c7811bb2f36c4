//! Bytes that are shown in place of those in a file.

/// `shown` is what a reader sees at `at`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Veil {
    at: u64,
    shown: &'static [u8],
}

impl Veil {
    pub(crate) const fn new(at: u64, shown: &'static [u8]) -> Self {
        Self { at, shown }
    }

    /// Puts them into `bytes`, which were read at `offset`.
    pub(crate) fn cover(&self, offset: u64, bytes: &mut [u8]) {
        for (place, shown) in (self.at..).zip(self.shown) {
            let within = place
                .checked_sub(offset)
                .and_then(|within| usize::try_from(within).ok());
            if let Some(byte) = within.and_then(|within| bytes.get_mut(within)) {
                *byte = *shown;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Veil;

    #[test]
    fn it_covers_what_a_read_has_of_it() {
        let veil = Veil::new(4, b"abcd");
        for (offset, expected) in [
            (0, *b"....abcd"),
            (2, *b"..abcd.."),
            (4, *b"abcd...."),
            (6, *b"cd......"),
            (8, *b"........"),
        ] {
            let mut bytes = *b"........";
            veil.cover(offset, &mut bytes);
            assert_eq!(bytes, expected, "at {offset}");
        }
    }
}
