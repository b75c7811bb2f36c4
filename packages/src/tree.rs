//! The files of a package, below the directory in which programs are installed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::files;
use crate::tar::Archive;

/// What stands at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    File {
        bytes: Vec<u8>,
        mode: u32,
    },
    /// A symbolic link to a place that is relative to its own.
    Link(String),
}

/// Files by their place, such as `bin/instar`.
#[derive(Clone, Debug, Default)]
pub struct Tree(BTreeMap<String, Item>);

impl Tree {
    pub fn program(&mut self, place: &str, bytes: Vec<u8>) {
        self.0.insert(place.to_owned(), Item::File { bytes, mode: 0o755 });
    }

    pub fn file(&mut self, place: &str, bytes: impl Into<Vec<u8>>) {
        let bytes = bytes.into();
        self.0.insert(place.to_owned(), Item::File { bytes, mode: 0o644 });
    }

    pub fn link(&mut self, place: &str, target: &str) {
        self.0.insert(place.to_owned(), Item::Link(target.to_owned()));
    }

    /// All of them, in the order of their places.
    pub fn items(&self) -> impl Iterator<Item = (&str, &Item)> {
        self.0.iter().map(|(place, item)| (place.as_str(), item))
    }

    /// The bytes of the file at a place.
    #[must_use]
    pub fn bytes(&self, place: &str) -> Option<&[u8]> {
        match self.0.get(place) {
            Some(Item::File { bytes, .. }) => Some(bytes),
            _ => None,
        }
    }

    /// Those whose place `wanted` accepts.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(&str) -> bool) -> Self {
        let items = self.0.iter().filter(|(place, _)| wanted(place));
        Self(items.map(|(place, item)| (place.clone(), item.clone())).collect())
    }

    /// Adds them to an archive, with the directories above them, below `prefix`.
    ///
    /// # Errors
    /// If a name is too long.
    pub fn archive(&self, prefix: &str, archive: &mut Archive) -> Result<(), String> {
        let mut known = BTreeSet::new();
        for (place, item) in self.items() {
            let name = format!("{prefix}{place}");
            for (end, _) in name.match_indices('/') {
                let above = name.get(..end).unwrap_or_default();
                if known.insert(above.to_owned()) {
                    archive.directory(above)?;
                }
            }
            match item {
                Item::File { bytes, mode } => archive.file(&name, *mode, bytes)?,
                Item::Link(target) => archive.link(&name, target)?,
            }
        }
        Ok(())
    }

    /// Writes the files, and no links, below a directory.
    ///
    /// # Errors
    /// The file that cannot be written.
    pub fn write(&self, directory: &Path) -> Result<(), String> {
        for (place, item) in self.items() {
            if let Item::File { bytes, .. } = item {
                files::write(&directory.join(place), bytes)?;
            }
        }
        Ok(())
    }
}
