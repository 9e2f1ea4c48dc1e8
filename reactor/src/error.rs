//! Errors that say what is wrong and what to do about it.
//!
//! io_uring is refused for few reasons and each has a cure; a bare "Operation not permitted" has
//! cost users of other runtimes days.

use std::fmt;
use std::fs;
use std::io;

use gorin_base::hook;

/// The error of `what` on a thread that belongs to no runtime, or in a goroutine of a model, where
/// there is none: it says what to do.
#[cold]
pub fn no_runtime(what: &str) -> io::Error {
    let text = match hook::is_active() {
        true => format!(
            "{what} needs a gorin runtime, and in a gorin::model there is none: give the program a \
             channel in its place, or gorin::io::duplex for a connection"
        ),
        false => format!(
            "{what} needs a gorin runtime and this thread has none: call it inside gorin::run or \
             a goroutine, or enter a runtime on this thread first (`Handle::enter`)"
        ),
    };
    io::Error::new(io::ErrorKind::NotConnected, text)
}

/// The reactor has no worker left.
#[cold]
pub(crate) fn shut_down(what: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotConnected,
        format!("the gorin runtime of this {what} has shut down"),
    )
}

/// The socket was closed by [`Socket::close`](crate::Socket::close).
#[cold]
pub(crate) fn closed() -> io::Error {
    io::Error::new(
        io::ErrorKind::NotConnected,
        "this socket has been closed by another call",
    )
}

/// The deadline of a socket's direction has passed.
#[cold]
pub(crate) fn deadline_passed() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "the deadline set on this socket has passed",
    )
}

/// A buffer that is to be filled is an empty vector with room for `spare` bytes.
#[cold]
pub(crate) fn no_length(spare: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "the buffer is empty: what it contains is read over, and it has only a capacity. Give it a \
             length: vec![0; {spare}] in place of Vec::with_capacity({spare}), and no clear() between calls"
        ),
    )
}

/// An operation was thrown away because there was no thread for it: of the kernel's, which does for a ring what
/// would block, or of the pool.
#[cold]
pub(crate) fn no_thread() -> io::Error {
    io::Error::other(
        "ECANCELED: no thread could be started for this operation, or its runtime ends. Raise the limit on \
         threads (`ulimit -u`, the cgroup's pids.max).",
    )
}

/// The system call that makes a ring.
pub(crate) const SETUP: &str = "io_uring_setup";
/// The system calls that make what workers without a ring sleep on, and fill it.
pub(crate) const EPOLL: &str = "epoll_create1";
pub(crate) const WATCH: &str = "epoll_ctl";
/// That which makes what wakes a worker where rings take no messages.
pub(crate) const EVENT: &str = "eventfd2";
/// That which makes the alarm of a worker.
pub(crate) const TIMER: &str = "timerfd_create";
/// The system call that submits to a ring and waits for it.
pub(crate) const ENTER: &str = "io_uring_enter";

/// That the kernel does not give a worker what it needs, in words.
#[derive(Debug)]
struct Refusal {
    of_ring: bool,
    text: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {}

fn refusal(kind: io::ErrorKind, of_ring: bool, text: String) -> io::Error {
    io::Error::new(kind, Refusal { of_ring, text })
}

/// Whether `error` is the refusal of a ring, and no other driver would meet it.
pub(crate) fn is_of_ring(error: &io::Error) -> bool {
    let inner = error.get_ref();
    let refusal = inner.and_then(|inner| inner.downcast_ref::<Refusal>());
    refusal.is_some_and(|refusal| refusal.of_ring)
}

/// What the kernel's refusal of `call`, by which a worker gets something that it needs, means here, and its
/// cure.
#[cold]
pub(crate) fn explain(call: &'static str, error: &io::Error) -> io::Error {
    let of_ring = matches!(call, SETUP | ENTER);
    let text = match error.raw_os_error() {
        Some(libc::EMFILE) => format!(
            "{call}: EMFILE. Each worker needs some descriptors (for its ring or epoll set, its wake-ups, \
             its alarm), and RLIMIT_NOFILE is {} here. Raise it (ulimit -n) or use fewer workers.",
            limit(libc::RLIMIT_NOFILE, "")
        ),
        Some(libc::ENFILE) => format!(
            "{call}: ENFILE. The descriptors of all processes are limited by the sysctl fs.file-max, which \
             is {} here. Raise it.",
            sysctl("/proc/sys/fs/file-max")
        ),
        _ if of_ring => explain_ring(call, error),
        _ => explain_other(call, error),
    };
    refusal(error.kind(), of_ring, text)
}

/// A call without which no driver works.
fn explain_other(call: &str, error: &io::Error) -> String {
    let without = match call {
        TIMER => " Or let workers not watch each other (GORIN_RESCUE=0), which is what it is for.",
        _ => "",
    };
    match error.raw_os_error() {
        Some(libc::ENOSYS | libc::EPERM | libc::EACCES) => format!(
            "{call}: {}. A sandbox or a seccomp profile keeps this call from the process: allow it.{without}",
            name(error)
        ),
        Some(libc::ENOSPC) if call == WATCH => too_many_watches().to_string(),
        Some(libc::ENOMEM) => format!(
            "{call}: ENOMEM. The kernel has no memory for it: mind the limits of this process's cgroups, or \
             use fewer workers."
        ),
        _ => format!("{call}: {error} (on {})", kernel()),
    }
}

/// Making a ring, or entering it the first time.
fn explain_ring(call: &str, error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOSYS) => format!(
            "{call}: ENOSYS. {} has no io_uring, or a sandbox (gVisor, a seccomp profile \
             that answers ENOSYS) hides it. gorin needs Linux 5.19 or later, built with \
             CONFIG_IO_URING, outside such a sandbox.",
            kernel()
        ),
        Some(libc::EPERM | libc::EACCES) => format!(
            "{call}: {}. Usually a container's seccomp profile (Docker's default blocks \
             io_uring: allow io_uring_setup, io_uring_enter and io_uring_register) or the sysctl \
             kernel.io_uring_disabled, which is {} here (0 allows io_uring, 1 only to privileged \
             processes and the group kernel.io_uring_group, 2 to nobody).",
            name(error),
            sysctl("/proc/sys/kernel/io_uring_disabled")
        ),
        Some(libc::ENOMEM) => format!(
            "{call}: ENOMEM. The memory of rings counts against RLIMIT_MEMLOCK, which is \
             {} here; even the smallest ring did not fit. Raise it (ulimit -l, LimitMEMLOCK= in \
             systemd, --ulimit memlock= in Docker) or use fewer workers.",
            limit(libc::RLIMIT_MEMLOCK, " bytes")
        ),
        _ => format!("{call}: {error} (on {})", kernel()),
    }
}

