//! Byte for byte, JSON for JSON.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::Bench;

/// Two files of the bench hold the same bytes.
///
/// # Panics
///
/// If not; the message names the first difference.
#[track_caller]
pub fn same_bytes(bench: &Bench, reference: &str, ours: &str, what: &str) {
    let (left, right) = (bench.path(reference), bench.path(ours));
    let lengths = [&left, &right]
        .map(|path| path.metadata().unwrap_or_else(|e| panic!("{what}: {}: {e}", path.display())).len());
    assert_eq!(lengths[0], lengths[1], "{what}: {reference} and {ours} differ in length");
    if let Some(offset) = first_difference(&left, &right) {
        panic!("{what}: {reference} and {ours} differ at byte {offset}");
    }
}

fn first_difference(left: &Path, right: &Path) -> Option<u64> {
    let (mut left, mut right) = (File::open(left).unwrap(), File::open(right).unwrap());
    let (mut a, mut b) = (vec![0; 1 << 18], vec![0; 1 << 18]);
    let mut offset = 0;
    loop {
        let length = left.read(&mut a).unwrap();
        right.read_exact(&mut b[..length]).unwrap();
        if a[..length] != b[..length] {
            let at = a.iter().zip(&b).position(|(x, y)| x != y).unwrap();
            return Some(offset + at as u64);
        }
        if length == 0 {
            return None;
        }
        offset += length as u64;
    }
}

/// qemu-img sees the same disk in `image` as in the raw file `disk`.
///
/// # Panics
///
/// If not.
#[track_caller]
pub fn qemu_reads(bench: &Bench, image: &str, disk: &str, what: &str) {
    bench.qemu(["convert", "-O", "raw", image, "read-back.raw"]).succeeds();
    same_bytes(bench, disk, "read-back.raw", what);
    std::fs::remove_file(bench.path("read-back.raw")).unwrap();
}

/// `qemu-img check` finds nothing to say about `image`: no corruption, no leak, no error.
///
/// # Panics
///
/// If it does.
#[track_caller]
pub fn checks_clean(bench: &Bench, image: &str, what: &str) {
    checks_clean_as(bench, "qcow2", image, what);
}

/// The same for an image of `format`.
///
/// # Panics
///
/// If `qemu-img check` finds anything.
#[track_caller]
pub fn checks_clean_as(bench: &Bench, format: &str, image: &str, what: &str) {
    let outcome = bench.qemu(["check", "-f", format, image]);
    assert_eq!(outcome.code(), Some(0), "{what}: {outcome}");
    assert!(outcome.stderr.is_empty(), "{what}: {outcome}");
    assert!(outcome.text().starts_with("No errors were found on the image."), "{what}: {outcome}");
}

/// What `qemu-img info` says of `image`, as JSON.
///
/// # Panics
///
/// If it says nothing.
#[must_use]
#[track_caller]
pub fn qemu_info(bench: &Bench, image: &str) -> serde_json::Value {
    let outcome = bench.qemu(["info", "--output=json", image]);
    serde_json::from_slice(&outcome.succeeds().stdout).unwrap()
}

/// What `qemu-img map` says of `image`, without the places in the file: start, length, depth, zero, data of each extent.
/// Holes of the file inside a cluster are data that happens to be zero, wherever they are.
///
/// # Panics
///
/// If it says nothing.
#[must_use]
#[track_caller]
pub fn qemu_map(bench: &Bench, image: &str) -> Vec<(u64, u64, u64, bool, bool)> {
    let outcome = bench.qemu(["map", "--output=json", image]);
    let map: serde_json::Value = serde_json::from_slice(&outcome.succeeds().stdout).unwrap();
    let mut extents: Vec<(u64, u64, u64, bool, bool)> = Vec::new();
    for extent in map.as_array().unwrap() {
        let number = |key: &str| extent[key].as_u64().unwrap();
        let flag = |key: &str| extent[key].as_bool().unwrap();
        let next =
            (number("start"), number("length"), number("depth"), flag("zero") && !flag("data"), flag("data"));
        match extents.last_mut() {
            Some(last) if (last.2, last.3, last.4) == (next.2, next.3, next.4) => last.1 += next.1,
            _ => extents.push(next),
        }
    }
    extents
}

