//! Errors that say what is wrong and what to do about it.
//!
//! io_uring is refused for few reasons and each has a cure; a bare "Operation not permitted" has
//! cost users of other runtimes days.

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

/// The system call that makes a ring.
pub(crate) const SETUP: &str = "io_uring_setup";
/// The system calls that make what workers without a ring sleep on.
pub(crate) const EPOLL: &str = "epoll_create1";
/// The system call that submits to a ring and waits for it.
pub(crate) const ENTER: &str = "io_uring_enter";

/// What the kernel's refusal of `call` (making a ring, or entering it the first time) means here,
/// and its cure.
#[cold]
pub(crate) fn explain(call: &str, error: &io::Error) -> io::Error {
    let text = match error.raw_os_error() {
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
            read_trimmed("/proc/sys/kernel/io_uring_disabled")
                .unwrap_or_else(|| "not to be read".to_owned())
        ),
        Some(libc::ENOMEM) => format!(
            "{call}: ENOMEM. The memory of rings counts against RLIMIT_MEMLOCK, which is \
             {} here; even the smallest ring did not fit. Raise it (ulimit -l, LimitMEMLOCK= in \
             systemd, --ulimit memlock= in Docker) or use fewer workers.",
            limit(libc::RLIMIT_MEMLOCK, " bytes")
        ),
        Some(libc::EMFILE) => format!(
            "{call}: EMFILE. Each worker needs a descriptor for its ring or epoll set and one \
             for its wake-ups, and RLIMIT_NOFILE is {} here. Raise it (ulimit -n) or use fewer workers.",
            limit(libc::RLIMIT_NOFILE, "")
        ),
        _ => format!("{call}: {error} (on {})", kernel()),
    };
    io::Error::new(error.kind(), text)
}

/// The kernel has io_uring without something that cannot be replaced.
#[cold]
pub(crate) fn too_old(missing: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::Unsupported,
        format!(
            "{} has an io_uring without {missing}; gorin needs Linux 5.19 or later",
            kernel()
        ),
    )
}

/// The kernel keeps no more sockets in epoll sets for this user.
#[cold]
pub(crate) fn too_many_watches() -> io::Error {
    io::Error::new(
        io::ErrorKind::StorageFull,
        format!(
            "epoll_ctl: ENOSPC. The sockets that all processes of this user wait for with epoll \
             are limited by the sysctl fs.epoll.max_user_watches, which is {} here. Raise it.",
            read_trimmed("/proc/sys/fs/epoll/max_user_watches")
                .unwrap_or_else(|| "not to be read".to_owned())
        ),
    )
}

fn name(error: &io::Error) -> &'static str {
    if error.raw_os_error() == Some(libc::EACCES) {
        "EACCES"
    } else {
        "EPERM"
    }
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
        assert!(text(libc::EBUSY).contains("io_uring_setup"));
    }

    #[test]
    fn the_kind_is_kept() {
        let error = explain(SETUP, &io::Error::from_raw_os_error(libc::EPERM));
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
