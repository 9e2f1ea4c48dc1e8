//! The standard streams of this process.
//!
//! They cannot be polled without changing them for others, a shell for example: the flag
//! `O_NONBLOCK` belongs to the open file, which other processes share. So one thread of the process
//! reads the input, and threads for blocking code write.
//!
//! The thread that reads belongs to no runtime: a read of a terminal may take hours, and must hold
//! up no end. It reads only when somebody has asked; what nobody has taken stays in a channel, so
//! that a dropped read loses nothing.
//!
//! Others may set that flag, too: a program that ran in this terminal before, or one that runs beside
//! this one. The threads then wait by `poll(2)`.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};
use std::thread;

use futures::io::{AsyncRead, AsyncWrite};
use futures::stream::Stream;
use gorin_base::primitive::PlainArc;
use rustix::event::{PollFd, PollFlags, poll};

use super::line::{Accepted, Line};
use crate::blocking::unblock;
use crate::channel::{Receiver, Sender, chan, unbounded};
use crate::goroutine::JoinHandle;
use crate::runtime::Handle;

/// Bytes that one call reads or writes at most.
const CHUNK_BYTES: usize = 16 * 1024;

type Chunk = io::Result<Vec<u8>>;

/// The thread that reads.
struct Service {
    /// How many bytes are wanted: a request for each handle that waits.
    wanted: Sender<usize>,
    chunks: Receiver<Chunk>,
    /// A token for each request whose handle was dropped. Who asks next takes that one over, or the
    /// thread would read for nobody, once for each read that was ever given up.
    leave: Sender<()>,
    left: Receiver<()>,
}

impl Service {
    /// Has the thread read `len` bytes for a handle, or less than that.
    fn ask(&self, len: usize) {
        if self.left.try_recv().is_err() {
            // The thread takes requests for as long as the process lives.
            let _ = self.wanted.try_send(len);
        }
    }

    /// The handle that has asked is gone. Another one may have the chunk.
    fn leave(&self) {
        let _ = self.leave.try_send(());
    }
}

fn service() -> io::Result<&'static Service> {
    static SERVICE: OnceLock<io::Result<Service>> = OnceLock::new();
    let service = SERVICE.get_or_init(|| {
        let (wanted, requests) = unbounded::<usize>();
        let (answers, chunks) = chan(1);
        thread::Builder::new()
            .name("gorin-stdin".to_owned())
            .spawn(move || {
                while let Some(len) = requests.recv_blocking() {
                    let mut chunk = vec![0; len];
                    let read = patiently(&mut io::stdin(), PollFlags::IN, |input| {
                        input.read(&mut chunk)
                    });
                    let answer = read.map(|read| {
                        chunk.truncate(read);
                        chunk
                    });
                    if answers.send_blocking(answer).is_err() {
                        return;
                    }
                }
            })?;
        let (leave, left) = unbounded();
        Ok(Service {
            wanted,
            chunks,
            leave,
            left,
        })
    });
    service
        .as_ref()
        .map_err(|error| io::Error::new(error.kind(), error.to_string()))
}

/// A handle to the standard input of this process.
///
/// A thread of the process reads it, and only when somebody waits. It is for one reader: several
/// handles share what comes. Lines come by [`BufReader`](super::BufReader):
///
/// ```no_run
/// use gorin::io::{AsyncBufReadExt, BufReader, stdin};
/// use gorin::stream::StreamExt;
///
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let mut lines = BufReader::new(stdin()).lines();
///     while let Some(line) = lines.next().await {
///         println!("you said {}", line?);
///     }
///     Ok(())
/// })
/// # }
/// ```
pub fn stdin() -> Stdin {
    Stdin {
        chunks: None,
        has_asked: false,
        chunk: Vec::new(),
        taken: 0,
    }
}

/// The standard input; made by [`stdin`].
///
/// # Cancel safety
/// A dropped read loses nothing. What this handle has received and not given out, which is at most
/// what a read had room for that was dropped, goes with the handle.
pub struct Stdin {
    /// From the first read on.
    chunks: Option<Receiver<Chunk>>,
    /// A chunk is on its way for this handle, or for whoever reads after it is dropped.
    has_asked: bool,
    /// What was received and, from `taken` on, not given out.
    chunk: Vec<u8>,
    taken: usize,
}

impl AsyncRead for Stdin {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.taken == this.chunk.len() && !buf.is_empty() {
            if crate::model::is_running() {
                // Its thread is none of the model's: the wait would look like a deadlock.
                return Poll::Ready(Err(gorin_reactor::no_runtime("standard input")));
            }
            let service = service()?;
            let chunks = this.chunks.get_or_insert_with(|| service.chunks.clone());
            if !std::mem::replace(&mut this.has_asked, true) {
                service.ask(buf.len().min(CHUNK_BYTES));
            }
            let chunk = ready!(Pin::new(chunks).poll_next(cx));
            this.has_asked = false;
            this.chunk = chunk.expect("the thread does not end while somebody can ask")?;
            this.taken = 0;
        }
        let rest = &this.chunk[this.taken..];
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        this.taken += len;
        Poll::Ready(Ok(len))
    }
}

