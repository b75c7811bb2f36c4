//! `info`, carried out.

use std::path::Path;

use instar_abi::job::{self, Verb};
use instar_abi::report::{Info, Specific};
use instar_abi::{FileKind, Format, Report, Slot};
use instar_engine::{Files, Policy as GatePolicy};

use super::args::Args;
use super::limits::{FileLimits, Limits};
use super::show::{self, Child, FileInfo, Layer};
use crate::json::{Json, pretty};
use crate::run::one_image::{Look, Seen};
use crate::run::scene::RunScene;
use crate::run::{Context, concluded};
use crate::show::{LocalTime, Name};
use crate::stop::Step;
use crate::value::nodes;
use crate::value::place::Place;
use crate::words::Scene;

pub(super) fn run(args: &Args, context: &mut Context<'_>) -> Step<u8> {
    let place = args.source.place(&args.image)?;
    let gate = if args.backing_chain {
        GatePolicy::Beside
    } else {
        GatePolicy::Pieces
    };
    let direct = args.cache.is_direct() || place.direct;
    let look = Look::at(&place, gate).with_busy_layers().direct(direct);
    let opened = look.open(context.policy)?;
    let limits = args
        .limits
        .then(|| FileLimits::of(Path::new(&place.path), direct));
    // Read before our own process is confined.
    let time = (!args.json).then(LocalTime::load);
    let device = opened.facts.kind == FileKind::Block;
    let verb = |source| {
        Verb::Info(job::Info {
            source,
            backing_chain: args.backing_chain,
        })
    };
    let mut seen = opened.run(verb, context)?;
    let infos = infos(seen.reports());
    let full = name_layers(&infos, &mut seen);
    let scene = RunScene {
        layer_by_layer: args.backing_chain,
        ..seen.scene()
    };
    concluded(seen.reports(), &scene, context.program)?;
    let nodes = infos
        .first()
        .map(|info| nodes::names(&place, info.format.name(), device));
    let nodes = nodes.unwrap_or_default();
    let mut layers: Vec<Layer<'_>> = infos
        .iter()
        .zip(&full)
        .map(|(report, name)| layer(report, name, &seen, place.bare_file))
        .collect();
    if let Some(file) = limits {
        limit(&mut layers, file, place.format.is_none());
    }
    if let Some(top) = layers.first_mut() {
        stand_in_parts(top, &place, &nodes);
    }
    let text = match &time {
        Some(time) => people(&layers, time),
        None => program(&layers, args.backing_chain),
    };
    context.console.print(&text);
    Ok(0)
}

/// Gives each layer its limits: the kernel was asked about the first one's file.
fn limit(layers: &mut [Layer<'_>], file: FileLimits, guessed: bool) {
    for (depth, layer) in layers.iter_mut().enumerate() {
        let guessed_raw = guessed && layer.report.format == Format::Raw;
        let top = Limits::new(file, guessed_raw);
        layer.limits = Some(if depth == 0 { top } else { top.below() });
    }
}

/// Gives the image and the raw parts that it stands in the names that they have as trees.
fn stand_in_parts<'a>(top: &mut Layer<'a>, place: &Place, nodes: &'a [Name]) {
    let Some((image, parts)) = nodes.split_first().filter(|_| !place.bare_file) else {
        return;
    };
    if image != top.name {
        top.name = image;
        // A name relative to a tree leads nowhere.
        top.full_backing = top.full_backing.take().filter(Name::is_absolute);
    }
    if let Some(file) = top.children.last_mut() {
        let windows = place.parts.iter().map(|part| part.window);
        file.parts = parts.iter().cloned().zip(windows).collect();
    }
}

fn infos(reports: &[Report]) -> Vec<Info> {
    reports
        .iter()
        .filter_map(|report| match report {
            Report::Info(info) => Some((**info).clone()),
            _ => None,
        })
        .collect()
}

/// The name of each layer: the user's for the first, then what the image above really asked for when its file was opened.
fn name_layers(infos: &[Info], seen: &mut Seen<'_>) -> Vec<Name> {
    let mut names: Vec<Name> = Vec::new();
    let mut above: Option<&Info> = None;
    for info in infos {
        let backing = above.and_then(|above| above.backing.as_ref());
        // What a tree comes to is the file that was opened.
        let is_tree = backing.is_some_and(|backing| backing.name.as_bytes().starts_with(b"json:"));
        let asked = seen.files().named_by(info.slot).filter(|_| !is_tree);
        let asked = asked.and_then(|(namer, name)| Some(seen.scene().file(namer)?.backing(name)));
        let name = asked.or_else(|| seen.scene().file(info.slot)).unwrap_or_default();
        seen.names.note(info.slot, name.clone());
        names.push(name);
        above = Some(info);
    }
    names
}

fn layer<'a>(report: &'a Info, name: &'a Name, seen: &Seen<'_>, bare_file: bool) -> Layer<'a> {
    let files = seen.files();
    let mut children = Vec::new();
    if let Some(Specific::Vmdk(vmdk)) = &report.specific {
        for (index, extent) in vmdk.extents.iter().enumerate().rev() {
            let Some(slot) = extent.slot.filter(|slot| *slot != report.slot) else {
                continue;
            };
            let own = extent
                .name
                .as_ref()
                .map(|own| name.beside(own.as_bytes()))
                .unwrap_or_default();
            children.extend(child(format!("extents.{index}"), &own, slot, files));
        }
    }
    if let Some(Specific::Luks(luks)) = &report.specific
        && let Some(slot) = luks.header
    {
        let own = seen.scene().file(slot).unwrap_or_default();
        children.extend(child("header".to_owned(), &own, slot, files));
    }
    let mut file = child("file".to_owned(), name, report.slot, files);
    if let (Some(child), Some(length)) = (&mut file, report.export_size) {
        child.file = FileInfo {
            length,
            allocated: None,
            protocol: "nbd",
        };
    }
    children.extend(file);
    let full_backing = report.backing.as_ref().map(|backing| {
        let named = backing.name.as_bytes();
        // As the reference tool has it: a name with a protocol is whole already.
        if named.starts_with(b"file:") {
            Name::found(named)
        } else {
            name.backing(named)
        }
    });
    Layer {
        name,
        report,
        full_backing,
        bare_file,
        children,
        limits: None,
    }
}

fn child(role: String, name: &Name, slot: Slot, files: &Files) -> Option<Child> {
    let status = files.status(slot)?;
    Some(Child {
        role,
        name: name.clone(),
        parts: Vec::new(),
        file: FileInfo {
            length: status.length,
            allocated: Some(status.disk_size),
            protocol: if status.is_block { "host_device" } else { "file" },
        },
    })
}

fn people(layers: &[Layer<'_>], time: &LocalTime) -> Vec<u8> {
    layers
        .iter()
        .map(|layer| show::human(layer, time))
        .collect::<Vec<_>>()
        .join(&b'\n')
}

fn program(layers: &[Layer<'_>], chain: bool) -> Vec<u8> {
    let mut objects: Vec<Json> = layers.iter().map(show::json).collect();
    let value = match objects.pop() {
        Some(only) if !chain => only,
        last => {
            objects.extend(last);
            Json::from(objects)
        }
    };
    let mut text = pretty(&value);
    text.push('\n');
    text.into_bytes()
}
