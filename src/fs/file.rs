//! [`File`]: an open file.

use std::fs::{FileTimes, Permissions};
use std::io::{self, SeekFrom};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use futures::io::{AsyncRead, AsyncSeek, AsyncWrite};
use gorin_base::coop;
use gorin_reactor::{IoBuf, IoBufMut, ops};

use super::stream::Stream;
use super::{Metadata, OpenOptions, blocking};
use crate::runtime::Handle;

/// Reads up to this are tried without the ring: they take the worker some 10 µs.
const EAGER: usize = 64 << 10;

/// An open file.
///
/// There are two ways to its content. Calls with an offset ([`read_at`](File::read_at),
/// [`write_at`](File::write_at), …) take `&self` and own their buffer: any number of goroutines may
/// use them at once. The traits [`AsyncRead`], [`AsyncWrite`] and [`AsyncSeek`] go on from the file's
/// position and borrow their buffer.
///
/// ```
/// use gorin::fs::File;
/// use gorin::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, SeekFrom};
///
/// # fn main() -> std::io::Result<()> {
/// # let path = std::env::temp_dir().join(format!("gorin-file-{}", std::process::id()));
/// gorin::run(async {
///     let mut file = File::options().read(true).write(true).create(true).open(&path).await?;
///     file.write_all(b"five rings").await?;
///     file.seek(SeekFrom::Start(5)).await?;
///     let mut rest = String::new();
///     file.read_to_string(&mut rest).await?;
///     assert_eq!(rest, "rings");
///
///     let (count, buffer) = file.read_at(vec![0; 4], 0).await;
///     assert_eq!(&buffer[..count?], b"five");
///     # gorin::fs::remove_file(&path).await?;
///     Ok(())
/// })
/// # }
/// ```
///
/// # Writing through the traits
/// A write is ready when the file has taken a copy of the bytes (256 KiB at most); the kernel gets
/// them meanwhile. If that fails, the next `write` or `flush` says so. So **`flush` before you drop
/// the file**: only then its bytes are known to have been written. (Whether they are on the disk,
/// [`sync_all`](File::sync_all) knows.) Dropping the file does not stop a write that has begun; the
/// end of the runtime may.
///
/// # Cancel safety
/// Of the traits' futures: a dropped `read`, `write`, `flush` or `seek` loses nothing; bytes that a
/// dropped `read` was about to get are given to the next one. A dropped `read_exact`, `write_all` and
/// the like may have done a part.
#[derive(Debug)]
pub struct File {
    file: Arc<std::fs::File>,
    /// Whether small reads are tried without the ring: the page cache is used at all.
    pub(super) eager: bool,
    stream: Stream,
    /// Where tokio's `start_seek` has asked to go.
    #[cfg(feature = "tokio-io")]
    pub(crate) seeking: Option<SeekFrom>,
}

impl File {
    pub(super) fn new(fd: OwnedFd, eager: bool) -> File {
        File {
            file: Arc::new(fd.into()),
            eager,
            stream: Stream::default(),
            #[cfg(feature = "tokio-io")]
            seeking: None,
        }
    }

