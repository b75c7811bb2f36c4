//! A backing chain, seen as one image.

mod below;
mod files;
mod part;

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::Range;

use instar_abi::job::{self, Below, SizeRule};
use instar_abi::report::{Backing, Info, Stage};
use instar_disk::{
    Bitmaps, Extents, Fault, FileFacts, Format, Kind, Mapping, Opened, Result, Slot, Status, align_up, fault,
    to_usize,
};

use crate::account::Account;
use crate::detect::detect;
use crate::formats::{self, How, Purpose};
use crate::keys::Keys;
use crate::located::{Located, Origin};
use crate::naming;
use crate::packed::{self, Entered};
use crate::partition;
use crate::session::{At, Outcome, Session};
use crate::within::{Part, part};

pub(crate) use below::{is_refusal, open_below, unless_refused};

/// Runs of data shorter than this are read without asking whether the file has a hole there. Ours: the question costs as
/// much as reading that much.
const HOLE_MIN: u64 = 1 << 20;
/// The unit of the reference tool.
const SECTOR: u64 = 512;

/// Layers, top first.
pub(crate) struct Chain<'h> {
    layers: Vec<Layer<'h>>,
    /// The bytes that are its disk, if they are not all.
    part: Option<Range<u64>>,
}

impl<'h> Chain<'h> {
    /// Opens the image that the user named and every layer below it.
    ///
    /// # Errors
    /// Anything wrong with an image's header, a refusal of the gate, a chain too deep or with a loop.
    pub(crate) fn open(session: &Session<'h>, source: &job::Source, stage: Stage) -> Outcome<Self> {
        let facts = session.file(source.slot).at(stage)?.facts();
        let first = (facts, source.format);
        let mut chain = Self::descend(session, first, Some(source), stage, BTreeSet::new())?;
        if let Some(choice) = source.partition {
            partition::enter(session.host, &mut chain, choice, stage)?;
        }
        Ok(chain)
    }

    /// No layer: a disk of zeros.
    pub(crate) const fn none() -> Self {
        Self {
            layers: Vec::new(),
            part: None,
        }
    }

    /// Opens the layers below the image behind `namer`.
    ///
    /// # Errors
    /// As [`Chain::open`].
    pub(crate) fn open_below(session: &Session<'h>, namer: Slot, backing: &Backing) -> Outcome<Self> {
        let stage = Stage::OpenBacking(namer);
        let visited = BTreeSet::from([namer]);
        let first = open_below(session.host, namer, backing, &visited).at(stage)?;
        Self::descend(session, first, None, stage, visited)
    }

    fn descend(
        session: &Session<'h>,
        first: (FileFacts, Option<Format>),
        source: Option<&job::Source>,
        mut stage: Stage,
        mut visited: BTreeSet<Slot>,
    ) -> Outcome<Self> {
        let mut chain = Self::none();
        let (mut facts, mut format) = first;
        let mut name = None;
        let busy = source.is_some_and(|source| source.busy);
        // What the user said of the layer at hand.
        let mut said = source;
        let snapshot = source.and_then(|source| source.snapshot.as_ref());
        loop {
            visited.insert(facts.slot);
            let mut layer = Layer::open(session, facts, format, said).at(stage)?;
            layer.named = name.take();
            let busy = facts.busy || busy && chain.layers.is_empty();
            if busy && layer.format != Format::Raw {
                return Err(Fault::new(fault::core::REFUSED_LOCK).in_file(facts.slot)).at(stage);
            }
            if let Some(above) = chain.layers.last() {
                above.image.check_parent(&*layer.image).at(stage)?;
            }
            chain.push(session, facts, layer).at(stage)?;
            if let (1, Some(name)) = (chain.layers.len(), snapshot) {
                chain.select_snapshot(name).at(Stage::LoadSnapshot)?;
            }
            let named = chain.layers.last().and_then(|layer| layer.image.backing());
            if let Some(below) = said.map(|source| &source.below)
                && *below != Below::Named
            {
                let Below::Given(below) = below else { break };
                (stage, said) = (Stage::OpenBacking(facts.slot), Some(&**below));
                let stated = named.and_then(|backing| backing.format);
                format = below
                    .format
                    .or(stated.and_then(|text| Format::from_name(text.as_bytes())));
                facts = session.file(below.slot).at(stage)?.facts();
                if visited.contains(&facts.slot) {
                    return Err(Fault::new(fault::core::CHAIN_LOOP).in_file(facts.slot)).at(stage);
                }
                continue;
            }
            said = None;
            let Some(backing) = named else { break };
            stage = Stage::OpenBacking(facts.slot);
            name = naming::parse(backing.name.as_bytes())
                .ok()
                .map(|named| (facts.slot, named.name));
            (facts, format) = open_below(session.host, facts.slot, &backing, &visited).at(stage)?;
        }
        Ok(chain)
    }

