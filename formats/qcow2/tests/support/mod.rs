//! Images made by qemu-img and qemu-io, and a plain reader of mappings to compare with them.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "test support: a failure is a test failure"
)]

use std::collections::BTreeMap;
use std::ops::Deref;
use std::os::unix::fs::FileExt;

use instar_codecs::Decoder;
use instar_disk::{Action, Fault, File, Host, Image, Io, Kind, Mapping, Opened};
use instar_qcow2::OpenOptions;
use instar_testkit::Native;
pub use instar_testkit::pattern::assert_same;

pub const KIB: u64 = 1 << 10;
pub const MIB: u64 = 1 << 20;

/// A directory with images in it, and this crate beside the reference tools.
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

    /// One whose files have holes and pages as on a disk.
    pub fn on_disk() -> Self {
        Self(instar_testkit::Bench::on_disk())
    }

    /// Runs commands of `qemu-io` on a qcow2 image.
    pub fn qemu_io(&self, image: &str, commands: &[&str]) {
        self.0.qemu_io("qcow2", image, commands);
    }

    /// What qemu-img reads from `image`.
    pub fn reference(&self, image: &str, options: &str) -> Vec<u8> {
        self.disk(options, image)
    }

    /// The same without the zeros.
    pub fn sparse_reference(&self, image: &str, options: &str) -> Sparse {
        self.qemu_img(&format!("convert {options} -O raw {image} reference.raw"));
        let host = Native::new(1);
        let facts = host.source(self.path("reference.raw"));
        let mut chain = Chain::open(&host, File::new(&host, facts), false).unwrap();
        let disk = chain.read_sparse(&host);
        std::fs::remove_file(self.path("reference.raw")).unwrap();
        disk
    }

    /// Writes a disk into a raw file.
    pub fn put_sparse(&self, name: &str, disk: &Sparse) {
        let file = std::fs::File::create(self.path(name)).unwrap();
        file.set_len(disk.size).unwrap();
        for (number, sector) in &disk.sectors {
            file.write_all_at(sector, number * 512).unwrap();
        }
    }

    /// Whether qemu-img finds the disk of `image` to be that of a raw file.
    pub fn is_disk_of(&self, image: &str, raw: &str) -> bool {
        let line = format!("compare -f qcow2 -F raw {image} {raw}");
        let sizes =
            |name: &str, format: &str| self.qemu_img(&format!("info --output=json -f {format} {name}"));
        let size =
            |text: String| serde_json::from_str::<serde_json::Value>(&text).unwrap()["virtual-size"].clone();
        size(sizes(image, "qcow2")) == size(sizes(raw, "raw")) && self.try_qemu_img(&line).status.success()
    }

    /// A raw file whose every sector says where it stands, with stretches of zeros between.
    pub fn pattern(&self, name: &str, size: u64) {
        self.put(name, &pattern(size));
    }

    /// What we read from `image`, chain included.
    pub fn ours(&self, image: &str) -> Vec<u8> {
        let host = Native::new(1);
        let facts = host.source(self.path(image));
        let mut chain = Chain::open(&host, File::new(&host, facts), true).unwrap();
        chain.read_all(&host)
    }

    /// Both tools read the same.
    pub fn compare(&self, image: &str) {
        let (ours, theirs) = (self.ours(image), self.reference(image, "-f qcow2"));
        assert_same(&ours, &theirs, image);
    }

    /// Opens one image and gives it to `look`.
    pub fn with<R>(&self, image: &str, look: impl FnOnce(&mut dyn Image) -> R) -> R {
        let host = Native::new(1);
        let facts = host.source(self.path(image));
        let mut opened = instar_qcow2::open(File::new(&host, facts), OpenOptions::default()).unwrap();
        look(&mut *opened)
    }

    /// Our refusal to open `image`.
    pub fn fault(&self, image: &str, options: OpenOptions) -> Fault {
        let host = Native::new(1);
        let facts = host.source(self.path(image));
        let opened = instar_qcow2::open(File::new(&host, facts), options)
            .and_then(|mut image| image.describe().map(|_| ()));
        opened.expect_err("was expected to be refused")
    }
}

pub fn pattern(size: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(size).unwrap()];
    for (sector, into) in bytes.chunks_mut(512).enumerate() {
        // Runs of zeros of many lengths; text-like sectors, so that they can be compressed.
        if (sector / 7) % 5 == 3 || (sector / 300) % 4 == 2 {
            continue;
        }
        for (line, into) in into.chunks_mut(32).enumerate() {
            let text = format!("sector {sector:10} line {line:4} ......\n");
            into.copy_from_slice(&text.as_bytes()[..into.len()]);
        }
    }
    bytes
}

/// A disk without its zeros.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sparse {
    pub size: u64,
    /// Sectors by their number.
    sectors: BTreeMap<u64, Vec<u8>>,
}

impl Sparse {
    fn put(&mut self, offset: u64, bytes: &[u8]) {
        for (number, sector) in (offset / 512..).zip(bytes.chunks(512)) {
            if sector.iter().any(|byte| *byte != 0) {
                self.sectors.insert(number, sector.to_vec());
            }
        }
    }

