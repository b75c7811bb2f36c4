//! One look at an image that may be anything.

use std::path::Path;

use instar_disk::{Encoded, File, Kind, Mapping, Opened, Result};

use super::Format;
use crate::{Asked, Counting, Native, heap, words};

/// Mappings that are looked at from the start of a damaged image. Ours: enough to see every table of a small one.
const MAPPINGS: usize = 1024;

/// Bytes that one stream may decode to: the contract of `Image::map`.
const UNIT_MAX: u32 = 64 << 20;

/// Opens `path`, describes it, lists its snapshots and maps its start, its end and places between; gives its size.
///
/// # Errors
/// The first fault.
///
/// # Panics
/// If a call asks for more than `format` allows, a fault has no words, or a mapping breaks the contract.
pub fn walk(format: &Format, path: &Path) -> Result<u64> {
    let native = Native::new(1);
    let host = Counting::new(&native);
    let facts = native.source(path);
    let outcome = look(format, &host, File::new(&host, facts));
    if let Err(fault) = &outcome {
        assert!(!words(fault).is_empty(), "{fault:?}");
    }
    outcome
}

fn look(format: &Format, host: &Counting<'_>, file: File<'_>) -> Result<u64> {
    let mut image = opened(format, host, file)?;
    let size = image.size();
    let info = bounded(format, host, format.open_requests, || image.describe())?;
    assert_eq!(info.virtual_size, size, "`describe` and `size` differ");
    bounded(format, host, format.open_requests, || image.snapshots())?;
    let mut at = 0;
    for _ in 0..MAPPINGS {
        if at >= size {
            break;
        }
        at += mapped(format, host, &mut image, at)?.length;
    }
    for at in [size.saturating_sub(1), size / 2, size / 3 * 2, size / 7] {
        if at < size {
            mapped(format, host, &mut image, at)?;
        }
    }
    Ok(size)
}

/// `open`, within its bounds.
pub(super) fn opened<'h>(format: &Format, host: &Counting<'_>, file: File<'h>) -> Result<Opened<'h>> {
    let image = bounded(format, host, format.open_requests, || (format.open)(file))?;
    let size = image.size();
    assert!(size.is_multiple_of(512), "a size of {size}");
    assert!(size <= i64::MAX.unsigned_abs(), "a size of {size}");
    Ok(image)
}

/// `map`, within its bounds and by its contract.
pub(super) fn mapped(
    format: &Format,
    host: &Counting<'_>,
    image: &mut Opened<'_>,
    at: u64,
) -> Result<Mapping> {
    let mapping = bounded(format, host, format.map_requests, || image.map(at))?;
    let room = image.size() - at;
    assert!(
        (1..=room).contains(&mapping.length),
        "a mapping of {} bytes at {at}, {room} bytes before the end",
        mapping.length
    );
    match mapping.kind {
        Kind::Data { offset, .. } => assert!(offset.checked_add(mapping.length).is_some(), "{mapping:?}"),
        Kind::Sealed(sealed) => {
            assert!(sealed.offset.checked_add(mapping.length).is_some(), "{mapping:?}");
            let (slot, key) = image.key().unwrap();
            assert!(
                slot == sealed.slot && (sealed.position - at).is_multiple_of(key.unit()),
                "{mapping:?}"
            );
        }
        Kind::Encoded(encoded) => assert_decodable(&encoded, mapping.length),
        Kind::Zero { .. } | Kind::Unallocated => {}
    }
    Ok(mapping)
}

fn assert_decodable(encoded: &Encoded, length: u64) {
    assert!((1..=UNIT_MAX).contains(&encoded.unit), "{encoded:?}");
    assert!(encoded.stored > 0, "{encoded:?}");
    assert!(
        u64::from(encoded.within) + length <= u64::from(encoded.unit),
        "{length} bytes of {encoded:?}"
    );
    assert!(
        encoded.offset.checked_add(encoded.stored.into()).is_some(),
        "{encoded:?}"
    );
}

/// Runs `call` and judges what it cost.
pub(super) fn bounded<R>(format: &Format, host: &Counting<'_>, requests: u64, call: impl FnOnce() -> R) -> R {
    host.take();
    let (result, held) = heap::peak(call);
    let asked: Asked = host.take();
    assert!(
        asked.requests <= requests,
        "more than {requests} requests: {asked:?}"
    );
    assert!(
        asked.bytes <= format.bytes,
        "more than {} bytes: {asked:?}",
        format.bytes
    );
    assert!(
        held <= format.heap,
        "{held} bytes of heap, {} allowed",
        format.heap
    );
    result
}
