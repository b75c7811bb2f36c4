#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "a failure is a test failure, and clusters are small"
)]

use std::collections::BTreeMap;

use super::super::{FILLER, Head};
use super::{SECTOR, plan};
use crate::raw::{RawHeader, autoclear, extension};

/// Numbers that are the same every time (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap() % limit
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most + 1);
        (0..length)
            .map(|_| u8::try_from(self.below(255) + 1).unwrap())
            .collect()
    }
}

/// A first cluster; `most` bounds the names in it.
fn head(random: &mut Random, cluster: usize, most: usize) -> Head {
    let version = [2, 3, 3, 3][random.below(4)];
    let mut head = Head {
        cluster,
        length: if version == 2 {
            72
        } else {
            [104, 112, 112, 112, 136][random.below(5)]
        },
        raw: zerocopy::FromZeros::new_zeroed(),
        more: Vec::new(),
        extensions: Vec::new(),
        name: random.bytes(most),
    };
    let known = size_of::<RawHeader>();
    head.more = (known..head.length).map(|_| 7).collect();
    head.raw.magic.set(crate::raw::MAGIC);
    head.raw.version.set(version);
    if version == 3 {
        head.raw.header_length.set(u32::try_from(head.length).unwrap());
    }
    if random.below(2) == 0 {
        head.extensions
            .push((extension::BACKING_FORMAT, b"qcow2".to_vec()));
    }
    if random.below(2) == 0 {
        head.extensions.push((0x1234, random.bytes(most)));
    }
    if cluster > 8192 {
        head.extensions.push((extension::FEATURE_TABLE, vec![3; 384]));
    }
    head
}

/// `from`, or something else that it may become.
fn changed(random: &mut Random, from: &Head, most: usize) -> Head {
    let mut to = from.clone();
    if random.below(4) == 0 {
        to = head(random, from.cluster, most);
    }
    if random.below(3) == 0 {
        to.name = random.bytes(most);
    }
    to
}

fn set_bitmaps(random: &mut Random, head: &mut Head, number: u8) {
    let (known, good) = (random.below(3) > 0, random.below(3) > 0);
    head.set_extension(extension::BITMAPS, known.then_some(&[number; 24]));
    if head.raw.version.get() == 3 {
        let bit = if known && good { autoclear::BITMAPS } else { 0 };
        head.raw.autoclear_features.set(bit);
    }
}

/// The bitmaps that a reader takes for good.
fn good_bitmaps(head: &Head) -> Option<Vec<u8>> {
    let good = head.raw.version.get() == 3 && head.raw.autoclear_features.get() & autoclear::BITMAPS != 0;
    head.extension(extension::BITMAPS)
        .filter(|_| good)
        .map(<[u8]>::to_vec)
}

/// All but bitmaps and the places of things.
fn rest(head: &Head) -> (RawBytes, Vec<u8>, Vec<u8>, BTreeMap<u32, Vec<u8>>) {
    let mut raw = head.raw;
    raw.autoclear_features.set(0);
    raw.backing_file_offset.set(0);
    raw.backing_file_size.set(0);
    let others = head
        .extensions
        .iter()
        .filter(|(magic, _)| *magic != extension::BITMAPS);
    (
        RawBytes(zerocopy::IntoBytes::as_bytes(&raw).to_vec()),
        head.more.clone(),
        head.name.clone(),
        others.cloned().collect(),
    )
}

#[derive(Debug, PartialEq)]
struct RawBytes(Vec<u8>);

/// Runs through the states that a power cut can leave; gives how many writes a moment had at most.
fn each_state(random: &mut Random, old: &Head, new: &Head) -> bool {
    let (from, to) = (old.compose().unwrap(), new.compose().unwrap());
    let Some(groups) = plan(&from, &to) else {
        return false;
    };
    let mut durable = from;
    let (mut was_new, mut moments) = (false, 0);
    for group in &groups {
        for turn in 0..6 {
            let mut state = durable.clone();
            for (offset, bytes) in group {
                for (at, sector) in (*offset..).step_by(SECTOR).zip(bytes.chunks(SECTOR)) {
                    if turn == 0 || random.below(2) == 0 {
                        state[at..at + sector.len()].copy_from_slice(sector);
                    }
                }
            }
            let found = Head::parse(&state).unwrap();
            assert!(found.extensions.iter().all(|(magic, _)| *magic != FILLER));
            let (is_old, is_new) = (rest(&found) == rest(old), rest(&found) == rest(new));
            assert!(is_old || is_new, "{found:?} is neither {old:?} nor {new:?}");
            let bitmaps = good_bitmaps(&found);
            assert!(
                is_old && bitmaps == good_bitmaps(old) || is_new && bitmaps == good_bitmaps(new),
                "{bitmaps:?} between {old:?} and {new:?}"
            );
            if turn == 0 {
                let now = rest(&found) != rest(old) || bitmaps != good_bitmaps(old);
                moments += u32::from(now != was_new);
                was_new = now;
                durable = state;
            }
        }
    }
    assert!(moments <= 1, "there and back between {old:?} and {new:?}");
    assert_eq!(durable, to);
    true
}

#[test]
fn at_each_moment_it_is_the_old_one_or_the_new_one() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let (mut done, mut refused) = (0, 0);
    for turn in 0..3000 {
        let cluster = [512, 1024, 2048, 4096, 65536][turn % 5];
        let most = [20, 120, 400][turn % 3];
        let mut old = head(&mut random, cluster, most);
        set_bitmaps(&mut random, &mut old, 1);
        let mut new = changed(&mut random, &old, most);
        set_bitmaps(&mut random, &mut new, 2);
        if old.compose().is_err() || new.compose().is_err() {
            continue;
        }
        // What a header says of its length is what it is.
        let old = Head::parse(&old.compose().unwrap()).unwrap();
        if each_state(&mut random, &old, &new) {
            done += 1;
        } else {
            refused += 1;
            assert!(cluster < 4096, "no room in {cluster} bytes: {old:?} to {new:?}");
        }
    }
    println!("{done} ways, {refused} without room");
    assert!(done > 1500 && refused < done / 10, "{done} {refused}");
}

#[test]
fn a_directory_that_moves_is_one_write() {
    let mut random = Random(1);
    let mut old = head(&mut random, 65536, 0);
    old.raw.version.set(3);
    old.extensions.clear();
    old.length = 112;
    old.more.clear();
    old.raw.header_length.set(112);
    old.extensions.push((extension::FEATURE_TABLE, vec![3; 384]));
    old.raw.autoclear_features.set(autoclear::BITMAPS);
    let mut new = old.clone();
    old.set_extension(extension::BITMAPS, Some(&[1; 24]));
    new.set_extension(extension::BITMAPS, Some(&[2; 24]));
    let groups = plan(&old.compose().unwrap(), &new.compose().unwrap()).unwrap();
    assert_eq!(groups.len(), 1);
    assert_eq!(
        (groups[0].len(), groups[0][0].0, groups[0][0].1.len()),
        (1, 512, 512)
    );
}
