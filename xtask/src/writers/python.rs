//! Writers in Python: pyvhd (dynamic VHDs for Xen), and vhd with fixed-vhd-writer (fixed ones).

use std::process::Command;

use super::bench::Bench;
use super::{Image, Made};
use crate::run::output;

const PYVHD: &str = "0.0.1";
const VHD: &str = "1.0.7";
const WRITER: &str = "0.0.5";

const CONVERT: &str = "\
import sys, pyvhd
with open(sys.argv[1], 'rb') as disk, open(sys.argv[2], 'wb') as image:
    pyvhd.do_vhd_convert(disk, image)
";

const FIXED: &str = "\
import sys, vhd
from fixed_vhd_writer.vhd import FixedVHDWriter
vhd.create(sys.argv[2], int(sys.argv[3]))
if sys.argv[1]:
    FixedVHDWriter(sys.argv[2]).write_from_binary_file(sys.argv[1])
";

pub(super) fn make(bench: &Bench) -> Result<Vec<Made>, String> {
    let place = bench.home.join("python");
    if !place.join("fetched").exists() {
        output(
            Command::new("python3")
                .args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "--no-deps",
                    "--target",
                ])
                .arg(&place)
                .args([
                    format!("pyvhd=={PYVHD}"),
                    format!("vhd=={VHD}"),
                    format!("fixed-vhd-writer=={WRITER}"),
                ]),
        )?;
        // Its package imports a library for command lines that only its command needs.
        std::fs::write(place.join("fixed_vhd_writer/__init__.py"), "").map_err(|error| error.to_string())?;
        std::fs::write(place.join("fetched"), "").map_err(|error| error.to_string())?;
    }
    let room = bench.room("python")?;
    let python = |script: &str, words: &[&str]| {
        output(
            Command::new("python3")
                .current_dir(&room)
                .env("PYTHONPATH", &place)
                .args(["-c", script])
                .args(words),
        )
    };
    let image = |variant: String, path: &str, truth: Option<&str>| Image {
        variant,
        path: room.join(path),
        format: "vpc",
        truth: truth.map(|truth| room.join(truth)),
        deviation: None,
    };
    let mut dynamic = Made::new("pyvhd", PYVHD);
    for disk in ["odd", "even", "empty"] {
        let (raw, path) = (format!("{disk}.raw"), format!("{disk}.vhd"));
        let outcome = python(CONVERT, &[&raw, &path]);
        dynamic.add(outcome, image(format!("dynamic, {disk} disk"), &path, Some(&raw)));
    }
    let mut fixed = Made::new("vhd with fixed-vhd-writer", &format!("{VHD} with {WRITER}"));
    for (variant, raw, size) in [
        ("fixed, empty, 1 MiB", "", "1"),
        ("fixed, empty, 40 MiB", "", "40"),
        ("fixed, even disk", "even.raw", "10"),
        ("fixed, odd disk in 12 MiB", "odd.raw", "12"),
    ] {
        let path = format!("fixed-{size}.vhd");
        let outcome = python(FIXED, &[raw, &path, size]);
        let truth = if raw.is_empty() { "empty.raw" } else { raw };
        fixed.add(outcome, image(variant.to_owned(), &path, Some(truth)));
    }
    Ok(vec![dynamic, fixed])
}
