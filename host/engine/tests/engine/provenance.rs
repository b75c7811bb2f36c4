//! Records of the names that images were made with, and everything that must not make one hold.

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use instar_abi::Slot;
use instar_abi::request::status;
use instar_engine::{Files, KeyPlace, Options, Policy, Rule, TargetOptions, Verdict};

use crate::guest::{Guest, source};

const ATTRIBUTE: &str = "user.instar.made";

/// ```text
///  state/key   bases/{base, lower, other}   vms/one/{plain}   elsewhere/
/// ```
struct Host {
    place: tempfile::TempDir,
}

impl Host {
    /// None where the filesystem keeps neither attributes nor times of birth.
    fn new() -> Option<Self> {
        let place = tempfile::tempdir().unwrap();
        for directory in ["bases", "vms", "vms/one", "elsewhere", "state"] {
            std::fs::create_dir(place.path().join(directory)).unwrap();
        }
        for file in [
            "bases/base",
            "bases/lower",
            "bases/other",
            "vms/one/plain",
            "secret",
        ] {
            std::fs::write(place.path().join(file), file).unwrap();
        }
        let host = Self { place };
        host.make("vms/one/disk", "../../bases/base");
        let works = host.attribute("vms/one/disk").is_some();
        if !works {
            eprintln!(
                "skipped: no attributes of users, or no times of birth, in the directory for temporary files"
            );
        }
        works.then_some(host)
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.place.path().join(name)
    }

    fn options(&self) -> Options {
        Options {
            key: Some(KeyPlace {
                path: self.path("state/key"),
                shared: false,
            }),
            ..Options::default()
        }
    }

    /// Makes an image that names another, as `create -b` does.
    fn make(&self, image: &str, name: &str) {
        let files = Files::new(&self.options()).unwrap();
        let target = files.replacement(&self.path(image), &TargetOptions::default());
        let slot = target.unwrap().slot;
        files.remember(slot, &[name.as_bytes()]);
        files.settle();
        let guest = Guest::new(files);
        guest.write(slot, 0, b"an image").unwrap();
        guest.engine.files().commit(false).unwrap();
    }

    fn open_with(&self, options: &Options, image: &str, name: &str) -> Result<(Guest, Slot), u32> {
        let files = Files::new(options).unwrap();
        let top = source(&files, &self.path(image)).slot;
        files.settle();
        let guest = Guest::new(files);
        let opened = guest.open(top, name)?;
        let slot = Slot(u32::try_from(opened.value).unwrap());
        Ok((guest, slot))
    }

    fn open(&self, image: &str, name: &str) -> Result<(Guest, Slot), u32> {
        self.open_with(&self.options(), image, name)
    }

    #[track_caller]
    fn refuses(&self, image: &str, name: &str) {
        assert_eq!(
            self.open(image, name).err(),
            Some(status::REFUSED_OUTSIDE),
            "{image}: {name}"
        );
    }

    fn attribute(&self, image: &str) -> Option<Vec<u8>> {
        attribute(&self.path(image))
    }
}

fn c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

fn attribute(path: &Path) -> Option<Vec<u8>> {
    let mut value = vec![0; 4096];
    let length = rustix::fs::getxattr(c(path).as_c_str(), ATTRIBUTE, &mut value[..]).ok()?;
    value.truncate(length);
    Some(value)
}

