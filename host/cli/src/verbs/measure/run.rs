//! `measure`, carried out.

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use instar_abi::job::{self, Create, RawCreate, Source, Verb};
use instar_abi::report::Measured;
use instar_abi::{Format, Report};
use instar_engine::Policy as GatePolicy;

use super::args::{Args, Subject};
use crate::create::Settings;
use crate::create::luks::Luks;
use crate::json::{Json, Object, pretty};
use crate::release::{self, Fact};
use crate::run::files::{self, Names};
use crate::run::progress::Progress;
use crate::run::scene::RunScene;
use crate::run::{Context, concluded};
use crate::stop::{Step, Stop};
use crate::value::driver::Driver;
use crate::verbs::shared::creatable;
use instar_run::{Guest, Policy};

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let mut names = Names::new();
    let given = match &args.subject {
        Subject::Size(_) => None,
        Subject::Image { name, source, .. } => Some((name.as_os_str(), source.place(name)?)),
    };
    let share = given.as_ref().is_some_and(|(_, place)| place.share);
    let guest = Guest::prepare(context.policy, 1)?;
    let files = files::none_naming(context.policy, share, GatePolicy::Beside, true)?;
    let source: Option<Source> = match (&args.subject, &given) {
        (Subject::Image { snapshot, .. }, Some((_, place))) => {
            Some(files::looked_at(&files, &mut names, place, false, snapshot.clone())?.1)
        }
        _ => None,
    };
    let target = target(args, context.policy);
    // What is wrong with the source is said before what is wrong with the target.
    let (target, failed) = match target {
        Ok(target) => (target, None),
        Err(stop) if source.is_none() => return Err(stop),
        Err(stop) => (Measurable::default(), Some(stop)),
    };
    let size = match &args.subject {
        Subject::Size(size) => *size,
        Subject::Image { .. } => target.size,
    };
    let verb = Verb::Measure(job::Measure {
        source,
        size,
        create: target.create,
        header_bytes: target.header_bytes,
    });
    let job = context.job(verb, files.facts());
    let ended = guest.run(&job, files, Arc::new(Progress::none()))?;
    let given = given.as_ref().map_or(&[][..], |(name, _)| name.as_bytes());
    let scene = RunScene::of(&names, ended.files(), given);
    concluded(&ended.reports, &scene, context.program)?;
    if let Some(stop) = failed {
        return Err(stop);
    }
    let measured = ended.reports.iter().find_map(|report| match report {
        Report::Measured(measured) => Some(*measured),
        _ => None,
    });
    let mut measured = measured.ok_or_else(|| crate::stop::silent("reporting a result"))?;
    let is_parallels = ended.reports.contains(&Report::Opened(Format::Parallels));
    if is_parallels && !release::has(Fact::ParallelsCountsBitmaps) {
        measured.bitmaps = None;
    }
    context.console.print(&if args.json {
        program(&measured)
    } else {
        people(&measured)
    });
    Ok(0)
}

/// The image that would be made.
struct Measurable {
    create: Create,
    /// Bytes of an encryption header before its data.
    header_bytes: u64,
    /// `-o size=`.
    size: u64,
}

impl Default for Measurable {
    fn default() -> Self {
        Self {
            create: Create::Raw(RawCreate::default()),
            header_bytes: 0,
            size: 0,
        }
    }
}

fn target(args: &Args, policy: &Policy) -> Step<Measurable> {
    let name = args.target_format();
    let list = args.options.as_deref();
    let invalid = |why: Vec<u8>| {
        let which = [b"Invalid options for file format '", name.as_bytes(), b"'"].concat();
        Stop::Messages(vec![why, which])
    };
    if name == "luks" {
        let luks = Luks::parse(list).map_err(invalid)?;
        let header_bytes = luks.header_bytes(&policy.secrets).map_err(Stop::Message)?;
        return Ok(Measurable {
            header_bytes,
            ..Measurable::default()
        });
    }
    let Driver::Format(format) = creatable(name)? else {
        let text = [
            b"Block driver '",
            name.as_bytes(),
            b"' does not support size measurement",
        ];
        return Err(Stop::Message(text.concat()));
    };
    let settings = Settings::parse(format, list).map_err(invalid)?;
    let create = settings.measured().map_err(Stop::Message)?;
    let header_bytes = if format == Format::Qcow2 {
        settings.header_bytes(&policy.secrets).map_err(Stop::Message)?
    } else {
        0
    };
    Ok(Measurable {
        create,
        header_bytes,
        size: settings.size("size").unwrap_or(0),
    })
}

fn people(measured: &Measured) -> Vec<u8> {
    let mut text = format!(
        "required size: {}\nfully allocated size: {}\n",
        measured.required, measured.fully_allocated
    );
    if let Some(bitmaps) = measured.bitmaps {
        text.push_str(&format!("bitmaps size: {bitmaps}\n"));
    }
    text.into_bytes()
}

fn program(measured: &Measured) -> Vec<u8> {
    let object = Object::new()
        .with_some("bitmaps", measured.bitmaps)
        .with("required", measured.required)
        .with("fully-allocated", measured.fully_allocated);
    let mut text = pretty(&Json::from(object));
    text.push('\n');
    text.into_bytes()
}
