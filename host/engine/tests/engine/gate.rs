//! The gate, against a zoo of names.

use std::os::unix::fs::symlink;
use std::path::Path;

use instar_abi::request::{COMPARE_WITH_ZERO, Op, status};
use instar_abi::{RawRequest, RawResult, Slot};
use instar_engine::{BaseError, Files, Options, Policy, TargetOptions};

use crate::guest::{Guest, files, make_fifo, request, source, target};

const ENOENT: u32 = libc::ENOENT as u32;
const ELOOP: u32 = libc::ELOOP as u32;
const EACCES: u32 = libc::EACCES as u32;
const ENAMETOOLONG: u32 = libc::ENAMETOOLONG as u32;

/// ```text
///  secret   outside   images/{top, base, sub/{lower, up -> ../base}, …}   shared/{golden, chained}
/// ```
fn zoo() -> tempfile::TempDir {
    let zoo = tempfile::tempdir().unwrap();
    let at = |name: &str| zoo.path().join(name);
    for directory in ["images", "images/sub", "shared"] {
        std::fs::create_dir(at(directory)).unwrap();
    }
    for file in [
        "secret",
        "images/top",
        "images/base",
        "images/.hidden",
        "images/sub/lower",
        "images/x:y",
        "shared/golden",
        "shared/chained",
    ] {
        std::fs::write(at(file), file).unwrap();
    }
    symlink("../secret", at("images/out")).unwrap();
    symlink(at("secret"), at("images/absolute-out")).unwrap();
    symlink("..", at("images/up")).unwrap();
    symlink("base", at("images/in")).unwrap();
    symlink("../base", at("images/sub/up")).unwrap();
    symlink(".hidden", at("images/to-hidden")).unwrap();
    symlink("loop", at("images/loop")).unwrap();
    symlink("/proc/self/root", at("images/magic")).unwrap();
    symlink("nowhere", at("images/dangling")).unwrap();
    symlink("images", at("alias")).unwrap();
    make_fifo(&at("images/fifo"));
    zoo
}

fn guest(zoo: &Path, options: &Options) -> (Guest, Slot) {
    let files = Files::new(options).unwrap();
    let top = source(&files, &zoo.join("images/top")).slot;
    (Guest::new(files), top)
}

