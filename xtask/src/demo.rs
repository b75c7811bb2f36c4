//! A demonstration of the main job: converts a qcow2 image to raw, and shows how a hostile image is refused.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::run::{cargo, exists, output, step};
use crate::{Outcome, workspace};

/// Size of the disk that the demonstration makes.
const DISK_BYTES: u64 = 256 << 20;

pub(crate) fn run(arguments: &[&str]) -> Outcome {
    step(
        "building instar (the first time takes a few minutes)",
        cargo().args(["build", "--release", "--package", "instar", "--locked"]),
    )?;
    let directory = workspace::root().join("target/demo");
    std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
    let directory = directory.canonicalize().map_err(|error| error.to_string())?;
    let instar = Instar(workspace::root().join("target/x86_64-unknown-linux-gnu/release/instar"));
    match arguments {
        [] => own_image(&instar, &directory),
        [image] => instar.convert(Path::new(image), &directory.join("converted.raw")),
        _ => Err("usage: cargo xtask demo [IMAGE]".to_owned()),
    }
}

struct Instar(PathBuf);

impl Instar {
    fn convert(&self, image: &Path, raw: &Path) -> Outcome {
        self.show(&[Path::new("info"), image])?;
        let convert = ["convert", "-p", "-O", "raw"].map(Path::new);
        self.show(&[convert.as_slice(), &[image, raw]].concat())?;
        println!("written: {}", raw.display());
        Ok(())
    }

    /// Runs instar and shows the command as a person would type it.
    fn show(&self, arguments: &[&Path]) -> Outcome {
        let words: Vec<String> = arguments.iter().map(|word| word.display().to_string()).collect();
        step(
            &format!("instar {}", words.join(" ")),
            Command::new(&self.0).args(arguments),
        )
    }
}

fn own_image(instar: &Instar, directory: &Path) -> Outcome {
    let [disk, image, raw, hostile] =
        ["disk.raw", "image.qcow2", "converted.raw", "hostile.qcow2"].map(|name| directory.join(name));
    make_disk(&disk).map_err(|error| format!("{}: {error}", disk.display()))?;
    let make = ["convert", "-O", "qcow2"].map(Path::new);
    instar.show(&[make.as_slice(), &[&disk, &image]].concat())?;
    instar.convert(&image, &raw)?;
    if !same(&disk, &raw).map_err(|error| error.to_string())? {
        return Err("the converted image differs from the original disk".to_owned());
    }
    println!(
        "all {} MiB of the converted disk equal the original",
        DISK_BYTES >> 20
    );
    if exists("qemu-img") {
        step(
            "qemu-img checks the image",
            Command::new("qemu-img").arg("check").arg(&image),
        )?;
    }
    refusal(instar, &image, &hostile)
}

/// An image that names a file of the host as its backing file must not be followed there.
fn refusal(instar: &Instar, image: &Path, hostile: &Path) -> Outcome {
    name_backing_file(image, hostile, b"/etc/passwd").map_err(|error| error.to_string())?;
    println!("── instar convert -O raw {} stolen.raw", hostile.display());
    println!("   (an image that claims /etc/passwd as its backing file)");
    let stolen = hostile.with_file_name("stolen.raw");
    let attempt = output(
        Command::new(&instar.0)
            .args(["convert", "-O", "raw"])
            .arg(hostile)
            .arg(&stolen),
    );
    match attempt {
        Err(message) if !stolen.exists() => {
            println!("refused: {message}");
            Ok(())
        }
        _ => Err("instar followed the backing file of the hostile image".to_owned()),
    }
}

/// A disk with holes, zeros and bytes that tell where they belong.
fn make_disk(path: &Path) -> std::io::Result<()> {
    let mut disk = File::create(path)?;
    disk.set_len(DISK_BYTES)?;
    let mut block = vec![0_u8; 1 << 20];
    for number in (0..DISK_BYTES >> 20).filter(|number| number % 3 == 0) {
        for (place, word) in block.chunks_exact_mut(8).enumerate() {
            let value = (number << 20 | (place as u64) << 3).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            word.copy_from_slice(&value.to_le_bytes());
        }
        disk.write_all_at(&block, number << 20)?;
    }
    disk.flush()
}

fn same(left: &Path, right: &Path) -> std::io::Result<bool> {
    let (mut left, mut right) = (File::open(left)?, File::open(right)?);
    if left.metadata()?.len() != right.metadata()?.len() {
        return Ok(false);
    }
    let (mut a, mut b) = (vec![0_u8; 1 << 20], vec![0_u8; 1 << 20]);
    loop {
        let length = left.read(&mut a)?;
        let (Some(theirs), Some(ours)) = (b.get_mut(..length), a.get(..length)) else {
            return Ok(false);
        };
        right.read_exact(theirs)?;
        if ours != theirs {
            return Ok(false);
        }
        if length == 0 {
            return Ok(true);
        }
    }
}

/// Copies a qcow2 image and writes a backing file's name into the unused end of its first cluster.
pub(crate) fn name_backing_file(image: &Path, hostile: &Path, name: &[u8]) -> std::io::Result<()> {
    /// The header's cluster is 64 KiB; the name may stand in its first 1023 bytes after the extensions.
    const NAME_OFFSET: u64 = 0x200;
    std::fs::copy(image, hostile)?;
    let file = File::options().write(true).open(hostile)?;
    file.write_all_at(name, NAME_OFFSET)?;
    file.write_all_at(&NAME_OFFSET.to_be_bytes(), 8)?;
    let length = u32::try_from(name.len()).map_err(std::io::Error::other)?;
    file.write_all_at(&length.to_be_bytes(), 16)
}
