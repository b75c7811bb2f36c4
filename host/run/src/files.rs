//! Opening what the user named, and the names by which messages call open files.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use instar_abi::job::{Below, SnapshotName, Source};
use instar_abi::limits::CHAIN_DEPTH;
use instar_abi::{FileFacts, Slot};
use instar_engine::{Files, OpenError, OpenErrorKind, Options, Policy as GatePolicy, TargetOptions, Wishes};

use crate::show::Name;
use crate::stop::{Step, Stop};
use crate::value::cache::CacheMode;
use crate::value::place::{self, Place, cannot_open};
use instar_run::Policy;

/// No files yet, under this policy.
pub(crate) fn none(policy: &Policy, share: bool) -> Step<Files> {
    none_naming(policy, share, GatePolicy::Beside, false)
}

/// No files yet. What images name is opened as `gate` says, or less if the policy is stricter. With `busy_layers`, raw layers are read
/// even while another process writes to them, as the reference tool does for some verbs.
pub(crate) fn none_naming(policy: &Policy, share: bool, gate: GatePolicy, busy_layers: bool) -> Step<Files> {
    let options = Options {
        policy: if policy.untrusted {
            GatePolicy::Nothing
        } else {
            gate
        },
        allow: policy.allow_dirs.clone(),
        untrusted: policy.untrusted_dirs.clone(),
        key: crate::settings::key_place(policy),
        busy_layers,
        lock: !share,
    };
    Files::new(&options).map_err(|error| Stop::Message(words(&error)))
}

/// Opens a source that the user named.
pub(crate) fn source(files: &Files, place: &Place, direct: bool) -> Step<FileFacts> {
    open(files, place, direct).map_err(|why| Stop::Message(cannot_open(&place.given, &why)))
}

fn open(files: &Files, place: &Place, direct: bool) -> Result<FileFacts, Vec<u8>> {
    opened_as(files, place, direct || place.direct, false).map(|(facts, _)| facts)
}

/// As [`source`], for verbs that read a raw image even while another process writes to it, as the reference tool does. The
/// second value says that one does.
fn source_or_busy(files: &Files, place: &Place, direct: bool) -> Step<(FileFacts, bool)> {
    let opened = opened_as(files, place, direct, true);
    opened.map_err(|why| Stop::Message(cannot_open(&place.given, &why)))
}

/// Opens a source, and says whether another process writes to it: an error, unless it `may_be_busy`.
fn opened_as(
    files: &Files,
    place: &Place,
    direct: bool,
    may_be_busy: bool,
) -> Result<(FileFacts, bool), Vec<u8>> {
    let path = Path::new(&place.path);
    let shared = || files.shared_source(path).map_err(|error| words(&error));
    let (facts, busy) = if place.share {
        (shared()?, false)
    } else {
        match files.source(path, direct) {
            Ok(facts) => (facts, false),
            Err(error) if may_be_busy && matches!(error.kind, OpenErrorKind::Lock(_)) => (shared()?, true),
            Err(error) => return Err(words(&error)),
        }
    };
    place.protocol.suits(facts.kind, &place.path)?;
    Ok((facts, busy))
}

/// Opens an image that is looked at: its facts, the job's view of it, and its name noted.
pub(crate) fn looked_at(
    files: &Files,
    names: &mut Names,
    place: &Place,
    direct: bool,
    snapshot: Option<SnapshotName>,
) -> Step<(FileFacts, Source)> {
    let (facts, busy) = source_or_busy(files, place, direct)?;
    names.set(facts.slot, place.path.as_bytes());
    let source = described(files, facts, place, snapshot)?;
    Ok((facts, Source { busy, ..source }))
}

/// How a target is opened.
pub(crate) fn target_options(mode: CacheMode, policy: &Policy) -> TargetOptions {
    use instar_engine::Cache;
    TargetOptions {
        cache: match mode {
            CacheMode::Writeback => Cache::Writeback,
            CacheMode::Writethrough => Cache::Writethrough,
            CacheMode::None => Cache::None,
            CacheMode::DirectSync => Cache::DirectSync,
            CacheMode::Unsafe => Cache::Unsafe,
        },
        limit: policy.max_output.unwrap_or(u64::MAX),
        wishes: Wishes::default(),
    }
}

/// The job's view of a source. Layers below it that the user named are opened, too.
pub(crate) fn described(
    files: &Files,
    facts: FileFacts,
    place: &Place,
    snapshot: Option<SnapshotName>,
) -> Step<Source> {
    let below = match &place.below {
        place::Below::Named => Below::Named,
        place::Below::Nothing => Below::Nothing,
        place::Below::Given(layer) => {
            let facts = open(files, layer, false).map_err(|why| {
                let why = [b"Could not open backing file: ".to_vec(), why].concat();
                Stop::Message(cannot_open(&layer.given, &why))
            })?;
            Below::Given(Box::new(described(files, facts, layer, None)?))
        }
    };
    Ok(Source {
        snapshot,
        below,
        window: place.part.window,
        inside: place.inside(),
        size_rule: place
            .size_rule
            .as_ref()
            .map(|named| named.rule)
            .unwrap_or_default(),
        ..Source::new(facts.slot, place.format)
    })
}

/// The engine's words, the hint on a line of its own.
pub(crate) fn words(error: &OpenError) -> Vec<u8> {
    let mut text = error.to_string();
    if let Some(hint) = error.hint() {
        text.push('\n');
        text.push_str(&hint);
    }
    text.into_bytes()
}

/// Names of open files as the user would write them.
#[derive(Debug)]
pub(crate) struct Names {
    noted: Vec<(Slot, Name)>,
    /// Where relative names start.
    home: Option<PathBuf>,
    /// The user wrote one.
    relative: bool,
}

impl Names {
    /// None yet. To be made before our own process is confined.
    pub(crate) fn new() -> Self {
        Self {
            noted: Vec::new(),
            home: std::env::current_dir().ok(),
            relative: false,
        }
    }

    /// Notes a name that the user gave.
    pub(crate) fn set(&mut self, slot: Slot, name: &[u8]) {
        self.relative |= !name.starts_with(b"/");
        self.note(slot, Name::given(name));
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

    /// How many layers lie above what `slot` names: files that the user named are numbered first.
    pub(crate) fn depth(&self, slot: Slot) -> usize {
        let named = self.noted.len();
        let slot = usize::try_from(slot.0).unwrap_or(0);
        // Whatever slot the guest names: no chain is longer.
        slot.saturating_add(2).saturating_sub(named).clamp(1, CHAIN_DEPTH)
    }
}
