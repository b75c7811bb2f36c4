//! A new image, or an existing one to write to: what `convert` and `dd` have in common.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::Arc;

use instar_abi::job::{Create, Encryption, LuksCreate, Measure, RawCreate, Source, Target, Verb};
use instar_abi::{FileFacts, FileKind, Format, ImageText, Slot};
use instar_engine::{Files, OpenError, OpenErrorKind, TargetOptions};

use super::Context;
use super::files::Names;
use super::progress::Progress;
use crate::console::Console;
use crate::create::{Companion, Settings, Surroundings};
use crate::program::Program;
use crate::release::{self, Fact};
use crate::show::{Escaped, beside};
use crate::stop::{Step, Stop};
use crate::value::driver::known_in_files;
use crate::value::place::{self, Place};
use crate::value::{protocol, remote};
use crate::words;
use instar_run::{Cause, Ended, Given, Guest, Maker, Protocol};

/// A target to create.
pub(crate) struct NewTarget<'a> {
    /// Its name, as the user wrote it.
    pub(crate) given: &'a OsStr,
    /// What was being done, for messages: `error while converting raw`; nothing: the name alone leads to the reason.
    pub(crate) creating: &'a str,
    pub(crate) settings: &'a Settings,
    /// How it is opened.
    pub(crate) options: TargetOptions,
    /// The words before a warning.
    pub(crate) program: &'a Program,
    /// Existing files stay until the new ones are complete.
    pub(crate) keeps: bool,
    /// Data is copied into it.
    pub(crate) is_filled: bool,
    /// The virtual size, for formats whose files depend on it.
    pub(crate) size: &'a mut dyn FnMut() -> Result<u64, Vec<u8>>,
}

impl NewTarget<'_> {
    /// Opens its files.
    pub(crate) fn open(self, opened: &Files, backing: Option<Source>) -> Step<Target> {
        let (given, creating) = (self.given, self.creating);
        let context = |why: &[u8]| failed(given, creating, why);
        if let Some(remote) = remote::named(self.given.as_bytes()) {
            let remote = remote.map_err(|why| context(&why))?;
            let place = Place::behind(self.given, remote, None);
            return self.behind_server(&place.image(), opened, backing, &context);
        }
        let path = path_of(self.given)?;
        let maker = Making {
            program: self.program,
            is_filled: self.is_filled,
            maker: Maker {
                files: opened,
                keeps: self.keeps,
                options: TargetOptions {
                    wishes: self.settings.wishes(),
                    ..self.options
                },
            },
        };
        if self.settings.format() == Format::Vmdk {
            // Its values come first, since the files depend on them.
            self.settings
                .create(&mut Surroundings {
                    name: path,
                    companion: &mut |_, _| Ok(Slot(0)),
                    size: &mut || Ok(0),
                })
                .map_err(|why| context(&why))?;
        }
        self.settings.check_file().map_err(|why| context(&why))?;
        let protocol = self.protocol();
        if protocol == Protocol::Device {
            there(path).map_err(|why| context(&[no_device(), &why].concat()))?;
        }
        let made = maker.make(path).map_err(|error| {
            let why = words::run::open(&error);
            let stop = match error.kind {
                // Said once the file has been made.
                OpenErrorKind::Direct => Stop::Message(place::cannot_open(self.given, &why)),
                _ => context(&why),
            };
            stop.because(Cause::of_open(&error))
        });
        let FileFacts { slot, kind, .. } = made?;
        if kind == FileKind::Block {
            if protocol == Protocol::File {
                return Err(context(b"Could not resize file: Invalid argument"));
            }
            check_device(self.settings, self.creating.is_empty(), &context)?;
        }
        let mut companion = |name: &OsStr, kind| maker.companion(path, name, kind);
        let create = self
            .settings
            .create(&mut Surroundings {
                name: path,
                companion: &mut companion,
                size: self.size,
            })
            .map_err(|why| context(&why))?;
        Ok(Target {
            slot,
            create,
            existing: false,
            backing,
            encrypt: Encryption::default(),
            export: None,
        })
    }
}

impl NewTarget<'_> {
    /// Makes it of a disk behind a server, which is there and keeps its size, as a device does.
    fn behind_server(
        self,
        image: &instar_run::Image,
        opened: &Files,
        backing: Option<Source>,
        context: &dyn Fn(&[u8]) -> Stop,
    ) -> Step<Target> {
        let facts = image.remote_target(opened).map_err(|error| {
            let why = words::run::why(&error);
            context(&[no_remote(), &why].concat()).because(error.cause())
        })?;
        let FileFacts { slot, .. } = facts.ok_or_else(|| context(b"there is no server"))?;
        check_device(self.settings, self.creating.is_empty(), context)?;
        let create = self
            .settings
            .create(&mut Surroundings {
                name: self.given,
                companion: &mut |_, _| {
                    Err(b"an image behind a server cannot have a second file beside it".to_vec())
                },
                size: self.size,
            })
            .map_err(|why| context(&why))?;
        Ok(Target {
            slot,
            create,
            existing: false,
            backing,
            encrypt: Encryption::default(),
            export: image.export(),
        })
    }

    /// What its file must be.
    fn protocol(&self) -> Protocol {
        match self.settings.driver().protocol() {
            Protocol::Either => protocol::of(None, self.given),
            named => named,
        }
    }
}

