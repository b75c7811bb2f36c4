//! What the partition table of a disk says, and which partition is wanted.

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::text::ImageText;

/// Which partition of a disk is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionChoice {
    /// The table that it stands in.
    pub table: TableChoice,
    /// Its number as Linux counts: 1 to 4 and from 5 on for logical ones, or its entry in a GPT.
    pub number: u32,
}

/// Which partition table of a disk is believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum TableChoice {
    /// The only one, or the one that the others agree with.
    #[default]
    Agreed,
    /// The GPT: the primary one, if it is sound.
    Gpt,
    /// The backup of the GPT.
    Backup,
    /// The MBR, whatever it protects.
    Mbr,
}

impl TableChoice {
    /// What can be chosen, by name.
    pub const NAMED: [(&'static str, Self); 3] =
        [("gpt", Self::Gpt), ("backup", Self::Backup), ("mbr", Self::Mbr)];
}

/// The partition table of a disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionTable {
    /// Bytes of the disk.
    pub disk_size: u64,
    /// What kind of table it is; none if the disk has none.
    pub label: Option<Label>,
    /// In the order of their numbers.
    pub partitions: Vec<Partition>,
    /// What is wrong with it, although it can be used.
    pub findings: Vec<Fault>,
    /// Why nothing is read by it unless the user chooses a table: programs see different disks.
    pub disputed: Option<Fault>,
}

/// The kind of a partition table, and what it says of the whole disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Label {
    /// A GUID partition table.
    Gpt {
        /// The identifier of the disk, as it stands in the header.
        disk: [u8; 16],
        /// Bytes of a sector.
        sector_size: u32,
        /// It is the one at the end of the disk.
        is_backup: bool,
    },
    /// A master boot record.
    Mbr {
        /// The signature of the disk.
        disk: u32,
        /// Bytes of a sector.
        sector_size: u32,
    },
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// Its number.
    pub number: u32,
    /// Its first byte.
    pub start: u64,
    /// Its bytes.
    pub size: u64,
    /// What only a table of its kind says.
    pub kind: PartitionKind,
    /// Why it cannot be read.
    pub fault: Option<Fault>,
}

/// What only a table of one kind says of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartitionKind {
    /// In a GPT.
    Gpt {
        /// What it is for, as it stands in the entry.
        type_id: [u8; 16],
        /// Its own identifier, as it stands in the entry.
        id: [u8; 16],
        /// Its attributes.
        attributes: u64,
        /// Its name, as UTF-8.
        name: ImageText,
    },
    /// In an MBR.
    Mbr {
        /// What it is for.
        type_id: u8,
        /// It is marked as the one to boot from.
        is_active: bool,
    },
}
