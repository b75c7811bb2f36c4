//! What the tests of this crate share: qemu-img beside us, patterns that show a misplaced block, and the shortest possible
//! copier over the crate's own map and placements.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "test support: each test file uses a part of it, a failure is a test failure"
)]

pub mod build;

use std::ops::Deref;
use std::path::Path;

use instar_codecs::{Decoder, Encoder};
use instar_disk::job::{Seed, VmdkCreate, VmdkSubformat};
use instar_disk::report::Info;
use instar_disk::vmdk::extent_files;
use instar_disk::{Fault, File, Image, ImageText, Kind, Target};
use instar_testkit::pattern::{assert_same, is_zero};
use instar_testkit::{Native, Outcome, oracle, pattern};

pub const GRAIN: usize = 64 << 10;
pub const SPLIT: u64 = 2 << 30;

/// A directory, and what this crate and qemu-img make in it.
pub struct Bench(instar_testkit::Bench);

impl Deref for Bench {
    type Target = instar_testkit::Bench;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Bench {
    pub fn new() -> Self {
        Self(instar_testkit::Bench::new())
    }

    /// Runs qemu-img, whatever comes of it.
    pub fn try_qemu(&self, arguments: &[&str]) -> Outcome {
        oracle::run_in(self.directory(), arguments)
    }

    /// Runs qemu-img, which must succeed; gives what it printed.
    pub fn qemu(&self, arguments: &[&str]) -> String {
        oracle::qemu_in(self.directory(), arguments)
    }

    /// The disk in `name` as qemu-img reads it.
    pub fn qemu_read(&self, name: &str) -> Vec<u8> {
        self.qemu(&["convert", "-f", "vmdk", "-O", "raw", name, "oracle.raw"]);
        self.bytes("oracle.raw")
    }

    /// The disk in `name` as we read it, or why we do not.
    pub fn read(&self, name: &str) -> Result<Vec<u8>, Fault> {
        read_file(&self.path(name))
    }

    /// What `info` is told of `name`.
    pub fn describe(&self, name: &str) -> Result<Info, Fault> {
        let host = Native::new(1);
        let file = File::new(&host, host.source(self.path(name)));
        instar_vmdk::open(file)?.describe()
    }

    /// Both read the same.
    pub fn assert_same(&self, name: &str) -> Vec<u8> {
        let ours = self
            .read(name)
            .unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
        assert_same(&ours, &self.qemu_read(name), name);
        ours
    }

    /// Makes an image of ours from `data`.
    pub fn create(&self, name: &str, subformat: VmdkSubformat, data: &[u8]) {
        self.create_with(
            name,
            &VmdkCreate {
                subformat,
                ..VmdkCreate::default()
            },
            data,
            None,
        );
    }

    pub fn create_with(&self, name: &str, options: &VmdkCreate, data: &[u8], parent: Option<&[u8]>) {
        let host = Native::new(1);
        let mut target = self.target(&host, name, options, data.len() as u64).unwrap();
        fill(&host, &mut *target, data, parent);
        target.finish().unwrap();
    }

    pub fn target<'h>(
        &self,
        host: &'h Native,
        name: &str,
        options: &VmdkCreate,
        size: u64,
    ) -> Result<Box<dyn Target + 'h>, Fault> {
        let options = VmdkCreate {
            file_name: ImageText::new(name.as_bytes()),
            ..options.clone()
        };
        let parent_cid = options.backing_file.as_ref().map(|parent| {
            let file = File::new(
                host,
                host.source(self.path(str::from_utf8(parent.as_bytes()).unwrap())),
            );
            instar_vmdk::open(file).unwrap().content_id().unwrap()
        });
        let file = File::new(host, host.target(self.path(name)));
        let extents: Vec<File<'_>> =
            extent_files(name.as_bytes(), options.subformat, size.next_multiple_of(512))
                .map(|extent| {
                    File::new(
                        host,
                        host.target(self.path(str::from_utf8(&extent.name).unwrap())),
                    )
                })
                .collect();
        instar_vmdk::create(
            file,
            &extents,
            &options,
            size,
            parent_cid,
            &Seed {
                random: [9; 32],
                unix_seconds: 1,
            },
        )
    }
}

/// Reads a disk of ours, all of it, parents included.
pub fn read_file(path: &Path) -> Result<Vec<u8>, Fault> {
    let host = Native::new(1);
    let file = File::new(&host, host.source(path));
    let mut chain = vec![instar_vmdk::open(file)?];
    while let Some(backing) = chain.last().unwrap().backing() {
        let name = str::from_utf8(backing.name.as_bytes()).unwrap().to_owned();
        let parent = File::new(&host, host.source(path.parent().unwrap().join(name)));
        let parent = instar_vmdk::open(parent)?;
        chain.last().unwrap().check_parent(&*parent)?;
        chain.push(parent);
    }
    let size = chain[0].size();
    assert!(size <= 256 << 20, "too large to read at once: {size}");
    read_range(&host, &mut chain, 0, size)
}

