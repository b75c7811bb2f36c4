//! An image, and what can be wrong with it: written byte by byte, without the code under test.

use crate::support::Bench;

/// Layouts of a small image.
pub(crate) const LAYOUTS: [&str; 9] = [
    "cluster_size=512",
    "cluster_size=512,compat=0.10",
    "cluster_size=4k",
    "cluster_size=4k,refcount_bits=64",
    "cluster_size=4k,refcount_bits=4",
    "cluster_size=64k",
    "cluster_size=64k,compat=0.10",
    "cluster_size=16k,extended_l2=on",
    "cluster_size=4k,lazy_refcounts=on",
];

/// Marks an entry whose cluster is used once.
const COPIED: u64 = 1 << 63;
const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;

/// What is wrong, and how it comes about.
pub(crate) struct Damage {
    pub(crate) name: &'static str,
    /// Whether `-r leaks` is enough; if not, it leaves errors or refuses.
    pub(crate) leaks_only: bool,
    /// Whether no reader reads all of the disk before it is repaired.
    pub(crate) unreadable: bool,
    pub(crate) make: fn(&mut Image),
}

pub(crate) const ALL: &[Damage] = &[
    Damage {
        name: "a leaked cluster behind all others",
        leaks_only: true,
        unreadable: false,
        make: |image| {
            let cluster = image.append();
            image.set_count(cluster, 1);
        },
    },
    Damage {
        name: "counts that are too high",
        leaks_only: true,
        unreadable: false,
        make: |image| {
            for entry in 0..5 {
                let cluster = image.data_cluster(entry);
                image.set_count(cluster, 7);
            }
            image.set_count(0, 2);
        },
    },
    Damage {
        name: "clusters that nothing uses any more",
        leaks_only: true,
        unreadable: false,
        make: |image| {
            for entry in [1, 2, 3] {
                let place = image.entry(entry);
                image.put(place, 0);
                if image.is_extended() {
                    image.put(place + 8, 0);
                }
            }
        },
    },
    Damage {
        name: "counts that are too low",
        leaks_only: false,
        unreadable: false,
        make: |image| {
            // Of a cluster that disk and snapshot share.
            let cluster = image.data_cluster(0);
            assert!(image.count(cluster) > 1);
            image.set_count(cluster, 1);
        },
    },
    Damage {
        name: "a cluster that is not counted",
        leaks_only: false,
        unreadable: false,
        make: |image| {
            let cluster = image.data_cluster(0);
            image.set_count(cluster, 0);
        },
    },
    Damage {
        name: "no refcount block",
        leaks_only: false,
        unreadable: false,
        make: |image| {
            let table = image.get(48);
            image.put(table, 0);
        },
    },
    Damage {
        name: "a refcount block where none can be",
        leaks_only: false,
        unreadable: false,
        make: |image| {
            let table = image.get(48);
            image.put(table, image.get(table) + 512 % image.cluster());
            let end = (image.bytes.len() as u64).next_multiple_of(image.cluster());
            image.put(table + 8, end + 5 * image.cluster());
        },
    },
    Damage {
        name: "a refcount block in the L1 table",
        leaks_only: false,
        unreadable: false,
        make: |image| {
            let table = image.get(48);
            image.put(table, image.get(40));
        },
    },
    Damage {
        name: "wrong copied flags",
        // Flags are set right where nothing else is wrong.
        leaks_only: true,
        unreadable: false,
        make: |image| {
            for entry in [0, 1, 2, 40] {
                let place = image.entry(entry);
                let word = image.get(place);
                if word & OFFSET != 0 && word & (1 << 62) == 0 {
                    image.put(place, word ^ COPIED);
                }
            }
            let l1 = image.get(40);
            image.put(l1, image.get(l1) ^ COPIED);
        },
    },
    Damage {
        name: "zeros at a place where no cluster can be",
        leaks_only: false,
        unreadable: true,
        make: |image| {
            // Version 2 has no such entries, and clusters of 512 bytes cannot be misplaced.
            if image.cluster() == 512 || image.bytes[7] < 3 {
                return;
            }
            let place = image.entry(3);
            image.put(place, 0x1_0200 | u64::from(!image.is_extended()));
            if image.is_extended() {
                image.put(place + 8, 0xffff_ffff_0000_0000);
            }
        },
    },
    Damage {
        name: "a snapshot without extra data",
        leaks_only: false,
        unreadable: false,
        make: |image| {
            let table = image.get(64) as usize;
            image.bytes.copy_within(table + 64..table + 128, table + 40);
            image.bytes[table + 36..table + 40].fill(0);
        },
    },
    Damage {
        name: "a mark and nothing else",
        leaks_only: true,
        unreadable: false,
        make: |image| {
            if image.bytes[7] == 3 {
                image.bytes[79] |= 3;
            }
        },
    },
    Damage {
        name: "everything at once",
        leaks_only: false,
        unreadable: true,
        make: |image| {
            for damage in [0, 1, 3, 8, 9, 11] {
                (ALL[damage].make)(image);
            }
        },
    },
];

