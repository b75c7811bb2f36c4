//! A worker, and what it is told and says.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Read, Seek, SeekFrom};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use instar_abi::job::Verb;
use instar_abi::report::Done;
use instar_abi::worker::{Frame, MOST_BYTES, MOST_FILES, Order, PROTOCOL};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, send, sendmsg};

use crate::error::{Error, Kind};
use crate::image::Files;

/// A process that does one job. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Worker {
    child: Child,
    socket: UnixStream,
    /// What it says before it can answer.
    said: File,
}

impl Worker {
    /// Starts one.
    pub(crate) fn start(program: &Path, words: &[OsString]) -> Result<Self, Error> {
        let failed = |error: io::Error| Error::system("a worker cannot be started", &error);
        let (socket, theirs) = UnixStream::pair().map_err(failed)?;
        let said = tempfile::tempfile().map_err(failed)?;
        let child = Command::new(program)
            .arg("worker")
            .args(words)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(said.try_clone().map_err(failed)?)
            .spawn()
            .map_err(|error| Error::new(Kind::Program, format!("{}: {error}", program.display())))?;
        Ok(Self { child, socket, said })
    }

    /// Has it do `verb` on `files`. What it says on the way goes to `hear`, whose error ends it.
    pub(crate) fn work(
        mut self,
        verb: Verb,
        files: Files<'_>,
        hear: &mut dyn FnMut(Frame) -> Result<(), Error>,
    ) -> Result<Done, Error> {
        let open: Vec<BorrowedFd<'_>> = files.open.iter().map(|file| file.as_fd()).collect();
        let order = Order {
            verb,
            files: files.about,
        };
        // Why it does not take an order it says itself.
        let sent = self.order(&order, &open);
        loop {
            match self.frame() {
                Ok(Frame::Done(done)) => return Ok(done),
                Ok(Frame::Failed {
                    cause,
                    errno,
                    message,
                }) => return Err(Error::told(&cause, errno, &message)),
                Ok(frame) => hear(frame)?,
                Err(error) => return Err(self.silent(&sent.err().unwrap_or(error))),
            }
        }
    }

    fn order(&self, order: &Order, files: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = instar_abi::encode(order).map_err(|_| io::Error::from(ErrorKind::InvalidData))?;
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        if length > MOST_BYTES || files.len() > MOST_FILES {
            return Err(ErrorKind::InvalidInput.into());
        }
        let head = [PROTOCOL.to_le_bytes(), length.to_le_bytes()].concat();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FILES))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(files)) {
            return Err(ErrorKind::InvalidInput.into());
        }
        // Eight bytes go whole or not at all.
        sendmsg(
            &self.socket,
            &[IoSlice::new(&head)],
            &mut control,
            SendFlags::NOSIGNAL,
        )?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let sent = send(&self.socket, rest, SendFlags::NOSIGNAL)?;
            rest = rest.get(sent..).unwrap_or_default();
        }
        Ok(())
    }

    fn frame(&mut self) -> io::Result<Frame> {
        let mut length = [0; 4];
        self.socket.read_exact(&mut length)?;
        let length = u32::from_le_bytes(length);
        if length > MOST_BYTES {
            return Err(ErrorKind::InvalidData.into());
        }
        let mut bytes = Vec::new();
        (&self.socket).take(u64::from(length)).read_to_end(&mut bytes)?;
        instar_abi::decode(&bytes).map_err(|_| ErrorKind::InvalidData.into())
    }

    /// It has ended without an answer: why, as far as it said so.
    fn silent(&mut self, error: &io::Error) -> Error {
        const MOST: u64 = 4096;
        let status = self.child.wait();
        let mut said = Vec::new();
        let read = self
            .said
            .seek(SeekFrom::Start(0))
            .and_then(|_| (&self.said).take(MOST).read_to_end(&mut said));
        let said = String::from_utf8_lossy(&said).trim().to_owned();
        match (said.is_empty(), read, status) {
            (false, Ok(_), _) => Error::new(Kind::Program, said),
            (_, _, Ok(status)) => Error::new(
                Kind::Interrupted,
                format!("the worker ended without an answer: {status}"),
            ),
            _ => Error::system("the worker gives no answer", error),
        }
    }
}

/// It has nothing to undo: the files are the caller's.
impl Drop for Worker {
    fn drop(&mut self) {
        // It has ended, or is ended here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
