//! Disks in seekable zstd.

use crate::packed;

/// What one frame decodes to, and the frame.
pub type Frame = (u32, Vec<u8>);

/// `disk` in frames of `size` bytes, by the program zstd with these options. It packs each frame with a checksum of its content.
///
/// # Panics
///
/// If zstd is not here.
#[must_use]
pub fn frames(disk: &[u8], size: usize, options: &[&str]) -> Vec<Frame> {
    let words = [&["-q", "-c", "--check"], options].concat();
    disk.chunks(size)
        .map(|bytes| (bytes.len() as u32, packed("zstd", &words, bytes)))
        .collect()
}

/// A file of these frames and their table. The checksums are those that zstd wrote at the frames' ends, if there are to be any.
///
/// # Panics
///
/// If a frame that decodes to something has no end.
#[must_use]
pub fn file(frames: &[Frame], checksums: bool) -> Vec<u8> {
    let mut file: Vec<u8> = frames.iter().flat_map(|(_, frame)| frame.clone()).collect();
    file.extend(table(frames, checksums));
    file
}

/// The table of these frames: a frame that decoders skip.
///
/// # Panics
///
/// As [`file()`].
#[must_use]
pub fn table(frames: &[Frame], checksums: bool) -> Vec<u8> {
    let mut table = Vec::new();
    for (plain, frame) in frames {
        table.extend((frame.len() as u32).to_le_bytes());
        table.extend(plain.to_le_bytes());
        match plain {
            _ if !checksums => {}
            // Nothing has a hash, too.
            0 => table.extend(0x51d8_e999_u32.to_le_bytes()),
            _ => table.extend(frame.last_chunk::<4>().unwrap()),
        }
    }
    table.extend((frames.len() as u32).to_le_bytes());
    table.push(u8::from(checksums) << 7);
    table.extend(0x8f92_eab1_u32.to_le_bytes());
    [
        &0x184d_2a5e_u32.to_le_bytes()[..],
        &(table.len() as u32).to_le_bytes(),
        &table,
    ]
    .concat()
}

/// A frame of these bytes that decoders skip.
#[must_use]
pub fn skipped(bytes: &[u8]) -> Frame {
    let frame = [
        &0x184d_2a51_u32.to_le_bytes()[..],
        &(bytes.len() as u32).to_le_bytes(),
        bytes,
    ];
    (0, frame.concat())
}
