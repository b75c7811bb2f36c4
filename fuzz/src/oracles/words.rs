//! What people type: command lines, names of images, lists of options, numbers, configuration files.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use instar_cli::create::Settings as Creation;
use instar_cli::program::Program;
use instar_cli::settings;
use instar_cli::stop::Stop;
use instar_cli::value::driver::Driver;
use instar_cli::value::place::{Place, Reading};
use instar_cli::value::tree::Tree;
use instar_cli::value::{list, number};

/// Judges a command line, its words separated by newlines.
///
/// # Panics
/// If it is refused without a word, or judged otherwise a second time.
pub fn command_line(input: &[u8]) {
    // Such options read files that exist on the machine that searches.
    let reads = |word: &[u8]| [b"file".as_slice(), b"conf"].iter().any(|part| holds(word, part));
    if reads(input) || input.contains(&0) {
        return;
    }
    let words: Vec<OsString> = input
        .split(|byte| *byte == b'\n')
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect();
    let program = Program::new(Some("instar".into()));
    let judged = || instar_cli::judge(&program, words.clone());
    let outcome = judged();
    if let Err(Stop::Usage(text) | Stop::Misuse(text) | Stop::Message(text) | Stop::Coded(_, text)) = &outcome
    {
        assert!(!text.is_empty(), "refused without a word");
    }
    assert_eq!(judged(), outcome);
}

/// A command line of each verb, and of each kind of option.
#[must_use]
pub fn command_lines() -> Vec<Vec<u8>> {
    [
        "info\n--output=json\n--backing-chain\na",
        "convert\n-p\n-f\nraw\n-O\nqcow2\n-o\ncluster_size=4k,compat=1.1\n-S\n0\n-c\na\nb",
        "dd\nif=a\nof=b\nbs=1M\ncount=3\nskip=2\n-O\nvmdk",
        "map\n-s\n1k\n-l\n2G\na",
        "compare\n-s\n-f\nraw\n-F\nqcow2\na\nb",
        "snapshot\n-c\nname\na",
        "bitmap\n--add\n-g\n64k\na\nbits",
        "amend\n-o\ncompat=0.10\na",
        "rebase\n-u\n-b\nbelow\n-F\nraw\na",
        "commit\n-d\na",
        "resize\n--shrink\na\n-1G",
        "create\n-f\nvhdx\n-o\nblock_size=1M\na\n1.5T",
        "measure\n-O\nqcow2\n--size\n1G",
        "check\n-r\nall\n--output\njson\na",
        "bench\n-c\n10\n-w\n-s\n4k\na",
        "--untrusted\n--max-size\n1G\nchecksum\n--algorithm=sha256\na",
        "--object\nsecret,id=s,data=x\ninfo\n--image-opts\ndriver=raw,offset=512",
    ]
    .map(|line| line.as_bytes().to_vec())
    .into()
}

/// Reads a name in every way in which an image can be named.
///
/// # Panics
/// If a name is read as nothing, or a refusal has no words.
pub fn name(input: &[u8]) {
    let given = OsStr::from_bytes(input);
    for (format, image_opts) in [(None, false), (Some(OsStr::new("raw")), false), (None, true)] {
        let reading = Reading {
            format,
            image_opts,
            share: false,
        };
        match Place::parse(given, reading) {
            Ok(place) => {
                assert!(!place.path.is_empty(), "nothing is named");
                let _ = place.image();
                let _ = place.clone().plainly();
            }
            Err(why) => assert!(!why.is_empty(), "refused without a word"),
        }
    }
}

/// Names of every kind.
#[must_use]
pub fn names() -> Vec<Vec<u8>> {
    [
        "disk.qcow2",
        "file:disk",
        "nbd://host/export",
        "json:{\"driver\":\"qcow2\",\"file\":{\"driver\":\"file\",\"filename\":\"a\"}}",
        "json:{\"file.filename\":\"a\",\"offset\":512,\"size\":null,\"x\":[1,true]}",
        "json:{\"driver\":\"luks\",\"key-secret\":\"s\",\"file\":{\"driver\":\"raw\",\"offset\":\"1M\",\"file\":{\"filename\":\"b\"}}}",
        "driver=qcow2,file.filename=a,,b,backing.driver=raw,backing.file.filename=c",
        "driver=raw,size=1M,offset=4k,file.driver=file,file.filename=a,file.locking=off",
        "fat:rw:/dir",
    ]
    .map(|name| name.as_bytes().to_vec())
    .into()
}

/// Reads values of options: lists, numbers, trees, and the options of each format.
///
/// # Panics
/// If a list is not read as it was joined, or a number is not what its digits say.
pub fn value(input: &[u8]) {
    for setting in list::settings(input) {
        let doubled = [b"a=".as_slice(), &list::doubled(&setting.value)].concat();
        let again = list::settings(&doubled);
        assert!(
            again.first().is_some_and(|first| first.value == setting.value),
            "{setting:?}"
        );
    }
    let text = std::str::from_utf8(input).ok();
    let digits = text.filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
    let plain = digits.and_then(|digits| digits.parse::<u64>().ok());
    if let Some(number) = plain.filter(|number| *number < 1 << 53 && !input.starts_with(b"0")) {
        assert_eq!(number::size(input).ok(), Some(number));
        assert_eq!(number::unsigned(input).ok(), Some(number));
        assert_eq!(number::integer(input).ok(), i64::try_from(number).ok());
    }
    let _ = (
        number::size(input),
        number::integer(input),
        number::unsigned(input),
    );
    let _ = (Tree::from_json(input), Tree::from_options(input));
    for format in [
        "raw",
        "qcow2",
        "vmdk",
        "vpc",
        "vhdx",
        "vdi",
        "qed",
        "qcow",
        "parallels",
    ] {
        let Some(driver) = Driver::from_name(format.as_bytes()) else {
            continue;
        };
        if let Ok(creation) = Creation::parse(driver, Some(input)) {
            let _ = creation.measured();
        }
    }
}

/// Values of every kind.
#[must_use]
pub fn values() -> Vec<Vec<u8>> {
    [
        "cluster_size=64k,compat=1.1,lazy_refcounts=on,refcount_bits=16",
        "subformat=streamOptimized,adapter_type=lsilogic,hwversion=4",
        "size=1G,preallocation=metadata,extended_l2=off",
        "block_size=2M,subformat=fixed,log_size=1M",
        "a=b,,c,d,nolock",
        "12345",
        "1.5G",
        "0x10k",
        "1e3",
        "{\"a\":{\"b\":[1,2.5,null,true,\"\\u0000\"]}}",
    ]
    .map(|value| value.as_bytes().to_vec())
    .into()
}

/// Applies the text of a configuration file.
///
/// # Panics
/// If it is refused without words.
pub fn configuration(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    if let Err(stop) = settings::of_text(text) {
        assert!(
            matches!(&stop, Stop::Message(text) if !text.is_empty()),
            "{stop:?}"
        );
    }
}

/// A file with every key, and one with none.
#[must_use]
pub fn configurations() -> Vec<Vec<u8>> {
    [
        "untrusted = true\nallow-dir = [\"/a\", \"/b\"]\nmax-size = \"1T\"\nsandbox = \"process\"\n",
        "timeout = 30\nmemory = \"256M\"\nmax-chain = 8\nqemu-version = \"10.0\"\nrequire-landlock = false\n",
        "# nothing\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
