//! What this process is and uses: CPU time, resident memory, the CPUs it may run on.

use crate::wire::Usage;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};
use nix::sys::time::TimeVal;
use nix::unistd::{Pid, SysconfVar, sysconf};
use std::time::Duration;

/// CPU time, memory and sleeps of all threads of this process so far.
///
/// # Panics
/// Never on Linux: `getrusage` of oneself cannot fail.
pub fn usage() -> Usage {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("getrusage of oneself");
    let time = |time: TimeVal| {
        Duration::from_micros(time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64)
    };
    Usage {
        cpu: time(usage.user_time()) + time(usage.system_time()),
        resident_bytes: resident_bytes(),
        sleeps: usage.voluntary_context_switches() as u64,
    }
}

/// Resident set of this process in bytes; 0 if /proc is not mounted.
fn resident_bytes() -> u64 {
    let page_bytes = match sysconf(SysconfVar::PAGE_SIZE) {
        Ok(Some(bytes)) => bytes as u64,
        _ => 4096,
    };
    std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split_whitespace().nth(1)?.parse::<u64>().ok())
        .unwrap_or(0)
        * page_bytes
}

/// The CPUs that this thread may run on.
pub fn allowed_cpus() -> Vec<usize> {
    let set = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
    (0..CpuSet::count())
        .filter(|&cpu| set.is_set(cpu).unwrap_or(false))
        .collect()
}

/// Lets this thread, and what it starts from now on, run on `cpus` only.
///
/// # Errors
/// The system refuses, for example because a CPU does not exist.
pub fn pin(cpus: &[usize]) -> std::io::Result<()> {
    let mut set = CpuSet::new();
    for &cpu in cpus {
        set.set(cpu)?;
    }
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Asks the kernel to kill this process when the runner dies, so that nothing is left behind.
pub fn die_with_parent() {
    // A kernel that refuses leaves what stdin's end and the runner's own kill do anyway.
    let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL);
}

/// Raises the number of files this process may open to the most it may ask for. Returns it.
pub fn raise_file_limit() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return 0;
    };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_sleep_is_counted() {
        let before = usage().sleeps;
        std::thread::sleep(Duration::from_millis(1));
        assert!(usage().sleeps > before);
    }

    #[test]
    fn spinning_uses_cpu_time_and_a_touched_block_is_resident() {
        let before = usage();
        let start = Instant::now();
        while usage().cpu - before.cpu < Duration::from_millis(20) {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "CPU time stands still"
            );
        }
        let block = std::hint::black_box(vec![1u8; 32 << 20]);
        assert!(resident_bytes() >= before.resident_bytes + (16 << 20));
        drop(block);
    }

    #[test]
    fn a_pinned_thread_has_one_cpu() {
        std::thread::spawn(|| {
            let last = *allowed_cpus().last().expect("some CPU");
            pin(&[last]).unwrap();
            assert_eq!(allowed_cpus(), [last]);
        })
        .join()
        .unwrap();
    }
}