const ONLY_CREATE_KEEPS: &str = "'keep_data_file=on' is only for 'create', because the copied data would overwrite the file; leave the option out to replace the file";

/// What the reference tool says of a device that is not there.
fn no_device() -> &'static [u8] {
    match release::has(Fact::MissingDeviceIsExplained) {
        true => b"Protocol driver 'host_device' does not support creating new images, so an existing image must be selected as the target; however, opening the given target as an existing image failed: ",
        false => b"Protocol driver 'host_device' does not support image creation, and opening the image failed: ",
    }
}

/// What went wrong with the target `given`, and what was being done to it.
fn failed(given: &OsStr, creating: &str, why: &[u8]) -> Stop {
    let doing = if creating.is_empty() { "" } else { ": " };
    let parts = [
        given.as_bytes(),
        b": ",
        creating.as_bytes(),
        doing.as_bytes(),
        why,
    ];
    Stop::Message(parts.concat())
}

/// What the reference tool says of a server that is not there.
fn no_remote() -> &'static [u8] {
    match release::has(Fact::MissingDeviceIsExplained) {
        true => b"Protocol driver 'nbd' does not support creating new images, so an existing image must be selected as the target; however, opening the given target as an existing image failed: ",
        false => b"Protocol driver 'nbd' does not support image creation, and opening the image failed: ",
    }
}

/// Whether there is a device of that name.
fn there(path: &OsStr) -> Result<(), Vec<u8>> {
    let found = std::fs::metadata(path).map_err(|error| {
        let why = words::system(&error);
        [b"Could not open '", path.as_bytes(), b"': ", why.as_bytes()].concat()
    })?;
    let kind = found.file_type();
    let kind = if kind.is_block_device() || kind.is_char_device() {
        FileKind::Block
    } else {
        FileKind::Regular
    };
    let suits = Protocol::Device.suits(kind, Path::new(path));
    suits.map_err(|why| words::run::refusal(&why))
}

/// Makes the files of a new image.
struct Making<'a> {
    program: &'a Program,
    /// Data is copied into them.
    is_filled: bool,
    maker: Maker<'a>,
}

impl Making<'_> {
    /// A file of the image at `path` that has this name in it.
    fn companion(&self, path: &OsStr, name: &OsStr, kind: Companion) -> Result<Slot, Vec<u8>> {
        let beside = beside(path.as_bytes(), name.as_bytes());
        let beside = OsStr::from_bytes(&beside);
        let made = match kind {
            Companion::New => self.make(beside),
            // A copy would overwrite what is to stay.
            Companion::Kept if self.is_filled => return Err(ONLY_CREATE_KEEPS.into()),
            Companion::Kept => self.maker.files.in_place(beside.as_ref(), &self.maker.options),
        };
        made.map(|facts| facts.slot)
            .map_err(|error| words::run::open(&error))
    }

    fn make(&self, name: &OsStr) -> Result<FileFacts, OpenError> {
        let facts = self.maker.make(name.as_ref())?;
        if let Some(errno) = self.maker.files.unheeded(facts.slot) {
            let reason = instar_engine::words(errno);
            let text = format!("warning: Failed to set extent size hint: {reason}");
            Console::complain(&self.program.message(text.as_bytes()));
        }
        Ok(facts)
    }
}

/// Refuses what a device cannot be asked for. Only `create` names the device when it does not know an option.
fn check_device(settings: &Settings, names: bool, context: &dyn Fn(&[u8]) -> Stop) -> Step<()> {
    match settings.unknown_to_devices() {
        Some(why) if names => return Err(context(&why)),
        Some(why) => return Err(Stop::Message(why)),
        None => {}
    }
    settings.check_device().map_err(|why| context(&why))
}

/// Looks at a source when it is known already that there will be no target: what is wrong with the source is said first.
pub(crate) fn look_at(
    source: Option<&Source>,
    guest: Guest,
    files: Files,
    context: &Context<'_>,
) -> Step<Ended> {
    let verb = Verb::Measure(Measure {
        source: source.cloned(),
        size: 0,
        create: Create::Raw(RawCreate::default()),
        header_bytes: 0,
    });
    let job = context.job(verb, files.facts());
    Ok(guest.run(&job, files, Arc::new(Progress::none()))?)
}

