//! `without error|kill FEATURE[,FEATURE…] PROGRAM [ARGUMENT…]`: runs a program as on a kernel or filesystem that lacks something.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "test support: a failure here is a test failure"
)]

use std::os::unix::process::CommandExt;
use std::process::Command;

use instar_tests::missing::{self, Answer};

fn main() {
    let mut words = std::env::args_os().skip(1);
    let mut word = || words.next().expect("without error|kill FEATURES PROGRAM…");
    let answer = match word().to_str() {
        Some("kill") => Answer::Kill,
        _ => Answer::Error,
    };
    let features = missing::features(word().to_str().expect("names of features"));
    let program = missing::program(&features.expect("a feature that is known"), answer);
    let mut command = Command::new(word());
    command.args(words);
    take_away(&program);
    panic!("the program does not start: {}", command.exec());
}

/// Puts this process under the filter, for good.
fn take_away(program: &[missing::Instruction]) {
    rustix::thread::set_no_new_privs(true).expect("no_new_privs");
    let mut filter: Vec<libc::sock_filter> = program
        .iter()
        .map(|(code, jt, jf, k)| libc::sock_filter {
            code: *code,
            jt: *jt,
            jf: *jf,
            k: *k,
        })
        .collect();
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).expect("a short filter"),
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the kernel copies the program, which lives until after the call.
    let done = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(done, 0, "no seccomp here");
}
