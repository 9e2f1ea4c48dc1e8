//! Operations on open files, and opening and closing them.

use std::fmt;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::fs::{self, SeekFrom};

use super::call::Call;
use super::run::Run;
use super::{Descriptor, PathString, path_string};
use crate::buffer::{self, IoBuf, IoBufMut};
use crate::driver::{POSITION, Request};
use crate::op::Opcode;

/// What the kernel transfers at most in one call; it shortens longer ones itself.
pub(super) const MAX_TRANSFER: usize = 0x7fff_f000;

/// Opens `path`, as `open(2)` does, with `O_CLOEXEC` added to `flags`.
///
/// On the ring it differs from `open(2)` for named pipes: it does not wait for the other end. For
/// reading it succeeds at once, for writing it fails with `ENXIO` while nobody reads.
///
/// # Errors
/// See the [module](super).
///
/// # Cancel safety
/// A dropped call may have created or truncated the file; the descriptor is closed.
pub fn open(
    path: impl AsRef<Path>,
    flags: libc::c_int,
    mode: libc::mode_t,
) -> impl Future<Output = io::Result<OwnedFd>> + Send + 'static {
    let flags = flags | libc::O_CLOEXEC;
    Run::of(path_string(path).map(|path| Open { path, flags, mode }))
}

struct Open {
    path: PathString,
    flags: libc::c_int,
    mode: libc::mode_t,
}

impl Opcode for Open {
    type Output = io::Result<OwnedFd>;

    fn request(&mut self) -> Request {
        Request::Open {
            path: self.path.as_ptr(),
            flags: self.flags,
            mode: self.mode,
        }
    }

    fn finish(self, result: io::Result<u32>) -> io::Result<OwnedFd> {
        let fd = result? as RawFd;
        // SAFETY: the kernel has just made this descriptor for this operation, whose result is
        // disposed of once: here.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    fn orphan(self, result: io::Result<u32>) {
        drop(self.finish(result));
    }

    fn lost(error: io::Error) -> io::Result<OwnedFd> {
        Err(error)
    }
}

/// Reads from `offset` of `file` into `buffer`, over what it contains; gives the number of bytes
/// read, 0 at the end of the file, and the buffer, whose length does not change.
///
/// May read less than the buffer holds: at the end of the file, and more than 2 GiB at a time
/// never.
///
/// # Errors
/// `InvalidInput` if `offset` is beyond what a file can have (2^63 - 1), or for an empty vector that has
/// a capacity: its length was forgotten. The buffer comes back with every error but one: if the runtime
/// is torn down by force while the kernel is writing to it, an empty one comes instead.
///
/// # Cancel safety
/// A dropped call has no effect on the file; the buffer is freed when the kernel is done with it.
pub fn read_at<F, B>(file: &Arc<F>, buffer: B, offset: u64) -> Transfer<B>
where
    F: AsFd + Send + Sync + 'static,
    B: IoBufMut,
{
    let whole = 0..buffer.bytes().len();
    read(file, buffer, whole, Some(offset))
}

/// Writes `buffer` to `file` from `offset`; gives the number of bytes written, and the buffer.
///
/// May write less than the buffer holds: when the disk is full, and more than 2 GiB at a time
/// never.
///
/// # Errors
/// As [`read_at`].
///
/// # Cancel safety
/// A dropped call may have written all, a part or nothing.
pub fn write_at<F, B>(file: &Arc<F>, buffer: B, offset: u64) -> Transfer<B>
where
    F: AsFd + Send + Sync + 'static,
    B: IoBuf,
{
    let whole = 0..buffer.bytes().len();
    write(file, buffer, whole, Some(offset))
}

/// As [`read_at`] into a part of the buffer; without `offset` from the file's own position, which
/// moves on by what was read, also if the future is dropped.
///
/// # Errors
/// As [`read_at`].
///
/// # Panics
/// If `range` is not within the buffer.
pub fn read<F, B>(file: &Arc<F>, buffer: B, range: Range<usize>, offset: Option<u64>) -> Transfer<B>
where
    F: AsFd + Send + Sync + 'static,
    B: IoBufMut,
{
    let refused = buffer::has_length(&buffer).err();
    transfer(
        file,
        buffer,
        range,
        offset,
        Way::FromFile(B::bytes_mut),
        refused,
    )
}

/// As [`write_at`], of a part of the buffer; without `offset` at the file's own position, which
/// moves on by what was written.
///
/// # Errors
/// As [`read_at`].
///
/// # Panics
/// If `range` is not within the buffer.
pub fn write<F, B>(
    file: &Arc<F>,
    buffer: B,
    range: Range<usize>,
    offset: Option<u64>,
) -> Transfer<B>
where
    F: AsFd + Send + Sync + 'static,
    B: IoBuf,
{
    transfer(file, buffer, range, offset, Way::ToFile, None)
}

