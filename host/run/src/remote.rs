//! Disks behind servers that the caller names: connected to before our own process is confined.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::Refusal;

/// An export of a server that speaks NBD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Where the server is.
    pub address: Address,
    /// What the disk is called there; empty: the one that the server gives who names none.
    pub export: Vec<u8>,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A socket in the filesystem.
    Unix(PathBuf),
    /// A host and a port.
    Inet {
        /// The host's name or number.
        host: String,
        /// The port's number.
        port: u16,
    },
}

/// How long a server may take to accept a connection. Ours.
const PATIENCE: Duration = Duration::from_secs(30);

impl Remote {
    /// The address as one word, as the reference tool prints it.
    #[must_use]
    pub fn url(&self) -> Vec<u8> {
        let slash: &[u8] = if self.export.is_empty() { b"" } else { b"/" };
        match &self.address {
            Address::Unix(path) => {
                let path = path.as_os_str().as_bytes();
                [b"nbd+unix://", slash, &self.export, b"?socket=", path].concat()
            }
            Address::Inet { host, port } => {
                [format!("nbd://{host}:{port}").as_bytes(), slash, &self.export].concat()
            }
        }
    }

    /// Connects to the server.
    ///
    /// # Errors
    /// [`Refusal::Unresolved`], [`Refusal::Unreachable`]
    pub(crate) fn connect(&self) -> Result<OwnedFd, Refusal> {
        match &self.address {
            Address::Unix(path) => UnixStream::connect(path)
                .map(Into::into)
                .map_err(|why| Refusal::Unreachable(path.as_os_str().as_bytes().to_vec(), why)),
            Address::Inet { host, port } => inet(host, *port),
        }
    }
}

/// Tries each address of the host.
fn inet(host: &str, port: u16) -> Result<OwnedFd, Refusal> {
    let shown = || format!("{host}:{port}").into_bytes();
    let addresses = (host, port).to_socket_addrs();
    let addresses = addresses.map_err(|why| Refusal::Unresolved(shown(), why))?;
    let mut why = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses {
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(stream) => {
                // Requests are small, and each waits for its reply. Where that cannot be set, they take longer.
                let _ = stream.set_nodelay(true);
                return Ok(stream.into());
            }
            Err(error) => why = error,
        }
    }
    Err(Refusal::Unreachable(shown(), why))
}
