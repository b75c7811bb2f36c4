//! Hyper-V disks (VHDX).
