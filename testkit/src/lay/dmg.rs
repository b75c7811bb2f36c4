//! Apple disk images.

pub const ZERO: u32 = 0;
pub const RAW: u32 = 1;
pub const IGNORE: u32 = 2;
pub const ADC: u32 = 0x8000_0004;
pub const ZLIB: u32 = 0x8000_0005;
pub const BZIP2: u32 = 0x8000_0006;
pub const LZFSE: u32 = 0x8000_0007;
pub const XZ: u32 = 0x8000_0008;
pub const COMMENT: u32 = 0x7fff_fffe;
pub const TERMINATOR: u32 = 0xffff_ffff;

const SECTOR: usize = 512;

/// Where block tables are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    List,
    Fork,
}

/// Sectors that follow one another, and the bytes that stand for them.
#[derive(Clone, Debug)]
pub struct Chunk {
    pub kind: u32,
    pub sectors: u64,
    pub bytes: Vec<u8>,
}

/// Chunks of `size` bytes for a disk: those of zeros as such, of the others each as `pack` has it.
#[must_use]
pub fn chunks(disk: &[u8], size: usize, kind: u32, pack: impl Fn(&[u8]) -> Vec<u8>) -> Vec<Chunk> {
    let chunk = |(index, part): (usize, &[u8])| {
        let is_zero = part.iter().all(|byte| *byte == 0);
        Chunk {
            kind: match (is_zero, index % 2) {
                (true, 0) => ZERO,
                (true, _) => IGNORE,
                (false, _) => kind,
            },
            sectors: part.len().div_ceil(SECTOR) as u64,
            bytes: if is_zero { Vec::new() } else { pack(part) },
        }
    };
    disk.chunks(size).enumerate().map(chunk).collect()
}

/// An image with a block table for each group of chunks.
#[must_use]
pub fn image(groups: &[&[Chunk]], home: Home) -> Vec<u8> {
    let (mut file, mut sector) = (Vec::new(), 0);
    let mut tables = Vec::new();
    for group in groups {
        let start = file.len() as u64;
        let mut entries = vec![entry(COMMENT, 0, 0, 0, 0)];
        let mut within = 0;
        for chunk in *group {
            let offset = file.len() as u64 - start;
            entries.push(entry(
                chunk.kind,
                within,
                chunk.sectors,
                offset,
                chunk.bytes.len() as u64,
            ));
            file.extend_from_slice(&chunk.bytes);
            within += chunk.sectors;
        }
        entries.push(entry(TERMINATOR, within, 0, file.len() as u64 - start, 0));
        tables.push(table(sector, within, start, &entries));
        sector += within;
    }
    finish(file, &tables, home, sector)
}

/// An image with these block tables behind its data.
#[must_use]
pub fn finish(mut file: Vec<u8>, tables: &[Vec<u8>], home: Home, sectors: u64) -> Vec<u8> {
    let data = file.len() as u64;
    let tail = match home {
        Home::List => list(tables),
        Home::Fork => fork(tables),
    };
    file.extend_from_slice(&tail);
    let place = [data, tail.len() as u64];
    let (fork, list) = match home {
        Home::List => ([0, 0], place),
        Home::Fork => (place, [0, 0]),
    };
    let mut trailer = b"koly\0\0\0\x04\0\0\x02\0\0\0\0\x01".to_vec();
    for word in [0, 0, data, fork[0], fork[1]] {
        trailer.extend_from_slice(&u64::to_be_bytes(word));
    }
    trailer.resize(216, 0);
    for word in list {
        trailer.extend_from_slice(&word.to_be_bytes());
    }
    trailer.resize(492, 0);
    trailer.extend_from_slice(&sectors.to_be_bytes());
    trailer.resize(SECTOR, 0);
    file.extend_from_slice(&trailer);
    file
}

/// An entry of a block table.
#[must_use]
pub fn entry(kind: u32, sector: u64, sectors: u64, offset: u64, length: u64) -> Vec<u8> {
    let mut entry = kind.to_be_bytes().to_vec();
    entry.extend_from_slice(&[0; 4]);
    for word in [sector, sectors, offset, length] {
        entry.extend_from_slice(&word.to_be_bytes());
    }
    entry
}