    /// Bytes of the disk: the virtual size of the top layer, or those of the part that counts.
    pub(crate) fn size(&self) -> u64 {
        let shown = self.shown();
        shown.end.saturating_sub(shown.start)
    }

    /// The information of `info` about the top layer.
    pub(crate) fn describe(&mut self) -> Result<Option<Info>> {
        self.layers
            .first_mut()
            .map(|layer| layer.image.describe())
            .transpose()
    }

    /// Format of the top layer.
    pub(crate) fn format(&self) -> Option<Format> {
        self.layers.first().map(|layer| layer.format)
    }

    /// An identifier of the present content of the top layer.
    pub(crate) fn content_id(&self) -> Option<u32> {
        self.layers.first().and_then(|layer| layer.image.content_id())
    }

    /// The persistent bitmaps of the top layer, where its format has such things.
    pub(crate) fn bitmaps(&mut self) -> Option<&mut dyn Bitmaps> {
        // They tell of the whole disk.
        let top = self.layers.first_mut().filter(|_| self.part.is_none());
        top?.image.bitmaps()
    }

    /// Bytes of all files of the chain, holes included, as often as each counts for bounds on data.
    pub(crate) fn counted(&self) -> u64 {
        let all = self.layers.iter().map(|layer| layer.account.counted());
        all.fold(0, u64::saturating_add)
    }

    /// Where the bytes from `offset` (below the size) on are.
    pub(crate) fn map(&mut self, offset: u64) -> Result<Located> {
        let shown = self.shown();
        self.map_from(0, self.placed(offset), shown.end)
    }

    /// The same for whom the layer with this number is the uppermost, of a disk of `size` bytes.
    pub(crate) fn map_from(&mut self, first: usize, offset: u64, size: u64) -> Result<Located> {
        let mut length = size.saturating_sub(offset);
        for layer in self.layers.iter_mut().skip(first) {
            if offset >= layer.size {
                break;
            }
            let mapping = layer.map(offset)?;
            // A lower layer that is shorter limits the answer only where it has one: past its end all is zero.
            length = length.min(mapping.length);
            if mapping.kind != Kind::Unallocated {
                return Ok(Located {
                    length,
                    from: Origin::of(mapping.kind),
                });
            }
        }
        Ok(Located {
            length,
            from: Origin::Zero,
        })
    }

    /// What `map` shows of the bytes from `offset` (below the size) on, and in which layer. What no layer has is zero in the
    /// lowest one that reaches so far.
    pub(crate) fn status(&mut self, offset: u64) -> Result<(Status, u32)> {
        let (offset, end) = (self.placed(offset), self.shown().end);
        let mut found = Status::of(Mapping {
            length: end.saturating_sub(offset),
            kind: Kind::Unallocated,
        });
        let mut deepest = 0;
        for (depth, layer) in (0..).zip(&mut self.layers) {
            if offset >= layer.size {
                break;
            }
            let status = layer.status(offset)?;
            deepest = depth;
            found = Status {
                length: found.length.min(status.length),
                ..status
            };
            if status.present {
                return Ok((found, depth));
            }
        }
        found.zero = true;
        Ok((found, deepest))
    }

    /// The keys of layers with sealed data.
    pub(crate) fn keys(&self) -> Keys {
        self.layers.iter().filter_map(|layer| layer.image.key()).collect()
    }

