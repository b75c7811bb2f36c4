//! Opening images to read them.

use instar_abi::job::{Below as JobBelow, SnapshotName, Source};
use instar_abi::{FileFacts, ImageText, Slot};
use instar_engine::{Cache, Files, OpenErrorKind, Options, Policy as GatePolicy, TargetOptions, Wishes};

use crate::{Below, Error, Image, Policy, Refusal};

impl Policy {
    /// No files yet. They are opened as `options` say, and what images name is opened by the rules of the policy.
    ///
    /// # Errors
    /// [`Error::Directory`]
    pub fn files(&self, options: Options) -> Result<Files, Error> {
        let options = Options {
            policy: if self.untrusted {
                GatePolicy::Nothing
            } else {
                options.policy
            },
            allow: self.allow_dirs.clone(),
            untrusted: self.untrusted_dirs.clone(),
            ..options
        };
        Files::new(&options).map_err(Error::Directory)
    }

    /// How a target is opened.
    #[must_use]
    pub fn target(&self, cache: Cache) -> TargetOptions {
        TargetOptions {
            cache,
            limit: self.max_output.unwrap_or(u64::MAX),
            is_range: false,
            wishes: Wishes::default(),
        }
    }
}

impl Image {
    /// Opens it to be read.
    ///
    /// # Errors
    /// [`Error::Image`]
    pub fn source(&self, files: &Files, direct: bool) -> Result<FileFacts, Error> {
        let opened = self.open(files, direct || self.direct, false);
        opened.map(|(facts, _)| facts).map_err(|why| self.refused(why))
    }

    /// Opens it to be looked at, even while another process writes to it: its facts, and the job's view of it. (Such an image is
    /// read if it is raw, as the reference tool does.)
    ///
    /// # Errors
    /// [`Error::Image`]
    pub fn looked_at(
        &self,
        files: &Files,
        direct: bool,
        snapshot: Option<SnapshotName>,
    ) -> Result<(FileFacts, Source), Error> {
        let opened = self.open(files, direct, true);
        let (facts, busy) = opened.map_err(|why| self.refused(why))?;
        let source = self.described(files, facts, snapshot)?;
        Ok((facts, Source { busy, ..source }))
    }

    /// The job's view of it, once it is open. Layers below it that the caller named are opened, too.
    ///
    /// # Errors
    /// [`Error::Image`], of a layer.
    pub fn described(
        &self,
        files: &Files,
        facts: FileFacts,
        snapshot: Option<SnapshotName>,
    ) -> Result<Source, Error> {
        let below = match &self.below {
            Below::Named => JobBelow::Named,
            Below::Nothing => JobBelow::Nothing,
            Below::Given(layer) => {
                let opened = layer.open(files, layer.direct, false);
                let (facts, _) = opened.map_err(|why| Error::Image {
                    name: layer.given.clone(),
                    is_layer: true,
                    why,
                })?;
                JobBelow::Given(Box::new(layer.described(files, facts, None)?))
            }
        };
        Ok(Source {
            snapshot,
            below,
            window: self.window,
            inside: self.inside.clone(),
            size_rule: self.size_rule,
            key: self.key.as_deref().map(ImageText::new),
            encrypt: self.encrypt.clone(),
            header: self.open_header(files)?,
            disk: self.disk.as_deref().map(ImageText::new),
            ..Source::new(facts.slot, self.format)
        })
    }

    /// Opens the file of its header, if that is another one.
    fn open_header(&self, files: &Files) -> Result<Option<Slot>, Error> {
        let Some((path, protocol)) = &self.header else {
            return Ok(None);
        };
        let opened = if self.share {
            files.shared_source(path)
        } else {
            files.source(path, false)
        };
        let suiting = opened.map_err(Refusal::File).and_then(|facts| {
            protocol.suits(facts.kind, path)?;
            Ok(Some(facts.slot))
        });
        suiting.map_err(|why| self.refused(why))
    }

    /// Opens it, and says whether another process writes to it: an error, unless it `may_be_busy`.
    fn open(&self, files: &Files, direct: bool, may_be_busy: bool) -> Result<(FileFacts, bool), Refusal> {
        let shared = || files.shared_source(&self.path).map_err(Refusal::File);
        let (facts, busy) = if self.share {
            (shared()?, false)
        } else {
            match files.source(&self.path, direct) {
                Ok(facts) => (facts, false),
                Err(error) if may_be_busy && matches!(error.kind, OpenErrorKind::Lock(_)) => {
                    (shared()?, true)
                }
                Err(error) => return Err(Refusal::File(error)),
            }
        };
        self.protocol.suits(facts.kind, &self.path)?;
        Ok((facts, busy))
    }

    pub(crate) fn refused(&self, why: Refusal) -> Error {
        Error::Image {
            name: self.given.clone(),
            is_layer: false,
            why,
        }
    }
}
