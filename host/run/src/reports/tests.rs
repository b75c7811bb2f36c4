use super::*;
use instar_abi::job::{self, Bounds, Seed, Source};
use instar_abi::report::{Checked, Compared, Done, Failure, MapRun, Measured, Stage};
use instar_abi::{FaultCode, Format, Slot};
use instar_engine::Options;

fn source() -> Source {
    Source::new(Slot(0), None)
}

fn sink(verb: Verb) -> (Reports, Arc<Mutex<Kept>>) {
    let job = Job {
        verb,
        files: Vec::new(),
        bounds: Bounds {
            chain_depth: 7,
            ..Bounds::default()
        },
        seed: Seed::default(),
    };
    Reports::new(&job, Arc::new(()), None)
}

fn info_job(backing_chain: bool) -> Verb {
    Verb::Info(job::Info {
        source: source(),
        backing_chain,
    })
}

fn info(snapshots: Vec<Snapshot>) -> Report {
    Report::Info(Box::new(Info {
        slot: Slot(0),
        format: Format::Raw,
        virtual_size: 0,
        cluster_size: None,
        encrypted: false,
        compressed: false,
        dirty: false,
        backing: None,
        export_size: None,
        snapshots,
        specific: None,
    }))
}

fn files() -> Files {
    let files = Files::new(&Options::default()).unwrap();
    let own = std::env::current_exe().unwrap();
    files.shared_source(&own).unwrap();
    files
}

fn say(sink: &Reports, files: &Files, report: &Report) -> Result<(), Violation> {
    sink.report(files, instar_abi::encode(report).unwrap())
}

fn warning(text: &[u8]) -> Report {
    Report::Warning(Failure {
        stage: Stage::Other,
        fault: Fault::new(FaultCode(1)).named(text),
    })
}

fn snapshot(name: &[u8]) -> Snapshot {
    Snapshot {
        id: ImageText::default(),
        name: ImageText::new(name),
        vm_state_size: 0,
        date_sec: 0,
        date_nsec: 0,
        vm_clock_nsec: 0,
        icount: None,
        disk_size: None,
    }
}

#[test]
fn layers_are_as_many_as_the_chain_may_have_and_of_files_that_are_open() {
    let files = files();
    for (chain, layers) in [(false, 1), (true, 8)] {
        let (sink, _) = sink(info_job(chain));
        for _ in 0..layers {
            say(&sink, &files, &info(Vec::new())).unwrap();
        }
        let more = say(&sink, &files, &info(Vec::new()));
        assert_eq!(more, Err(Violation::TooManyReports));
    }
    let (sink, _) = sink(info_job(true));
    let mut unknown = info(Vec::new());
    if let Report::Info(info) = &mut unknown {
        info.slot = Slot(1);
    }
    assert_eq!(say(&sink, &files, &unknown), Err(Violation::UnknownSlot(1)));
}

#[test]
fn single_reports_may_not_be_repeated_and_nothing_follows_the_end() {
    let files = files();
    let measured = Measured {
        required: 0,
        fully_allocated: 0,
        bitmaps: None,
    };
    for report in [
        Report::Size(1),
        Report::Snapshots(Vec::new()),
        Report::Measured(measured),
        Report::Checksum([0; 32]),
        Report::Done(Done::default()),
    ] {
        let (sink, _) = sink(info_job(false));
        assert_eq!(say(&sink, &files, &report), Ok(()));
        assert_eq!(say(&sink, &files, &report), Err(Violation::TooManyReports));
    }
    let (sink, _) = sink(info_job(false));
    say(&sink, &files, &Report::Done(Done::default())).unwrap();
    assert!(say(&sink, &files, &info(Vec::new())).is_err());
    let run = MapRun {
        start: 0,
        length: 1,
        depth: 0,
        present: true,
        zero: false,
        data: true,
        compressed: false,
        place: None,
    };
    let map = Report::Map(vec![run]);
    assert!(say(&sink, &files, &map).is_err());
}

#[test]
fn comparisons_names_and_findings_have_an_end() {
    let files = files();
    let floods = [
        (2, Report::Compared(Compared::Longer)),
        (
            SLOTS,
            Report::Named {
                slot: Slot(0),
                namer: Slot(0),
                name: ImageText::default(),
            },
        ),
        // A repair looks twice.
        (2, Report::Checked(Format::Raw, Checked::default())),
        (128, Report::Findings(vec![Fault::new(FaultCode(1)); 1024])),
    ];
    for (allowed, report) in floods {
        let (sink, _) = sink(info_job(false));
        for _ in 0..allowed {
            say(&sink, &files, &report).unwrap();
        }
        let more = say(&sink, &files, &report);
        assert_eq!(more, Err(Violation::TooManyReports), "{report:?}");
    }
}

#[test]
fn warnings_past_the_limit_are_counted_and_left_out() {
    let files = files();
    let (sink, kept) = sink(info_job(false));
    for _ in 0..WARNINGS + 5 {
        say(&sink, &files, &warning(b"x")).unwrap();
    }
    let (reports, left_out) = kept.lock().unwrap().take();
    assert_eq!((reports.len(), left_out), (WARNINGS as usize, 5));
}

#[test]
fn kept_reports_are_counted_after_decoding() {
    let files = files();
    let (sink, kept) = sink(info_job(true));
    let many = Report::Findings(vec![Fault::new(FaultCode(1)).named(&[b'x'; 4096]); 200]);
    assert!(instar_abi::encode(&many).unwrap().len() < 1 << 20);
    let said = (0..100).take_while(|_| say(&sink, &files, &many).is_ok()).count();
    assert!((10..20).contains(&said), "{said}");
    let reports = kept.lock().unwrap().take().0;
    let bytes: usize = reports.iter().map(footprint).sum();
    assert!(bytes <= BYTES, "{bytes}");
}

#[test]
fn reports_of_single_entries_are_counted_over_all_layers() {
    let files = files();
    for reports in [
        // Eight bytes each in the report.
        vec![info(vec![snapshot(b""); 100_000])],
        vec![info(vec![snapshot(b""); 40_000]); 2],
        vec![Report::Snapshots(vec![snapshot(b""); 100_000])],
    ] {
        let (sink, _) = sink(info_job(true));
        let said = reports.iter().map(|report| say(&sink, &files, report)).last();
        assert_eq!(said, Some(Err(Violation::TooManyReports)));
    }
}

#[test]
fn as_many_snapshots_as_there_can_be_are_heard() {
    let (sink, _) = sink(info_job(false));
    let most = info(vec![snapshot(b"snapshot"); 65_536]);
    assert_eq!(say(&sink, &files(), &most), Ok(()));
}

#[test]
fn an_overlong_text_is_not_a_report() {
    let (sink, _) = sink(info_job(false));
    let mut bytes = instar_abi::encode(&warning(&[b'a'; 4096])).unwrap();
    assert_eq!(sink.report(&files(), bytes.clone()), Ok(()));
    // The length is a variable-length number in front of the text: 4096 becomes 4097.
    let at = bytes
        .windows(3)
        .position(|window| window == [0x80, 0x20, b'a'])
        .unwrap();
    bytes[at] = 0x81;
    bytes.push(b'a');
    assert_eq!(sink.report(&files(), bytes), Err(Violation::BadReport));
}
