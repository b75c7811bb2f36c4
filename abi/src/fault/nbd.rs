//! Failures of servers that speak NBD: 0x1d00 to 0x1dff.

super::faults! {
    /// Another protocol.
    NOT_NBD = 0x1d00, "the server does not speak NBD";
    /// A server without options.
    OLDSTYLE = 0x1d01, "the server speaks only the oldest form of NBD, which has no names of exports; instar needs the newstyle handshake";
    /// The connection ended.
    ENDED = 0x1d02, "the server closed the connection";
    /// The server has other exports. Text: its words.
    NO_EXPORT = 0x1d03, "Requested export not available (server reported: {text}); nbdinfo --list shows the exports of a server";
    /// TLS is required. Text: its words.
    TLS = 0x1d04, "the server requires TLS, which instar does not speak (server reported: {text}); reach it through a tunnel such as ssh or stunnel, or over a Unix socket";
    /// The server does not want this client. Text: its words.
    POLICY = 0x1d05, "the server refuses the connection by its rules (server reported: {text})";
    /// The server goes down. Text: its words.
    SHUTDOWN = 0x1d06, "the server is shutting down (server reported: {text})";
    /// Another error of the handshake. Number: the answer's type. Text: its words.
    REFUSED = 0x1d07, "the server refuses the export with error {0:#x} (server reported: {text})";
    /// The handshake is not what it must be. Number: where.
    HANDSHAKE = 0x1d08, "the server breaks the NBD protocol in the handshake (answer of type {0:#x} to option {1})";
    /// More answers than an option has. Numbers: the option, the limit.
    ANSWERS = 0x1d09, "the server answers option {0} more than {1} times";
    /// An answer that is too long. Numbers: bytes, limit.
    LONG_ANSWER = 0x1d0a, "the server answers an option with {0} bytes; the limit is {1}";
    /// A disk that is too large. Number: bytes.
    SIZE = 0x1d0b, "the export has {0} bytes, which is more than a disk can have (9223372036854775807)";
    /// Block sizes that cannot be. Numbers: minimum, maximum.
    BLOCKS = 0x1d0c, "the server announces blocks of {0} bytes at least and requests of {1} at most; supported are powers of two up to 65536, and requests of one block or more";
    /// A reply to no request.
    COOKIE = 0x1d0d, "the server breaks the NBD protocol: it replies to a request that was not made";
    /// What a reply begins with.
    REPLY = 0x1d0e, "the server breaks the NBD protocol: what it sends is no reply";
    /// A reply with a length that it cannot have.
    LENGTH = 0x1d0f, "the server breaks the NBD protocol: a reply has a length that its request does not allow";
    /// Data outside what was asked for, or twice.
    OUTSIDE = 0x1d10, "the server breaks the NBD protocol: it sends data for other bytes than those that were asked for, or twice for the same ones";
    /// Data is missing.
    MISSING = 0x1d11, "the server breaks the NBD protocol: a reply ends before all of its data has come";
    /// Too many chunks.
    CHUNKS = 0x1d12, "the server sends more chunks in a reply than instar takes (8192)";
    /// Extents that are none.
    EXTENTS = 0x1d13, "the server breaks the NBD protocol: its block status does not describe the bytes that were asked for";
    /// It is to be written to, and is read-only.
    READ_ONLY = 0x1d14, "Could not open image: Permission denied (the server exports the disk for reading only)";
    /// A name that is too long. Numbers: bytes, limit.
    NAME = 0x1d15, "the name of the export has {0} bytes; the limit is {1}";
}

/// The highest code.
const LAST: u16 = 0x1dff;

/// The code that a request on an export fails with, if `status`, as in `IoError` of `disk`, is one and no errno of the host's.
#[must_use]
pub const fn of_status(status: u32) -> Option<crate::FaultCode> {
    let [high, low @ ..] = status.to_be_bytes();
    let [second, low @ ..] = low;
    let code = u16::from_be_bytes(low);
    if high == 0 && second == 0 && code >= NOT_NBD.0 && code <= LAST {
        Some(crate::FaultCode(code))
    } else {
        None
    }
}
