//! Every option with every other, over disks that have holes, zeros, compressible and incompressible data.

use std::ops::Range;

use instar_disk::job::{Compression, Preallocation, Qcow2Create};
use proptest::prelude::*;

use crate::copier::{Step, noise};
use crate::made::{Order, PREALLOCATIONS, combinations, patterned, with_data_file};
use crate::reference;

const ALL_BITS: [u32; 13] = [9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21];

fn unit(options: &Qcow2Create) -> u64 {
    1 << if options.extended_l2 {
        options.cluster_bits - 5
    } else {
        options.cluster_bits
    }
}

/// Data with holes between: a unit, three units after a gap, a run over a table's end, the last partial unit.
fn sparse(options: &Qcow2Create, size: u64) -> Vec<Step> {
    let unit = unit(options);
    let align = |at: u64| at / unit * unit;
    let mut steps = Vec::new();
    let mut next = 0;
    let mut push = |range: Range<u64>, piece: u64| {
        let range = range.start.max(next)..range.end.min(size);
        if range.start < range.end {
            next = range.end;
            steps.push(Step::Data(range, piece));
        }
    };
    push(0..unit, unit);
    push(3 * unit..6 * unit, 2 * unit);
    push(align(size / 3)..align(size / 2) + unit, size);
    push(align(size * 2 / 3)..align(size * 2 / 3) + 40 * unit, 7 * unit);
    push(align(size - 1)..size, unit);
    steps
}

#[test]
fn holes_stay_holes_with_every_option() {
    for options in combinations(&ALL_BITS) {
        if options.compression == Compression::Zstd || ![0, 1, 4, 5, 6].contains(&options.refcount_order) {
            continue;
        }
        let size = (40 << options.cluster_bits).clamp(600 << 10, 3 << 20) + 512 * 3;
        let steps = sparse(&options, size);
        let made = Order::new(options, size, steps).judge(&patterned(size), None);
        assert!(made.fresh > 0 && made.stale == 0);
    }
}

#[test]
fn overlays_show_what_is_below_only_where_nothing_was_written() {
    for options in combinations(&[9, 12, 14, 16, 18]) {
        if options.compression == Compression::Zstd || ![0, 4, 6].contains(&options.refcount_order) {
            continue;
        }
        let size = (40 << options.cluster_bits).clamp(1 << 20, 4 << 20) + 512;
        let unit = unit(&options);
        let mut steps = sparse(&options, size);
        // Zeros in the holes, so that all of written, zero and untouched meet in one cluster.
        steps.insert(1, Step::Zero(unit..2 * unit));
        if 9 * unit <= size / 3 {
            steps.insert(3, Step::Zero(6 * unit..9 * unit));
        }
        let mut below = vec![0; size as usize];
        noise(&mut below, 0..size);
        Order::new(options, size, steps).judge(&patterned(size), Some(&below));
    }
}

#[test]
fn a_zeroed_tail_ends_inside_a_cluster() {
    for version in [2, 3] {
        let options = Qcow2Create {
            version,
            ..Qcow2Create::default()
        };
        let size = 65536 * 3 + 1024;
        let below = vec![7; size as usize];
        let steps = vec![Step::Data(0..65536, 65536), Step::Zero(131_072..size)];
        Order::new(options, size, steps).judge(&patterned(size), Some(&below));
    }
}

#[test]
fn whole_disks_are_written_in_pieces_of_any_length() {
    for (bits, piece) in [
        (9, 1 << 20),
        (9, 512),
        (12, 3 << 12),
        (16, 64 << 20),
        (16, 1 << 16),
        (21, 2 << 20),
    ] {
        let options = Qcow2Create {
            cluster_bits: bits,
            ..Qcow2Create::default()
        };
        let size: u64 = 5 << 20;
        let steps = vec![Step::Data(0..size, piece)];
        Order::new(options, size, steps).judge(&patterned(size), None);
    }
}

#[test]
fn sizes_around_every_boundary_are_kept() {
    let mut sizes: Vec<u64> = vec![0, 1, 511, 512, 513, 4096];
    for boundary in [1 << 16, 1 << 21, 32768, 64 * 512] {
        sizes.extend([
            boundary - 512,
            boundary - 1,
            boundary,
            boundary + 1,
            boundary + 512,
        ]);
    }
    for size in sizes {
        for bits in [9, 16] {
            for extended_l2 in [false, true] {
                let options = Qcow2Create {
                    cluster_bits: bits,
                    extended_l2: extended_l2 && bits > 13,
                    ..Qcow2Create::default()
                };
                let end = size.next_multiple_of(512);
                let steps = if end == 0 {
                    vec![]
                } else {
                    vec![Step::Data(0..end, 1 << 20)]
                };
                Order::new(options, size, steps).judge(&patterned(size), None);
            }
        }
    }
}

