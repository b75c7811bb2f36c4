//! The copier: any disk through any two formats is the same disk.

use instar_abi::job::{
    Bounds, Compression, Create, ParallelsCreate, Qcow2Create, QcowCreate, QedCreate, RawCreate, Source,
    VdiCreate, Verb, VhdxCreate, VmdkCreate, VmdkSubformat, VpcCreate,
};
use instar_abi::{Format, Slot};

use super::image::same_disk;
use crate::jobs::{conversion, made, read, run};
use crate::memory::Memory;
use crate::{Case, Dice};

/// Bytes of the largest disk.
const LARGEST: u64 = 8 << 20;

/// Converts the disk of a case into one format, that image into another, and looks at what came of it.
///
/// # Panics
/// If it is another disk.
pub fn judge(input: &[u8]) {
    let case = Case::decode(input);
    let mut dice = case.dice();
    let mut disk = case.files[0].clone();
    disk.set_length(disk.len().min(LARGEST).next_multiple_of(512));
    let (mut content, mut format) = (disk.clone(), Format::Raw);
    for _ in 0..2 {
        let (create, compress) = target(&mut dice);
        let memory = Memory::default();
        let files = [memory.source(&content), memory.fresh()];
        let source = Source::new(Slot(0), Some(format));
        format = create.format();
        let mut convert = conversion(source, made(Slot(1), create));
        convert.compress = compress;
        convert.sparse = dice.of(&[0, 512, 4096, 65536]);
        let ran = run(&memory, &files, Verb::Convert(convert), Bounds::default());
        if disk.is_empty() && ran.end.is_err() {
            return;
        }
        assert!(
            ran.end.is_ok(),
            "{} bytes into {}: {ran:?}",
            disk.len(),
            format.name()
        );
        content = memory.content(Slot(1));
    }
    let memory = Memory::default();
    let files = [memory.source(&content)];
    let shown = read(
        &memory,
        &files,
        Source::new(Slot(0), Some(format)),
        Bounds::default(),
    );
    let mut shown = shown.unwrap_or_else(|failure| panic!("{}: {failure:?}", format.name()));
    // Some formats round sizes up.
    assert!(
        shown.len() >= disk.len(),
        "{}: {} bytes",
        format.name(),
        shown.len()
    );
    disk.set_length(shown.len());
    shown.set_length(disk.len());
    assert!(same_disk(&shown, &disk), "another disk in {}", format.name());
}

/// A kind of target, and whether it is compressed.
fn target(dice: &mut Dice) -> (Create, bool) {
    let compress = dice.one_in(2);
    match dice.below(10) {
        0 => (Create::Raw(RawCreate::default()), false),
        1 | 2 => {
            let options = Qcow2Create {
                cluster_bits: 9 + dice.below(8) as u32,
                refcount_order: dice.below(7) as u32,
                compression: dice.of(&[Compression::Zlib, Compression::Zstd]),
                ..Qcow2Create::default()
            };
            (Create::Qcow2(options), compress)
        }
        3 => {
            let subformat = dice.of(&[VmdkSubformat::MonolithicSparse, VmdkSubformat::StreamOptimized]);
            let options = VmdkCreate {
                subformat,
                ..VmdkCreate::default()
            };
            (Create::Vmdk(options), subformat == VmdkSubformat::StreamOptimized)
        }
        4 => {
            let (fixed, force_size) = (dice.one_in(2), dice.one_in(2));
            (Create::Vpc(VpcCreate { fixed, force_size }), false)
        }
        5 => {
            let options = VhdxCreate {
                fixed: dice.one_in(2),
                block_size: dice.of(&[0, 1 << 20, 2 << 20]),
                log_size: 1 << 20,
                block_state_zero: dice.one_in(2),
            };
            (Create::Vhdx(options), false)
        }
        6 => {
            let static_image = dice.one_in(2);
            (
                Create::Vdi(VdiCreate {
                    static_image,
                    aligned: false,
                }),
                false,
            )
        }
        7 => {
            let options = QedCreate {
                cluster_size: 4096 << dice.below(6),
                table_size: 1 << dice.below(4),
                ..QedCreate::default()
            };
            (Create::Qed(options), false)
        }
        8 => (Create::Qcow(QcowCreate::default()), compress),
        _ => {
            let cluster_size = dice.of(&[64 << 10, 1 << 20]);
            (Create::Parallels(ParallelsCreate { cluster_size }), false)
        }
    }
}
