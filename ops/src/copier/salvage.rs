//! `--salvage`: what cannot be read becomes zeros, with a warning, and the work goes on.

use alloc::vec::Vec;
use instar_abi::Report;

use instar_abi::Slot;
use instar_abi::report::{Failure, Stage};
use instar_disk::{Action, Fault, Host, Io, IoError, Sealed, from_usize};

/// The unit in which a failed read is tried again; qemu-img's too.
const SECTOR: usize = 512;

/// Submits a batch; with `salvage`, reads that fail are repeated sector by sector and never fail. Gives the sectors that were given up.
pub(super) fn submit(host: &dyn Host, batch: &mut [Io<'_>], salvage: bool) -> Vec<(Slot, u64)> {
    let mut lost = Vec::new();
    let mut rest = batch;
    while !rest.is_empty() {
        host.submit(rest);
        if !salvage {
            return lost;
        }
        let failed = rest.iter().position(|io| io.outcome.is_err());
        let Some((io, after)) = failed
            .and_then(|at| rest.get_mut(at..))
            .and_then(<[Io<'_>]>::split_first_mut)
        else {
            return lost;
        };
        if !matches!(io.action, Action::Read { .. }) {
            return lost;
        }
        read_sectors(host, io, &mut lost);
        rest = after;
    }
    lost
}

/// Makes zeros of what could not be read among sealed bytes: decrypted, the zeros in its place would be noise.
pub(super) fn blank(lost: &[(Slot, u64)], sealed: &Sealed, bytes: &mut [u8]) {
    let end = sealed.offset.saturating_add(from_usize(bytes.len()));
    for (_, at) in lost.iter().filter(|(slot, _)| *slot == sealed.slot) {
        let sector = from_usize(SECTOR);
        let (from, to) = (sealed.offset.max(*at), end.min(at.saturating_add(sector)));
        let range = from.checked_sub(sealed.offset).zip(to.checked_sub(sealed.offset));
        let range = range.and_then(|(from, to)| Some(usize::try_from(from).ok()?..usize::try_from(to).ok()?));
        if let Some(bytes) = range.and_then(|range| bytes.get_mut(range)) {
            bytes.fill(0);
        }
    }
}

/// Says that bytes were given up.
pub(super) fn warn(host: &dyn Host, at: u64, fault: Fault) {
    let stage = Stage::Read(at);
    host.report(&Report::Warning(Failure { stage, fault }));
}

fn read_sectors(host: &dyn Host, io: &mut Io<'_>, lost: &mut Vec<(Slot, u64)>) {
    let Action::Read { slot, offset, into } = &mut io.action else {
        return;
    };
    let mut at = *offset;
    let whole = from_usize(into.len());
    for sector in into.chunks_mut(SECTOR) {
        let length = from_usize(sector.len());
        let mut one = [Io::new(Action::Read {
            slot: *slot,
            offset: at,
            into: &mut *sector,
        })];
        host.submit(&mut one);
        let [one] = one;
        match one.outcome {
            Ok(read) => {
                let missing = usize::try_from(read).ok().and_then(|read| sector.get_mut(read..));
                missing.into_iter().for_each(|missing| missing.fill(0));
            }
            Err(error) => {
                sector.fill(0);
                lost.push((*slot, at));
                if error != IoError::CANCELLED {
                    warn(host, at, error.fault(*slot));
                }
            }
        }
        at = at.saturating_add(length);
    }
    io.outcome = Ok(whole);
}
