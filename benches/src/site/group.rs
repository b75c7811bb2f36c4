//! Control groups, of either version.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cleanup::{self, Guard};

/// What a confined program may use: page cache included, 600 MB.
pub(crate) const MEMORY_BYTES: u64 = 600_000_000;

const PREFIX: &str = "instar-bench-";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    One,
    Two,
}

/// A group that is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Group {
    directory: PathBuf,
    pub(super) version: Version,
    _removed: Guard,
}

/// A new group with the memory limit.
pub(super) fn of_memory() -> Result<Group, String> {
    let group = Group::make("memory")?;
    let limit = MEMORY_BYTES.to_string();
    match group.version {
        Version::One => group.set("memory.limit_in_bytes", &limit)?,
        Version::Two => {
            group.set("memory.max", &limit)?;
            // Memory that is swapped out is no memory saved; a machine without swap has no such file.
            let _ = group.set("memory.swap.max", "0");
        }
    }
    Ok(group)
}

impl Group {
    /// A group below our own, so that limits set on us stay in force; or below the nearest ancestor that lets groups have the controller.
    pub(super) fn make(controller: &str) -> Result<Self, String> {
        let (version, above) = parent(controller)?;
        let directory = above.join(format!("{PREFIX}{}", std::process::id()));
        if !directory.exists() {
            fs::create_dir(&directory).map_err(|error| format!("{}: {error}", directory.display()))?;
        }
        let removed = directory.clone();
        Ok(Self {
            directory,
            version,
            _removed: cleanup::later(move || remove(&removed)),
        })
    }

    pub(super) fn set(&self, file: &str, text: &str) -> Result<(), String> {
        let path = self.directory.join(file);
        fs::write(&path, text).map_err(|error| format!("{}: {text}: {error}", path.display()))
    }

    fn get(&self, file: &str) -> String {
        fs::read_to_string(self.directory.join(file)).unwrap_or_default()
    }

    /// A shell enters the group and becomes the command.
    pub(super) fn inside(&self, command: &Command) -> Command {
        let mut inside = Command::new("sh");
        inside
            .args(["-c", "echo $$ > \"$0\" && exec \"$@\""])
            .arg(self.directory.join("cgroup.procs"))
            .arg(command.get_program())
            .args(command.get_args());
        inside
    }
}

/// What a memory group counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pressure {
    /// The most it held.
    pub(crate) peak_bytes: u64,
    /// How often the limit was met; all but the rarest meetings end with pages given back.
    pub(crate) met: u64,
    /// Processes killed for want of memory.
    pub(crate) killed: u64,
}

impl Pressure {
    pub(super) fn of(group: &Group) -> Self {
        let number = |file: &str| group.get(file).trim().parse().unwrap_or(0);
        match group.version {
            Version::One => Self {
                peak_bytes: number("memory.max_usage_in_bytes"),
                met: number("memory.failcnt"),
                killed: field(&group.get("memory.oom_control"), "oom_kill"),
            },
            Version::Two => Self {
                peak_bytes: number("memory.peak"),
                met: field(&group.get("memory.events"), "max"),
                killed: field(&group.get("memory.events"), "oom_kill"),
            },
        }
    }
}

/// The number in the line `NAME NUMBER`.
fn field(text: &str, name: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find(|(found, _)| *found == name)
        .and_then(|(_, number)| number.trim().parse().ok())
        .unwrap_or(0)
}

/// The directory in which a group with this controller can be made.
fn parent(controller: &str) -> Result<(Version, PathBuf), String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    if let Some(root) = mount_of(&mounts, "cgroup", Some(controller)) {
        let own = own_path(&own, controller);
        return Ok((Version::One, nearest(root, own, |_| true)));
    }
    let root = mount_of(&mounts, "cgroup2", None).ok_or("no control groups are mounted")?;
    // Version 2 has `io` where version 1 has `blkio`.
    let controller = if controller == "blkio" { "io" } else { controller };
    let offers = |directory: &Path| {
        let offered = fs::read_to_string(directory.join("cgroup.subtree_control")).unwrap_or_default();
        offered.split_whitespace().any(|word| word == controller)
    };
    let directory = nearest(root, own_path(&own, ""), offers);
    if !offers(&directory) {
        return Err(format!("no control group offers the controller {controller}"));
    }
    Ok((Version::Two, directory))
}