/// Compressible pieces, incompressible ones, and holes.
fn mixed(size: u64, unit: u64) -> (Vec<u8>, Vec<Step>) {
    let mut disk = patterned(size);
    let mut steps = Vec::new();
    let mut at = 0;
    let mut turn = 0_u64;
    while at < size {
        let end = (at + unit * (1 + turn % 3)).min(size);
        match turn % 5 {
            0 | 3 => {
                // Nearly nothing to store: many streams share a cluster.
                for piece in disk[at as usize..end as usize].chunks_mut(4096) {
                    let first = piece[0];
                    piece.fill(first | 1);
                }
                steps.push(Step::Units(at..end));
            }
            1 => {
                noise(&mut disk, at..end);
                steps.push(Step::Units(at..end));
            }
            2 => steps.push(Step::Units(at..end)),
            _ => {}
        }
        at = end;
        turn += 1;
    }
    (disk, steps)
}

#[test]
fn compressed_streams_share_clusters_within_the_width_of_counts() {
    for options in combinations(&[9, 10, 12, 14, 16, 21]) {
        if options.lazy_refcounts && options.refcount_order > 1 {
            continue;
        }
        let size = (60 << options.cluster_bits).clamp(128 << 10, 3 << 20) + 512;
        let (disk, steps) = mixed(size, 1 << options.cluster_bits);
        let mut order = Order::new(options, size, steps);
        order.compress = true;
        let made = order.judge(&disk, None);
        assert!(made.encoded > 1, "{}", made.encoded);
        assert!(made.fresh > 0);
        let report = reference::check(&made.image);
        assert_eq!(report["compressed-clusters"], made.encoded);
    }
}

#[test]
fn preallocated_disks_have_all_their_clusters() {
    for preallocation in PREALLOCATIONS {
        for mut options in combinations(&[9, 12, 14, 16, 21]) {
            if options.compression == Compression::Zstd || ![1, 4, 6].contains(&options.refcount_order) {
                continue;
            }
            options.preallocation = preallocation;
            let size = (20 << options.cluster_bits).clamp(600 << 10, 3 << 20) + 512;
            let steps = sparse(&options, size);
            let clusters = size.div_ceil(1 << options.cluster_bits);
            let made = Order::new(options, size, steps).judge(&patterned(size), None);
            assert_eq!(reference::check(&made.image)["allocated-clusters"], clusters);
        }
    }
}

#[test]
fn preallocated_overlays_show_what_is_below() {
    let mut options = Qcow2Create {
        extended_l2: true,
        preallocation: Preallocation::Metadata,
        ..Qcow2Create::default()
    };
    for bits in [14, 16] {
        options.cluster_bits = bits;
        let size = 3_000_832;
        let mut below = vec![0; size as usize];
        noise(&mut below, 0..size);
        let mut steps = sparse(&options, size);
        steps.insert(1, Step::Zero(unit(&options)..2 * unit(&options)));
        Order::new(options.clone(), size, steps).judge(&patterned(size), Some(&below));
    }
}

#[test]
fn data_files_hold_every_byte_at_its_own_offset() {
    for raw in [false, true] {
        for preallocation in [Preallocation::Off, Preallocation::Metadata, Preallocation::Full] {
            for (bits, extended_l2) in [(12, false), (16, false), (16, true)] {
                let options = with_data_file(
                    Qcow2Create {
                        cluster_bits: bits,
                        extended_l2,
                        preallocation,
                        ..Qcow2Create::default()
                    },
                    raw,
                );
                let size = 2_000_384;
                let disk = patterned(size);
                let steps = sparse(&options, size);
                let made = Order::new(options, size, steps.clone()).judge(&disk, None);
                let data = std::fs::read(made.directory.path().join("data.raw")).unwrap();
                assert_eq!(data.len() as u64, size);
                for step in steps {
                    let Step::Data(range, _) = step else { continue };
                    let range = range.start as usize..range.end as usize;
                    assert!(data[range.clone()] == disk[range]);
                }
            }
        }
    }
}

#[test]
fn data_files_go_with_backing_files() {
    let options = with_data_file(Qcow2Create::default(), false);
    let size = 1 << 20;
    let mut below = vec![0; size as usize];
    noise(&mut below, 0..size);
    let mut steps = sparse(&options, size);
    steps.insert(1, Step::Zero(65536..131_072));
    Order::new(options, size, steps).judge(&patterned(size), Some(&below));
}

#[test]
fn devices_with_old_content_show_none_of_it() {
    for mut options in combinations(&[9, 12, 16, 21]) {
        if options.compression == Compression::Zstd || ![0, 4].contains(&options.refcount_order) {
            continue;
        }
        for preallocation in [Preallocation::Off, Preallocation::Metadata] {
            options.preallocation = preallocation;
            let size = (10 << options.cluster_bits).clamp(600 << 10, 3 << 20) + 512;
            let steps = sparse(&options, size);
            let mut order = Order::new(options.clone(), size, steps);
            order.device = true;
            let made = order.judge(&patterned(size), None);
            assert!(made.stale > 0 && made.fresh == 0);
            // Nor are they visible when the image grows.
            let path = made.image.to_str().unwrap();
            reference::succeed(
                made.directory.path(),
                &["resize", "-q", "-f", "qcow2", path, "+64K"],
            );
            let grown = reference::contents(&made.image);
            assert!(grown[size as usize..].iter().all(|b| *b == 0));
        }
    }
}

