//! `info --partitions`: what the partition table of the disk inside an image says.

mod kinds;
mod run;
mod show;

pub(super) use run::run;
