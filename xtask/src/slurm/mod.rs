//! The script of `instar fleet script --slurm`, carried out by Slurm itself: its daemons run on this machine as long as it takes.
//!
//! ```text
//!  packages   the daemons, unpacked below target/slurm; nothing is installed
//!  keeper     a program that ends with all that it started
//!  cluster    a controller and two nodes, of which one can be killed
//!  fleet      a dozen images, and what instar says of them
//!  tasks      what Slurm says of them
//!  logs       what is shown when something has gone wrong
//!  watch      waiting for what has to come
//!  proof      what happens
//!  verdict    what has to come of it
//! ```

mod cluster;
mod fleet;
mod keeper;
mod logs;
mod packages;
mod proof;
mod tasks;
mod verdict;
mod watch;

use crate::Outcome;
use crate::run::{build, exists, skip};
use cluster::Cluster;
use fleet::Fleet;
use packages::Packages;

pub(crate) fn run(words: &[&str]) -> Outcome {
    match words {
        [] => try_script(),
        [keeper::WORD, rest @ ..] => keeper::keep(rest),
        _ => Err("usage: cargo xtask slurm".to_owned()),
    }
}

fn try_script() -> Outcome {
    if !exists("qemu-img") {
        skip("there is no qemu-img to compare with");
        return Ok(());
    }
    build()?;
    let packages = match Packages::fetch() {
        Ok(packages) => packages,
        Err(why) => {
            let why = why.lines().next().unwrap_or_default();
            skip(&format!("Slurm cannot be had: {why}"));
            return Ok(());
        }
    };
    println!("── {}", packages.version()?);
    let room = instar_testkit::scratch();
    let fleet = Fleet::prepare(room.path())?;
    let mut cluster = Cluster::start(packages, room.path())?;
    // Logs go with the cluster.
    proof::run(&fleet, &mut cluster).map_err(|error| format!("{error}{}", logs::logs(room.path())))
}
