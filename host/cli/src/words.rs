//! The words for what the guest reports: facts come in, messages go out.

pub(crate) mod run;

use std::fmt::Write;

use instar_abi::errno::{EDQUOT, EIO, ENOSPC};
use instar_abi::report::{Checked, Failure, Stage};
use instar_abi::{Fault, Slot, fault};

use crate::program::Program;
use crate::show::{Escaped, Name};

/// What messages refer to.
pub trait Scene {
    /// The name of a source, as the user wrote it.
    fn source(&self, index: u32) -> Vec<u8>;
    /// The name of the target, for verbs that have one.
    fn target(&self) -> Vec<u8> {
        Vec::new()
    }
    /// What was being done to the target: `error while converting raw`.
    fn creating(&self) -> String {
        String::new()
    }
    /// The name of an open file.
    fn file(&self, slot: Slot) -> Option<Name>;
    /// Whether it is the image that the run is about, or the first of them.
    fn is_first(&self, slot: Slot) -> bool;
    /// The name that the layer below `slot` has, given its name in the image.
    fn below(&self, slot: Slot, name: &[u8]) -> Name;
    /// Whether layers are opened one by one, each for its own sake (`info --backing-chain`).
    fn layer_by_layer(&self) -> bool {
        false
    }
    /// How many layers lie above the one that `slot` names.
    fn depth(&self, slot: Slot) -> usize {
        let _ = slot;
        1
    }
    /// The words for a read or write that failed at a byte of the disk.
    fn moving(&self, reading: bool, at: u64) -> String {
        moving(reading, at)
    }
}

/// The words of most verbs for a read or write that failed at a byte of the disk.
#[must_use]
pub fn moving(reading: bool, at: u64) -> String {
    let what = if reading { "reading" } else { "writing" };
    format!("error while {what} at byte {at}")
}

/// The message for a failure, without the program's prefix; a hint may follow on a line of its own.
#[must_use]
pub fn failure(failure: &Failure, scene: &dyn Scene) -> Vec<u8> {
    let fault = &failure.fault;
    let why = self::fault(fault);
    let mut text = match failure.stage {
        Stage::OpenSource(index) if fault.code == fault::stream::SPOOLED => {
            let mut text = b"'".to_vec();
            given(scene, index).put(&mut text);
            [&text, b"' ".as_slice(), why.as_bytes()].concat()
        }
        Stage::OpenSource(index) => could_not_open(&given(scene, index), &beside(fault, &why, scene)),
        Stage::OpenBacking(slot) => backing(slot, fault, &why, scene),
        Stage::LoadSnapshot => [b"Failed to load snapshot: ", why.as_bytes()].concat(),
        Stage::FindPartition(index) => {
            let mut text = Vec::new();
            given(scene, index).put(&mut text);
            text.extend_from_slice(b": ");
            text.extend_from_slice(why.as_bytes());
            text
        }
        Stage::OpenTargetBacking => {
            let inner = format!("Could not open backing file: {}", opened(fault, &why, scene));
            could_not_open(&Name::given(&scene.target()), &inner)
        }
        Stage::OpenTarget if fault.code == fault::core::TARGET_TOO_SMALL => why.clone().into_bytes(),
        Stage::OpenTarget => could_not_open(&Name::given(&scene.target()), &why),
        Stage::Create => [
            scene.target(),
            format!(": {}: {why}", scene.creating()).into_bytes(),
        ]
        .concat(),
        Stage::Read(at) => named(format!("{}: {why}", scene.moving(true, at)), fault, scene),
        Stage::Locate(index) => [
            b"Sector allocation test failed for ".as_slice(),
            &scene.source(index),
            b": ",
            why.as_bytes(),
        ]
        .concat(),
        Stage::ReadSource(index, at) => [
            format!("Error while reading offset {at} of ").as_bytes(),
            &scene.source(index),
            b": ",
            why.as_bytes(),
        ]
        .concat(),
        Stage::Write(at) => named(format!("{}: {why}", scene.moving(false, at)), fault, scene),
        Stage::Finish => [
            scene.target(),
            format!(": could not complete the image: {why}").into_bytes(),
        ]
        .concat(),
        Stage::Check => named(format!("Check failed: {why}"), fault, scene),
        Stage::Other if is_of_disk(fault) => named(why.clone(), fault, scene),
        Stage::Change | Stage::BitmapAction(_) | Stage::Other => why.clone().into_bytes(),
    };
    if fault.code == fault::core::REFUSED_LOCK {
        // The file that is locked: the layer that `slot` names, or the file in it.
        let name = match (&fault.text, fault.slot) {
            (Some(name), Some(slot)) => scene.below(slot, name.as_bytes()),
            (_, slot) => slot
                .and_then(|slot| scene.file(slot))
                .unwrap_or_else(|| given(scene, 0)),
        };
        text.extend_from_slice(b"\nIs another process using the image [");
        name.put(&mut text);
        text.extend_from_slice(b"]?");
    }
    text
}

