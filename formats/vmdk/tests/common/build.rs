//! Images that qemu-img reads but does not write, built byte by byte.

use instar_codecs::Encoder;
use instar_disk::Codec;

pub const SECTOR: usize = 512;

/// A descriptor that has everything it must have, with these extent lines.
pub fn descriptor(create_type: &str, extents: &str) -> String {
    format!(
        "# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"{create_type}\"\n\n\
         # Extent description\n{extents}\n\n# The Disk Data Base\n#DDB\n\nddb.adapterType = \"lsilogic\"\n"
    )
}

/// How grains are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    Plain,
    Marked,
    Bare,
}

/// A hosted sparse extent.
#[derive(Clone, Debug)]
pub struct Hosted {
    pub version: u32,
    pub flags: u32,
    pub grain_sectors: usize,
    pub entries: usize,
    pub packing: Packing,
    pub footer: bool,
    /// `None`: no embedded descriptor.
    pub create_type: Option<&'static str>,
}

impl Default for Hosted {
    fn default() -> Self {
        Self {
            version: 1,
            flags: 1,
            grain_sectors: 128,
            entries: 512,
            packing: Packing::Plain,
            footer: false,
            create_type: Some("monolithicSparse"),
        }
    }
}

/// Where things ended up in the file.
#[derive(Clone, Debug, Default)]
pub struct Places {
    pub directory: usize,
    pub tables: Vec<usize>,
    pub grains: Vec<usize>,
}

impl Hosted {
    /// A stream as VMware's tools write it: directory at the end, markers, footer.
    pub fn stream() -> Self {
        Self {
            version: 3,
            packing: Packing::Marked,
            footer: true,
            create_type: Some("streamOptimized"),
            ..Self::default()
        }
    }

    /// The file for `disk`, a multiple of 512.
    pub fn build(&self, disk: &[u8]) -> (Vec<u8>, Places) {
        let grain = self.grain_sectors * SECTOR;
        let mut places = Places::default();
        let mut file = vec![0; 128 * SECTOR];
        if let Some(create_type) = self.create_type {
            let line = format!("RW {} SPARSE \"x.vmdk\"", disk.len() / SECTOR);
            let text = descriptor(create_type, &line);
            file[SECTOR..][..text.len()].copy_from_slice(text.as_bytes());
        }
        let mut entries = Vec::new();
        for (index, bytes) in disk.chunks(grain).enumerate() {
            if bytes.iter().all(|byte| *byte == 0) {
                entries.push(0);
                continue;
            }
            places.grains.push(file.len());
            entries.push(sector(file.len()));
            self.grain(&mut file, index * self.grain_sectors, bytes, grain);
        }
        for table in entries.chunks(self.entries) {
            places.tables.push(file.len());
            table
                .iter()
                .for_each(|entry| file.extend_from_slice(&entry.to_le_bytes()));
            file.resize(
                (file.len() + (self.entries - table.len()) * 4).next_multiple_of(SECTOR),
                0,
            );
        }
        places.directory = file.len();
        for table in &places.tables {
            file.extend_from_slice(&sector(*table).to_le_bytes());
        }
        file.resize(file.len().next_multiple_of(SECTOR), 0);
        let header = self.header(disk.len(), u64::from(sector(places.directory)));
        if self.footer {
            file.extend_from_slice(&marker(1, 3));
            file.extend_from_slice(&header);
            file.extend_from_slice(&marker(0, 0));
            file[..SECTOR].copy_from_slice(&self.header(disk.len(), u64::MAX));
        } else {
            file[..SECTOR].copy_from_slice(&header);
        }
        (file, places)
    }

    fn grain(&self, file: &mut Vec<u8>, lba: usize, bytes: &[u8], grain: usize) {
        if self.packing == Packing::Plain {
            file.extend_from_slice(bytes);
            file.resize(file.len() + grain - bytes.len(), 0);
            return;
        }
        let mut stream = vec![0; 2 * grain + 64];
        let used = Encoder::new(Codec::Zlib, 15)
            .unwrap()
            .encode(bytes, &mut stream)
            .unwrap();
        if self.packing == Packing::Marked {
            file.extend_from_slice(&(lba as u64).to_le_bytes());
            file.extend_from_slice(&u32::try_from(used).unwrap().to_le_bytes());
        }
        file.extend_from_slice(&stream[..used]);
        file.resize(file.len().next_multiple_of(SECTOR), 0);
    }

    fn header(&self, bytes: usize, directory: u64) -> Vec<u8> {
        let packed = match self.packing {
            Packing::Plain => 0,
            Packing::Marked => 3 << 16,
            Packing::Bare => 1 << 16,
        };
        let mut header = b"KDMV".to_vec();
        header.extend_from_slice(&self.version.to_le_bytes());
        header.extend_from_slice(&(self.flags | packed).to_le_bytes());
        header.extend_from_slice(&((bytes / SECTOR) as u64).to_le_bytes());
        header.extend_from_slice(&(self.grain_sectors as u64).to_le_bytes());
        let (offset, size) = if self.create_type.is_some() {
            (1_u64, 20_u64)
        } else {
            (0, 0)
        };
        header.extend_from_slice(&offset.to_le_bytes());
        header.extend_from_slice(&size.to_le_bytes());
        header.extend_from_slice(&u32::try_from(self.entries).unwrap().to_le_bytes());
        header.extend_from_slice(&0_u64.to_le_bytes());
        header.extend_from_slice(&directory.to_le_bytes());
        header.extend_from_slice(&128_u64.to_le_bytes());
        header.push(0);
        header.extend_from_slice(b"\n \r\n");
        header.extend_from_slice(&u16::from(self.packing != Packing::Plain).to_le_bytes());
        header.resize(SECTOR, 0);
        header
    }
}

