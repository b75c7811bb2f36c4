//! A verb that looks at one image:
//!
//! ```text
//!  Look ─ open ─► the guest is prepared, then the image opened ─ run ─► its job is built and run ─► Seen: what was said, and names for it
//! ```

use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use instar_abi::job::{SnapshotName, Source, Verb};
use instar_abi::report::Done;
use instar_abi::{FileFacts, Report};
use instar_engine::{Files, Policy as GatePolicy};

use super::change;
use super::files::{self, Names};
use super::progress::Progress;
use super::scene::RunScene;
use super::{Context, concluded};
use crate::stop::Step;
use crate::value::cache::CacheMode;
use crate::value::place::Place;
use instar_run::Listener;
use instar_run::Policy;
use instar_run::{Ended, Guest};

/// An image to be looked at, and how. It is read even while another process writes to it, as the reference tool does.
pub(crate) struct Look<'a> {
    place: &'a Place,
    gate: GatePolicy,
    busy_layers: bool,
    direct: bool,
    to_change: Option<CacheMode>,
    snapshot: Option<SnapshotName>,
}

impl<'a> Look<'a> {
    /// The image at `place`. What it names is opened as `gate` says, or less if the policy is stricter.
    pub(crate) fn at(place: &'a Place, gate: GatePolicy) -> Self {
        Self {
            place,
            gate,
            busy_layers: false,
            direct: false,
            to_change: None,
            snapshot: None,
        }
    }

    /// Raw layers below it, too, are read while another process writes to them.
    pub(crate) fn with_busy_layers(self) -> Self {
        Self {
            busy_layers: true,
            ..self
        }
    }

    /// Past the page cache, if so.
    pub(crate) fn direct(self, direct: bool) -> Self {
        Self { direct, ..self }
    }

    /// And changed where it is: no other process may have it open then.
    pub(crate) fn changing(self, cache: CacheMode) -> Self {
        let to_change = Some(cache);
        Self { to_change, ..self }
    }

    /// An internal snapshot of it, if one is named.
    pub(crate) fn snapshot(self, snapshot: Option<SnapshotName>) -> Self {
        Self { snapshot, ..self }
    }

    /// Opens it, for a guest of one lane that leaves nothing behind.
    pub(crate) fn open(self, policy: &Policy) -> Step<Opened<'a>> {
        if self.to_change.is_some() {
            self.place.image().changeable()?;
        }
        let guest = Guest::prepare(policy, 1)?;
        self.open_for(guest, policy)
    }

    /// Opens it for this guest.
    pub(crate) fn open_for(self, guest: Guest, policy: &Policy) -> Step<Opened<'a>> {
        let place = self.place;
        let files = files::none_naming(policy, place.share, self.gate, self.busy_layers)?;
        let mut names = Names::new();
        let (facts, source) = match self.to_change {
            Some(cache) => {
                let options = files::target_options(cache, policy);
                change::opened(&files, &mut names, place, &options)?
            }
            None => files::looked_at(&files, &mut names, place, self.direct, self.snapshot)?,
        };
        Ok(Opened {
            place,
            guest,
            files,
            names,
            facts,
            source,
        })
    }
}

/// The image, open.
pub(crate) struct Opened<'a> {
    place: &'a Place,
    guest: Guest,
    files: Files,
    names: Names,
    /// What the host knows of its file.
    pub(crate) facts: FileFacts,
    source: Source,
}

impl<'a> Opened<'a> {
    /// Runs the job that `verb` makes of it.
    pub(crate) fn run(self, verb: impl FnOnce(Source) -> Verb, context: &Context<'_>) -> Step<Seen<'a>> {
        self.run_heard(verb, context, Arc::new(Progress::none()), None)
    }

    /// As [`Opened::run`], with progress shown and reports going to `listener` as they come.
    pub(crate) fn run_heard(
        self,
        verb: impl FnOnce(Source) -> Verb,
        context: &Context<'_>,
        progress: Arc<Progress>,
        listener: Option<Box<dyn Listener>>,
    ) -> Step<Seen<'a>> {
        let job = context.job(verb(self.source), self.files.facts());
        let ended = self.guest.run_heard(&job, self.files, progress, listener)?;
        Ok(Seen {
            place: self.place,
            names: self.names,
            ended,
        })
    }
}

/// What was said of it.
pub(crate) struct Seen<'a> {
    place: &'a Place,
    /// Names of open files, to which the verb may add.
    pub(crate) names: Names,
    ended: Ended,
}

impl Seen<'_> {
    /// The reports in the order in which they came.
    pub(crate) fn reports(&self) -> &[Report] {
        &self.ended.reports
    }

    /// The open files.
    pub(crate) fn files(&self) -> &Files {
        self.ended.files()
    }

    /// Warns of an image that is changed and was taken for raw without the user's word.
    pub(crate) fn warn_of_guess(&self) {
        change::warn_of_guess(self.place, self.reports());
    }

    /// What messages refer to.
    pub(crate) fn scene(&self) -> RunScene<'_> {
        RunScene::of(&self.names, self.ended.files(), self.place.given.as_bytes())
    }

    /// The end of the run as the guest tells it; warnings are said on the way.
    pub(crate) fn concluded(&self, context: &Context<'_>) -> Step<Done> {
        concluded(self.reports(), &self.scene(), context.program)
    }

    /// What `pick` finds among the reports; a guest that ends without it has broken its word, in these words.
    pub(crate) fn answer<'r, T>(
        &'r self,
        pick: impl FnMut(&'r Report) -> Option<T>,
        without: &str,
    ) -> Step<T> {
        let found = self.reports().iter().find_map(pick);
        found.ok_or_else(|| crate::stop::silent(without))
    }
}
