//! Servers that speak NBD: qemu-nbd and nbdkit.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::{Bench, Reference, ledger, wait};

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// The name by which both programs reach its disk.
    pub url: String,
    /// Its socket, if it has one in the filesystem.
    pub socket: PathBuf,
}

impl Server {
    /// qemu-nbd with an image of the bench behind the export `disk`.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn of_qemu(bench: &Bench, format: &str, image: &str, options: &[&str]) -> Self {
        let socket = bench.path(&format!("{image}.socket"));
        let mut command = Reference::installed().program("qemu-nbd");
        command
            .args(["-t", "-e", "8", "-x", "disk", "-f", format, "-k"])
            .arg(&socket)
            .args(options)
            .arg(image);
        let url = format!("nbd+unix:///disk?socket={}", socket.display());
        Self::start(bench, command, url, socket)
    }

    /// nbdkit with those words behind the options that name its socket; none, and the ledger says so, where there is no nbdkit.
    #[must_use]
    pub fn of_nbdkit(bench: &Bench, words: &[&str]) -> Option<Self> {
        let socket = bench.path("nbdkit.socket");
        let mut command = nbdkit()?;
        command.args(["-f", "-U"]).arg(&socket).args(words);
        let url = format!("nbd+unix://?socket={}", socket.display());
        Some(Self::start(bench, command, url, socket))
    }

    /// The same, on a port of this machine.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn of_nbdkit_on_a_port(bench: &Bench, words: &[&str]) -> Option<Self> {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let mut command = nbdkit()?;
        command.args(["-f", "-i", "127.0.0.1", "-p", &port.to_string()]).args(words);
        let child = run(bench, command);
        wait::until("a server", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(Self {
            child,
            url: format!("nbd://127.0.0.1:{port}"),
            socket: PathBuf::new(),
        })
    }

    fn start(bench: &Bench, command: Command, url: String, socket: PathBuf) -> Self {
        // One that was killed has left it.
        let _ = std::fs::remove_file(&socket);
        let child = run(bench, command);
        wait::until("a server", || UnixStream::connect(&socket).is_ok());
        Self { child, url, socket }
    }
}

/// nbdkit, if it is there.
fn nbdkit() -> Option<Command> {
    let there = Command::new("nbdkit").arg("--version").stdout(Stdio::null()).status();
    if there.is_err() {
        ledger::skip("nbdkit is missing (package nbdkit)");
        return None;
    }
    Some(Command::new("nbdkit"))
}

fn run(bench: &Bench, mut command: Command) -> Child {
    command.current_dir(bench.directory()).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has nothing to put in order: what was flushed is there.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}
