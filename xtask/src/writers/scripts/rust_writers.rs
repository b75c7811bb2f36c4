//! Lets the crates `imago` and `vhdx-rs` write images of the raw disk given as an argument, one after another.
//! Prints `made NAME` or `failed NAME REASON`. Built below `target/`, not a part of the workspace.

use std::fs::File as Disk;
use std::io::{Read, Write};
use std::path::Path;

use imago::file::File as Storage;
use imago::format::PreallocateMode;
use imago::qcow2::Qcow2;
use imago::storage::{Storage as _, StorageCreateOptions};
use imago::{FormatAccess, FormatCreateBuilder, FormatDriverBuilder, PermissiveImplicitOpenGate};

type Outcome = Result<(), Box<dyn std::error::Error>>;

fn main() {
    let disk = std::env::args().nth(1).expect("a raw disk");
    let name = Path::new(&disk).file_stem().unwrap().to_string_lossy().into_owned();
    for (cluster, width) in [(65_536, 16), (512, 1), (4096, 8), (1 << 20, 32), (2 << 20, 64)] {
        let file = format!("{name}-imago-{cluster}-{width}.qcow2");
        say(&file, qcow2(&disk, &file, cluster, width, PreallocateMode::None));
    }
    for (word, mode) in [
        ("zero", PreallocateMode::Zero),
        ("metadata", PreallocateMode::FormatAllocate),
        ("full", PreallocateMode::FullAllocate),
        ("data", PreallocateMode::WriteData),
    ] {
        let file = format!("{name}-imago-{word}.qcow2");
        say(&file, qcow2(&disk, &file, 65_536, 16, mode));
    }
    for (fixed, block, logical, physical) in [
        (false, 32 << 20, 512, 4096),
        (false, 1 << 20, 512, 512),
        (false, 2 << 20, 4096, 4096),
        (true, 32 << 20, 512, 4096),
    ] {
        let kind = if fixed { "fixed" } else { "dynamic" };
        // This version writes only into blocks that are there.
        if !fixed && name != "empty" {
            continue;
        }
        let file = format!("{name}-vhdx-{kind}-{block}-{logical}.vhdx");
        say(&file, vhdx(&disk, &file, fixed, block, logical, physical));
    }
}

fn say(name: &str, outcome: Outcome) {
    match outcome {
        Ok(()) => println!("made {name}"),
        Err(error) => println!("failed {name} {}", error.to_string().replace('\n', " ")),
    }
}

fn qcow2(disk: &str, file: &str, cluster: usize, width: usize, mode: PreallocateMode) -> Outcome {
    let size = std::fs::metadata(disk)?.len();
    let storage = Storage::create_open(StorageCreateOptions::new().filename(file))?;
    Qcow2::<Storage>::create_builder(storage)
        .size(size)
        .cluster_size(cluster)
        .refcount_width(width)
        .preallocate(mode)
        .create()?;
    let image = Qcow2::<Storage>::builder_path(file)
        .write(true)
        .open(PermissiveImplicitOpenGate::default())?;
    let image = FormatAccess::new(image);
    pieces(disk, |bytes, offset| {
        // Its own kinds of writing: data, zeros, and nothing for what is a hole.
        match (offset >> 16) % 5 {
            4 => Ok(()),
            1 => Ok(image.write_zeroes(offset, bytes.len() as u64)?),
            _ => Ok(image.write(bytes, offset)?),
        }
    })?;
    image.flush()?;
    Ok(())
}

fn vhdx(disk: &str, file: &str, fixed: bool, block: u32, logical: u32, physical: u32) -> Outcome {
    let unit = u64::from(logical);
    let size = std::fs::metadata(disk)?.len().div_ceil(1 << 20) << 20;
    vhdx::File::create(file)
        .size(size)
        .fixed(fixed)
        .block_size(block)
        .logical_sector_size(logical)
        .physical_sector_size(physical)
        .finish()?;
    let image = vhdx::File::open(file).write().finish()?;
    let io = image.io()?;
    pieces(disk, |bytes, offset| {
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let mut bytes = bytes.to_vec();
        bytes.resize(bytes.len().div_ceil(logical as usize) * logical as usize, 0);
        let mut sectors = io.sector(offset / unit, bytes.len() as u64 / unit)?;
        sectors.write_all(&bytes)?;
        sectors.flush()?;
        Ok(())
    })
}

/// The disk in pieces of 64 KiB.
fn pieces(disk: &str, mut piece: impl FnMut(&[u8], u64) -> Outcome) -> Outcome {
    let mut disk = Disk::open(disk)?;
    let mut offset = 0;
    loop {
        let mut bytes = Vec::new();
        Read::by_ref(&mut disk).take(65_536).read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            return Ok(());
        }
        piece(&bytes, offset)?;
        offset += bytes.len() as u64;
    }
}
