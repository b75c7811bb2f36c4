//! Places in images that are worth changing: fields of headers, entries of tables found by the pointers to them.

use instar_tests::Dice;

use crate::edit::{Change, Edit, Hop, Number, Seal, Spot, Value};
use crate::recipe::Image;

const BIG32: Number = Number { bytes: 4, big: true };
const BIG64: Number = Number { bytes: 8, big: true };
const BIG16: Number = Number { bytes: 2, big: true };
const LOW16: Number = Number { bytes: 2, big: false };
const LOW32: Number = Number { bytes: 4, big: false };
const LOW64: Number = Number { bytes: 8, big: false };
const BYTE: Number = Number { bytes: 1, big: false };

/// A field of a fixed place.
type Field = (u64, Number);

/// A table: pointers that lead to it, where it begins from there, entries of it that are often used, and how each is written.
struct Table {
    hops: &'static [Hop],
    start: u64,
    entries: u64,
    number: Number,
}

/// What a format has.
struct Layout {
    header: &'static [Field],
    tables: &'static [Table],
    seal: Option<Seal>,
    /// Bytes at the start, and at the end, in which any byte may matter.
    reach: (u64, u64),
}

const fn hop(at: u64, number: Number, unit: u64) -> Hop {
    Hop {
        at,
        number,
        unit,
        mask: u64::MAX,
    }
}

/// A pointer of qcow2, without its flags.
const fn qcow2_hop(at: u64) -> Hop {
    Hop {
        at,
        number: BIG64,
        unit: 1,
        mask: 0x00ff_ffff_ffff_fe00,
    }
}

const fn table(hops: &'static [Hop], entries: u64, number: Number) -> Table {
    Table {
        hops,
        start: 0,
        entries,
        number,
    }
}

/// A table at a fixed place.
const fn table_at(start: u64, entries: u64, number: Number) -> Table {
    Table {
        hops: &[],
        start,
        entries,
        number,
    }
}

fn layout(format: &str) -> &'static Layout {
    match format {
        "qcow2" => &QCOW2,
        "vmdk" => &VMDK,
        "vdi" => &VDI,
        "vpc" => &VPC,
        "vhdx" => &VHDX,
        "qed" => &QED,
        "qcow" => &QCOW,
        "parallels" => &PARALLELS,
        "bochs" => &BOCHS,
        "cloop" => &CLOOP,
        "dmg" => &DMG,
        _ => &RAW,
    }
}

/// Changes of `image` that leave it nearly valid, checksums made right most of the time.
pub(crate) fn edits(dice: &mut Dice, image: &Image) -> Vec<Edit> {
    let layout = layout(image.format);
    let mut changes: Vec<Change> = (0..1 + dice.below(8) / 5).map(|_| change(dice, layout)).collect();
    if dice.one_in(24) {
        changes.push(Change::Length(
            dice.of(&[0, 500, 900, 990, 1000, 1000, 1000]),
            signed(dice),
        ));
    }
    if let Some(seal) = layout.seal
        && !dice.one_in(12)
    {
        changes.push(Change::Seal(seal));
    }
    let edit = |change| Edit {
        file: image.name.clone(),
        change,
    };
    changes.into_iter().map(edit).collect()
}

fn signed(dice: &mut Dice) -> i64 {
    dice.of(&[-512, -1, 0, 1, 511, 512, -4096, 65536, -65536])
}

fn change(dice: &mut Dice, layout: &Layout) -> Change {
    let kind = dice.below(10);
    if kind < 5 && !layout.header.is_empty() {
        let (at, number) = dice.of(layout.header);
        return Change::Number(spot(&[], at), number, value(dice));
    }
    if kind < 9 && !layout.tables.is_empty() {
        let table = &layout.tables[dice.below(layout.tables.len() as u64) as usize];
        let entry = dice.below(table.entries);
        return Change::Number(
            spot(table.hops, table.start + entry * table.number.bytes as u64),
            table.number,
            value(dice),
        );
    }
    let (start, end) = layout.reach;
    let from_end = end > 0 && dice.one_in(3);
    let offset = if from_end {
        1 + dice.below(end)
    } else {
        dice.below(start.max(1))
    };
    let spot = Spot {
        hops: Vec::new(),
        offset,
        from_end,
    };
    match dice.below(3) {
        0 => Change::Bytes(spot, vec![dice.below(256) as u8]),
        _ => Change::Number(spot, BYTE, value(dice)),
    }
}

