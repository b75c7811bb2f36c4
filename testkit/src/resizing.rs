//! Disks of images made larger and smaller in place: what a power cut at any moment of it leaves is the old disk or the new one, as
//! the driver reads it and, in a sample, as qemu-img does.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use instar_disk::job::Preallocation;
use instar_disk::{Edit, Fault, File, FileFacts, Host, Image, Kind, Resizing, Result, Sealed};

use crate::conformance::Open;
use crate::{Failing, Native, State, Torn, oracle};

/// A driver's `edit`.
pub type Editing = for<'h> fn(File<'h>) -> Result<Box<dyn Edit + 'h>>;

/// A driver whose images are resized.
#[derive(Clone, Copy, Debug)]
pub struct Resizer {
    /// The format, as qemu-img calls it.
    pub format: &'static str,
    /// Opens an image to read it.
    pub open: Open,
    /// Opens it to change it.
    pub edit: Editing,
}

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub struct To {
    /// Bytes.
    pub size: u64,
    /// How space is reserved.
    pub preallocation: Preallocation,
}

/// So many bytes, and no space reserved.
#[must_use]
pub const fn to(size: u64) -> To {
    To {
        size,
        preallocation: Preallocation::Off,
    }
}

/// A disk without its zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Bytes.
    pub size: u64,
    /// Sectors that are not zero, by their number.
    sectors: BTreeMap<u64, Vec<u8>>,
}

impl Disk {
    /// The same disk with another size, zero where it is longer.
    #[must_use]
    pub fn of_size(&self, size: u64) -> Self {
        let mut sectors: BTreeMap<u64, Vec<u8>> = self
            .sectors
            .range(..size.div_ceil(SECTOR))
            .map(|(number, sector)| (*number, sector.clone()))
            .collect();
        if let Some(last) = sectors.get_mut(&(size / SECTOR)) {
            last[(size % SECTOR) as usize..].fill(0);
        }
        Self { size, sectors }
    }

    /// Writes it into a raw file.
    pub fn put(&self, path: &Path) {
        let file = std::fs::File::create(path).unwrap();
        file.set_len(self.size).unwrap();
        for (number, sector) in &self.sectors {
            file.write_all_at(sector, number * SECTOR).unwrap();
        }
    }
}

impl Resizer {
    /// The disk of an image, as the driver reads it.
    ///
    /// # Errors
    /// Why it does not.
    pub fn disk(&self, path: &Path) -> Result<Disk> {
        let native = Native::new(1);
        let mut image = (self.open)(File::new(&native, native.source(path)))?;
        read(&native, &mut *image)
    }

    /// Gives the disk of an image another size.
    ///
    /// # Errors
    /// Why not.
    pub fn resize(&self, path: &Path, apart: &[PathBuf], to: To) -> Result<()> {
        let native = Native::new(1);
        let file = File::new(&native, native.existing(path));
        let apart = apart.iter().map(|path| native.existing(path)).collect();
        resize(&mut *(self.edit)(file)?, to, apart)
    }

    /// The disk becomes what it was, cut or with zeros behind it; so it is after a power cut at any moment, or else as it was before.
    /// Files with the image's data are `apart`. Gives how many states were looked at.
    ///
    /// # Panics
    /// If not.
    pub fn survives(&self, path: &Path, apart: &[PathBuf], to: To, rounded: u64) -> usize {
        let torn = Torn::default();
        let facts = torn.native.existing(path);
        let others: Vec<FileFacts> = apart.iter().map(|path| torn.native.existing(path)).collect();
        let files: Vec<(FileFacts, &Path)> = std::iter::once((facts, path))
            .chain(others.iter().copied().zip(apart.iter().map(PathBuf::as_path)))
            .collect();
        let before = self.disk(path).unwrap();
        let after = before.of_size(rounded);
        let raw = [&before, &after].map(|disk| {
            let raw = path.with_extension(format!("{}.raw", disk.size));
            disk.put(&raw);
            raw
        });
        let bytes = |path: &Path| std::fs::read(path).unwrap();
        let old = State::from_iter(files.iter().map(|(facts, path)| (facts.slot, bytes(path).into())));
        let mut edit = (self.edit)(File::new(&torn, facts)).unwrap();
        resize(&mut *edit, to, others.clone()).unwrap();
        drop(edit);
        let new: Vec<Vec<u8>> = files.iter().map(|(_, path)| bytes(path)).collect();
        let what = format!("{}, {to:?}", path.display());
        assert!(self.disk(path).unwrap() == after, "{what}: another disk");
        self.is_read_as(path, &raw[1], &what);
        let mut number = 0;
        let states = torn.states(&old, &mut |state, moment| {
            number += 1;
            for (facts, path) in &files {
                state[&facts.slot].put(path);
            }
            let found = self
                .disk(path)
                .unwrap_or_else(|fault| panic!("{what}, {moment}: {fault:?}"));
            assert!(
                found == before || found == after,
                "{what}, {moment}: neither the disk from before nor the one from after"
            );
            if number % SAMPLE == 0 {
                self.is_read_as(
                    path,
                    &raw[usize::from(found == after)],
                    &format!("{what}, {moment}"),
                );
            }
        });
        for ((_, path), bytes) in files.iter().zip(&new) {
            assert!(
                std::fs::read(path).unwrap() == *bytes,
                "{what}: the last state is what was written"
            );
        }
        states
    }