/// The kernel has io_uring without something that cannot be replaced.
#[cold]
pub(crate) fn too_old(missing: &str) -> io::Error {
    let text = format!(
        "{} has an io_uring without {missing}; gorin needs Linux 5.19 or later",
        kernel()
    );
    refusal(io::ErrorKind::Unsupported, true, text)
}

/// The kernel keeps no more sockets in epoll sets for this user.
#[cold]
pub(crate) fn too_many_watches() -> io::Error {
    io::Error::new(
        io::ErrorKind::StorageFull,
        format!(
            "epoll_ctl: ENOSPC. The sockets that all processes of this user wait for with epoll \
             are limited by the sysctl fs.epoll.max_user_watches, which is {} here. Raise it.",
            sysctl("/proc/sys/fs/epoll/max_user_watches")
        ),
    )
}

fn name(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EACCES) => "EACCES",
        Some(libc::ENOSYS) => "ENOSYS",
        _ => "EPERM",
    }
}

/// The value of the sysctl in this file.
fn sysctl(path: &str) -> String {
    read_trimmed(path).unwrap_or_else(|| "not to be read".to_owned())
}

fn kernel() -> String {
    match read_trimmed("/proc/sys/kernel/osrelease") {
        Some(release) => format!("this kernel (Linux {release})"),
        None => "this kernel".to_owned(),
    }
}

fn read_trimmed(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

fn limit(resource: libc::__rlimit_resource_t, unit: &str) -> String {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid rlimit for the call to fill.
    if unsafe { libc::getrlimit(resource, &mut limit) } != 0 {
        return "unknown".to_owned();
    }
    if limit.rlim_cur == libc::RLIM_INFINITY {
        return "unlimited".to_owned();
    }
    format!("{}{unit}", limit.rlim_cur)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn text(errno: i32) -> String {
        explain(SETUP, &io::Error::from_raw_os_error(errno)).to_string()
    }

    #[test]
    fn each_refusal_names_its_cause_and_its_cure() {
        assert!(text(libc::ENOSYS).contains("CONFIG_IO_URING"));
        let eperm = text(libc::EPERM);
        assert!(eperm.contains("EPERM") && eperm.contains("kernel.io_uring_disabled"));
        assert!(text(libc::EACCES).contains("EACCES"));
        let memory = text(libc::ENOMEM);
        assert!(memory.contains("RLIMIT_MEMLOCK, which is "));
        assert!(memory.contains("bytes") || memory.contains("unlimited"));
        assert!(text(libc::EMFILE).contains("RLIMIT_NOFILE is "));
        assert!(text(libc::ENFILE).contains("fs.file-max, which is "));
        assert!(text(libc::EBUSY).contains("io_uring_setup"));
    }

    /// For: texts that named io_uring, and its cure, whatever was refused.
    #[test]
    fn what_has_nothing_to_do_with_rings_does_not_speak_of_them() {
        for call in [EPOLL, WATCH, EVENT, TIMER] {
            for errno in [libc::EPERM, libc::ENOSYS, libc::ENOMEM, libc::EMFILE] {
                let error = explain(call, &io::Error::from_raw_os_error(errno));
                let text = error.to_string();
                assert!(
                    text.starts_with(call) && !text.contains("io_uring"),
                    "{text}"
                );
                assert!(!is_of_ring(&error), "{text}");
            }
        }
        let full = explain(WATCH, &io::Error::from_raw_os_error(libc::ENOSPC));
        assert!(full.to_string().contains("fs.epoll.max_user_watches"));
        assert!(is_of_ring(&explain(
            ENTER,
            &io::Error::from_raw_os_error(libc::EPERM)
        )));
        assert!(is_of_ring(&too_old("something")));
    }

    #[test]
    fn the_kind_is_kept() {
        let error = explain(SETUP, &io::Error::from_raw_os_error(libc::EPERM));
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
