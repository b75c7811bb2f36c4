//! `dd`: a window of an image, counted in blocks, into a new image.
//!
//! The block size is a unit of counting only: it decides which bytes are copied, not how.

use alloc::vec::Vec;

use instar_abi::Report;
use instar_abi::job::{Create, Dd};
use instar_abi::report::{Done, Stage};
use instar_disk::FileKind;

use crate::copier::{self, Ground, Offload, Work};
use crate::formats;
use crate::outflow;
use crate::session::{At, Outcome, Session};
use crate::source::Source;

/// Carries out `dd`.
pub(crate) fn run(session: &Session<'_>, job: &Dd) -> Outcome<Done> {
    let source = Source::open(session, core::slice::from_ref(&job.source))?;
    let window = Window::of(source.size(), job);
    formats::fillable(&job.target, window.length).at(Stage::OpenTarget)?;
    if let (Some(stream), Create::Raw(_)) = (job.sent_to, &job.target.create) {
        let part = (window.shift, window.length);
        let done = outflow::raw(session.host, source, part, stream)?;
        return Ok(Done {
            skipped_past_end: window.skipped_past_end,
            ..done
        });
    }
    // Until that is said, no target grows.
    session.host.report(&Report::Size(window.length));
    let target = formats::create(session, &job.target, window.length, false, None).at(Stage::Create)?;
    let virtual_size = target.size();
    let device = session.file(job.target.slot).at(Stage::Create)?.kind() == FileKind::Block;
    let ground = if device && target.plain().is_some() {
        Ground::Unknown
    } else {
        Ground::Zero
    };
    let write_zeros = !target.begins_as_zeros();
    let Window {
        shift,
        length,
        skipped_past_end,
    } = window;
    let work = Work {
        source,
        target,
        shift,
        start: 0,
        length,
        sparse: None,
        ground,
        write_zeros,
        salvage: false,
        watched: false,
        offload: Offload::Copy,
        bitmaps: Vec::new(),
        hashing: None,
    };
    copier::run(session.host, work)?;
    outflow::finished(session, job.target.slot, job.sent_to)?;
    Ok(Done {
        virtual_size,
        skipped_past_end,
    })
}

/// The bytes of the source that are copied.
#[derive(Debug, PartialEq, Eq)]
struct Window {
    shift: u64,
    length: u64,
    skipped_past_end: bool,
}

impl Window {
    /// `count` includes the blocks that are skipped: qemu-img cuts the input to `count` blocks first and skips then.
    fn of(size: u64, job: &Dd) -> Self {
        let shift = job.skip.saturating_mul(job.block_size);
        let total = job
            .count
            .map_or(size, |count| size.min(count.saturating_mul(job.block_size)));
        Self {
            shift,
            length: total.saturating_sub(shift),
            skipped_past_end: shift > total,
        }
    }
}

#[cfg(test)]
mod tests {
    use instar_abi::Slot;
    use instar_abi::job::{Create, Encryption, RawCreate, Source, Target};
    use instar_disk::to_usize;

    use super::*;

    fn window(size: u64, block_size: u64, count: Option<u64>, skip: u64) -> (u64, u64, bool) {
        let source = Source::new(Slot(0), None);
        let create = Create::Raw(RawCreate::default());
        let target = Target {
            slot: Slot(1),
            create,
            existing: false,
            backing: None,
            encrypt: Encryption::default(),
            export: None,
        };
        let Window {
            shift,
            length,
            skipped_past_end,
        } = Window::of(
            size,
            &Dd {
                source,
                target,
                block_size,
                count,
                skip,
                sent_to: None,
            },
        );
        (shift, length, skipped_past_end)
    }

    #[test]
    fn dd_count_includes_the_skipped_blocks() {
        assert_eq!(window(1 << 20, 1024, Some(7), 5), (5120, 2048, false));
        assert_eq!(window(1 << 20, 1024, Some(3), 5), (5120, 0, true));
        assert_eq!(window(1 << 20, 1024, None, 1024), (1 << 20, 0, false));
        assert_eq!(window(1 << 20, 1024, None, 1025), (1_049_600, 0, true));
    }

    /// Every window over small numbers, against the words of the contract: of the first `count` blocks, those behind the first `skip`.
    #[test]
    fn every_window_over_small_numbers_is_what_its_words_say() {
        let mut windows = 0;
        for size in 0..=24 {
            for block_size in 1..=7 {
                for count in (0..=9).map(Some).chain([None]) {
                    for skip in 0..=9 {
                        let bytes = |blocks: u64| to_usize(blocks * block_size).unwrap();
                        let cut = count.map_or(usize::MAX, bytes);
                        let named: Vec<u64> = (0..size).take(cut).skip(bytes(skip)).collect();
                        let (shift, length, past) = window(size, block_size, count, skip);
                        let copied: Vec<u64> = (shift..shift + length).collect();
                        assert_eq!(
                            copied, named,
                            "{size} bs={block_size} count={count:?} skip={skip}"
                        );
                        let behind = (0..size).take(cut).count() < bytes(skip);
                        assert_eq!(past, behind, "{size} bs={block_size} count={count:?} skip={skip}");
                        windows += 1;
                    }
                }
            }
        }
        assert_eq!(windows, 25 * 7 * 11 * 10);
    }

    #[test]
    fn dd_products_saturate() {
        assert_eq!(window(1000, u64::MAX, Some(u64::MAX), 0), (0, 1000, false));
        assert_eq!(window(1000, 2 << 30, None, u64::MAX), (u64::MAX, 0, true));
    }
}