    /// Bytes of the largest unit that must be decoded in one piece, of all layers.
    pub(crate) fn largest_unit(&self) -> u64 {
        let units = self.layers.iter().map(|layer| layer.image.largest_unit());
        units.max().unwrap_or(0)
    }

    /// As [`Chain::status`], for as many bytes as the reference tool answers for at a time; what lies past the end of a
    /// lower layer is that layer's.
    pub(crate) fn strict_status(&mut self, offset: u64) -> Result<Status> {
        let (mut status, depth) = self.status(offset)?;
        let offset = self.placed(offset);
        for layer in self
            .layers
            .iter()
            .take(to_usize(u64::from(depth))?.saturating_add(1))
        {
            let unit = layer.image.status_unit(offset);
            let within = offset.checked_rem(unit).unwrap_or(0);
            status.length = status.length.min(unit.saturating_sub(within));
        }
        status.present |= self.layers.iter().any(|layer| offset >= layer.size);
        Ok(status)
    }

    /// For how many of the `limit` bytes from `offset` on the reference tool gets one answer when it converts: its answers end
    /// on whole clusters of the top layer if they can.
    pub(crate) fn answer(&mut self, offset: u64, limit: u64) -> Result<u64> {
        let length = align_up(self.strict_status(offset)?.length.min(limit), SECTOR)?;
        let offset = self.placed(offset);
        let cluster = self.layers.first().and_then(|layer| layer.image.cluster_size());
        let tail = offset
            .saturating_add(length)
            .checked_rem(cluster.unwrap_or(SECTOR))
            .unwrap_or(0);
        Ok(if length > tail {
            length.saturating_sub(tail)
        } else {
            length
        }
        .max(1))
    }

    /// Whether the top layer itself says something of the bytes from `offset` on, and for how many.
    pub(crate) fn top(&mut self, offset: u64) -> Result<(bool, u64)> {
        let offset = self.placed(offset);
        match self.layers.first_mut() {
            None => Ok((false, u64::MAX)),
            Some(layer) => {
                let mapping = layer.map(offset)?;
                Ok((mapping.kind != Kind::Unallocated, mapping.length))
            }
        }
    }

    /// Whether one of the first `depth` layers says something of the bytes from `offset` on, and for how many. A layer that ends before
    /// the one above it says that they are zero.
    pub(crate) fn above(&mut self, depth: usize, offset: u64) -> Result<(bool, u64)> {
        let size = self.size();
        let mut length = size.saturating_sub(offset);
        if length == 0 {
            return Ok((false, u64::MAX));
        }
        for layer in self.layers.iter_mut().take(depth) {
            if offset >= layer.size {
                return Ok((true, length));
            }
            let mapping = layer.map(offset)?;
            length = length.min(mapping.length);
            if mapping.kind != Kind::Unallocated {
                return Ok((true, length));
            }
        }
        Ok((false, length))
    }

    /// The number of the layer that the file in `slot` is, and its format.
    pub(crate) fn find(&self, slot: Slot) -> Option<(usize, Format)> {
        let number = self.layers.iter().position(|layer| layer.facts.slot == slot)?;
        self.layers.get(number).map(|layer| (number, layer.format))
    }

    /// The format of the layer with this number, and its size.
    pub(crate) fn layer(&self, number: usize) -> Option<(Format, u64)> {
        self.layers.get(number).map(|layer| (layer.format, layer.size))
    }

    /// The file of the layer with this number.
    pub(crate) fn facts(&self, number: usize) -> Option<FileFacts> {
        self.layers.get(number).map(|layer| layer.facts)
    }

    fn push(&mut self, session: &Session<'h>, facts: FileFacts, layer: Layer<'h>) -> Result<()> {
        let bounds = &session.job.bounds;
        if layer.size > bounds.virtual_size {
            let fault = Fault::new(fault::core::VIRTUAL_SIZE_LIMIT).with([layer.size, bounds.virtual_size]);
            return Err(fault.in_file(facts.slot));
        }
        if self.layers.len() >= usize::try_from(bounds.chain_depth).unwrap_or(usize::MAX) {
            return Err(Fault::new(fault::core::CHAIN_TOO_DEEP).with([u64::from(bounds.chain_depth)]));
        }
        self.layers.push(layer);
        Ok(())
    }

