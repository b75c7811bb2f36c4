//! Images made by other programs than qemu-img, read by instar, by qemu-img and by the programs themselves.
//!
//! The programs come from package registries and stay below `target/writers`; what cannot be had is counted.

mod apt;
mod bench;
mod bochs;
mod debian;
mod judge;
mod node;
mod page;
mod python;
mod qemu;
mod rust;
mod virtualbox;
mod xmount;

use std::path::PathBuf;

use self::bench::Bench;
use self::judge::Judgement;
use crate::Outcome;
use crate::run::build;

/// An image, as some program made it.
#[derive(Debug)]
struct Image {
    /// What the writer was asked for.
    variant: String,
    /// The file that readers open.
    path: PathBuf,
    /// qemu-img's name of the format.
    format: &'static str,
    /// The disk that the writer was given, or reads out of the image itself.
    truth: Option<PathBuf>,
    /// The row of the table of deviations that explains another answer than qemu-img's.
    deviation: Option<&'static str>,
}

/// What one program made.
#[derive(Debug)]
struct Made {
    writer: String,
    version: String,
    images: Vec<Image>,
    /// Variants that the program itself could not write, and why.
    failed: Vec<(String, String)>,
}

impl Made {
    fn new(writer: &str, version: &str) -> Self {
        Self {
            writer: writer.to_owned(),
            version: version.to_owned(),
            images: Vec::new(),
            failed: Vec::new(),
        }
    }

    /// Keeps an image that was made, or the reason why it was not.
    fn add(&mut self, outcome: Result<String, String>, image: Image) {
        match outcome {
            Ok(_) if image.path.is_file() => self.images.push(image),
            Ok(_) => self
                .failed
                .push((image.variant, "no file was written".to_owned())),
            Err(reason) => self.failed.push((image.variant, last_line(&reason))),
        }
    }
}

/// A program, with what makes images of it: some have more than one version.
type Maker = fn(&Bench) -> Result<Vec<Made>, String>;

const MAKERS: &[(&str, Maker)] = &[
    ("virtualbox", virtualbox::make),
    ("open-vmdk", debian::open_vmdk),
    ("vmdkstream", debian::vmdkstream),
    ("bximage", bochs::make),
    ("dosbox-x", debian::dosbox),
    ("xmount", xmount::make),
    ("python", python::make),
    ("node", node::make),
    ("rust", rust::make),
    ("qemu-img", qemu::make),
];

/// Lets every program (or those named) make what it can, and shows who reads it how.
pub(crate) fn run(words: &[&str]) -> Outcome {
    let write = words.contains(&"--write");
    let only: Vec<&str> = words
        .iter()
        .filter(|word| !word.starts_with("--"))
        .copied()
        .collect();
    build()?;
    let bench = Bench::new()?;
    let mut judged: Vec<(Made, Vec<Judgement>)> = Vec::new();
    let mut skipped: Vec<(String, String)> = Vec::new();
    for (name, maker) in MAKERS {
        if !only.is_empty() && !only.contains(name) {
            continue;
        }
        println!("── {name}");
        match maker(&bench) {
            Err(reason) => {
                println!("skipped: {reason}");
                skipped.push(((*name).to_owned(), last_line(&reason)));
            }
            Ok(all) => {
                for made in all {
                    let judgements = judge_all(&bench, &made);
                    judged.push((made, judgements));
                }
            }
        }
    }
    let page = page::render(&judged, &skipped)?;
    println!("{page}");
    if write {
        page::write(&page)?;
    }
    let worse = judged
        .iter()
        .flat_map(|(_, all)| all)
        .filter(|one| one.is_fault())
        .count();
    if worse > 0 {
        return Err(format!("{worse} images are not read as qemu-img reads them"));
    }
    Ok(())
}

fn judge_all(bench: &Bench, made: &Made) -> Vec<Judgement> {
    for (variant, reason) in &made.failed {
        println!(
            "  {} {}: {variant}: not written: {reason}",
            made.writer, made.version
        );
    }
    made.images
        .iter()
        .map(|image| {
            let judgement = judge::judge(bench, image);
            println!(
                "  {} {}: {}: {}",
                made.writer,
                made.version,
                image.variant,
                judgement.summary()
            );
            for finding in &judgement.findings {
                println!("      {finding}");
            }
            judgement
        })
        .collect()
}

/// The line of a program's complaint that says what was wrong: the last with an error, or the last of all.
fn last_line(text: &str) -> String {
    let lines = || text.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    let line = lines()
        .find(|line| line.contains("Error: ") || line.contains("error: "))
        .or_else(|| lines().next());
    line.unwrap_or("no reason was given").chars().take(300).collect()
}
