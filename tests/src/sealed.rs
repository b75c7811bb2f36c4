//! LUKS disks in tests: what they are sealed with, and what qemu-img finds in them.

use crate::{Bench, Outcome};

/// The object that every one of them is opened with.
pub const SECRET: &str = "secret,id=s,data=correct horse";

/// Options of a new one whose key is derived in next to no time.
pub const OPTIONS: &str = "key-secret=s,iter-time=10";

/// qemu-img compares a raw disk with the one that it decrypts.
#[must_use]
pub fn compared(bench: &Bench, raw: &str, image: &str) -> Outcome {
    let raw = format!("driver=raw,file.filename={raw}");
    let opened = format!("driver=luks,key-secret=s,file.filename={image}");
    bench.qemu(["compare", "--object", SECRET, "--image-opts", &raw, &opened])
}
