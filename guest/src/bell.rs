//! The doorbell of the confined process: the first word of a mailbox says whose it is.

use instar_abi::mailbox::{DOORBELL_GUEST, DOORBELL_HOST};

use crate::atomic::{AtomicU32, Ordering};
use crate::host::Host;

/// Hands the mailbox of `word` to the host, and returns when it has come back. What was written to the mailbox before is the host's to
/// see; what the host wrote is ours to see afterwards.
pub(crate) fn ring(host: &impl Host, word: &AtomicU32) {
    word.store(DOORBELL_HOST, Ordering::SeqCst);
    host.wake(word);
    while word.load(Ordering::Acquire) != DOORBELL_GUEST {
        host.wait(word, DOORBELL_HOST);
    }
}
