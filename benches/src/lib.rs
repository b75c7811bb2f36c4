//! Benchmarks: instar beside the installed qemu-img, one table.
