//! How new images are laid out.

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::cipher::{CipherAlgorithm, CipherMode, CipherSpec, HashName, IvGenerator};
use crate::file::{Format, Slot};
use crate::text::ImageText;

/// How a new image is laid out: one variant a format, values checked by the host's option parser.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Create {
    /// A plain file.
    Raw(RawCreate),
    /// qcow2.
    Qcow2(Qcow2Create),
    /// VMDK.
    Vmdk(VmdkCreate),
    /// VHD.
    Vpc(VpcCreate),
    /// VHDX.
    Vhdx(VhdxCreate),
    /// VDI.
    Vdi(VdiCreate),
    /// QED.
    Qed(QedCreate),
    /// LUKS.
    Luks(LuksCreate),
    /// Qcow, version 1.
    Qcow(QcowCreate),
    /// Parallels.
    Parallels(ParallelsCreate),
}

impl Create {
    /// The format that is written.
    #[must_use]
    pub const fn format(&self) -> Format {
        match self {
            Self::Raw(_) => Format::Raw,
            Self::Qcow2(_) => Format::Qcow2,
            Self::Vmdk(_) => Format::Vmdk,
            Self::Vpc(_) => Format::Vpc,
            Self::Vhdx(_) => Format::Vhdx,
            Self::Vdi(_) => Format::Vdi,
            Self::Qed(_) => Format::Qed,
            Self::Luks(_) => Format::Luks,
            Self::Qcow(_) => Format::Qcow,
            Self::Parallels(_) => Format::Parallels,
        }
    }
}

/// How space is reserved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Preallocation {
    /// Not.
    #[default]
    Off,
    /// Tables only.
    Metadata,
    /// By fallocate.
    Falloc,
    /// By writing zeros.
    Full,
}

impl Preallocation {
    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Metadata => "metadata",
            Self::Falloc => "falloc",
            Self::Full => "full",
        }
    }
}

/// Options of a raw target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RawCreate {
    /// `preallocation`; never `Metadata`.
    pub preallocation: Preallocation,
}

/// Options of a qcow2 target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Qcow2Create {
    /// 2 or 3.
    pub version: u32,
    /// log2 of the cluster size, 9 to 21.
    pub cluster_bits: u32,
    /// log2 of the refcount width in bits, 0 to 6.
    pub refcount_order: u32,
    /// `lazy_refcounts`.
    pub lazy_refcounts: bool,
    /// `extended_l2`.
    pub extended_l2: bool,
    /// `compression_type`.
    pub compression: Compression,
    /// `preallocation`.
    pub preallocation: Preallocation,
    /// `backing_file`, as it is written to the image.
    pub backing_file: Option<ImageText>,
    /// `backing_fmt`.
    pub backing_format: Option<ImageText>,
    /// `data_file`: its slot and its name as it is written to the image.
    pub data_file: Option<(Slot, ImageText)>,
    /// `data_file_raw`.
    pub data_file_raw: bool,
    /// `keep_data_file`: the data file has the disk's bytes already.
    pub keeps_data: bool,
    /// `encrypt.*`: how its data is sealed, if it is.
    pub encryption: Option<NewEncryption>,
}

/// How a new image is encrypted inside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NewEncryption {
    /// `aes`: by the passphrase itself, the name of whose secret this is.
    Aes(ImageText),
    /// `luks`: by a key that a LUKS header holds.
    Luks(LuksCreate),
}

impl NewEncryption {
    /// The name of the secret that it is sealed with.
    #[must_use]
    pub const fn key(&self) -> Option<&ImageText> {
        match self {
            Self::Aes(key) => Some(key),
            Self::Luks(options) => options.key.as_ref(),
        }
    }
}

impl Default for Qcow2Create {
    fn default() -> Self {
        Self {
            version: 3,
            cluster_bits: 16,
            refcount_order: 4,
            lazy_refcounts: false,
            extended_l2: false,
            compression: Compression::Zlib,
            preallocation: Preallocation::Off,
            backing_file: None,
            backing_format: None,
            data_file: None,
            data_file_raw: false,
            keeps_data: false,
            encryption: None,
        }
    }
}

/// How clusters are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compression {
    /// Deflate.
    Zlib,
    /// Zstandard.
    Zstd,
}