    /// The same disk with another size, zero where it is longer.
    pub fn of_size(&self, size: u64) -> Self {
        let sectors = self.sectors.range(..size / 512);
        Self {
            size,
            sectors: sectors
                .map(|(number, sector)| (*number, sector.clone()))
                .collect(),
        }
    }
}

/// Images over one another, top first.
pub struct Chain<'h> {
    layers: Vec<Opened<'h>>,
}

impl<'h> Chain<'h> {
    pub fn open(host: &'h Native, file: File<'h>, top: bool) -> Result<Self, Fault> {
        let mut head = [0; 512];
        let read = file.read(0, &mut head)?;
        let image = if top || instar_qcow2::probe(&head[..read]) {
            instar_qcow2::open(file, OpenOptions::default())?
        } else {
            instar_raw::open(file)?
        };
        let mut layers = Vec::new();
        let backing = image.backing();
        layers.push(image);
        if let Some(backing) = backing {
            let facts = host.open(file.slot(), instar_disk::Role::Backing, backing.name.as_bytes())?;
            layers.extend(Self::open(host, File::new(host, facts), false)?.layers);
        }
        Ok(Self { layers })
    }

    pub fn top(&mut self) -> &mut Opened<'h> {
        &mut self.layers[0]
    }

    /// Length and kind of what is at `offset`, all layers considered, and the number of the layer that says so.
    pub fn map(&mut self, offset: u64) -> Result<(Mapping, usize), Fault> {
        let mut length = self.layers[0].size() - offset;
        for (depth, layer) in self.layers.iter_mut().enumerate() {
            if offset >= layer.size() {
                // A layer that is too short has nothing there, and hides what is below.
                let kind = Kind::Unallocated;
                return Ok((Mapping { length, kind }, depth));
            }
            let mapping = layer.map(offset)?;
            assert!(mapping.length >= 1 && offset + mapping.length <= layer.size());
            length = length.min(mapping.length);
            if mapping.kind != Kind::Unallocated {
                return Ok((
                    Mapping {
                        length,
                        kind: mapping.kind,
                    },
                    depth,
                ));
            }
        }
        let kind = Kind::Unallocated;
        Ok((Mapping { length, kind }, self.layers.len()))
    }

    /// Everything that is not zero.
    pub fn read_sparse(&mut self, host: &Native) -> Sparse {
        let size = self.layers[0].size();
        let mut sparse = Sparse {
            size,
            ..Sparse::default()
        };
        let mut decoder = Decoder::new();
        let mut offset = 0;
        while offset < size {
            let (mapping, _) = self.map(offset).unwrap();
            let end = offset + mapping.length;
            if !matches!(mapping.kind, Kind::Zero { .. } | Kind::Unallocated) {
                let mut bytes = vec![0; mapping.length as usize];
                fetch(host, &mut decoder, mapping.kind, &mut bytes).unwrap();
                sparse.put(offset, &bytes);
            }
            offset = end;
        }
        sparse
    }

    pub fn read_all(&mut self, host: &Native) -> Vec<u8> {
        self.try_read_all(host).unwrap()
    }

    /// Everything, or that something cannot be mapped or decoded.
    pub fn try_read_all(&mut self, host: &Native) -> Result<Vec<u8>, ()> {
        let size = self.layers[0].size();
        let mut bytes = vec![0; usize::try_from(size).unwrap()];
        let mut decoder = Decoder::new();
        let mut offset = 0;
        while offset < size {
            let (mapping, _) = self.map(offset).map_err(drop)?;
            let end = offset + mapping.length;
            let into = &mut bytes[offset as usize..end as usize];
            fetch(host, &mut decoder, mapping.kind, into)?;
            offset = end;
        }
        Ok(bytes)
    }
}

/// The bytes of a mapping; `into` is zero before.
pub fn fetch(host: &Native, decoder: &mut Decoder, kind: Kind, into: &mut [u8]) -> Result<(), ()> {
    match kind {
        Kind::Sealed(_) => return Err(()),
        Kind::Zero { .. } | Kind::Unallocated => {}
        Kind::Data { slot, offset } => {
            let action = Action::Read { slot, offset, into };
            let mut io = [Io::new(action)];
            host.submit(&mut io);
            let [io] = io;
            io.outcome.map_err(drop)?;
        }
        Kind::Encoded(encoded) => {
            let mut stored = vec![0; encoded.stored as usize];
            let mut io = [Io::new(Action::Read {
                slot: encoded.slot,
                offset: encoded.offset,
                into: &mut stored,
            })];
            host.submit(&mut io);
            let [io] = io;
            let read = io.outcome.map_err(drop)?;
            let mut unit = vec![0; encoded.unit as usize];
            decoder
                .decode(encoded.codec, &stored[..read as usize], &mut unit)
                .map_err(drop)?;
            into.copy_from_slice(&unit[encoded.within as usize..][..into.len()]);
        }
    }
    Ok(())
}

/// Writes `edits` (offset, bytes) into a copy of `from`.
pub fn edited(from: &[u8], edits: &[(u64, &[u8])]) -> Vec<u8> {
    let mut bytes = from.to_vec();
    for (offset, edit) in edits {
        let start = usize::try_from(*offset).unwrap();
        bytes[start..start + edit.len()].copy_from_slice(edit);
    }
    bytes
}
