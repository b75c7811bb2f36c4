//! Makes a case that disagrees smaller, as long as it disagrees in the same way.

use crate::case::{Case, Step};
use crate::execute::{Disagreement, Verdict, execute};
use crate::twins::Twins;

/// The smallest case found, and how it disagrees.
pub(crate) fn shrink(case: Case, found: Disagreement, twins: &Twins<'_>) -> (Case, Disagreement) {
    let (mut case, mut found) = (case, found);
    // Nothing after the step that shows it matters.
    case.steps.truncate(found.step + 1);
    let mut tries = TRIES;
    loop {
        let smaller = candidates(&case).into_iter().find_map(|candidate| {
            tries = tries.checked_sub(1)?;
            match execute(&candidate, twins) {
                Verdict::Disagreed(other) if other.is_like(&found) => Some((candidate, *other)),
                _ => None,
            }
        });
        match smaller {
            Some((smaller, other)) => (case, found) = (smaller, other),
            None => return (case, found),
        }
        case.steps.truncate(found.step + 1);
    }
}

/// Cases that are smaller by one thing, the largest things first.
fn candidates(case: &Case) -> Vec<Case> {
    let mut all = Vec::new();
    let with = |steps: Vec<Step>| Case {
        steps,
        sandbox: case.sandbox,
    };
    for number in (0..case.steps.len()).rev() {
        let mut steps = case.steps.clone();
        steps.remove(number);
        all.push(with(steps));
    }
    for (number, step) in case.steps.iter().enumerate() {
        for smaller in smaller_steps(step) {
            let mut steps = case.steps.clone();
            steps[number] = smaller;
            all.push(with(steps));
        }
    }
    all
}

fn smaller_steps(step: &Step) -> Vec<Step> {
    match step {
        Step::Both(words) => smaller_words(words).into_iter().map(Step::Both).collect(),
        Step::Setup(words) => smaller_words(words).into_iter().map(Step::Setup).collect(),
        Step::Disk(name, size, pieces) => {
            let without = |number: usize| {
                let mut pieces = pieces.clone();
                pieces.remove(number);
                Step::Disk(name.clone(), *size, pieces)
            };
            (0..pieces.len()).map(without).collect()
        }
        Step::Io(format, image, commands) if commands.len() > 1 => (0..commands.len())
            .map(|number| {
                let mut commands = commands.clone();
                commands.remove(number);
                Step::Io(format.clone(), image.clone(), commands)
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Without one word or two after the verb; with a smaller number.
fn smaller_words(words: &[String]) -> Vec<Vec<String>> {
    let mut all = Vec::new();
    for length in [2, 1] {
        for start in 1..words.len().saturating_sub(length - 1) {
            let mut fewer = words.to_vec();
            fewer.drain(start..start + length);
            all.push(fewer);
        }
    }
    for (place, word) in words.iter().enumerate().skip(1) {
        for smaller in smaller_numbers(word) {
            let mut words = words.to_vec();
            words[place] = smaller;
            all.push(words);
        }
    }
    all
}

fn smaller_numbers(word: &str) -> Vec<String> {
    let Some(start) = word.find(|letter: char| letter.is_ascii_digit()) else {
        return Vec::new();
    };
    let digits = word[start..].chars().take_while(char::is_ascii_digit).count();
    let (before, rest) = word.split_at(start);
    let (number, after) = rest.split_at(digits);
    let Ok(number) = number.parse::<u64>() else {
        return Vec::new();
    };
    let mut smaller = vec![0, 1, number / 2, number.saturating_sub(1)];
    smaller.retain(|other| *other < number);
    smaller.dedup();
    smaller
        .into_iter()
        .map(|number| format!("{before}{number}{after}"))
        .collect()
}

/// Cases that are tried for one disagreement.
const TRIES: usize = 250;
