//! [`PooledReader`]: reading lines and the like without a buffer per connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::io::{AsyncBufRead, AsyncRead, AsyncWrite};
use gorin_base::pool::PooledBuf;

/// As much as a [`BufReader`](super::BufReader) reads at a time.
const USUAL_LIMIT: usize = 8 * 1024;

/// A buffered reader that has a buffer only while there is something in it: as
/// [`BufReader`](super::BufReader), with a buffer of the worker's pool, which it takes when there is
/// something to read and gives back when all of it is used. For servers with many connections that wait.
///
/// It writes to what it reads from, if that can be written.
///
/// ```
/// use gorin::io::{AsyncWriteExt, AsyncBufReadExt, PooledReader};
/// use gorin::stream::StreamExt;
///
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let (client, server) = gorin::net::UnixStream::pair()?;
///     client.write_all(b"earth\nwater\nfire").await?;
///     drop(client);
///     let mut rings = PooledReader::new(server).lines();
///     assert_eq!(rings.next().await.unwrap()?, "earth");
///     assert_eq!(rings.next().await.unwrap()?, "water");
///     assert_eq!(rings.next().await.unwrap()?, "fire");
///     assert!(rings.next().await.is_none());
///     Ok(())
/// })
/// # }
/// ```
///
/// # Cancel safety
/// What it has read and nobody has taken stays in it: a dropped `read`, `fill_buf` or next of its `lines()`
/// loses nothing. Of the other operations of the extension traits see [the module](super).
#[derive(Debug)]
pub struct PooledReader<R> {
    inner: R,
    limit: usize,
    /// Empty if nothing is left.
    buffer: PooledBuf,
    /// How much of it is used.
    used: usize,
}

impl<R> PooledReader<R> {
    /// Reads up to 8 KiB of `inner` at a time.
    pub fn new(inner: R) -> PooledReader<R> {
        PooledReader::with_capacity(USUAL_LIMIT, inner)
    }

    /// Reads up to `bytes` of `inner` at a time, 256 KiB at most.
    ///
    /// # Panics
    /// If `bytes` is 0.
    pub fn with_capacity(bytes: usize, inner: R) -> PooledReader<R> {
        assert!(bytes > 0, "a buffer of no bytes reads nothing");
        PooledReader {
            inner,
            limit: bytes,
            buffer: PooledBuf::default(),
            used: 0,
        }
    }

    /// What was read and not yet used.
    pub fn buffer(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    /// What it reads from.
    pub fn get_ref(&self) -> &R {
        &self.inner
    }

    /// What it reads from. Who reads from there skips what is in the [`buffer`](Self::buffer).
    pub fn get_mut(&mut self) -> &mut R {
        &mut self.inner
    }

    /// What it reads from. What is in the [`buffer`](Self::buffer) is lost.
    pub fn into_inner(self) -> R {
        self.inner
    }

    fn take(&mut self, count: usize) {
        self.used += count;
        if self.buffer().is_empty() {
            self.buffer = PooledBuf::default();
            self.used = 0;
        }
    }
}

impl<R: AsyncRead + Unpin> PooledReader<R> {
    /// Reads if there is nothing left.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.buffer().is_empty() {
            let mut buffer = PooledBuf::take(self.limit);
            let len = ready!(Pin::new(&mut self.inner).poll_read(cx, &mut buffer))?;
            buffer.truncate(len);
            self.buffer = buffer;
            // At the end there is nothing in it.
            self.take(0);
        }
        Poll::Ready(Ok(()))
    }
}

