//! A map, run by run, as the reference tool writes it.

use instar_abi::report::MapRun;

use crate::release::{self, Fact};
use crate::show::Name;

/// For whom a map is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MapStyle {
    /// For people: a table of data.
    Human,
    /// For programs: an array of everything.
    Json,
}

/// A map that is being written. What a guest says has to fit: runs ascend without overlap, and programs miss nothing.
#[derive(Debug)]
pub(super) struct MapText {
    style: MapStyle,
    /// Asked for once: a map has millions of runs.
    shows_compressed: bool,
    begun: bool,
    runs: u64,
    /// Where the last run ended.
    end: Option<u64>,
}

/// Why a run is not valid.
type Nonsense = &'static str;

impl MapText {
    /// Nothing written yet.
    pub(super) fn new(style: MapStyle) -> Self {
        Self {
            style,
            shows_compressed: release::has(Fact::MapShowsCompressed),
            begun: false,
            runs: 0,
            end: None,
        }
    }

    /// The image could be opened.
    ///
    /// # Errors
    /// It was said before.
    pub(super) fn begin(&mut self, _size: u64, out: &mut Vec<u8>) -> Result<(), Nonsense> {
        if std::mem::replace(&mut self.begun, true) {
            return Err("a second map");
        }
        match self.style {
            MapStyle::Human => {
                out.extend_from_slice(b"Offset          Length          Mapped to       File\n");
            }
            MapStyle::Json => out.push(b'['),
        }
        Ok(())
    }

    /// The next run, in the file of this name.
    ///
    /// # Errors
    /// It cannot follow what came before.
    pub(super) fn run(&mut self, run: &MapRun, name: &Name, out: &mut Vec<u8>) -> Result<(), Nonsense> {
        let end = run.start.checked_add(run.length);
        let follows = self.end.is_none_or(|last| match self.style {
            MapStyle::Human => run.start >= last && run.length > 0,
            MapStyle::Json => run.start == last && run.length > 0,
        });
        if !self.begun || !follows || end.is_none() {
            return Err("a map that contradicts itself");
        }
        self.end = end;
        match self.style {
            MapStyle::Human if run.data && !run.zero => human(run, name, out),
            MapStyle::Human => {}
            MapStyle::Json => {
                if self.runs > 0 {
                    out.extend_from_slice(b",\n");
                }
                json(run, self.shows_compressed, out);
            }
        }
        self.runs += 1;
        Ok(())
    }

    /// Ends what was begun.
    pub(super) fn end(&mut self, out: &mut Vec<u8>) {
        if self.begun && self.style == MapStyle::Json {
            out.extend_from_slice(b"]\n");
        }
    }
}

fn human(run: &MapRun, name: &Name, out: &mut Vec<u8>) {
    for number in [run.start, run.length, run.place.map_or(0, |(_, offset)| offset)] {
        let start = out.len();
        hexadecimal(number, out);
        while out.len() - start < 16 {
            out.push(b' ');
        }
    }
    // As the reference tool has it: no name looks like one with a protocol.
    let dot = if name.has_protocol() { "./" } else { "" };
    out.extend_from_slice(format!("{dot}{name}\n").as_bytes());
}

/// As C's `%#x`.
fn hexadecimal(number: u64, out: &mut Vec<u8>) {
    let text = if number == 0 {
        "0".to_owned()
    } else {
        format!("{number:#x}")
    };
    out.extend_from_slice(text.as_bytes());
}

fn json(run: &MapRun, shows_compressed: bool, out: &mut Vec<u8>) {
    let mut number = |name: &str, value: u64| {
        out.extend_from_slice(name.as_bytes());
        decimal(value, out);
    };
    number("{ \"start\": ", run.start);
    number(", \"length\": ", run.length);
    number(", \"depth\": ", run.depth.into());
    let flags = [
        (", \"present\": ", run.present),
        (", \"zero\": ", run.zero),
        (", \"data\": ", run.data),
        (", \"compressed\": ", run.compressed),
    ];
    for (name, flag) in flags.into_iter().take(if shows_compressed { 4 } else { 3 }) {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(if flag { b"true" } else { b"false" });
    }
    if let Some((_, offset)) = run.place {
        out.extend_from_slice(b", \"offset\": ");
        decimal(offset, out);
    }
    out.push(b'}');
}

/// Without a formatter: a map has millions of them.
fn decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
        used += 1;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use super::{MapStyle, MapText, Name};
    use instar_abi::Slot;
    use instar_abi::report::MapRun;

    fn run(start: u64, length: u64) -> MapRun {
        MapRun {
            start,
            length,
            depth: 1,
            present: true,
            zero: false,
            data: true,
            compressed: false,
            place: Some((Slot(0), start)),
        }
    }

    #[test]
    fn both_styles_are_the_reference_tools() {
        for (style, expected) in [
            (
                MapStyle::Human,
                "Offset          Length          Mapped to       File\n0               0x200           0               a\n0x200           0x1             0x200           a\n",
            ),
            (
                MapStyle::Json,
                "[{ \"start\": 0, \"length\": 512, \"depth\": 1, \"present\": true, \"zero\": false, \"data\": true, \"compressed\": false, \"offset\": 0},\n{ \"start\": 512, \"length\": 1, \"depth\": 1, \"present\": true, \"zero\": false, \"data\": true, \"compressed\": false, \"offset\": 512}]\n",
            ),
        ] {
            let mut text = MapText::new(style);
            let mut out = Vec::new();
            text.begin(513, &mut out).unwrap();
            text.run(&run(0, 512), &Name::given(b"a"), &mut out).unwrap();
            text.run(&run(512, 1), &Name::given(b"a"), &mut out).unwrap();
            text.end(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }

    #[test]
    fn a_guest_that_contradicts_itself_is_found_out() {
        let mut out = Vec::new();
        let mut text = MapText::new(MapStyle::Json);
        assert!(text.run(&run(0, 1), &Name::default(), &mut out).is_err());
        text.begin(9, &mut out).unwrap();
        assert!(text.begin(9, &mut out).is_err());
        assert!(text.run(&run(u64::MAX, 2), &Name::default(), &mut out).is_err());
        text.run(&run(5, 5), &Name::default(), &mut out).unwrap();
        for wrong in [run(9, 5), run(11, 1), run(10, 0)] {
            assert!(text.run(&wrong, &Name::default(), &mut out).is_err());
        }
        text.run(&run(10, u64::MAX - 10), &Name::default(), &mut out)
            .unwrap();
    }
}
