//! QEMU copy-on-write images, version 2 and 3.
