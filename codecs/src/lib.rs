//! inflate, deflate and zstd behind thin faces.
