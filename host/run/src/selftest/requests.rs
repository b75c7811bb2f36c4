//! Requests that no sound guest makes, judged by the engine, with files of a run behind it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use instar_abi::job::{self, Seed, Verb};
use instar_abi::layout::{BASE, HEAP};
use instar_abi::limits::BATCH;
use instar_abi::request::{Op, status};
use instar_abi::{Format, RawRequest, RawResult, job::Source};
use instar_engine::{Engine, Files, Options, ReportLimits, TargetOptions};
use instar_sandbox::{Choice, Held, Outcome, Ringer};

use crate::Policy;
use crate::reports::Reports;
use crate::room::Room;

/// One request that a guest may not make.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// What programs call it.
    pub name: &'static str,
    /// What it is, for people.
    pub words: &'static str,
    /// How many requests the batch claims to have.
    count: u32,
    request: RawRequest,
    /// What lies in the guest's memory for it.
    said: &'static [u8],
}

/// The file that is read, in slot 0.
const SOURCE: u32 = 0;
/// The file that is written, in slot 1. Nobody has said how large it may become.
const TARGET: u32 = 1;
const HUGE: u64 = 1 << 40;

/// Every demand. The first is the one that is allowed.
pub const DEMANDS: &[Demand] = &[
    demand(
        "allowed",
        "read the image, which is allowed",
        on(Op::READ, SOURCE, 0, 512),
    ),
    demand(
        "unknown-operation",
        "ask for something unknown",
        on(Op(999), SOURCE, 0, 0),
    ),
    counted("no-requests", "ring without a request", 0),
    counted(
        "too-many-requests",
        "ring with more requests than fit",
        BATCH_AND_ONE,
    ),
    demand(
        "unknown-file",
        "read a file that is not open",
        on(Op::READ, 7, 0, 512),
    ),
    demand(
        "long-read",
        "read more at once than is allowed",
        on(Op::READ, SOURCE, 0, 128 << 20),
    ),
    demand(
        "read-outside",
        "have bytes written outside its memory",
        at(on(Op::READ, SOURCE, 0, 512), 0x7fff_0000_0000),
    ),
    demand(
        "read-into-code",
        "have bytes written to its code",
        at(on(Op::READ, SOURCE, 0, 512), BASE),
    ),
    demand(
        "write-from-outside",
        "have bytes outside its memory written to a file",
        at(on(Op::WRITE, TARGET, 0, 512), 0x7fff_0000_0000),
    ),
    demand(
        "write-source",
        "write to the image that is read",
        on(Op::WRITE, SOURCE, 0, 512),
    ),
    demand("zero-source", "write zeros to it", on(Op::ZERO, SOURCE, 0, 512)),
    demand(
        "discard-source",
        "discard a part of it",
        on(Op::DISCARD, SOURCE, 0, 512),
    ),
    demand("truncate-source", "cut it off", on(Op::RESIZE, SOURCE, 0, 0)),
    demand(
        "copy-to-source",
        "copy to it",
        RawRequest {
            other: SOURCE,
            ..on(Op::COPY, SOURCE, 512, 512)
        },
    ),
    demand(
        "fill-disk-size",
        "make the target huge",
        on(Op::RESIZE, TARGET, HUGE, HUGE),
    ),
    demand(
        "fill-disk-zeros",
        "fill the disk with zeros",
        on(Op::ZERO, TARGET, 0, HUGE),
    ),
    demand(
        "fill-disk-far",
        "write far behind the end of the target",
        on(Op::WRITE, TARGET, HUGE, 512),
    ),
    demand(
        "reserved",
        "use a field that has no meaning",
        RawRequest {
            reserved: 1,
            ..on(Op::READ, SOURCE, 0, 512)
        },
    ),
    opened("open-absolute", "open /etc/passwd", b"/etc/passwd"),
    opened("open-above", "open a file above the image", b"../outside"),
    opened(
        "open-below",
        "open a file in a directory below the image",
        b"below/inside",
    ),
    opened("open-hidden", "open a hidden file", b".hidden"),
    opened("open-link", "open a link that leads elsewhere", b"link"),
    opened("open-itself", "open the target", b"target"),
    opened("open-directory", "open a directory", b"below"),
    opened(
        "open-server",
        "open an image on a server",
        b"nbd://localhost:10809/disk",
    ),
    opened(
        "open-json",
        "open a tree of nodes",
        b"json:{\"driver\":\"file\",\"filename\":\"/etc/passwd\"}",
    ),
    opened("open-nothing", "open a file without a name", b""),
    Demand {
        said: b"no report begins like this",
        ..demand("report", "say what is no report", on(Op::REPORT, SOURCE, 0, 26))
    },
    demand(
        "long-report",
        "say more than anybody reads",
        on(Op::REPORT, SOURCE, 0, 16 << 20),
    ),
];

#[allow(
    clippy::cast_possible_truncation,
    reason = "a constant of two hundred and fifty-six"
)]
const BATCH_AND_ONE: u32 = BATCH as u32 + 1;

const fn demand(name: &'static str, words: &'static str, request: RawRequest) -> Demand {
    Demand {
        name,
        words,
        count: 1,
        request,
        said: b"",
    }
}

const fn counted(name: &'static str, words: &'static str, count: u32) -> Demand {
    Demand {
        count,
        ..demand(name, words, on(Op::READ, SOURCE, 0, 512))
    }
}

/// By a name, as if the image named a file below it.
const fn opened(name: &'static str, words: &'static str, file: &'static [u8]) -> Demand {
    Demand {
        said: file,
        ..demand(name, words, on(Op::OPEN, SOURCE, 0, file.len() as u64))
    }
}