/// An ESX sparse extent.
pub fn cowd(disk: &[u8], grain_sectors: usize) -> (Vec<u8>, Places) {
    let grain = grain_sectors * SECTOR;
    let mut places = Places {
        directory: 4 * SECTOR,
        ..Places::default()
    };
    let tables = disk.len().div_ceil(4096 * grain);
    let mut file = vec![0; (4 * SECTOR + tables * 4).next_multiple_of(SECTOR)];
    let grains: Vec<&[u8]> = disk.chunks(grain).collect();
    for table in grains.chunks(4096) {
        let place = file.len();
        places.tables.push(place);
        file.resize(place + 4096 * 4, 0);
        for (index, bytes) in table.iter().enumerate() {
            if bytes.iter().any(|byte| *byte != 0) {
                let entry = sector(file.len());
                file[place + index * 4..][..4].copy_from_slice(&entry.to_le_bytes());
                places.grains.push(file.len());
                file.extend_from_slice(bytes);
                file.resize(
                    file.len().next_multiple_of(grain.min(SECTOR)) + grain - bytes.len(),
                    0,
                );
            }
        }
    }
    let words = [
        1,
        3,
        disk.len() / SECTOR,
        grain_sectors,
        4,
        tables,
        file.len() / SECTOR,
    ];
    file[..4].copy_from_slice(b"COWD");
    for (index, word) in words.into_iter().enumerate() {
        file[4 + index * 4..][..4].copy_from_slice(&u32::try_from(word).unwrap().to_le_bytes());
    }
    for (index, table) in places.tables.iter().enumerate() {
        file[4 * SECTOR + index * 4..][..4].copy_from_slice(&sector(*table).to_le_bytes());
    }
    (file, places)
}

/// A space-efficient sparse extent with grains of 4 KiB. Grain `zeroed` is marked as zero.
pub fn se_sparse(disk: &[u8], zeroed: Option<usize>) -> (Vec<u8>, Places) {
    const GRAIN: usize = 4096;
    let tables = disk.len().div_ceil(4096 * GRAIN);
    let directory = 2;
    let first_table = directory + (tables * 8).div_ceil(SECTOR);
    let grains_at = first_table + tables * 64;
    let mut places = Places {
        directory: directory * SECTOR,
        ..Places::default()
    };
    let mut file = vec![0; grains_at * SECTOR];
    for table in 0..tables {
        places.tables.push((first_table + table * 64) * SECTOR);
        let entry = 0x1000_0000_0000_0000 | table as u64;
        file[directory * SECTOR + table * 8..][..8].copy_from_slice(&entry.to_le_bytes());
    }
    let mut used = 0_u64;
    for (index, bytes) in disk.chunks(GRAIN).enumerate() {
        let entry = if zeroed == Some(index) {
            0x2000_0000_0000_0000
        } else if bytes.iter().any(|byte| *byte != 0) {
            places.grains.push(file.len());
            file.extend_from_slice(bytes);
            file.resize(
                grains_at * SECTOR + (usize::try_from(used).unwrap() + 1) * GRAIN,
                0,
            );
            used += 1;
            0x3000_0000_0000_0000 | ((used - 1) & 0xfff) << 48 | (used - 1) >> 12
        } else {
            0
        };
        file[first_table * SECTOR + index * 8..][..8].copy_from_slice(&entry.to_le_bytes());
    }
    let mut words = [0_u64; 26];
    words[0] = 0xcafe_babe;
    words[1] = 0x2_0000_0001;
    words[2] = (disk.len() / SECTOR) as u64;
    words[3] = 8;
    words[4] = 64;
    words[10] = 1;
    words[11] = 1;
    words[16] = directory as u64;
    words[17] = (first_table - directory) as u64;
    words[18] = first_table as u64;
    words[19] = (tables * 64) as u64;
    words[24] = grains_at as u64;
    for (index, word) in words.into_iter().enumerate() {
        file[index * 8..][..8].copy_from_slice(&word.to_le_bytes());
    }
    file[SECTOR..][..8].copy_from_slice(&0xcafe_cafe_u64.to_le_bytes());
    (file, places)
}

/// A metadata marker.
pub fn marker(sectors: u64, kind: u32) -> Vec<u8> {
    let mut bytes = sectors.to_le_bytes().to_vec();
    bytes.extend_from_slice(&0_u32.to_le_bytes());
    bytes.extend_from_slice(&kind.to_le_bytes());
    bytes.resize(SECTOR, 0);
    bytes
}

fn sector(place: usize) -> u32 {
    assert_eq!(place % SECTOR, 0);
    u32::try_from(place / SECTOR).unwrap()
}