/// A qcow2 file in memory.
pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
}

impl Image {
    pub(crate) fn get(&self, at: u64) -> u64 {
        u64::from_be_bytes(self.bytes[at as usize..][..8].try_into().unwrap())
    }

    pub(crate) fn put(&mut self, at: u64, value: u64) {
        self.bytes[at as usize..][..8].copy_from_slice(&value.to_be_bytes());
    }

    pub(crate) fn cluster(&self) -> u64 {
        1 << self.bytes[23]
    }

    fn is_extended(&self) -> bool {
        self.bytes[7] == 3 && self.bytes[79] & 16 != 0
    }

    /// The entry of a guest cluster, in the first tables.
    pub(crate) fn entry(&self, number: u64) -> u64 {
        let bytes = if self.is_extended() { 16 } else { 8 };
        let table = self.get(self.get(40) + number * bytes / self.cluster() * 8) & OFFSET;
        table + number * bytes % self.cluster()
    }

    /// The cluster that the guest cluster is in, a plain one.
    pub(crate) fn data_cluster(&self, number: u64) -> u64 {
        let plain = (0..).map(|number| self.get(self.entry(number)));
        let mut plain = plain.filter(|word| word & (1 << 62) == 0 && word & OFFSET != 0);
        (plain.nth(number as usize).unwrap() & OFFSET) / self.cluster()
    }

    /// One cluster more; gives its number.
    fn append(&mut self) -> u64 {
        let clusters = (self.bytes.len() as u64).div_ceil(self.cluster());
        self.bytes
            .resize(((clusters + 1) * self.cluster()) as usize, 0xee);
        clusters
    }

    fn width(&self) -> u64 {
        if self.bytes[7] == 3 {
            1 << self.bytes[99]
        } else {
            16
        }
    }

    /// The byte where the count of a cluster starts, and its lowest bit there.
    fn place(&self, cluster: u64) -> (usize, u32) {
        let each = self.cluster() * 8 / self.width();
        let block = self.get(self.get(48) + cluster / each * 8);
        assert_ne!(block, 0, "cluster {cluster} has no block");
        let bit = cluster % each * self.width();
        ((block + bit / 8) as usize, (bit % 8) as u32)
    }

    pub(crate) fn count(&self, cluster: u64) -> u64 {
        let (at, shift) = self.place(cluster);
        let width = self.width();
        if width < 8 {
            return u64::from(self.bytes[at] >> shift) & ((1 << width) - 1);
        }
        let bytes = &self.bytes[at..at + width as usize / 8];
        bytes.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
    }

    pub(crate) fn set_count(&mut self, cluster: u64, count: u64) {
        let (at, shift) = self.place(cluster);
        let width = self.width();
        if width < 8 {
            let mask = ((1_u8 << width) - 1) << shift;
            let bits = (count as u8).min((1 << width) - 1) << shift;
            self.bytes[at] = self.bytes[at] & !mask | bits;
            return;
        }
        let bytes = width as usize / 8;
        self.bytes[at..at + bytes].copy_from_slice(&count.to_be_bytes()[8 - bytes..]);
    }
}

/// A sound image of 600 KiB with plain, zero and compressed clusters, some of them written again after a snapshot `old`.
pub(crate) fn sound(bench: &Bench, layout: &str) -> Image {
    bench.pattern("disk.raw", 600 << 10);
    bench.qemu_img(&format!("convert -f raw -O qcow2 -o {layout} disk.raw image"));
    bench.qemu_io("image", &["write -P 7 0 130k", "write -P 8 300k 8k"]);
    // Compressed clusters share places, which few bits cannot count.
    if !layout.ends_with("refcount_bits=4") {
        bench.qemu_img("resize -q image 704k");
        bench.qemu_io("image", &["write -c -P 5 640k 64k"]);
    }
    bench.qemu_img("snapshot -c old image");
    bench.qemu_io(
        "image",
        &["write -P 9 70k 8k", "write -z 192k 64k", "write -P 10 400k 30k"],
    );
    Image {
        bytes: bench.bytes("image"),
    }
}
