//! Operations whose only result is that they succeeded: one opcode for all of them.

use std::io;
use std::os::fd::AsRawFd;

use super::run::Run;
use super::{Descriptor, PathString};
use crate::driver::{PathRequest, Request};
use crate::op::Opcode;

/// What to do, with all that the kernel needs for it.
pub(super) enum Call {
    Nop,
    Sync {
        file: Descriptor,
        data_only: bool,
    },
    Truncate {
        file: Descriptor,
        len: u64,
    },
    Rename {
        from: PathString,
        to: PathString,
    },
    Unlink {
        path: PathString,
        directory: bool,
    },
    MakeDir {
        path: PathString,
        mode: libc::mode_t,
    },
    Symlink {
        target: PathString,
        link: PathString,
    },
    Link {
        original: PathString,
        link: PathString,
    },
}

/// The future of a call, or of its refusal.
pub(super) type Calling = Run<Call>;

impl Opcode for Call {
    type Output = io::Result<()>;

    fn request(&mut self) -> Request {
        let path = match self {
            Call::Nop => return Request::Nop,
            Call::Sync { file, data_only } => {
                return Request::Sync {
                    fd: file.as_fd().as_raw_fd(),
                    data_only: *data_only,
                };
            }
            Call::Truncate { file, len } => {
                return Request::Truncate {
                    fd: file.as_fd().as_raw_fd(),
                    len: *len,
                };
            }
            Call::Rename { from, to } => PathRequest::Rename {
                from: from.as_ptr(),
                to: to.as_ptr(),
            },
            Call::Unlink { path, directory } => PathRequest::Unlink {
                path: path.as_ptr(),
                directory: *directory,
            },
            Call::MakeDir { path, mode } => PathRequest::MakeDir {
                path: path.as_ptr(),
                mode: *mode,
            },
            Call::Symlink { target, link } => PathRequest::Symlink {
                target: target.as_ptr(),
                link: link.as_ptr(),
            },
            Call::Link { original, link } => PathRequest::Link {
                original: original.as_ptr(),
                link: link.as_ptr(),
            },
        };
        Request::Path(path)
    }

    fn finish(self, result: io::Result<u32>) -> io::Result<()> {
        result.map(drop)
    }

    fn lost(error: io::Error) -> io::Result<()> {
        Err(error)
    }
}
