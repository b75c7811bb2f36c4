//! Linux's numbers for errors that are not always the kernel's: drivers and verbs give them where the reference tool does.

/// "Input/output error".
pub const EIO: u64 = 5;
/// "Permission denied".
pub const EACCES: u64 = 13;
/// "Invalid argument".
pub const EINVAL: u64 = 22;
/// "File too large".
pub const EFBIG: u64 = 27;
/// "No space left on device".
pub const ENOSPC: u64 = 28;
/// "Operation not supported".
pub const EOPNOTSUPP: u64 = 95;
/// "Disk quota exceeded".
pub const EDQUOT: u64 = 122;
