//! Microsoft Virtual PC disks (VHD, qemu's vpc).