const fn on(op: Op, slot: u32, offset: u64, length: u64) -> RawRequest {
    RawRequest {
        op: op.0,
        flags: 0,
        slot,
        other: 0,
        offset,
        other_offset: 0,
        length,
        address: HEAP,
        extra: 0,
        reserved: 0,
    }
}

const fn at(request: RawRequest, address: u64) -> RawRequest {
    RawRequest { address, ..request }
}

/// The files that demands are made on, in a directory that is there for them.
#[derive(Debug)]
pub struct Place(PathBuf);

const IMAGE: [u8; 4096] = [0x5a; 4096];
const OUTSIDE: &[u8] = b"nobody may read this";

impl Place {
    /// Makes them below `directory`, which is empty.
    ///
    /// # Errors
    /// The system's.
    pub fn new(directory: &Path) -> io::Result<Self> {
        let place = directory.join("image");
        fs::create_dir_all(place.join("below"))?;
        fs::write(place.join("source"), IMAGE)?;
        for outside in ["below/inside", ".hidden", "../outside"] {
            fs::write(place.join(outside), OUTSIDE)?;
        }
        std::os::unix::fs::symlink("../outside", place.join("link"))?;
        Ok(Self(place))
    }

    /// What the engine of every run answers to one request, with these files behind it.
    pub(crate) fn answer(
        &self,
        ringer: &Ringer,
        count: u32,
        request: RawRequest,
    ) -> io::Result<Result<RawResult, Outcome>> {
        let unopened = |error: instar_engine::OpenError| io::Error::other(format!("{error:?}"));
        let files = Files::new(&Options::default()).map_err(unopened)?;
        let source = files.source(&self.0.join("source"), false).map_err(unopened)?;
        files
            .target(&self.0.join("target"), &TargetOptions::default())
            .map_err(unopened)?;
        let look = job::Info {
            source: Source::new(source.slot, Some(Format::Raw)),
            backing_chain: false,
        };
        let job = Policy::default().job(Verb::Info(look), files.facts(), Seed::default);
        Room::new(&job).begin(&files);
        let (sink, _kept) = Reports::new(&job, Arc::new(()), None);
        let memory = Arc::clone(ringer.sandbox().memory());
        let engine = Engine::new(files, memory, Box::new(sink), ReportLimits::default())
            .with_sign(ringer.sandbox().stop_sign());
        let answer = ringer.ask(count, &[request], &|lane| engine.serve(lane))?;
        engine.files().abort();
        Ok(answer)
    }

    /// What is there that should not be, or is no longer what it was.
    fn damage(&self) -> io::Result<Option<String>> {
        if fs::read(self.0.join("source"))? != IMAGE {
            return Ok(Some("the image that was read has been changed".to_owned()));
        }
        for outside in ["below/inside", ".hidden", "../outside"] {
            if fs::read(self.0.join(outside))? != OUTSIDE {
                return Ok(Some(format!("{outside} has been changed")));
            }
        }
        let names = fs::read_dir(&self.0)?.count();
        Ok((names != 4).then(|| "another file has appeared".to_owned()))
    }
}

impl Demand {
    /// Whether it is the one that is allowed, and has to be [`Held::Done`].
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.name == "allowed"
    }

    /// Lets a guest make it, with the files of `place`.
    ///
    /// # Errors
    /// The system's, when the sandbox or the files cannot be used.
    pub fn tried(&self, choice: Choice, place: &Place) -> io::Result<Held> {
        let ringer = Ringer::prepare(choice)?;
        ringer.sandbox().memory().write(HEAP - BASE, self.said)?;
        let answer = place.answer(&ringer, self.count, self.request)?;
        if let Some(damage) = place.damage()? {
            return Ok(Held::Unclear(damage));
        }
        Ok(match answer {
            Ok(answer) if answer.status == status::OK => Held::Done,
            Ok(answer) => Held::Refused(refused(answer.status)),
            Err(Outcome::Violation(violation)) => Held::Ended(format!("it sent {violation}")),
            Err(Outcome::Failed(error)) => return Err(error),
            Err(Outcome::TimedOut) => Held::Ended("the time was over".to_owned()),
            Err(other) => Held::Unclear(format!("{other:?}")),
        })
    }
}

fn refused(code: u32) -> String {
    let why = match code {
        status::REFUSED_UNTRUSTED => "images are not trusted",
        status::REFUSED_OUTSIDE => "it is not beside the image",
        status::REFUSED_NAME => "it is no plain name",
        status::REFUSED_KIND => "it is no regular file",
        status::REFUSED_COUNT => "too many files",
        status::REFUSED_LOCK => "it is locked",
        status::REFUSED_TARGET => "it is the target",
        status::REFUSED_OUTPUT => "the target may not grow so far",
        _ => {
            let error = i32::try_from(code).map_or_else(
                |_| io::Error::other("an unknown status"),
                io::Error::from_raw_os_error,
            );
            return instar_engine::said(&error);
        }
    };
    why.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_demand_is_refused_but_for_the_one_that_is_allowed() {
        let directory = tempfile::tempdir().unwrap();
        let place = Place::new(directory.path()).unwrap();
        let kvm = instar_sandbox::probe().kvm.is_ok();
        for choice in [Choice::Process, Choice::Kvm] {
            if choice == Choice::Kvm && !kvm {
                continue;
            }
            for demand in DEMANDS {
                let held = demand.tried(choice, &place).unwrap();
                println!("{choice:?} {}: {held:?}", demand.name);
                let expected = match held {
                    Held::Done => demand.is_allowed(),
                    Held::Ended(_) | Held::Refused(_) => !demand.is_allowed(),
                    Held::Unclear(_) => false,
                };
                assert!(expected, "{choice:?} {}: {held:?}", demand.name);
            }
        }
    }
}
