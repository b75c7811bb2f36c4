//! Images: valid ones, and ones of which a few fields were changed. Both programs look at them, check them, read them and compare them.

use instar_tests::Dice;

use crate::case::Step;
use crate::field;
use crate::recipe::{Image, image};

pub(super) fn steps(dice: &mut Dice) -> Vec<Step> {
    let image = image(dice);
    let mut steps = image.steps.clone();
    if !dice.one_in(8) {
        steps.extend(field::edits(dice, &image).into_iter().map(Step::Edit));
    }
    let open = match dice.below(8) {
        0 => String::new(),
        _ => format!("-f {}", image.format),
    };
    for _ in 0..1 + dice.below(2) {
        question(dice, &image, &open, &mut steps);
    }
    steps
}

/// Something that both programs are asked about it.
fn question(dice: &mut Dice, image: &Image, open: &str, steps: &mut Vec<Step>) {
    let name = &image.name;
    match dice.below(16) {
        0 | 1 => steps.push(Step::both(&format!("info --output=json {open} {name}"))),
        2 => steps.push(Step::both(&format!("info {open} {name}"))),
        3 | 4 => steps.push(Step::both(&format!("map --output=json {open} {name}"))),
        5 => steps.push(Step::both(&format!("map {open} {name}"))),
        6 | 7 => steps.push(Step::both(&format!("check {open} {name}"))),
        8 => steps.push(Step::both(&format!("check --output=json {open} {name}"))),
        9 => {
            let target = dice.of(&["raw", "qcow2", "qcow2 -o cluster_size=4k"]);
            steps.push(Step::both(&format!(
                "measure --output=json -O {target} {open} {name}"
            )));
        }
        10 if image.steps.iter().any(|step| matches!(step, Step::Disk(..))) && image.format != "raw" => {
            steps.push(Step::both(&format!("compare {open} -F raw {name} disk.raw")));
        }
        11 => {
            let (block, skip) = (dice.of(&[512, 4096, 10_000]), dice.below(60));
            let count = skip + dice.below(200);
            steps.push(Step::both(&format!(
                "dd {open} if={name} of=window bs={block} skip={skip} count={count}"
            )));
            steps.push(Step::Same("window".to_owned(), "raw".to_owned()));
        }
        12 => {
            let target = dice.of(&["qcow2", "vmdk", "vdi", "vhdx"]);
            steps.push(Step::both(&format!("convert {open} -O {target} {name} other")));
            steps.push(Step::Same("other".to_owned(), target.to_owned()));
        }
        _ => {
            steps.push(Step::both(&format!("convert {open} -O raw {name} whole")));
            steps.push(Step::Same("whole".to_owned(), "raw".to_owned()));
        }
    }
}
