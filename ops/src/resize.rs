//! `resize`: what was asked for, as a size, and what speaks against it in any format.

use alloc::vec::Vec;

use instar_abi::job::{Amend, Below, NewSize, Preallocation, Resize, Source};
use instar_abi::report::Stage;
use instar_disk::fault::resize as faults;
use instar_disk::{
    Distant, Edit, Fault, File, FileFacts, Host, LARGEST_SIZE, Resizing, Result, Slot, from_usize,
};

use crate::chain::Chain;
use crate::copier::{Assembler, Piece};
use crate::located::Origin;
use crate::session::{At, Outcome, Session};

/// Gives the disk of `image`, which stands in the file of `source`, the size that is wanted.
pub(crate) fn run(
    session: &Session<'_>,
    source: &Source,
    image: &mut dyn Edit,
    wanted: &Resize,
) -> Outcome<()> {
    let judged = |old| judge(old, wanted);
    resizing(session, source, image, judged, &wanted.apart, &mut |image, to| {
        to.preallocation = wanted.preallocation;
        image.resize(to)
    })
}

/// Gives the image other options, of which the size of its disk may be one.
pub(crate) fn amend(
    session: &Session<'_>,
    source: &Source,
    image: &mut dyn Edit,
    wanted: &Amend,
) -> Outcome<()> {
    match wanted.size {
        // The reference tool's word for the size that it has.
        None | Some(0) => image.amend(wanted, None).at(Stage::Change),
        // What is wrong with it is said in its turn.
        Some(size) => resizing(
            session,
            source,
            image,
            |_| Ok(size),
            &wanted.apart,
            &mut |image, to| image.amend(wanted, Some(to)),
        ),
    }
}

/// Calls `act` with what it takes to give the disk the size that `judged` makes of its old one.
fn resizing(
    session: &Session<'_>,
    source: &Source,
    image: &mut dyn Edit,
    judged: impl FnOnce(u64) -> Result<u64>,
    apart: &[Slot],
    act: &mut dyn FnMut(&mut dyn Edit, &mut Resizing<'_>) -> Result<()>,
) -> Outcome<()> {
    // What is wrong with the chain is said first, as by the reference tool.
    let mut below = below(session, source, image)?;
    let size = judged(image.size()).at(Stage::Change)?;
    let apart = session.files(apart).at(Stage::Change)?;
    let apart: Vec<FileFacts> = apart.iter().map(File::facts).collect();
    let length = below.as_ref().map_or(0, Chain::size);
    let mut fetch = |from: Distant, into: &mut [u8]| fetch(session.host, below.as_mut(), from, into);
    let mut to = Resizing {
        size,
        preallocation: Preallocation::Off,
        below: length,
        fetch: &mut fetch,
        apart,
    };
    act(image, &mut to).at(Stage::Change)
}

/// The layers below the image.
fn below<'h>(session: &Session<'h>, source: &Source, image: &dyn Edit) -> Outcome<Option<Chain<'h>>> {
    match (&source.below, image.backing()) {
        (Below::Nothing, _) => Ok(None),
        (Below::Given(given), _) => Chain::open(session, given, Stage::OpenBacking(source.slot)).map(Some),
        (Below::Named, None) => Ok(None),
        (Below::Named, Some(backing)) => Chain::open_below(session, source.slot, &backing).map(Some),
    }
}

/// The size that is wanted, in bytes, if nothing speaks against it.
fn judge(old: u64, wanted: &Resize) -> Result<u64> {
    // In the reference tool's arithmetic, which has 63 bits and a sign.
    let size = match wanted.size {
        NewSize::Exactly(size) => size,
        NewSize::Larger(by) => old.wrapping_add(by),
        NewSize::Smaller(by) => old.wrapping_sub(by),
    };
    if size == 0 || size >> 63 != 0 {
        return Err(Fault::new(faults::NOT_POSITIVE));
    }
    if size <= old && wanted.preallocation != Preallocation::Off {
        return Err(Fault::new(faults::PREALLOCATION_ALONE));
    }
    if size < old && !wanted.shrink {
        return Err(Fault::new(faults::SHRINK));
    }
    if size > LARGEST_SIZE {
        return Err(Fault::new(faults::BEYOND).with([size, LARGEST_SIZE]));
    }
    Ok(size)
}