/// The line of a warning. Who expects the reference tool is not told of what is no danger to anybody.
#[must_use]
pub fn warning(failure: &Failure, scene: &dyn Scene, program: &Program) -> Vec<u8> {
    let head: &[u8] = match failure.fault.code {
        fault::stream::SPOOLED if program.is_reference() => return Vec::new(),
        fault::stream::SPOOLED => b"note: ",
        _ => b"warning: ",
    };
    program.message(&[head, &self::failure(failure, scene)].concat())
}

/// What a check found, each on a line of its own.
#[must_use]
pub fn findings(found: &[Fault], program: &Program) -> Vec<u8> {
    let mut text = Vec::new();
    for one in found {
        let words = fault(one).into_bytes();
        if fault::check::is_prefixed(one.code) {
            text.extend_from_slice(&program.message(&words));
        } else {
            text.extend_from_slice(&words);
            text.push(b'\n');
        }
    }
    text
}

/// How much of it nobody heard of; nothing, if that is all.
#[must_use]
pub fn left_out(checked: &Checked, program: &Program) -> Vec<u8> {
    if checked.left_out == 0 {
        return Vec::new();
    }
    let text = format!("{} further messages were left out", checked.left_out);
    program.message(text.as_bytes())
}

/// What went wrong, without saying where.
#[must_use]
pub fn fault(fault: &Fault) -> String {
    let Some(template) = fault.code.template() else {
        return format!("unknown failure {}", fault.code.0);
    };
    let mut text = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        text.push_str(before);
        let Some((field, tail)) = after.split_once('}') else {
            text.push('{');
            rest = after;
            continue;
        };
        fill(&mut text, field, fault);
        rest = tail;
    }
    text.push_str(rest);
    text
}

/// The system's words for an errno, as C programs print them.
#[must_use]
pub fn errno(number: u64) -> String {
    match i32::try_from(number) {
        Ok(number) if number > 0 => system(&std::io::Error::from_raw_os_error(number)),
        _ => format!("Unknown error {number}"),
    }
}

/// An error of the system's without Rust's number in parentheses.
#[must_use]
pub fn system(error: &std::io::Error) -> String {
    instar_engine::said(error)
}

fn fill(text: &mut String, field: &str, fault: &Fault) {
    let name = fault
        .text
        .as_ref()
        .map(|text| text.as_bytes())
        .unwrap_or_default();
    let (index, format) = field.split_once(':').unwrap_or((field, ""));
    let number = index
        .parse::<usize>()
        .ok()
        .and_then(|index| fault.numbers.get(index));
    let _ = match (index, number, format) {
        ("text", _, _) => write!(text, "{}", Escaped(name)),
        ("errno", _, _) => write!(text, "{}", errno(fault.numbers[0])),
        (_, Some(number), "x") => write!(text, "{number:x}"),
        // As C has it: no prefix before a zero.
        (_, Some(0), "%x") => write!(text, "0"),
        (_, Some(number), "#x" | "%x") => write!(text, "{number:#x}"),
        (_, Some(number), _) => write!(text, "{number}"),
        (_, None, _) => write!(text, "{{{field}}}"),
    };
}

/// The name of a source: the user gave it.
fn given(scene: &dyn Scene, index: u32) -> Name {
    Name::given(&scene.source(index))
}

