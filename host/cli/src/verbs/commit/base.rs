//! The layer that a commit writes to.
//!
//! What images are called in other images only a guest can tell, and no guest causes a file to be opened for writing. Another instance of
//! ourselves looks at one image after the other and says what it names; the host follows, and asks the rules for names at each.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use instar_abi::job::Source;
use instar_abi::{Format, ImageText, Slot};
use instar_engine::{BaseError, Files, OpenError, Rule, TargetOptions, Verdict};
use instar_run::Cause;
use serde_json::Value;

use super::args::Args;
use crate::run::instance::{self, Silence};
use crate::run::{Context, data_file};
use crate::show::{Escaped, beside};
use crate::stop::{Step, Stop};
use crate::value::place::{Below, Place, cannot_open, named, word};
use crate::words;

/// The layer, open for writing.
pub(super) struct Base {
    pub(super) slot: Slot,
    /// Where it is.
    pub(super) path: OsString,
    /// Layers on the way, and this one, that the user says something of.
    pub(super) locked: Vec<Source>,
    /// The files that hold its data: its data file, or its extents in their order.
    pub(super) apart: Vec<Slot>,
    /// The name of the file that holds the data of the image itself.
    pub(super) own_data: Option<Vec<u8>>,
}

/// Why there is none.
pub(super) enum Absent {
    /// This is wrong, whatever else is.
    Certain(Stop),
    /// A layer cannot be opened; a guest that tries to says why. If it can, this is wrong.
    Layer(Stop),
}

impl From<Stop> for Absent {
    fn from(stop: Stop) -> Self {
        Self::Certain(stop)
    }
}

/// The way down from the image.
pub(super) struct Way<'a> {
    pub(super) args: &'a Args,
    pub(super) place: &'a Place,
    pub(super) files: &'a Files,
    pub(super) options: &'a TargetOptions,
    pub(super) context: &'a Context<'a>,
}

/// A layer on it.
struct Layer {
    slot: Slot,
    path: OsString,
    format: Option<OsString>,
    /// Layers above it.
    depth: u32,
}

