//! Compressed loop devices, version 2.

use zlib_rs::{Deflate, DeflateConfig, DeflateFlush, Status};

/// What the file begins with.
pub const SCRIPT: &[u8] =
    b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0 && mount -r -t iso9660 /dev/cloop $1\n";

/// An image of `disk` in blocks of `block_size` bytes; the last one is filled up with zeros.
#[must_use]
pub fn image(disk: &[u8], block_size: u32) -> Vec<u8> {
    let whole = |block: &[u8]| {
        let mut block = block.to_vec();
        block.resize(block_size as usize, 0);
        zlib(&block)
    };
    of_streams(
        &disk.chunks(block_size as usize).map(whole).collect::<Vec<_>>(),
        block_size,
    )
}

/// An image whose blocks are these streams.
#[must_use]
pub fn of_streams(streams: &[Vec<u8>], block_size: u32) -> Vec<u8> {
    let mut file = SCRIPT.to_vec();
    file.resize(128, 0);
    file.extend_from_slice(&block_size.to_be_bytes());
    file.extend_from_slice(&(streams.len() as u32).to_be_bytes());
    let mut offset = (file.len() + 8 * (streams.len() + 1)) as u64;
    file.extend_from_slice(&offset.to_be_bytes());
    for stream in streams {
        offset += stream.len() as u64;
        file.extend_from_slice(&offset.to_be_bytes());
    }
    file.extend(streams.iter().flatten());
    file
}

/// A zlib stream of `bytes`.
///
/// # Panics
///
/// If zlib fails.
#[must_use]
pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut deflate = Deflate::new_with_config(DeflateConfig {
        window_bits: 15,
        ..DeflateConfig::default()
    });
    let mut stream = vec![0; bytes.len() + bytes.len() / 100 + 64];
    let status = deflate.compress(bytes, &mut stream, DeflateFlush::Finish);
    assert_eq!(status, Ok(Status::StreamEnd));
    stream.truncate(deflate.total_out() as usize);
    stream
}
