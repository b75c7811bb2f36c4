//! How much of a target may stay in the page cache: less than what our memory is limited to.

use std::fs;
use std::path::{Path, PathBuf};

use instar_engine::Files;
use rustix::system::sysinfo;

/// Where control groups are mounted everywhere.
const GROUPS: &str = "/sys/fs/cgroup";
/// Sources that are smaller in all are not worth asking for limits. Ours: a container with less memory than that runs nothing.
const SMALL: u64 = 32 << 20;
/// A larger limit means no limit; version 1 expresses this by a number of pages near 2^63.
const NO_LIMIT: u64 = 1 << 60;

/// Bytes of targets that may stay in the page cache; 0: as the kernel likes.
pub(crate) fn window(files: &Files) -> u64 {
    let facts = files.facts();
    let sources = facts.iter().filter(|facts| !facts.writable);
    let bytes = sources.fold(0_u64, |sum, facts| sum.saturating_add(facts.size));
    if bytes < SMALL {
        return 0;
    }
    // Half of the machine's memory is more than a cache should lose to one file; a container's limit is for all that runs in it.
    let machine = memory() / 2;
    match fs::read_to_string("/proc/self/cgroup") {
        Ok(groups) => limit(&groups, Path::new(GROUPS)).map_or(machine, |limit| machine.min(limit / 4)),
        Err(_) => machine,
    }
}

/// Bytes of memory that the machine has.
fn memory() -> u64 {
    let machine = sysinfo();
    machine.totalram.saturating_mul(u64::from(machine.mem_unit))
}

/// The lowest limit on the memory of any group that we are in.
///
/// `groups` is what /proc/self/cgroup says: lines `NUMBER:CONTROLLERS:PATH`, without controllers for version 2.
fn limit(groups: &str, mounted: &Path) -> Option<u64> {
    let limits = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let path = Path::new(path.trim_start_matches('/'));
        if controllers.is_empty() {
            lowest(mounted, path, "memory.max")
        } else if controllers.split(',').any(|controller| controller == "memory") {
            lowest(&mounted.join("memory"), path, "memory.limit_in_bytes")
        } else {
            None
        }
    });
    limits.min().filter(|limit| *limit < NO_LIMIT)
}

/// The lowest limit in the files of this name, from a group up to where groups are mounted. A container may see its own group
/// there instead of the whole tree.
fn lowest(mounted: &Path, path: &Path, file: &str) -> Option<u64> {
    let groups = path.ancestors().map(|group| mounted.join(group));
    groups.filter_map(|group| number(&group.join(file))).min()
}

fn number(file: &PathBuf) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        directory
    }

    #[test]
    fn the_lowest_limit_on_the_way_up_counts() {
        let groups = tree(&[
            ("a/b/memory.max", "max\n"),
            ("a/memory.max", "600000000\n"),
            ("memory.max", "900000000\n"),
        ]);
        assert_eq!(limit("0::/a/b\n", groups.path()), Some(600_000_000));
        assert_eq!(limit("0::/elsewhere\n", groups.path()), Some(900_000_000));
    }

    #[test]
    fn version_one_has_a_tree_for_memory() {
        let groups = tree(&[
            ("memory/box/memory.limit_in_bytes", "700000000\n"),
            ("memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory.max", "5\n"),
        ]);
        let lines = "5:memory:/box\n3:cpu,cpuacct:/box\n";
        assert_eq!(limit(lines, groups.path()), Some(700_000_000));
        assert_eq!(limit("5:memory:/\n", groups.path()), None);
    }

    #[test]
    fn without_groups_there_is_no_limit() {
        let groups = tree(&[]);
        for lines in ["", "0::/a\n", "nonsense", "1:memory", "5:memory:/../../etc\n"] {
            assert_eq!(limit(lines, groups.path()), None, "{lines}");
        }
    }
}
