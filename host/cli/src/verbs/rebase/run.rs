//! `rebase`, carried out.
//!
//! ```text
//!  -b NAME ──► opened as the image would find it ──► guest: copies what differs, then switches the name ──► the name is recorded
//! ```

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use instar_abi::job::{Change, ChangeImage, NewBacking, Rebase, Source, Verb};
use instar_abi::report::{Failure, Stage};
use instar_abi::{FileFacts, Format, Slot};
use instar_engine::{Files, Rule, TargetOptions, Verdict};

use super::args::Args;
use crate::run::change::warn_of_guess;
use crate::run::data_file;
use crate::run::files::{self, Names};
use crate::run::progress::Progress;
use crate::run::scene::RunScene;
use crate::run::target;
use crate::run::{Context, concluded_by};
use crate::show::beside;
use crate::stop::{Step, Stop};
use crate::value::driver;
use crate::value::place::{self, Below, Place, Reading, cannot_open};
use crate::value::progress::ShowProgress;
use crate::words::{self, Scene};
use instar_run::{Cause, Given, Guest};

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let progress = Arc::new(Progress::new(
        args.progress,
        args.quiet,
        context.program.is_reference(),
    )?);
    progress.begin();
    let result = work(args, &progress, context);
    progress.finish(result.is_ok());
    result.map(|()| 0)
}

fn work(args: &Args, progress: &Arc<Progress>, context: &mut Context<'_>) -> Step<()> {
    let (mode, backing_mode) = args.modes()?;
    let place = args.source.place(&args.image)?;
    changeable(&place, context)?;
    let lanes = match (args.unchecked, mode.is_direct() || backing_mode.is_direct()) {
        (true, _) => 1,
        (false, true) => instar_run::direct_lanes(None),
        (false, false) => instar_run::lanes(None),
    };
    let guest = Guest::prepare_guarded(context.policy, lanes)?;
    let files = files::none(context.policy, false)?;
    let options = files::target_options(mode, context.policy);
    let facts = place.image().in_place(&files, &options)?;
    let mut names = Names::new();
    names.set(facts.slot, place.path.as_bytes());
    let image = place.image().described(&files, facts, None)?;
    let opening = Opening {
        args,
        place: &place,
        files: &files,
        options: &options,
        direct: backing_mode.is_direct(),
    };
    let prepared = opening.prepare(image.clone(), &mut names, context);
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(stop) if args.unchecked => return Err(stop),
        Err(stop) => {
            // What is wrong with the image is said before that.
            let ended = target::look_at(Some(&image), guest, files, context)?;
            warn_of_guess(&place, &ended.reports);
            let scene = RunScene::of(&names, ended.files(), place.given.as_bytes());
            concluded_by(&ended.reports, &scene, context.program, |failure| {
                Stop::Message(words::failure(failure, &scene))
            })?;
            return Err(stop);
        }
    };
    let Prepared { verb, backing, given } = prepared;
    let job = context.job(verb, files.facts());
    let ended = guest.run(&job, files, Arc::clone(progress))?;
    warn_of_guess(&place, &ended.reports);
    let scene = RunScene {
        moving: Some([
            "error while reading from old backing file",
            "Error while writing to COW image",
        ]),
        ..RunScene::of(&names, ended.files(), place.given.as_bytes())
    };
    let failed = Failed {
        args,
        scene: &scene,
        files: ended.files(),
        backing,
    };
    concluded_by(&ended.reports, &scene, context.program, |failure| {
        failed.word(failure)
    })?;
    ended.files().commit(false)?;
    // A file that is not there yet may come.
    if given.iter().all(Given::is_there) {
        target::warn_unless_readable(ended.files(), facts.slot, &given, context);
    }
    Ok(())
}

/// Refuses an image that is not to be changed, or not over what the user says is below it.
fn changeable(place: &Place, context: &Context<'_>) -> Step<()> {
    place.image().changeable()?;
    let own = match &place.below {
        Below::Named => true,
        Below::Nothing => false,
        Below::Given(given) => given.is_locked() && data_file::is_own_backing(context, place, given),
    };
    if own {
        return Ok(());
    }
    let why = b"instar changes an image only with its own backing file, not with another 'backing'";
    Err(Stop::Message(cannot_open(&place.given, why)))
}

/// What is opened besides the image.
struct Opening<'a> {
    args: &'a Args,
    place: &'a Place,
    files: &'a Files,
    options: &'a TargetOptions,
    direct: bool,
}

/// A job, what it reads, and what the image will name.
struct Prepared {
    verb: Verb,
    backing: Option<Slot>,
    given: Vec<Given>,
}

