//! Images of each format.

use instar_abi::job::{
    BitmapAction, Bounds, Change, ChangeBitmaps, ChangeImage, Compression, Create, CreateImage, LuksCreate,
    NewSnapshot, ParallelsCreate, Preallocation, Qcow2Create, QcowCreate, QedCreate, RawCreate, Source,
    Speed, VdiCreate, Verb, VhdxCreate, VmdkCreate, VmdkSubformat, VpcCreate,
};
use instar_abi::{CipherAlgorithm, CipherMode, CipherSpec, Format, HashName, ImageText, IvGenerator, Slot};
use instar_testkit::Content;

use super::{DISK, disk, foreign};
use crate::jobs::{KEY, conversion, made, run};
use crate::memory::Memory;
use crate::{Case, Dice, repair};

/// Sound inputs of the target of a format.
///
/// # Panics
/// If one cannot be made.
#[must_use]
pub fn images(format: Format) -> Vec<Vec<u8>> {
    match format {
        Format::Asif => foreign::asif(),
        Format::Zst => foreign::zst(),
        Format::Bochs => foreign::bochs(),
        Format::Cloop => foreign::cloop(),
        Format::Dmg => foreign::dmg(),
        Format::Ova => foreign::ova(),
        Format::Qcow2 => qcow2(),
        Format::Vmdk => vmdk(),
        _ => plain(format),
    }
}

fn plain(format: Format) -> Vec<Vec<u8>> {
    let vhdx = VhdxCreate {
        fixed: false,
        block_size: 1 << 20,
        log_size: 1 << 20,
        block_state_zero: true,
    };
    let below = ImageText::new(b"below");
    match format {
        Format::Vpc => [(false, true), (true, true), (false, false)]
            .map(|(fixed, force_size)| converted(Create::Vpc(VpcCreate { fixed, force_size }), false))
            .into(),
        Format::Vhdx => [false, true]
            .map(|fixed| converted(Create::Vhdx(VhdxCreate { fixed, ..vhdx }), false))
            .into(),
        Format::Vdi => [false, true]
            .map(|static_image| {
                converted(
                    Create::Vdi(VdiCreate {
                        static_image,
                        aligned: false,
                    }),
                    false,
                )
            })
            .into(),
        Format::Luks => vec![
            converted_of(&disk()[..4096], Create::Luks(cheap()), false),
            second_luks(),
        ],
        Format::Parallels => [64 << 10, 1 << 20]
            .map(|cluster_size| converted(Create::Parallels(ParallelsCreate { cluster_size }), false))
            .into(),
        Format::Qcow => vec![
            converted(Create::Qcow(QcowCreate::default()), false),
            converted(Create::Qcow(QcowCreate::default()), true),
            overlay(Create::Qcow(QcowCreate {
                backing_file: Some(below),
                key: None,
            })),
        ],
        Format::Qed => {
            let small = QedCreate {
                cluster_size: 4096,
                table_size: 1,
                ..QedCreate::default()
            };
            let over = QedCreate {
                backing_file: Some(below),
                backing_raw: true,
                ..small.clone()
            };
            vec![
                converted(Create::Qed(QedCreate::default()), false),
                converted(Create::Qed(small), false),
                overlay(Create::Qed(over)),
            ]
        }
        _ => vec![converted(Create::Raw(RawCreate::default()), false)],
    }
}

/// A header whose key is derived in a moment, and short material: what is sealed cannot be made smaller.
fn cheap() -> LuksCreate {
    LuksCreate {
        speed: Speed {
            iterations: 1,
            milliseconds: 1,
        },
        key: Some(ImageText::new(KEY)),
        cipher: CipherSpec {
            algorithm: CipherAlgorithm::Aes128,
            mode: CipherMode::Cbc,
            ivgen: IvGenerator::Essiv,
            ivhash: Some(HashName::Sha256),
        },
        ..LuksCreate::default()
    }
}