fn content(guest: &Guest, opened: RawResult) -> String {
    let slot = Slot(u32::try_from(opened.value).unwrap());
    let bytes = guest.read(slot, 0, 100);
    assert_eq!(opened.extra, bytes.len() as u64);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn names_beside_the_image_open() {
    let zoo = zoo();
    let (guest, top) = guest(zoo.path(), &Options::default());
    let images = zoo.path().join("images");
    let absolute = images.join("base").into_os_string().into_string().unwrap();
    let roundabout = format!("{}/sub/../../images/base", images.display());
    for (name, expected) in [
        ("base", "images/base"),
        ("./base", "images/base"),
        (".//sub/./..//base", "images/base"),
        ("in", "images/base"),
        ("sub/up", "images/base"),
        ("./x:y", "images/x:y"),
        ("../images/base", "images/base"),
        (&absolute, "images/base"),
        (&roundabout, "images/base"),
    ] {
        let opened = guest.open(top, name).unwrap();
        assert_eq!(content(&guest, opened), expected, "{name}");
    }
}

#[test]
fn names_that_lead_out_of_the_directory_are_refused() {
    let zoo = zoo();
    let (guest, top) = guest(zoo.path(), &Options::default());
    let absolute = zoo.path().join("secret").into_os_string().into_string().unwrap();
    let prefix = format!("{}/images-of-others/x", zoo.path().display());
    for (name, refusal) in [
        ("../secret", status::REFUSED_OUTSIDE),
        ("sub/../../secret", status::REFUSED_OUTSIDE),
        // Below the image is not beside it, and what is hidden is not meant.
        ("sub/lower", status::REFUSED_OUTSIDE),
        (".hidden", status::REFUSED_OUTSIDE),
        ("to-hidden", status::REFUSED_OUTSIDE),
        (&absolute, status::REFUSED_OUTSIDE),
        (&prefix, status::REFUSED_OUTSIDE),
        ("/etc/passwd", status::REFUSED_OUTSIDE),
        ("/dev/sda", status::REFUSED_OUTSIDE),
        ("/proc/self/environ", status::REFUSED_OUTSIDE),
        ("../../../../../../../etc/passwd", status::REFUSED_OUTSIDE),
        ("..", status::REFUSED_OUTSIDE),
        (".", status::REFUSED_OUTSIDE),
        ("./", status::REFUSED_OUTSIDE),
        ("/", status::REFUSED_OUTSIDE),
        // Each is one name beside the image; the kernel says where it leads.
        ("out", status::REFUSED_OUTSIDE),
        ("absolute-out", status::REFUSED_OUTSIDE),
        ("up/secret", status::REFUSED_OUTSIDE),
        ("magic/etc/passwd", status::REFUSED_OUTSIDE),
        // Whether it exists is not told.
        ("../no-such-file", status::REFUSED_OUTSIDE),
        ("loop", ELOOP),
        ("dangling", ENOENT),
        ("missing", ENOENT),
    ] {
        assert_eq!(guest.open(top, name), Err(refusal), "{name}");
    }
}

#[test]
fn names_that_are_not_plain_are_refused() {
    let zoo = zoo();
    let (guest, top) = guest(zoo.path(), &Options::default());
    for name in [
        "",
        "base\0",
        "json:{\"driver\":\"raw\"}",
        "nbd://host/export",
        "nbd:unix:/tmp/x",
        "file:base",
        "x:y",
        "http://example.com/",
        "fat:rw:.",
    ] {
        assert_eq!(guest.open(top, name), Err(status::REFUSED_NAME), "{name}");
    }
    assert_eq!(guest.open(top, &"x".repeat(256)), Err(ENAMETOOLONG));
    let long = "a/".repeat(2000);
    assert_eq!(guest.open(top, &long), Err(ENOENT));
    assert_eq!(guest.open_as(top, 0, b"ba\xff\xfe"), Err(ENOENT));
}

#[test]
fn only_regular_files_are_opened_and_nothing_waits() {
    let zoo = zoo();
    let (guest, top) = guest(zoo.path(), &Options::default());
    let start = std::time::Instant::now();
    for name in ["fifo", "sub", "sub/."] {
        assert_eq!(guest.open(top, name), Err(status::REFUSED_KIND), "{name}");
    }
    for name in ["base/", "base/.", "base/x"] {
        assert_eq!(guest.open(top, name), Err(libc::ENOTDIR as u32), "{name}");
    }
    let devices = Options {
        allow: vec!["/dev".into(), "/proc".into()],
        ..Options::default()
    };
    let (guest, top) = self::guest(zoo.path(), &devices);
    assert_eq!(guest.open(top, "/dev/zero"), Err(status::REFUSED_KIND));
    // A magic link, and a path through one.
    for name in ["/proc/self/exe", "/proc/self/root/etc/passwd", "/proc/self/fd/0"] {
        let refusal = guest.open(top, name).unwrap_err();
        assert!(
            [ELOOP, EACCES, status::REFUSED_OUTSIDE].contains(&refusal),
            "{name}: {refusal}"
        );
    }
    assert!(start.elapsed().as_secs() < 20);
}

#[test]
fn the_untrusted_policy_opens_nothing() {
    let zoo = zoo();
    let options = Options {
        policy: Policy::Nothing,
        allow: vec![zoo.path().to_owned()],
        ..Options::default()
    };
    let (guest, top) = guest(zoo.path(), &options);
    for name in ["base", "/etc/passwd", "nbd://x", ""] {
        assert_eq!(guest.open(top, name), Err(status::REFUSED_UNTRUSTED), "{name}");
    }
    assert!(guest.engine.files().gate_directories().is_empty());
}

#[test]
fn allowed_directories_are_open_to_every_image() {
    let zoo = zoo();
    let options = Options {
        allow: vec![zoo.path().join("shared")],
        ..Options::default()
    };
    let (guest, top) = guest(zoo.path(), &options);
    let golden = guest.open(top, "../shared/golden").unwrap();
    assert_eq!(content(&guest, golden), "shared/golden");
    assert_eq!(guest.open(top, "../secret"), Err(status::REFUSED_OUTSIDE));
    // From there on names start there, and the directory that the user's image brought is out of reach.
    let golden = Slot(u32::try_from(golden.value).unwrap());
    let chained = guest.open(golden, "chained").unwrap();
    assert_eq!(content(&guest, chained), "shared/chained");
    assert_eq!(guest.open(golden, "../images/base"), Err(status::REFUSED_OUTSIDE));
    // That of the image, and the allowed one.
    assert_eq!(guest.engine.files().gate_directories().len(), 2);
}

#[test]
fn a_layer_in_an_allowed_directory_brings_nothing_else_with_it() {
    let zoo = zoo();
    let options = Options {
        allow: vec![zoo.path().join("images/sub")],
        ..Options::default()
    };
    let (guest, top) = guest(zoo.path(), &options);
    let lower = guest.open(top, "sub/lower").unwrap();
    let lower = Slot(u32::try_from(lower.value).unwrap());
    assert_eq!(
        guest.open(lower, "base"),
        Err(ENOENT),
        "names start at its own directory"
    );
    for name in ["../base", "../../secret", "../../shared/golden"] {
        assert_eq!(guest.open(lower, name), Err(status::REFUSED_OUTSIDE), "{name}");
    }
}

#[test]
fn the_directory_of_one_image_is_closed_to_another() {
    let zoo = zoo();
    let files = files();
    let top = source(&files, &zoo.path().join("images/top")).slot;
    let golden = source(&files, &zoo.path().join("shared/golden")).slot;
    let guest = Guest::new(files);
    assert_eq!(guest.open(top, "../shared/chained"), Err(status::REFUSED_OUTSIDE));
    assert_eq!(guest.open(golden, "../images/base"), Err(status::REFUSED_OUTSIDE));
    assert!(guest.open(golden, "chained").is_ok());
}

#[test]
fn absolute_names_may_be_written_through_the_link_that_the_user_took() {
    let zoo = zoo();
    let files = files();
    let top = source(&files, &zoo.path().join("alias/top")).slot;
    let guest = Guest::new(files);
    for directory in ["alias", "images"] {
        let name = zoo.path().join(directory).join("base");
        let opened = guest.open(top, name.to_str().unwrap()).unwrap();
        assert_eq!(content(&guest, opened), "images/base");
    }
}

#[test]
fn the_same_file_is_the_same_slot() {
    let zoo = zoo();
    std::fs::hard_link(zoo.path().join("images/base"), zoo.path().join("images/twin")).unwrap();
    let (guest, top) = guest(zoo.path(), &Options::default());
    assert_eq!(guest.open(top, "top").unwrap().value, u64::from(top.0));
    let base = guest.open(top, "base").unwrap();
    for name in ["base", "in", "twin"] {
        assert_eq!(guest.open(top, name).unwrap(), base, "{name}");
    }
    assert_eq!(guest.engine.files().facts().len(), 2);
}

#[test]
fn the_target_cannot_be_read_through_a_name() {
    let zoo = zoo();
    let files = files();
    let top = source(&files, &zoo.path().join("images/top")).slot;
    target(&files, &zoo.path().join("images/base"));
    std::fs::hard_link(zoo.path().join("images/base"), zoo.path().join("images/twin")).unwrap();
    let lower = files
        .in_place(&zoo.path().join("images/x:y"), &TargetOptions::default())
        .unwrap();
    let guest = Guest::new(files);
    for name in ["base", "twin", "./x:y"] {
        assert_eq!(guest.open(top, name), Err(status::REFUSED_TARGET), "{name}");
    }
    // What is changed in place may refer to itself; the guest sees the loop.
    let opened = guest.open(lower.slot, "./x:y").unwrap();
    assert_eq!(opened.value, u64::from(lower.slot.0));
}

#[test]
fn pieces_of_a_split_image_lie_beside_it() {
    let zoo = zoo();
    let extent = 2;
    let (guest, top) = guest(zoo.path(), &Options::default());
    assert!(guest.open_as(top, extent, b"base").is_ok());
    let absolute = zoo.path().join("images/base");
    let absolute = absolute.to_str().unwrap();
    for name in ["./base", "../images/base", absolute, "x:y"] {
        assert!(guest.open_as(top, extent, name.as_bytes()).is_ok(), "{name}");
    }
    let absolute = zoo.path().join("shared/golden");
    let absolute = absolute.to_str().unwrap();
    for name in ["sub/lower", "../shared/golden", absolute, "/etc/passwd"] {
        let refused = guest.open_as(top, extent, name.as_bytes());
        assert_eq!(refused, Err(status::REFUSED_OUTSIDE), "{name}");
    }
    let options = Options {
        allow: vec![zoo.path().to_owned()],
        ..Options::default()
    };
    let (guest, top) = self::guest(zoo.path(), &options);
    assert!(guest.open_as(top, extent, absolute.as_bytes()).is_ok());
}

#[test]
fn a_look_at_an_image_reads_no_file_beside_it() {
    let zoo = zoo();
    let at = |name: &str| zoo.path().join("images").join(name);
    for name in [
        "disk.vmdk",
        "disk-s001.vmdk",
        "diskette.vmdk",
        "other.vmdk",
        "disk-s001.raw",
    ] {
        std::fs::write(at(name), vec![b'x'; 10_000]).unwrap();
    }
    let options = Options {
        policy: Policy::Pieces,
        ..Options::default()
    };
    let files = Files::new(&options).unwrap();
    let top = source(&files, &at("disk.vmdk")).slot;
    let guest = Guest::new(files);
    let extent = 2;
    for role in [0, 1, 3] {
        let refused = guest.open_as(top, role, b"disk-s001.vmdk");
        assert_eq!(refused, Err(status::REFUSED_UNTRUSTED));
    }
    for (name, readable) in [
        ("disk-s001.vmdk", 4096),
        ("diskette.vmdk", 0),
        ("other.vmdk", 0),
        ("disk-s001.raw", 0),
        ("base", 0),
        ("disk.vmdk", 10_000),
    ] {
        let opened = guest.open_as(top, extent, name.as_bytes()).unwrap();
        let slot = Slot(u32::try_from(opened.value).unwrap());
        assert!(opened.extra > 0, "its size is told");
        for length in [1, 512, 4096, 4097, 10_000] {
            let mut asked = vec![request(Op::READ, slot, 0, length)];
            let zeros = RawRequest {
                flags: COMPARE_WITH_ZERO,
                ..request(Op::COMPARE, slot, 0, length)
            };
            let itself = RawRequest {
                other: top.0,
                ..request(Op::COMPARE, slot, 0, length)
            };
            asked.extend([zeros, itself]);
            for raw in asked {
                let answer = guest.ask(raw).map(|_| ());
                let expected = if length <= readable { Ok(()) } else { Err(EACCES) };
                assert_eq!(answer, expected, "{name}, {length} bytes, operation {}", raw.op);
            }
        }
    }
}

#[test]
fn locks_hold_for_files_that_images_name() {
    let zoo = zoo();
    let (guest, top) = guest(zoo.path(), &Options::default());
    let writer = files();
    let base = zoo.path().join("images/base");
    writer.in_place(&base, &TargetOptions::default()).unwrap();
    assert_eq!(guest.open(top, "base"), Err(status::REFUSED_LOCK));
    let unlocked = Options {
        lock: false,
        ..Options::default()
    };
    let (guest, top) = self::guest(zoo.path(), &unlocked);
    assert!(guest.open(top, "base").is_ok());
}

/// Whatever a name looks like, what is opened lies beneath the image's directory.
#[test]
fn random_paths_stay_inside() {
    let zoo = zoo();
    let (guest, top) = guest(zoo.path(), &Options::default());
    let parts = [
        "..", ".", "base", "sub", "lower", "up", "in", "out", "magic", "images", "secret", "", "top", "loop",
    ];
    let mut state = 99_u64;
    let mut opened = 0;
    for _ in 0..20_000 {
        let mut name = String::new();
        for n in 0..6 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if n > 0 {
                name.push('/');
            }
            name.push_str(parts[(state >> 20) as usize % parts.len()]);
            if state.is_multiple_of(3) {
                break;
            }
        }
        if let Ok(result) = guest.open(top, &name) {
            let text = content(&guest, result);
            assert!(text.starts_with("images/"), "{name}: {text}");
            opened += 1;
        }
    }
    assert!(opened > 1000, "{opened}");
}

