//! What is installed, tried out: pages set by groff, completions in their shells, packages unpacked into a root of their own. The
//! program in them is the one that was built for tests.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure is a test failure")]

mod bash;
mod deb;
mod fish;
mod image;
mod licences;
mod pages;
mod profile;
mod rpm;
mod support;
mod zsh;
