//! Any bytes are a report or a job, or none; what is one survives being sent again.

use instar_abi::job::{Bounds, Seed, Source, Verb};
use instar_abi::report::{Backing, Failure, Info, Stage};
use instar_abi::{Fault, FaultCode, Format, ImageText, Job, Report, Slot, fault};
use instar_cli::program::Program;
use instar_cli::show::Name;
use instar_cli::words::{self, Scene};

use crate::jobs::{conversion, raw};

/// Puts the bytes to the decoders of both sides.
///
/// # Panics
/// If something that was decoded cannot be encoded, or comes back as something else.
pub fn judge(input: &[u8]) {
    if let Ok(report) = instar_abi::decode::<Report>(input) {
        let bytes = instar_abi::encode(&report).unwrap();
        assert_eq!(instar_abi::decode::<Report>(&bytes).as_ref(), Ok(&report));
        worded(&report);
    }
    if let Ok(job) = instar_abi::decode::<Job>(input) {
        let bytes = instar_abi::encode(&job).unwrap();
        assert_eq!(instar_abi::decode::<Job>(&bytes).as_ref(), Ok(&job));
    }
}

/// A taken-over guest may send any fault: the host finds words for it, and no byte of them acts on a terminal.
fn worded(report: &Report) {
    let program = Program::new(Some("instar".into()));
    let text = match report {
        Report::Failed(failure) | Report::Warning(failure) => words::failure(failure, &Nowhere),
        Report::Findings(faults) => words::findings(faults, &program),
        Report::Checked(_, checked) => words::left_out(checked, &program),
        _ => return,
    };
    let acts = |byte: &u8| byte.is_ascii_control() && *byte != b'\n';
    assert!(!text.iter().any(acts), "{}", text.escape_ascii());
}

/// A scene in which nothing has a name of its own.
struct Nowhere;

impl Scene for Nowhere {
    fn source(&self, _: u32) -> Vec<u8> {
        b"source".into()
    }

    fn file(&self, _: Slot) -> Option<Name> {
        None
    }

    fn is_first(&self, _: Slot) -> bool {
        false
    }

    fn below(&self, _: Slot, name: &[u8]) -> Name {
        Name::found(name)
    }
}

/// Reports of several kinds, and a job.
///
/// # Panics
/// If one cannot be encoded.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let fault = |code| {
        Fault::new(code)
            .with([1, 2, 3])
            .named(b"a\x1b[31m name")
            .in_file(Slot(0))
    };
    let info = Info {
        backing: Some(Backing {
            name: ImageText::new(b"below"),
            format: None,
        }),
        ..Info::of(Slot(0), Format::Qcow2, 1 << 20)
    };
    let failed = |stage, code: FaultCode| {
        Report::Failed(Failure {
            stage,
            fault: fault(code),
        })
    };
    let reports = [
        Report::Info(Box::new(info)),
        Report::Size(512),
        Report::Findings(vec![fault(fault::check::UNSUPPORTED), fault(fault::core::IO)]),
        failed(Stage::OpenSource(0), fault::core::REFUSED_LOCK),
        failed(Stage::OpenBacking(Slot(0)), fault::core::IO),
        failed(Stage::Read(512), fault::core::WORK_LIMIT),
        failed(Stage::Create, fault::core::NO_COMPRESSION),
    ];
    let job = Job {
        verb: Verb::Convert(conversion(Source::new(Slot(0), None), raw(Slot(1)))),
        files: Vec::new(),
        bounds: Bounds::default(),
        seed: Seed::default(),
    };
    let mut seeds: Vec<Vec<u8>> = reports
        .iter()
        .map(|report| instar_abi::encode(report).unwrap())
        .collect();
    seeds.push(instar_abi::encode(&job).unwrap());
    seeds
}
