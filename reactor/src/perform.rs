//! A [`Request`] done by blocking system calls, for drivers without a ring. Answers as the kernel
//! does in a completion: a count or descriptor, or a negated errno.

use std::io;

use crate::driver::{POSITION, PathRequest, Request};

/// Does `request` on this thread, which may block.
///
/// # Safety
/// All memory that `request` names is valid, and touched by nobody else, until this returns; so are
/// its descriptors.
pub(crate) unsafe fn perform(request: Request) -> i32 {
    match request {
        Request::Nop => 0,
        Request::Open { path, flags, mode } => {
            // SAFETY: the caller's contract: a string with a zero at its end.
            answer(|| unsafe { libc::open(path, flags, mode) } as isize)
        }
        Request::Read {
            fd,
            buffer,
            len,
            offset,
        } => {
            let (buffer, len) = (buffer.cast(), len as usize);
            at_offset(
                offset,
                // SAFETY: the caller's contract: `len` bytes to write to.
                |offset| unsafe { libc::pread64(fd, buffer, len, offset) },
                // SAFETY: as above.
                || unsafe { libc::read(fd, buffer, len) },
            )
        }
        Request::Write {
            fd,
            buffer,
            len,
            offset,
        } => {
            let (buffer, len) = (buffer.cast(), len as usize);
            at_offset(
                offset,
                // SAFETY: the caller's contract: `len` bytes to read.
                |offset| unsafe { libc::pwrite64(fd, buffer, len, offset) },
                // SAFETY: as above.
                || unsafe { libc::write(fd, buffer, len) },
            )
        }
        Request::Sync { fd, data_only } => answer(|| {
            let result = if data_only {
                // SAFETY: takes a descriptor.
                unsafe { libc::fdatasync(fd) }
            } else {
                // SAFETY: takes a descriptor.
                unsafe { libc::fsync(fd) }
            };
            result as isize
        }),
        Request::Close { fd } => {
            // Not repeated when it is interrupted: the descriptor is gone all the same.
            // SAFETY: the descriptor belongs to the operation.
            let result = unsafe { libc::close(fd) };
            if result == 0 { 0 } else { errno() }
        }
        Request::Truncate { fd, len } => answer(|| {
            // SAFETY: takes a descriptor and a number.
            unsafe { libc::ftruncate64(fd, len as i64) as isize }
        }),
        // They would keep a thread each: who has no ring waits for readiness (`ops/owned.rs`).
        Request::Recv { .. } | Request::Send { .. } => -libc::EOPNOTSUPP,
        // SAFETY: the caller's contract.
        Request::Path(request) => answer(|| unsafe { perform_path(request) } as isize),
    }
}

/// # Safety
/// As [`perform`]: paths end with a zero.
unsafe fn perform_path(request: PathRequest) -> libc::c_int {
    match request {
        PathRequest::Stat {
            dir,
            path,
            flags,
            into,
        } => {
            let mask = libc::STATX_BASIC_STATS | libc::STATX_BTIME;
            // SAFETY: the caller's contract: a path, and room for the answer.
            unsafe { libc::statx(dir, path, flags, mask, into) }
        }
        // SAFETY: the caller's contract.
        PathRequest::Rename { from, to } => unsafe { libc::rename(from, to) },
        PathRequest::Unlink {
            path,
            directory: true,
        } => {
            // SAFETY: the caller's contract.
            unsafe { libc::rmdir(path) }
        }
        // SAFETY: the caller's contract.
        PathRequest::Unlink { path, .. } => unsafe { libc::unlink(path) },
        // SAFETY: the caller's contract.
        PathRequest::MakeDir { path, mode } => unsafe { libc::mkdir(path, mode) },
        // SAFETY: the caller's contract.
        PathRequest::Symlink { target, link } => unsafe { libc::symlink(target, link) },
        // SAFETY: the caller's contract.
        PathRequest::Link { original, link } => unsafe { libc::link(original, link) },
    }
}

/// The kernel's answer to a transfer: `there`, unless `offset` is [`POSITION`] or the file has no
/// offsets (a pipe, for example), where a ring ignores it; else `here`.
fn at_offset(offset: u64, there: impl Fn(i64) -> isize, here: impl Fn() -> isize) -> i32 {
    answer(|| {
        if offset != POSITION {
            let count = there(offset as i64);
            if count >= 0 || errno() != -libc::ESPIPE {
                return count;
            }
        }
        here()
    })
}

/// The kernel's answer to `call`, which is repeated while signals interrupt it.
pub(crate) fn answer(mut call: impl FnMut() -> isize) -> i32 {
    loop {
        let result = call();
        if result >= 0 {
            // The kernel transfers less than 2 GiB at a time.
            return result as i32;
        }
        match errno() {
            errno if errno == -libc::EINTR => {}
            errno => return errno,
        }
    }
}