impl Drop for Stdin {
    fn drop(&mut self) {
        if self.has_asked
            && let Ok(service) = service()
        {
            service.leave();
        }
    }
}

/// A handle to the standard output of this process, for programs that write much: `println!` holds
/// its worker as long as the terminal or the pipe takes no more.
///
/// Writes go to std's output, and in turn with `print!`, whole chunks at a time (16 KiB at most), those of
/// several handles in the order in which they were accepted. What is written is on its way, and gets out
/// also if the runtime ends before; [`flush`](super::AsyncWriteExt::flush) waits until it is out, and tells the
/// errors: flush before you `print!`. On a thread that
/// belongs to no runtime nothing is written, and the error says what to do.
///
/// ```
/// use gorin::io::{AsyncWriteExt, stdout};
///
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let mut out = stdout();
///     out.write_all(b"hello\n").await?;
///     out.flush().await
/// })
/// # }
/// ```
pub fn stdout() -> Stdout {
    static LINE: OnceLock<Line> = OnceLock::new();
    let line = LINE.get_or_init(Line::new);
    Stdout(Output::new(line, |line, last| {
        line.write_until(last, || io::stdout().lock(), write_out);
    }))
}

/// A handle to the standard error stream of this process. See [`stdout`].
pub fn stderr() -> Stderr {
    static LINE: OnceLock<Line> = OnceLock::new();
    let line = LINE.get_or_init(Line::new);
    Stderr(Output::new(line, |line, last| {
        line.write_until(last, || io::stderr().lock(), write_out);
    }))
}

/// Writes all of `bytes`.
fn write_out(out: &mut (impl Write + AsFd), mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match patiently(out, PollFlags::OUT, |out| out.write(bytes))? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => bytes = &bytes[written..],
        }
    }
    patiently(out, PollFlags::OUT, Write::flush)
}

/// Has `call` use `stream` until that need not wait, which it does where somebody else has made the
/// stream non-blocking.
fn patiently<S: AsFd, T>(
    stream: &mut S,
    ready: PollFlags,
    mut call: impl FnMut(&mut S) -> io::Result<T>,
) -> io::Result<T> {
    loop {
        match call(stream) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // However that ends, the next call says what is the matter.
                let _ = poll(&mut [PollFd::new(stream, ready)], None);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// The standard output; made by [`stdout`].
///
/// # Cancel safety
/// A dropped write has begun, or not: what was accepted is written in any case. An error is told by
/// the next call.
#[derive(Debug)]
pub struct Stdout(Output);

/// The standard error stream; made by [`stderr`].
///
/// # Cancel safety
/// As that of [`Stdout`].
#[derive(Debug)]
pub struct Stderr(Output);

/// Has a chunk written when it is dropped: by a thread for blocking code, or, if the runtime ends before one
/// comes or has none for it, where that happens. The last words of a program must not depend on who is faster.
struct Delivery {
    line: &'static Line,
    write: WriteUntil,
    chunk: PlainArc<Accepted>,
}

impl Drop for Delivery {
    fn drop(&mut self) {
        (self.write)(self.line, &self.chunk);
    }
}

/// Writes all of a line up to this chunk.
type WriteUntil = fn(&Line, &Accepted);

/// Writes by a thread for blocking code, one chunk after the other.
struct Output {
    line: &'static Line,
    write: WriteUntil,
    /// The chunk that is being written, and the delivery that sees to it.
    busy: Option<(PlainArc<Accepted>, JoinHandle<()>)>,
}

impl Output {
    fn new(line: &'static Line, write: WriteUntil) -> Output {
        Output {
            line,
            write,
            busy: None,
        }
    }

    /// Waits for the chunk that is being written.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some((chunk, delivery)) = &mut self.busy else {
            return Poll::Ready(Ok(()));
        };
        let ended = ready!(Pin::new(delivery).poll(cx));
        let outcome = chunk.take_outcome();
        self.busy = None;
        // Also if the delivery was cancelled it is written.
        Poll::Ready(outcome.unwrap_or_else(|| ended.map_err(io::Error::from)))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_idle(cx))?;
        if !crate::model::is_running() && Handle::try_current().is_none() {
            return Poll::Ready(Err(gorin_reactor::no_runtime("a standard stream")));
        }
        let len = buf.len().min(CHUNK_BYTES);
        if len > 0 {
            let chunk = self.line.accept(&buf[..len]);
            let delivery = Delivery {
                line: self.line,
                write: self.write,
                chunk: chunk.clone(),
            };
            self.busy = Some((chunk, unblock(move || drop(delivery))));
        }
        Poll::Ready(Ok(len))
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Output")
            .field("is_busy", &self.busy.is_some())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdin")
            .field("received", &(self.chunk.len() - self.taken))
            .finish_non_exhaustive()
    }
}

macro_rules! async_write {
    ($name:ident) => {
        impl AsyncWrite for $name {
            fn poll_write(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                self.0.poll_write(cx, buf)
            }

            /// Waits until all that was written is out.
            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.0.poll_idle(cx)
            }

            /// As flushing: the stream stays open.
            fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                self.0.poll_idle(cx)
            }
        }
    };
}

async_write!(Stdout);
async_write!(Stderr);
