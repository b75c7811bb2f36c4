//! A limit on how fast targets are written, over all lanes.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use instar_abi::request::status;
use instar_abi::{RawResult, Request};

use crate::stop::Stop;

/// Bytes a second, and how far the run is.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    /// 0 means no limit.
    per_second: u64,
    started: OnceLock<Instant>,
    written: AtomicU64,
}

impl Rate {
    pub(crate) fn new(per_second: u64) -> Self {
        Self {
            per_second,
            ..Self::default()
        }
    }

    /// Waits until what a batch wrote may have been written, or the run is stopped. Requests that were carried out have a
    /// result at the same place.
    pub(crate) fn hold(&self, requests: &[Request], results: &[[u8; size_of::<RawResult>()]], stop: &Stop) {
        if self.per_second == 0 {
            return;
        }
        let bytes: u64 = requests
            .iter()
            .zip(results)
            .map(|(request, result)| written(request, RawResult::from_bytes(*result)))
            .fold(0, u64::saturating_add);
        if bytes == 0 {
            return;
        }
        let started = *self.started.get_or_init(Instant::now);
        let all = self
            .written
            .fetch_add(bytes, Ordering::Relaxed)
            .saturating_add(bytes);
        let due = Duration::from_millis(all.saturating_mul(1000) / self.per_second);
        while !stop.is_set() {
            let Some(left) = due.checked_sub(started.elapsed()).filter(|left| !left.is_zero()) else {
                break;
            };
            std::thread::sleep(left.min(NAP));
        }
    }
}

/// Bytes of data that a request has written.
fn written(request: &Request, result: RawResult) -> u64 {
    match (request, result.status) {
        (Request::Write { from, .. }, status::OK) => from.length,
        (Request::Copy(_), status::OK) => result.value,
        _ => 0,
    }
}

/// One turn of sleep. Ours: half of what a stop may take.
const NAP: Duration = Duration::from_millis(50);
