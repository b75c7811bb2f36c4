//! Images that are made: their formats and options.

use instar_abi::ImageText;
use instar_abi::job::{
    Compression as AbiCompression, Create, ParallelsCreate, Preallocation as AbiPreallocation, Qcow2Create,
    QcowCreate, QedCreate, RawCreate, VdiCreate, VhdxCreate, VmdkCreate, VmdkSubformat, VpcCreate,
};

use crate::error::{Error, Kind};

/// The format of an image that is made, and its options. Each format of one file is one of the constructors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewImage(Create);

/// Options of a qcow2 image.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Qcow2Options {
    /// Bytes of a cluster: a power of two from 512 to 2 MiB.
    pub cluster_size: u32,
    /// How clusters are compressed, if they are.
    pub compression: Compression,
    /// Refcounts are written late.
    pub lazy_refcounts: bool,
    /// Entries with 32 subclusters.
    pub extended_l2: bool,
    /// How space is reserved.
    pub preallocation: Preallocation,
    /// The name of a layer below and its format, as they are written to the image. Nothing is opened by it.
    pub backing: Option<(Vec<u8>, String)>,
}

/// How clusters are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// Deflate.
    #[default]
    Zlib,
    /// Zstandard.
    Zstd,
}

/// How space is reserved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Preallocation {
    /// Not.
    #[default]
    Off,
    /// Tables only; not in raw images.
    Metadata,
    /// By the filesystem.
    Falloc,
    /// By writing zeros.
    Full,
}

impl Default for Qcow2Options {
    fn default() -> Self {
        Self {
            cluster_size: 1 << 16,
            compression: Compression::default(),
            lazy_refcounts: false,
            extended_l2: false,
            preallocation: Preallocation::default(),
            backing: None,
        }
    }
}

impl NewImage {
    /// A plain file.
    #[must_use]
    pub fn raw() -> Self {
        Self(Create::Raw(RawCreate::default()))
    }

    /// QEMU's image with the usual options.
    #[must_use]
    pub fn qcow2() -> Self {
        Self(Create::Qcow2(Qcow2Create::default()))
    }

    /// QEMU's image with these options.
    ///
    /// # Errors
    /// [`Kind::Arguments`]: a cluster size that is no power of two from 512 to 2 MiB. What else is wrong is said when the image is made.
    pub fn qcow2_with(options: &Qcow2Options) -> Result<Self, Error> {
        let size = options.cluster_size;
        if !size.is_power_of_two() || !(1 << 9..=1 << 21).contains(&size) {
            let text = format!("Cluster size must be a power of two from 512 to 2097152, not {size}");
            return Err(Error::new(Kind::Arguments, text));
        }
        let backing = options.backing.as_ref();
        Ok(Self(Create::Qcow2(Qcow2Create {
            cluster_bits: size.trailing_zeros(),
            lazy_refcounts: options.lazy_refcounts,
            extended_l2: options.extended_l2,
            compression: match options.compression {
                Compression::Zlib => AbiCompression::Zlib,
                Compression::Zstd => AbiCompression::Zstd,
            },
            preallocation: options.preallocation.abi(),
            backing_file: backing.map(|(name, _)| ImageText::new(name)),
            backing_format: backing.map(|(_, format)| ImageText::new(format.as_bytes())),
            ..Qcow2Create::default()
        })))
    }

    /// VirtualBox's image.
    #[must_use]
    pub fn vdi() -> Self {
        Self(Create::Vdi(VdiCreate::default()))
    }

    /// VMware's image, sparse and in one file.
    #[must_use]
    pub fn vmdk() -> Self {
        Self(Create::Vmdk(VmdkCreate::default()))
    }

    /// VMware's compressed image for transport.
    #[must_use]
    pub fn vmdk_stream_optimized() -> Self {
        Self(Create::Vmdk(VmdkCreate {
            subformat: VmdkSubformat::StreamOptimized,
            ..VmdkCreate::default()
        }))
    }

    /// The image of Virtual PC and Azure (VHD). With `fixed`, every byte of the disk has its place.
    #[must_use]
    pub fn vpc(fixed: bool) -> Self {
        Self(Create::Vpc(VpcCreate {
            fixed,
            ..VpcCreate::default()
        }))
    }

    /// Hyper-V's image. With `fixed`, every byte of the disk has its place.
    #[must_use]
    pub fn vhdx(fixed: bool) -> Self {
        const LOG: u64 = 1 << 20;
        Self(Create::Vhdx(VhdxCreate {
            fixed,
            block_size: 0,
            log_size: LOG,
            block_state_zero: true,
        }))
    }

    /// QEMU's enhanced disk.
    #[must_use]
    pub fn qed() -> Self {
        Self(Create::Qed(QedCreate::default()))
    }

    /// QEMU's first image.
    #[must_use]
    pub fn qcow() -> Self {
        Self(Create::Qcow(QcowCreate::default()))
    }

    /// Parallels' image.
    #[must_use]
    pub fn parallels() -> Self {
        Self(Create::Parallels(ParallelsCreate::default()))
    }

    /// For a file of that name, which some formats have in them.
    pub(crate) fn named(&self, name: &[u8]) -> Create {
        let mut create = self.0.clone();
        if let Create::Vmdk(options) = &mut create {
            options.file_name = ImageText::new(name);
        }
        create
    }
}

impl Preallocation {
    const fn abi(self) -> AbiPreallocation {
        match self {
            Self::Off => AbiPreallocation::Off,
            Self::Metadata => AbiPreallocation::Metadata,
            Self::Falloc => AbiPreallocation::Falloc,
            Self::Full => AbiPreallocation::Full,
        }
    }
}