/// A header of the second version, of which there is no writer here: it is described, and not unlocked.
fn second_luks() -> Vec<u8> {
    let json = br#"{"keyslots":{"0":{"type":"luks2","key_size":64,"af":{"type":"luks1","stripes":4000,"hash":"sha256"},
        "area":{"type":"raw","offset":"32768","size":"258048","encryption":"aes-xts-plain64","key_size":64},
        "kdf":{"type":"pbkdf2","hash":"sha256","iterations":1000,"salt":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}},
        "tokens":{},"segments":{"0":{"type":"crypt","offset":"16777216","size":"dynamic","iv_tweak":"0",
        "encryption":"aes-xts-plain64","sector_size":512}},"digests":{"0":{"type":"pbkdf2","keyslots":["0"],"segments":["0"],
        "hash":"sha256","iterations":1000,"salt":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "digest":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}},"config":{"json_size":"12288","keyslots_size":"16744448"}}"#;
    let mut file = Content::default();
    file.write(0, b"LUKS\xba\xbe\0\x02\0\0\0\0\0\0\x40\0\0\0\0\0\0\0\0\x01");
    file.write(72, b"sha256");
    file.write(168, b"01234567-89ab-cdef-0123-456789abcdef");
    file.write(4096, json);
    file.set_length((16 << 20) + 8192);
    let mut case = Case::default();
    case.files[0] = file;
    repair::of(Format::Luks)(&mut case, &mut Dice::new(0));
    case.encode()
}

fn qcow2() -> Vec<Vec<u8>> {
    let usual = Qcow2Create::default();
    let small = Qcow2Create {
        cluster_bits: 9,
        ..usual.clone()
    };
    let old = Qcow2Create {
        version: 2,
        cluster_bits: 12,
        ..usual.clone()
    };
    let narrow = Qcow2Create {
        refcount_order: 0,
        lazy_refcounts: true,
        cluster_bits: 12,
        ..usual.clone()
    };
    let wide = Qcow2Create {
        refcount_order: 6,
        extended_l2: true,
        cluster_bits: 14,
        preallocation: Preallocation::Metadata,
        ..usual.clone()
    };
    let zstd = Qcow2Create {
        compression: Compression::Zstd,
        ..usual.clone()
    };
    let over = Qcow2Create {
        backing_file: Some(ImageText::new(b"below")),
        backing_format: Some(ImageText::new(b"raw")),
        cluster_bits: 12,
        ..usual.clone()
    };
    let plain = [&usual, &small, &old, &narrow, &wide]
        .map(|options| converted(Create::Qcow2(options.clone()), false));
    let packed = [&usual, &small, &zstd].map(|options| converted(Create::Qcow2(options.clone()), true));
    let mut seeds = [plain.to_vec(), packed.to_vec()].concat();
    seeds.push(overlay(Create::Qcow2(over)));
    seeds.push(with_snapshot_and_bitmap(&old));
    seeds.push(with_snapshot_and_bitmap(&Qcow2Create {
        cluster_bits: 12,
        ..usual.clone()
    }));
    seeds
}

fn vmdk() -> Vec<Vec<u8>> {
    let of = |subformat, packed| {
        let options = VmdkCreate {
            subformat,
            ..VmdkCreate::default()
        };
        converted(Create::Vmdk(options), packed)
    };
    let beside = |subformat| {
        let options = VmdkCreate {
            subformat,
            file_name: ImageText::new(b"image.vmdk"),
            extents: vec![Slot(2)],
            ..VmdkCreate::default()
        };
        converted(Create::Vmdk(options), false)
    };
    let below = Case::decode(&of(VmdkSubformat::MonolithicSparse, false)).files[0].clone();
    vec![
        of(VmdkSubformat::MonolithicSparse, false),
        of(VmdkSubformat::StreamOptimized, true),
        beside(VmdkSubformat::MonolithicFlat),
        beside(VmdkSubformat::TwoGbMaxExtentSparse),
        overlay_of(
            Create::Vmdk(VmdkCreate {
                backing_file: Some(ImageText::new(b"below")),
                ..VmdkCreate::default()
            }),
            &below,
            Some(Source::new(Slot(1), Some(Format::Vmdk))),
        ),
    ]
}

/// Images that can be changed in place.
#[must_use]
pub fn changeable() -> Vec<Vec<u8>> {
    let formats = [
        Format::Qcow2,
        Format::Raw,
        Format::Vdi,
        Format::Vpc,
        Format::Vhdx,
        Format::Vmdk,
        Format::Qed,
        Format::Qcow,
        Format::Parallels,
    ];
    let mut seeds = Vec::new();
    for (seed, input) in (0..).zip(formats.iter().flat_map(|format| images(*format))) {
        // Each with choices of its own.
        seeds.push(
            Case {
                seed,
                ..Case::decode(&input)
            }
            .encode(),
        );
    }
    seeds
}

