//! A new image that leaves by standard output: `-` as its name.

use std::ffi::OsStr;

use instar_abi::Slot;
use instar_abi::job::{Encryption, Target};
use instar_engine::Files;
use instar_run::{Error, Refusal};

use crate::create::{Settings, Surroundings};
use crate::stop::{Step, Stop};
use crate::value::place;

/// Whether the name of a target is that of standard output; a file of that name is `./-`.
pub(crate) fn is_named(target: &OsStr) -> bool {
    place::is_stream(target)
}

/// The target, in a temporary file that a raw disk does not need, and the stream that it goes to.
pub(crate) fn open(settings: &Settings, opened: &Files) -> Step<(Target, Slot)> {
    let name = OsStr::new(place::STREAM);
    let refused = |why| {
        Stop::from(Error::Image {
            name: name.to_owned(),
            is_layer: false,
            why,
        })
    };
    let stream = instar_run::output(opened).map_err(refused)?;
    let create = settings
        .create(&mut Surroundings {
            name,
            companion: &mut |_, _| {
                Err(b"standard output takes an image in one file, and this one has several".to_vec())
            },
            // Any size shows whether there are files beside the first.
            size: &mut || Ok(512),
        })
        .map_err(|why| Stop::Message(place::cannot_open(name, &why)))?;
    let spool = opened
        .spool(u64::MAX)
        .map_err(|why| refused(Refusal::File(why)))?;
    let target = Target {
        slot: spool.slot,
        create,
        existing: false,
        backing: None,
        encrypt: Encryption::default(),
        export: None,
    };
    Ok((target, stream.slot))
}
