//! Slurm's daemons on this machine: one controller, and two nodes that are two daemons.

use std::fs::{File, Permissions};
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::keeper::Keeper;
use super::logs::logs;
use super::packages::Packages;
use super::watch::{Watch, found};
use crate::Outcome;
use crate::apt::{make, write};
use crate::run::output;

/// Their names.
pub(super) const NODES: [&str; 2] = ["n1", "n2"];
/// Processors of each node; how many this machine has does not matter.
pub(super) const PROCESSORS: usize = 2;

/// Daemons that run, each with its name, in the order in which they were started. All that they started ends with them.
#[derive(Debug)]
pub(super) struct Cluster {
    packages: Packages,
    room: PathBuf,
    daemons: Vec<(&'static str, Keeper)>,
}

impl Cluster {
    /// Starts them in `room`, which is removed in the end.
    pub(super) fn start(packages: Packages, room: &Path) -> Result<Self, String> {
        let mut cluster = Self {
            packages,
            room: room.to_owned(),
            daemons: Vec::new(),
        };
        // Logs go with the cluster.
        cluster
            .start_all()
            .map_err(|error| format!("{error}{}", logs(room)))?;
        Ok(cluster)
    }

    fn start_all(&mut self) -> Outcome {
        let configuration = configuration(&self.packages, &self.room)?;
        write(&self.room.join("slurm.conf"), &configuration)?;
        self.start_munge()?;
        self.start_one("slurmctld", "slurmctld", &["-c"])?;
        let step = self.packages.program("slurmstepd")?;
        let step = step.to_str().ok_or("the path of slurmstepd is not UTF-8")?;
        for name in NODES {
            self.start_one(name, "slurmd", &["-N", name, "-d", step])?;
        }
        Ok(())
    }

    fn start_one(&mut self, name: &'static str, program: &str, words: &[&str]) -> Outcome {
        let mut command = self.command(program)?;
        let log = self.room.join(format!("{name}.out"));
        let keeper = Keeper::start(command.arg("-D").args(words), &log, None)?;
        self.daemons.push((name, keeper));
        Ok(())
    }

    /// Slurm asks munge who sends a message: no other user of this machine can have a job run as us.
    fn start_munge(&mut self) -> Outcome {
        let place = self.room.join("munge");
        make(&place)?;
        let key = place.join("key");
        let mut bytes = vec![0; 1024];
        File::open("/dev/urandom")
            .and_then(|mut random| random.read_exact(&mut bytes))
            .and_then(|()| std::fs::write(&key, bytes))
            .and_then(|()| std::fs::set_permissions(&key, Permissions::from_mode(0o600)))
            .map_err(|error| format!("{}: {error}", key.display()))?;
        let mut command = self.packages.command("munged")?;
        // It expects a socket that all users may reach; ours is for us.
        command.args(["--foreground", "--force"]);
        for (option, name) in [
            ("key-file", "key"),
            ("socket", "socket"),
            ("pid-file", "pid"),
            ("log-file", "log"),
            ("seed-file", "seed"),
        ] {
            command.arg(format!("--{option}={}", place.join(name).display()));
        }
        let keeper = Keeper::start(&mut command, &self.room.join("munged.out"), Some(&self.room))?;
        self.daemons.push(("munged", keeper));
        let socket = place.join("socket");
        Watch::start().within(20, "munged listens", || {
            found(socket.exists(), (), || {
                format!("there is no {}", socket.display())
            })
        })
    }

    /// Runs a program that talks to the controller; gives what it printed.
    pub(super) fn ask(&self, program: &str, words: &[&str]) -> Result<String, String> {
        output(self.command(program)?.args(words))
    }

    /// A program of Slurm that knows where all of this is.
    pub(super) fn command(&self, program: &str) -> Result<Command, String> {
        let mut command = self.packages.command(program)?;
        command
            .env("SLURM_CONF", self.room.join("slurm.conf"))
            .current_dir(&self.room);
        Ok(command)
    }

    /// The state of a node, as `sinfo` has it; a star after it: the node does not answer.
    pub(super) fn state(&self, node: &str) -> Result<String, String> {
        let line = self.ask("sinfo", &["-h", "-N", "-n", node, "-o", "%T"])?;
        Ok(line.trim().to_owned())
    }

    /// Kills a node's daemon and all that runs on the node, at once.
    pub(super) fn kill(&mut self, node: &str) -> Outcome {
        let place = self.daemons.iter().position(|(name, _)| *name == node);
        let place = place.ok_or_else(|| format!("node {node} does not run"))?;
        self.daemons.remove(place).1.kill()
    }
}

impl Drop for Cluster {
    /// The first has a keeper that removes the room, and therefore is the last.
    fn drop(&mut self) {
        while self.daemons.pop().is_some() {}
    }
}

/// What the daemons read. A node is given up 10 s after its last answer, and a task that was lost with it may start 5 s later.
fn configuration(packages: &Packages, room: &Path) -> Result<String, String> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_err(|error| format!("the name of this machine: {error}"))?;
    let host = host.trim().split('.').next().unwrap_or_default().to_owned();
    let user = output(Command::new("id").arg("-un"))?;
    let (user, shown, plugins) = (user.trim(), room.display(), packages.plugins());
    let plugins = plugins.display();
    let [controller, nodes @ ..] = ports().map_err(|error| format!("free ports: {error}"))?;
    make(&room.join("state"))?;
    let mut text = format!(
        "ClusterName=instar\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={controller}\n\
         CommunicationParameters=NoCtldInAddrAny,NoInAddrAny\nSlurmUser={user}\nSlurmdUser={user}\n\
         AuthType=auth/munge\nAuthInfo=socket={shown}/munge/socket,cred_expire=5\nCredType=cred/munge\n\
         ProctrackType=proctrack/pgid\nTaskPlugin=task/none\nMpiDefault=none\n\
         SelectType=select/cons_tres\nSelectTypeParameters=CR_Core_Memory\n\
         SchedulerType=sched/builtin\nSchedulerParameters=sched_interval=2\nPluginDir={plugins}\n\
         StateSaveLocation={shown}/state\nSlurmdSpoolDir={shown}/%n\n\
         SlurmctldPidFile={shown}/slurmctld.pid\nSlurmdPidFile={shown}/%n.pid\n\
         SlurmctldLogFile={shown}/slurmctld.log\nSlurmdLogFile={shown}/%n.log\n\
         SlurmdTimeout=10\nSlurmdParameters=config_overrides\nPropagateResourceLimits=NONE\n"
    );
    for (name, port) in NODES.iter().zip(nodes) {
        make(&room.join(name))?;
        text.push_str(&format!(
            "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={PROCESSORS} RealMemory=2048\n"
        ));
    }
    text.push_str("PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n");
    Ok(text)
}

/// Ports that are free now.
fn ports() -> std::io::Result<[u16; 3]> {
    let listen = || TcpListener::bind(("127.0.0.1", 0));
    // All are held before the first is let go.
    let held = [listen()?, listen()?, listen()?];
    let [one, two, three] = held
        .each_ref()
        .map(|one| one.local_addr().map(|address| address.port()));
    Ok([one?, two?, three?])
}