/// Which way the bytes go.
enum Way<B> {
    /// Into the buffer, which this gives.
    FromFile(fn(&mut B) -> &mut [u8]),
    ToFile,
}

fn transfer<F, B>(
    file: &Arc<F>,
    buffer: B,
    range: Range<usize>,
    offset: Option<u64>,
    way: Way<B>,
    refused: Option<io::Error>,
) -> Transfer<B>
where
    F: AsFd + Send + Sync + 'static,
    B: IoBuf,
{
    let len = buffer.bytes()[range.clone()].len();
    let file: Descriptor = file.clone();
    let moved = Moved {
        file,
        buffer,
        start: range.start,
        len: len.min(MAX_TRANSFER) as u32,
        offset: offset.unwrap_or(POSITION),
        began: None,
        way,
    };
    let refused = refused.or_else(|| check_offset(offset?).err());
    Transfer(match refused {
        None => Run::new(moved),
        Some(error) => Run::settled((Err(error), moved.buffer)),
    })
}

/// Refuses what the kernel would take for a negative number. It means "the file's own position" by
/// -1, so an overflow of the caller's would go somewhere unexpected instead of failing.
fn check_offset(offset: u64) -> io::Result<()> {
    match i64::try_from(offset) {
        Ok(_) => Ok(()),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "a file's offset is below 2^63",
        )),
    }
}

/// The future of a read or write: how many bytes, and the buffer.
#[must_use = "nothing happens before it is polled or started"]
pub struct Transfer<B: IoBuf>(Run<Moved<B>>);

impl<B: IoBuf> Transfer<B> {
    /// Hands the operation to the kernel now, not at the first poll.
    pub fn start(&mut self) {
        self.0.start();
    }

    /// Lets the operation go on unobserved if the future is dropped, instead of being cancelled. To
    /// be called before it is started. A shutdown of the runtime still cancels it.
    pub fn never_cancel(&mut self) {
        self.0.never_cancel();
    }
}

impl<B: IoBuf> Future for Transfer<B> {
    type Output = (io::Result<usize>, B);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<B: IoBuf> fmt::Debug for Transfer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Transfer").field(&self.0).finish()
    }
}

struct Moved<B> {
    file: Descriptor,
    buffer: B,
    /// Of the transfer in the buffer.
    start: usize,
    len: u32,
    offset: u64,
    /// The file's own position before the transfer, if that begins there and the file has one.
    began: Option<u64>,
    way: Way<B>,
}

impl<B: IoBuf> Moved<B> {
    /// Moves the file's own position on by a transfer of `count` bytes, if the kernel has not.
    ///
    /// A ring tries a transfer that came out short once more for the rest. If that fails (the disk is
    /// full, the file may not be longer) it answers with what was transferred before, and leaves the
    /// position where it was. What comes next would overwrite that, and succeed.
    fn move_position(&self, count: u32) {
        let file = self.file.as_fd();
        if self.began.is_none() || !(1..self.len).contains(&count) {
            return;
        }
        if fs::tell(file).ok() != self.began {
            return;
        }
        let appends = matches!(self.way, Way::ToFile)
            && fs::fcntl_getfl(file).is_ok_and(|flags| flags.contains(fs::OFlags::APPEND));
        let next = match appends {
            true => SeekFrom::End(0),
            false => SeekFrom::Current(count.into()),
        };
        // It has just told its position, so it has one.
        let _ = fs::seek(file, next);
    }
}

impl<B: IoBuf> Opcode for Moved<B> {
    type Output = (io::Result<usize>, B);

    fn request(&mut self) -> Request {
        let (fd, start) = (self.file.as_fd().as_raw_fd(), self.start);
        let (len, offset) = (self.len, self.offset);
        if offset == POSITION {
            self.began = fs::tell(self.file.as_fd()).ok();
        }
        match self.way {
            Way::FromFile(bytes_mut) => Request::Read {
                fd,
                buffer: bytes_mut(&mut self.buffer)[start..].as_mut_ptr(),
                len,
                offset,
            },
            Way::ToFile => Request::Write {
                fd,
                buffer: self.buffer.bytes()[start..].as_ptr(),
                len,
                offset,
            },
        }
    }

    fn finish(self, result: io::Result<u32>) -> Self::Output {
        if let Ok(count) = &result {
            self.move_position(*count);
        }
        (result.map(|count| count as usize), self.buffer)
    }

    fn orphan(self, result: io::Result<u32>) {
        drop(self.finish(result));
    }

    fn lost(error: io::Error) -> Self::Output {
        (Err(error), B::default())
    }
}

/// Waits until all data and metadata of `file` are on its disk.
///
/// # Errors
/// See the [module](super).
pub fn fsync<F>(file: &Arc<F>) -> impl Future<Output = io::Result<()>> + Send + 'static
where
    F: AsFd + Send + Sync + 'static,
{
    let (file, data_only): (Descriptor, _) = (file.clone(), false);
    Run::new(Call::Sync { file, data_only })
}