fn set_attribute(path: &Path, value: &[u8]) {
    rustix::fs::setxattr(
        c(path).as_c_str(),
        ATTRIBUTE,
        value,
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
}

const NAME: &str = "../../bases/base";

#[test]
fn an_image_reads_what_this_machine_gave_it_and_nothing_else() {
    let Some(host) = Host::new() else { return };
    let (guest, slot) = host.open("vms/one/disk", NAME).unwrap();
    assert_eq!(guest.read(slot, 0, 100), b"bases/base");
    for name in ["../../bases/other", "../../secret", "../../bases/../bases/base"] {
        host.refuses("vms/one/disk", name);
    }
    host.refuses("vms/one/plain", NAME);
}

#[test]
fn bytes_that_were_copied_carry_no_record() {
    let Some(host) = Host::new() else { return };
    let value = host.attribute("vms/one/disk").unwrap();
    // As cp -a, rsync -X and tar --xattrs do.
    std::fs::copy(host.path("vms/one/disk"), host.path("vms/one/copy")).unwrap();
    set_attribute(&host.path("vms/one/copy"), &value);
    host.refuses("vms/one/copy", NAME);
    // A backup restored under the old name is another file.
    std::fs::rename(host.path("vms/one/copy"), host.path("vms/one/disk")).unwrap();
    assert_eq!(host.attribute("vms/one/disk").unwrap(), value);
    host.refuses("vms/one/disk", NAME);
}

#[test]
fn a_record_cannot_be_made_without_the_key() {
    let Some(host) = Host::new() else { return };
    let other = Options {
        key: Some(KeyPlace {
            path: host.path("state/other"),
            shared: false,
        }),
        ..Options::default()
    };
    assert_eq!(
        host.open_with(&other, "vms/one/disk", NAME).err(),
        Some(status::REFUSED_OUTSIDE)
    );
    let none = Options::default();
    assert_eq!(
        host.open_with(&none, "vms/one/disk", NAME).err(),
        Some(status::REFUSED_OUTSIDE)
    );
    let mut value = host.attribute("vms/one/disk").unwrap();
    let at = value.windows(4).position(|window| window == b"base").unwrap();
    value[at] = b'c';
    set_attribute(&host.path("vms/one/disk"), &value);
    host.refuses("vms/one/disk", NAME);
    host.refuses("vms/one/disk", "../../cases/base");
}

#[test]
fn a_key_that_others_could_know_is_ignored() {
    let Some(host) = Host::new() else { return };
    let key = host.path("state/key");
    assert_eq!(std::fs::metadata(&key).unwrap().mode() & 0o777, 0o600);
    for mode in [0o604, 0o640, 0o620, 0o666] {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        host.refuses("vms/one/disk", NAME);
    }
    // A key that the configuration names may be shared with a group that cannot change it.
    let mut options = host.options();
    options.key.as_mut().unwrap().shared = true;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(host.open_with(&options, "vms/one/disk", NAME).is_ok());
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(host.open("vms/one/disk", NAME).is_ok());
    let moved = host.path("state/moved");
    std::fs::rename(&key, &moved).unwrap();
    symlink(&moved, &key).unwrap();
    host.refuses("vms/one/disk", NAME);
}

#[test]
fn a_recorded_name_that_now_leads_to_another_directory_is_refused() {
    let Some(host) = Host::new() else { return };
    // The image under another name, where the same words mean something else.
    std::fs::create_dir_all(host.path("elsewhere/a/b")).unwrap();
    std::fs::create_dir(host.path("elsewhere/bases")).unwrap();
    std::fs::write(host.path("elsewhere/bases/base"), "planted").unwrap();
    std::fs::hard_link(host.path("vms/one/disk"), host.path("elsewhere/a/b/disk")).unwrap();
    host.refuses("elsewhere/a/b/disk", NAME);
    std::fs::rename(host.path("vms/one/disk"), host.path("elsewhere/a/b/disk")).unwrap();
    host.refuses("elsewhere/a/b/disk", NAME);
    // A link in the place of the base, and one in the place of its directory.
    host.make("vms/one/disk", NAME);
    std::fs::rename(host.path("bases/base"), host.path("bases/was")).unwrap();
    symlink("../secret", host.path("bases/base")).unwrap();
    host.refuses("vms/one/disk", NAME);
    std::fs::remove_file(host.path("bases/base")).unwrap();
    std::fs::rename(host.path("bases"), host.path("were")).unwrap();
    symlink("elsewhere/bases", host.path("bases")).unwrap();
    host.refuses("vms/one/disk", NAME);
}

#[test]
fn a_base_that_is_replaced_in_its_directory_is_still_the_base() {
    let Some(host) = Host::new() else { return };
    std::fs::write(host.path("bases/fresh"), "fresh").unwrap();
    std::fs::rename(host.path("bases/fresh"), host.path("bases/base")).unwrap();
    let (guest, slot) = host.open("vms/one/disk", NAME).unwrap();
    assert_eq!(guest.read(slot, 0, 100), b"fresh");
    // The whole tree under another name is the same tree.
    std::fs::rename(host.path("vms"), host.path("machines")).unwrap();
    assert!(host.open("machines/one/disk", NAME).is_ok());
}

#[test]
fn links_that_others_made_are_not_followed_for_a_record() {
    let Some(host) = Host::new() else { return };
    symlink("bases", host.path("way")).unwrap();
    host.make("vms/one/linked", "../../way/base");
    assert!(host.open("vms/one/linked", "../../way/base").is_ok());
    if std::os::unix::fs::lchown(host.path("way"), Some(65534), None).is_err() {
        eprintln!("skipped: only root can give files away");
        return;
    }
    host.refuses("vms/one/linked", "../../way/base");
}

#[test]
fn each_layer_needs_a_right_of_its_own() {
    let Some(host) = Host::new() else { return };
    let (guest, base) = host.open("vms/one/disk", NAME).unwrap();
    // It counts as if the user had named it: what is beside it may be its layer, what is elsewhere may not.
    assert!(guest.open(base, "lower").is_ok());
    for name in ["../secret", "../vms/one/plain", "/etc/passwd"] {
        assert_eq!(guest.open(base, name), Err(status::REFUSED_OUTSIDE), "{name}");
    }
    drop(guest);
    std::fs::write(host.path("elsewhere/deep"), "deep").unwrap();
    host.make("bases/base", "../elsewhere/deep");
    let (guest, base) = host.open("vms/one/disk", NAME).unwrap();
    let deep = guest.open(base, "../elsewhere/deep").unwrap();
    assert_eq!(
        guest.read(Slot(u32::try_from(deep.value).unwrap()), 0, 9),
        b"deep"
    );
}

#[test]
fn writing_to_an_image_takes_its_record_away() {
    let Some(host) = Host::new() else { return };
    let image = host.path("vms/one/disk");
    let run = |write: bool, keep: bool, commit: bool| {
        host.make("vms/one/disk", NAME);
        let files = Files::new(&host.options()).unwrap();
        let slot = files.in_place(&image, &TargetOptions::default()).unwrap().slot;
        if keep {
            files.keep_record(slot);
        }
        files.settle();
        // A kill at this moment leaves no record.
        assert_eq!(attribute(&image), None);
        let guest = Guest::new(files);
        if write {
            guest.write(slot, 0, b"other").unwrap();
        }
        if commit {
            guest.engine.files().commit(false).unwrap();
        } else {
            guest.engine.files().abort();
        }
        attribute(&image).is_some()
    };
    assert!(!run(true, false, true));
    assert!(!run(true, false, false));
    assert!(run(true, true, true));
    assert!(!run(true, true, false), "half written is not what was recorded");
    assert!(run(false, false, false));
    assert!(run(false, false, true));
    // One that is made anew in its place has none.
    host.make("vms/one/disk", NAME);
    let files = Files::new(&host.options()).unwrap();
    let slot = files.replacement(&image, &TargetOptions::default()).unwrap().slot;
    files.settle();
    let guest = Guest::new(files);
    guest.write(slot, 0, b"other").unwrap();
    guest.engine.files().commit(false).unwrap();
    assert_eq!(attribute(&image), None);
}

#[test]
fn an_untrusted_run_believes_no_record() {
    let Some(host) = Host::new() else { return };
    let options = Options {
        policy: Policy::Nothing,
        ..host.options()
    };
    assert_eq!(
        host.open_with(&options, "vms/one/disk", NAME).err(),
        Some(status::REFUSED_UNTRUSTED)
    );
}

#[test]
fn images_in_an_untrusted_directory_open_what_was_recorded_and_nothing_else() {
    let Some(host) = Host::new() else { return };
    let options = Options {
        untrusted: vec![host.path("vms"), host.path("no-such-directory")],
        allow: vec![host.path("bases")],
        ..host.options()
    };
    assert!(host.open_with(&options, "vms/one/disk", NAME).is_ok());
    for name in ["plain", "../../bases/other", "missing"] {
        let refused = host.open_with(&options, "vms/one/disk", name).err();
        assert_eq!(refused, Some(status::REFUSED_UNTRUSTED), "{name}");
    }
}

#[test]
fn an_image_above_one_with_a_record_beside_it_is_read() {
    let Some(host) = Host::new() else { return };
    std::fs::write(host.path("vms/one/snapshot"), "by another program").unwrap();
    let files = Files::new(&host.options()).unwrap();
    let snapshot = source(&files, &host.path("vms/one/snapshot")).slot;
    assert_eq!(files.gate_directories().len(), 1);
    files.settle();
    // So that our own process, confined, may open what the record leads to.
    assert_eq!(files.gate_directories().len(), 2);
    let guest = Guest::new(files);
    let disk = guest.open(snapshot, "disk").unwrap();
    let disk = Slot(u32::try_from(disk.value).unwrap());
    assert!(guest.open(disk, NAME).is_ok());
}

/// What is beside one of several images that the user names is looked at once, and what is beside each of them at all.
#[test]
fn records_beside_each_of_several_images_are_noted() {
    let Some(host) = Host::new() else { return };
    std::fs::create_dir(host.path("vms/two")).unwrap();
    host.make("vms/two/disk", "../../elsewhere/base");
    assert!(host.attribute("vms/two/disk").is_none(), "there is no such base");
    std::fs::write(host.path("elsewhere/base"), "a base").unwrap();
    host.make("vms/two/disk", "../../elsewhere/base");
    let files = Files::new(&host.options()).unwrap();
    let images = ["one/a", "one/b", "two/a", "one/c", "two/b"].map(|name| format!("vms/{name}"));
    for image in &images {
        std::fs::write(host.path(image), "by another program").unwrap();
        source(&files, &host.path(image));
    }
    assert_eq!(files.gate_directories().len(), 2, "that of each image");
    files.settle();
    assert_eq!(files.gate_directories().len(), 4, "and those of their bases");
}

#[test]
fn the_rule_that_lets_a_layer_in_is_told() {
    let Some(host) = Host::new() else { return };
    let options = Options {
        allow: vec![host.path("elsewhere")],
        ..host.options()
    };
    std::fs::write(host.path("elsewhere/x"), "x").unwrap();
    let files = Files::new(&options).unwrap();
    let disk = source(&files, &host.path("vms/one/disk")).slot;
    files.settle();
    for (name, verdict) in [
        ("plain", Verdict::LetIn(Rule::Beside)),
        (NAME, Verdict::LetIn(Rule::Recorded)),
        ("../../elsewhere/x", Verdict::LetIn(Rule::Allowed)),
        ("../../secret", Verdict::Refused),
        ("missing", Verdict::Unknown),
    ] {
        assert_eq!(files.verdict(disk, name.as_bytes()), verdict, "{name}");
    }
}

#[test]
fn a_user_may_record_what_others_made_and_take_it_back() {
    let Some(host) = Host::new() else { return };
    let files = Files::new(&host.options()).unwrap();
    let plain = source(&files, &host.path("vms/one/plain")).slot;
    assert!(files.trust(plain, &[b"../../no/such/file"]).is_err());
    files
        .trust(plain, &[NAME.as_bytes(), b"file:../../bases/lower"])
        .unwrap();
    for name in [NAME, "../../bases/lower"] {
        assert!(host.open("vms/one/plain", name).is_ok(), "{name}");
    }
    files.distrust(plain).unwrap();
    files.distrust(plain).unwrap();
    host.refuses("vms/one/plain", NAME);
}

#[test]
fn an_image_that_is_the_same_at_every_moment_keeps_its_record_and_gets_new_names() {
    let Some(host) = Host::new() else { return };
    let image = host.path("vms/one/disk");
    host.make("vms/one/disk", NAME);
    let opens = |name: &str| host.open("vms/one/disk", name).is_ok();
    let run = |names: Option<&[&[u8]]>, commit: bool| {
        let files = Files::new(&host.options()).unwrap();
        let slot = files.in_place(&image, &TargetOptions::default()).unwrap().slot;
        files.keep_record_throughout(slot);
        if let Some(names) = names {
            files.remember(slot, names);
        }
        files.settle();
        // A kill at this moment leaves what was there.
        assert!(attribute(&image).is_some());
        let guest = Guest::new(files);
        guest.write(slot, 0, b"other").unwrap();
        if commit {
            guest.engine.files().commit(false).unwrap();
        }
    };
    run(None, false);
    assert!(opens(NAME));
    run(Some(&[b"../../bases/other"]), false);
    assert!(
        opens(NAME) && opens("../../bases/other"),
        "either may be in it now"
    );
    run(Some(&[b"../../bases/other"]), true);
    assert!(!opens(NAME) && opens("../../bases/other"));
    run(Some(&[]), true);
    assert!(!opens("../../bases/other"));
}
