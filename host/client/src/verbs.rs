//! The verbs.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use instar_abi::Report;
use instar_abi::job::{self, CreateImage, Verb};
use instar_abi::report::{Compared, Done};
use instar_abi::worker::Frame;

use crate::answer::{Algorithm, Check, Checksum, Comparison, Extent, Info, Measurement, Progress};
use crate::error::{Error, Kind};
use crate::image::{Files, Image};
use crate::new::NewImage;
use crate::policy::Policy;
use crate::target::Target;
use crate::wire::Worker;

/// The program, and how images are trusted. Can be used from several threads.
#[derive(Clone, Debug)]
pub struct Instar {
    program: PathBuf,
    policy: Policy,
}

/// What is converted, and how. An [`Image`] is one with the usual options.
#[derive(Debug)]
pub struct Conversion<'a> {
    sources: Vec<&'a Image>,
    compress: bool,
    sparse_size: u64,
    salvage: bool,
    rate: u64,
    checksum: Option<Algorithm>,
}

impl<'a> Conversion<'a> {
    /// These disks, one behind the other.
    pub fn new(sources: impl IntoIterator<Item = &'a Image>) -> Self {
        Self {
            sources: sources.into_iter().collect(),
            compress: false,
            sparse_size: SPARSE,
            salvage: false,
            rate: 0,
            checksum: None,
        }
    }

    /// Compresses, where the format can.
    #[must_use]
    pub fn compress(self) -> Self {
        Self {
            compress: true,
            ..self
        }
    }

    /// Leaves out runs of zeros of at least so many bytes; with 0, none. 4096 by default.
    #[must_use]
    pub fn sparse_size(self, bytes: u64) -> Self {
        Self {
            sparse_size: bytes,
            ..self
        }
    }

    /// Writes zeros where a source cannot be read.
    #[must_use]
    pub fn salvage(self) -> Self {
        Self {
            salvage: true,
            ..self
        }
    }

    /// Writes at most so many bytes a second.
    #[must_use]
    pub fn rate(self, bytes: u64) -> Self {
        Self { rate: bytes, ..self }
    }

    /// Computes the checksum of the disk on the way.
    #[must_use]
    pub fn checksum(self, algorithm: Algorithm) -> Self {
        Self {
            checksum: Some(algorithm),
            ..self
        }
    }
}

impl<'a> From<&'a Image> for Conversion<'a> {
    fn from(image: &'a Image) -> Self {
        Self::new([image])
    }
}

/// Runs of zeros of so many bytes are left out: reference tool.
const SPARSE: u64 = 4096;

impl Instar {
    /// The program `instar` in the directory of the program that is running.
    ///
    /// # Errors
    /// [`Kind::Program`]: it is not there.
    pub fn beside_this_program() -> Result<Self, Error> {
        let own = std::env::current_exe().map_err(|error| Error::system("this program", &error))?;
        let program = own.parent().unwrap_or(Path::new("/")).join("instar");
        if program.is_file() {
            return Ok(Self::at(program));
        }
        Err(Error::new(
            Kind::Program,
            format!("{} is not there", program.display()),
        ))
    }