/// Waits until the data of `file`, and the metadata that is needed to read it, are on its disk.
///
/// # Errors
/// See the [module](super).
pub fn fdatasync<F>(file: &Arc<F>) -> impl Future<Output = io::Result<()>> + Send + 'static
where
    F: AsFd + Send + Sync + 'static,
{
    let (file, data_only): (Descriptor, _) = (file.clone(), true);
    Run::new(Call::Sync { file, data_only })
}

/// Makes `file` be `len` bytes long: cut off, or filled up with zeros.
///
/// # Errors
/// See the [module](super). `InvalidInput` also before Linux 6.9, whose rings know no truncation.
pub fn truncate<F>(file: &Arc<F>, len: u64) -> impl Future<Output = io::Result<()>> + Send + 'static
where
    F: AsFd + Send + Sync + 'static,
{
    let file: Descriptor = file.clone();
    Run::new(Call::Truncate { file, len })
}

/// Closes `fd` and gives the error that closing it reports, which dropping it would swallow.
///
/// # Errors
/// See the [module](super). The descriptor is closed in any case.
///
/// # Cancel safety
/// A dropped call closes all the same.
pub fn close(fd: OwnedFd) -> impl Future<Output = io::Result<()>> + Send + 'static {
    Run::new(Close { fd })
}

struct Close {
    fd: OwnedFd,
}

impl Opcode for Close {
    type Output = io::Result<()>;

    const CANCEL: bool = false;

    fn request(&mut self) -> Request {
        Request::Close {
            fd: self.fd.as_raw_fd(),
        }
    }

    fn finish(self, result: io::Result<u32>) -> io::Result<()> {
        match &result {
            // Never submitted, or cancelled by the runtime's teardown before it began.
            Err(error) if !reached_the_kernel(error) => drop(self.fd),
            // Linux has freed the descriptor even if it reports an error.
            _ => {
                let _freed = self.fd.into_raw_fd();
            }
        }
        result.map(drop)
    }

    fn orphan(self, result: io::Result<u32>) {
        drop(self.finish(result));
    }

    fn lost(error: io::Error) -> io::Result<()> {
        Err(error)
    }
}

/// True if `error` is what `close(2)` itself reported.
fn reached_the_kernel(error: &io::Error) -> bool {
    error
        .raw_os_error()
        .is_some_and(|code| code != libc::ECANCELED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    /// The kernel may report what has gone wrong with the data, but it has freed the descriptor. For:
    /// closing it again, when it may be somebody else's.
    #[test]
    fn a_close_that_fails_is_not_repeated() {
        let (_reader, writer) = io::pipe().expect("a pipe");
        let number = writer.as_raw_fd();
        let close = Close { fd: writer.into() };
        let failed = close.finish(Err(io::Error::from_raw_os_error(libc::EIO)));
        assert_eq!(failed.unwrap_err().raw_os_error(), Some(libc::EIO));
        // No kernel was there to free it. SAFETY: takes a descriptor and changes nothing.
        assert_ne!(unsafe { libc::fcntl(number, libc::F_GETFD) }, -1);
        // SAFETY: `finish` has given up the descriptor, which is still open.
        drop(unsafe { OwnedFd::from_raw_fd(number) });
    }

    /// A write of five bytes of which the kernel has taken two without moving the position ("ab" is what the
    /// file had): where the position is then.
    fn position_after_a_short_write(name: &str, append: bool) -> u64 {
        let path = std::env::temp_dir().join(format!("gorin-{name}-{}", std::process::id()));
        std::fs::write(&path, "ab").expect("a file");
        let mut options = std::fs::File::options();
        let file = match append {
            true => options.append(true).open(&path),
            false => options.write(true).open(&path),
        };
        std::fs::remove_file(&path).expect("it exists");
        let file = Arc::new(file.expect("it exists"));
        let mut write = Moved {
            file: file.clone(),
            buffer: "12345",
            start: 0,
            len: 5,
            offset: POSITION,
            began: None,
            way: Way::ToFile,
        };
        write.request();
        match append {
            true => {
                (&*file).write_all(b"12").expect("room");
                fs::seek(&*file, SeekFrom::Start(0)).expect("a position");
            }
            false => drop(rustix::io::pwrite(&*file, b"12", 0).expect("room")),
        }
        let (count, _) = write.finish(Ok(2));
        assert_eq!(count.unwrap(), 2);
        fs::tell(&*file).expect("a position")
    }

    /// For: a position that stays, or that moves by what was written where that went to the end.
    #[test]
    fn a_write_that_came_short_moves_the_position_to_its_end() {
        assert_eq!(position_after_a_short_write("short-write", false), 2);
        assert_eq!(position_after_a_short_write("short-append", true), 4);
    }
}
