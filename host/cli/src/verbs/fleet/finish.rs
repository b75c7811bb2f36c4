//! `fleet finish`: whether everything has been done; a target in ranges then gets its name.

use std::fs::File;
use std::path::Path;
use std::process::Child;

use super::args::Args;
use super::identity::Identity;
use super::plan::{Item, Plan, Whole, about};
use super::run::written_to;
use super::status::{Line, Standing, look};
use crate::run::{Context, instance};
use crate::stop::{Step, Stop};
use crate::words;
use instar_run::Cause;

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let mut plan = Plan::open(args.plan())?;
    let lines = look(&mut plan)?;
    let whole = plan.head.whole.clone();
    if whole.is_some() && !args.waived.is_empty() {
        return Err(Stop::say(
            "--waive cannot be used with ranges, because a disk without one of them is damaged",
        ));
    }
    if let Some(strange) = args.waived.iter().find(|number| **number >= plan.head.items) {
        return Err(about(&plan.path, &format!("there is no item {strange} to waive")));
    }
    let (done, undone): (Vec<Line>, Vec<Line>) = lines
        .into_iter()
        .filter(|line| line.standing == Standing::Done || !args.waived.contains(&line.item.item))
        .partition(|line| line.standing == Standing::Done);
    if let Some(first) = undone.first() {
        let why = format!(
            "{} of {} items are not done, the first of them item {}; fleet status tells why",
            undone.len(),
            plan.head.items,
            first.item.item
        );
        return Err(about(&plan.path, &why));
    }
    match &whole {
        Some(whole) => finish_whole(args, whole)?,
        None => finish_images(args, &done)?,
    }
    let waived = plan.head.items.saturating_sub(done.len() as u64);
    let text = match waived {
        0 => format!("{} items done\n", done.len()),
        _ => format!("{} items done, {waived} waived\n", done.len()),
    };
    context.console.print(text.as_bytes());
    Ok(0)
}

/// Whether the targets are still what their records say.
fn finish_images(args: &Args, done: &[Line]) -> Step<()> {
    for line in done {
        let target = Path::new(&line.item.target);
        let recorded = line.record.as_ref().and_then(|record| record.target.as_ref());
        let found = Identity::of(target).map_err(|error| broken(target, &error))?;
        if recorded != Some(&found) {
            let why = format!(
                "this is not what item {} made: it has been replaced or written to since",
                line.item.item
            );
            return Err(about(target, &why));
        }
        if args.verify {
            compare(args, &line.item, None, target, None)?;
        }
    }
    Ok(())
}

/// Gives the target its name. Twice does no harm.
fn finish_whole(args: &Args, whole: &Whole) -> Step<()> {
    let target = Path::new(&whole.target);
    let written = Path::new(written_to(whole));
    if whole.hidden.is_some() && !written.exists() && target.exists() {
        return Ok(());
    }
    // What a server has of it, and what it must keep.
    let file = File::open(written).map_err(|error| broken(written, &error))?;
    file.sync_all().map_err(|error| broken(written, &error))?;
    if args.verify {
        let item = Item {
            item: 0,
            source: whole.source.clone(),
            identity: Identity::of(Path::new(&whole.source))
                .map_err(|error| broken(Path::new(&whole.source), &error))?,
            target: whole.target.clone(),
            range: None,
        };
        compare(
            args,
            &item,
            whole.source_format.as_deref(),
            written,
            Some(&whole.format),
        )?;
    }
    if whole.hidden.is_some() {
        std::fs::rename(written, target).map_err(|error| broken(target, &error))?;
        let directory = target.parent().unwrap_or(Path::new("/"));
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| broken(directory, &error))?;
    }
    Ok(())
}

/// Has another instance of ourselves compare a source with its target.
fn compare(
    args: &Args,
    item: &Item,
    source_format: Option<&str>,
    target: &Path,
    format: Option<&str>,
) -> Step<()> {
    let mut command = instance::again();
    command.arg("compare").args(&args.settings);
    for (option, format) in [("-f", source_format), ("-F", format)] {
        if let Some(format) = format {
            command.arg(option).arg(format);
        }
    }
    command.arg("--").arg(&item.source).arg(target);
    let output = instance::started(&mut command).and_then(Child::wait_with_output);
    let output = output.map_err(|error| broken(target, &error))?;
    if output.status.success() {
        return Ok(());
    }
    let said = match output.stderr.is_empty() {
        true => output.stdout,
        false => output.stderr,
    };
    let why = String::from_utf8_lossy(said.trim_ascii_end()).into_owned();
    Err(about(
        target,
        &format!("this is not the disk of '{}': {why}", item.source),
    ))
}

fn broken(path: &Path, error: &std::io::Error) -> Stop {
    about(path, &words::system(error)).because(Cause::of_system(error.raw_os_error()))
}