    /// The program at `path`. It must be of the same version as this library.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            program: path.into(),
            policy: Policy::default(),
        }
    }

    /// Images are trusted as far as this.
    #[must_use]
    pub fn with(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// What an image is.
    ///
    /// # Errors
    /// See [`Kind`]; so for every verb.
    pub fn info(&self, image: &Image) -> Result<Info, Error> {
        let mut files = Files::default();
        let source = image.hand(&mut files);
        let verb = Verb::Info(job::Info {
            source,
            backing_chain: false,
        });
        self.answer(verb, files, &mut |_| Ok(()), |report| match report {
            Report::Info(info) => Some(Info::of(*info, image.stored())),
            _ => None,
        })
    }

    /// Where each part of the disk is stored, from its beginning to its end. `hear` is told part by part, as a map may be longer than
    /// memory, and can break off.
    ///
    /// # Errors
    /// [`Kind::Interrupted`] if `hear` broke off.
    pub fn map(&self, image: &Image, mut hear: impl FnMut(Extent) -> ControlFlow<()>) -> Result<(), Error> {
        let mut files = Files::default();
        let source = image.hand(&mut files);
        let verb = Verb::Map(job::Map {
            source,
            start: 0,
            length: None,
            placed_only: false,
        });
        self.work(verb, files, &mut |frame| {
            if let Frame::Report(Report::Map(runs)) = frame {
                for run in &runs {
                    go_on(hear(Extent::of(run)))?;
                }
            }
            Ok(())
        })
        .map(|_| ())
    }

    /// Whether an image is sound.
    ///
    /// # Errors
    /// An image in which something is wrong is an answer; one that cannot be opened is an error.
    pub fn check(&self, image: &Image) -> Result<Check, Error> {
        let mut files = Files::default();
        let source = image.hand(&mut files);
        let verb = Verb::Check(job::Check { source, repair: None });
        let (mut findings, mut found) = (Vec::new(), None);
        self.work(verb, files, &mut |frame| {
            match frame {
                Frame::Warning(words) => findings.push(String::from_utf8_lossy(&words).into_owned()),
                Frame::Report(Report::Checked(_, checked)) => found = Some(checked),
                _ => {}
            }
            Ok(())
        })?;
        found
            .map(|checked| Check::of(&checked, findings))
            .ok_or_else(unanswered)
    }

    /// How many bytes an image with the disk of another one would take.
    ///
    /// # Errors
    /// See [`Kind`].
    pub fn measure(&self, image: &Image, new: &NewImage) -> Result<Measurement, Error> {
        let mut files = Files::default();
        let source = Some(image.hand(&mut files));
        self.measured(source, 0, new, files)
    }

    /// How many bytes an image with an empty disk of `size` bytes would take.
    ///
    /// # Errors
    /// See [`Kind`].
    pub fn measure_empty(&self, size: u64, new: &NewImage) -> Result<Measurement, Error> {
        self.measured(None, size, new, Files::default())
    }

    fn measured(
        &self,
        source: Option<job::Source>,
        size: u64,
        new: &NewImage,
        files: Files<'_>,
    ) -> Result<Measurement, Error> {
        let verb = Verb::Measure(job::Measure {
            source,
            size,
            create: new.named(b""),
            header_bytes: 0,
        });
        self.answer(verb, files, &mut |_| Ok(()), |report| match report {
            Report::Measured(found) => Some(Measurement::of(found)),
            _ => None,
        })
    }

    /// Whether two images hold the same disk; if `strict`, also in their sizes and in what is allocated.
    ///
    /// # Errors
    /// See [`Kind`]; [`Kind::Interrupted`] if `watch` broke off.
    pub fn compare(
        &self,
        left: &Image,
        right: &Image,
        strict: bool,
        mut watch: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Comparison, Error> {
        let mut files = Files::default();
        let verb = Verb::Compare(job::Compare {
            left: left.hand(&mut files),
            right: right.hand(&mut files),
            strict,
        });
        let mut longer = false;
        self.answer(verb, files, &mut watched(&mut watch), |report| match report {
            Report::Compared(Compared::Longer) => {
                longer = true;
                None
            }
            Report::Compared(Compared::Identical) if longer => Some(Comparison::SameButLonger),
            Report::Compared(Compared::Identical) => Some(Comparison::Same),
            Report::Compared(Compared::Sizes) => Some(Comparison::Sizes),
            Report::Compared(Compared::Content(at)) => Some(Comparison::Content(at)),
            Report::Compared(Compared::Status(at)) => Some(Comparison::Allocation(at)),
            _ => None,
        })
    }

    /// A checksum of the disk.
    ///
    /// # Errors
    /// See [`Kind`]; [`Kind::Interrupted`] if `watch` broke off.
    pub fn checksum(
        &self,
        image: &Image,
        algorithm: Algorithm,
        mut watch: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Checksum, Error> {
        let mut files = Files::default();
        let verb = Verb::Checksum(job::Checksum {
            source: image.hand(&mut files),
            algorithm: algorithm.abi(),
        });
        self.answer(verb, files, &mut watched(&mut watch), |report| match report {
            Report::Checksum(digest) => Some(Checksum { algorithm, digest }),
            _ => None,
        })
    }

    /// Makes an empty image of `size` bytes; without, of the size of the layer below.
    ///
    /// # Errors
    /// See [`Kind`].
    pub fn create(&self, target: Target, size: Option<u64>) -> Result<(), Error> {
        let mut files = Files::default();
        let made = target.hand(&mut files);
        let verb = Verb::Create(CreateImage {
            target: Some(made),
            backing: target.below().map(|layer| layer.hand(&mut files)),
            size,
        });
        self.work(verb, files, &mut |_| Ok(()))?;
        target.complete()
    }

    /// Writes a disk into a new image. Gives its checksum, if that was asked for.
    ///
    /// # Errors
    /// See [`Kind`]; [`Kind::Interrupted`] if `watch` broke off.
    pub fn convert<'a>(
        &self,
        what: impl Into<Conversion<'a>>,
        target: Target,
        mut watch: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Option<Checksum>, Error> {
        let what = what.into();
        if what.sources.is_empty() {
            return Err(Error::new(Kind::Arguments, "nothing is to be converted"));
        }
        let mut files = Files::default();
        let sources = what.sources.iter().map(|image| image.hand(&mut files));
        let sources = sources.collect();
        let mut made = target.hand(&mut files);
        made.backing = target.below().map(|layer| layer.hand(&mut files));
        let verb = Verb::Convert(job::Convert {
            sources,
            target: made,
            sparse: what.sparse_size,
            sparse_chosen: what.sparse_size != SPARSE,
            compress: what.compress,
            target_is_zero: false,
            layer_only: false,
            rate: what.rate,
            watched: true,
            salvage: what.salvage,
            checksum: what.checksum.map(Algorithm::abi),
            bitmaps: job::CopyBitmaps::No,
            offload: false,
            range: None,
            sent_to: None,
            granularity: 1,
        });
        let mut digest = None;
        let mut watch = watched(&mut watch);
        self.work(verb, files, &mut |frame| {
            if let Frame::Report(Report::Checksum(found)) = frame {
                digest = Some(found);
                return Ok(());
            }
            watch(frame)
        })?;
        let checksum = match (what.checksum, digest) {
            (None, _) => None,
            (Some(algorithm), Some(digest)) => Some(Checksum { algorithm, digest }),
            (Some(_), None) => return Err(unanswered()),
        };
        target.complete()?;
        Ok(checksum)
    }

    /// Has a worker do it; the last answer that `pick` finds.
    fn answer<T>(
        &self,
        verb: Verb,
        files: Files<'_>,
        hear: &mut dyn FnMut(Frame) -> Result<(), Error>,
        mut pick: impl FnMut(Report) -> Option<T>,
    ) -> Result<T, Error> {
        let mut found = None;
        self.work(verb, files, &mut |frame| {
            if let Frame::Report(report) = frame {
                found = pick(report).or(found.take());
                return Ok(());
            }
            hear(frame)
        })?;
        found.ok_or_else(unanswered)
    }

    fn work(
        &self,
        verb: Verb,
        files: Files<'_>,
        hear: &mut dyn FnMut(Frame) -> Result<(), Error>,
    ) -> Result<Done, Error> {
        Worker::start(&self.program, &self.policy.words())?.work(verb, files, hear)
    }
}

/// Hands progress on.
fn watched(watch: &mut impl FnMut(Progress) -> ControlFlow<()>) -> impl FnMut(Frame) -> Result<(), Error> {
    move |frame| match frame {
        Frame::Progress { done, total } => go_on(watch(Progress { done, total })),
        _ => Ok(()),
    }
}

fn go_on(flow: ControlFlow<()>) -> Result<(), Error> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::new(Kind::Interrupted, "the caller broke off")),
    }
}

fn unanswered() -> Error {
    Error::new(Kind::Sandbox, "the worker ended without a result")
}
