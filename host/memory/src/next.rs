//! The fate of a lane after its batch was served.

use instar_abi::BadRequest;

/// The next step for the lane that rang.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The results stand in the mailbox; the lane goes on.
    Continue,
    /// The guest asked for Exit: all lanes end.
    Exit,
    /// The guest did what no sound guest does: all lanes end at once.
    Kill(Violation),
}

/// How a guest broke the contract of the mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A request that does not parse.
    BadRequest(BadRequest),
    /// A batch of this many requests: none, or more than a mailbox holds.
    BatchCount(u32),
    /// A slot that is not open.
    UnknownSlot(u32),
    /// A report that does not decode.
    BadReport,
    /// More reports than one run may send.
    TooManyReports,
    /// Another broken rule, in the host's words.
    Other(&'static str),
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BadRequest(BadRequest::Op(op)) => write!(f, "a request with the unknown operation {op}"),
            Self::BadRequest(BadRequest::Value) => write!(f, "a request with a field out of range"),
            Self::BadRequest(BadRequest::Address(address)) => {
                write!(f, "a request for a buffer at {address:#x}, outside its memory")
            }
            Self::BadRequest(BadRequest::Length(length)) => {
                write!(f, "a request for {length} bytes, which is more than is allowed")
            }
            Self::BatchCount(count) => write!(f, "a batch of {count} requests"),
            Self::UnknownSlot(slot) => write!(f, "a request for file {slot}, which is not open"),
            Self::BadReport => write!(f, "a report that cannot be read"),
            Self::TooManyReports => write!(f, "too many reports"),
            Self::Other(what) => write!(f, "{what}"),
        }
    }
}
