//! A directory with images over one another, and the verbs on them.

use std::ops::Deref;

use instar_abi::job::{
    Bounds, Commit, Convert, Create, Encryption, NewBacking, RawCreate, Rebase, Seed, Source, Target, Verb,
};
use instar_abi::{FileFacts, Format, Job, NamedSecret, Report};
use instar_disk::Host;
use instar_testkit::Native;

/// A directory with images.
pub(crate) struct Bench(instar_testkit::Bench);

impl Deref for Bench {
    type Target = instar_testkit::Bench;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

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
        Self(instar_testkit::Bench::new())
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

    /// The disk that qemu-img sees in `image`.
    pub(crate) fn disk(&self, format: &str, image: &str) -> Vec<u8> {
        self.0.disk(&format!("-f {format}"), image)
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
            image: Source::new(top.slot, None),
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
            locked: Vec::new(),
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
    instar_testkit::jobs::conversion(
        vec![Source::new(files[0].slot, None)],
        Target {
            slot: files[1].slot,
            create: Create::Raw(RawCreate::default()),
            existing: false,
            backing: None,
            encrypt: Encryption::default(),
            export: None,
        },
    )
}

/// Runs a job on `host`, whose reports go to `native`; gives the last one.
pub(crate) fn run(host: &dyn Host, native: &Native, job: &Job) -> Report {
    run_with(host, native, job, Vec::new())
}

/// The same with secrets.
pub(crate) fn run_with(host: &dyn Host, native: &Native, job: &Job, secrets: Vec<NamedSecret>) -> Report {
    instar_ops::run(host, job, secrets);
    native.reports().pop().expect("a last report")
}

pub(crate) fn assert_done(report: &Report, what: &str) {
    assert!(matches!(report, Report::Done(_)), "{what}: {report:?}");
}