fn spot(hops: &[Hop], offset: u64) -> Spot {
    Spot {
        hops: hops.to_vec(),
        offset,
        from_end: false,
    }
}

fn value(dice: &mut Dice) -> Value {
    match dice.below(14) {
        0 => Value::Exactly(0),
        1 => Value::Exactly(1),
        2 => Value::Exactly(u64::MAX),
        3 => Value::Plus(dice.of(&[1, 2, 511, 512, 4096, 65536, u64::MAX, u64::MAX - 1])),
        4 => Value::Times(2),
        5..=7 => Value::Flip(dice.below(64) as u32 % dice.of(&[8, 16, 32, 64])),
        8 => Value::Exactly(1 << dice.below(64)),
        9 => Value::Exactly(dice.scaled(17)),
        10 => Value::Exactly(dice.scaled(61)),
        11 => Value::Exactly(dice.below(64) * dice.of(&[512, 4096, 65536])),
        12 => Value::End(dice.of(&[1, 512]), dice.of(&[0, 1, u64::MAX])),
        _ => Value::Plus(512 * (1 + dice.below(300))),
    }
}

const RAW: Layout = Layout {
    header: &[],
    tables: &[],
    seal: None,
    reach: (1024, 512),
};

const QCOW2: Layout = Layout {
    header: &[
        (4, BIG32),
        (8, BIG64),
        (16, BIG32),
        (20, BIG32),
        (24, BIG64),
        (32, BIG32),
        (36, BIG32),
        (40, BIG64),
        (48, BIG64),
        (56, BIG32),
        (60, BIG32),
        (64, BIG64),
        (72, BIG64),
        (80, BIG64),
        (88, BIG64),
        (96, BIG32),
        (100, BIG32),
        (104, BYTE),
        (112, BIG32),
        (116, BIG32),
    ],
    tables: &[
        table(&[qcow2_hop(40)], 4, BIG64),
        table(&[qcow2_hop(40), qcow2_hop(0)], 90, BIG64),
        table(&[qcow2_hop(40), qcow2_hop(0)], 500, BIG64),
        table(&[qcow2_hop(48)], 3, BIG64),
        table(&[qcow2_hop(48), qcow2_hop(0)], 64, BIG16),
        table(&[qcow2_hop(64)], 8, BIG64),
        table(&[qcow2_hop(64), qcow2_hop(0)], 8, BIG64),
        // Header extensions, among them that of bitmaps and what it leads to.
        table_at(104, 32, BIG64),
        table(&[qcow2_hop(128)], 10, BIG64),
        table(&[qcow2_hop(128), qcow2_hop(0)], 4, BIG64),
    ],
    seal: None,
    reach: (512, 0),
};

const VMDK: Layout = Layout {
    header: &[
        (4, LOW32),
        (8, LOW32),
        (12, LOW64),
        (20, LOW64),
        (28, LOW64),
        (36, LOW64),
        (44, LOW32),
        (48, LOW64),
        (56, LOW64),
        (64, LOW64),
        (72, BYTE),
        (73, LOW32),
        (77, LOW16),
    ],
    tables: &[
        table(&[hop(56, LOW64, 512)], 2, LOW32),
        table(&[hop(48, LOW64, 512)], 2, LOW32),
        table(&[hop(56, LOW64, 512), hop(0, LOW32, 512)], 60, LOW32),
        table(&[hop(48, LOW64, 512), hop(0, LOW32, 512)], 60, LOW32),
        // The descriptor: its text.
        table(&[hop(28, LOW64, 512)], 400, BYTE),
        // A grain of a stream.
        table(
            &[hop(56, LOW64, 512), hop(0, LOW32, 512), hop(0, LOW32, 512)],
            4,
            LOW32,
        ),
    ],
    seal: None,
    reach: (600, 1536),
};

const VDI: Layout = Layout {
    header: &[
        (64, LOW32),
        (68, LOW32),
        (72, LOW32),
        (76, LOW32),
        (80, LOW32),
        (340, LOW32),
        (344, LOW32),
        (360, LOW32),
        (368, LOW64),
        (376, LOW32),
        (380, LOW32),
        (384, LOW32),
        (388, LOW32),
        (408, LOW64),
        (424, LOW64),
        (440, LOW64),
    ],
    tables: &[table(&[hop(340, LOW32, 1)], 4, LOW32)],
    seal: None,
    reach: (512, 0),
};

