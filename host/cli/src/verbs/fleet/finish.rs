//! `fleet finish`: whether everything has been done; a target in ranges then gets its name.

use std::fs::File;
use std::path::Path;

use super::args::Args;
use super::identity::Identity;
use super::plan::{Head, Plan, Whole, about, failed};
use super::run::written_to;
use super::status::{Line, Standing, look};
use crate::run::Context;
use crate::run::instance::{self, Silence};
use crate::show::Escaped;
use crate::stop::{Step, Stop};

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let mut plan = Plan::open(args.plan())?;
    let lines = look(&mut plan)?;
    let head = &plan.head;
    if head.whole.is_some() && !args.waived.is_empty() {
        return Err(Stop::say(
            "--waive cannot be used with ranges, because a disk without one of them is damaged",
        ));
    }
    if let Some(strange) = args.waived.iter().find(|number| **number >= head.items) {
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
            head.items,
            first.item.item
        );
        return Err(about(&plan.path, &why));
    }
    match &head.whole {
        Some(whole) => finish_whole(args, head, whole)?,
        None => finish_images(args, head, &done)?,
    }
    let waived = head.items.saturating_sub(done.len() as u64);
    let text = match waived {
        0 => format!("{} items done\n", done.len()),
        _ => format!("{} items done, {waived} waived\n", done.len()),
    };
    context.console.print(text.as_bytes());
    Ok(0)
}

/// Whether the targets are still what their records say.
fn finish_images(args: &Args, head: &Head, done: &[Line]) -> Step<()> {
    for line in done {
        let target = Path::new(&line.item.target);
        let recorded = line.record.as_ref().and_then(|record| record.target.as_ref());
        let found = Identity::of(target).map_err(|error| failed(target, &error))?;
        if recorded != Some(&found) {
            let why = format!(
                "this is not what item {} made: it has been replaced or written to since",
                line.item.item
            );
            return Err(about(target, &why));
        }
        if args.verify {
            compare(args, head, &line.item.source, target)?;
        }
    }
    Ok(())
}

/// Gives the target its name. Twice does no harm.
fn finish_whole(args: &Args, head: &Head, whole: &Whole) -> Step<()> {
    let target = Path::new(&whole.target);
    let written = Path::new(written_to(whole));
    if whole.hidden.is_some() && !written.exists() && target.exists() {
        return Ok(());
    }
    // What a server has of it, and what it must keep.
    let file = File::open(written).map_err(|error| failed(written, &error))?;
    file.sync_all().map_err(|error| failed(written, &error))?;
    if args.verify {
        compare(args, head, &whole.source, written)?;
    }
    if whole.hidden.is_some() {
        std::fs::rename(written, target).map_err(|error| failed(target, &error))?;
        let directory = target.parent().unwrap_or(Path::new("/"));
        File::open(directory)
            .and_then(|directory| directory.sync_all())
            .map_err(|error| failed(directory, &error))?;
    }
    Ok(())
}

/// Has another instance of ourselves compare a source with its target, with the settings of the conversion.
fn compare(args: &Args, head: &Head, source: &str, target: &Path) -> Step<()> {
    let mut command = instance::again();
    command.arg("compare").args(&head.settings).args(&args.settings);
    if let Some(format) = &head.source_format {
        command.arg("-f").arg(format);
    }
    // Of a raw target the first bytes are the disk's, and say nothing.
    command
        .arg("-F")
        .arg(&head.format)
        .arg("--")
        .arg(source)
        .arg(target);
    let compared = instance::said(command).map_err(|silence| match silence {
        Silence::Refused(why) | Silence::Broken(why) => about(
            target,
            &format!("this is not the disk of '{}': {why}", Escaped(source.as_bytes())),
        ),
    });
    compared.map(drop)
}
