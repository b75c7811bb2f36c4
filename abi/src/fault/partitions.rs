//! Failures found in partition tables: 0x2000 to 0x20ff.

super::faults! {
    /// A partition is asked for, and no table is there.
    NO_TABLE = 0x2000, "the disk has no partition table";
    /// The user chose a GPT, and there is none that is sound.
    NO_GPT = 0x2001, "the disk has no GPT";
    /// The user chose the backup, and there is none that is sound.
    NO_BACKUP = 0x2002, "the disk has no backup GPT";
    /// The user chose an MBR, and there is none.
    NO_MBR = 0x2003, "the disk has no MBR";
    /// No such partition. Numbers: the one asked for, partitions in the table.
    NO_PARTITION = 0x2004, "the disk has no partition {0} among {1}; instar info --partitions lists them";
    /// Numbers: partition, first byte, byte behind it, size of the disk.
    BEYOND_DISK = 0x2005, "partition {0} from byte {1} to {2} is not inside the disk of {3} bytes";
    /// A partition ends before it starts. Numbers: partition, first sector, last sector.
    REVERSED = 0x2006, "partition {0} starts at sector {1} and ends at sector {2}";
    /// Numbers: partition, the other one.
    OVERLAP = 0x2007, "partitions {0} and {1} overlap";
    /// A partition holds the tables. Numbers: partition, its first sector, its last, first sector that it may have.
    OUTSIDE_USABLE = 0x2008, "partition {0} from sector {1} to {2} is not where the GPT has room for partitions";
    /// Only the backup is sound. Number: sector of the primary one.
    PRIMARY_DAMAGED = 0x2010, "the primary GPT at sector {0} is damaged; its backup is used";
    /// Only the primary one is sound. Number: sector where the backup should be.
    BACKUP_DAMAGED = 0x2011, "the backup GPT at sector {0} is damaged or missing";
    /// The disk has grown since. Numbers: sector of the backup, last sector of the disk.
    BACKUP_NOT_LAST = 0x2012, "the backup GPT is at sector {0}, not in the last sector {1} of the disk";
    /// Both are sound, and differ.
    GPT_DISAGREE = 0x2013, "the primary GPT and its backup show different partitions; choose one with gpt:N or backup:N instead of N";
    /// Neither is sound, yet the MBR says that there is one.
    GPT_DAMAGED = 0x2014, "the MBR says that the disk has a GPT, but neither the primary one nor its backup is sound; choose the MBR with mbr:N instead of N";
    /// Nobody but us would look at it.
    NO_PROTECTIVE = 0x2015, "the disk has a GPT, but its MBR does not say so: many programs see only the MBR; choose one with gpt:N or mbr:N instead of N";
    /// The MBR has partitions that the GPT has not. Number: one of them.
    HYBRID_DISAGREES = 0x2016, "partition {0} of the hybrid MBR is not in the GPT: programs see different partitions; choose one with gpt:N or mbr:N instead of N";
    /// What an older table left. Number: its sector.
    STALE_BACKUP = 0x2018, "the backup of an older GPT is at sector {0}; the MBR is used, as it does not say that there is a GPT";
    /// Two GPTs for two sizes of a sector.
    TWO_SECTOR_SIZES = 0x2017, "the disk has a GPT for sectors of 512 bytes and another for sectors of 4096 bytes; remove one of them, for example with wipefs";
    /// Numbers: logical partitions found, sector of the link that leads back.
    EBR_LOOP = 0x2020, "the logical partitions form a loop: after {0} of them, the chain leads back to sector {1}";
    /// Numbers: limit.
    EBR_LENGTH = 0x2021, "the chain of logical partitions has more than {0} links";
    /// Numbers: sector of the link.
    EBR_MISSING = 0x2022, "the chain of logical partitions leads to sector {0}, where no table is";
    /// Numbers: sector of the link, first sector of the extended partition, sector behind it.
    EBR_OUTSIDE = 0x2023, "the chain of logical partitions leads to sector {0}, outside the extended partition from sector {1} to {2}";
}
