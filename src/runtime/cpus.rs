//! How many CPUs this process may use: the affinity mask, and the CPU quotas of its cgroups.
//!
//! A quota may be set anywhere between a process's own cgroup and the root of the hierarchy, and the
//! smallest counts. It is a share of time, not of CPUs, so it is rounded up, and never below two:
//! with one worker a goroutine that computes holds all others, and what is used beyond the quota is
//! throttled by the kernel anyway (Go decides the same).
//!
//! Everything is read through one function from path to text, so that the tests have trees of their
//! own. What cannot be read or understood limits nothing. It is read once, when a runtime starts: a
//! quota that changes later is not followed, as Go does since 1.25. There a processor is a structure
//! that any thread may take up; here each worker is a thread with a ring on which sockets wait, so
//! fewer of them would have to hand theirs over, and more would have to be made.
//!
//! Must not fail: some number of workers is needed.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

/// The fewest CPUs that a quota leaves.
const LEAST_FROM_QUOTA: usize = 2;

/// The number of CPUs that this process may use, by affinity and by the quotas of its cgroups
/// (version 1 and 2) and all cgroups above them: how many workers a runtime has unless it is told
/// otherwise.
///
/// It reads anew at each call; a runtime asks once, when it starts, and keeps its number of workers. A
/// quota that is changed later throttles them, or leaves CPUs to nobody, until the program starts again.
///
/// A quota is rounded up, and never below 2: with a single worker a goroutine that computes would hold
/// up all others. The affinity mask may leave 1.
///
/// ```
/// assert!(gorin::runtime::available_cpus() >= 1);
/// ```
#[must_use]
pub fn available_cpus() -> usize {
    count(&read)
}

/// The text of a file. Names in it may be no UTF-8 (a mount point's, which need not be ours).
fn read(path: &Path) -> Option<String> {
    let bytes = fs::read(path).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Gives the text of a file, if it can be read.
pub(crate) type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

pub(crate) fn count(read: Read<'_>) -> usize {
    let allowed = affinity(read).unwrap_or_else(|| {
        // Without /proc. This one reads the mask, and quotas where it finds them.
        thread::available_parallelism().map_or(1, Into::into)
    });
    match smallest_quota(read) {
        Some(quota) => allowed.min((quota.ceil() as usize).max(LEAST_FROM_QUOTA)),
        None => allowed,
    }
}

/// The CPUs in this thread's affinity mask.
fn affinity(read: Read<'_>) -> Option<usize> {
    let status = read(Path::new("/proc/thread-self/status"))?;
    let list = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    count_list(list.trim()).filter(|&cpus| cpus > 0)
}

/// How many numbers a list like `0-3,8` has.
fn count_list(list: &str) -> Option<usize> {
    let range = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
        last.checked_sub(first)?.checked_add(1)
    };
    list.split(',')
        .try_fold(0_usize, |sum, part| sum.checked_add(range(part)?))
}

/// The smallest quota of all cgroups that hold this process, in CPUs.
fn smallest_quota(read: Read<'_>) -> Option<f64> {
    let memberships = read(Path::new("/proc/self/cgroup"))?;
    let mounts = read(Path::new("/proc/self/mountinfo"))?;
    let quotas = memberships.lines().flat_map(|line| {
        let hierarchy = Hierarchy::of_membership(line);
        hierarchy.map_or_else(Vec::new, |(hierarchy, path)| {
            hierarchy.quotas(path, &mounts, read)
        })
    });
    quotas.min_by(f64::total_cmp)
}

/// The two versions of cgroups; both may be mounted, with the CPU in one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hierarchy {
    V1,
    V2,
}

impl Hierarchy {
    /// That of a line of `/proc/self/cgroup`, `number:controllers:path`, and the path.
    fn of_membership(line: &str) -> Option<(Hierarchy, &str)> {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        if number == "0" && controllers.is_empty() {
            return Some((Hierarchy::V2, path));
        }
        let has_cpu = controllers.split(',').any(|controller| controller == "cpu");
        has_cpu.then_some((Hierarchy::V1, path))
    }