    /// The n-th change fails, for every n: the disk is the old one or the new one, and resizing it again succeeds. Files with the image's
    /// data are `apart`. Gives how many changes there are.
    ///
    /// # Panics
    /// If not.
    pub fn recovers(&self, path: &Path, apart: &[PathBuf], to: To, rounded: u64) -> u64 {
        let paths: Vec<&Path> = std::iter::once(path)
            .chain(apart.iter().map(PathBuf::as_path))
            .collect();
        let files: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).unwrap()).collect();
        let before = self.disk(path).unwrap();
        let after = before.of_size(rounded);
        for allowed in 0.. {
            for (path, bytes) in paths.iter().zip(&files) {
                std::fs::write(path, bytes).unwrap();
            }
            let host = Failing::after(allowed);
            let file = File::new(&host, host.native.existing(path));
            let others = apart.iter().map(|path| host.native.existing(path)).collect();
            let outcome = (self.edit)(file).and_then(|mut edit| resize(&mut *edit, to, others));
            let what = format!("{}, {to:?} after {allowed} changes", path.display());
            let found = self
                .disk(path)
                .unwrap_or_else(|fault| panic!("{what}: {fault:?}"));
            assert!(found == before || found == after, "{what}: another disk");
            assert!(outcome.is_err() || found == after, "{what}: done, and not done");
            if outcome.is_ok() {
                return allowed;
            }
            if found == before {
                self.resize(path, apart, to)
                    .unwrap_or_else(|fault| panic!("{what}, again: {fault:?}"));
                assert!(self.disk(path).unwrap() == after, "{what}, again: another disk");
            }
        }
        0
    }

    /// qemu-img reads this disk from the image.
    fn is_read_as(&self, path: &Path, raw: &Path, what: &str) {
        let (path, raw) = (path.to_str().unwrap(), raw.to_str().unwrap());
        let info = oracle::run(&["info", "-f", self.format, "--output=json", path]);
        let text =
            String::from_utf8_lossy(&info.stdout).into_owned() + &String::from_utf8_lossy(&info.stderr);
        let size = std::fs::metadata(raw).unwrap().len().next_multiple_of(SECTOR);
        // The first is that of the file below, where there is one.
        let mut sizes = text.lines().filter(|line| line.contains("\"virtual-size\":"));
        let last = sizes
            .next_back()
            .map(|line| line.chars().filter(char::is_ascii_digit).collect::<String>());
        assert_eq!(last.as_deref(), Some(size.to_string().as_str()), "{what}: {text}");
        if size <= WHOLE {
            let compared = oracle::run(&["compare", "-f", self.format, "-F", "raw", path, raw]);
            assert!(compared.status.success(), "{what}: {compared:?}");
            return;
        }
        // qemu-img reads the zeros of some formats byte by byte.
        for offset in [0, size - WHOLE] {
            let window = |format: &str, path: &str| {
                format!(
                    "driver=raw,offset={offset},size={WHOLE},file.driver={format},file.file.driver=file,file.file.filename={path}"
                )
            };
            let [ours, other] = [window(self.format, path), window("raw", raw)];
            let compared = oracle::run(&["compare", "--image-opts", &ours, &other]);
            assert!(compared.status.success(), "{what}, at {offset}: {compared:?}");
        }
    }
}

/// Gives the disk of an image that is open another size, where nothing is to be brought from elsewhere.
///
/// # Errors
/// Why not.
///
/// # Panics
/// If the driver asks for bytes from elsewhere.
pub fn resize(edit: &mut dyn Edit, to: To, apart: Vec<FileFacts>) -> Result<()> {
    let mut fetch = |_, _: &mut [u8]| panic!("nothing is to be fetched");
    edit.resize(&mut Resizing {
        size: to.size,
        preallocation: to.preallocation,
        below: 0,
        fetch: &mut fetch,
        apart,
    })
}

fn read(native: &Native, image: &mut dyn Image) -> Result<Disk> {
    let size = image.size();
    let mut disk = Disk {
        size,
        ..Disk::default()
    };
    let mut at = 0;
    while at < size {
        let mapping = image.map(at)?;
        assert!(mapping.length >= 1 && at + mapping.length <= size);
        match mapping.kind {
            Kind::Data { slot, offset } | Kind::Sealed(Sealed { slot, offset, .. }) => {
                let mut bytes = vec![0; mapping.length as usize];
                let mut io = [instar_disk::Io::new(instar_disk::Action::Read {
                    slot,
                    offset,
                    into: &mut bytes,
                })];
                native.submit(&mut io);
                let [io] = io;
                io.outcome.map_err(|error| error.fault(slot))?;
                if let (Kind::Sealed(sealed), Some((_, key))) = (mapping.kind, image.key()) {
                    key.decrypt(sealed.position, &mut bytes)?;
                }
                for (number, sector) in (at / SECTOR..).zip(bytes.chunks(SECTOR as usize)) {
                    if sector.iter().any(|byte| *byte != 0) {
                        disk.sectors.insert(number, sector.to_vec());
                    }
                }
            }
            Kind::Zero { .. } | Kind::Unallocated => {}
            Kind::Encoded(_) => return Err(Fault::new(instar_disk::fault::core::NO_COMPRESSION)),
        }
        at += mapping.length;
    }
    Ok(disk)
}

/// Bytes of a sector.
const SECTOR: u64 = 512;
/// Bytes of the largest disk that qemu-img reads as a whole; of a larger one, so many at each end.
const WHOLE: u64 = 1 << 30;
/// States that qemu-img judges: one in so many.
const SAMPLE: usize = 40;
