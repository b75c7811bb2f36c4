//! qcow2: what its options mean, and the reference tool's words when they mean nothing.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use instar_abi::ImageText;
use instar_abi::job::{Compression, Preallocation, Qcow2Create};

use super::{Companion, Settings, Surroundings, encryption, not_accepted};
use crate::value::driver;

/// Cluster sizes that the format allows: spec and reference tool.
const CLUSTER: std::ops::RangeInclusive<u64> = 512..=2 << 20;
/// Smallest cluster with subclusters: reference tool.
const CLUSTER_WITH_SUBCLUSTERS: u64 = 16384;
/// Longest name of a backing or data file: spec.
const NAME_BYTES: usize = 1023;

pub(super) fn create(settings: &Settings, around: &mut Surroundings<'_>) -> Result<Qcow2Create, Vec<u8>> {
    let mut options = values(settings)?;
    combinations(settings, &options)?;
    if let Some(name) = settings.text("data_file") {
        if name.len() > NAME_BYTES {
            return Err(b"Data file name too long".to_vec());
        }
        let kind = if options.keeps_data {
            Companion::Kept
        } else {
            Companion::New
        };
        let slot = (around.companion)(OsStr::from_bytes(name), kind)?;
        options.data_file = Some((slot, ImageText::new(name)));
    }
    if let Some(method) = encryption::method(settings)? {
        options.encryption = Some(encryption::create(settings, method)?);
    }
    Ok(options)
}

/// Each value by itself.
fn values(settings: &Settings) -> Result<Qcow2Create, Vec<u8>> {
    let version = match settings.text("compat") {
        None | Some(b"1.1" | b"v3") => 3,
        Some(b"0.10" | b"v2") => 2,
        Some(other) => return Err(not_accepted("version", other)),
    };
    let backing_format = settings.text("backing_fmt");
    if let Some(name) = backing_format.filter(|name| !driver::is_driver(name)) {
        return Err(not_accepted("backing-fmt", name));
    }
    encryption::method(settings)?;
    let preallocation = settings.preallocation()?;
    let compression = match settings.text("compression_type") {
        None | Some(b"zlib") => Compression::Zlib,
        Some(b"zstd") => Compression::Zstd,
        Some(other) => return Err(not_accepted("compression-type", other)),
    };
    let extended_l2 = settings.flag("extended_l2").unwrap_or(false);
    if extended_l2 && version < 3 {
        return Err(needs_v3("Extended L2 entries are only supported with"));
    }
    let cluster = cluster_size(settings, extended_l2)?;
    let refcount_bits = settings.number("refcount_bits").unwrap_or(16);
    let lazy_refcounts = settings.flag("lazy_refcounts").unwrap_or(false);
    Ok(Qcow2Create {
        version,
        cluster_bits: cluster.trailing_zeros(),
        // Widths that are none are refused in `combinations`, where the reference tool does.
        refcount_order: refcount_bits.trailing_zeros(),
        lazy_refcounts,
        extended_l2,
        compression,
        preallocation,
        backing_file: settings.text("backing_file").map(ImageText::new),
        backing_format: backing_format.map(ImageText::new),
        data_file: None,
        data_file_raw: settings.flag("data_file_raw").unwrap_or(false),
        keeps_data: settings.flag("keep_data_file").unwrap_or(false),
        encryption: None,
    })
}

/// The values that `measure` looks at, with its own words and in its own order.
pub(super) fn measured(settings: &Settings) -> Result<Qcow2Create, Vec<u8>> {
    let extended_l2 = settings.flag("extended_l2").unwrap_or(false);
    let cluster = cluster_size(settings, extended_l2)?;
    let version = match settings.text("compat") {
        None | Some(b"1.1") => 3,
        Some(b"0.10") => 2,
        Some(other) => return Err([b"Invalid compatibility level: '".as_slice(), other, b"'"].concat()),
    };
    let refcount_bits = settings.number("refcount_bits").unwrap_or(16);
    if refcount_bits > 64 || !refcount_bits.is_power_of_two() {
        return Err(b"Refcount width must be a power of two and may not exceed 64 bits".to_vec());
    }
    if refcount_bits != 16 && version < 3 {
        return Err(
            b"Different refcount widths than 16 bits require compatibility level 1.1 or above (use compat=1.1 or greater)"
                .to_vec(),
        );
    }
    Ok(Qcow2Create {
        version,
        cluster_bits: cluster.trailing_zeros(),
        refcount_order: refcount_bits.trailing_zeros(),
        extended_l2,
        preallocation: settings.measured_preallocation()?,
        backing_file: settings.text("backing_file").map(ImageText::new),
        ..Qcow2Create::default()
    })
}

