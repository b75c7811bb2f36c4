//! Sparse images of Apple.

/// How one is laid out.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Bytes of a sector.
    pub sector: u64,
    /// Bytes of a chunk.
    pub chunk: u64,
    /// The second directory counts.
    pub second: bool,
    /// Chunks with zeros in them are there in parts.
    pub parts: bool,
}

/// What macOS makes.
pub const USUAL: Layout = Layout {
    sector: 512,
    chunk: 1 << 20,
    second: false,
    parts: true,
};

/// An image of `disk`. Chunks of zeros are not in it.
#[must_use]
pub fn image(disk: &[u8], layout: Layout) -> Vec<u8> {
    let Layout { sector, chunk, .. } = layout;
    let group = 4 * sector;
    let groups = chunk / (8 * (group + 1));
    let per_table = group * groups;
    let chunks = (disk.len() as u64).div_ceil(chunk);
    let most = (disk.len() as u64 / sector) * 3;
    let entries = (most * sector).div_ceil(per_table * chunk);
    let directory_bytes = 8 + 8 * entries;
    let directories = [
        sector.max(512),
        (sector.max(512) + directory_bytes).next_multiple_of(512),
    ];
    let mut file = vec![0; (directories[1] + directory_bytes).next_multiple_of(chunk) as usize];
    let mut directory = vec![0_u64; entries as usize];
    let append = |file: &mut Vec<u8>, bytes: &[u8]| {
        let number = file.len() as u64 / chunk;
        file.extend_from_slice(bytes);
        file.resize((number + 1) as usize * chunk as usize, 0);
        number
    };
    for table in 0..chunks.div_ceil(per_table) {
        let mut values = vec![0_u64; (chunk / 8) as usize];
        for number in 0..groups {
            let mut bitmap = vec![0_u8; chunk as usize];
            let mut has_parts = false;
            for within in 0..group {
                let at = ((table * per_table + number * group + within) * chunk) as usize;
                let Some(bytes) = disk.get(at..disk.len().min(at + chunk as usize)) else {
                    break;
                };
                if bytes.iter().all(|byte| *byte == 0) {
                    continue;
                }
                let mut whole = true;
                for (index, bytes) in bytes.chunks(sector as usize).enumerate() {
                    let bit = within as usize * (chunk / sector) as usize + index;
                    if bytes.iter().any(|byte| *byte != 0) {
                        bitmap[bit / 4] |= 1 << (2 * (bit % 4));
                    } else {
                        whole = false;
                    }
                }
                whole |= !layout.parts;
                has_parts |= !whole;
                let state = if whole { 1_u64 } else { 3 };
                let place = append(&mut file, bytes);
                values[(number * (group + 1) + within) as usize] = state << 62 | place;
            }
            if has_parts {
                let place = append(&mut file, &bitmap);
                values[(number * (group + 1) + group) as usize] = 1 << 62 | place;
            }
        }
        if values.iter().any(|value| *value != 0) {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_be_bytes()).collect();
            directory[table as usize] = append(&mut file, &bytes);
        }
    }
    for (index, start) in directories.into_iter().enumerate() {
        let counts = (index == 1) == layout.second;
        let mut bytes = u64::from(counts).to_be_bytes().to_vec();
        if counts {
            bytes.extend(directory.iter().flat_map(|value| value.to_be_bytes()));
        }
        file[start as usize..start as usize + bytes.len()].copy_from_slice(&bytes);
    }
    let head = header(disk.len() as u64 / sector, most, directories, layout);
    file[..head.len()].copy_from_slice(&head);
    file
}

/// The header of a disk of so many sectors, which may grow to `most`.
fn header(sectors: u64, most: u64, directories: [u64; 2], layout: Layout) -> Vec<u8> {
    let mut head = b"shdw\0\0\0\x01\0\0\x02\0\0\0\0\0".to_vec();
    head.extend(directories.iter().flat_map(|start| start.to_be_bytes()));
    head.extend_from_slice(&[5; 16]);
    head.extend_from_slice(&sectors.to_be_bytes());
    head.extend_from_slice(&most.to_be_bytes());
    head.extend_from_slice(&(layout.chunk as u32).to_be_bytes());
    head.extend_from_slice(&(layout.sector as u16).to_be_bytes());
    head.extend_from_slice(&[0; 10]);
    head
}
