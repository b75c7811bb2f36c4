//! Black-box tests: instar beside the installed qemu-img.