    /// The quotas of the cgroup at `path` and of those above it, as far as they are mounted.
    fn quotas(self, path: &str, mounts: &str, read: Read<'_>) -> Vec<f64> {
        let Some(mount) = mounts.lines().find_map(|line| self.mount(line)) else {
            return Vec::new();
        };
        let relative = mount.relative(path);
        let groups = relative.ancestors();
        groups
            .filter_map(|group| self.quota(&mount.point.join(group), read))
            .collect()
    }

    /// Where a line of `/proc/self/mountinfo` mounts this hierarchy.
    fn mount(self, line: &str) -> Option<Mount> {
        let (place, filesystem) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (root, point) = (place.next()?, place.next()?);
        let mut filesystem = filesystem.split(' ');
        let kind = filesystem.next()?;
        let options = filesystem.nth(1).unwrap_or("");
        let is_it = match self {
            Hierarchy::V1 => kind == "cgroup" && options.split(',').any(|option| option == "cpu"),
            Hierarchy::V2 => kind == "cgroup2",
        };
        is_it.then(|| Mount {
            root: unescape(root),
            point: unescape(point),
        })
    }

    /// The quota of the cgroup in `directory`, if it has one.
    fn quota(self, directory: &Path, read: Read<'_>) -> Option<f64> {
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let file = |name| read(&directory.join(name));
        let (quota, period) = match self {
            Hierarchy::V1 => (
                number(&file("cpu.cfs_quota_us")?)?,
                number(&file("cpu.cfs_period_us")?)?,
            ),
            Hierarchy::V2 => {
                let both = file("cpu.max")?;
                let (quota, period) = both.trim().split_once(' ')?;
                // `max` is no number: no quota.
                (number(quota)?, number(period)?)
            }
        };
        // Version 1 says -1 where there is no quota, which is no number either.
        (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
    }
}

/// Where a hierarchy is mounted, and which part of it.
#[derive(Debug)]
struct Mount {
    root: PathBuf,
    point: PathBuf,
}

impl Mount {
    /// The way from the mount point to the cgroup at `path`; to the mount point itself if that lies
    /// outside of what is mounted, as inside a container that shows its own part only.
    fn relative(&self, path: &str) -> PathBuf {
        let inside = Path::new(path).strip_prefix(&self.root);
        let inside = inside.unwrap_or(Path::new(""));
        let leaves = inside
            .components()
            .any(|part| part == std::path::Component::ParentDir);
        if leaves {
            return PathBuf::new();
        }
        inside.strip_prefix("/").unwrap_or(inside).to_owned()
    }
}

/// A path of mountinfo, in which blanks are written as `\040` and the like.
fn unescape(text: &str) -> PathBuf {
    let mut parts = text.split('\\');
    let mut path = parts.next().unwrap_or("").to_owned();
    for part in parts {
        let code = part
            .get(..3)
            .and_then(|code| u8::from_str_radix(code, 8).ok());
        match code {
            Some(code) => {
                path.push(char::from(code));
                path.push_str(&part[3..]);
            }
            None => {
                path.push('\\');
                path.push_str(part);
            }
        }
    }
    PathBuf::from(path)
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::HashMap;

    use gorin_base::rng;

    use super::*;

    const V2_MOUNT: &str =
        "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    const V1_MOUNTS: &str = "\
        31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
        33 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n";

    /// The CPUs on a machine with 8, of which this process may use `cpus`, and with `files`.
    fn count_with(cpus: &str, files: &[(&str, &str)]) -> usize {
        let status = format!("Name:\ttest\nCpus_allowed:\tff\nCpus_allowed_list:\t{cpus}\n");
        let mut tree = HashMap::from([(PathBuf::from("/proc/thread-self/status"), status)]);
        for (path, text) in files {
            tree.insert(PathBuf::from(path), (*text).to_owned());
        }
        count(&|path| tree.get(path).cloned())
    }

    fn v2(group: &str, files: &[(&str, &str)]) -> usize {
        let membership = format!("0::{group}\n");
        let mut all = vec![
            ("/proc/self/cgroup", membership.as_str()),
            ("/proc/self/mountinfo", V2_MOUNT),
        ];
        all.extend(files);
        count_with("0-7", &all)
    }

    #[test]
    fn the_affinity_mask_counts_where_there_is_no_quota() {
        assert_eq!(count_with("0-7", &[]), 8);
        assert_eq!(count_with("0,2-3,9", &[]), 4);
        assert_eq!(count_with("5", &[]), 1);
        assert_eq!(v2("/", &[]), 8);
        assert_eq!(v2("/a", &[("/sys/fs/cgroup/a/cpu.max", "max 100000\n")]), 8);
    }

    #[test]
    fn a_list_that_is_no_list_counts_nothing() {
        let many = usize::MAX - 1;
        let too_many = format!("0-{many},0-{many}");
        for list in ["", "a", "1-", "3-1", "1,,2", &too_many] {
            assert_eq!(count_list(list), None, "{list}");
        }
    }

    #[test]
    fn a_quota_is_rounded_up_and_leaves_two() {
        for (max, cpus) in [
            ("400000 100000\n", 4),
            ("310000 100000\n", 4),
            ("250000 50000\n", 5),
            ("150000 100000\n", 2),
            ("50000 100000\n", 2),
            ("9000000 100000\n", 8),
            ("garbage", 8),
            ("-1 100000\n", 8),
            ("100000 0\n", 8),
        ] {
            assert_eq!(
                v2("/a", &[("/sys/fs/cgroup/a/cpu.max", max)]),
                cpus,
                "{max}"
            );
        }
    }

    #[test]
    fn the_affinity_mask_may_leave_less_than_a_quota_does() {
        let files = [
            ("/proc/self/cgroup", "0::/a\n"),
            ("/proc/self/mountinfo", V2_MOUNT),
            ("/sys/fs/cgroup/a/cpu.max", "50000 100000\n"),
        ];
        assert_eq!(count_with("3", &files), 1);
    }

    #[test]
    fn the_smallest_quota_of_all_ancestors_counts() {
        let files = [
            ("/sys/fs/cgroup/a/b/c/cpu.max", "600000 100000\n"),
            ("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"),
            ("/sys/fs/cgroup/a/cpu.max", "300000 100000\n"),
            // A neighbour's, and one below.
            ("/sys/fs/cgroup/z/cpu.max", "200000 100000\n"),
            ("/sys/fs/cgroup/a/b/c/d/cpu.max", "200000 100000\n"),
        ];
        assert_eq!(v2("/a/b/c", &files), 3);
    }

    #[test]
    fn a_container_sees_its_own_part_of_the_hierarchy() {
        // The namespace hides what is above: the quota lies at the mount point.
        let own = [("/sys/fs/cgroup/cpu.max", "300000 100000\n")];
        assert_eq!(v2("/", &own), 3);
        // Mounted from outside, the path leads out of what can be seen.
        assert_eq!(v2("/../../system.slice", &own), 3);
    }

    #[test]
    fn version_one_counts_where_its_cpu_controller_is_mounted() {
        let files = [
            (
                "/proc/self/cgroup",
                "5:memory:/m\n3:cpu,cpuacct:/docker/abc\n0::/unused\n",
            ),
            ("/proc/self/mountinfo", V1_MOUNTS),
            (
                "/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us",
                "-1\n",
            ),
            (
                "/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us",
                "100000\n",
            ),
            (
                "/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us",
                "250000\n",
            ),
            (
                "/sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us",
                "100000\n",
            ),
        ];
        assert_eq!(count_with("0-7", &files), 3);
    }

    #[test]
    fn a_mount_of_a_part_and_blanks_in_its_path_are_understood() {
        let mount = "40 31 0:29 /docker/abc /mnt/my\\040cpu rw - cgroup cgroup rw,cpu\n";
        let files = [
            ("/proc/self/cgroup", "3:cpu:/docker/abc/inner\n"),
            ("/proc/self/mountinfo", mount),
            ("/mnt/my cpu/inner/cpu.cfs_quota_us", "500000\n"),
            ("/mnt/my cpu/inner/cpu.cfs_period_us", "100000\n"),
        ];
        assert_eq!(count_with("0-7", &files), 5);
    }

    #[test]
    fn this_machine_has_a_number() {
        assert!(affinity(&read).is_some());
        assert!(available_cpus() >= 1);
    }

    /// What the kernel writes, and what it might: pieces to put together anew.
    const PIECES: &[&str] = &[
        "0-7",
        "0,2-3,9",
        "18446744073709551615",
        "-1",
        "max",
        "100000",
        "250000",
        "1e400",
        "inf",
        "nan",
        "0::/a/b",
        "3:cpu,cpuacct:/docker/abc",
        "0::/../../x",
        "cpu",
        " - ",
        " ",
        ",",
        "-",
        ":",
        "/",
        "\n",
        "\\040",
        "\\",
        "\\9",
        "\\é",
        "é",
        "\0",
        "\u{feff}",
        "+7",
        "..",
        "cgroup2 cgroup2 rw",
        "cgroup cgroup rw,cpu",
        "Cpus_allowed_list:",
        V2_MOUNT,
        V1_MOUNTS,
    ];

    /// A text that begins as `text` and is then changed at some places.
    fn mutate(random: &mut fastrand::Rng, text: &str) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        for _ in 0..random.usize(0..6) {
            let from = random.usize(0..=chars.len());
            let to = random.usize(from..=chars.len().min(from + 8));
            let piece = PIECES[random.usize(0..PIECES.len())];
            match random.u8(0..4) {
                0 => drop(chars.drain(from..to)),
                1 => drop(chars.splice(from..from, piece.chars())),
                2 => drop(chars.splice(from..to, piece.chars())),
                _ => chars.extend(piece.chars()),
            }
        }
        chars.into_iter().collect()
    }

