//! VMware virtual disks.
