//! gzip without a name and a time in it.

use zlib_rs::{DeflateConfig, ReturnCode, compress_bound, compress_slice};

/// Compresses as `gzip -9n` does.
///
/// # Errors
/// If the library refuses.
pub fn gzip(bytes: &[u8]) -> Result<Vec<u8>, String> {
    // Windows above 15 stand for the header of gzip.
    compressed(bytes, 15 + 16)
}

/// Compresses into a zlib stream.
///
/// # Errors
/// If the library refuses.
pub fn zlib(bytes: &[u8]) -> Result<Vec<u8>, String> {
    compressed(bytes, 15)
}

fn compressed(bytes: &[u8], window_bits: i32) -> Result<Vec<u8>, String> {
    let config = DeflateConfig {
        level: 9,
        window_bits,
        ..DeflateConfig::default()
    };
    let mut room = vec![0; compress_bound(bytes.len()) + 32];
    match compress_slice(&mut room, bytes, config) {
        (stream, ReturnCode::Ok) => Ok(stream.to_vec()),
        (_, code) => Err(format!("compressing {} bytes: {code:?}", bytes.len())),
    }
}
