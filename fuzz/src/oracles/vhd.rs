//! Sizes of a VHD: never smaller than asked, never much larger, and what the image says of itself.

use instar_abi::job::{Bounds, Create, CreateImage, Info, Source, Verb, VpcCreate};
use instar_abi::{Format, Report, Slot};

use crate::jobs::{made, run};
use crate::memory::Memory;

/// Sectors of one cylinder at most: 16 heads of 255 sectors.
const CYLINDER: u64 = 16 * 255;

/// The largest disk of the format, in sectors: 2040 GiB.
const LARGEST: u64 = 2040 << 21;

/// Makes a disk of the size in the input's first eight bytes.
///
/// # Panics
/// If its size is not one that the format allows for it.
pub fn judge(input: &[u8]) {
    let wanted = input.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let force_size = input.get(8).is_some_and(|byte| byte & 1 == 1);
    let memory = Memory::default();
    let files = [memory.fresh()];
    let create = CreateImage {
        target: Some(made(
            Slot(0),
            Create::Vpc(VpcCreate {
                fixed: false,
                force_size,
            }),
        )),
        backing: None,
        size: Some(wanted),
    };
    let ran = run(&memory, &files, Verb::Create(create), Bounds::default());
    let sectors = wanted.div_ceil(512);
    let Ok(done) = ran.end else {
        assert!(
            sectors > LARGEST - CYLINDER,
            "{wanted} bytes are refused: {ran:?}"
        );
        return;
    };
    let made = done.virtual_size / 512;
    assert!(
        made >= sectors && made <= LARGEST,
        "{wanted} bytes became {made} sectors"
    );
    assert!(made < sectors + CYLINDER, "{wanted} bytes became {made} sectors");
    assert!(
        !force_size || made == sectors,
        "{wanted} bytes became {made} sectors by force"
    );
    let image = memory.content(Slot(0));
    let again = Memory::default();
    let files = [again.source(&image)];
    let info = Info {
        source: Source::new(Slot(0), Some(Format::Vpc)),
        backing_chain: false,
    };
    let ran = run(&again, &files, Verb::Info(info), Bounds::default());
    let said = ran.reports.iter().find_map(|report| match report {
        Report::Info(info) => Some(info.virtual_size),
        _ => None,
    });
    assert_eq!(said, Some(done.virtual_size), "{wanted} bytes");
}

/// The sizes where the rule changes, and those beside them.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let cylinders = [
        0,
        17 * 4 * 1024,
        17 * 16 * 1024,
        31 * 16 * 1024,
        63 * 16 * 1024,
        65535 * 16 * 63,
        65535 * 16 * 255,
    ];
    let sizes = cylinders
        .iter()
        .flat_map(|sectors: &u64| [sectors * 512, sectors * 512 + 1]);
    sizes
        .chain([LARGEST * 512, LARGEST * 512 + 1, u64::MAX])
        .flat_map(|size| [0, 1].map(|force| [size.to_le_bytes().as_slice(), &[force]].concat()))
        .collect()
}
