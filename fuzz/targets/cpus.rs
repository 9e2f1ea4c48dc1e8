//! The number of CPUs, from whatever `/proc` and the cgroups say.
//!
//! The input is up to six texts, parted by the byte 255: the thread's status, its cgroups, the mounts,
//! and, for every cgroup, `cpu.max`, the quota and the period. There is always a worker; no quota gives
//! more of them, and none leaves fewer than two where the affinity mask allows two.

#![no_main]

use std::path::Path;

use gorin::fuzzing::count_cpus;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut texts = data
        .split(|&byte| byte == 255)
        .map(|text| String::from_utf8_lossy(text).into_owned());
    let mut next = || texts.next();
    // If it says nothing of CPUs the system is asked, which is slow and always the same.
    let status = next().filter(|text| text.contains("Cpus_allowed_list:"));
    let status = status.unwrap_or_else(|| "Cpus_allowed_list:\t0-7\n".to_owned());
    let (groups, mounts) = (next(), next());
    let (both, quota, period) = (next(), next(), next());
    let is_status = |path: &Path| path == Path::new("/proc/thread-self/status");
    let allowed = count_cpus(&|path| is_status(path).then(|| status.clone()));
    let counted = count_cpus(&|path| match path.to_str()? {
        "/proc/thread-self/status" => Some(status.clone()),
        "/proc/self/cgroup" => groups.clone(),
        "/proc/self/mountinfo" => mounts.clone(),
        path if path.ends_with("/cpu.max") => both.clone(),
        path if path.ends_with("/cpu.cfs_quota_us") => quota.clone(),
        path if path.ends_with("/cpu.cfs_period_us") => period.clone(),
        _ => None,
    });
    assert!(
        (allowed.min(2)..=allowed).contains(&counted),
        "{counted} of {allowed}"
    );
    assert!(counted > 0);
});
