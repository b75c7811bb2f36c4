//! A thread that waits for something beside the work.

use instar_jail::{Role, thread_start};

/// Stack of such a thread: it calls little.
const STACK: usize = 64 << 10;

/// Does `work` on a thread of its own, or not at all if there can be no thread or no filter for it. Each caller explains why the
/// run works without it.
pub(crate) fn aside(name: &str, work: impl FnOnce() + Send + 'static) {
    let guarded = || {
        if thread_start(Role::CONTROL).is_ok() {
            work();
        }
    };
    let thread = std::thread::Builder::new();
    let _ = thread.name(name.to_owned()).stack_size(STACK).spawn(guarded);
}
