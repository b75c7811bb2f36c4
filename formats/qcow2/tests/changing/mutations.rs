//! Images with any word of their tables changed: what a change makes of them is a refusal, or an image; never a panic.

use instar_disk::job::{Amend, BitmapAction, Change, ChangeBitmaps, Source};
use instar_disk::{File, Slot};
use instar_testkit::Native;

use crate::support::Bench;

/// The same numbers every time (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

/// A small image with everything that has a table in it.
fn image(bench: &Bench, cluster: &str) -> Vec<u8> {
    bench.put("below.raw", &vec![0xbb; 1 << 20]);
    bench.qemu_img(&format!(
        "create -q -f qcow2 -o cluster_size={cluster} -b below.raw -F raw image 300k"
    ));
    bench.qemu_io(
        "image",
        &["write -P 7 10k 20k", "write -z 50k 30k", "write -c -P 3 128k 64k"],
    );
    bench.qemu_img("snapshot -c one image");
    bench.qemu_io("image", &["write -z 10k 10k", "write -P 9 200k 1k"]);
    for name in ["a", "b"] {
        bench.qemu_img(&format!("bitmap --add -g 512 image {name}"));
    }
    bench.qemu_io("image", &["write -P 1 0 9k"]);
    bench.bytes("image")
}

/// Puts something into the image where tables stand.
fn mutate(random: &mut Random, bytes: &mut [u8]) {
    const VALUES: [u64; 10] = [
        0,
        1,
        512,
        0x1_0000,
        1 << 62,
        1 << 63,
        (1 << 63) | 0x1_0000,
        u64::MAX,
        0x00ff_ffff_ffff_fe00,
        0x7fff_ffff_ffff_ffff,
    ];
    for _ in 0..=random.below(3) {
        // Words that are something are what leads somewhere.
        let some = (0..4096).map(|_| random.below(bytes.len() / 8) * 8);
        let at = some
            .into_iter()
            .find(|at| bytes[*at..*at + 8] != [0; 8])
            .unwrap_or(0);
        let old = u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
        let new = match random.below(4) {
            0 => VALUES[random.below(VALUES.len())],
            1 => old ^ 1 << random.below(64),
            2 => old.wrapping_add(0x200 << random.below(12)),
            _ => old.swap_bytes(),
        };
        bytes[at..at + 8].copy_from_slice(&new.to_be_bytes());
    }
}

fn amend(options: &Amend) -> impl Fn(File<'_>) + '_ {
    |file| {
        let change = Change::Amend(Some(options.clone()));
        let _ = instar_qcow2::edit(file).and_then(|mut image| image.change(&change));
    }
}

fn bitmap<'a>(name: &'a str, actions: &'a [BitmapAction]) -> impl Fn(File<'_>) + 'a {
    move |file| {
        let job = ChangeBitmaps {
            image: Source::new(Slot(0), None),
            name: name.into(),
            actions: actions.to_vec(),
            from: None,
        };
        if let Ok(mut image) = instar_qcow2::edit(file)
            && let Ok(mut bitmaps) = image.bitmaps()
        {
            let _ = bitmaps.change(&job, None);
        }
    }
}

#[test]
fn no_table_makes_a_change_panic_or_go_on_for_ever() {
    let up = Amend {
        refcount_bits: Some(64),
        ..Amend::default()
    };
    let down = Amend {
        compat: Some(b"0.10".to_vec()),
        ..Amend::default()
    };
    let narrow = Amend {
        refcount_bits: Some(2),
        lazy_refcounts: Some(true),
        ..Amend::default()
    };
    let merge = [BitmapAction::Add(4096), BitmapAction::Merge(b"a".to_vec())];
    let changes: [&dyn Fn(File<'_>); 6] = [
        &amend(&up),
        &amend(&down),
        &amend(&narrow),
        &bitmap("c", &merge),
        &bitmap("a", &[BitmapAction::Remove]),
        &bitmap("", &[BitmapAction::RemoveAll]),
    ];
    let bench = Bench::new();
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for cluster in ["512", "4k", "64k"] {
        let sound = image(&bench, cluster);
        for turn in 0..240 {
            let mut bytes = sound.clone();
            mutate(&mut random, &mut bytes);
            bench.put("mutated", &bytes);
            let native = Native::new(1);
            let file = File::new(&native, native.existing(bench.path("mutated")));
            changes[turn % changes.len()](file);
            let length = std::fs::metadata(bench.path("mutated")).unwrap().len();
            assert!(length < 1 << 30, "it grew to {length} bytes");
        }
    }
}
