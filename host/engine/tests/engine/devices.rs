//! Block devices and filesystems of other kinds, by loop devices. Takes privileges and tools; says so when it skips.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use instar_abi::request::{COPY_MAY_CLONE, COPY_TARGET_IS_ZERO, ExtentRecord, Op, ZERO_MAY_UNMAP};
use instar_abi::{FileKind, RawRequest};
use instar_engine::{Cache, TargetOptions};

use crate::guest::{Guest, files, pattern, request, source};

/// A loop device over a file, taken down when dropped.
struct Loop(PathBuf);

impl Loop {
    fn new(file: &Path) -> Option<Self> {
        let output = Command::new("losetup").args(["-f", "--show"]).arg(file).output();
        let output = output.ok().filter(|output| output.status.success());
        let Some(output) = output else {
            eprintln!("skipped: no loop device can be had");
            return None;
        };
        let device = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
        assert!(std::fs::metadata(&device).unwrap().file_type().is_block_device());
        Some(Self(device))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.0).status();
    }
}

const SIZE: usize = 8 << 20;

#[test]
fn a_block_device_is_read_written_zeroed_and_keeps_its_size() {
    let directory = tempfile::tempdir().unwrap();
    let backing = directory.path().join("backing");
    let mut expected = pattern(SIZE, 71);
    std::fs::write(&backing, &expected).unwrap();
    let Some(device) = Loop::new(&backing) else {
        return;
    };
    for cache in [Cache::Writeback, Cache::None] {
        let files = files();
        let options = TargetOptions {
            cache,
            ..TargetOptions::default()
        };
        let facts = files.target(&device.0, &options).unwrap();
        assert_eq!((facts.kind, facts.size), (FileKind::Block, SIZE as u64));
        let slot = facts.slot;
        let guest = Guest::new(files);
        assert!(guest.read(slot, 4_000_000, 100_000) == expected[4_000_000..4_100_000]);
        let all = ExtentRecord {
            length: SIZE as u64,
            data: 1,
        };
        assert_eq!(guest.extents(slot, 0, 1 << 40, 8), [all]);
        let bytes = pattern(100_000, 72);
        for offset in [0, 12_345, SIZE - 100_000] {
            guest.write(slot, offset as u64, &bytes).unwrap();
            expected[offset..offset + 100_000].copy_from_slice(&bytes);
        }
        for (offset, length, flags) in [
            (4096, 65_536, ZERO_MAY_UNMAP),
            (1_048_576, 65_536, 0),
            (2_000_001, 70_000, ZERO_MAY_UNMAP),
            (3_000_001, 511, 0),
        ] {
            let raw = RawRequest {
                flags,
                ..request(Op::ZERO, slot, offset, length)
            };
            guest.ask(raw).unwrap();
            expected[offset as usize..(offset + length) as usize].fill(0);
        }
        guest.ask(request(Op::FLUSH, slot, 0, 0)).unwrap();
        assert!(guest.read(slot, 0, SIZE) == expected, "{cache:?}");
        // Its size stays; what does not fit has no space.
        let enospc = libc::ENOSPC.unsigned_abs();
        assert!(guest.ask(request(Op::RESIZE, slot, 0, 0)).is_ok());
        assert!(guest.ask(request(Op::RESIZE, slot, 0, SIZE as u64)).is_ok());
        assert_eq!(
            guest.ask(request(Op::RESIZE, slot, 0, SIZE as u64 + 1)),
            Err(enospc)
        );
        assert_eq!(guest.write(slot, SIZE as u64 - 1, &[1, 2]), Err(enospc));
        expected[SIZE - 1] = 1;
        // Discarded bytes are anybody's guess.
        guest.ask(request(Op::DISCARD, slot, 5 << 20, 65_536)).unwrap();
        expected[5 << 20..(5 << 20) + 65_536].copy_from_slice(&guest.read(slot, 5 << 20, 65_536));
        guest.engine.files().commit(true).unwrap();
        guest.ask(request(Op::FLUSH, slot, 0, 0)).unwrap();
        assert!(guest.read(slot, 0, SIZE) == expected, "{cache:?}");
    }
    drop(device);
    assert!(std::fs::read(&backing).unwrap() == expected);
}

/// A mounted filesystem in a file, unmounted when dropped.
struct Mounted {
    place: PathBuf,
    _device: Loop,
}

impl Mounted {
    fn xfs(directory: &Path) -> Option<Self> {
        let (image, place) = (directory.join("image"), directory.join("place"));
        std::fs::create_dir(&place).unwrap();
        std::fs::File::create(&image).unwrap().set_len(400 << 20).unwrap();
        let made = Command::new("mkfs.xfs")
            .args(["-q", "-m", "reflink=1"])
            .arg(&image)
            .status();
        if !made.is_ok_and(|status| status.success()) {
            eprintln!("skipped: no mkfs.xfs");
            return None;
        }
        let device = Loop::new(&image)?;
        let mounted = Command::new("mount").arg(&device.0).arg(&place).status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("skipped: an XFS cannot be mounted");
            return None;
        }
        Some(Self {
            place,
            _device: device,
        })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.place).status();
    }
}

