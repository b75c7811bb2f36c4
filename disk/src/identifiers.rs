//! Identifiers for new images: random to look at, the same for the same seed.

use instar_abi::job::Seed;

/// A stream of identifiers made from a job's seed.
///
/// xoshiro256** over a state that absorbs the seed and a label, so that two formats made from one seed do not share
/// identifiers. It is not a source of secrets and need not be one: identifiers only distinguish images.
#[derive(Clone, Debug)]
pub struct Identifiers {
    state: [u64; 4],
}

impl Identifiers {
    /// A stream for `label`, usually the format's name.
    #[must_use]
    pub fn new(seed: &Seed, label: &[u8]) -> Self {
        let mut pool = seed.unix_seconds;
        for chunk in seed.random.chunks(8).chain(label.chunks(8)) {
            let mut word = [0_u8; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            pool = mix(pool ^ u64::from_le_bytes(word));
        }
        let mut state = [0; 4];
        for word in &mut state {
            pool = mix(pool);
            *word = pool;
        }
        Self { state }
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// The next version 4 UUID, in the byte order of RFC 9562.
    pub fn uuid(&mut self) -> [u8; 16] {
        let bits = (u128::from(self.next_u64()) << 64) | u128::from(self.next_u64());
        let version = (bits & !(0xf << 76)) | (0x4 << 76);
        let variant = (version & !(0x3 << 62)) | (0x2 << 62);
        variant.to_be_bytes()
    }

    /// The next version 4 UUID as a Microsoft GUID: its first three fields little-endian.
    pub fn guid(&mut self) -> [u8; 16] {
        let [a, b, c, d, e, f, g, h, rest @ ..] = self.uuid();
        let [i, j, k, l, m, n, o, p] = rest;
        [d, c, b, a, f, e, h, g, i, j, k, l, m, n, o, p]
    }
}

/// One round of SplitMix64.
const fn mix(value: u64) -> u64 {
    let a = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let b = (a ^ (a >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let c = (b ^ (b >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    c ^ (c >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_identifiers_and_labels_keep_them_apart() {
        let seed = Seed {
            random: [7; 32],
            unix_seconds: 1,
        };
        let mut one = Identifiers::new(&seed, b"vdi");
        let mut two = Identifiers::new(&seed, b"vdi");
        assert_eq!(one.uuid(), two.uuid());
        assert_ne!(one.uuid(), one.uuid());
        assert_ne!(
            Identifiers::new(&seed, b"vpc").uuid(),
            Identifiers::new(&seed, b"vdi").uuid()
        );
        assert_ne!(
            Identifiers::new(&Seed::default(), b"vdi").uuid(),
            Identifiers::new(&seed, b"vdi").uuid()
        );
    }

    #[test]
    fn uuids_say_that_they_are_random() {
        let mut stream = Identifiers::new(&Seed::default(), b"");
        for _ in 0..100 {
            let uuid = stream.uuid();
            assert_eq!((uuid[6] >> 4, uuid[8] >> 6), (4, 2));
            let guid = stream.guid();
            assert_eq!((guid[7] >> 4, guid[8] >> 6), (4, 2));
        }
    }
}
