//! The guest itself, as it runs behind the wall.
#![allow(
    clippy::cast_possible_truncation,
    reason = "it runs on x86-64 alone, where usize has 64 bits, and counts of lanes and requests are small"
)]

mod c;
mod client;
mod crew;
mod doorbell;
mod entry;
mod heap;
mod last;
