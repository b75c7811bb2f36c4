//! One image made by us and judged.

use std::path::{Path, PathBuf};

use instar_disk::job::{Compression, Preallocation, Qcow2Create};
use instar_disk::{File, FileFacts, ImageText, Slot, Target};
use instar_testkit::Native;

use crate::copier::{Copier, Step, as_device, pattern};
use crate::reference;

/// What to make.
pub(crate) struct Order {
    pub(crate) options: Qcow2Create,
    pub(crate) size: u64,
    pub(crate) steps: Vec<Step>,
    pub(crate) compress: bool,
    pub(crate) device: bool,
}

/// What came of it.
pub(crate) struct Made {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) image: PathBuf,
    pub(crate) fresh: u64,
    pub(crate) stale: u64,
    pub(crate) encoded: u64,
}

impl Order {
    pub(crate) fn new(options: Qcow2Create, size: u64, steps: Vec<Step>) -> Self {
        Self {
            options,
            size,
            steps,
            compress: false,
            device: false,
        }
    }

    /// Makes the image of `disk` (the bytes that a reader must see where `steps` write), over `backing` if the options name it,
    /// and has qemu-img judge it.
    pub(crate) fn judge(mut self, disk: &[u8], backing: Option<&[u8]>) -> Made {
        let directory = instar_testkit::scratch();
        let path = directory.path();
        if let Some(backing) = backing {
            std::fs::write(path.join("backing.raw"), backing).unwrap();
            self.options.backing_file = Some(ImageText::new(b"backing.raw"));
            self.options.backing_format = Some(ImageText::new(b"raw"));
        }
        let image = path.join("image.qcow2");
        let copied = self.make(&image, disk);
        let made = Made {
            image,
            fresh: copied.0,
            stale: copied.1,
            encoded: copied.2,
            directory,
        };
        reference::check(&made.image);
        let model = reference::create(made.directory.path(), &self.options, self.size);
        assert_eq!(reference::facts(&made.image), reference::facts(&model));
        compare_heads(&made.image, &model, 1 << self.options.cluster_bits);
        let expected = self.expect(disk, backing);
        let contents = reference::contents(&made.image);
        assert_eq!(contents.len(), expected.len());
        if contents != expected {
            let wrong = (0..expected.len()).find(|at| contents[*at] != expected[*at]);
            let options = reference::option_text(&self.options);
            assert!(wrong.is_none(), "byte {wrong:x?} is wrong: {options}");
        }
        made
    }

    /// Makes the image; gives fresh and stale bytes placed and units encoded.
    fn make(&mut self, image: &Path, disk: &[u8]) -> (u64, u64, u64) {
        let host = Native::new(1);
        let facts = if self.device {
            // A device that was used before.
            std::fs::write(image, vec![0x5a; self.size as usize + (16 << 20)]).unwrap();
            host.existing(image)
        } else {
            host.target(image)
        };
        let file = self.file(&host, facts);
        let data = self.options.data_file.clone().map(|(_, name)| {
            let name = String::from_utf8(name.as_bytes().to_vec()).unwrap();
            let facts = host.target(image.with_file_name(name));
            File::new(&host, facts)
        });
        let mut target = instar_qcow2::create(file, &self.options, self.size, data, self.compress).unwrap();
        assert_eq!(target.size(), self.size.next_multiple_of(512));
        let mut copier = Copier::new(&host, false);
        copier.run(&mut *target, &self.steps, disk);
        target.finish().unwrap();
        (copier.fresh, copier.stale, copier.encoded)
    }

    fn file<'h>(&self, host: &'h Native, facts: FileFacts) -> File<'h> {
        if self.device {
            as_device(host, facts)
        } else {
            File::new(host, facts)
        }
    }

    fn expect(&self, disk: &[u8], backing: Option<&[u8]>) -> Vec<u8> {
        let mut expected = backing.unwrap_or(&[]).to_vec();
        expected.resize(self.size.next_multiple_of(512) as usize, 0);
        for step in &self.steps {
            match step {
                Step::Data(range, _) | Step::Units(range) => {
                    let range = range.start as usize..range.end as usize;
                    expected[range.clone()].copy_from_slice(&disk[range]);
                }
                Step::Zero(range) => expected[range.start as usize..range.end as usize].fill(0),
            }
        }
        expected
    }
}

/// The first clusters are alike but for where the tables are.
fn compare_heads(image: &Path, model: &Path, cluster: usize) {
    let head = |path: &Path| {
        let mut bytes = std::fs::read(path).unwrap();
        bytes.truncate(cluster);
        bytes.resize(cluster, 0);
        // l1_table_offset, refcount_table_offset, refcount_table_clusters
        bytes[40..60].fill(0);
        bytes
    };
    assert!(head(image) == head(model), "the first cluster is not qemu-img's");
}

/// A disk full of pattern.
pub(crate) fn patterned(size: u64) -> Vec<u8> {
    let size = size.next_multiple_of(512);
    let mut disk = vec![0; size as usize];
    pattern(&mut disk, 0..size);
    disk
}

/// Every combination of version, widths and flags that `qemu-img create` takes, for these cluster sizes.
pub(crate) fn combinations(cluster_bits: &[u32]) -> Vec<Qcow2Create> {
    let mut all = Vec::new();
    for bits in cluster_bits.iter().copied() {
        all.push(Qcow2Create {
            version: 2,
            cluster_bits: bits,
            ..Qcow2Create::default()
        });
        for refcount_order in 0..=6 {
            for flags in 0..4 {
                let extended_l2 = flags & 1 != 0;
                if extended_l2 && bits < 14 {
                    continue;
                }
                all.push(Qcow2Create {
                    cluster_bits: bits,
                    refcount_order,
                    extended_l2,
                    lazy_refcounts: refcount_order % 2 == 1,
                    compression: if flags & 2 == 0 {
                        Compression::Zlib
                    } else {
                        Compression::Zstd
                    },
                    ..Qcow2Create::default()
                });
            }
        }
    }
    all
}

/// `options` with a data file.
pub(crate) fn with_data_file(mut options: Qcow2Create, raw: bool) -> Qcow2Create {
    options.data_file = Some((Slot(1), ImageText::new(b"data.raw")));
    options.data_file_raw = raw;
    options
}

pub(crate) const PREALLOCATIONS: [Preallocation; 3] = [
    Preallocation::Metadata,
    Preallocation::Falloc,
    Preallocation::Full,
];

/// A target over a new file, for tests that drive it by hand.
pub(crate) fn target<'h>(
    host: &'h Native,
    image: &Path,
    options: &Qcow2Create,
    size: u64,
) -> Box<dyn Target + 'h> {
    let file = File::new(host, host.target(image));
    instar_qcow2::create(file, options, size, None, false).unwrap()
}
