//! What messages of a run refer to.

use instar_abi::Slot;
use instar_engine::Files;

use super::files::Names;
use crate::show::Name;
use crate::words::{Scene, moving};

/// The files of a run, and what the user called them.
pub(crate) struct RunScene<'a> {
    pub(crate) names: &'a Names,
    pub(crate) files: &'a Files,
    /// Names of the sources as the user wrote them, in the order of the job.
    pub(crate) sources: Vec<&'a [u8]>,
    /// The name of the target as the user wrote it, if there is one.
    pub(crate) target: &'a [u8],
    /// What is being done to the target.
    pub(crate) creating: &'a str,
    /// Layers are opened one by one, each for its own sake.
    pub(crate) layer_by_layer: bool,
    /// The verb's own words for a read and for a write that failed.
    pub(crate) moving: Option<[&'static str; 2]>,
}

impl<'a> RunScene<'a> {
    /// The scene of a verb that looks at one image, or makes or changes one: `given`, as the user wrote it.
    pub(crate) fn of(names: &'a Names, files: &'a Files, given: &'a [u8]) -> Self {
        Self {
            names,
            files,
            sources: vec![given],
            target: given,
            creating: "",
            layer_by_layer: false,
            moving: None,
        }
    }
}

impl Scene for RunScene<'_> {
    /// Whatever index a guest says: the last is the name for those behind it.
    fn source(&self, index: u32) -> Vec<u8> {
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        let name = self.sources.get(index).or(self.sources.last());
        name.map(|name| name.to_vec()).unwrap_or_default()
    }

    fn target(&self) -> Vec<u8> {
        self.target.to_vec()
    }

    fn creating(&self) -> String {
        self.creating.to_owned()
    }

    fn file(&self, slot: Slot) -> Option<Name> {
        self.names.get(slot, self.files)
    }

    fn is_first(&self, slot: Slot) -> bool {
        self.names.is_first(slot)
    }

    fn below(&self, slot: Slot, name: &[u8]) -> Name {
        self.names.below(slot, name, self.files)
    }

    fn layer_by_layer(&self) -> bool {
        self.layer_by_layer
    }

    fn depth(&self, slot: Slot) -> usize {
        self.names.depth(slot)
    }

    fn moving(&self, reading: bool, at: u64) -> String {
        match (self.moving, reading) {
            (Some([read, _]), true) => read.to_owned(),
            (Some([_, written]), false) => written.to_owned(),
            (None, _) => moving(reading, at),
        }
    }
}
