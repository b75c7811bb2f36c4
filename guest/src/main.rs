//! The sandboxed binary.

fn main() {}