#[test]
fn extents_are_shared_where_the_filesystem_can() {
    let directory = tempfile::tempdir().unwrap();
    let Some(mounted) = Mounted::xfs(directory.path()) else {
        return;
    };
    let input = mounted.place.join("in");
    let bytes = pattern((16 << 20) + 1234, 5);
    std::fs::write(&input, &bytes).unwrap();
    let free = || rustix_free(&mounted.place);
    // Delayed allocation has to be settled before space is counted.
    std::fs::File::open(&mounted.place).unwrap().sync_all().unwrap();
    let _ = Command::new("sync").arg("-f").arg(&mounted.place).status();
    let before = free();
    for (n, granule) in [0, 4096].into_iter().enumerate() {
        let files = files();
        let from = source(&files, &input).slot;
        let output = mounted.place.join(n.to_string());
        let to = files.target(&output, &TargetOptions::default()).unwrap().slot;
        let guest = Guest::new(files);
        let raw = RawRequest {
            other: to.0,
            other_offset: 8192,
            extra: granule,
            flags: COPY_MAY_CLONE | COPY_TARGET_IS_ZERO,
            ..request(Op::COPY, from, 4096, (16 << 20) + 1234 - 4096)
        };
        let result = guest.ask(raw).unwrap();
        assert_eq!(result.value, (16 << 20) + 1234 - 4096);
        // Whole blocks are shared; the rest of the last one is written.
        assert_eq!(result.extra, (16 << 20) - 4096);
        guest.engine.files().commit(true).unwrap();
        // What XFS has reserved behind an open file's end goes when it is closed.
        drop(guest);
        let copied = std::fs::read(&output).unwrap();
        assert!(copied[..8192].iter().all(|byte| *byte == 0));
        assert!(copied[8192..] == bytes[4096..]);
        let taken = before.saturating_sub(free());
        assert!(taken < 4 << 20, "{taken}");
    }
}

/// The answer is found by trying, and leaves the target as it was.
#[test]
fn whether_extents_can_be_shared_is_found_without_a_trace() {
    let directory = tempfile::tempdir().unwrap();
    let Some(mounted) = Mounted::xfs(directory.path()) else {
        return;
    };
    let other = tempfile::tempdir_in("/dev/shm").unwrap();
    let inputs = [&mounted.place, &*other.path().to_owned()].map(|place| place.join("in"));
    let short = mounted.place.join("short");
    for input in &inputs {
        std::fs::write(input, pattern(100_000, 5)).unwrap();
    }
    std::fs::write(&short, pattern(4095, 5)).unwrap();
    let files = files();
    let [here, there, short] = [&inputs[0], &inputs[1], &short].map(|path| source(&files, path).slot);
    let [to, away] = [&mounted.place, &other.path().to_owned()].map(|place| {
        files
            .target(&place.join("out"), &TargetOptions::default())
            .unwrap()
            .slot
    });
    let guest = Guest::new(files);
    guest.ask(request(Op::RESIZE, to, 0, 12_345)).unwrap();
    let ask = |source, target: instar_abi::Slot| {
        guest.ask(RawRequest {
            other: target.0,
            ..request(Op::SHARABLE, source, 0, 0)
        })
    };
    assert_eq!(ask(here, to).unwrap().value, 1);
    assert_eq!(ask(there, to).unwrap().value, 0, "another filesystem");
    assert_eq!(ask(short, to).unwrap().value, 0, "not a whole block");
    assert_eq!(ask(there, away).unwrap().value, 0, "a filesystem in memory");
    assert_eq!(
        ask(here, to).unwrap().value,
        1,
        "one refusal says nothing of other files"
    );
    assert_eq!(
        ask(to, here),
        Err(libc::EBADF.unsigned_abs()),
        "a source is not written to"
    );
    assert_eq!(guest.engine.files().status(to).unwrap().length, 12_345);
}

fn rustix_free(place: &Path) -> u64 {
    let status = rustix::fs::statvfs(place).unwrap();
    status.f_bfree * status.f_frsize
}

/// Across filesystems nothing can be shared, and on some the kernel does not copy: the bytes arrive all the same.
#[test]
fn copies_between_filesystems_arrive() {
    let directory = tempfile::tempdir().unwrap();
    let Some(mounted) = Mounted::xfs(directory.path()) else {
        return;
    };
    let other = tempfile::tempdir_in("/dev/shm").unwrap();
    let input = other.path().join("in");
    let bytes = pattern(3_000_001, 5);
    std::fs::write(&input, &bytes).unwrap();
    for (n, flags) in [0, COPY_MAY_CLONE].into_iter().enumerate() {
        let files = files();
        let from = source(&files, &input).slot;
        let output = mounted.place.join(n.to_string());
        let to = files.target(&output, &TargetOptions::default()).unwrap().slot;
        let guest = Guest::new(files);
        let raw = RawRequest {
            other: to.0,
            flags,
            ..request(Op::COPY, from, 0, 3_000_001)
        };
        assert_eq!(guest.ask(raw).unwrap().value, 3_000_001);
        guest.engine.files().commit(false).unwrap();
        assert!(std::fs::read(&output).unwrap() == bytes);
    }
}