/// Options of a VMDK target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmdkCreate {
    /// `subformat`.
    pub subformat: VmdkSubformat,
    /// `adapter_type`.
    pub adapter: VmdkAdapter,
    /// Virtual hardware version: `hwversion`, or 6 by `compat6`. Empty: 4.
    pub hw_version: ImageText,
    /// `toolsversion`. Empty: 2147483647.
    pub tools_version: ImageText,
    /// `zeroed_grain`.
    pub zeroed_grain: bool,
    /// `backing_file`, as it is written to the image.
    pub backing_file: Option<ImageText>,
    /// The base name of the descriptor file, from which the names of extents are made.
    pub file_name: ImageText,
    /// Slots of the extent files, opened by the host under the names that [`crate::vmdk::extent_files`] gives, in order.
    pub extents: Vec<Slot>,
}

impl Default for VmdkCreate {
    fn default() -> Self {
        Self {
            subformat: VmdkSubformat::MonolithicSparse,
            adapter: VmdkAdapter::Ide,
            hw_version: ImageText::default(),
            tools_version: ImageText::default(),
            zeroed_grain: false,
            backing_file: None,
            file_name: ImageText::default(),
            extents: Vec::new(),
        }
    }
}

/// Layouts of a VMDK.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names of the VMDK specification")]
pub enum VmdkSubformat {
    MonolithicSparse,
    MonolithicFlat,
    TwoGbMaxExtentSparse,
    TwoGbMaxExtentFlat,
    StreamOptimized,
}

/// Virtual disk controllers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names of the VMDK specification")]
pub enum VmdkAdapter {
    Ide,
    LsiLogic,
    BusLogic,
    LegacyEsx,
}

/// Options of a VHD target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VpcCreate {
    /// `subformat=fixed`.
    pub fixed: bool,
    /// `force_size`: the byte size is kept, geometry is the largest.
    pub force_size: bool,
}

/// Options of a VHDX target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VhdxCreate {
    /// `subformat=fixed`.
    pub fixed: bool,
    /// `block_size` in bytes as the user gave it; 0: chosen by size.
    pub block_size: u64,
    /// `log_size` in bytes as the user gave it.
    pub log_size: u64,
    /// `block_state_zero`.
    pub block_state_zero: bool,
}

/// Options of a VDI target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VdiCreate {
    /// `static=on`.
    pub static_image: bool,
    /// Data starts on a multiple of 4096 bytes instead of 512, as VirtualBox has it, so that blocks of other files can become part of it.
    pub aligned: bool,
}

/// Options of a QED target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QedCreate {
    /// `cluster_size`, bytes.
    pub cluster_size: u64,
    /// `table_size`, clusters.
    pub table_size: u64,
    /// `backing_file`, as it is written to the image.
    pub backing_file: Option<ImageText>,
    /// `backing_fmt=raw`, the only one that the format can say.
    pub backing_raw: bool,
}

impl Default for QedCreate {
    fn default() -> Self {
        Self {
            cluster_size: 65536,
            table_size: 4,
            backing_file: None,
            backing_raw: false,
        }
    }
}

/// Options of a qcow target of version 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QcowCreate {
    /// `backing_file`, as it is written to the image. Of its format nothing is.
    pub backing_file: Option<ImageText>,
    /// `encrypt.key-secret`: the name of the secret that it is encrypted with, if it is.
    pub key: Option<ImageText>,
}

/// Options of a LUKS target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LuksCreate {
    /// `cipher-alg`, `cipher-mode`, `ivgen-alg` and `ivgen-hash-alg`.
    pub cipher: CipherSpec,
    /// `hash-alg`.
    pub hash: HashName,
    /// How fast this machine derives keys.
    pub speed: Speed,
    /// `key-secret`: the name of the secret.
    pub key: Option<ImageText>,
    /// `preallocation`; never `Metadata`.
    pub preallocation: Preallocation,
    /// `detached-header`: nothing but the header is made.
    pub detached: bool,
}

impl Default for LuksCreate {
    fn default() -> Self {
        Self {
            cipher: CipherSpec {
                algorithm: CipherAlgorithm::Aes256,
                mode: CipherMode::Xts,
                ivgen: IvGenerator::Plain64,
                ivhash: None,
            },
            hash: HashName::Sha256,
            speed: Speed::default(),
            key: None,
            preallocation: Preallocation::Off,
            detached: false,
        }
    }
}

/// How fast this machine derives keys, and how long it is to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Speed {
    /// Iterations of PBKDF2 a second, for one block of the hash.
    pub iterations: u64,
    /// `iter-time`, milliseconds.
    pub milliseconds: u64,
}

/// Options of a Parallels target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParallelsCreate {
    /// `cluster_size`, bytes.
    pub cluster_size: u64,
}

impl Default for ParallelsCreate {
    fn default() -> Self {
        Self {
            cluster_size: 1 << 20,
        }
    }
}
