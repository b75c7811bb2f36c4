//! An image that is changed in place: what the verbs that do so have in common.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use instar_abi::job::{Change, ChangeImage, Source, Verb};
use instar_abi::report::{Done, Failure, Stage};
use instar_abi::{Fault, FileFacts, Format, Report, fault};
use instar_engine::{Files, Policy as GatePolicy, TargetOptions};

use super::files::{self, Names};
use super::progress::Progress;
use super::scene::RunScene;
use super::{Context, concluded_by};
use crate::console::Console;
use crate::stop::{Step, Stop};
use crate::value::cache::CacheMode;
use crate::value::place::Place;
use crate::words;
use instar_run::Guest;

/// An image about to be changed.
pub(crate) struct Changing<'a> {
    /// Where it is.
    pub(crate) place: &'a Place,
    /// The message when the change itself fails, for that reason.
    pub(crate) failed: &'a dyn Fn(&Fault, &[u8]) -> Vec<u8>,
}

impl Changing<'_> {
    /// Carries out the change.
    pub(crate) fn run(&self, change: Change, context: &mut Context<'_>) -> Step<Done> {
        let place = self.place;
        place.image().changeable()?;
        let guest = Guest::prepare(context.policy, 1)?;
        let files = files::none_naming(context.policy, false, GatePolicy::Nothing, false)?;
        let mut names = Names::new();
        // Flushes are honoured: the order of writes is what keeps the image whole.
        let options = files::target_options(CacheMode::Writeback, context.policy);
        let (_, image) = opened(&files, &mut names, place, &options)?;
        let verb = Verb::Change(ChangeImage { image, change });
        let job = context.job(verb, files.facts());
        let ended = guest.run(&job, files, Arc::new(Progress::none()))?;
        warn_of_guess(place, &ended.reports);
        let scene = RunScene::of(&names, ended.files(), place.given.as_bytes());
        concluded_by(&ended.reports, &scene, context.program, |failure| {
            let why = words::failure(failure, &scene);
            Stop::Message(match failure.stage {
                Stage::Change => (self.failed)(&failure.fault, &why),
                _ => why,
            })
        })
    }
}

/// Says what was being done, such as `amend`, where a change fails for a reason that is only the system's. Other reasons say it themselves.
pub(crate) fn worded(doing: &str, place: &Place, failure: &Failure, why: Vec<u8>) -> Stop {
    Stop::Message(match (failure.stage, failure.fault.code) {
        (Stage::Change, fault::core::IO) => {
            let head = format!("Could not {doing} '");
            [head.as_bytes(), place.given.as_bytes(), b"': ", &why].concat()
        }
        _ => why,
    })
}

/// Opens the image for changes in place.
pub(crate) fn opened(
    files: &Files,
    names: &mut Names,
    place: &Place,
    options: &TargetOptions,
) -> Step<(FileFacts, Source)> {
    // The names in the image stay as they are.
    let (facts, source) = place.image().for_change(files, options)?;
    names.set(facts.slot, place.path.as_bytes());
    Ok((facts, source))
}

/// Warns of an image that was taken for raw without the user's word.
pub(crate) fn warn_of_guess(place: &Place, reports: &[Report]) {
    if place.format.is_none() && reports.contains(&Report::Opened(Format::Raw)) {
        Console::complain(&guessed_raw(place));
    }
}

/// The reference tool's warning: an image whose guest writes a header into it would be taken for another format next time.
/// It names the file without the protocol before it.
pub(crate) fn guessed_raw(place: &Place) -> Vec<u8> {
    let given = place.given.as_bytes();
    let name = match given.starts_with(b"file:") {
        true => place.path.as_bytes(),
        false => given,
    };
    [
        b"WARNING: Image format was not specified for '".as_slice(),
        name,
        b"' and probing guessed raw.\n         Automatically detecting the format is dangerous for raw images, \
          write operations on block 0 will be restricted.\n         Specify the 'raw' format explicitly to remove the restrictions.\n",
    ]
    .concat()
}