/// Reads part of the disk that `chain` makes, top layer first.
pub fn read_range<'h>(
    host: &'h Native,
    chain: &mut [Box<dyn Image + 'h>],
    start: u64,
    length: u64,
) -> Result<Vec<u8>, Fault> {
    let mut disk = Vec::new();
    let mut decoder = Decoder::new();
    while (disk.len() as u64) < length {
        let offset = start + disk.len() as u64;
        let mut left = length - disk.len() as u64;
        let mut kind = Kind::Unallocated;
        for layer in chain.iter_mut() {
            if offset >= layer.size() {
                break;
            }
            let mapping = layer.map(offset)?;
            assert!(mapping.length > 0, "an empty mapping at {offset}");
            assert!(
                mapping.length <= layer.size() - offset,
                "a mapping past the end at {offset}"
            );
            left = left.min(mapping.length);
            kind = mapping.kind;
            if kind != Kind::Unallocated {
                break;
            }
        }
        let at = disk.len();
        disk.resize(at + left as usize, 0);
        let into = &mut disk[at..];
        match kind {
            Kind::Sealed(_) => return Err(Fault::new(instar_disk::fault::core::ENCRYPTED)),
            Kind::Unallocated | Kind::Zero { .. } => {}
            Kind::Data { slot, offset } => host.file_of(slot).read_padded(offset, into)?,
            Kind::Encoded(encoded) => {
                let mut stored = vec![0; encoded.stored as usize];
                host.file_of(encoded.slot)
                    .read_exact(encoded.offset, &mut stored)?;
                let mut unit = vec![0; encoded.unit as usize];
                decoder
                    .decode(encoded.codec, &stored, &mut unit)
                    .map_err(|_| Fault::new(instar_disk::fault::core::BAD_COMPRESSED_DATA))?;
                into.copy_from_slice(&unit[encoded.within as usize..][..left as usize]);
            }
        }
    }
    Ok(disk)
}

/// Gives the target `data`, in units, as the engine would: zeros left out, unless a parent would show through.
fn fill(host: &Native, target: &mut dyn Target, data: &[u8], parent: Option<&[u8]>) {
    let encoding = target.encoding();
    let mut encoder = encoding.map(|encoding| Encoder::new(encoding.codec, encoding.window_bits).unwrap());
    let step = (target.unit() as usize).max(4096);
    for (index, unit) in data.chunks(step).enumerate() {
        let offset = index * step;
        let zero = is_zero(unit);
        let below = parent.and_then(|parent| parent.get(offset..));
        let below = below.map(|below| &below[..unit.len().min(below.len())]);
        match below {
            Some(below) if below == unit => continue,
            Some(_) if zero => target.zero(offset as u64, unit.len() as u64).unwrap(),
            _ if zero => {}
            _ => match (&encoding, &mut encoder) {
                (Some(encoding), Some(encoder)) => {
                    let mut whole = unit.to_vec();
                    whole.resize(encoding.unit as usize, 0);
                    let mut stored = vec![0; encoding.prefix + 2 * whole.len()];
                    let used = encoder.encode(&whole, &mut stored[encoding.prefix..]).unwrap();
                    target.encoded_prefix(offset as u64, used as u64, &mut stored[..encoding.prefix]);
                    stored.truncate((encoding.prefix + used).next_multiple_of(encoding.align as usize));
                    stored[encoding.prefix + used..].fill(0);
                    let place = target
                        .allocate_encoded(offset as u64, stored.len() as u64)
                        .unwrap();
                    assert_eq!(place.length, stored.len() as u64);
                    host.file_of(place.slot).write(place.offset, &stored).unwrap();
                }
                _ => write_plain(host, target, offset as u64, unit),
            },
        }
    }
}

fn write_plain(host: &Native, target: &mut dyn Target, offset: u64, unit: &[u8]) {
    let mut done = 0;
    while done < unit.len() {
        let rest = &unit[done..];
        let place = match target.plain() {
            Some(slot) => {
                host.file_of(slot).write(offset + done as u64, rest).unwrap();
                return;
            }
            None => target.allocate(offset + done as u64, rest.len() as u64).unwrap(),
        };
        assert!(place.length > 0);
        let part = &rest[..place.length as usize];
        host.file_of(place.slot).write(place.offset, part).unwrap();
        done += part.len();
    }
}

/// A file of the host, by slot.
pub trait FileOf {
    fn file_of(&self, slot: instar_disk::Slot) -> File<'_>;
}

impl FileOf for Native {
    fn file_of(&self, slot: instar_disk::Slot) -> File<'_> {
        let facts = instar_disk::FileFacts {
            slot,
            size: u64::MAX >> 1,
            kind: instar_disk::FileKind::Regular,
            writable: true,
            busy: false,
            called_dmg: false,
        };
        File::new(self, facts)
    }
}

/// Zeros with data in the given grains; each has its number at its start and end.
pub fn grains(count: usize, used: impl IntoIterator<Item = usize>) -> Vec<u8> {
    let mut disk = vec![0; count * GRAIN];
    for index in used {
        if let Some(grain) = disk.get_mut(index * GRAIN..(index + 1) * GRAIN) {
            let number = (index as u64 + 1).to_le_bytes();
            grain[..8].copy_from_slice(&number);
            grain[GRAIN - 8..].copy_from_slice(&number);
        }
    }
    disk
}

/// Bytes that say where they belong.
pub fn pattern(length: usize) -> Vec<u8> {
    pattern::pattern(0, length as u64)
}

/// A disk with data, holes and partial grains in every order; compressible here and there.
pub fn disk(length: usize) -> Vec<u8> {
    let mut bytes = pattern(length);
    for (index, grain) in bytes.chunks_mut(GRAIN).enumerate() {
        match index % 7 {
            1 | 2 => grain.fill(0),
            3 => grain.iter_mut().for_each(|byte| *byte &= 1),
            4 => {
                let half = grain.len() / 2;
                grain[half..].fill(0);
            }
            _ => {}
        }
    }
    bytes
}
