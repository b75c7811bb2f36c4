//! `--limits`: in which pieces the parts of an image are best read and written, as qemu 11.1 works it out.
//!
//! Two things decide: what the kernel says of the file, and how the format lays out its clusters. A limit of the file's holds for the
//! format above it, too, except for what only the file itself is asked to do.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use instar_abi::Format;
use instar_abi::report::{Info, Specific};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, major, minor, open, statx};
use rustix::io::pread;

use crate::json::Object;

/// Alignments that qemu tries for a buffer, smallest first.
const TRIED: [u64; 5] = [1, 512, 1024, 2048, 4096];
/// Bytes of a page: what buffers are best aligned to.
const PAGE: u64 = 4096;
/// Pieces that one request may be gathered from (IOV_MAX).
const PIECES: u64 = 1024;
/// Bytes of a request: what an `int` can say.
const LARGEST_REQUEST: u64 = (1 << 31) - 1;
/// Bytes of a sector.
const SECTOR: u64 = 512;
/// Subclusters of an extended cluster.
const SUBCLUSTERS: u64 = 32;

/// What the kernel says of a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileLimits {
    /// Bytes to which buffers and requests must be aligned.
    alignment: u64,
    /// What only devices have.
    device: Option<Device>,
}

/// What the kernel says of a device's queue.
#[derive(Clone, Copy, Debug, Default)]
struct Device {
    transfer: Option<u64>,
    pieces: Option<u64>,
    discard: Option<u64>,
    block: Option<u64>,
}

impl FileLimits {
    /// Looks at the file at `path`, which is read past the page cache if `direct`. To be asked before the process is confined.
    pub(super) fn of(path: &Path, direct: bool) -> Self {
        let metadata = fs::metadata(path);
        let device = metadata
            .ok()
            .filter(|metadata| metadata.file_type().is_block_device())
            .map(|metadata| Device::of(metadata.rdev()));
        let alignment = if direct { direct_alignment(path, device) } else { 1 };
        Self { alignment, device }
    }

    /// Of a file without limits of its own.
    const fn alike(self) -> Self {
        Self { device: None, ..self }
    }
}

/// Limits of one image, or one layer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Of its main file.
    file: FileLimits,
    /// The format was guessed, and is raw: writes go by sectors, so that the first one can be watched.
    guessed_raw: bool,
}

impl Limits {
    pub(super) const fn new(file: FileLimits, guessed_raw: bool) -> Self {
        Self { file, guessed_raw }
    }

    /// For a layer below, whose file nobody asked about.
    pub(super) const fn below(self) -> Self {
        Self {
            file: self.file.alike(),
            guessed_raw: false,
        }
    }

    /// Of the image.
    pub(super) fn image(&self, info: &Info) -> Object {
        let cluster = info.cluster_size;
        let (zeroes, discard) = match (&info.specific, info.format) {
            (Some(Specific::Qcow2(qcow2)), _) if qcow2.extended_l2 => {
                (cluster.map(|cluster| cluster / SUBCLUSTERS), cluster)
            }
            (_, Format::Qcow2) => (cluster, cluster),
            (_, Format::Vmdk | Format::Qed) => (cluster, None),
            (_, Format::Raw) => (None, self.file.device.and_then(|device| device.discard)),
            _ => (None, None),
        };
        let is_of_sectors = matches!(
            info.format,
            Format::Vhdx | Format::Qed | Format::Qcow | Format::Parallels
        );
        let by_sectors = self.guessed_raw || info.encrypted || is_of_sectors;
        let object = self.object(zeroes, if by_sectors { SECTOR } else { 1 }, discard);
        // Whole clusters of what a request can have.
        let most = cluster.filter(|_| info.format == Format::Qed);
        object.with_some(
            "max-write-zeroes",
            most.map(|cluster| LARGEST_REQUEST / cluster * cluster),
        )
    }

    /// Of a raw part of the file.
    pub(super) fn part(&self) -> Object {
        self.object(None, 1, None)
    }

    /// Of the file itself.
    pub(super) fn file(&self) -> Object {
        let device = self.file.device.unwrap_or_default();
        // Past the page cache every request is aligned as that anyway.
        let zeroes = device.block.filter(|_| self.file.alignment == 1);
        self.object(zeroes, self.file.alignment, device.discard)
    }

    /// Of another file of the image.
    pub(super) fn other_file(&self) -> Object {
        self.below().file()
    }

    fn object(&self, zeroes: Option<u64>, request: u64, discard: Option<u64>) -> Object {
        let device = self.file.device.unwrap_or_default();
        Object::new()
            .with_some("write-zeroes-alignment", zeroes)
            .with("request-alignment", request)
            .with("min-mem-alignment", self.file.alignment)
            .with_some("max-hw-transfer", device.transfer)
            .with_some("discard-alignment", discard)
            .with("opt-mem-alignment", PAGE.max(self.file.alignment))
            .with("max-iov", PIECES)
            .with_some("max-hw-iov", device.pieces)
    }
}

impl Device {
    /// The queue of the device of this number; a partition has that of its disk.
    fn of(number: u64) -> Self {
        let place = format!("/sys/dev/block/{}:{}", major(number), minor(number));
        let queues = [format!("{place}/queue"), format!("{place}/../queue")];
        let said = |name: &str| {
            let mut files = queues.iter().map(|queue| Path::new(queue).join(name));
            let text = files.find_map(|file| fs::read_to_string(file).ok())?;
            text.trim().parse::<u64>().ok().filter(|value| *value > 0)
        };
        Self {
            transfer: said("max_sectors_kb").and_then(|kib| kib.checked_mul(1024)),
            pieces: said("max_segments"),
            discard: said("discard_granularity"),
            block: said("logical_block_size"),
        }
    }
}

/// To how many bytes requests past the page cache are aligned.
fn direct_alignment(path: &Path, device: Option<Device>) -> u64 {
    let said = statx(CWD, path, AtFlags::empty(), StatxFlags::DIOALIGN)
        .ok()
        .filter(|found| found.stx_mask & StatxFlags::DIOALIGN.bits() != 0)
        .map(|found| u64::from(found.stx_dio_mem_align.max(found.stx_dio_offset_align)))
        .filter(|alignment| *alignment > 0);
    let block = device.and_then(|device| device.block);
    let least = said.or(block).unwrap_or_else(|| guessed_alignment(path));
    let tried = TRIED.into_iter().find(|tried| *tried >= least);
    tried.unwrap_or(least)
}

/// The same where the filesystem does not say, as in memory: one that lets a byte be read is not trusted with less than a page.
fn guessed_alignment(path: &Path) -> u64 {
    let flags = OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let read = open(path, flags, Mode::empty()).and_then(|file| pread(file, &mut [0; 1], 0));
    if read.is_ok() { PAGE } else { SECTOR }
}
