//! A run as a library asks for it. One test: its process is confined for good.

use std::sync::Arc;

use instar_abi::job::{Info, Seed, Verb};
use instar_abi::{Format, Report};
use instar_engine::{OpenErrorKind, Options};
use instar_run::{Backend, Error, Guest, Image, Policy, Refusal};

#[test]
fn an_image_is_described_without_a_command_line() {
    let own = std::env::current_exe().unwrap();
    let length = std::fs::metadata(&own).unwrap().len();
    let policy = Policy {
        backend: Backend::Process,
        ..Policy::default()
    };
    let guest = Guest::prepare(&policy, 1).unwrap();
    let files = policy.files(Options::default()).unwrap();
    let absent = Image {
        given: "mine".into(),
        path: own.with_extension("absent"),
        ..Image::default()
    };
    match absent.source(&files, false) {
        Err(Error::Image {
            name,
            is_layer: false,
            why: Refusal::File(error),
        }) => {
            assert_eq!(name, "mine");
            assert!(matches!(
                error.kind,
                OpenErrorKind::Open(rustix::io::Errno::NOENT)
            ));
        }
        other => panic!("{other:?}"),
    }
    let image = Image {
        path: own,
        format: Some(Format::Raw),
        ..Image::default()
    };
    let (_, source) = image.looked_at(&files, false, None).unwrap();
    let verb = Verb::Info(Info {
        source,
        backing_chain: false,
    });
    let job = policy.job(verb, files.facts(), Seed::default);
    let ended = guest.run(&job, files, Arc::new(())).unwrap();
    let info = ended.reports.iter().find_map(|report| match report {
        Report::Info(info) => Some(info),
        _ => None,
    });
    let info = info.unwrap();
    assert_eq!(info.format, Format::Raw);
    assert_eq!(info.virtual_size, length.next_multiple_of(512));
}
