//! `--salvage`: what cannot be read becomes zeros, with a warning, and the work goes on.

use instar_abi::Report;
use instar_abi::report::{Failure, Stage};
use instar_disk::{Action, Fault, Host, Io, IoError, from_usize};

/// The unit in which a failed read is tried again; qemu-img's too.
const SECTOR: usize = 512;

/// Submits a batch; with `salvage`, reads that fail are repeated sector by sector and never fail.
pub(super) fn submit(host: &dyn Host, batch: &mut [Io<'_>], salvage: bool) {
    let mut rest = batch;
    while !rest.is_empty() {
        host.submit(rest);
        if !salvage {
            return;
        }
        let failed = rest.iter().position(|io| io.outcome.is_err());
        let Some((io, after)) = failed
            .and_then(|at| rest.get_mut(at..))
            .and_then(<[Io<'_>]>::split_first_mut)
        else {
            return;
        };
        if !matches!(io.action, Action::Read { .. }) {
            return;
        }
        read_sectors(host, io);
        rest = after;
    }
}

/// Says that bytes were given up.
pub(super) fn warn(host: &dyn Host, at: u64, fault: Fault) {
    let stage = Stage::Read(at);
    host.report(&Report::Warning(Failure { stage, fault }));
}

fn read_sectors(host: &dyn Host, io: &mut Io<'_>) {
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
                if error != IoError::CANCELLED {
                    warn(host, at, error.fault(*slot));
                }
            }
        }
        at = at.saturating_add(length);
    }
    io.outcome = Ok(whole);
}