/// A block table.
#[must_use]
pub fn table(first: u64, sectors: u64, data: u64, entries: &[Vec<u8>]) -> Vec<u8> {
    let mut table = b"mish\0\0\0\x01".to_vec();
    for word in [first, sectors, data] {
        table.extend_from_slice(&word.to_be_bytes());
    }
    table.resize(200, 0);
    table.extend_from_slice(&(entries.len() as u32).to_be_bytes());
    table.extend(entries.iter().flatten());
    table
}

fn list(tables: &[Vec<u8>]) -> Vec<u8> {
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\">\n<dict>\n\t<key>resource-fork</key>\n\t<dict>\n\t\t<key>blkx</key>\n\t\t<array>\n",
    );
    for table in tables {
        text.push_str("\t\t\t<dict>\n\t\t\t\t<key>Data</key>\n\t\t\t\t<data>\n");
        let letters = base64(table);
        for line in letters.as_bytes().chunks(52) {
            text.push_str("\t\t\t\t");
            text.push_str(str::from_utf8(line).unwrap());
            text.push('\n');
        }
        text.push_str("\t\t\t\t</data>\n\t\t\t</dict>\n");
    }
    // Something else that is data.
    text.push_str("\t\t</array>\n\t\t<key>plst</key>\n\t\t<data>\n\t\tAAAA\n\t\t</data>\n\t</dict>\n</dict>\n</plist>\n");
    text.into_bytes()
}

fn fork(tables: &[Vec<u8>]) -> Vec<u8> {
    let mut pieces = Vec::new();
    for table in tables {
        pieces.extend_from_slice(&(table.len() as u32).to_be_bytes());
        pieces.extend_from_slice(table);
    }
    let mut fork = Vec::new();
    let end = 256 + pieces.len() as u32;
    for word in [256, end, pieces.len() as u32, 50] {
        fork.extend_from_slice(&word.to_be_bytes());
    }
    fork.resize(256, 0);
    fork.extend_from_slice(&pieces);
    fork.resize(fork.len() + 50, 0);
    fork
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let word = three
            .iter()
            .fold(0_u32, |word, byte| word << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for place in 0..4 {
            if place <= three.len() {
                let letter = word >> (18 - 6 * place) & 63;
                text.push(char::from(LETTERS[letter as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

/// Literals, and repetitions of what stands as far back as a line of the usual text is long.
#[must_use]
pub fn adc(bytes: &[u8]) -> Vec<u8> {
    const BACK: usize = 49;
    let mut stream = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let same = bytes[at..].iter().enumerate().take(67);
        let same = same
            .take_while(|(index, byte)| at + index >= BACK && bytes[at + index - BACK] == **byte)
            .count();
        match same {
            0..3 => {
                // Not a byte more than the next repetition leaves.
                let count = (bytes.len() - at).min(if at < BACK { 40 } else { 1 });
                stream.push(0x80 | (count - 1) as u8);
                stream.extend_from_slice(&bytes[at..at + count]);
                at += count;
            }
            3..=18 => {
                stream.extend_from_slice(&[((same - 3) << 2) as u8, (BACK - 1) as u8]);
                at += same;
            }
            _ => {
                stream.extend_from_slice(&[0x40 | (same - 4) as u8, 0, (BACK - 1) as u8]);
                at += same;
            }
        }
    }
    stream
}

/// Blocks of bytes as they are, as LZFSE has them.
#[must_use]
pub fn lzfse(bytes: &[u8]) -> Vec<u8> {
    let mut stream = Vec::new();
    for block in bytes.chunks(40_000) {
        stream.extend_from_slice(b"bvx-");
        stream.extend_from_slice(&(block.len() as u32).to_le_bytes());
        stream.extend_from_slice(block);
    }
    stream.extend_from_slice(b"bvx$");
    stream
}
