//! A directory with images over one another, and the verbs on them.

use std::path::PathBuf;
use std::process::{Command, Output};

use instar_abi::job::{
    Bounds, Commit, Convert, CopyBitmaps, Create, NewBacking, RawCreate, Rebase, Seed, Source, Target, Verb,
};
use instar_abi::{FileFacts, Format, Job, Report};
use instar_disk::Host;
use instar_native::Native;
use tempfile::TempDir;

/// A directory. The reference tools work in it, so that names are plain.
pub(crate) struct Bench(TempDir);

/// What `rebase` is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Over<'a> {
    /// Name and format of the new layer below; none: nothing.
    pub(crate) backing: Option<(&'a str, &'a str)>,
    pub(crate) compress: bool,
    /// The image's data file.
    pub(crate) data: Option<&'a str>,
}

/// What `commit` is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Into<'a> {
    pub(crate) base: &'a str,
    pub(crate) empties: bool,
    /// The files that hold the base's data.
    pub(crate) apart: &'a [&'a str],
    pub(crate) emptied: Option<&'a str>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self(instar_native::scratch())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn put(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// A raw file whose sectors say where they stand and which file it is, with stretches of zeros between.
    pub(crate) fn pattern(&self, name: &str, size: u64, seed: u8) {
        let mut bytes = vec![0; size as usize];
        for (sector, into) in bytes.chunks_mut(512).enumerate() {
            let odd = seed as usize;
            if (sector / (7 + odd)) % 5 == 3 || (sector / 300 + odd) % 4 == 2 {
                continue;
            }
            // Every third page is the same in all of them.
            let seed = if (sector / 8).is_multiple_of(3) { 1 } else { seed };
            for (at, byte) in into.iter_mut().enumerate() {
                *byte = (sector as u8)
                    .wrapping_mul(seed | 1)
                    .wrapping_add((at / 32) as u8)
                    | 1;
            }
        }
        self.put(name, &bytes);
    }

    pub(crate) fn try_qemu_img(&self, line: &str) -> Output {
        let mut command = Command::new("qemu-img");
        command.args(line.split_whitespace()).current_dir(self.0.path());
        command.output().expect("qemu-img is required by these tests")
    }

    /// Runs `qemu-img` with the words of `line`; it must succeed.
    pub(crate) fn qemu_img(&self, line: &str) -> String {
        let output = self.try_qemu_img(line);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "qemu-img {line}: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs commands of `qemu-io` on an image.
    pub(crate) fn qemu_io(&self, format: &str, image: &str, commands: &[&str]) {
        let mut command = Command::new("qemu-io");
        command.current_dir(self.0.path()).args(["-f", format]);
        for line in commands {
            command.args(["-c", line]);
        }
        let output = command
            .arg(image)
            .output()
            .expect("qemu-io is required by these tests");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let failed = !output.status.success() || text.contains("rror") || text.contains("failed");
        assert!(!failed, "qemu-io {commands:?}: {text}");
    }

    /// The disk that qemu-img sees in `image`.
    pub(crate) fn disk(&self, format: &str, image: &str) -> Vec<u8> {
        self.qemu_img(&format!("convert -f {format} -O raw {image} disk.seen"));
        let bytes = self.bytes("disk.seen");
        std::fs::remove_file(self.path("disk.seen")).unwrap();
        bytes
    }

    /// Nothing is wrong with the image, and nothing leaks, says qemu-img.
    pub(crate) fn assert_clean(&self, image: &str, what: &str) {
        let output = self.try_qemu_img(&format!("check -f qcow2 {image}"));
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{what}, {image}: {text}");
    }

    /// The files of a run, opened on `native`, and the job.
    pub(crate) fn rebase(&self, native: &Native, image: &str, over: Over<'_>) -> Job {
        let top = native.existing(self.path(image));
        let mut files = vec![top];
        let data = over.data.map(|name| native.existing(self.path(name)));
        files.extend(data);
        let below = over.backing.map(|(name, format)| {
            let facts = native.source(self.path(name));
            files.push(facts);
            Source::new(facts.slot, Format::from_name(format.as_bytes()))
        });
        let verb = Verb::Rebase(Rebase {
            image: Source::new(top.slot, Some(Format::Qcow2)),
            data_file: data.map(|facts| facts.slot),
            backing: below,
            names: NewBacking {
                name: over.backing.map(|(name, _)| name.into()),
                format: over.backing.map(|(_, format)| format.into()),
                compress: over.compress,
            },
            watched: false,
        });
        job(verb, files)
    }

    /// The same for `commit`.
    pub(crate) fn commit(&self, native: &Native, image: &str, into: Into<'_>) -> Job {
        let top = native.existing(self.path(image));
        let base = native.existing(self.path(into.base));
        let mut files = vec![top, base];
        let apart: Vec<FileFacts> = into
            .apart
            .iter()
            .map(|name| native.existing(self.path(name)))
            .collect();
        files.extend(&apart);
        let emptied = into.emptied.map(|name| native.existing(self.path(name)));
        files.extend(emptied);
        let verb = Verb::Commit(Commit {
            image: Source::new(top.slot, None),
            base: base.slot,
            apart: apart.iter().map(|facts| facts.slot).collect(),
            empties: into.empties,
            emptied_data: emptied.map(|facts| facts.slot),
            rate: 0,
            watched: false,
        });
        job(verb, files)
    }
}

pub(crate) fn job(verb: Verb, files: Vec<FileFacts>) -> Job {
    Job {
        verb,
        files,
        bounds: Bounds::default(),
        seed: Seed::default(),
    }
}

/// A conversion of the first file to the second, raw.
pub(crate) fn conversion(files: &[FileFacts; 2]) -> Convert {
    Convert {
        sources: vec![Source::new(files[0].slot, None)],
        target: Target {
            slot: files[1].slot,
            create: Create::Raw(RawCreate::default()),
            existing: false,
            backing: None,
        },
        sparse: 4096,
        compress: false,
        target_is_zero: false,
        layer_only: false,
        rate: 0,
        watched: false,
        salvage: false,
        offload: false,
        checksum: None,
        bitmaps: CopyBitmaps::No,
    }
}

/// Runs a job on `host`, whose reports go to `native`; gives the last one.
pub(crate) fn run(host: &dyn Host, native: &Native, job: &Job) -> Report {
    instar_ops::run(host, job);
    native.reports().pop().expect("a last report")
}

pub(crate) fn assert_done(report: &Report, what: &str) {
    assert!(matches!(report, Report::Done(_)), "{what}: {report:?}");
}

pub(crate) fn assert_same(ours: &[u8], theirs: &[u8], what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}: length");
    // Byte by byte only to say where: that takes a test without optimisation a hundred times longer.
    if ours != theirs {
        let first = ours.iter().zip(theirs).position(|(a, b)| a != b);
        panic!("{what}: first byte that differs: {first:?}");
    }
}
