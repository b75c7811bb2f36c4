//! On what a file's bytes rest, so that no run writes to what it reads.
//!
//! ```text
//!  /dev/mapper/a ── made of ──► /dev/loop0p1 ── part of ──► /dev/loop0 ── shows ──► disk.img ── stands on ──► /dev/sda1
//!                                                                                                 (its filesystem)
//! ```
//!
//! Two open files collide if writing to the one may change bytes of the other. Names, links and locks say nothing of that: a
//! hard link is another name, a loop device another inode, and many filesystems have no locks.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use instar_abi::FileKind;
use rustix::fs::{Stat, major, makedev, minor};

use crate::file::Identity;
use crate::sys;

/// Something that holds bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    File(Identity),
    Device(u64),
}

/// What an open file is, and what lies below it.
#[derive(Clone, Debug)]
pub(crate) struct Storage {
    own: Holder,
    /// What a device is made of, part of, or a view of, all the way down.
    below: Vec<Holder>,
    /// The device of the filesystem that a regular file stands on.
    filesystem: Option<u64>,
    /// What a loop device shows.
    view: Option<View>,
}

/// A loop device's part of a file.
#[derive(Clone, Copy, Debug)]
struct View {
    file: Identity,
    start: u64,
    /// The first byte that it does not show.
    end: u64,
}

impl Storage {
    /// That of an open file. A device is looked into as far as the system tells.
    pub(crate) fn of(fd: &OwnedFd, stat: &Stat, kind: FileKind) -> Self {
        let mut storage = Self::at_a_glance(stat, kind);
        if kind != FileKind::Block {
            return storage;
        }
        storage.view = view(fd.as_fd());
        storage
            .below
            .extend(storage.view.map(|view| Holder::File(view.file)));
        let mut next = 0;
        storage.look_below(stat.st_rdev);
        while let Some(holder) = storage.below.get(next).copied() {
            if let Holder::Device(device) = holder {
                storage.look_below(device);
            }
            next += 1;
        }
        if is_part(stat.st_rdev) {
            // The whole loop device's, not the part's.
            storage.view = None;
        }
        storage
    }

    /// The same, of a device without what it is made of: once our own process is confined, no more can be looked at.
    pub(crate) fn at_a_glance(stat: &Stat, kind: FileKind) -> Self {
        let is_device = kind == FileKind::Block;
        Self {
            own: if is_device {
                Holder::Device(stat.st_rdev)
            } else {
                Holder::File(Identity::of(stat))
            },
            below: Vec::new(),
            filesystem: (!is_device).then_some(stat.st_dev),
            view: None,
        }
    }

    pub(crate) const fn is_device(&self) -> bool {
        matches!(self.own, Holder::Device(_))
    }

    /// The files among what this is and what lies below it.
    pub(crate) fn files(&self) -> impl Iterator<Item = Identity> {
        let holders = self.below.iter().chain([&self.own]);
        holders.filter_map(|holder| match holder {
            Holder::File(file) => Some(*file),
            Holder::Device(_) => None,
        })
    }

    /// Whether writing to what this is may change bytes of `other`.
    pub(crate) fn overwrites(&self, other: &Self) -> bool {
        let carries = other.filesystem.map(Holder::Device) == Some(self.own);
        let same_view = match (self.view, other.view) {
            (Some(one), Some(two)) => one.file == two.file && one.start < two.end && two.start < one.end,
            _ => false,
        };
        self.own == other.own
            || other.below.contains(&self.own)
            || self.below.contains(&other.own)
            || carries
            || same_view
    }

    /// Notes what a device is made of, as sysfs tells.
    fn look_below(&mut self, device: u64) {
        let place = sysfs(device);
        let place = Path::new(&place);
        let number = |path: &Path| std::fs::read_to_string(path).ok().and_then(|text| numbers(&text));
        if is_part(device) {
            self.note(number(&place.join("../dev")).map(Holder::Device));
        }
        let shown = std::fs::read_to_string(place.join("loop/backing_file"));
        let shown = shown.ok().and_then(|path| rustix::fs::stat(path.trim_end()).ok());
        self.note(shown.map(|stat| Holder::File(Identity::of(&stat))));
        for entry in std::fs::read_dir(place.join("slaves"))
            .into_iter()
            .flatten()
            .flatten()
        {
            self.note(number(&entry.path().join("dev")).map(Holder::Device));
        }
    }

    fn note(&mut self, holder: Option<Holder>) {
        let known = |holder: &Holder| *holder == self.own || self.below.contains(holder);
        if let Some(holder) = holder.filter(|holder| !known(holder))
            && self.below.len() < HOLDERS
        {
            self.below.push(holder);
        }
    }
}