    fn select_snapshot(&mut self, name: &job::SnapshotName) -> Result<()> {
        let Some(layer) = self.layers.first_mut() else {
            return Ok(());
        };
        layer.image.select_snapshot(name).map_err(|fault| {
            if fault.code == fault::core::SNAPSHOTS_UNSUPPORTED {
                return fault.named(layer.format.name().as_bytes());
            }
            fault
        })?;
        layer.size = layer.image.size();
        Ok(())
    }
}

/// One image of the chain, with its last answer: in a deep chain the layers that have nothing to say are asked once
/// for each of their runs, not once for each run of the layers above.
struct Layer<'h> {
    image: Opened<'h>,
    format: Format,
    /// Holes of the file itself, where the format does not look for them: preallocated clusters that were never written.
    holes: Option<(Slot, Extents<'h>)>,
    size: u64,
    /// Bytes of the image in front of the part that counts.
    skipped: u64,
    start: u64,
    answer: Option<Mapping>,
    /// The last answer of the image itself, and its bytes.
    whole: Option<(u64, Mapping)>,
    /// As `start` and `answer`, for `map`.
    shown: Option<(u64, Status)>,
    facts: FileFacts,
    /// Its account of work.
    account: Account<'h>,
    /// Where in the host's file the part begins that a raw image is: its bytes are shown where they stand there.
    begins: u64,
    /// Where the part of the file ends that the image stands in; what lies behind is not its own.
    ends: Option<u64>,
    /// The part of the file, if the image stands in an archive.
    packed: Option<Arc<Part>>,
    /// The file that names it, and the name.
    named: Option<(Slot, Vec<u8>)>,
}

impl<'h> Layer<'h> {
    fn open(
        session: &Session<'h>,
        facts: FileFacts,
        format: Option<Format>,
        said: Option<&job::Source>,
    ) -> Result<Self> {
        let window = said.and_then(|source| source.window);
        let rule = said.map_or(SizeRule::Creator, |source| source.size_rule);
        let file = instar_disk::File::new(session.host, facts);
        let format = match format {
            Some(format) => format,
            None => detect(session, &file)?,
        };
        let Entered { file, inner, package } = packed::enter(session, file, format, said)?;
        let facts = file.facts();
        if let Some(said) = said {
            formats::expect_encryption(inner, file, &said.encrypt)?;
        }
        let key = session.key(facts.slot)?;
        // Of what lies below a new image no data is read.
        let creates = matches!(session.job.verb, job::Verb::Create(_));
        let purpose = match inner {
            Format::Luks if creates => Purpose::Describe,
            _ => Purpose::Read,
        };
        let how = How {
            rule,
            key,
            header: session.header(said)?,
            ..How::to(purpose)
        };
        let image = match formats::open_by(inner, file, how) {
            Err(fault) if creates && fault.code == fault::qcow2::NO_KEY => {
                formats::open(inner, file, Purpose::Describe)
            }
            other => other,
        }?;
        let holes = (inner != Format::Raw).then(|| (facts.slot, Extents::new(file)));
        let account = Account::new(session, facts, image.files());
        let (skipped, size) = match window {
            None => (0, image.size()),
            Some(window) => part(window, facts.size)?,
        };
        Ok(Self {
            size,
            skipped,
            image,
            format,
            holes,
            start: 0,
            answer: None,
            whole: None,
            shown: None,
            facts,
            account,
            begins: if format == Format::Raw {
                session.start(facts.slot)
            } else {
                0
            },
            ends: (package.is_some() || said.is_some_and(|source| !source.inside.is_empty()))
                .then_some(facts.size),
            packed: package.map(|package| package.part),
            named: None,
        })
    }