/// Opens an existing image to be written to.
pub(crate) fn existing(
    opened: &Files,
    place: &Place,
    format: Format,
    options: &TargetOptions,
) -> Step<Target> {
    let image = place.image();
    let facts = match image.remote_target(opened)? {
        Some(facts) => facts,
        None => image.in_place(opened, options)?,
    };
    if format.is_read_only() {
        return Err(Stop::Message(place::cannot_open(
            &place.given,
            b"Image is read-only",
        )));
    }
    if format != Format::Raw {
        // Its names stay in it. A raw disk may hold anything, an image of that name included.
        opened.keep_record(facts.slot);
    }
    Ok(Target {
        slot: facts.slot,
        create: existing_as(format, place)?,
        existing: true,
        backing: None,
        export: image.export(),
        encrypt: image.encrypt,
    })
}

/// Notes the names that the new image at `path` is given, so that it is known to be ours.
pub(crate) fn remember(opened: &Files, slot: Slot, path: &OsStr, settings: &Settings) -> Vec<Given> {
    let texts = ["backing_file", "data_file"]
        .into_iter()
        .filter_map(|key| settings.text(key));
    let given: Vec<Given> = texts.filter_map(|name| given(name, path)).collect();
    if !given.is_empty() {
        Given::remember(opened, slot, &given);
    }
    given
}

/// What the user calls a file in the image at `path`, if that is a plain one.
pub(crate) fn given(name: &[u8], path: &OsStr) -> Option<Given> {
    let name = place::named(name)?;
    let plain = name.strip_prefix(b"file:").unwrap_or(&name);
    let file = beside(path.as_bytes(), plain);
    let file = Path::new(OsStr::from_bytes(&file));
    Some(Given::new(name.clone(), file))
}

/// Says at once when a new image could not be read with what it names, and what to do about that.
pub(crate) fn warn_unless_readable(opened: &Files, slot: Slot, given: &[Given], context: &Context<'_>) {
    if let Some(given) = Given::unreadable(opened, slot, given, context.policy) {
        let directory = given.directory().unwrap_or(Path::new("DIRECTORY"));
        let text = format!(
            "warning: '{}' is not beside the image, and permission to open it cannot be recorded here; to read the image, add to /etc/instar.toml: allow-dir = [\"{}\"]",
            Escaped(given.name()),
            directory.display()
        );
        Console::complain(&context.program.message(text.as_bytes()));
    }
}

/// The plain file that a target's name stands for; the name of a server is its own.
pub(crate) fn path_of(given: &OsStr) -> Step<&OsStr> {
    if let Some(Ok(_)) = remote::named(given.as_bytes()) {
        return Ok(given);
    }
    place::plain_path(given.as_bytes())
        .map(OsStr::from_bytes)
        .map_err(Stop::Message)
}

/// Opens a backing file for a new image, named as it will stand in the image.
pub(crate) fn backing(
    opened: &Files,
    names: &mut Names,
    target: &OsStr,
    settings: &Settings,
) -> Step<Option<Source>> {
    let Some(name) = settings.text("backing_file") else {
        return Ok(None);
    };
    let plain = place::plain_path(name).map_err(Stop::Message)?;
    let path = beside(target.as_bytes(), plain);
    let facts = opened
        .source(OsStr::from_bytes(&path).as_ref(), false)
        .map_err(|error| {
            let why = [
                b"Could not open backing file: ".to_vec(),
                words::run::open(&error),
            ]
            .concat();
            Stop::Message(place::cannot_open(target, &why)).because(Cause::of_open(&error))
        })?;
    names.set(facts.slot, &path);
    let format = match settings.text("backing_fmt") {
        None => None,
        Some(name) => known_format(name, target)?,
    };
    Ok(Some(Source::new(facts.slot, format)))
}

/// The format that the user says the layer below has.
fn known_format(name: &[u8], target: &OsStr) -> Step<Option<Format>> {
    let known = known_in_files(name).map_err(|why| {
        let why = [b"Could not open backing file: ".to_vec(), why].concat();
        Stop::Message(place::cannot_open(target, &why))
    });
    known.map(|known| Some(known.format()))
}

/// What the job is told of an existing image.
fn existing_as(format: Format, place: &Place) -> Step<Create> {
    if format == Format::Luks {
        return Ok(Create::Luks(LuksCreate {
            key: place.key.as_deref().map(ImageText::new),
            ..LuksCreate::default()
        }));
    }
    defaults(format)
}

fn defaults(format: Format) -> Step<Create> {
    let settings = Settings::parse(format, None).map_err(Stop::Message)?;
    settings
        .create(&mut Surroundings {
            name: OsStr::new(""),
            companion: &mut |_, _| Ok(Slot(0)),
            size: &mut || Ok(0),
        })
        .map_err(Stop::Message)
}
