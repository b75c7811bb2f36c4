//! Opening images to read them.

use instar_abi::job::{Below as JobBelow, Export, SnapshotName, Source};
use instar_abi::{FileFacts, FileKind, ImageText, Slot};
use instar_engine::{Cache, Files, OpenErrorKind, Options, Policy as GatePolicy, TargetOptions, Wishes};

use crate::{Below, Error, Image, Policy, Refusal, Remote, input};

/// Bytes that one byte is unpacked to at most: a block of zstd, 128 KiB of one byte, has four. A guest that has been taken over fills no
/// disk out of a small file.
const UNPACKED: u64 = 32 << 10;
/// What a file has room for beside that. Ours.
const FIRST: u64 = 1 << 20;

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
            spool_limit: self.max_output.unwrap_or(u64::MAX).min(self.largest()),
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
        let spool = self.spool(files, facts)?;
        Ok((
            facts,
            Source {
                busy,
                spool,
                ..source
            },
        ))
    }

    /// A temporary file for what can only be read from its front: a stream, and a packed file, which a file may be whose format the user
    /// does not name.
    ///
    /// # Errors
    /// [`Error::Image`]
    pub fn spool(&self, files: &Files, facts: FileFacts) -> Result<Option<Slot>, Error> {
        let may_be_packed = facts.kind == FileKind::Regular && self.format.is_none();
        // A server is asked for any byte.
        if self.remote.is_some() || facts.kind != FileKind::Stream && !may_be_packed {
            return Ok(None);
        }
        let limit = match facts.kind {
            FileKind::Stream => u64::MAX,
            _ => facts.size.saturating_mul(UNPACKED).saturating_add(FIRST),
        };
        let spool = files
            .spool(limit)
            .map_err(|why| self.refused(Refusal::File(why)))?;
        Ok(Some(spool.slot))
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
            partition: self.partition,
            export: self.export(),
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
        if self.is_input {
            return Ok((input::open(files, !self.share)?, false));
        }
        if let Some(remote) = &self.remote {
            return Ok((self.connected(remote, files)?, false));
        }
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

    /// Connects to the server that it is behind.
    fn connected(&self, remote: &Remote, files: &Files) -> Result<FileFacts, Refusal> {
        files.stream(remote.connect()?, &self.path).map_err(Refusal::File)
    }

    /// Connects to the server that it is behind, if it is, to write to it.
    ///
    /// # Errors
    /// [`Error::Image`]
    pub fn remote_target(&self, files: &Files) -> Result<Option<FileFacts>, Error> {
        let connected = self.remote.as_ref().map(|remote| self.connected(remote, files));
        connected.transpose().map_err(|why| self.refused(why))
    }

    /// What the job is told of the export.
    #[must_use]
    pub fn export(&self) -> Option<Export> {
        self.remote.as_ref().map(|remote| Export {
            name: ImageText::new(&remote.export),
        })
    }

    pub(crate) fn refused(&self, why: Refusal) -> Error {
        Error::Image {
            name: self.given.clone(),
            is_layer: false,
            why,
        }
    }
}
