//! The suite of every format, on LUKS disks. All are opened with their passphrase.
#![allow(
    clippy::single_range_in_vec_init,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failure is a test failure"
)]

use instar_disk::job::{AmendKeys, Change, KeyState};
use instar_disk::{File, ImageText, Opened, Result, Target};
use instar_luks::Unlocked;
use instar_testkit::conformance::{
    Format, Sound, Tally, covers_the_disk, survives_changes, survives_cuts, takes_changed_images,
};
use instar_testkit::image::{read_image, write_disk};
use instar_testkit::oracle::{qemu, text};
use instar_testkit::pattern::MIB;
use instar_testkit::{Bench, Failing, Native};

/// `open` reads the header twice, to unlock it and to see it, and the material of each key slot in use.
const FORMAT: Format = Format {
    open,
    open_requests: 10,
    map_requests: 0,
    bytes: 256 << 10,
    heap: 1 << 20,
};

const PASSPHRASE: &[u8] = b"correct horse";

fn open(file: File<'_>) -> Result<Opened<'_>> {
    let key = instar_luks::unlock(file, PASSPHRASE)?;
    instar_luks::open(file, None, Some(key))
}

fn existing(file: File<'_>, size: u64) -> Result<Box<dyn Target + '_>> {
    let key = instar_luks::unlock(file, PASSPHRASE)?;
    instar_luks::existing(file, Some(key), size)
}

/// A disk that qemu-img sealed, by the fewest iterations that it takes.
fn sound(dir: &Bench, options: &str, size: u64) -> Sound {
    let raw = dir.raw("disk.raw", size, &[(0, 4096), (MIB, 65536), (size - 512, 512)]);
    let image = dir.path(&format!("{options} {size}.luks"));
    let options = format!("key-secret=s,iter-time=0{options}");
    qemu(&[
        "convert",
        "--object",
        "secret,id=s,data=correct horse",
        "-f",
        "raw",
        "-O",
        "luks",
        "-o",
        &options,
        text(&raw),
        text(&image),
    ]);
    let end = std::fs::metadata(&image).unwrap().len();
    Sound {
        name: options,
        image,
        fields: vec![0..592],
        edges: vec![592, 4096, end - size, end],
        metadata: vec![0..1024],
        // Files count in whole sectors.
        least: end - size - 511,
        ..Sound::default()
    }
}

fn images(dir: &Bench) -> Vec<Sound> {
    vec![
        sound(dir, "", 2 * MIB),
        sound(
            dir,
            ",cipher-alg=serpent-128,cipher-mode=cbc,ivgen-alg=essiv,hash-alg=sha1",
            2 * MIB + 512,
        ),
        sound(
            dir,
            ",cipher-alg=cast5-128,cipher-mode=ctr,hash-alg=ripemd160",
            3 * MIB,
        ),
    ]
}

#[test]
fn the_map_covers_every_disk() {
    let dir = Bench::new();
    for sound in images(&dir) {
        covers_the_disk(&FORMAT, &sound);
    }
}

#[test]
fn a_disk_cut_off_anywhere_is_refused_or_read() {
    let dir = Bench::new();
    for sound in images(&dir) {
        let tally = survives_cuts(&FORMAT, &sound);
        assert!(tally.refused > 2, "{}: {tally:?}", sound.name);
    }
}

#[test]
fn a_header_changed_anywhere_is_refused_or_read() {
    let dir = Bench::new();
    let mut sound = sound(&dir, "", 2 * MIB);
    let mut tally = Tally::default();
    // In pieces, for the sake of those who wait. The upper bytes of iterations would take minutes: those are judged in `crypt`.
    for fields in [0..112, 166..168, 208..212, 214..216, 248..264] {
        sound.fields = vec![fields];
        sound.metadata = Vec::new();
        tally += survives_changes(&FORMAT, &sound);
    }
    assert!(tally.read > 50 && tally.refused > 500, "{tally:?}");
}

/// It is never without it, not even while it is written to: who loses the header loses the disk.
#[test]
fn a_disk_that_is_written_to_keeps_its_header() {
    let dir = Bench::new();
    for sound in images(&dir) {
        let before = std::fs::read(&sound.image).unwrap();
        let mut complete = 0;
        for allowed in 0..12 {
            let host = Failing::after(allowed);
            let facts = host.native.existing(&sound.image);
            let file = File::new(&host, facts);
            let written = existing(file, 0)
                .and_then(|mut target| write_disk(&host, &mut *target, &vec![7; 1 << 20], 256));
            complete += u32::from(written.is_ok());
            let after = std::fs::read(&sound.image).unwrap();
            let header = usize::try_from(sound.edges[2]).unwrap();
            assert!(after[..header] == before[..header], "{}: {allowed}", sound.name);
        }
        assert!((1..12).contains(&complete), "{}: {complete}", sound.name);
        let host = Native::new(1);
        let facts = host.existing(&sound.image);
        let mut image = open(File::new(&host, facts)).unwrap();
        let disk = read_image(&host, &mut *image, None).unwrap();
        assert!(disk[..1 << 20].iter().all(|byte| *byte == 7), "{}", sound.name);
    }
}

#[test]
fn a_changed_disk_is_written_to_or_refused() {
    let dir = Bench::new();
    let mut small = sound(&dir, "", 2 * MIB);
    small.fields = vec![0..8];
    small.metadata = vec![0..8, 104..112, 208..216];
    let tally = takes_changed_images(existing, &small);
    assert!(tally.refused > 20, "{tally:?}");
}

/// How key slots are changed in these tests: in no time.
fn wanted(active: bool, slot: Option<u32>) -> AmendKeys {
    AmendKeys {
        state: if active {
            KeyState::Active
        } else {
            KeyState::Inactive
        },
        new: active.then(|| ImageText::new(b"new")),
        old: None,
        slot,
        timed: false,
        speeds: Vec::new(),
        force: false,
    }
}

fn change(file: File<'_>, passphrase: &[u8], keys: &AmendKeys) -> Result<()> {
    let plan = {
        let unlocked = Unlocked::open(file, passphrase)?;
        unlocked.plan(keys, &|_| Ok(b"new passphrase"), &[7; 32])?
    };
    let key = instar_luks::unlock(file, passphrase)?;
    instar_luks::edit(file, Some(key), Some(&plan))?.change(&Change::Keys(keys.clone()))
}

fn opens(path: &std::path::Path, passphrase: &[u8]) -> bool {
    let host = Native::new(1);
    let facts = host.existing(path);
    instar_luks::unlock(File::new(&host, facts), passphrase).is_ok()
}

#[test]
fn a_key_slot_that_is_added_or_erased_halfway_locks_nobody_out() {
    let dir = Bench::new();
    let sound = sound(&dir, "", 2 * MIB);
    let plain = std::fs::read(&sound.image).unwrap();
    let (mut added, mut erased) = (0, 0);
    for allowed in 0..10 {
        std::fs::write(&sound.image, &plain).unwrap();
        let host = Failing::after(allowed);
        let facts = host.native.existing(&sound.image);
        let done = change(File::new(&host, facts), PASSPHRASE, &wanted(true, None)).is_ok();
        assert!(opens(&sound.image, PASSPHRASE), "{allowed}");
        added += u32::from(opens(&sound.image, b"new passphrase"));
        assert!(!done || opens(&sound.image, b"new passphrase"), "{allowed}");
    }
    let both = std::fs::read(&sound.image).unwrap();
    for allowed in 0..10 {
        std::fs::write(&sound.image, &both).unwrap();
        let host = Failing::after(allowed);
        let facts = host.native.existing(&sound.image);
        let done = change(
            File::new(&host, facts),
            b"new passphrase",
            &wanted(false, Some(0)),
        )
        .is_ok();
        assert!(opens(&sound.image, b"new passphrase"), "{allowed}");
        erased += u32::from(!opens(&sound.image, PASSPHRASE));
        assert!(!done || !opens(&sound.image, PASSPHRASE), "{allowed}");
    }
    assert!(
        (5..10).contains(&added) && (5..10).contains(&erased),
        "{added} {erased}"
    );
}
