//! The formats that are written.

/// Their names, as qemu-img has them.
pub const WRITTEN: &[&str] = &["raw", "qcow2", "vmdk", "vpc", "vhdx", "vdi", "qed", "qcow", "parallels"];

/// All but `one`, with which a test deals apart.
pub fn beside(one: &str) -> impl Iterator<Item = &'static str> {
    WRITTEN.iter().copied().filter(move |name| *name != one)
}