impl Opening<'_> {
    fn prepare(&self, image: Source, names: &mut Names, context: &Context<'_>) -> Step<Prepared> {
        let args = self.args;
        let format = args.backing_format.as_deref();
        let known = format.map(known).transpose()?;
        let new = NewBacking {
            name: args.name().map(|name| name.as_bytes().to_vec()),
            format: format.map(|name| name.as_bytes().to_vec()),
            compress: args.compress,
        };
        let slot = image.slot;
        self.files.keep_record_throughout(slot);
        let data = match args.unchecked && !self.files.has_record(slot) {
            true => None,
            false => data_file::name_of(context, self.place),
        };
        let mut given: Vec<Given> = Vec::new();
        given.extend(
            args.name()
                .and_then(|name| target::given(name.as_bytes(), &self.place.path)),
        );
        if let Some(name) = &data
            && self.files.verdict(slot, name) == Verdict::LetIn(Rule::Recorded)
        {
            given.extend(target::given(name, &self.place.path));
        }
        Given::remember(self.files, slot, &given);
        if args.unchecked {
            let change = Change::Rebase(new);
            return Ok(Prepared {
                verb: Verb::Change(ChangeImage { image, change }),
                backing: None,
                given,
            });
        }
        let backing = match args.name() {
            Some(name) => {
                let known = known
                    .transpose()
                    .map_err(|why| Stop::Message(not_opened(name, &why)))?;
                Some(self.backing(name, known, names)?)
            }
            None => None,
        };
        let data_file = match &data {
            Some(name) => {
                let image = data_file::Image {
                    given: &self.place.given,
                    path: &self.place.path,
                    slot,
                };
                let data = image.open(name, context, self.files, self.options)?;
                self.files.make_layer(data.slot);
                Some(data.slot)
            }
            None => None,
        };
        Ok(Prepared {
            backing: backing.as_ref().map(|source| source.slot),
            verb: Verb::Rebase(Rebase {
                image,
                data_file,
                backing,
                names: new,
                watched: args.progress != ShowProgress::No && !args.quiet,
            }),
            given,
        })
    }

    /// Opens the new backing file, named as it will stand in the image.
    fn backing(&self, name: &OsStr, format: Option<Format>, names: &mut Names) -> Step<Source> {
        let failed = |why: Vec<u8>| Stop::Message(not_opened(name, &why));
        let place = locate(name, format, &self.place.path).map_err(failed)?;
        let path = place.path.as_ref();
        let opened = match self.args.share {
            true => self.files.shared_source(path),
            false => self.files.source(path, self.direct),
        };
        let facts: FileFacts =
            opened.map_err(|error| failed(words::run::open(&error)).because(Cause::of_open(&error)))?;
        names.set(facts.slot, place.path.as_bytes());
        Ok(place.image().described(self.files, facts, None)?)
    }
}

/// The format with that name, or why instar does not read it.
fn known(name: &OsStr) -> Step<Result<Format, Vec<u8>>> {
    match driver::known_in_files(name.as_bytes()) {
        Ok(driver) => Ok(Ok(driver.format())),
        Err(why) if why.starts_with(b"Unknown") => Err(Stop::Message(
            [b"Invalid format name: '", name.as_bytes(), b"'"].concat(),
        )),
        Err(why) => Ok(Err(why)),
    }
}

/// The file that the name of the layer below means, seen from the image.
fn locate(name: &OsStr, format: Option<Format>, image: &OsStr) -> Result<Place, Vec<u8>> {
    if name.as_bytes().starts_with(b"json:") {
        return Place::parse(name, Reading::default()).and_then(Place::plainly);
    }
    let plain = place::plain_path(name.as_bytes())?;
    Ok(Place::plain(name, &beside(image.as_bytes(), plain), format))
}

fn not_opened(name: &OsStr, why: &[u8]) -> Vec<u8> {
    [b"Could not open new backing file '", name.as_bytes(), b"': ", why].concat()
}

/// The words for a failure.
struct Failed<'a> {
    args: &'a Args,
    scene: &'a RunScene<'a>,
    files: &'a Files,
    backing: Option<Slot>,
}

impl Failed<'_> {
    fn word(&self, failure: &Failure) -> Stop {
        let why = words::fault(&failure.fault);
        let name = self.args.name().unwrap_or_default();
        Stop::Message(match failure.stage {
            Stage::Change => {
                let why = words::named(why, &failure.fault, self.scene);
                let head = b"Could not change the backing file to '".as_slice();
                [head, self.args.shown(), b"': ", &why].concat()
            }
            Stage::OpenTargetBacking => not_opened(name, why.as_bytes()),
            Stage::OpenBacking(slot) if self.is_new(slot) => {
                let inner = match &failure.fault.text {
                    Some(text) => {
                        let below = self.scene.below(slot, text.as_bytes());
                        format!("Could not open backing file: Could not open '{below}': {why}")
                    }
                    None => format!("Could not open backing file: {why}"),
                };
                not_opened(name, inner.as_bytes())
            }
            Stage::ReadSource(..) => {
                let why = format!("error while reading from new backing file: {why}");
                words::named(why, &failure.fault, self.scene)
            }
            _ => words::failure(failure, self.scene),
        })
    }

    /// Whether the file is the new backing file, or lies below it.
    fn is_new(&self, slot: Slot) -> bool {
        let mut slot = slot;
        // A file is named by one that was opened before it.
        while let Some((namer, _)) = self.files.named_by(slot)
            && namer.0 < slot.0
        {
            slot = namer;
        }
        Some(slot) == self.backing
    }
}
