//! A descriptor in which the size is another one.
//!
//! Sectors are what a disk writes at once, so the old text and the new one differ in one sector only: whatever follows the numbers
//! keeps its place unless it ends in that sector, for which comments are made shorter or longer.

use alloc::format;
use alloc::vec::Vec;
use core::ops::Range;

use instar_disk::fault::resize as faults;
use instar_disk::{Fault, File, Result, from_usize, to_usize};

use crate::descriptor::{Home, is_extent, trim, word};
use crate::raw::SECTOR;

/// One sector's worth of a new text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Patch {
    /// Where the first byte that changes is, from the text's start on.
    at: u64,
    bytes: Vec<u8>,
}

impl Patch {
    /// Writes it into the text that starts at `start`.
    pub(super) fn write(&self, file: &File<'_>, start: u64) -> Result<()> {
        if self.bytes.is_empty() {
            return Ok(());
        }
        file.flush()?;
        file.write(start.saturating_add(self.at), &self.bytes)?;
        file.flush()
    }
}

/// The change of `region`, which holds a text and perhaps more behind a NUL, to one that says `size` bytes. Where it cannot be done
/// otherwise, the geometry stays, which nothing depends on.
///
/// # Errors
/// `LAYOUT`.
pub(super) fn patch(region: &[u8], home: Home, size: u64) -> Result<Patch> {
    let end = region.iter().position(|byte| *byte == 0).unwrap_or(region.len());
    let text = region.get(..end).unwrap_or_default();
    let wrong = || Fault::new(faults::LAYOUT).named(b"a VMDK whose descriptor has no room for it");
    let sectors = Edit::sectors(text, size).ok_or_else(wrong)?;
    let both = Edit::cylinders(text, size).map(|cylinders| [sectors.clone(), cylinders]);
    let choices = both.as_ref().map(<[Edit; 2]>::as_slice).into_iter();
    let choices = choices.chain([core::slice::from_ref(&sectors)]);
    let mut texts = choices.flat_map(|edits| {
        let plain = applied(text, edits);
        let fitted = fitted(text, edits);
        core::iter::once(plain).chain(fitted)
    });
    let found = texts.find_map(|new| in_one_sector(region, end, &new, home));
    found.ok_or_else(wrong)
}

/// Another text in a range.
#[derive(Clone, Debug)]
struct Edit {
    range: Range<usize>,
    with: Vec<u8>,
}

impl Edit {
    /// The sectors of the only extent.
    fn sectors(text: &[u8], size: u64) -> Option<Self> {
        let (start, line) = lines(text).find(|(_, line)| is_extent(trim(line)))?;
        let (access, rest) = word(line);
        let (number, _) = word(rest);
        if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
            return None;
        }
        let at = offset_in(line, access)?.checked_add(access.len())?;
        let rest = line.get(at..)?;
        let within = at.checked_add(rest.iter().position(u8::is_ascii_digit)?)?;
        let start = start.checked_add(within)?;
        Some(Self {
            range: start..start.checked_add(number.len())?,
            with: format!("{}", size / SECTOR).into_bytes(),
        })
    }

    /// The cylinders, where they are what heads and sectors make of the size.
    fn cylinders(text: &[u8], size: u64) -> Option<Self> {
        let old = Self::sectors(text, size)?;
        let old = number(text.get(old.range)?)?;
        let value = |key: &str| {
            let key = format!("ddb.geometry.{key}");
            let mut found = lines(text).filter_map(move |(start, line)| {
                let at = line.iter().position(|byte| *byte == b'"')?;
                let named = trim(line.get(..at)?).strip_suffix(b"=")?;
                let rest = line.get(at.checked_add(1)?..)?;
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let start = start.checked_add(at)?.checked_add(1)?;
                (trim(named) == key.as_bytes()).then_some(start..start.checked_add(digits)?)
            });
            let range = found.next()?;
            let value = number(text.get(range.clone())?)?;
            Some((range, value))
        };
        let (range, cylinders) = value("cylinders")?;
        let track = value("heads")?.1.checked_mul(value("sectors")?.1)?;
        if old.checked_div(track)? != cylinders {
            return None;
        }
        let with = format!("{}", (size / SECTOR).checked_div(track)?).into_bytes();
        Some(Self { range, with })
    }
}