    /// Whatever the files hold, there is a number of CPUs: no more than the mask allows, no fewer
    /// than two if it allows two, and found without reading for ever.
    #[test]
    fn no_text_makes_it_fail() {
        let seed = match rng::configured_seed() {
            Ok(Some(seed)) => *seed,
            _ => fastrand::u64(..),
        };
        println!("GORIN_SEED={seed} repeats it");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..2_000 {
            let mut tree = HashMap::new();
            for (path, text) in [
                (
                    "/proc/thread-self/status",
                    "Name:\tx\nCpus_allowed_list:\t0-7\n",
                ),
                ("/proc/self/cgroup", "3:cpu,cpuacct:/docker/abc\n0::/a/b\n"),
                ("/proc/self/mountinfo", &[V1_MOUNTS, V2_MOUNT].concat()),
            ] {
                tree.insert(PathBuf::from(path), mutate(&mut random, text));
            }
            let random = RefCell::new(&mut random);
            let reads = Cell::new(0);
            let read = |path: &Path| {
                reads.set(reads.get() + 1);
                // The files of a group, wherever the texts say that it is.
                let group = |text| Some(mutate(&mut random.borrow_mut(), text));
                tree.get(path)
                    .cloned()
                    .or_else(|| match path.file_name()?.to_str()? {
                        "cpu.max" => group("300000 100000\n"),
                        "cpu.cfs_quota_us" => group("300000\n"),
                        "cpu.cfs_period_us" => group("100000\n"),
                        _ => None,
                    })
            };
            let cpus = count(&read);
            assert!(reads.get() < 1_000, "{} reads: {tree:?}", reads.get());
            if let Some(allowed) = affinity(&read) {
                assert!(
                    (allowed.min(2)..=allowed).contains(&cpus),
                    "{cpus}: {tree:?}"
                );
            }
            assert!(cpus >= 1, "{tree:?}");
        }
    }
}
