//! Opening what the user named, and the names by which messages call open files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use instar_abi::job::{SnapshotName, Source};
use instar_abi::limits::CHAIN_DEPTH;
use instar_abi::{FileFacts, Slot};
use instar_engine::{Cache, Files, Options, Policy as GatePolicy, TargetOptions};

use super::output;
use crate::show::Name;
use crate::stop::Step;
use crate::value::cache::CacheMode;
use crate::value::place::Place;
use instar_run::Policy;

/// No files yet, under this policy.
pub(crate) fn none(policy: &Policy, share: bool) -> Step<Files> {
    none_naming(policy, share, GatePolicy::Beside, false)
}

/// No files yet; temporary ones are made beside `target`, where that can be done.
pub(crate) fn none_beside(policy: &Policy, share: bool, target: &OsStr) -> Step<Files> {
    let files = policy.files(Options {
        spools_beside: (!output::is_named(target)).then(|| PathBuf::from(target)),
        ..options(policy, share, GatePolicy::Beside, false)
    });
    Ok(files?)
}

/// No files yet. What images name is opened as `gate` says, or less if the policy is stricter. With `busy_layers`, raw layers are read
/// even while another process writes to them, as the reference tool does for some verbs.
pub(crate) fn none_naming(policy: &Policy, share: bool, gate: GatePolicy, busy_layers: bool) -> Step<Files> {
    Ok(policy.files(options(policy, share, gate, busy_layers))?)
}

fn options(policy: &Policy, share: bool, gate: GatePolicy, busy_layers: bool) -> Options {
    Options {
        policy: gate,
        key: crate::settings::key_place(policy),
        busy_layers,
        lock: !share,
        ..Options::default()
    }
}

/// Opens an image that is looked at: its facts, the job's view of it, and its name noted.
pub(crate) fn looked_at(
    files: &Files,
    names: &mut Names,
    place: &Place,
    direct: bool,
    snapshot: Option<SnapshotName>,
) -> Step<(FileFacts, Source)> {
    let (facts, source) = place.image().looked_at(files, direct, snapshot)?;
    names.set(facts.slot, place.path.as_bytes());
    names.spool(&source, place);
    if let (Some(slot), Some(header)) = (source.header, &place.header) {
        names.set(slot, header.path.as_bytes());
    }
    Ok((facts, source))
}

/// How a target is opened.
pub(crate) fn target_options(mode: CacheMode, policy: &Policy) -> TargetOptions {
    policy.target(match mode {
        CacheMode::Writeback => Cache::Writeback,
        CacheMode::Writethrough => Cache::Writethrough,
        CacheMode::None => Cache::None,
        CacheMode::DirectSync => Cache::DirectSync,
        CacheMode::Unsafe => Cache::Unsafe,
    })
}

/// Names of open files as the user would write them.
#[derive(Debug)]
pub(crate) struct Names {
    noted: Vec<(Slot, Name)>,
    /// Where relative names start.
    home: Option<PathBuf>,
    /// The user wrote one.
    relative: bool,
    /// What the user named first: the image that the run is about, or the first of them.
    first: Option<Slot>,
}

impl Names {
    /// None yet. To be made before our own process is confined.
    pub(crate) fn new() -> Self {
        Self {
            noted: Vec::new(),
            home: std::env::current_dir().ok(),
            relative: false,
            first: None,
        }
    }

    /// Notes a name that the user gave.
    pub(crate) fn set(&mut self, slot: Slot, name: &[u8]) {
        self.relative |= !name.starts_with(b"/");
        self.first.get_or_insert(slot);
        self.note(slot, Name::given(name));
    }

    /// Notes that the temporary file of an image is the image, too.
    pub(crate) fn spool(&mut self, source: &Source, place: &Place) {
        if let Some(slot) = source.spool {
            self.note(slot, Name::given(place.path.as_bytes()));
        }
    }

    /// Notes a name that an image led to.
    pub(crate) fn note(&mut self, slot: Slot, name: Name) {
        self.noted.retain(|(known, _)| *known != slot);
        self.noted.push((slot, name));
    }

    /// The name of a file: as noted, else under which it was opened, from where the user stands.
    pub(crate) fn get(&self, slot: Slot, files: &Files) -> Option<Name> {
        let noted = self.noted.iter().find(|(known, _)| *known == slot);
        noted.map(|(_, name)| name.clone()).or_else(|| {
            let name = files.status(slot)?.name;
            let home = self.home.as_ref().filter(|_| self.relative);
            let near = home.and_then(|home| name.strip_prefix(home).ok());
            Some(Name::found(near.unwrap_or(&name).as_os_str().as_bytes()))
        })
    }

    /// The name of a file that the image behind `slot` names.
    pub(crate) fn below(&self, slot: Slot, name: &[u8], files: &Files) -> Name {
        self.get(slot, files).unwrap_or_default().beside(name)
    }

    /// Whether it is what the user named first, however it was written.
    pub(crate) fn is_first(&self, slot: Slot) -> bool {
        self.first == Some(slot)
    }

    /// How many layers lie above what `slot` names: files that the user named are numbered first.
    pub(crate) fn depth(&self, slot: Slot) -> usize {
        let named = self.noted.len();
        let slot = usize::try_from(slot.0).unwrap_or(0);
        // Whatever slot the guest names: no chain is longer.
        slot.saturating_add(2).saturating_sub(named).clamp(1, CHAIN_DEPTH)
    }
}