/// Each line and where it starts.
fn lines(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut start = 0_usize;
    text.split_inclusive(|byte| *byte == b'\n').map(move |line| {
        let at = start;
        start = start.saturating_add(line.len());
        (at, line)
    })
}

fn number(digits: &[u8]) -> Option<u64> {
    str::from_utf8(digits).ok()?.parse().ok()
}

/// Where a part of `whole` starts in it.
fn offset_in(whole: &[u8], part: &[u8]) -> Option<usize> {
    whole.windows(part.len()).position(|window| window == part)
}

/// The text with edits, which stand in its order or not.
fn applied(text: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut sorted: Vec<&Edit> = edits.iter().collect();
    sorted.sort_unstable_by_key(|edit| edit.range.start);
    let (mut new, mut at) = (Vec::new(), 0);
    for edit in sorted {
        new.extend_from_slice(text.get(at..edit.range.start).unwrap_or_default());
        new.extend_from_slice(&edit.with);
        at = edit.range.end;
    }
    new.extend_from_slice(text.get(at..).unwrap_or_default());
    new
}

/// The texts with edits that are as long as before, since a comment makes up for them.
fn fitted<'a>(text: &'a [u8], edits: &'a [Edit]) -> impl Iterator<Item = Vec<u8>> + 'a {
    let grown = applied(text, edits).len();
    lines(text).filter_map(move |(start, line)| {
        let body = line.strip_suffix(b"\n")?;
        let end = start.checked_add(body.len())?;
        let fill = match grown.checked_sub(text.len()) {
            Some(more) => {
                // Of a comment only the sign must stay.
                let kept = body.len().checked_sub(more).filter(|kept| *kept > 0)?;
                Edit {
                    range: start.checked_add(kept)?..end,
                    with: Vec::new(),
                }
            }
            None => Edit {
                range: end..end,
                with: alloc::vec![b' '; text.len().checked_sub(grown)?],
            },
        };
        let mut all = edits.to_vec();
        all.push(fill);
        body.starts_with(b"#").then(|| applied(text, &all))
    })
}

/// What of `new`, which replaces the first `end` bytes of a region, differs, if that is in one sector and nothing but filling is
/// written over.
fn in_one_sector(region: &[u8], end: usize, new: &[u8], home: Home) -> Option<Patch> {
    let mut bytes = new.to_vec();
    let (fill, limit) = match home {
        // Blank lines: the file keeps its length.
        Home::File => (b'\n', usize::MAX),
        Home::Extent => (0, region.len()),
    };
    if home == Home::File {
        let full = trim_end(new).len().saturating_add(1);
        bytes.truncate(full.max(end).min(bytes.len()));
    }
    if bytes.len() < end {
        bytes.resize(end, fill);
    }
    let over = region.get(end..bytes.len().min(region.len())).unwrap_or_default();
    let next = region.get(bytes.len()).copied().unwrap_or(0);
    if bytes.len() > limit || over.iter().any(|byte| *byte != 0) || next != 0 {
        return None;
    }
    let differs = |at: &usize| region.get(*at) != bytes.get(*at);
    let Some(first) = (0..bytes.len()).find(differs) else {
        return Some(Patch {
            at: 0,
            bytes: Vec::new(),
        });
    };
    let last = (first..bytes.len()).rfind(differs)?;
    let sector = to_usize(SECTOR).ok()?;
    let same = first.checked_div(sector) == last.checked_div(sector);
    same.then(|| Patch {
        at: from_usize(first),
        bytes: bytes.get(first..=last).unwrap_or_default().to_vec(),
    })
}