impl Way<'_> {
    /// Follows the names from the image, open as `top`, to the layer asked for. `probed_raw` is told if its format was guessed to be raw.
    pub(super) fn follow(&self, top: Slot, probed_raw: &mut bool) -> Result<Base, Absent> {
        let mut layer = Layer {
            slot: top,
            path: self.place.path.clone(),
            format: self.place.format.map(|format| format.name().into()),
            depth: 0,
        };
        let mut own_data = None;
        let mut locked = Vec::new();
        let mut said = &self.place.below;
        for depth in 0..self.context.policy.max_chain {
            let info = self.look(&layer)?;
            if depth == 0 {
                own_data = data_file::named_in(&info);
            }
            let found = text(&info, "/format");
            *probed_raw |= depth == 0 && layer.format.is_none() && found.as_deref() == Some("raw");
            let read_only =
                |name: &String| Format::from_name(name.as_bytes()).is_some_and(Format::is_read_only);
            if depth == 0 && found.as_ref().is_some_and(read_only) {
                let why = cannot_open(&self.place.given, b"Image is read-only");
                return Err(Absent::Certain(Stop::Message(why)));
            }
            let Some(name) = text(&info, "/backing-filename") else {
                return Err(self.not_there().into());
            };
            let name = plain(&name).map_err(|why| Stop::Message(cannot_open(&layer.path, &why)))?;
            let format = text(&info, "/backing-filename-format").map(OsString::from);
            let given = match said {
                Below::Named => None,
                Below::Given(given) if same(&layer, &name, &given.path) => Some(given),
                Below::Given(_) | Below::Nothing => return Err(self.another().into()),
            };
            let mut note = |slot| {
                locked.extend(given.filter(|given| given.is_locked()).map(|given| {
                    let image = given.image();
                    Source {
                        key: image.key.as_deref().map(ImageText::new),
                        encrypt: image.encrypt,
                        ..Source::new(slot, image.format)
                    }
                }));
            };
            if self.is_wanted(&layer, &name) {
                let base = self.open(&layer, &name, format)?;
                note(base.slot);
                return Ok(Base {
                    own_data,
                    locked,
                    ..base
                });
            }
            layer = self.descend(&layer, &name, format)?;
            note(layer.slot);
            said = given.map_or(&Below::Named, |given| &given.below);
        }
        Err(Absent::Layer(self.not_there()))
    }

    /// The layer below, which is read.
    fn descend(&self, above: &Layer, name: &[u8], format: Option<OsString>) -> Result<Layer, Absent> {
        let closed = |why: &[u8], cause| Absent::Layer(self.closed(above, why).because(cause));
        if !matches!(self.files.verdict(above.slot, name), Verdict::LetIn(_)) {
            return Err(closed(&elsewhere(name), Cause::Refused));
        }
        let (slot, path) = self.files.below(above.slot, name).map_err(|errno| {
            let cause = Cause::of_system(Some(errno.raw_os_error()));
            closed(instar_engine::words(errno).as_bytes(), cause)
        })?;
        let shown = beside(above.path.as_bytes(), name);
        self.files.lock(slot).map_err(|error| {
            let error = OpenError {
                name: OsStr::from_bytes(&shown).into(),
                ..error
            };
            Absent::Certain(
                self.closed(above, &words::run::open(&error))
                    .because(Cause::of_open(&error)),
            )
        })?;
        Ok(Layer {
            slot,
            path: path.into_os_string(),
            format,
            depth: above.depth.saturating_add(1),
        })
    }

    /// The layer below, which is written to.
    fn open(&self, above: &Layer, name: &[u8], format: Option<OsString>) -> Result<Base, Absent> {
        let may = |rule, path: &Path| {
            rule == Rule::Recorded || self.context.policy.may_write(Path::new(&above.path), path)
        };
        let plain = name.strip_prefix(b"file:").unwrap_or(name);
        let shown = beside(above.path.as_bytes(), plain);
        let opened = self.files.base(above.slot, name, self.options, &may);
        let (facts, path) = opened.map_err(|error| match error {
            BaseError::Refused => Absent::Layer(self.closed(above, &elsewhere(name)).because(Cause::Refused)),
            BaseError::Unknown(errno) => Absent::Layer(
                self.closed(above, instar_engine::words(errno).as_bytes())
                    .because(Cause::of_system(Some(errno.raw_os_error()))),
            ),
            BaseError::Open(error) => {
                let error = OpenError {
                    name: OsStr::from_bytes(&shown).into(),
                    ..error
                };
                Absent::Certain(
                    self.closed(above, &words::run::open(&error))
                        .because(Cause::of_open(&error)),
                )
            }
        })?;
        self.files.keep_record_throughout(facts.slot);
        let base = Layer {
            slot: facts.slot,
            path: path.into_os_string(),
            format,
            depth: above.depth.saturating_add(1),
        };
        let info = self.look(&base)?;
        let image = data_file::Image {
            given: OsStr::from_bytes(&shown),
            path: &base.path,
            slot: base.slot,
        };
        let mut apart = Vec::new();
        for name in data_file::names_in(&info, &base.path) {
            let opened = image.open(&name, self.context, self.files, self.options)?;
            self.files.make_layer(opened.slot);
            apart.push(opened.slot);
        }
        Ok(Base {
            slot: base.slot,
            path: OsStr::from_bytes(&shown).to_owned(),
            apart,
            locked: Vec::new(),
            own_data: None,
        })
    }

    /// Opens the file with the data of the image itself, open as `top`. Where it may not be written to, it keeps what nothing needs.
    pub(super) fn own_data(&self, top: Slot, name: &[u8]) -> Option<Slot> {
        let image = data_file::Image {
            given: &self.place.given,
            path: &self.place.path,
            slot: top,
        };
        let opened = image.open(name, self.context, self.files, self.options).ok()?;
        self.files.make_layer(opened.slot);
        Some(opened.slot)
    }

    /// Whether what `layer` calls `name` is what the user means: without a name, the first layer below; else the same file, where the
    /// user's name starts from the layer, too.
    fn is_wanted(&self, layer: &Layer, name: &[u8]) -> bool {
        let Some(wanted) = &self.args.base else {
            return true;
        };
        let real = |name| real(layer, name);
        wanted.as_bytes() == name || real(wanted.as_bytes()).is_some_and(|wanted| Some(wanted) == real(name))
    }

    /// The user gives a layer that is not the image's own.
    fn another(&self) -> Stop {
        let why = b"instar commits an image only to its own backing file, not to another 'backing'";
        Stop::Message(cannot_open(&self.place.given, why))
    }

    /// What an instance of ourselves says of one image.
    fn look(&self, layer: &Layer) -> Step<Value> {
        let mut command = instance::under(self.context.policy, "info")?;
        if let Some(format) = &layer.format {
            command.arg("-f").arg(format);
        }
        command.arg("--").arg(word(&layer.path));
        instance::answer(command).map_err(|silence| match silence {
            Silence::Refused(why) => match instar_run::over(self.context.policy) {
                Some(limit) => Stop::say(words::run::limit(limit)).because(Cause::TimedOut),
                None => self.as_given(layer, &why).because(Cause::Image),
            },
            Silence::Broken(why) => {
                Stop::Message(cannot_open(&layer.path, why.as_bytes())).because(Cause::Sandbox)
            }
        })
    }

    /// What an instance says of `layer`, as of the image that the user named: whatever lies below it has no name in messages.
    fn as_given(&self, layer: &Layer, why: &str) -> Stop {
        let called = format!("Could not open '{}': ", Escaped(layer.path.as_bytes()));
        match why.strip_prefix(&called) {
            Some(why) => self.closed_below(layer.depth, why.as_bytes()),
            None => Stop::say(why),
        }
    }

    /// What is below `above` cannot be opened.
    fn closed(&self, above: &Layer, why: &[u8]) -> Stop {
        self.closed_below(above.depth.saturating_add(1), why)
    }

    /// A layer so deep below the image cannot be opened.
    fn closed_below(&self, depth: u32, why: &[u8]) -> Stop {
        let layers = (0..depth)
            .map(|_| "Could not open backing file: ")
            .collect::<String>();
        let why = [layers.as_bytes(), why].concat();
        Stop::Message(cannot_open(&self.place.given, &why))
    }

    /// The image has no such layer.
    fn not_there(&self) -> Stop {
        match &self.args.base {
            None => Stop::say("Image does not have a backing file"),
            Some(base) => Stop::Message(
                [
                    b"Did not find '".as_slice(),
                    base.as_bytes(),
                    b"' in the backing chain of '",
                    self.place.given.as_bytes(),
                    b"'",
                ]
                .concat(),
            ),
        }
    }
}