    /// Opens `path` to read it. See [`OpenOptions::open`], also for named pipes.
    ///
    /// # Errors
    /// Those of `open(2)`.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<File> {
        OpenOptions::new().read(true).open(path).await
    }

    /// Opens `path` to write it; makes it, or throws away what it contains.
    ///
    /// # Errors
    /// Those of `open(2)`.
    pub async fn create(path: impl AsRef<Path>) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        options.open(path).await
    }

    /// Makes `path`, which must not exist, and opens it to read and write.
    ///
    /// # Errors
    /// Those of `open(2)`; `AlreadyExists`.
    pub async fn create_new(path: impl AsRef<Path>) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        options.open(path).await
    }

    /// How a file can be opened otherwise.
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Takes over a file that std has opened. Its position stays.
    pub fn from_std(file: std::fs::File) -> File {
        let eager = ops::uses_cache(&file);
        File::new(file.into(), eager)
    }

    /// Gives the file to std, when all that was written through the traits is in the kernel and
    /// nothing is read ahead.
    ///
    /// # Errors
    /// If a write has failed; if no descriptor is left, which matters only while a dropped call with
    /// an offset is still in flight.
    pub async fn into_std(mut self) -> io::Result<std::fs::File> {
        std::future::poll_fn(|cx| self.poll_started_seek(cx)).await;
        let (file, stream) = (&self.file, &mut self.stream);
        std::future::poll_fn(|cx| stream.poll_flush(file, cx)).await?;
        stream.forget_unread(file)?;
        match Arc::try_unwrap(self.file) {
            Ok(file) => Ok(file),
            Err(shared) => shared.try_clone(),
        }
    }

    /// Another handle to the same open file. Both have one position; [flush](File) first what was
    /// written.
    ///
    /// # Errors
    /// If no descriptor is left.
    pub fn try_clone(&self) -> io::Result<File> {
        Ok(File::new(self.file.try_clone()?.into(), self.eager))
    }

    /// Reads from `offset` into `buffer`, over what it contains; gives the number of bytes read, 0 at
    /// the end of the file, and the buffer, whose length does not change. The file's position plays
    /// no role.
    ///
    /// Fewer bytes than the buffer holds do not mean the end of the file: a part may not be cached.
    ///
    /// ```
    /// # fn main() -> std::io::Result<()> {
    /// gorin::run(async {
    ///     let file = gorin::fs::File::open("/proc/version").await?;
    ///     let (count, buffer) = file.read_at(vec![0; 5], 0).await;
    ///     assert_eq!(&buffer[..count?], b"Linux");
    ///     Ok(())
    /// })
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of `pread(2)`; `InvalidInput` for an empty vector that has a capacity, which is not filled: give
    /// it a length. The buffer comes back all the same, see [`IoBuf`] for the exception.
    ///
    /// # Cancel safety
    /// A dropped call has no effect on the file; the buffer is freed when the kernel is done with it.
    pub async fn read_at<B: IoBufMut>(&self, buffer: B, offset: u64) -> (io::Result<usize>, B) {
        let whole = 0..buffer.bytes().len();
        self.read_range(buffer, whole, offset).await
    }

    /// As [`read_at`](File::read_at) into a part of `buffer`.
    pub(super) async fn read_range<B: IoBufMut>(
        &self,
        mut buffer: B,
        range: Range<usize>,
        offset: u64,
    ) -> (io::Result<usize>, B) {
        if self.eager && (1..=EAGER).contains(&range.len()) {
            coop::consume().await;
            let into = &mut buffer.bytes_mut()[range.clone()];
            if let Ok(count) = ops::read_cached(&*self.file, into, Some(offset)) {
                return (Ok(count), buffer);
            }
        }
        ops::read(&self.file, buffer, range, Some(offset)).await
    }

    /// Reads from `offset` until `buffer` is full.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before; those of [`read_at`](File::read_at). The buffer may
    /// be filled in part.
    ///
    /// # Cancel safety
    /// As [`read_at`](File::read_at).
    pub async fn read_exact_at<B: IoBufMut>(
        &self,
        mut buffer: B,
        offset: u64,
    ) -> (io::Result<()>, B) {
        let (mut done, len) = (0, buffer.bytes().len());
        if len == 0 {
            let (result, buffer) = self.read_at(buffer, offset).await;
            return (result.map(drop), buffer);
        }
        while done < len {
            let at = offset.saturating_add(done as u64);
            let (result, back) = self.read_range(buffer, done..len, at).await;
            buffer = back;
            match result {
                Ok(0) => return (Err(io::ErrorKind::UnexpectedEof.into()), buffer),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (Err(error), buffer),
            }
        }
        (Ok(()), buffer)
    }

    /// Writes `buffer` from `offset`; gives the number of bytes written, and the buffer. A file that
    /// was opened to append gets them at its end all the same. The file's position plays no role.
    ///
    /// # Errors
    /// Those of `pwrite(2)`; the buffer comes back all the same, see [`IoBuf`] for the exception.
    ///
    /// # Cancel safety
    /// A dropped call may have written all, a part or nothing.
    pub async fn write_at<B: IoBuf>(&self, buffer: B, offset: u64) -> (io::Result<usize>, B) {
        ops::write_at(&self.file, buffer, offset).await
    }

    /// Writes all of `buffer` from `offset`.
    ///
    /// # Errors
    /// As [`write_at`](File::write_at). A part may have been written.
    ///
    /// # Cancel safety
    /// As [`write_at`](File::write_at).
    pub async fn write_all_at<B: IoBuf>(&self, mut buffer: B, offset: u64) -> (io::Result<()>, B) {
        let (mut done, len) = (0, buffer.bytes().len());
        while done < len {
            let at = offset.saturating_add(done as u64);
            let (result, back) = ops::write(&self.file, buffer, done..len, Some(at)).await;
            buffer = back;
            match result {
                Ok(0) => return (Err(io::ErrorKind::WriteZero.into()), buffer),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (Err(error), buffer),
            }
        }
        (Ok(()), buffer)
    }

    /// Waits until content and metadata are on the disk. Of what was written through the traits,
    /// that is what was [flushed](File).
    ///
    /// # Errors
    /// Those of `fsync(2)`. After an error nobody knows what is on the disk.
    pub async fn sync_all(&self) -> io::Result<()> {
        ops::fsync(&self.file).await
    }

    /// As [`sync_all`](File::sync_all), without the metadata that are not needed to read the content.
    ///
    /// # Errors
    /// As [`sync_all`](File::sync_all).
    pub async fn sync_data(&self) -> io::Result<()> {
        ops::fdatasync(&self.file).await
    }

    /// Makes the file `len` bytes long: cut off, or filled up with zeros. The position stays.
    ///
    /// # Errors
    /// Those of `ftruncate(2)`: `InvalidInput` if the file is not open to write.
    pub async fn set_len(&self, len: u64) -> io::Result<()> {
        match ops::truncate(&self.file, len).await {
            // Or the kernel's rings know no truncation (before Linux 6.9).
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                self.with_std(move |file| file.set_len(len)).await
            }
            result => result,
        }
    }

    /// What the system knows of the file.
    ///
    /// # Errors
    /// Those of `fstat(2)`.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        ops::stat_file(&self.file).await.map(Metadata::new)
    }

    /// Changes who may do what with the file.
    ///
    /// # Errors
    /// Those of `fchmod(2)`.
    pub async fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.with_std(move |file| file.set_permissions(permissions))
            .await
    }

    /// Changes when the file was read and changed last.
    ///
    /// # Errors
    /// Those of `futimens(2)`.
    pub async fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.with_std(move |file| file.set_times(times)).await
    }

    /// Changes when the file was changed last.
    ///
    /// # Errors
    /// Those of `futimens(2)`.
    pub async fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time)).await
    }

    /// Waits until nobody else has the file locked, and locks it: see [`std::fs::File::lock`]. The
    /// lock ends with [`unlock`](File::unlock), or when the last handle is closed.
    ///
    /// # Errors
    /// Those of `flock(2)`.
    ///
    /// # Cancel safety
    /// **Not cancel-safe**: a dropped call keeps its thread waiting, and then locks the file. To give
    /// up waiting use [`try_lock`](File::try_lock).
    pub async fn lock(&self) -> io::Result<()> {
        self.wait(std::fs::File::lock).await
    }

    /// As [`lock`](File::lock), beside others who lock it shared.
    ///
    /// # Errors
    /// Those of `flock(2)`.
    ///
    /// # Cancel safety
    /// As [`lock`](File::lock).
    pub async fn lock_shared(&self) -> io::Result<()> {
        self.wait(std::fs::File::lock_shared).await
    }

    /// Locks the file if nobody else has it locked; without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if somebody has it locked; those of `flock(2)`.
    pub fn try_lock(&self) -> Result<(), std::fs::TryLockError> {
        self.file.try_lock()
    }

    /// As [`try_lock`](File::try_lock), beside others who lock it shared.
    ///
    /// # Errors
    /// As [`try_lock`](File::try_lock).
    pub fn try_lock_shared(&self) -> Result<(), std::fs::TryLockError> {
        self.file.try_lock_shared()
    }

    /// Ends the lock.
    ///
    /// # Errors
    /// Those of `flock(2)`.
    pub fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }

    /// Writes what is left and closes the file, and tells what went wrong with either. Dropping the
    /// file tells nobody.
    ///
    /// # Errors
    /// If a write has failed; those of `close(2)`. The file is closed in any case.
    pub async fn close(self) -> io::Result<()> {
        ops::close(self.into_std().await?.into()).await
    }

    /// Calls what waits for others, who may be goroutines: no errand.
    async fn wait(
        &self,
        call: impl FnOnce(&std::fs::File) -> io::Result<()> + Send + 'static,
    ) -> io::Result<()> {
        let runtime = Handle::try_current().ok_or_else(|| gorin_reactor::no_runtime("a lock"))?;
        let file = self.file.clone();
        runtime.unblock(move || call(&file)).await?
    }

    /// Calls what the ring cannot do, where it may block.
    async fn with_std<T: Send + 'static>(
        &self,
        call: impl FnOnce(&std::fs::File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let file = self.file.clone();
        blocking(move || call(&file)).await
    }
}

