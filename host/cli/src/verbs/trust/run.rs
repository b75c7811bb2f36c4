//! `trust`, carried out: what an image names is shown, then recorded.
//!
//! Only a guest can tell the names, and a process can be confined but once; so another instance of ourselves looks at each layer,
//! for which it opens that one file, and says as JSON what it names.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use instar_abi::Slot;
use instar_engine::{Files, Rule, Verdict};
use serde_json::Value;

use super::args::{Action, Args};
use crate::run::instance::{self, Silence};
use crate::run::{Context, files};
use crate::show::Escaped;
use crate::stop::{Step, Stop};
use crate::value::place;
use crate::words;

/// One layer of a chain.
struct Layer {
    slot: Slot,
    name: Vec<u8>,
    format: String,
    /// What it names.
    below: Vec<Below>,
}

/// A file that a layer names.
struct Below {
    role: &'static str,
    name: Vec<u8>,
    path: Vec<u8>,
    verdict: Verdict,
}

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let path = place::plain_path(args.image.as_bytes()).map_err(Stop::Message)?;
    let path = OsStr::from_bytes(path);
    let files = files::none(context.policy, true)?;
    let facts = files.shared_source(path.as_ref())?;
    if args.action == Action::Remove {
        files
            .distrust(facts.slot)
            .map_err(|error| about(path.as_bytes(), &words::system(&error)))?;
        return Ok(0);
    }
    let layers = chain(args, context, &files, facts.slot, path)?;
    context.console.print(&shown(&layers));
    if args.action == Action::Show {
        let refused = |below: &Below| !matches!(below.verdict, Verdict::LetIn(_));
        return Ok(u8::from(
            layers.iter().flat_map(|layer| &layer.below).any(refused),
        ));
    }
    for layer in layers.iter().filter(|layer| !layer.below.is_empty()) {
        let names: Vec<&[u8]> = layer.below.iter().map(|below| below.name.as_slice()).collect();
        files.trust(layer.slot, &names).map_err(|error| {
            let why = format!(
                "this cannot be recorded: {}; allow the directories instead, with --allow-dir DIR or with allow-dir in /etc/instar.toml",
                words::system(&error)
            );
            about(&layer.name, &why)
        })?;
    }
    context.console.print(b"recorded\n");
    Ok(0)
}

/// Every layer, top first.
fn chain(args: &Args, context: &Context<'_>, files: &Files, top: Slot, path: &OsStr) -> Step<Vec<Layer>> {
    let mut layers: Vec<Layer> = Vec::new();
    let (mut slot, mut name) = (top, path.as_bytes().to_vec());
    let mut format = args.format.clone();
    let most = usize::try_from(context.policy.max_chain).unwrap_or(usize::MAX);
    loop {
        if layers.iter().any(|layer| layer.slot == slot) {
            return Err(about(&name, "the backing files form a loop"));
        }
        if layers.len() >= most {
            return Err(about(
                &name,
                "the backing chain has more layers than --max-chain allows",
            ));
        }
        let info = look(context, &name, format.as_deref())?;
        let mut layer = Layer {
            slot,
            format: text(&info, "/format").unwrap_or_default(),
            name: name.clone(),
            below: Vec::new(),
        };
        let mut next = None;
        for (role, at) in NAMES {
            let Some(named) = text(&info, at) else { continue };
            let named = plain(&named).map_err(|why| about(&name, &why))?;
            let (below, path) = files.below(slot, &named).map_err(|errno| {
                let why = instar_engine::words(errno);
                about(&name, &format!("{role} '{}': {why}", Escaped(&named)))
            })?;
            let path = path.as_os_str().as_bytes().to_vec();
            if *role == BACKING {
                next = Some((below, path.clone()));
            }
            layer.below.push(Below {
                verdict: files.verdict(slot, &named),
                role,
                name: named,
                path,
            });
        }
        layers.push(layer);
        let Some(found) = next else { return Ok(layers) };
        format = text(&info, "/backing-filename-format").map(OsString::from);
        (slot, name) = found;
    }
}

/// What an instance of ourselves that opens nothing else says of one image.
fn look(context: &Context<'_>, name: &[u8], format: Option<&OsStr>) -> Step<Value> {
    let mut command = instance::under(context.policy, "info")?;
    command.arg("--untrusted");
    if let Some(format) = format {
        command.arg("-f").arg(format);
    }
    command.arg("--").arg(place::word(OsStr::from_bytes(name)));
    let answer = instance::answer(command);
    // An instance counts its time from its own start, and may be done before it notices that ours is over.
    if let Some(over) = instar_run::over(context.policy) {
        return Err(Stop::say(words::run::limit(over)));
    }
    answer.map_err(|silence| match silence {
        Silence::Refused(why) => Stop::say(why),
        Silence::Broken(why) => about(name, &why),
    })
}

fn text(info: &Value, at: &str) -> Option<String> {
    info.pointer(at)?.as_str().map(str::to_owned)
}

/// A name as the gate will be asked for it.
fn plain(name: &str) -> Result<Vec<u8>, String> {
    if name.contains('\u{fffd}') {
        return Err("the image holds a name that is not text and cannot be shown".to_owned());
    }
    place::named(name.as_bytes()).ok_or_else(|| format!("'{}' is not a plain file", Escaped(name.as_bytes())))
}

fn about(name: &[u8], why: &str) -> Stop {
    Stop::say(format!("{}: {why}", Escaped(name)))
}

fn shown(layers: &[Layer]) -> Vec<u8> {
    let mut text = String::new();
    for layer in layers {
        text.push_str(&format!("{} ({})\n", Escaped(&layer.name), layer.format));
        for below in &layer.below {
            let rule = match below.verdict {
                Verdict::LetIn(Rule::Beside) => "beside the image",
                Verdict::LetIn(Rule::Recorded) => "recorded",
                Verdict::LetIn(Rule::Allowed) => "in an allowed directory",
                Verdict::Refused => "elsewhere, not trusted yet",
                Verdict::Unknown => "never opened",
            };
            let name = Escaped(&below.name);
            text.push_str(&format!(
                "    {}: '{name}', which is {}: {rule}\n",
                below.role,
                Escaped(&below.path)
            ));
        }
    }
    text.into_bytes()
}

const BACKING: &str = "backing file";
/// What an image may name, and where `info` says so.
const NAMES: &[(&str, &str)] = &[
    (BACKING, "/backing-filename"),
    ("data file", "/format-specific/data/data-file"),
];