/// The file that `name` means in `layer`.
fn real(layer: &Layer, name: &[u8]) -> Option<PathBuf> {
    let plain = name.strip_prefix(b"file:").unwrap_or(name);
    let path = beside(layer.path.as_bytes(), plain);
    Path::new(OsStr::from_bytes(&path)).canonicalize().ok()
}

/// Whether what `layer` calls `name` is the file at `path`.
fn same(layer: &Layer, name: &[u8], path: &OsStr) -> bool {
    let path = Path::new(path).canonicalize().ok();
    path.is_some() && path == real(layer, name)
}

fn text(info: &Value, at: &str) -> Option<String> {
    info.pointer(at)?.as_str().map(str::to_owned)
}

/// A name as the gate will be asked for it.
fn plain(name: &str) -> Result<Vec<u8>, Vec<u8>> {
    if name.contains('\u{fffd}') {
        return Err(b"the image holds a name that is not text and cannot be followed".to_vec());
    }
    let not_plain = || format!("'{}' is not a plain file", Escaped(name.as_bytes()));
    named(name.as_bytes()).ok_or_else(|| not_plain().into_bytes())
}

fn elsewhere(name: &[u8]) -> Vec<u8> {
    format!(
        "'{}' is not beside the image; if you trust the image, allow the directory of that file with --allow-dir DIR",
        Escaped(name)
    )
    .into_bytes()
}