/// Descriptors of VMDKs, with extents of every kind.
#[must_use]
pub fn descriptors() -> Vec<Vec<u8>> {
    let text = |kind: &str, parent: &str, extents: &str| {
        let head = format!(
            "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID={parent}\ncreateType=\"{kind}\"\n"
        );
        let foot =
            "ddb.virtualHWVersion = \"4\"\nddb.geometry.cylinders = \"1\"\nddb.adapterType = \"ide\"\n";
        format!("{head}\n# Extent description\n{extents}\n# The Disk Data Base\n#DDB\n\n{foot}").into_bytes()
    };
    vec![
        text("monolithicFlat", "ffffffff", "RW 512 FLAT \"a-flat.vmdk\" 0\n"),
        text(
            "twoGbMaxExtentFlat",
            "ffffffff",
            "RW 256 FLAT \"a-f001.vmdk\" 0\nRW 256 FLAT \"a-f002.vmdk\" 128\n",
        ),
        text(
            "monolithicFlat",
            "ffffffff",
            "RW 16 ZERO\nRDONLY 16 FLAT \"a\" 0\nNOACCESS 16 ZERO\n",
        ),
        text("vmfs", "ffffffff", "RW 512 VMFS \"a-flat.vmdk\"\n"),
        text(
            "twoGbMaxExtentSparse",
            "ffffffff",
            "RW 512 SPARSE \"a-s001.vmdk\"\n",
        ),
        text(
            "monolithicFlat",
            "12345678",
            "RW 512 FLAT \"a-flat.vmdk\" 0\nparentFileNameHint=\"below.vmdk\"\n",
        ),
    ]
}

/// The disk as an image, and the file that may hold its data.
fn converted(create: Create, compress: bool) -> Vec<u8> {
    converted_of(&disk(), create, compress)
}

fn converted_of(disk: &[u8], create: Create, compress: bool) -> Vec<u8> {
    let memory = Memory::default();
    let raw = memory.source(&Content::from(disk));
    let (image, beside) = (memory.fresh(), memory.fresh());
    let mut convert = conversion(Source::new(raw.slot, Some(Format::Raw)), made(image.slot, create));
    convert.compress = compress;
    let files = [raw, image, beside];
    let ran = run(&memory, &files, Verb::Convert(convert), Bounds::default());
    assert!(ran.end.is_ok(), "{ran:?}");
    let case = Case {
        files: [
            memory.content(image.slot),
            memory.content(beside.slot),
            Content::default(),
        ],
        ..Case::default()
    };
    case.encode()
}

/// An empty image over the raw disk.
fn overlay(create: Create) -> Vec<u8> {
    overlay_of(create, &Content::from(disk()), None)
}

/// An empty image over another, which is looked at if its format wants that.
fn overlay_of(create: Create, below: &Content, backing: Option<Source>) -> Vec<u8> {
    let memory = Memory::default();
    let files = [memory.fresh(), memory.source(below)];
    let create = CreateImage {
        target: Some(made(Slot(0), create)),
        backing,
        size: Some(DISK as u64),
    };
    let ran = run(&memory, &files, Verb::Create(create), Bounds::default());
    assert!(ran.end.is_ok(), "{ran:?}");
    let case = Case {
        files: [memory.content(Slot(0)), below.clone(), Content::default()],
        ..Case::default()
    };
    case.encode()
}

/// The disk with a snapshot, and in version 3 a bitmap.
fn with_snapshot_and_bitmap(options: &Qcow2Create) -> Vec<u8> {
    let case = Case::decode(&converted(Create::Qcow2(options.clone()), false));
    let memory = Memory::default();
    let image = memory.existing(&case.files[0]);
    let source = Source::new(image.slot, Some(Format::Qcow2));
    let snapshot = Verb::Change(ChangeImage {
        image: source.clone(),
        change: Change::CreateSnapshot(NewSnapshot {
            name: b"first".into(),
            seconds: 1,
            nanoseconds: 2,
        }),
    });
    let bitmap = Verb::Bitmaps(ChangeBitmaps {
        image: source,
        name: b"bits".into(),
        actions: vec![BitmapAction::Add(65536)],
        from: None,
    });
    for verb in [Some(snapshot), (options.version > 2).then_some(bitmap)]
        .into_iter()
        .flatten()
    {
        let ran = run(&memory, &[image], verb, Bounds::default());
        assert!(ran.end.is_ok(), "{ran:?}");
    }
    let case = Case {
        files: [memory.content(image.slot), Content::default(), Content::default()],
        ..Case::default()
    };
    case.encode()
}
