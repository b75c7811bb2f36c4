//! VirtualBox disks (VDI).
