//! [`FileRange`]: a part of a file that is moved elsewhere without being copied.
//!
//! What the page cache has is spliced into a pipe where it stands. What it has not would stop the
//! worker, since `splice(2)` cannot say so: that is read on the ring and written to the pipe, and its
//! neighbours are in the cache by then. As an operation of the ring every splice would go to a thread
//! of the kernel.
//!
//! Must not splice what may not be cached.

use std::fmt;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use gorin_base::primitive::{AtomicU64, Ordering};
use gorin_reactor::ops;

use super::File;
use crate::io::splice::{self, source::Source};

/// A part of a file, as a source for [`io::splice`](crate::io::splice()); made by [`File::range`].
///
/// It has a place of its own, from which the next call goes on.
pub struct FileRange<'a> {
    file: &'a File,
    /// What is moved next. Written and read by whoever splices; relaxed, nothing hangs on it.
    next: AtomicU64,
    end: u64,
}

impl File {
    /// The bytes of `range`, or those of it that the file has, as a source for
    /// [`io::splice`](crate::io::splice()): a server that sends files, as by `sendfile(2)`. The file's
    /// own position plays no role.
    ///
    /// What is cached is not copied (since Linux 6.5, where that can be asked): from the page cache to
    /// a TCP connection that takes 0.35 to 0.45 of the CPU time of [`io::copy`](crate::io::copy()), for
    /// files of 1 to 64 MiB. On the loopback interface, where a receiver on another CPU has to make
    /// the copy, it took 1.06 to 1.18 times as long.
    ///
    /// ```
    /// use gorin::fs::File;
    /// use gorin::io::{AsyncReadExt, splice};
    /// use gorin::net::UnixStream;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let path = std::env::temp_dir().join(format!("gorin-range-{}", std::process::id()));
    /// # std::fs::write(&path, "five rings")?;
    /// gorin::run(async {
    ///     let (client, server) = UnixStream::pair()?;
    ///     let file = File::open(&path).await?;
    ///     assert_eq!(splice(&file.range(5..u64::MAX), &server).await?, 5);
    ///     drop(server);
    ///     let mut received = String::new();
    ///     (&client).read_to_string(&mut received).await?;
    ///     assert_eq!(received, "rings");
    ///     # std::fs::remove_file(&path)
    /// })
    /// # }
    /// ```
    pub fn range(&self, range: Range<u64>) -> FileRange<'_> {
        FileRange {
            file: self,
            next: AtomicU64::new(range.start),
            end: range.end,
        }
    }
}

impl Source for FileRange<'_> {
    async fn fill(&self, pipe: BorrowedFd<'_>, room: usize) -> io::Result<usize> {
        loop {
            match self.move_some(pipe, room).await {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}

impl FileRange<'_> {
    /// Moves what one call moves.
    async fn move_some(&self, pipe: BorrowedFd<'_>, room: usize) -> io::Result<usize> {
        let mut next = self.next.load(Ordering::Relaxed);
        let left = self.end.saturating_sub(next);
        if left == 0 {
            // Wherever that is: a file may have no such place.
            return Ok(0);
        }
        let len = usize::try_from(left).map_or(room, |left| room.min(left));
        let file = self.file;
        let moved = if file.eager && ops::is_cached(file.as_fd(), next, len as u64) {
            splice::call_at(file.as_fd(), &mut next, pipe, len)?
        } else {
            let (read, buffer) = file.read_at(vec![0; len], next).await;
            match read? {
                0 => 0,
                // Less than was read, if the pipe is a small one.
                read => rustix::io::write(pipe, &buffer[..read])?,
            }
        };
        self.next.fetch_add(moved as u64, Ordering::Relaxed);
        Ok(moved)
    }
}

impl fmt::Debug for FileRange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileRange")
            .field("file", self.file)
            .field("next", &self.next)
            .field("end", &self.end)
            .finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

    /// Fills a pipe of one page from `range` of a file, and gives what has come through.
    async fn through_a_small_pipe(file: &File, range: Range<u64>) -> io::Result<Vec<u8>> {
        let (out, into) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        let room = fcntl_setpipe_size(&into, 4096)?;
        let range = file.range(range);
        let mut got = Vec::new();
        loop {
            let moved = range.fill(into.as_fd(), 4 * room).await?;
            let mut buffer = vec![0; moved + 1];
            match moved {
                0 => return Ok(got),
                moved => assert_eq!(rustix::io::read(&out, &mut buffer)?, moved),
            }
            got.extend_from_slice(&buffer[..moved]);
        }
    }

    /// For: going on behind what was read, where the pipe has taken less.
    #[test]
    fn what_does_not_fit_into_the_pipe_comes_next() {
        let path = std::env::temp_dir().join(format!("gorin-range-{}", std::process::id()));
        let content: Vec<u8> = (0..20_000_u32).map(|n| (n / 7) as u8).collect();
        std::fs::write(&path, &content).expect("a file");
        crate::run(async {
            let mut file = File::open(&path).await.expect("it exists");
            for eager in [true, false] {
                file.eager = eager;
                let got = through_a_small_pipe(&file, 3..19_000).await;
                assert!(got.expect("a file and a pipe") == content[3..19_000]);
                // Which ends before it begins.
                let Range { start, end } = 0..100;
                let got = through_a_small_pipe(&file, end..start).await;
                assert!(got.expect("nothing is read").is_empty());
            }
        });
        std::fs::remove_file(&path).expect("it exists");
    }
}
