//! Images that exist and are written to.

use std::path::{Path, PathBuf};

use instar_disk::{Action, File, Host, Io, Result, Target};

use super::{Format, Sound, Tally, walk};
use crate::{Failing, Native, Outcome, oracle};

/// Takes an existing image as a target of so many bytes.
pub type Existing = for<'h> fn(File<'h>, u64) -> Result<Box<dyn Target + 'h>>;

/// The n-th change fails, for every n: what is left is refused, untouched, or complete, and is completed by a second run. Gives how many
/// changes there are.
///
/// # Panics
/// If not, or if an image that was written to completely is refused.
pub fn survives_failures(format: &Format, existing: Existing, sound: &Sound) -> u64 {
    let before = std::fs::read(&sound.image).unwrap();
    // It has no VHDX with sectors of 4096 bytes, for instance.
    let is_read_by_qemu = qemu_img("info", &[&sound.image]).status.success();
    for allowed in 0.. {
        std::fs::write(&sound.image, &before).unwrap();
        let host = Failing::after(allowed);
        let facts = host.native.existing(&sound.image);
        let outcome = existing(File::new(&host, facts), 0).and_then(|target| fill(&host, target));
        let is_read = walk(format, &sound.image).is_ok();
        if outcome.is_ok() {
            assert!(is_read, "{}: complete, and refused", sound.name);
            std::fs::write(&sound.image, &before).unwrap();
            std::fs::remove_file(complete_at(&sound.image)).unwrap();
            return allowed;
        }
        // Only the last flush can be missing where the image is recognised again.
        let untouched = std::fs::read(&sound.image).unwrap() == before;
        finish_beside(existing, &sound.image, &before);
        let complete =
            std::fs::read(&sound.image).unwrap() == std::fs::read(complete_at(&sound.image)).unwrap();
        assert!(
            !is_read || untouched || complete,
            "{}: after {allowed} changes it is taken for an image",
            sound.name
        );
        let host = Native::new(1);
        let facts = host.existing(&sound.image);
        let again = existing(File::new(&host, facts), 0).and_then(|target| fill(&host, target));
        let again = again.and_then(|()| walk(format, &sound.image));
        assert!(
            again.is_ok(),
            "{}: after {allowed} changes, again: {again:?}",
            sound.name
        );
        if is_read_by_qemu {
            let output = qemu_img("compare", &[&sound.image, &complete_at(&sound.image)]);
            assert!(
                output.status.success(),
                "{}: after {allowed} changes, again: {output:?}",
                sound.name
            );
        }
    }
    0
}

/// Every change of [`super::survives_changes`] in the tables and fields of an image that is then written to: refused, or
/// written; never a panic.
///
/// # Panics
/// If the driver does.
pub fn takes_changed_images(existing: Existing, sound: &Sound) -> Tally {
    let before = std::fs::read(&sound.image).unwrap();
    let mut tally = Tally::default();
    for at in sound.fields.iter().chain(&sound.tables).cloned().flatten() {
        for flip in [0x01, 0x80, 0xff] {
            let mut bytes = before.clone();
            bytes[at as usize] ^= flip;
            if let Some(sum) = sound.sums.iter().find(|sum| sum.of.contains(&at)) {
                sum.renew(&mut bytes);
            }
            std::fs::write(&sound.image, &bytes).unwrap();
            let host = Native::new(1);
            let facts = host.existing(&sound.image);
            let outcome = existing(File::new(&host, facts), 0).and_then(|target| fill(&host, target));
            tally.count(outcome.is_ok());
            let length = sound.image.metadata().unwrap().len();
            assert!(
                length <= before.len() as u64 + (64 << 20),
                "{}: {flip:#x} at {at} made the file {length} bytes long",
                sound.name
            );
        }
    }
    std::fs::write(&sound.image, &before).unwrap();
    tally
}

/// Where [`finish_beside`] leaves the image after all changes.
fn complete_at(path: &Path) -> PathBuf {
    path.with_extension("finished")
}

fn finish_beside(existing: Existing, path: &Path, before: &[u8]) {
    let beside = complete_at(path);
    std::fs::write(&beside, before).unwrap();
    let host = Native::new(1);
    let facts = host.existing(&beside);
    fill(&host, existing(File::new(&host, facts), 0).unwrap()).unwrap();
}

fn qemu_img(verb: &str, files: &[&Path]) -> Outcome {
    Outcome::of(oracle::program("qemu-img").arg(verb).args(files))
}

/// Data for some units, zeros for others, wherever they are.
fn fill(host: &dyn Host, mut target: Box<dyn Target + '_>) -> Result<()> {
    let (size, unit) = (target.size(), target.unit());
    for (number, offset) in (0..size.min(8 * unit)).step_by(unit as usize).enumerate() {
        let length = unit.min(size - offset);
        if number % 3 == 2 {
            target.zero(offset, length)?;
            continue;
        }
        let mut done = 0;
        while done < length {
            let (slot, place, step) = match target.plain() {
                Some(slot) => (slot, offset + done, length - done),
                None => {
                    let placed = target.allocate(offset + done, length - done)?;
                    assert!((1..=length - done).contains(&placed.length), "{placed:?}");
                    (placed.slot, placed.offset, placed.length)
                }
            };
            let bytes = vec![0x77; step as usize];
            let action = Action::Write {
                slot,
                offset: place,
                from: &bytes,
            };
            let mut io = [Io::new(action)];
            host.submit(&mut io);
            let [io] = io;
            io.outcome.map_err(|error| error.fault(slot))?;
            done += step;
        }
    }
    target.finish()
}
