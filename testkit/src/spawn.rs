//! Programs are started without a copy of the test.

use std::hint::black_box;

use libc::{c_char, c_int, posix_spawn_file_actions_addchdir_np, posix_spawn_file_actions_t};

/// Has the linker take the call along by which the standard library starts a program in another directory. It does so only if the call is
/// there, and nothing else brings it into a static binary. Otherwise each program costs a fork, with the page tables of all that a
/// test has read: half of the time of many tests.
pub(crate) fn without_fork() {
    type Chdir = unsafe extern "C" fn(*mut posix_spawn_file_actions_t, *const c_char) -> c_int;
    let chdir: Chdir = posix_spawn_file_actions_addchdir_np;
    black_box(chdir);
}
