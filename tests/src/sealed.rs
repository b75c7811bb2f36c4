//! LUKS disks and encrypted qcow2 images in tests: what they are sealed with, and what qemu-img finds in them.

use crate::{Bench, Outcome, disk};

/// The object that every one of them is opened with.
pub const SECRET: &str = "secret,id=s,data=correct horse";

/// Options of a new one whose key is derived in next to no time.
pub const OPTIONS: &str = "key-secret=s,iter-time=10";

/// Options of a new qcow2 image that is encrypted by LUKS; its key is derived in next to no time.
pub const LUKS: &str = "encrypt.format=luks,encrypt.iter-time=10";

/// Options of one that is encrypted in the older way.
pub const AES: &str = "encrypt.format=aes";

/// Both methods of qcow2, each with the mark that [`words`] has for it.
pub const METHODS: [(&str, &str); 2] = [(LUKS, "$L"), (AES, "$A")];

/// The words of a line about encrypted qcow2 images. `$S` are two secrets, `$L` and `$A` begin the options of the images that the first opens.
#[must_use]
pub fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in line.split(' ') {
        if word == "$S" {
            for secret in ["secret,id=s,data=correct horse", "secret,id=t,data=battery staple"] {
                words.extend(["--object".to_owned(), secret.to_owned()]);
            }
            continue;
        }
        let word = word.replace("$L", "driver=qcow2,encrypt.format=luks,encrypt.key-secret=s,file.filename=");
        words.push(word.replace("$A", "driver=qcow2,encrypt.format=aes,encrypt.key-secret=s,file.filename="));
    }
    words
}

/// Options of a new qcow2 image that [`SECRET`] opens.
pub const NEW: &str = "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10";

/// `image`, an encrypted qcow2 image which qemu-img makes of the usual disk, `disk.raw`.
///
/// # Panics
///
/// If it does not.
#[track_caller]
pub fn qcow2(bench: &Bench, options: &str) {
    disk::usual(&bench.path("disk.raw"));
    let line = format!("convert $S -f raw -O qcow2 -o encrypt.key-secret=s,{options} disk.raw image");
    bench.qemu(words(&line)).succeeds();
}

/// qemu-io does that to `image`, an encrypted qcow2 image, which `mark` opens.
///
/// # Panics
///
/// If it cannot.
#[track_caller]
pub fn io(bench: &Bench, mark: &str, commands: &[&str]) {
    let image = words(&format!("$S --image-opts {mark}image"));
    let commands = commands.iter().flat_map(|words| ["-c".to_owned(), (*words).to_owned()]);
    bench.qemu_io(image.into_iter().chain(commands)).succeeds();
}

/// Whether these bytes are those of an encrypted qcow or qcow2 image.
#[must_use]
pub fn is_sealed(image: &[u8]) -> bool {
    let method = if image.starts_with(b"QFI\xfb\0\0\0\x01") {
        36
    } else {
        32
    };
    image.starts_with(b"QFI\xfb") && image.get(method..method + 4).is_some_and(|method| method != [0; 4])
}

/// qemu-img compares a raw disk with the one that it decrypts.
#[must_use]
pub fn compared(bench: &Bench, format: &str, raw: &str, image: &str) -> Outcome {
    let raw = format!("driver=raw,file.filename={raw}");
    let key = if format == "luks" {
        "key-secret"
    } else {
        "encrypt.key-secret"
    };
    let opened = format!("driver={format},{key}=s,file.filename={image}");
    bench.qemu(["compare", "--object", SECRET, "--image-opts", &raw, &opened])
}
