//! The same corpus through both sandboxes: the same output, the same messages, the same exit code, the same bytes.

use std::fs;

use instar_tests::{Bench, Outcome, Sandbox, disk, formats, ledger};

/// What is done with each image; `out` is compared if it is there.
const WORK: &[&str] = &[
    "info --output=json",
    "info --safety --output=json",
    "map --output=json",
    "check --output=json",
    "measure --output=json -O qcow2",
    "checksum",
    "snapshot -l",
    "convert -O raw @ out",
    "convert -O qcow2 -c @ out",
    "dd -O vmdk bs=64k count=20 skip=1 if=@ of=out",
];

/// Places at which an image is changed, as parts of a thousand.
const CHANGED: [usize; 4] = [0, 3, 40, 700];

/// An image of every format that is written, whole, cut off, and changed here and there.
fn corpus(bench: &Bench) -> Vec<String> {
    disk::usual(&bench.path("disk.raw"));
    let mut images = vec!["disk.raw".to_owned()];
    for format in formats::WRITTEN {
        let whole = format!("{format}.image");
        bench.qemu(["convert", "-f", "raw", "-O", format, "disk.raw", &whole]).succeeds();
        let bytes = fs::read(bench.path(&whole)).unwrap();
        let cut = format!("{format}.cut");
        fs::write(bench.path(&cut), &bytes[..bytes.len() / 3]).unwrap();
        images.extend([whole, cut]);
        for place in CHANGED {
            let mut changed = bytes.clone();
            let at = (bytes.len() / 1000 * place + 9).min(bytes.len() - 8);
            for byte in &mut changed[at..at + 8] {
                *byte = byte.wrapping_mul(13).wrapping_add(0x81);
            }
            let name = format!("{format}.changed-{place}");
            fs::write(bench.path(&name), changed).unwrap();
            images.push(name);
        }
    }
    images
}

/// Runs the line in a sandbox; gives what it came to, and the target if it made one.
fn run(bench: &Bench, sandbox: &str, line: &str, image: &str) -> (Outcome, Option<Vec<u8>>) {
    let format = image.split('.').next().filter(|format| formats::WRITTEN.contains(format));
    let mut words: Vec<String> = line.split(' ').map(|word| word.replace('@', image)).collect();
    if words[0] != "snapshot" {
        words.extend(["-f".into(), format.unwrap_or("raw").into()]);
    }
    words.extend(["--sandbox".into(), sandbox.into()]);
    if !line.contains('@') {
        words.push(image.to_owned());
    }
    let mut command = bench.command(&words);
    let outcome = Outcome::of(command.env("INSTAR_SEED", "agree"));
    let made = fs::read(bench.path("out")).ok();
    if made.is_some() {
        fs::remove_file(bench.path("out")).unwrap();
    }
    (outcome, made)
}

#[test]
fn the_same_corpus_gives_the_same_reports_in_both_sandboxes() {
    Bench::with(Sandbox::Kvm, module_path!(), |bench| {
        let (mut compared, mut refused) = (0, 0);
        for image in corpus(bench) {
            for line in WORK {
                let [(kvm, of_kvm), (process, of_process)] =
                    ["kvm", "process"].map(|sandbox| run(bench, sandbox, line, &image));
                let what = format!("{line} of {image}: {kvm}{process}");
                assert_eq!(kvm.is_civil().code(), process.is_civil().code(), "{what}");
                assert!(kvm.stdout == process.stdout && kvm.stderr == process.stderr, "{what}");
                assert!(of_kvm == of_process, "{what}: other bytes");
                compared += 1;
                refused += usize::from(kvm.code() != Some(0));
            }
        }
        assert!(compared > 500 && refused > 50 && refused < compared / 2, "{refused} of {compared}");
        ledger::count("reports that were the same in both sandboxes", compared);
    });
}