/// Brings bytes that stand in no file as they are.
pub(crate) fn fetch(
    host: &dyn Host,
    below: Option<&mut Chain<'_>>,
    from: Distant,
    into: &mut [u8],
) -> Result<()> {
    let length = from_usize(into.len());
    let keys = below.as_deref().map(Chain::keys).unwrap_or_default();
    let mut pieces = Vec::new();
    let mut add = |at: u64, length: u64, from: Origin| {
        pieces.push(Piece {
            target: at,
            length,
            from,
            stretch: 0,
            look: false,
        });
    };
    match (from, below) {
        (Distant::Encoded(encoded), _) => add(0, length, Origin::Encoded(encoded)),
        (Distant::Below(_), None) => add(0, length, Origin::Zero),
        (Distant::Below(start), Some(chain)) => {
            let mut at = 0;
            while at < length {
                let offset = start.saturating_add(at);
                let rest = length.saturating_sub(at);
                if offset >= chain.size() {
                    add(at, rest, Origin::Zero);
                    break;
                }
                let located = chain.map(offset)?;
                let step = located.length.min(rest);
                add(at, step, located.from);
                at = at.saturating_add(step);
            }
        }
    }
    let (mut assembler, mut spans, mut buffer) = (Assembler::new(keys), Vec::new(), Vec::new());
    assembler.lay_out(&pieces, true, 1, &mut spans, &mut buffer)?;
    let fetched = assembler.fetch(host, false, Vec::new(), &[], &mut buffer);
    fetched.map_err(|failure| failure.fault)?;
    for (to, from) in into.iter_mut().zip(buffer) {
        *to = from;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(old: u64, size: NewSize, shrink: bool, preallocation: Preallocation) -> Result<u64> {
        let apart = Vec::new();
        judge(
            old,
            &Resize {
                size,
                preallocation,
                shrink,
                apart,
            },
        )
    }

    #[test]
    fn sizes_are_reckoned_as_by_the_reference() {
        let ok = |old, size| judged(old, size, true, Preallocation::Off).map_err(|fault| fault.code);
        assert_eq!(ok(512, NewSize::Exactly(1)), Ok(1));
        assert_eq!(ok(512, NewSize::Larger(0)), Ok(512));
        assert_eq!(ok(512, NewSize::Smaller(511)), Ok(1));
        assert_eq!(ok(512, NewSize::Larger(1 << 63)), Err(faults::NOT_POSITIVE));
        assert_eq!(ok(512, NewSize::Larger(u64::MAX)), Ok(511));
        for size in [
            NewSize::Exactly(0),
            NewSize::Exactly(1 << 63),
            NewSize::Smaller(512),
            NewSize::Smaller(513),
            NewSize::Smaller(1 << 63),
        ] {
            assert_eq!(ok(512, size), Err(faults::NOT_POSITIVE), "{size:?}");
        }
        assert_eq!(ok(512, NewSize::Exactly(LARGEST_SIZE)), Ok(LARGEST_SIZE));
        assert_eq!(ok(512, NewSize::Exactly(LARGEST_SIZE + 1)), Err(faults::BEYOND));
        let refused = |size, mode| judged(512, size, false, mode).unwrap_err().code;
        assert_eq!(refused(NewSize::Exactly(511), Preallocation::Off), faults::SHRINK);
        assert_eq!(
            refused(NewSize::Exactly(512), Preallocation::Falloc),
            faults::PREALLOCATION_ALONE
        );
    }
}