fn could_not_open(name: &Name, why: &str) -> Vec<u8> {
    let mut text = b"Could not open '".to_vec();
    name.put(&mut text);
    text.extend_from_slice(b"': ");
    text.extend_from_slice(why.as_bytes());
    text
}

/// A layer below could not be opened.
fn backing(slot: Slot, fault: &Fault, why: &str, scene: &dyn Scene) -> Vec<u8> {
    if fault.code == fault::core::CHAIN_LOOP {
        return why.to_owned().into_bytes();
    }
    if fault.code == fault::core::CHAIN_TOO_DEEP {
        // As many layers stand above it; to say so of each is of no use.
        return could_not_open(&given(scene, 0), &too_deep(fault, why));
    }
    let name = fault.text.as_ref().map(|name| scene.below(slot, name.as_bytes()));
    if scene.layer_by_layer() {
        let outer = name.clone().or_else(|| scene.file(slot)).unwrap_or_default();
        let inner = match (&name, fault.code) {
            (Some(name), fault::core::IO) => format!("Could not open '{name}': {why}"),
            _ => why.to_owned(),
        };
        return could_not_open(&outer, &inner);
    }
    let inner = match (&name, fault.code) {
        (Some(name), fault::core::IO) => format!("Could not open '{name}': {why}"),
        _ => why.to_owned(),
    };
    let layers = "Could not open backing file: ".repeat(scene.depth(slot));
    could_not_open(&given(scene, 0), &format!("{layers}{inner}"))
}

/// The words for a chain that is too long; where the limit cannot be raised, they do not say to raise it.
fn too_deep(fault: &Fault, why: &str) -> String {
    match fault.numbers[0] {
        most if most >= LAYERS => {
            format!("the backing chain has more than {most} layers, which is the most that instar reads")
        }
        _ => why.to_owned(),
    }
}

/// The largest value of `--max-chain`.
const LAYERS: u64 = 256;

/// The reason, with the name of a file that the image names where the system would not open it.
fn beside(fault: &Fault, why: &str, scene: &dyn Scene) -> String {
    match (&fault.text, fault.slot, fault.code) {
        (Some(name), Some(slot), fault::core::IO) => {
            let name = scene.below(slot, name.as_bytes());
            format!("Could not open '{name}': {why}")
        }
        _ => why.to_owned(),
    }
}

/// The reason, with the file's name where the system gave it.
fn opened(fault: &Fault, why: &str, scene: &dyn Scene) -> String {
    let name = fault.slot.and_then(|slot| scene.file(slot));
    match (name, fault.code) {
        (Some(name), fault::core::IO) => format!("Could not open '{name}': {why}"),
        _ => why.to_owned(),
    }
}

/// The reason, with the file in which it was found, unless that is the one source. Who is told that an image is an attack, or that
/// a disk is full or fails, is told in any case which one it is: behind the words, which are those of the reference tool.
pub(crate) fn named(text: String, fault: &Fault, scene: &dyn Scene) -> Vec<u8> {
    let mut text = text.into_bytes();
    let file = fault.slot.and_then(|slot| scene.file(slot));
    let attacks = matches!(
        fault.code,
        fault::core::WORK_LIMIT
            | fault::core::STREAM_LIMIT
            | fault::core::SHARED_TABLES
            | fault::core::TABLES_LIMIT
            | fault::core::LOOK_LIMIT
    );
    let first = fault.slot.is_none_or(|slot| scene.is_first(slot));
    let is_other = !first && fault.code != fault::core::IO;
    if let Some(file) = file.filter(|_| attacks || is_of_disk(fault) || is_other) {
        text.extend_from_slice(format!(" (in '{file}')").as_bytes());
    }
    text
}

/// Whether it is the disk that does not do what it should.
fn is_of_disk(fault: &Fault) -> bool {
    fault.code == fault::core::IO && [EIO, ENOSPC, EDQUOT].contains(&fault.numbers[0])
}

#[cfg(test)]
mod tests {
    use super::{Name, errno, failure, fault};
    use instar_abi::report::{Failure, Stage};
    use instar_abi::{Fault, Slot, fault as faults};

