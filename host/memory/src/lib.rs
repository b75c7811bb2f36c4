//! Guest memory as the host may touch it.
