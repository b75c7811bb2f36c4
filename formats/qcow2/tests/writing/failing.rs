//! The n-th request fails, for every n: what is left is refused, or it is complete.

use std::path::Path;

use instar_disk::job::Qcow2Create;
use instar_disk::{Action, File, Host, ImageText, Io, Result, Target};
use instar_testkit::Failing;

use crate::reference;

/// Writes, encodes and zeroes a little everywhere.
fn work<'h>(target: Result<Box<dyn Target + 'h>>, host: &'h Failing) -> Result<()> {
    let mut target = target?;
    let unit = target.unit();
    for number in 0..40 {
        let offset = number * unit * 3;
        let placed = match number % 3 {
            0 => target.allocate(offset, unit)?,
            1 if target.encoding().is_some() => target.allocate_encoded(offset, unit / 3)?,
            _ => {
                target.zero(offset, unit)?;
                continue;
            }
        };
        let bytes = vec![0x77; placed.length as usize];
        let mut io = [Io::new(Action::Write {
            slot: placed.slot,
            offset: placed.offset,
            from: &bytes,
        })];
        host.submit(&mut io);
        let [io] = io;
        io.outcome.map_err(|error| error.fault(placed.slot))?;
    }
    target.finish()
}

/// Lets one request after the other fail until none does; gives how many there are.
fn each_failure(
    prepare: impl Fn(&Path),
    start: impl for<'h> Fn(&'h Failing, &Path) -> Result<Box<dyn Target + 'h>>,
) -> u64 {
    for allowed in 0.. {
        let directory = instar_testkit::scratch();
        let image = directory.path().join("image.qcow2");
        prepare(&image);
        let before = std::fs::read(&image).ok();
        let host = Failing::after(allowed);
        let outcome = work(start(&host, &image), &host);
        let untouched = before.is_some() && std::fs::read(&image).ok() == before;
        if outcome.is_ok() {
            reference::check(&image);
            return allowed;
        }
        assert_eq!(outcome.unwrap_err().code, instar_disk::fault::core::IO);
        let check = reference::run(directory.path(), &["check", "-f", "qcow2", "image.qcow2"]);
        // A failed last flush leaves an image that is complete, if it lasts.
        let complete = check.status.code() == Some(0);
        let ended = host.left() == 0 && is_unmarked(&image);
        assert!(!complete || untouched || ended, "{allowed}: {check:?}");
    }
    unreachable!()
}

/// Whether the mark is gone, so that only the flush after the last write can be missing.
fn is_unmarked(image: &Path) -> bool {
    let head = std::fs::read(image).unwrap();
    match head.get(4..8) {
        Some([0, 0, 0, 3]) => head[72] & 0x80 == 0,
        Some([0, 0, 0, 2]) => true,
        _ => false,
    }
}

fn v(version: u32) -> Qcow2Create {
    Qcow2Create {
        version,
        cluster_bits: 12,
        backing_file: Some(ImageText::new(b"below.raw")),
        backing_format: Some(ImageText::new(b"raw")),
        ..Qcow2Create::default()
    }
}

#[test]
fn a_new_image_is_refused_after_any_failure() {
    for version in [2, 3] {
        for existed in [false, true] {
            let requests = each_failure(
                |image| {
                    std::fs::write(image.with_file_name("below.raw"), vec![1; 1 << 20]).unwrap();
                    if existed {
                        std::fs::write(image, b"something else").unwrap();
                    }
                },
                |host, image| {
                    let facts = if existed {
                        host.native.existing(image)
                    } else {
                        host.native.target(image)
                    };
                    instar_qcow2::create(File::new(host, facts), &v(version), 1 << 20, None, true)
                },
            );
            assert!(requests > 30, "{requests}");
        }
    }
}

#[test]
fn an_existing_image_is_refused_after_any_failure_once_it_was_touched() {
    for version in [2, 3] {
        let requests = each_failure(
            |image| {
                let path = image.parent().unwrap();
                std::fs::write(path.join("below.raw"), vec![1; 1 << 20]).unwrap();
                let text = reference::option_text(&v(version));
                reference::succeed(
                    path,
                    &["create", "-q", "-f", "qcow2", "-o", &text, "image.qcow2", "1M"],
                );
                reference::succeed(path, &["snapshot", "-c", "s", "image.qcow2"]);
            },
            |host, image| {
                instar_qcow2::existing(File::new(host, host.native.existing(image)), 1 << 20, None, true)
            },
        );
        assert!(requests > 30, "{requests}");
    }
}