fn cluster_size(settings: &Settings, extended_l2: bool) -> Result<u64, Vec<u8>> {
    let cluster = settings.size("cluster_size").unwrap_or(65536);
    if !cluster.is_power_of_two() || !CLUSTER.contains(&cluster) {
        return Err(b"Cluster size must be a power of two between 512 and 2048k".to_vec());
    }
    if extended_l2 && cluster < CLUSTER_WITH_SUBCLUSTERS {
        return Err(
            b"Extended L2 entries are only supported with cluster sizes of at least 16384 bytes".to_vec(),
        );
    }
    Ok(cluster)
}

/// Values that exclude each other, in the order in which the reference tool looks at them.
fn combinations(settings: &Settings, options: &Qcow2Create) -> Result<(), Vec<u8>> {
    let with_backing = options.backing_file.is_some();
    if with_backing && options.preallocation != Preallocation::Off && !options.extended_l2 {
        return Err(
            b"Backing file and preallocation can only be used at the same time if extended_l2 is on".to_vec(),
        );
    }
    if options.backing_format.is_some() && !with_backing {
        return Err(b"Backing format cannot be used without backing file".to_vec());
    }
    if settings
        .text("backing_file")
        .is_some_and(|name| name.len() > NAME_BYTES)
    {
        return Err(b"Backing file name too long".to_vec());
    }
    if options.lazy_refcounts && options.version < 3 {
        return Err(needs_v3("Lazy refcounts only supported with"));
    }
    let refcount_bits = settings.number("refcount_bits").unwrap_or(16);
    if refcount_bits > 64 || !refcount_bits.is_power_of_two() {
        return Err(b"Refcount width must be a power of two and may not exceed 64 bits".to_vec());
    }
    if refcount_bits != 16 && options.version < 3 {
        return Err(
            b"Different refcount widths than 16 bits require compatibility level 1.1 or above (use version=v3 or greater)"
                .to_vec(),
        );
    }
    let with_data_file = settings.text("data_file").is_some();
    if options.data_file_raw && !with_data_file {
        return Err(b"data-file-raw requires data-file".to_vec());
    }
    if options.data_file_raw && with_backing {
        return Err(b"Backing file and data-file-raw cannot be used at the same time".to_vec());
    }
    if options.keeps_data {
        kept(options, with_data_file)?;
    }
    if with_data_file && options.version < 3 {
        return Err(needs_v3("External data files are only supported with"));
    }
    if options.compression != Compression::Zlib && options.version < 3 {
        return Err(needs_v3("Non-zlib compression type is only supported with"));
    }
    Ok(())
}

/// What keeps an existing data file from being seen, or from staying as it is.
fn kept(options: &Qcow2Create, with_data_file: bool) -> Result<(), Vec<u8>> {
    let why = match options.preallocation {
        _ if !with_data_file => "Must not use 'keep_data_file=on' without 'data_file'",
        Preallocation::Off if !options.data_file_raw => {
            "'keep_data_file=on' requires 'preallocation=metadata' or 'data_file_raw=on', or the file contents will not be visible"
        }
        Preallocation::Falloc | Preallocation::Full => {
            "Preallocating more than only metadata would overwrite the external data file's content and is therefore incompatible with 'keep_data_file=on'"
        }
        Preallocation::Off | Preallocation::Metadata => return Ok(()),
    };
    Err(why.into())
}

fn needs_v3(what: &str) -> Vec<u8> {
    format!("{what} compatibility level 1.1 and above (use version=v3 or greater)").into_bytes()
}