    struct Plain;

    impl super::Scene for Plain {
        fn source(&self, _: u32) -> Vec<u8> {
            b"dir/top.qcow2".to_vec()
        }
        fn target(&self) -> Vec<u8> {
            b"out".to_vec()
        }
        fn creating(&self) -> String {
            "error while converting raw".to_owned()
        }
        fn file(&self, _: Slot) -> Option<Name> {
            Some(Name::given(b"dir/top.qcow2"))
        }
        fn is_first(&self, _: Slot) -> bool {
            true
        }
        fn below(&self, _: Slot, name: &[u8]) -> Name {
            Name::given(b"dir/top.qcow2").beside(name)
        }
    }

    fn words(stage: Stage, fault: Fault) -> String {
        String::from_utf8(failure(&Failure { stage, fault }, &Plain)).unwrap()
    }

    #[test]
    fn templates_are_filled() {
        let found = Fault::new(faults::core::SHORT_READ).with([7, 8, 9]);
        assert_eq!(
            fault(&found),
            "the file ends at byte 9, before the 8 bytes at offset 7 that the image refers to"
        );
        let named = Fault::new(faults::core::UNKNOWN_FORMAT).named(b"a\nb");
        assert_eq!(fault(&named), "Unknown driver 'a\\x0ab'");
        assert_eq!(errno(2), "No such file or directory");
    }

    #[test]
    fn every_template_has_only_fields_that_are_filled() {
        for code in 0..=u16::MAX {
            let code = instar_abi::FaultCode(code);
            if code.template().is_some() {
                let text = fault(&Fault::new(code));
                assert!(!text.contains(['{', '}']), "{text}");
            }
        }
    }

    #[test]
    fn a_chain_that_is_too_long_is_one_short_line_with_a_remedy_that_exists() {
        let long = |limit| {
            let fault = Fault::new(faults::core::CHAIN_TOO_DEEP).with([limit]);
            words(Stage::OpenBacking(Slot(300)), fault)
        };
        assert_eq!(
            long(200),
            "Could not open 'dir/top.qcow2': the backing chain has more than 200 layers; raise the limit with --max-chain if you trust the image"
        );
        assert_eq!(
            long(256),
            "Could not open 'dir/top.qcow2': the backing chain has more than 256 layers, which is the most that instar reads"
        );
    }

    #[test]
    fn stages_give_the_reference_tools_context() {
        let missing = || Fault::new(faults::core::IO).with([2]).named(b"base");
        assert_eq!(
            words(Stage::OpenBacking(Slot(0)), missing()),
            "Could not open 'dir/top.qcow2': Could not open backing file: Could not open 'dir/base': No such file or directory"
        );
        assert_eq!(
            words(
                Stage::OpenSource(0),
                Fault::new(faults::core::NOT_THIS_FORMAT).named(b"qcow2")
            ),
            "Could not open 'dir/top.qcow2': Image is not in qcow2 format"
        );
        assert_eq!(
            words(Stage::Write(512), Fault::new(faults::core::IO).with([28])),
            "error while writing at byte 512: No space left on device"
        );
        for (number, said) in [
            (28, "No space left on device (in 'dir/top.qcow2')"),
            (5, "Input/output error (in 'dir/top.qcow2')"),
            (95, "Operation not supported"),
        ] {
            let fault = Fault::new(faults::core::IO).with([number]).in_file(Slot(0));
            assert_eq!(
                words(Stage::Write(512), fault.clone()),
                format!("error while writing at byte 512: {said}")
            );
            assert_eq!(words(Stage::Check, fault), format!("Check failed: {said}"));
        }
        assert!(
            words(Stage::OpenSource(0), Fault::new(faults::core::REFUSED_LOCK))
                .ends_with("\nIs another process using the image [dir/top.qcow2]?")
        );
        let layer = Fault::new(faults::core::REFUSED_LOCK)
            .named(b"base")
            .in_file(Slot(0));
        assert!(
            words(Stage::OpenBacking(Slot(0)), layer)
                .ends_with("\nIs another process using the image [dir/base]?")
        );
    }
}