/// Ranges that the top layer of `image` holds itself, as zeros or as data: start and length.
///
/// # Panics
///
/// If qemu-img says nothing.
#[must_use]
#[track_caller]
pub fn qemu_own_ranges(bench: &Bench, image: &str) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for (start, length, ..) in qemu_map(bench, image).into_iter().filter(|extent| extent.2 == 0) {
        match ranges.last_mut() {
            Some(last) if last.0 + last.1 == start => last.1 += length,
            _ => ranges.push((start, length)),
        }
    }
    ranges
}

/// Ranges for which `image` has space, in whatever layer, as qemu-img sees them: start and length. A raw image has it for
/// its first page in any case: qemu-img writes there when it makes one.
///
/// # Panics
///
/// If qemu-img says nothing.
#[must_use]
#[track_caller]
pub fn allocated_ranges(bench: &Bench, format: &str, image: &str) -> Vec<(u64, u64)> {
    const PAGE: u64 = 4096;
    let outcome = bench.qemu(["map", "--output=json", "-f", format, image]);
    let map: serde_json::Value = serde_json::from_slice(&outcome.succeeds().stdout).unwrap();
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    let mut add = |start: u64, length: u64| match ranges.last_mut() {
        Some(last) if last.0 + last.1 >= start => last.1 = last.1.max(start + length - last.0),
        _ => ranges.push((start, length)),
    };
    if format == "raw" {
        add(0, PAGE);
    }
    for extent in map.as_array().unwrap() {
        if extent["data"].as_bool().unwrap() {
            add(extent["start"].as_u64().unwrap(), extent["length"].as_u64().unwrap());
        }
    }
    ranges
}

/// Both images have space for the same ranges.
///
/// # Panics
///
/// If not.
#[track_caller]
pub fn same_disk_space(bench: &Bench, format: &str, reference: &str, ours: &str, what: &str) {
    let [reference, ours] = [reference, ours].map(|image| allocated_ranges(bench, format, image));
    let differs = reference.iter().zip(&ours).find(|(reference, ours)| reference != ours);
    assert!(
        reference == ours,
        "{what}: qemu-img has {} ranges, instar {}; first to differ: {differs:?}",
        reference.len(),
        ours.len()
    );
}

/// Bytes of the file system that a file occupies.
///
/// # Panics
///
/// If there is no such file.
#[must_use]
pub fn allocated(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    File::open(path).unwrap().sync_all().unwrap();
    path.metadata().unwrap().blocks() * 512
}

/// Both programs print the same on both streams and return the same code for the same words; gives ours.
///
/// # Panics
///
/// If not.
#[track_caller]
pub fn same_outcome(bench: &Bench, words: &[impl AsRef<str>], what: &str) -> crate::Outcome {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    let theirs = bench.qemu(&words);
    let ours = bench.instar(&words);
    if crate::reference::lacks_option(&theirs, &ours) {
        return ours;
    }
    // All but the name of the program.
    let errors = |text: String| text.replace("instar: ", "qemu-img: ");
    assert_eq!(theirs.text(), ours.text(), "{what}: {}\n{theirs}{ours}", words.join(" "));
    assert_eq!(errors(theirs.errors()), errors(ours.errors()), "{what}: {}", words.join(" "));
    assert_eq!(theirs.code(), ours.code(), "{what}: {}", words.join(" "));
    ours
}

/// Both programs print the same and end alike. A second look is allowed: blocks are given to a file when it is written back,
/// so what it takes on disk may change between two looks.
///
/// # Panics
///
/// If they do not.
#[track_caller]
pub fn agree(bench: &Bench, words: &[impl AsRef<str>], what: &str) {
    let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
    let look = || (bench.qemu(&words), bench.instar(&words));
    let (mut theirs, mut ours) = look();
    for _ in 0..3 {
        if theirs.text() == ours.text() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
        (theirs, ours) = look();
    }
    assert_eq!(theirs.code(), ours.code(), "{what}:\n{theirs}{ours}");
    assert_eq!(theirs.text(), ours.text(), "{what}: {}", words.join(" "));
}

/// A message in which qemu-img calls an image by a number that changes, with that image's name instead.
#[must_use]
pub fn called(mut message: String, image: &str) -> String {
    const NUMBERED: &str = "#block";
    while let Some(start) = message.find(NUMBERED) {
        let from = start + NUMBERED.len();
        let digits = message[from..].chars().take_while(char::is_ascii_digit).count();
        message.replace_range(start..from + digits, image);
    }
    message
}
