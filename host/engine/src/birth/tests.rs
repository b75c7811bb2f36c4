use super::*;
use crate::target::{TargetOptions, made};
use std::fs::File;
use std::os::unix::fs::{FileExt, PermissionsExt, chown, symlink};

type Make = fn(&mut Birth, OFlags) -> Result<OwnedFd, Errno>;

/// Every way, as if the better ones had failed.
const WAYS: [(Make, usize); 5] = [
    (|birth, flags| birth.unnamed(flags, false, Birth::can_link), 0),
    (|birth, flags| birth.hidden(flags, Birth::find_naming), 1),
    (|birth, flags| birth.hidden(flags, by_link), 1),
    (|birth, flags| birth.hidden(flags, Birth::can_rename), 1),
    (Birth::named, 1),
];

fn by_link(_: &Birth, first: &OsStr) -> Result<(OsString, Naming), Errno> {
    Ok((first.to_owned(), Naming::ByLink))
}

fn make(directory: &Path, how: Make) -> (OpenFile, Birth) {
    let mut birth = Birth::in_directory(Arc::new(open_directory(directory).unwrap()), "out".into());
    let fd = how(&mut birth, OFlags::RDWR | OFlags::CLOEXEC).unwrap();
    let file = made(Path::new("out"), fd, &birth, &TargetOptions::default()).unwrap();
    (file, birth)
}

fn names(directory: &Path) -> Vec<OsString> {
    let entries = std::fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn every_way_ends_under_the_name_or_with_nothing() {
    for (way, visible) in WAYS {
        let directory = tempfile::tempdir().unwrap();
        let (_, mut birth) = make(directory.path(), way);
        assert_eq!(
            names(directory.path()).len(),
            visible,
            "what was tried out is gone"
        );
        birth.undo();
        assert!(names(directory.path()).is_empty());

        let (file, mut birth) = make(directory.path(), way);
        let std_file = File::from(file.fd.try_clone().unwrap());
        std_file.write_all_at(b"data", 0).unwrap();
        birth.complete(&file).unwrap();
        birth.sync().unwrap();
        assert_eq!(names(directory.path()), ["out"]);
        assert_eq!(std::fs::read(directory.path().join("out")).unwrap(), b"data");
        birth.undo();
        assert!(names(directory.path()).is_empty(), "also afterwards");
    }
}

#[test]
fn no_way_replaces_or_removes_a_file_of_somebody_else() {
    for (way, _) in WAYS.into_iter().take(4) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("out");
        let (file, mut birth) = make(directory.path(), way);
        std::fs::write(&path, b"other").unwrap();
        assert_eq!(birth.complete(&file), Err(Errno::EXIST));
        birth.undo();
        assert_eq!(std::fs::read(&path).unwrap(), b"other");
        assert_eq!(names(directory.path()), ["out"]);
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    let (_file, mut birth) = make(directory.path(), Birth::named);
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, b"other").unwrap();
    birth.undo();
    assert_eq!(std::fs::read(&path).unwrap(), b"other");
}

#[test]
fn in_a_sticky_directory_only_links_of_ours_and_its_owners_are_followed() {
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path().join("tmp");
    std::fs::create_dir(&place).unwrap();
    let link = |name: &str, owner: u32| {
        let link = place.join(name);
        symlink(directory.path().join("goal"), &link).unwrap();
        let changed = std::os::unix::fs::lchown(&link, Some(owner), None);
        changed.map(|()| link)
    };
    let (us, them, its) = (geteuid().as_raw(), 54_321, 54_322);
    let (Ok(ours), Ok(theirs), Ok(owners)) = (link("ours", us), link("theirs", them), link("owners", its))
    else {
        // Only root can make files for others; the rule for our own is the same.
        return;
    };
    chown(&place, Some(its), None).unwrap();
    let goal = directory.path().join("goal");
    for (mode, refused) in [(0o1777, true), (0o777, false), (0o1755, false)] {
        std::fs::set_permissions(&place, PermissionsExt::from_mode(mode)).unwrap();
        assert_eq!(follow(&ours), Ok(goal.clone()));
        assert_eq!(follow(&owners), Ok(goal.clone()));
        let expected = if refused {
            Err(Errno::ACCESS)
        } else {
            Ok(goal.clone())
        };
        assert_eq!(follow(&theirs), expected, "{mode:o}");
    }
}

#[test]
fn a_file_that_is_open_elsewhere_has_no_successor() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out");
    std::fs::write(&path, b"old").unwrap();
    let old = crate::target::in_place(&path, &TargetOptions::default()).unwrap();
    let elsewhere = File::open(&path).unwrap();
    let (flags, directories) = (OFlags::RDWR, Directories::default());
    assert_eq!(
        Birth::succeed(&path, &old, flags, &directories).err(),
        Some(Errno::BUSY)
    );
    drop(elsewhere);
    let (_, mut birth) = Birth::succeed(&path, &old, flags, &directories).unwrap();
    birth.undo();
}