impl File {
    /// Does what tokio's `start_seek` has asked for, before anything else happens at the position: who has
    /// given up waiting for it must not find the file elsewhere later.
    fn poll_started_seek(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        #[cfg(feature = "tokio-io")]
        if self.seeking.is_some() {
            let seek = tokio::io::AsyncSeek::poll_complete(Pin::new(self), cx);
            // If it fails the file is where it was, and nobody asks any more.
            return seek.map(|_position| ());
        }
        let _ = cx;
        Poll::Ready(())
    }
}

impl AsyncRead for File {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_started_seek(cx));
        let Self {
            file,
            eager,
            stream,
            ..
        } = &mut *self;
        let eager = *eager && buf.len() <= EAGER;
        stream.poll_read(file, eager, cx, buf)
    }
}

impl AsyncWrite for File {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_started_seek(cx));
        let Self { file, stream, .. } = &mut *self;
        stream.poll_write(file, cx, buf)
    }

    /// Waits until the kernel has all that was written. See [`File`].
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { file, stream, .. } = &mut *self;
        stream.poll_flush(file, cx)
    }

    /// As `poll_flush`: the descriptor lives until the file is dropped.
    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}

impl AsyncSeek for File {
    fn poll_seek(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        position: SeekFrom,
    ) -> Poll<io::Result<u64>> {
        ready!(self.poll_started_seek(cx));
        let Self { file, stream, .. } = &mut *self;
        stream.poll_seek(file, cx, position)
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> File {
        File::from_std(file)
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        File::from_std(fd.into())
    }
}