/// The last call's error, negated.
fn errno() -> i32 {
    -io::Error::last_os_error()
        .raw_os_error()
        .unwrap_or(libc::EIO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CString;
    use std::os::fd::AsRawFd;

    /// Reads at `offset` of the open file `fd` into a buffer of `len` bytes.
    fn read(fd: i32, len: u32, offset: u64) -> Result<Vec<u8>, i32> {
        let mut bytes = vec![0; len as usize];
        let request = Request::Read {
            fd,
            buffer: bytes.as_mut_ptr(),
            len,
            offset,
        };
        // SAFETY: the buffer lives through the call and has that length.
        match unsafe { perform(request) } {
            count if count >= 0 => {
                bytes.truncate(count as usize);
                Ok(bytes)
            }
            errno => Err(-errno),
        }
    }

    fn simple(request: Request) -> i32 {
        // SAFETY: the callers' requests name no memory.
        unsafe { perform(request) }
    }

    #[test]
    fn each_request_answers_as_the_kernel_does() {
        assert_eq!(simple(Request::Nop), 0);
        let path = std::env::temp_dir().join(format!("gorin-perform-{}", std::process::id()));
        let name = CString::new(path.to_str().expect("a plain path")).unwrap();
        let open = |flags| Request::Open {
            path: name.as_ptr(),
            flags: flags | libc::O_CLOEXEC,
            mode: 0o600,
        };
        // SAFETY: the name lives to the end of the test.
        let fd = unsafe { perform(open(libc::O_RDWR | libc::O_CREAT | libc::O_EXCL)) };
        assert!(fd >= 0, "{fd}");
        // SAFETY: as above.
        let again = unsafe { perform(open(libc::O_RDWR | libc::O_CREAT | libc::O_EXCL)) };
        assert_eq!(again, -libc::EEXIST);

        let text = b"blocking";
        for offset in [0, POSITION] {
            let write = Request::Write {
                fd,
                buffer: text.as_ptr(),
                len: text.len() as u32,
                offset,
            };
            // SAFETY: the text is static.
            assert_eq!(unsafe { perform(write) }, text.len() as i32);
        }
        assert_eq!(read(fd, 5, 5).unwrap(), b"ing");
        // The write at the position has moved it to the end.
        assert_eq!(read(fd, 5, POSITION).unwrap(), b"");
        for data_only in [false, true] {
            assert_eq!(simple(Request::Sync { fd, data_only }), 0);
        }
        assert_eq!(simple(Request::Truncate { fd, len: 3 }), 0);
        assert_eq!(read(fd, 9, 0).unwrap(), b"blo");
        assert_eq!(simple(Request::Close { fd }), 0);
        std::fs::remove_file(&path).unwrap();

        let (reader, writer) = std::io::pipe().unwrap();
        let write = Request::Write {
            fd: writer.as_raw_fd(),
            buffer: text.as_ptr(),
            len: text.len() as u32,
            offset: 7,
        };
        // SAFETY: the text is static.
        assert_eq!(unsafe { perform(write) }, text.len() as i32);
        assert_eq!(read(reader.as_raw_fd(), 9, 7).unwrap(), text);

        // A descriptor that cannot be read, and one that is none.
        let only_write = std::fs::File::create("/dev/null").unwrap();
        assert_eq!(read(only_write.as_raw_fd(), 1, 0), Err(libc::EBADF));
        assert_eq!(simple(Request::Close { fd: -1 }), -libc::EBADF);
    }

    #[test]
    fn each_path_request_does_what_it_says() {
        let dirs = (0..).map(|n| format!("gorin-paths-{}-{n}", std::process::id()));
        let mut dirs = dirs.map(|name| std::env::temp_dir().join(name));
        // A process of this number that was killed may have left one.
        let dir = dirs.find(|dir| !dir.exists()).expect("there is no end");
        let name = |part: &str| {
            let path = dir.join(part);
            CString::new(path.to_str().expect("a plain path")).unwrap()
        };
        // SAFETY: the names below live to the end of the test.
        let path = |request| unsafe { perform(Request::Path(request)) };
        let (top, a, b, c) = (name(""), name("a"), name("b"), name("c"));
        let make = |path: &CString| PathRequest::MakeDir {
            path: path.as_ptr(),
            mode: 0o700,
        };
        assert_eq!(path(make(&top)), 0);
        assert_eq!(path(make(&top)), -libc::EEXIST);
        std::fs::write(dir.join("a"), "four").unwrap();
        let (from, to) = (a.as_ptr(), b.as_ptr());
        assert_eq!(path(PathRequest::Rename { from, to }), 0);
        let (original, link) = (b.as_ptr(), a.as_ptr());
        assert_eq!(path(PathRequest::Link { original, link }), 0);
        let (target, link) = (b.as_ptr(), c.as_ptr());
        assert_eq!(path(PathRequest::Symlink { target, link }), 0);
        assert_eq!(std::fs::read(dir.join("c")).unwrap(), b"four");

        let mut stat = std::mem::MaybeUninit::<libc::statx>::zeroed();
        let request = PathRequest::Stat {
            dir: libc::AT_FDCWD,
            path: a.as_ptr(),
            flags: 0,
            into: stat.as_mut_ptr(),
        };
        assert_eq!(path(request), 0);
        // SAFETY: filled, and zeroes before.
        let stat = unsafe { stat.assume_init() };
        assert_eq!((stat.stx_size, stat.stx_nlink), (4, 2));

        let unlink = |path: &CString, directory| PathRequest::Unlink {
            path: path.as_ptr(),
            directory,
        };
        assert_eq!(path(unlink(&top, true)), -libc::ENOTEMPTY);
        for name in [&a, &b, &c] {
            assert_eq!(path(unlink(name, false)), 0);
        }
        assert_eq!(path(unlink(&top, false)), -libc::EISDIR);
        assert_eq!(path(unlink(&top, true)), 0);
    }

    /// For: a signal that is told to who reads a file.
    #[test]
    fn an_interrupted_call_is_repeated() {
        let mut calls = 0;
        let answered = answer(|| {
            calls += 1;
            if calls == 3 {
                return 7;
            }
            // SAFETY: gives a place.
            let errno = unsafe { libc::__errno_location() };
            // SAFETY: that of this thread's error number.
            unsafe { *errno = libc::EINTR };
            -1
        });
        assert_eq!((answered, calls), (7, 3));
    }
}
