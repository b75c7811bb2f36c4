//! Images that qemu-img would never make: qcow2 files edited byte by byte.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::Bench;

/// Places in a qcow2 header, by the names of its specification.
pub mod field {
    #![allow(missing_docs, reason = "the names of the qcow2 specification")]
    pub const MAGIC: u64 = 0;
    pub const VERSION: u64 = 4;
    pub const BACKING_FILE_OFFSET: u64 = 8;
    pub const BACKING_FILE_SIZE: u64 = 16;
    pub const CLUSTER_BITS: u64 = 20;
    pub const SIZE: u64 = 24;
    pub const CRYPT_METHOD: u64 = 32;
    pub const L1_SIZE: u64 = 36;
    pub const L1_TABLE_OFFSET: u64 = 40;
    pub const REFCOUNT_TABLE_OFFSET: u64 = 48;
    pub const REFCOUNT_TABLE_CLUSTERS: u64 = 56;
    pub const NB_SNAPSHOTS: u64 = 60;
    pub const SNAPSHOTS_OFFSET: u64 = 64;
    pub const INCOMPATIBLE_FEATURES: u64 = 72;
    pub const COMPATIBLE_FEATURES: u64 = 80;
    pub const AUTOCLEAR_FEATURES: u64 = 88;
    pub const REFCOUNT_ORDER: u64 = 96;
    pub const HEADER_LENGTH: u64 = 100;
    pub const COMPRESSION_TYPE: u64 = 104;
}

/// Where a crafted name is put: behind the header extensions, inside the first cluster.
const NAME_OFFSET: u64 = 0x1000;

/// An image being edited. All integers are big-endian, as qcow2 has them.
#[derive(Debug)]
pub struct Crafted {
    file: File,
}

impl Crafted {
    /// A new qcow2 image of `size` with 64 KiB clusters that holds `data` bytes of the usual pattern from its start.
    ///
    /// # Panics
    ///
    /// If qemu-img refuses to make it.
    pub fn image(bench: &Bench, name: &str, size: &str, options: &str, data: u64) -> Self {
        let mut words = vec!["create", "-q", "-f", "qcow2"];
        if !options.is_empty() {
            words.extend(["-o", options]);
        }
        bench.qemu(words.into_iter().chain([name, size])).succeeds();
        if data > 0 {
            std::fs::write(bench.path("piece"), crate::disk::pattern(0, data, 1)).unwrap();
            crate::variant::io(bench, name, &[&format!("write -s piece 0 {data}")]);
            std::fs::remove_file(bench.path("piece")).unwrap();
        }
        Self::open(&bench.path(name))
    }

    /// An existing file.
    ///
    /// # Panics
    ///
    /// If it cannot be opened.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        Self {
            file: File::options().read(true).write(true).open(path).unwrap(),
        }
    }

    /// Writes bytes.
    ///
    /// # Panics
    ///
    /// If they cannot be written.
    pub fn bytes(&self, offset: u64, bytes: &[u8]) -> &Self {
        self.file.write_all_at(bytes, offset).unwrap();
        self
    }

    /// Writes one byte.
    pub fn byte(&self, offset: u64, value: u8) -> &Self {
        self.bytes(offset, &[value])
    }

    /// Writes a 32-bit integer.
    pub fn u32(&self, offset: u64, value: u32) -> &Self {
        self.bytes(offset, &value.to_be_bytes())
    }

    /// Writes a 64-bit integer.
    pub fn u64(&self, offset: u64, value: u64) -> &Self {
        self.bytes(offset, &value.to_be_bytes())
    }

    /// Reads a 64-bit integer.
    ///
    /// # Panics
    ///
    /// If the file ends before it.
    #[must_use]
    pub fn get(&self, offset: u64) -> u64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, offset).unwrap();
        u64::from_be_bytes(bytes)
    }

    /// Names a backing file.
    ///
    /// # Panics
    ///
    /// If the name has more bytes than fit the header field.
    pub fn backing(&self, name: &[u8]) -> &Self {
        self.bytes(NAME_OFFSET, name)
            .u64(field::BACKING_FILE_OFFSET, NAME_OFFSET)
            .u32(field::BACKING_FILE_SIZE, u32::try_from(name.len()).unwrap())
    }

    /// Puts header extensions in place of those that are there: kind and content of each.
    ///
    /// # Panics
    ///
    /// If one is too long.
    pub fn extensions(&self, extensions: &[(u32, &[u8])]) -> &Self {
        let mut at = 112;
        for (kind, content) in extensions {
            self.u32(at, *kind).u32(at + 4, u32::try_from(content.len()).unwrap()).bytes(at + 8, content);
            at += 8 + (content.len() as u64).next_multiple_of(8);
        }
        self.u64(at, 0)
    }

    /// Names an external data file.
    pub fn data_file(&self, name: &[u8]) -> &Self {
        self.extensions(&[(EXTENSION_DATA_FILE, name)]).u64(field::INCOMPATIBLE_FEATURES, 4)
    }

    /// Sets the length of the file.
    ///
    /// # Panics
    ///
    /// If it cannot be set.
    pub fn length(&self, length: u64) -> &Self {
        self.file.set_len(length).unwrap();
        self
    }

    /// The file's length.
    ///
    /// # Panics
    ///
    /// If the system cannot say.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.file.metadata().unwrap().len()
    }
}

/// Header extension: format of the backing file.
pub const EXTENSION_BACKING_FORMAT: u32 = 0xe279_2aca;
/// Header extension: names of features.
pub const EXTENSION_FEATURES: u32 = 0x6803_f857;
/// Header extension: name of the data file.
pub const EXTENSION_DATA_FILE: u32 = 0x4441_5441;
/// Marks an L1 or L2 entry whose cluster has a refcount of exactly one.
pub const COPIED: u64 = 1 << 63;
/// Marks an L2 entry of a compressed cluster.
pub const COMPRESSED: u64 = 1 << 62;
