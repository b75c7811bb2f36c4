//! `dd`: operands in every order and spelling, windows on and off the sectors, sources and targets of every format.

use instar_tests::Dice;

use crate::case::Step;
use crate::recipe::{Image, image};
use crate::values::{format, number};

pub(super) fn steps(dice: &mut Dice) -> Vec<Step> {
    let image = image(dice);
    let mut words = operands(dice, &image);
    let mut target = "raw";
    options(dice, &image, &mut words, &mut target);
    if dice.one_in(3) {
        shuffle(dice, &mut words);
    }
    let mut line = vec!["dd".to_owned()];
    line.extend(words.into_iter().flatten());
    let mut steps = image.steps;
    if dice.one_in(12) {
        steps.push(Step::setup("create -q -f raw out 77k"));
    }
    steps.push(Step::Both(line));
    steps.push(Step::Same("out".to_owned(), target.to_owned()));
    if target != "raw" && dice.one_in(3) {
        steps.push(Step::both(&format!("info --output=json -f {target} out")));
    }
    if ["qcow2", "vdi", "vhdx", "qed", "parallels"].contains(&target) && dice.one_in(3) {
        steps.push(Step::both(&format!("check -f {target} out")));
    }
    steps
}

/// Each with the words that belong together.
fn operands(dice: &mut Dice, image: &Image) -> Vec<Vec<String>> {
    let mut words = vec![
        vec![format!(
            "if={}",
            if dice.one_in(60) { "absent" } else { &image.name }
        )],
        vec![format!(
            "of={}",
            if dice.one_in(60) { "absent/out" } else { "out" }
        )],
    ];
    let (mut block, mut largest) = (512, 8192);
    if !dice.one_in(6) {
        let text = if dice.one_in(8) {
            number(dice, 4096)
        } else {
            block = match dice.below(5) {
                0 => dice.of(&[512, 1024, 4096, 65_536, 1 << 20, 3 << 20]),
                1 => 512 * (1 + dice.scaled(10)),
                2 => 64 + dice.scaled(13),
                3 => dice.of(&[511, 513, 1000, 7777, 65_535, 65_537, 999_999]),
                _ => 64 + dice.scaled(23),
            };
            block.to_string()
        };
        largest = (3_u64 << 20) / block + 2;
        words.push(vec![format!("bs={text}")]);
    }
    for name in ["count", "skip"] {
        if !dice.one_in(3) || (block < 512 && name == "count") {
            let text = match dice.below(4) {
                0 => dice.scaled(8).to_string(),
                1 if dice.one_in(2) => number(dice, largest),
                _ => dice.below(largest + 1).to_string(),
            };
            words.push(vec![format!("{name}={text}")]);
        }
    }
    if dice.one_in(20) {
        let name = dice.of(&["bs", "count", "skip", "if", "of"]);
        words.push(vec![format!("{name}={}", number(dice, 100))]);
    }
    if dice.one_in(50) {
        let odd = dice.of(&[
            "conv=notrunc",
            "seek=1",
            "sync",
            "=",
            "BS=512",
            "iflag=skip_bytes",
            "-",
            "",
            "bs",
            "count==1",
        ]);
        words.push(vec![odd.to_owned()]);
    }
    if dice.one_in(80) {
        words.remove(dice.below(2) as usize);
    }
    words
}

fn options(dice: &mut Dice, image: &Image, words: &mut Vec<Vec<String>>, target: &mut &'static str) {
    let pair = |option: &str, value: &str| vec![option.to_owned(), value.to_owned()];
    match dice.below(12) {
        0..=6 => words.push(pair("-f", image.format)),
        7 => words.push(pair("-f", "raw")),
        8 => words.push(pair("-f", format(dice))),
        9 => {
            words.push(vec!["--image-opts".to_owned()]);
            for word in words.iter_mut().flatten() {
                if let Some(name) = word.strip_prefix("if=") {
                    *word = format!("if=driver={},file.filename={name}", image.format);
                }
            }
        }
        _ => {}
    }
    match dice.below(10) {
        0..=4 => {}
        5 => words.push(pair("-O", "raw")),
        6..=8 => {
            *target = dice.of(&[
                "qcow2",
                "qcow2",
                "vmdk",
                "vdi",
                "vpc",
                "vhdx",
                "qed",
                "qcow",
                "parallels",
            ]);
            words.push(pair("-O", target));
        }
        _ => {
            *target = format(dice);
            words.push(pair("-O", target));
        }
    }
    if dice.one_in(12) {
        words.push(vec!["-U".to_owned()]);
    }
    if dice.one_in(80) {
        words.push(vec![
            dice.of(&[
                "-q",
                "-n",
                "-p",
                "--",
                "-fO",
                "--force-share",
                "--nonsense",
                "-t",
                "-O",
            ])
            .to_owned(),
        ]);
    }
}

fn shuffle(dice: &mut Dice, words: &mut [Vec<String>]) {
    for place in (1..words.len()).rev() {
        words.swap(place, dice.below(place as u64 + 1) as usize);
    }
}