/// Whether a loop device shows this file. Only devices that are in use now are looked at.
pub(crate) fn is_shown(file: Identity) -> bool {
    let devices = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let mut shown = devices
        .take(DEVICES)
        .filter_map(|device| std::fs::read_to_string(device.path().join("loop/backing_file")).ok());
    shown.any(|path| rustix::fs::stat(path.trim_end()).is_ok_and(|stat| Identity::of(&stat) == file))
}

/// What the device behind `fd`, or the whole one that it is part of, shows as a loop device.
fn view(fd: BorrowedFd<'_>) -> Option<View> {
    let status = sys::loop_status(fd).ok()?;
    let end = match status.length {
        0 => u64::MAX,
        length => status.offset.saturating_add(length),
    };
    Some(View {
        file: Identity::new(status.device, status.inode),
        start: status.offset,
        end,
    })
}

/// Whether the device is a partition.
fn is_part(device: u64) -> bool {
    Path::new(&sysfs(device)).join("partition").exists()
}

fn sysfs(device: u64) -> String {
    format!("/sys/dev/block/{}:{}", major(device), minor(device))
}

/// A device number as sysfs writes it: `8:1`.
fn numbers(text: &str) -> Option<u64> {
    let (major, minor) = text.trim_end().split_once(':')?;
    Some(makedev(major.parse().ok()?, minor.parse().ok()?))
}

/// Holders noted below one device. Ours: more than any stack of devices that is in use.
const HOLDERS: usize = 256;
/// Devices looked at in search of loop devices. Ours.
const DEVICES: usize = 4096;

#[cfg(test)]
impl Storage {
    /// One of each kind, most of which have to do with one another.
    pub(crate) fn samples() -> Vec<Self> {
        tests::samples()
    }

    /// A file that has to do with none of them.
    pub(crate) fn unlike(inode: u64) -> Self {
        tests::file(inode, 99)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files on a disk, the disk, its parts, and loop devices that show a file.
    pub(super) fn samples() -> Vec<Storage> {
        let shown = Identity::new(8, 12);
        let view = |number, start, end| Storage {
            view: Some(View {
                file: shown,
                start,
                end,
            }),
            ..device(number, &[Holder::File(shown), Holder::Device(8)])
        };
        vec![
            file(12, 8),
            file(13, 8),
            file(12, 9),
            device(8, &[]),
            device(9, &[Holder::Device(8)]),
            device(10, &[Holder::Device(9), Holder::Device(8)]),
            device(11, &[]),
            view(20, 0, 4096),
            view(21, 2048, 8192),
            view(22, 4096, 8192),
        ]
    }

    fn device(number: u64, below: &[Holder]) -> Storage {
        Storage {
            own: Holder::Device(number),
            below: below.to_vec(),
            filesystem: None,
            view: None,
        }
    }

    pub(super) fn file(inode: u64, on: u64) -> Storage {
        Storage {
            own: Holder::File(Identity::new(on, inode)),
            below: Vec::new(),
            filesystem: Some(on),
            view: None,
        }
    }

    #[test]
    fn a_device_and_what_it_is_made_of_overwrite_each_other() {
        let whole = device(8, &[]);
        let part = device(9, &[Holder::Device(8)]);
        let mapped = device(10, &[Holder::Device(9), Holder::Device(8)]);
        for (one, two) in [(&whole, &part), (&part, &mapped), (&whole, &mapped)] {
            assert!(one.overwrites(two) && two.overwrites(one));
        }
        let other = device(11, &[Holder::Device(8)]);
        assert!(
            !part.overwrites(&other),
            "two partitions of one disk are two disks"
        );
    }

    #[test]
    fn a_device_overwrites_the_files_on_it_but_they_do_not_overwrite_it() {
        let disk = device(8, &[]);
        let image = file(12, 8);
        assert!(disk.overwrites(&image));
        assert!(
            !image.overwrites(&disk),
            "an image of the disk that it is kept on"
        );
        assert!(!image.overwrites(&file(13, 8)));
        assert!(image.overwrites(&file(12, 8)));
    }

    #[test]
    fn loop_devices_of_one_file_collide_where_they_overlap() {
        let shown = Identity::new(1, 2);
        let view = |number, start, end| Storage {
            view: Some(View {
                file: shown,
                start,
                end,
            }),
            ..device(number, &[Holder::File(shown)])
        };
        assert!(view(7, 0, 4096).overwrites(&view(8, 4095, 8192)));
        assert!(!view(7, 0, 4096).overwrites(&view(8, 4096, 8192)));
        assert!(file(2, 1).overwrites(&view(7, 0, 4096)));
        assert!(view(7, 0, 4096).overwrites(&file(2, 1)));
    }

    #[test]
    fn device_numbers_of_sysfs_are_read() {
        assert_eq!(numbers("8:1\n"), Some(makedev(8, 1)));
        assert_eq!(numbers("259:70000"), Some(makedev(259, 70_000)));
        for wrong in ["", "8", "8:", "a:b", "8:1:2"] {
            assert_eq!(numbers(wrong), None, "{wrong}");
        }
    }
}
