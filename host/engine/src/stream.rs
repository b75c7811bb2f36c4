//! Streams: sockets that are connected and pipes that are open before the guest runs, and their bytes in and out.
//!
//! Neither direction blocks in the kernel, so a peer that says nothing holds up a lane only until the run is over.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use instar_abi::FileKind;
use instar_abi::request::GuestRange;
use instar_memory::GuestMemory;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fcntl_getfl, fcntl_setfl, fstat, openat};
use rustix::io::Errno;

use crate::OpenFile;
use crate::file::{Outcome, bytes};
use crate::open::{self, OpenErrorKind};
use crate::stop::Stop;

/// Takes a connected socket, or an open pipe or character device, as a stream. A socket becomes one that does not block for whoever
/// shares it; anything else is opened once more for that.
pub(crate) fn adopted(name: &Path, fd: OwnedFd) -> Result<OpenFile, OpenErrorKind> {
    let stat = fstat(&fd).map_err(OpenErrorKind::Open)?;
    let flags = fcntl_getfl(&fd).map_err(OpenErrorKind::Open)?;
    let fd = match FileType::from_raw_mode(stat.st_mode) {
        FileType::Socket => {
            fcntl_setfl(&fd, flags | OFlags::NONBLOCK).map_err(OpenErrorKind::Open)?;
            fd
        }
        FileType::Fifo | FileType::CharacterDevice => {
            let flags = (flags & OFlags::RWMODE) | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
            openat(rustix::fs::CWD, open::own_path(fd.as_fd()), flags, Mode::empty())
                .map_err(OpenErrorKind::Open)?
        }
        // Of a file, only the end that is written to: what is sent goes where the last writer stopped.
        FileType::RegularFile if flags.contains(OFlags::WRONLY) || flags.contains(OFlags::APPEND) => fd,
        _ => return Err(OpenErrorKind::Kind),
    };
    open::read_from(name, fd, None, &stat, FileKind::Stream)
}

/// Stream to guest: what is there, as soon as something is; 0 at the end.
pub(crate) fn receive(file: &OpenFile, memory: &GuestMemory, into: GuestRange, stop: &Stop) -> Outcome<u64> {
    is_stream(file)?;
    if into.length == 0 {
        return Ok(0);
    }
    loop {
        match memory.receive(file.fd(), into) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                ready(file, PollFlags::IN, stop)?;
            }
            received => return Ok(bytes(received?)),
        }
        stop.check()?;
    }
}

/// Guest to stream, all of it.
pub(crate) fn send(file: &OpenFile, memory: &GuestMemory, from: GuestRange, stop: &Stop) -> Outcome<()> {
    is_stream(file)?;
    let mut rest = from;
    while rest.length > 0 {
        match memory.send(file.fd(), rest) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                ready(file, PollFlags::OUT, stop)?;
            }
            sent => {
                let sent = bytes(sent?).min(rest.length);
                if sent == 0 {
                    return Err(Errno::IO.into());
                }
                rest.start += sent;
                rest.length -= sent;
            }
        }
        stop.check()?;
    }
    Ok(())
}

/// A file with offsets has Read and Write; asked for the next bytes, it is what a stream is that is asked for an offset.
fn is_stream(file: &OpenFile) -> Outcome<()> {
    if file.kind == FileKind::Stream {
        return Ok(());
    }
    Err(Errno::SPIPE.into())
}

/// Sleeps until the stream can go on, for a turn at most, so that a stop is seen.
fn ready(file: &OpenFile, flags: PollFlags, stop: &Stop) -> Outcome<()> {
    stop.check()?;
    match poll(&mut [PollFd::new(&file.fd, flags)], Some(&TURN)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// One turn of sleep. Ours: half of what a stop may take.
const TURN: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::{Duration, Instant};

    fn pair() -> (OpenFile, UnixStream, GuestMemory) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let stream = adopted(Path::new("peer"), ours.into()).unwrap();
        (stream, theirs, GuestMemory::private(1 << 20).unwrap())
    }

    fn range(start: u64, length: u64) -> GuestRange {
        GuestRange { start, length }
    }

    #[test]
    fn what_is_there_is_received_at_once_and_nothing_at_the_end() {
        let (stream, mut peer, memory) = pair();
        peer.write_all(b"some").unwrap();
        let stop = Stop::default();
        assert_eq!(receive(&stream, &memory, range(8, 100), &stop), Ok(4));
        let mut bytes = [0; 4];
        memory.read(8, &mut bytes).unwrap();
        assert_eq!(&bytes, b"some");
        assert_eq!(receive(&stream, &memory, range(8, 0), &stop), Ok(0));
        drop(peer);
        assert_eq!(receive(&stream, &memory, range(8, 100), &stop), Ok(0));
    }

    #[test]
    fn all_is_sent_however_little_the_peer_takes_at_a_time() {
        let (stream, mut peer, memory) = pair();
        let sent: Vec<u8> = (0..1_u8 << 7).cycle().take(1 << 20).collect();
        memory.write(0, &sent).unwrap();
        let reader = std::thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).unwrap();
            all
        });
        send(&stream, &memory, range(0, 1 << 20), &Stop::default()).unwrap();
        drop(stream);
        assert_eq!(reader.join().unwrap(), sent);
    }

    #[test]
    fn a_peer_that_says_and_takes_nothing_holds_up_nobody_when_the_run_is_over() {
        let (stream, _peer, memory) = pair();
        for sends in [false, true] {
            let stop = Stop::default();
            let later = stop.clone();
            let over = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(100));
                later.set();
            });
            let start = Instant::now();
            let ended = if sends {
                send(&stream, &memory, range(0, 1 << 20), &stop)
            } else {
                receive(&stream, &memory, range(0, 10), &stop).map(|_| ())
            };
            assert_eq!(ended, Err(Errno::CANCELED.into()));
            assert!(start.elapsed() < Duration::from_millis(1000));
            over.join().unwrap();
        }
    }

    #[test]
    fn a_peer_that_is_gone_is_an_error_and_no_signal() {
        let (stream, peer, memory) = pair();
        drop(peer);
        let gone = send(&stream, &memory, range(0, 1), &Stop::default());
        assert_eq!(gone, Err(Errno::PIPE.into()));
    }

    #[test]
    fn pipes_are_streams_and_files_are_not() {
        let memory = GuestMemory::private(4096).unwrap();
        let stop = Stop::default();
        let (reader, writer) = std::io::pipe().unwrap();
        let [reader, writer] =
            [OwnedFd::from(reader), writer.into()].map(|fd| adopted(Path::new("pipe"), fd).unwrap());
        memory.write(0, b"through").unwrap();
        send(&writer, &memory, range(0, 7), &stop).unwrap();
        assert_eq!(receive(&reader, &memory, range(100, 50), &stop), Ok(7));
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, b"bytes").unwrap();
        let file = std::fs::File::open(&path).unwrap();
        assert!(matches!(adopted(&path, file.into()), Err(OpenErrorKind::Kind)));
        let file = open::source(&path, false, false).unwrap();
        let refused = receive(&file, &memory, range(0, 5), &stop);
        assert_eq!(refused, Err(Errno::SPIPE.into()));
        assert_eq!(send(&file, &memory, range(0, 5), &stop), Err(Errno::SPIPE.into()));
    }
}
