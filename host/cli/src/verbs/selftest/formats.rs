//! An image in every format that is written: made, checked, read back, and compared with the disk by the host, byte by byte.

use std::fs;
use std::io;
use std::process::Output;

use instar_abi::Format;
use instar_sandbox::Mode;

use super::room::Room;
use super::show::name;

/// What became of a format in each sandbox.
#[derive(Debug)]
pub(super) struct Tested {
    pub(super) format: Format,
    /// Nothing, if all went well.
    pub(super) results: Vec<(Mode, Option<String>)>,
    /// Every sandbox wrote the same bytes.
    pub(super) same: bool,
}

/// Bytes of the disk: not a whole number of anything but sectors.
const SIZE: usize = 3 * (1 << 20) + 512 * 7;
/// `check` has nothing to say of such images.
const NO_CHECK: i32 = 63;

/// The formats that are written.
pub(super) fn written() -> impl Iterator<Item = Format> {
    Format::ALL.into_iter().filter(|format| !format.is_read_only())
}

/// Tests every format in every sandbox.
pub(super) fn all(modes: &[Mode], room: &Room) -> io::Result<Vec<Tested>> {
    let disk = disk();
    fs::write(room.path("disk"), &disk)?;
    for mode in modes {
        fs::create_dir(room.path(name(*mode)))?;
    }
    let tested = written().map(|format| {
        let result = |mode: &Mode| (*mode, through(format, *mode, &disk, room).err());
        let results: Vec<_> = modes.iter().map(result).collect();
        let images: Vec<_> = modes
            .iter()
            .map(|mode| fs::read(room.path(&image(format, *mode))))
            .filter_map(Result::ok)
            .collect();
        // Of the same seed. Keys of an encrypted disk come from the system, and never twice.
        let same = format == Format::Luks || images.windows(2).all(|pair| pair[0] == pair[1]);
        Tested {
            format,
            results,
            same,
        }
    });
    Ok(tested.collect())
}

/// Noise, zeros and one byte again and again, in pieces that fit no cluster.
fn disk() -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for (at, byte) in bytes.iter_mut().enumerate() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = match at / 100_000 % 3 {
            0 => state.to_le_bytes()[0],
            1 => 0,
            _ => 0x5a,
        };
    }
    bytes
}

/// The same name for each sandbox: a VMDK has it in its descriptor.
fn image(format: Format, mode: Mode) -> String {
    format!("{}/image.{}", name(mode), format.name())
}

/// A disk of `format` and back. A failure is said in a line.
fn through(format: Format, mode: Mode, disk: &[u8], room: &Room) -> Result<(), String> {
    let (image, called) = (image(format, mode), format.name());
    let back = format!("{image}.back");
    // An encrypted disk needs a key wherever it is touched, and the reference tool has no way to name one for -f.
    let (make, look, read): (Vec<&str>, Vec<&str>, String) = if format == Format::Luks {
        (
            vec!["--object", KEY, "-o", "key-secret=key,iter-time=10"],
            vec!["--object", KEY, "--image-opts"],
            format!("driver=luks,key-secret=key,file.filename={image}"),
        )
    } else {
        (vec![], vec!["-f", called], image.clone())
    };
    let run = |verb: &str, words: &[&str]| -> Result<Output, String> {
        let sandbox = ["--sandbox", name(mode), "--timeout", "60"];
        let all = [&[verb][..], &sandbox, words].concat();
        let output = room.instar(all).map_err(|error| instar_engine::said(&error))?;
        let code = output.status.code();
        let fine = code == Some(0) || verb == "check" && code == Some(NO_CHECK);
        if fine {
            return Ok(output);
        }
        let why = String::from_utf8_lossy(&output.stderr)
            .trim_end()
            .replace('\n', "; ");
        Err(format!("{verb}: {why} ({})", output.status))
    };
    let target = ["-f", "raw", "-O", called, "disk", &image];
    run("convert", &[&make[..], &target].concat())?;
    run("check", &[&look[..], &[&read]].concat())?;
    run("convert", &[&look[..], &["-O", "raw", &read, &back]].concat())?;
    let read = fs::read(room.path(&back)).map_err(|error| instar_engine::said(&error))?;
    // Some formats have whole tracks or clusters, and zeros up to there.
    let (front, rest) = read.split_at_checked(disk.len()).unwrap_or((&read, &[]));
    if front == disk && rest.iter().all(|byte| *byte == 0) {
        Ok(())
    } else {
        Err("the disk that was read back is another".to_owned())
    }
}

const KEY: &str = "secret,id=key,data=selftest";