/// Where a hierarchy is mounted: the first that has the controller.
fn mount_of<'a>(mounts: &'a str, kind: &str, controller: Option<&str>) -> Option<&'a Path> {
    mounts.lines().find_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let [_, place, found, options, ..] = words.as_slice() else {
            return None;
        };
        let has = controller.is_none_or(|name| options.split(',').any(|option| option == name));
        (*found == kind && has).then(|| Path::new(*place))
    })
}

/// Our own group, from lines `NUMBER:CONTROLLERS:PATH`.
fn own_path<'a>(own: &'a str, controller: &str) -> &'a str {
    own.lines()
        .filter_map(|line| line.split_once(':')?.1.split_once(':'))
        .find(|(found, _)| found.split(',').any(|name| name == controller))
        .map_or("/", |(_, path)| path)
}

/// Our own directory, or the nearest above it that will do; the root if none will.
fn nearest(root: &Path, own: &str, will_do: impl Fn(&Path) -> bool) -> PathBuf {
    let mut directory = root.join(own.trim_start_matches('/'));
    while directory != root && !(directory.is_dir() && will_do(&directory)) {
        directory.pop();
    }
    directory
}

/// Removes groups of runs that were killed, and ends who is still in them.
pub(crate) fn remove_old_groups() {
    let places = ["memory", "blkio"].map(parent).into_iter().flatten();
    for entry in places
        .filter_map(|(_, above)| fs::read_dir(above).ok())
        .flatten()
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        let id = name.strip_prefix(PREFIX).and_then(|id| id.parse().ok());
        if id.is_some_and(|id| !cleanup::alive(id)) {
            remove(&entry.path());
        }
    }
}

/// Ends the processes that are still in the group, and removes it.
fn remove(directory: &Path) {
    for _ in 0..50 {
        let inside = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        inside
            .lines()
            .filter_map(|id| id.parse().ok())
            .for_each(cleanup::kill);
        if fs::remove_dir(directory).is_ok() || !directory.exists() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    eprintln!("{} is still in use", directory.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "cg /groups/memory cgroup rw,memory 0 0\ncg /groups/unified cgroup2 rw 0 0\n";
    const OWN: &str = "4:memory:/some/where\n7:cpu,cpuacct:/\n0::/unified/one\n";

    #[test]
    fn finds_mounts_and_our_own_group() {
        let memory = mount_of(MOUNTS, "cgroup", Some("memory"));
        assert_eq!(memory, Some(Path::new("/groups/memory")));
        assert_eq!(mount_of(MOUNTS, "cgroup", Some("blkio")), None);
        assert_eq!(
            mount_of(MOUNTS, "cgroup2", None),
            Some(Path::new("/groups/unified"))
        );
        assert_eq!(own_path(OWN, "memory"), "/some/where");
        assert_eq!(own_path(OWN, "cpuacct"), "/");
        assert_eq!(own_path(OWN, ""), "/unified/one");
    }

    #[test]
    fn reads_fields_by_their_whole_name() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n";
        assert_eq!(field(text, "oom_kill"), 3);
        assert_eq!(field(text, "absent"), 0);
    }

    #[test]
    fn climbs_to_the_nearest_group_that_offers_the_controller() {
        let root = std::env::temp_dir().join(format!("instar-benches-groups-{}", std::process::id()));
        fs::create_dir_all(root.join("slice/own")).unwrap();
        let offers = |directory: &Path| directory.ends_with("slice");
        let found = [
            nearest(&root, "/slice/own", offers),
            nearest(&root, "/slice/own", |_| true),
            nearest(&root, "/slice/elsewhere/gone", |_| true),
            nearest(&root, "/", |_| false),
        ];
        fs::remove_dir_all(&root).unwrap();
        assert_eq!(
            found,
            [
                root.join("slice"),
                root.join("slice/own"),
                root.join("slice"),
                root
            ]
        );
    }
}