impl<R: AsyncRead + Unpin> AsyncBufRead for PooledReader<R> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let reader = self.get_mut();
        ready!(reader.poll_fill(cx))?;
        Poll::Ready(Ok(reader.buffer()))
    }

    /// # Panics
    /// If there are fewer bytes in the [`buffer`](PooledReader::buffer).
    fn consume(mut self: Pin<&mut Self>, count: usize) {
        assert!(
            count <= self.buffer().len(),
            "{count} bytes are used of {}",
            self.buffer().len()
        );
        self.take(count);
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for PooledReader<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        // Straight into a buffer that is as large.
        if self.buffer().is_empty() && into.len() >= self.limit {
            return Pin::new(&mut self.inner).poll_read(cx, into);
        }
        if into.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_fill(cx))?;
        let len = into.len().min(self.buffer().len());
        into[..len].copy_from_slice(&self.buffer()[..len]);
        self.take(len);
        Poll::Ready(Ok(len))
    }
}

impl<R: AsyncWrite + Unpin> AsyncWrite for PooledReader<R> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::VecDeque;

    use futures::io::{AsyncBufReadExt, AsyncReadExt};
    use gorin_base::check::block_on;

    use super::*;

    /// Gives one piece per read, then the end; `None` is a read that has to wait.
    struct Pieces(VecDeque<Option<&'static [u8]>>);

    impl Pieces {
        fn new(pieces: &[Option<&'static str>]) -> Pieces {
            Pieces(
                pieces
                    .iter()
                    .map(|piece| piece.map(str::as_bytes))
                    .collect(),
            )
        }
    }

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            match self.0.pop_front() {
                None => Poll::Ready(Ok(0)),
                Some(None) => {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Some(Some(piece)) => {
                    let len = piece.len().min(buf.len());
                    buf[..len].copy_from_slice(&piece[..len]);
                    if len < piece.len() {
                        self.0.push_front(Some(&piece[len..]));
                    }
                    Poll::Ready(Ok(len))
                }
            }
        }
    }

    fn holds_a_buffer(reader: &PooledReader<Pieces>) -> bool {
        format!("{reader:?}", reader = reader.buffer) != format!("{:?}", PooledBuf::default())
    }

    #[test]
    fn it_reads_what_is_there_whatever_the_sizes() {
        let pieces = [
            Some("five"),
            None,
            Some(" rin"),
            Some("gs in the air"),
            None,
        ];
        for capacity in [1, 3, 8, 100] {
            for size in [1, 2, 7, 100] {
                let mut reader = PooledReader::with_capacity(capacity, Pieces::new(&pieces));
                let mut all = Vec::new();
                let mut buf = vec![0; size];
                while let len @ 1.. = block_on(reader.read(&mut buf)).unwrap() {
                    all.extend_from_slice(&buf[..len]);
                }
                assert_eq!(all, b"five rings in the air", "{capacity} {size}");
                assert!(!holds_a_buffer(&reader));
            }
        }
    }

    #[test]
    fn it_holds_a_buffer_only_while_there_is_something_in_it() {
        let pieces = [
            Some("a line\nand"),
            None,
            Some(" half\n"),
            None,
            Some("rest"),
        ];
        let mut reader = PooledReader::new(Pieces::new(&pieces));
        let mut line = String::new();
        block_on(reader.read_line(&mut line)).unwrap();
        assert_eq!((&*line, reader.buffer()), ("a line\n", &b"and"[..]));
        assert!(holds_a_buffer(&reader));
        line.clear();
        block_on(reader.read_line(&mut line)).unwrap();
        assert_eq!(line, "and half\n");
        assert!(!holds_a_buffer(&reader));
        assert_eq!(block_on(reader.fill_buf()).unwrap(), b"rest");
        Pin::new(&mut reader).consume(3);
        assert_eq!(reader.buffer(), b"t");
        Pin::new(&mut reader).consume(1);
        assert!(!holds_a_buffer(&reader));
        assert!(block_on(reader.fill_buf()).unwrap().is_empty());
        assert!(!holds_a_buffer(&reader));
    }

    #[test]
    #[should_panic = "2 bytes are used of 1"]
    fn more_than_there_is_cannot_be_used() {
        let mut reader = PooledReader::new(Pieces::new(&[Some("x")]));
        block_on(reader.fill_buf()).unwrap();
        Pin::new(&mut reader).consume(2);
    }
}