#[test]
fn refcount_tables_of_many_clusters_are_right() {
    // 64-bit counts in 512-byte clusters: a block for each 32 KiB, a cluster of table for each 2 MiB.
    for refcount_order in [0, 4, 6] {
        let options = Qcow2Create {
            cluster_bits: 9,
            refcount_order,
            ..Qcow2Create::default()
        };
        let size: u64 = 20 << 20;
        let steps = vec![Step::Data(0..size, 16 << 20)];
        Order::new(options, size, steps).judge(&patterned(size), None);
    }
}

#[test]
fn blocks_written_between_compressed_streams_are_right() {
    use instar_disk::{File, Target};
    // The counts of so many clusters do not wait in memory. No reader decodes the streams here: check only counts them.
    for (refcount_order, plain_every) in [(6, 1000), (6, 7), (5, 100_000)] {
        let options = Qcow2Create {
            cluster_bits: 9,
            refcount_order,
            ..Qcow2Create::default()
        };
        let directory = tempfile::tempdir().unwrap();
        let image = directory.path().join("image.qcow2");
        let host = instar_testkit::Native::new(1);
        let file = File::new(&host, host.target(&image));
        let units: u64 = 400_000;
        let mut target: Box<dyn Target> =
            instar_qcow2::create(file, &options, units * 512, None, true).unwrap();
        for unit in 0..units {
            if unit % plain_every == plain_every - 1 {
                target.allocate(unit * 512, 512).unwrap();
            } else {
                target
                    .allocate_encoded(unit * 512, 100 + unit * 37 % 411)
                    .unwrap();
            }
        }
        target.finish().unwrap();
        drop(target);
        let report = reference::check(&image);
        assert_eq!(report["allocated-clusters"], units);
    }
}

#[test]
fn the_same_disk_gives_the_same_bytes() {
    let size = 6 << 20;
    let (disk, steps) = mixed(size, 65536);
    let image = || {
        let mut order = Order::new(Qcow2Create::default(), size, steps.clone());
        order.compress = true;
        std::fs::read(order.judge(&disk, None).image).unwrap()
    };
    assert!(image() == image());
    // Nor does it matter in which pieces data is asked for.
    let plain = |piece: u64| {
        let options = Qcow2Create {
            cluster_bits: 9,
            ..Qcow2Create::default()
        };
        let steps = vec![Step::Data(0..size, piece)];
        std::fs::read(Order::new(options, size, steps).judge(&disk, None).image).unwrap()
    };
    assert!(plain(512) == plain(size));
}

fn any_options() -> impl Strategy<Value = (Qcow2Create, bool)> {
    (9_u32..=17, 0_u32..=6, any::<[bool; 4]>(), 2_u32..=3).prop_map(|(bits, order, flags, version)| {
        let [extended, zstd, lazy, compress] = flags;
        let v3 = version == 3;
        let options = Qcow2Create {
            version,
            cluster_bits: bits,
            refcount_order: if v3 { order } else { 4 },
            lazy_refcounts: v3 && lazy,
            extended_l2: v3 && extended && bits >= 14,
            compression: if v3 && zstd {
                Compression::Zstd
            } else {
                Compression::Zlib
            },
            ..Qcow2Create::default()
        };
        (options, compress)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_disk_with_any_options_is_right(
        (options, compress) in any_options(),
        size in 1_u64..2_000_000,
        over in any::<bool>(),
        runs in proptest::collection::vec((0_u64..60, 1_u64..60, 0_u8..4, 1_u64..9), 1..40),
    ) {
        let unit = if compress { 1 << options.cluster_bits } else { unit(&options) };
        let end = size.next_multiple_of(512);
        let mut disk = patterned(size);
        let (mut steps, mut at) = (Vec::new(), 0);
        for (skip, length, kind, piece) in runs {
            let start = at + skip * unit;
            let stop = (start + length * unit).min(end);
            if start >= stop {
                break;
            }
            at = stop;
            match kind {
                0 => steps.push(Step::Zero(start..stop)),
                1 if compress => {
                    noise(&mut disk, start..start + (stop - start) / 2);
                    steps.push(Step::Units(start..stop));
                }
                2 if compress => steps.push(Step::Units(start..stop)),
                _ => steps.push(Step::Data(start..stop, piece * unit)),
            }
        }
        let mut below = vec![0; end as usize];
        noise(&mut below, 0..end);
        let mut order = Order::new(options, size, steps);
        order.compress = compress;
        order.judge(&disk, over.then_some(&below));
    }
}