/// How many descriptors of this process are of the directory.
pub(crate) fn handles(directory: &Path) -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let directory = std::fs::canonicalize(directory).unwrap();
    open.filter(|entry| std::fs::read_link(entry.path()).is_ok_and(|file| file == directory))
        .count()
}

#[test]
fn the_pieces_of_an_image_share_the_handle_of_their_directory() {
    let zoo = zoo();
    let images = zoo.path().join("images");
    for number in 0..20 {
        let name = format!("piece-{number}");
        std::fs::write(images.join(&name), &name).unwrap();
    }
    // However the user wrote the way to the image.
    for way in ["images/top", "alias/top", "images/sub/../top"] {
        let files = Files::new(&Options::default()).unwrap();
        let top = source(&files, &zoo.path().join(way)).slot;
        let guest = Guest::new(files);
        let before = handles(&images);
        for number in 0..20 {
            let name = format!("piece-{number}");
            guest.open_as(top, 2, name.as_bytes()).unwrap();
        }
        assert_eq!(handles(&images), before, "{way}");
    }
}

#[test]
fn a_base_is_opened_for_writing_by_the_rules_and_no_other_way() {
    let zoo = zoo();
    let at = |name: &str| zoo.path().join(name);
    let shared = Options {
        allow: vec![at("shared")],
        ..Options::default()
    };
    let write = TargetOptions::default();
    let open = |options: &Options, name: &str, may: bool| {
        let files = Files::new(options).unwrap();
        let top = source(&files, &at("images/top")).slot;
        let base = files.base(top, name.as_bytes(), &write, &|_, _| may);
        base.map(|(facts, path)| (files, top, facts, path))
    };
    let refuses = |options: &Options, name: &str| {
        let opened = open(options, name, true);
        assert!(!matches!(opened, Ok(_) | Err(BaseError::Open(_))), "{name}");
    };
    for name in [
        "../secret",
        "out",
        "absolute-out",
        ".hidden",
        "to-hidden",
        "sub/lower",
        "fifo",
        "sub",
        "/etc/passwd",
        "nbd://server/disk",
        "../shared/golden",
    ] {
        refuses(&Options::default(), name);
    }
    let nothing = Options {
        policy: Policy::Nothing,
        ..Options::default()
    };
    refuses(&nothing, "base");
    // By the rules, and the caller may still say no.
    assert!(matches!(open(&shared, "base", false), Err(BaseError::Refused)));
    for (name, file) in [
        ("base", "images/base"),
        ("in", "images/base"),
        ("../shared/golden", "shared/golden"),
    ] {
        let (files, top, facts, _) = open(&shared, name, true).unwrap();
        assert!(facts.writable, "{name}");
        let guest = Guest::new(files);
        // Names lead to that file, not to another descriptor of it.
        let found = guest.open(top, name).unwrap();
        assert_eq!(found.value, u64::from(facts.slot.0), "{name}");
        guest.write(facts.slot, 0, b"changed").unwrap();
        assert_eq!(guest.read(facts.slot, 0, 7), b"changed");
        assert!(std::fs::read(at(file)).unwrap().starts_with(b"changed"));
        assert!(guest.write(top, 0, b"x").is_err(), "the image itself is read");
    }
    // What the run writes to under another name is not opened a second time.
    let files = Files::new(&shared).unwrap();
    let top = source(&files, &at("images/top")).slot;
    target(&files, &at("images/base"));
    let again = files.base(top, b"base", &write, &|_, _| true);
    assert!(matches!(again, Err(BaseError::Open(_))));
}
