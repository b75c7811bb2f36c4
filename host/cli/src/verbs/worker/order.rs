//! The order, and the frames that answer it.

use std::fs::File;
use std::io::{Error, ErrorKind, IoSliceMut, Read, Result, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use instar_abi::worker::{Frame, MOST_BYTES, MOST_FILES, Order, PROTOCOL};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

/// The socket to whoever gave the order.
#[derive(Debug)]
pub(super) struct Line(Mutex<File>);

impl Line {
    /// Standard input.
    pub(super) fn of_process() -> Result<Self> {
        let own = std::io::stdin().as_fd().try_clone_to_owned()?;
        Ok(Self(Mutex::new(File::from(own))))
    }

    /// Reads the order and takes its descriptors. Each must have a place in it.
    pub(super) fn order(&self) -> Result<(Order, Vec<OwnedFd>)> {
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (head, files) = head(&socket)?;
        let [a, b, c, d, e, f, g, h] = head;
        let protocol = u32::from_le_bytes([a, b, c, d]);
        if protocol != PROTOCOL {
            return Err(Error::other(format!(
                "the library speaks protocol {protocol}, and this program {PROTOCOL}: they must be of one version"
            )));
        }
        let length = u32::from_le_bytes([e, f, g, h]);
        if length > MOST_BYTES {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut bytes = Vec::new();
        (&mut *socket).take(u64::from(length)).read_to_end(&mut bytes)?;
        let order: Order = instar_abi::decode(&bytes).map_err(|_| Error::from(ErrorKind::InvalidData))?;
        if order.files.len() != files.len() {
            return Err(Error::other("files and descriptors are not as many"));
        }
        Ok((order, files))
    }

    /// Says something, if anybody listens. Called from threads that may make few system calls.
    pub(super) fn say(&self, frame: &Frame) -> Result<()> {
        let bytes = instar_abi::encode(frame).map_err(|_| Error::from(ErrorKind::InvalidData))?;
        let length = u32::try_from(bytes.len()).map_err(|_| Error::from(ErrorKind::InvalidData))?;
        let whole = [&length.to_le_bytes()[..], &bytes].concat();
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        socket.write_all(&whole)
    }
}

/// The first eight bytes, and the descriptors that come with them.
fn head(socket: &File) -> Result<([u8; 8], Vec<OwnedFd>)> {
    let mut head = [0; 8];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut head)];
    let came = recvmsg(socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let mut files = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(handed) = message {
            files.extend(handed);
        }
    }
    if came.bytes != head.len() {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    Ok((head, files))
}
