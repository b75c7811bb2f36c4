//! Where a row runs: which directory, how warm, inside which limits.

mod group;
mod mount;
mod slow;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::Advice;

use crate::corpus::Corpus;
use crate::place::{FileSystem, Place};
use crate::rows::{Changed, Row};
pub(crate) use group::{MEMORY_BYTES, Pressure, remove_old_groups};
pub(crate) use mount::enter_namespace;

/// A place that is ready.
#[derive(Debug)]
pub(crate) struct Site {
    images: PathBuf,
    output: PathBuf,
    cold: bool,
    changes: Option<Changed>,
    sources: Vec<PathBuf>,
    // The order matters: a group goes before the device that it slows down.
    group: Option<group::Group>,
    _mount: Option<mount::Mount>,
}

impl Site {
    /// Makes the place and puts the row's images there, or says why that cannot be.
    pub(crate) fn prepare(row: &Row, corpus: &Corpus) -> Result<Self, String> {
        let names: Vec<&str> = row.images().collect();
        let kind = match row.place {
            Place::On(kind) => Some(kind),
            Place::Direct | Place::Throttled => Some(FileSystem::Ext4),
            _ => None,
        };
        let mount = kind.map(|kind| mount::Mount::make(kind, corpus)).transpose()?;
        let group = match (row.place, &mount) {
            (Place::Confined, _) => Some(group::of_memory()?),
            (Place::Throttled, Some(mount)) => Some(slow::slow_reads(mount.device())?),
            _ => None,
        };
        for name in &names {
            corpus.need(name);
        }
        let images = mount.as_ref().map_or(corpus.directory(), mount::Mount::directory);
        if mount.is_some() {
            for name in &names {
                mount::copy(&corpus.path(name), &images.join(name))?;
            }
        }
        let output = match row.place {
            Place::On(_) => images.join("output"),
            _ => corpus.temporary("output"),
        };
        Ok(Self {
            output,
            cold: row.place.is_cold(),
            changes: row.changes,
            sources: names.iter().map(|name| images.join(name)).collect(),
            images: images.to_owned(),
            group,
            _mount: mount,
        })
    }

    /// The path of an image.
    pub(crate) fn image(&self, name: &str) -> PathBuf {
        self.images.join(name)
    }

    /// Where rows write.
    pub(crate) fn output(&self) -> &Path {
        &self.output
    }

    /// Length and bytes of data of what was last written; a directory entry that is not there has none.
    pub(crate) fn written(&self) -> (u64, u64) {
        let facts = self.output.metadata();
        facts.map_or((0, 0), |facts| (facts.len(), facts.blocks() * 512))
    }

    /// Removes what rows wrote, extent files included.
    pub(crate) fn clear_output(&self) {
        let directory = self.output.parent().unwrap_or(Path::new("/"));
        let wanted = self.output.file_name().unwrap_or_default().to_string_lossy();
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let name = name.strip_prefix('.').unwrap_or(&name);
            if name.starts_with(&*wanted) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    /// What comes before each run.
    ///
    /// # Errors
    /// Why an image cannot be copied.
    pub(crate) fn make_ready(&self) -> Result<(), String> {
        self.clear_output();
        if let Some(changed) = self.changes {
            self.copy_for_change(changed)?;
        }
        if self.cold {
            rustix::fs::sync();
            for source in &self.sources {
                // Clean pages that nobody maps go at once; the sources have no others.
                let file = File::open(source).unwrap();
                rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).unwrap();
            }
        }
        Ok(())
    }

    /// A copy of what a row changes, on disk before the clock starts.
    fn copy_for_change(&self, changed: Changed) -> Result<(), String> {
        mount::copy(&self.image(changed.image), &self.output)?;
        if let Some(base) = changed.base {
            let below = self.output.with_extension("base");
            mount::copy(&self.image(base), &below)?;
            run(Command::new("qemu-img")
                .args(["rebase", "-u", "-F", "qcow2", "-b"])
                .args([&below, &self.output]))?;
            rustix::fs::sync();
        }
        Ok(())
    }

    /// The same command, inside the group if there is one.
    pub(crate) fn inside(&self, command: Command) -> Command {
        match &self.group {
            Some(group) => group.inside(&command),
            None => command,
        }
    }

    /// Starts the group's counters anew.
    pub(crate) fn renew_group(&mut self) -> Result<(), String> {
        if self.group.take().is_some() {
            self.group = Some(group::of_memory()?);
        }
        Ok(())
    }

    /// What the group counted.
    pub(crate) fn pressure(&self) -> Pressure {
        self.group.as_ref().map(Pressure::of).unwrap_or_default()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.clear_output();
    }
}

/// Runs a program that prepares something; its complaint is the reason.
fn run(command: &mut Command) -> Result<String, String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .env("PATH", format!("{path}:/usr/sbin:/sbin"))
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let first = complaint.lines().next().unwrap_or("it failed");
        return Err(format!("{program}: {first}"));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