const VPC: Layout = Layout {
    header: &[
        (8, BIG32),
        (12, BIG32),
        (16, BIG64),
        (28, BIG32),
        (40, BIG64),
        (48, BIG64),
        (56, BIG16),
        (58, BYTE),
        (59, BYTE),
        (60, BIG32),
        (64, BIG32),
        (520, BIG64),
        (528, BIG64),
        (536, BIG32),
        (540, BIG32),
        (544, BIG32),
        (548, BIG32),
    ],
    tables: &[
        table(&[hop(528, BIG64, 1)], 3, BIG32),
        table(&[hop(528, BIG64, 1), hop(0, BIG32, 512)], 512, BYTE),
    ],
    seal: Some(Seal::Vhd),
    reach: (1536, 512),
};

const VHDX: Layout = Layout {
    header: &[
        (0, LOW64),
        ((64 << 10) + 8, LOW64),
        ((128 << 10) + 8, LOW64),
        ((64 << 10) + 48, LOW64),
        ((128 << 10) + 48, LOW64),
        ((64 << 10) + 64, LOW16),
        ((64 << 10) + 66, LOW16),
        ((64 << 10) + 68, LOW32),
        ((64 << 10) + 72, LOW64),
        ((128 << 10) + 66, LOW16),
        ((128 << 10) + 68, LOW32),
        ((128 << 10) + 72, LOW64),
    ],
    tables: &[
        // The region tables: count, and two entries of 32 bytes.
        table_at((192 << 10) + 8, 18, LOW32),
        table_at((256 << 10) + 8, 18, LOW32),
        table(&[hop((192 << 10) + 32, LOW64, 1)], 4, LOW64),
        table(&[hop((192 << 10) + 64, LOW64, 1)], 4, LOW64),
        table(&[hop((192 << 10) + 64, LOW64, 1)], 48, LOW32),
        table(&[hop((192 << 10) + 32, LOW64, 1)], 48, LOW32),
    ],
    seal: Some(Seal::Vhdx),
    reach: (64, 0),
};

const QED: Layout = Layout {
    header: &[
        (4, LOW32),
        (8, LOW32),
        (12, LOW32),
        (16, LOW64),
        (24, LOW64),
        (32, LOW64),
        (40, LOW64),
        (48, LOW64),
        (56, LOW32),
        (60, LOW32),
    ],
    tables: &[
        table(&[hop(40, LOW64, 1)], 4, LOW64),
        table(&[hop(40, LOW64, 1), hop(0, LOW64, 1)], 80, LOW64),
    ],
    seal: None,
    reach: (64, 0),
};

const QCOW: Layout = Layout {
    header: &[
        (4, BIG32),
        (8, BIG64),
        (16, BIG32),
        (20, BIG32),
        (24, BIG64),
        (32, BYTE),
        (33, BYTE),
        (36, BIG32),
        (40, BIG64),
    ],
    tables: &[
        table(&[hop(40, BIG64, 1)], 3, BIG64),
        table(&[hop(40, BIG64, 1), hop(0, BIG64, 1)], 80, BIG64),
    ],
    seal: None,
    reach: (64, 0),
};

const PARALLELS: Layout = Layout {
    header: &[
        (0, BYTE),
        (16, LOW32),
        (20, LOW32),
        (24, LOW32),
        (28, LOW32),
        (32, LOW32),
        (36, LOW64),
        (44, LOW32),
        (48, LOW32),
        (52, LOW32),
        (56, LOW64),
    ],
    tables: &[table_at(64, 8, LOW32), table_at(64, 40, LOW32)],
    seal: None,
    reach: (128, 0),
};

const BOCHS: Layout = Layout {
    header: &[
        (64, LOW32),
        (68, LOW32),
        (72, LOW32),
        (76, LOW32),
        (80, LOW32),
        (84, LOW32),
        (88, LOW64),
    ],
    tables: &[table(&[hop(68, LOW32, 1)], 8, LOW32)],
    seal: None,
    reach: (600, 0),
};

const CLOOP: Layout = Layout {
    header: &[
        (128, BIG32),
        (132, BIG32),
        (136, BIG64),
        (144, BIG64),
        (152, BIG64),
    ],
    tables: &[],
    seal: None,
    reach: (170, 0),
};

const DMG: Layout = Layout {
    header: &[],
    tables: &[],
    seal: None,
    reach: (256, 4096),
};
