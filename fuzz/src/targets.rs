//! Every target by name.

use instar_abi::Format;

use crate::mutate::{self, Blind};
use crate::oracles::{
    change, convert, engine, image, packed, partitions, report, request, vhd, window, words,
};
use crate::{Dice, repair, seeds};

/// Something that is searched.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Panics if a rule is broken.
    pub oracle: fn(&[u8]),
    /// Sound inputs.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Changes an input.
    pub mutate: fn(&mut Vec<u8>, &mut Dice, &mut Blind<'_>),
}

/// A target for images of a format.
macro_rules! image {
    ($name:literal, $format:ident) => {
        Target {
            name: $name,
            oracle: |input| image::judge(Format::$format, input),
            seeds: || seeds::images(Format::$format),
            mutate: |input, dice, blind| mutate::case(input, dice, blind, repair::of(Format::$format)),
        }
    };
}

/// A target for text.
macro_rules! text {
    ($name:literal, $oracle:path, $seeds:path) => {
        Target {
            name: $name,
            oracle: $oracle,
            seeds: $seeds,
            mutate: mutate::plain,
        }
    };
}

/// All of them.
pub static TARGETS: &[Target] = &[
    image!("asif", Asif),
    image!("bochs", Bochs),
    image!("cloop", Cloop),
    image!("dmg", Dmg),
    image!("luks", Luks),
    image!("ova", Ova),
    image!("parallels", Parallels),
    image!("qcow", Qcow),
    image!("qcow2", Qcow2),
    image!("qed", Qed),
    image!("raw", Raw),
    image!("vdi", Vdi),
    image!("vhdx", Vhdx),
    image!("vmdk", Vmdk),
    image!("vpc", Vpc),
    image!("zst", Zst),
    text!("descriptor", image::judge_descriptor, seeds::descriptors),
    Target {
        name: "change",
        oracle: change::judge,
        seeds: seeds::changeable,
        mutate: |input, dice, blind| mutate::case(input, dice, blind, |_, _| {}),
    },
    Target {
        name: "convert",
        oracle: convert::judge,
        seeds: || seeds::images(Format::Raw),
        mutate: |input, dice, blind| mutate::case(input, dice, blind, |_, _| {}),
    },
    Target {
        name: "window",
        oracle: window::judge,
        seeds: window::seeds,
        mutate: window::mutate,
    },
    text!("packed", packed::judge, packed::seeds),
    Target {
        name: "partitions",
        oracle: partitions::judge,
        seeds: seeds::partitions,
        mutate: |input, dice, blind| mutate::case(input, dice, blind, repair::partitions),
    },
    text!("vhd_size", vhd::judge, vhd::seeds),
    Target {
        name: "request",
        oracle: request::judge,
        seeds: request::seeds,
        mutate: request::mutate,
    },
    Target {
        name: "engine",
        oracle: engine::judge,
        seeds: request::seeds,
        mutate: request::mutate,
    },
    text!("report", report::judge, report::seeds),
    text!("command_line", words::command_line, words::command_lines),
    text!("name", words::name, words::names),
    text!("value", words::value, words::values),
    text!("configuration", words::configuration, words::configurations),
];

/// The target of that name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
