//! Encoders: deflate, zlib and zstd.

use instar_disk::Codec;
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Status};
use zstd_safe::{CCtx, CParameter};

use crate::noise::is_noise;

/// Deflate level. Ours: measured on a file system and on text, zlib-rs gives a thousandth less than at level 6, 7% faster; level 4 is
/// another 7% faster and gives up to 3% less.
const DEFLATE_LEVEL: i32 = 5;
/// zstd level; qemu uses the library's default, which this is.
const ZSTD_LEVEL: i32 = 3;

/// Encodes units of one kind.
pub struct Encoder(Kind);

enum Kind {
    /// And how far back its streams refer.
    Deflate(Deflate, usize),
    Zstd(CCtx<'static>),
}

impl Encoder {
    /// An encoder for `codec`; deflate looks back at most 2^`window_bits` bytes (9 to 15). `None` when there is no memory
    /// for its state, and for what is only decoded.
    #[must_use]
    pub fn new(codec: Codec, window_bits: u8) -> Option<Self> {
        let deflate = |zlib_header: bool| {
            let window_bits = window_bits.clamp(9, 15);
            let bits = i32::from(window_bits);
            let deflate = Deflate::new_with_config(DeflateConfig {
                level: DEFLATE_LEVEL,
                window_bits: if zlib_header { bits } else { bits.saturating_neg() },
                mem_level: 9,
                ..DeflateConfig::default()
            });
            Kind::Deflate(deflate, 1 << window_bits)
        };
        Some(Self(match codec {
            Codec::Deflate => deflate(false),
            Codec::Zlib => deflate(true),
            Codec::Zstd => Kind::Zstd(zstd()?),
            Codec::WholeZlib | Codec::WholeZstd(_) | Codec::Adc | Codec::Bzip2 | Codec::Lzfse | Codec::Xz => {
                return None;
            }
        }))
    }

    /// Encodes `unit` into `into`; gives the bytes of the stream, or `None` when it does not fit. Where `into` is shorter than
    /// `unit`, what is as good as noise is not tried.
    pub fn encode(&mut self, unit: &[u8], into: &mut [u8]) -> Option<usize> {
        match &mut self.0 {
            Kind::Deflate(_, window) if into.len() < unit.len() && is_noise(unit, *window) => None,
            Kind::Deflate(deflate, _) => {
                deflate.reset();
                match deflate.compress(unit, into, DeflateFlush::Finish) {
                    Ok(Status::StreamEnd) => usize::try_from(deflate.total_out()).ok(),
                    _ => {
                        drain(deflate);
                        None
                    }
                }
            }
            Kind::Zstd(context) => context.compress2(into, unit).ok(),
        }
    }
}

/// Takes out what did not fit. zlib-rs 0.6.8 does not rewind its output on `reset`: what is left there shortens its buffer,
/// and after a few such units it panics.
fn drain(deflate: &mut Deflate) {
    let mut rest = [0; 4096];
    // Each turn takes out up to 4 KiB of the at most 128 KiB that mem_level 9 lets it hold, and then the end of the stream.
    for _ in 0..64 {
        match deflate.compress(&[], &mut rest, DeflateFlush::Finish) {
            Ok(Status::StreamEnd) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

fn zstd() -> Option<CCtx<'static>> {
    let mut context = CCtx::try_create()?;
    context
        .set_parameter(CParameter::CompressionLevel(ZSTD_LEVEL))
        .ok()?;
    Some(context)
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "numbers of our own choice")]
mod tests {
    use super::*;
    use crate::Decoder;

    fn text(length: usize) -> Vec<u8> {
        (0..length)
            .map(|i| b"the quick brown fox "[(i * i / 7) % 20])
            .collect()
    }

    #[test]
    fn every_codec_gives_back_what_it_was_given() {
        let mut decoder = Decoder::new();
        for codec in [Codec::Deflate, Codec::Zlib, Codec::Zstd, Codec::Deflate] {
            let mut encoder = Encoder::new(codec, 12).unwrap();
            for length in [512, 4096, 65536, 2 << 20] {
                let unit = text(length);
                let mut stored = vec![0; length + 1024];
                let used = encoder.encode(&unit, &mut stored).unwrap();
                assert!(used < length);
                let mut back = vec![0xaa; length];
                decoder.decode(codec, &stored, &mut back).unwrap();
                assert!(back == unit, "{codec:?} {length}");
            }
        }
    }

    #[test]
    fn data_that_does_not_shrink_is_not_encoded() {
        let mut state = 1_u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_le_bytes()[7]
        })
        .take(65536)
        .collect();
        for codec in [Codec::Deflate, Codec::Zlib, Codec::Zstd] {
            assert_eq!(
                Encoder::new(codec, 12)
                    .unwrap()
                    .encode(&noise, &mut vec![0; 65535]),
                None,
                "{codec:?}"
            );
        }
    }

    #[test]
    fn damaged_and_short_streams_are_refused() {
        let unit = text(65536);
        for codec in [Codec::Deflate, Codec::Zlib, Codec::Zstd] {
            let mut stored = vec![0; 65536];
            let used = Encoder::new(codec, 12)
                .unwrap()
                .encode(&unit, &mut stored)
                .unwrap();
            let mut decoder = Decoder::new();
            let mut back = vec![0; 65536];
            assert!(
                decoder.decode(codec, &stored[..used / 2], &mut back).is_err(),
                "{codec:?} cut"
            );
            assert!(decoder.decode(codec, &[], &mut back).is_err(), "{codec:?} empty");
            assert!(
                decoder.decode(codec, &[0xff; 64], &mut back).is_err(),
                "{codec:?} nonsense"
            );
            assert!(
                decoder.decode(codec, &stored, &mut vec![0; 65537]).is_err(),
                "{codec:?} too short"
            );
            assert!(
                decoder.decode(codec, &stored, &mut back).is_ok(),
                "{codec:?} still works"
            );
        }
    }

    #[test]
    fn units_that_do_not_fit_leave_nothing_behind() {
        let mut state = 1_u64;
        let mut noise = |length| {
            let next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                state.to_le_bytes()[7]
            };
            std::iter::repeat_with(next).take(length).collect::<Vec<u8>>()
        };
        for codec in [Codec::Deflate, Codec::Zlib, Codec::Zstd] {
            for length in [512, 8192] {
                let mut used = Encoder::new(codec, 12).unwrap();
                for _ in 0..40 {
                    assert_eq!(used.encode(&noise(length), &mut vec![0; length - 1]), None);
                }
                let unit = text(length);
                let (mut left, mut right) = (vec![0; length], vec![0; length]);
                let left_used = used.encode(&unit, &mut left).unwrap();
                let right_used = Encoder::new(codec, 12)
                    .unwrap()
                    .encode(&unit, &mut right)
                    .unwrap();
                assert!(left[..left_used] == right[..right_used], "{codec:?} {length}");
            }
        }
    }
}