    fn map(&mut self, offset: u64) -> Result<Mapping> {
        if let Some(known) = self.answer
            && let Some(within) = offset.checked_sub(self.start)
            && within < known.length
        {
            return Ok(known.skip(within));
        }
        let mapping = match self.within(offset) {
            None => Mapping {
                length: self.size.saturating_sub(offset),
                kind: Kind::Zero { at: None },
            },
            Some(within) => self.ask(offset, within)?,
        };
        let mapping = self.in_its_part(mapping);
        let mut mapping = self.without_hole(mapping)?;
        mapping.length = mapping.length.min(self.size.saturating_sub(offset)).max(1);
        self.account.answer(offset, mapping.length, self.image.work())?;
        self.account.take(offset, &mapping)?;
        self.start = offset;
        self.answer = Some(mapping);
        Ok(mapping)
    }

    /// The image's own answer. Where the file's holes cut it short, the rest of it is still good.
    fn ask(&mut self, offset: u64, within: u64) -> Result<Mapping> {
        if let Some((start, known)) = self.whole
            && let Some(skipped) = offset.checked_sub(start)
            && skipped < known.length
        {
            return Ok(known.skip(skipped));
        }
        let mapping = self.image.map(within)?;
        self.whole = Some((offset, mapping));
        Ok(mapping)
    }

    fn status(&mut self, offset: u64) -> Result<Status> {
        if let Some((start, known)) = self.shown
            && let Some(within) = offset.checked_sub(start)
            && within < known.length
        {
            return Ok(known.skip(within));
        }
        let mut status = match self.within(offset) {
            None => Status::of(Mapping {
                length: self.size.saturating_sub(offset),
                kind: Kind::Zero { at: None },
            }),
            Some(within) => self.image.status(within)?,
        };
        if let Some((_, offset)) = &mut status.place {
            match &self.packed {
                None => *offset = offset.saturating_add(self.begins),
                Some(part) => match part.run(*offset) {
                    Some((outer, run)) => {
                        *offset = outer;
                        status.length = status.length.min(run);
                    }
                    None => status.place = None,
                },
            }
        }
        status.length = status.length.min(self.size.saturating_sub(offset)).max(1);
        self.account.answer(offset, status.length, self.image.work())?;
        self.shown = Some((offset, status));
        Ok(status)
    }

    /// Where `offset` of the layer is in its image; nowhere, if it rounds up a part that does not end on a sector.
    fn within(&self, offset: u64) -> Option<u64> {
        let within = offset.saturating_add(self.skipped);
        (within < self.image.size() || self.skipped == 0).then_some(within)
    }

    /// Data past the end of the part that the image stands in is as data past the end of a file: zero.
    fn in_its_part(&self, mapping: Mapping) -> Mapping {
        match (mapping.kind, self.ends) {
            (Kind::Data { slot, offset }, Some(ends)) if slot == self.facts.slot => {
                let there = ends.saturating_sub(offset);
                if there == 0 {
                    let at = Some((slot, offset));
                    return Mapping {
                        kind: Kind::Zero { at },
                        ..mapping
                    };
                }
                // Bytes that follow one another on the disk may be in different pieces of the file.
                let run = self.packed.as_ref().and_then(|part| part.run(offset));
                let run = run.map_or(there, |(_, run)| run);
                Mapping {
                    length: mapping.length.min(there).min(run),
                    ..mapping
                }
            }
            _ => mapping,
        }
    }

    /// A long run of data that stands in a hole of its file, or any past its end, is zero, and is not read.
    fn without_hole(&mut self, mapping: Mapping) -> Result<Mapping> {
        let (Kind::Data { slot, offset }, Some((file, extents))) = (mapping.kind, &mut self.holes) else {
            return Ok(mapping);
        };
        if slot != *file {
            return Ok(mapping);
        }
        // To ask is not worth while for a short one, unless there is more such data than the file can have.
        if mapping.length < HOLE_MIN && offset < extents.file_size() && !self.account.is_tight() {
            return Ok(mapping);
        }
        let extent = extents.at(offset)?;
        let kind = if extent.data {
            mapping.kind
        } else {
            Kind::Zero {
                at: Some((slot, offset)),
            }
        };
        Ok(Mapping {
            length: mapping.length.min(extent.length),
            kind,
        })
    }
}
