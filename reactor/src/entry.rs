//! Requests in the form that the ring takes.

use io_uring::{opcode, squeue, types};

use crate::driver::{PathRequest, Request};

/// Where paths begin that are not absolute.
const HERE: types::Fd = types::Fd(libc::AT_FDCWD);

/// The submission of `request`.
pub(crate) fn entry(request: Request) -> squeue::Entry {
    match request {
        Request::Nop => opcode::Nop::new().build(),
        Request::Open { path, flags, mode } => opcode::OpenAt::new(HERE, path)
            .flags(flags)
            .mode(mode)
            .build(),
        Request::Read {
            fd,
            buffer,
            len,
            offset,
        } => opcode::Read::new(types::Fd(fd), buffer, len)
            .offset(offset)
            .build(),
        Request::Write {
            fd,
            buffer,
            len,
            offset,
        } => opcode::Write::new(types::Fd(fd), buffer, len)
            .offset(offset)
            .build(),
        Request::Sync { fd, data_only } => {
            let flags = if data_only {
                types::FsyncFlags::DATASYNC
            } else {
                types::FsyncFlags::empty()
            };
            opcode::Fsync::new(types::Fd(fd)).flags(flags).build()
        }
        Request::Close { fd } => opcode::Close::new(types::Fd(fd)).build(),
        Request::Truncate { fd, len } => opcode::Ftruncate::new(types::Fd(fd), len).build(),
        Request::Recv { fd, buffer, len } => opcode::Recv::new(types::Fd(fd), buffer, len).build(),
        Request::Send {
            fd,
            buffer,
            len,
            zero_copy,
        } => {
            let (fd, flags) = (types::Fd(fd), libc::MSG_NOSIGNAL | libc::MSG_WAITALL);
            if zero_copy {
                opcode::SendZc::new(fd, buffer, len).flags(flags).build()
            } else {
                opcode::Send::new(fd, buffer, len).flags(flags).build()
            }
        }
        Request::Path(request) => path_entry(request),
    }
}

fn path_entry(request: PathRequest) -> squeue::Entry {
    match request {
        PathRequest::Stat {
            dir,
            path,
            flags,
            into,
        } => opcode::Statx::new(types::Fd(dir), path, into.cast())
            .flags(flags)
            .mask(libc::STATX_BASIC_STATS | libc::STATX_BTIME)
            .build(),
        PathRequest::Rename { from, to } => opcode::RenameAt::new(HERE, from, HERE, to).build(),
        PathRequest::Unlink { path, directory } => opcode::UnlinkAt::new(HERE, path)
            .flags(if directory { libc::AT_REMOVEDIR } else { 0 })
            .build(),
        PathRequest::MakeDir { path, mode } => opcode::MkDirAt::new(HERE, path).mode(mode).build(),
        PathRequest::Symlink { target, link } => opcode::SymlinkAt::new(HERE, target, link).build(),
        PathRequest::Link { original, link } => {
            opcode::LinkAt::new(HERE, original, HERE, link).build()
        }
    }
}