/// Without the blank lines behind it.
fn trim_end(text: &[u8]) -> &[u8] {
    let end = text.iter().rposition(|byte| *byte != b'\n');
    text.get(..end.map_or(0, |last| last.saturating_add(1)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\n\
        # Extent description\nRW 10240 FLAT \"x-flat.vmdk\" 0\n\n# The Disk Data Base\n#DDB\n\n\
        ddb.geometry.cylinders = \"10\"\nddb.geometry.heads = \"16\"\nddb.geometry.sectors = \"63\"\n";

    fn patched(region: &[u8], home: Home, size: u64) -> Vec<u8> {
        let patch = patch(region, home, size).unwrap();
        let mut bytes = region.to_vec();
        let at = to_usize(patch.at).unwrap();
        bytes.resize(bytes.len().max(at.saturating_add(patch.bytes.len())), 0);
        bytes.splice(at..at.saturating_add(patch.bytes.len()), patch.bytes);
        bytes
    }

    fn expected(sectors: &str, cylinders: &str) -> String {
        TEXT.replace("10240", sectors)
            .replace("\"10\"", &format!("\"{cylinders}\""))
    }

    #[test]
    fn a_short_text_grows_and_shrinks_at_its_end() {
        let grown = patched(TEXT.as_bytes(), Home::File, 5 << 30);
        assert_eq!(str::from_utf8(&grown).unwrap(), expected("10485760", "10402"));
        // What is too short gets blank lines, and those are used up first.
        let shrunk = patched(&grown, Home::File, 5 << 20);
        assert_eq!(shrunk.len(), grown.len());
        assert_eq!(str::from_utf8(&shrunk).unwrap().trim_end(), TEXT.trim_end());
        assert_eq!(patched(&shrunk, Home::File, 5 << 30), grown);
    }

    #[test]
    fn a_text_in_a_region_is_followed_by_zeros() {
        let mut region = TEXT.as_bytes().to_vec();
        region.resize(1024, 0);
        let grown = patched(&region, Home::Extent, 5 << 30);
        let mut wanted = expected("10485760", "10402").into_bytes();
        wanted.resize(1024, 0);
        assert_eq!(grown, wanted);
        assert_eq!(patched(&grown, Home::Extent, 5 << 20), region);
    }

    #[test]
    fn comments_make_up_for_a_text_that_goes_on_in_other_sectors() {
        let mut text = TEXT.to_owned();
        for number in 0..40 {
            text += &format!("ddb.number{number} = \"1234567890\"\n");
        }
        let grown = patched(text.as_bytes(), Home::File, 5 << 30);
        let wanted = text.replace("10240", "10485760").replace("\"10\"", "\"10402\"");
        let wanted = wanted.replace("# Disk DescriptorFile", "# Disk Descript");
        assert_eq!(str::from_utf8(&grown).unwrap(), wanted);
        let shrunk = patched(&grown, Home::File, 5 << 20);
        let wanted = text.replace("# Disk DescriptorFile", "# Disk Descript      ");
        assert_eq!(str::from_utf8(&shrunk).unwrap(), wanted);
    }

    #[test]
    fn geometry_stays_where_it_is_far_away() {
        let filler = format!("#{}\n", "x".repeat(600));
        let text = TEXT.replace("#DDB\n", &filler);
        let grown = patched(text.as_bytes(), Home::File, 5 << 30);
        let found = str::from_utf8(&grown).unwrap();
        assert!(found.contains("RW 10485760 FLAT"));
        assert!(found.contains("cylinders = \"10\"\n"));
        assert_eq!(grown.len(), text.len());
    }

    #[test]
    fn without_room_nothing_is_done() {
        let text = format!("{}{}", TEXT.replace('#', "x=1"), "y=1\n".repeat(200));
        assert_eq!(
            patch(text.as_bytes(), Home::File, 5 << 30).unwrap_err().code,
            faults::LAYOUT
        );
        assert_eq!(
            patch(b"nothing here", Home::File, 512).unwrap_err().code,
            faults::LAYOUT
        );
        // Something stands behind the text, after one zero.
        let mut region = TEXT.as_bytes().to_vec();
        region.extend_from_slice(b"\0and the rest\n");
        let kept = patched(&region, Home::File, 5 << 30);
        assert_eq!(kept.len(), region.len());
    }

    #[test]
    fn the_same_size_is_no_change() {
        let patch = patch(TEXT.as_bytes(), Home::File, 5 << 20).unwrap();
        assert!(patch.bytes.is_empty());
    }
}
