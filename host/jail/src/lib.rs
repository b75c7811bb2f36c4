//! Confines our own process.
