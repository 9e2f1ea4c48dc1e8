//! Signals as futures and streams.
//!
//! The handler itself comes from `signal-hook`: installing one is `unsafe`, must be shared with
//! other libraries of the process, and that crate is the one that most of them share. It notes the
//! signal and writes a byte into a socket pair, whose other end is awaited like any socket.
//! Rejected: `signalfd`, which needs the signal blocked in every thread, also in those that were
//! started before the runtime.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::stream::{FusedStream, Stream};
use gorin_reactor::{Direction, Socket};
use signal_hook::consts;
use signal_hook::iterator::backend::{OwningSignalIterator, PollResult, SignalDelivery};
use signal_hook::iterator::exfiltrator::SignalOnly;
use signal_hook::low_level::signal_name;
use socket2::SockRef;

/// The number of a signal.
///
/// ```
/// use gorin::signal::Signal;
///
/// assert_eq!(Signal::TERMINATE.to_string(), "SIGTERM");
/// assert_eq!(Signal::from(1), Signal::HANGUP);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(i32);

impl Signal {
    /// `SIGALRM`: a timer of the kernel's has run out.
    pub const ALARM: Signal = Signal(consts::SIGALRM);
    /// `SIGCHLD`: a child process has ended.
    pub const CHILD: Signal = Signal(consts::SIGCHLD);
    /// `SIGCONT`: a process that was stopped goes on.
    pub const CONTINUE: Signal = Signal(consts::SIGCONT);
    /// `SIGHUP`: the terminal is gone; asks many servers to read their configuration again.
    pub const HANGUP: Signal = Signal(consts::SIGHUP);
    /// `SIGINT`: Ctrl-C.
    pub const INTERRUPT: Signal = Signal(consts::SIGINT);
    /// `SIGKILL`: ends a process for certain. Can be sent, but not received.
    pub const KILL: Signal = Signal(consts::SIGKILL);
    /// `SIGPIPE`: a write to a pipe that nobody reads. Rust programs ignore it.
    pub const PIPE: Signal = Signal(consts::SIGPIPE);
    /// `SIGQUIT`: Ctrl-\.
    pub const QUIT: Signal = Signal(consts::SIGQUIT);
    /// `SIGSTOP`: stops a process until it gets `SIGCONT`. Can be sent, but not received.
    pub const STOP: Signal = Signal(consts::SIGSTOP);
    /// `SIGTERM`: the polite request to end, from `kill`, systemd or a container's manager.
    pub const TERMINATE: Signal = Signal(consts::SIGTERM);
    /// `SIGTSTP`: Ctrl-Z.
    pub const TERMINAL_STOP: Signal = Signal(consts::SIGTSTP);
    /// `SIGUSR1`: what you make of it.
    pub const USER1: Signal = Signal(consts::SIGUSR1);
    /// `SIGUSR2`: what you make of it.
    pub const USER2: Signal = Signal(consts::SIGUSR2);
    /// `SIGWINCH`: the terminal's size has changed.
    pub const WINDOW_CHANGE: Signal = Signal(consts::SIGWINCH);

    /// The system's number for it.
    pub const fn as_raw(self) -> i32 {
        self.0
    }

    /// An error for what can have no handler.
    fn check(self) -> io::Result<()> {
        let refuse = |why: &str| {
            let text = format!("{self} cannot be waited for: {why}");
            Err(io::Error::new(io::ErrorKind::InvalidInput, text))
        };
        match self.0 {
            consts::SIGKILL | consts::SIGSTOP => {
                refuse("the system lets no process catch or delay it")
            }
            consts::SIGILL | consts::SIGFPE | consts::SIGSEGV | consts::SIGBUS => refuse(
                "it tells of an error in the very instruction that runs, which cannot go on when \
                 the handler returns",
            ),
            1..=64 => Ok(()),
            _ => refuse("Linux numbers its signals from 1 to 64"),
        }
    }
}

impl From<i32> for Signal {
    fn from(number: i32) -> Signal {
        Signal(number)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match signal_name(self.0) {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Waits for Ctrl-C (`SIGINT`), counted from this call on, not from the first poll.
///
/// From the first call on the signal does not end the process any more; who wants that after a
/// second Ctrl-C waits for it in another call.
///
/// ```no_run
/// use gorin::prelude::*;
/// # async fn serve() {}
///
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     select! {
///         _ = serve() => {}
///         pressed = gorin::signal::ctrl_c() => pressed?,
///     }
///     println!("bye");
///     Ok(())
/// })
/// # }
/// ```
///
/// In a loop call this once, before it, and give `select!` the future by `&mut`: one that is made anew in each
/// turn misses what comes between two of them.
///
/// ```no_run
/// use std::pin::pin;
///
/// use gorin::net::TcpListener;
/// use gorin::prelude::*;
///
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let listener = TcpListener::bind("127.0.0.1:7777").await?;
///     let mut pressed = pin!(gorin::signal::ctrl_c());
///     loop {
///         select! {
///             accepted = listener.accept() => drop(accepted?),
///             pressed = &mut pressed => return pressed,
///         }
///     }
/// })
/// # }
/// ```
///
/// # Errors
/// If no descriptors are left, or this thread belongs to no runtime.
///
/// # Cancel safety
/// Dropping the future stops the waiting; a Ctrl-C that it had seen is gone.
pub fn ctrl_c() -> impl Future<Output = io::Result<()>> + Send + 'static {
    let signals = signals([Signal::INTERRUPT]);
    async move { signals?.recv().await.map(|_interrupt| ()) }
}

/// Waits until somebody asks the process to end: Ctrl-C (`SIGINT`) or `SIGTERM`, which `kill`,
/// systemd and container managers send. Counted from this call on; says which of them it was.
///
/// The process then has to end by itself: from the first call on neither signal does that.
///
/// ```no_run
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let asked_by = gorin::signal::shutdown_requested().await?;
///     println!("ending, because of {asked_by}");
///     Ok(())
/// })
/// # }
/// ```
///
/// # Errors
/// As [`ctrl_c`].
///
/// # Cancel safety
/// As [`ctrl_c`].
pub fn shutdown_requested() -> impl Future<Output = io::Result<Signal>> + Send + 'static {
    let signals = signals([Signal::INTERRUPT, Signal::TERMINATE]);
    async move { signals?.recv().await }
}

/// A stream of the signals in `wanted` that the process gets from now on.
///
/// Any number of streams may wait for the same signal; each gets it. A signal that comes again
/// before it was received is received once: the system merges them too. Signals that came together
/// are received in the order of their numbers, not of their coming.
///
/// From the first stream on the signal has lost its usual effect on the process (to end it, for
/// most signals), also when the stream is dropped; other handlers that were installed before are
/// still called.
///
/// A signal that is blocked in all threads does not come; who starts a program can have it begin so
/// (`sigprocmask(2)`), and neither std nor gorin changes that.
///
/// ```no_run
/// use gorin::signal::{Signal, signals};
///
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let mut asked = signals([Signal::HANGUP, Signal::TERMINATE])?;
///     loop {
///         match asked.recv().await? {
///             Signal::HANGUP => println!("reading the configuration again"),
///             _ => return Ok(()),
///         }
///     }
/// })
/// # }
/// ```
///
/// # Errors
/// `InvalidInput` for signals that no process can receive (`SIGKILL`, `SIGSTOP`), for those that an
/// instruction raises (`SIGSEGV`, `SIGBUS`, `SIGFPE`, `SIGILL`), and for numbers that are none. An
/// error if no descriptors are left, or this thread belongs to no runtime.
pub fn signals<S: Into<Signal>>(wanted: impl IntoIterator<Item = S>) -> io::Result<Signals> {
    let wanted: Vec<i32> = wanted
        .into_iter()
        .map(|signal| {
            let signal: Signal = signal.into();
            signal.check().map(|()| signal.as_raw())
        })
        .collect::<io::Result<_>>()?;
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    let reader = Reader(Socket::new(OwnedFd::from(reader))?);
    let delivery = SignalDelivery::with_pipe(reader, writer, SignalOnly, wanted)?;
    Ok(Signals {
        pending: OwningSignalIterator::new(delivery),
    })
}

/// The signals that the process gets; made by [`signals`].
pub struct Signals {
    pending: OwningSignalIterator<Reader, SignalOnly>,
}

impl Signals {
    /// Waits for the next signal.
    ///
    /// # Errors
    /// If the runtime has shut down.
    ///
    /// # Cancel safety
    /// Dropping the future loses no signal.
    pub async fn recv(&mut self) -> io::Result<Signal> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Signal>> {
        let mut has_signals = |reader: &mut Reader| match reader.poll(cx) {
            Poll::Ready(read) => read.map(|bytes| bytes > 0),
            Poll::Pending => Ok(false),
        };
        match self.pending.poll_signal(&mut has_signals) {
            PollResult::Signal(number) => Poll::Ready(Ok(Signal(number))),
            // The reader is what said so, and has this task's waker. (Only a handle closes, and
            // none is given away.)
            PollResult::Pending | PollResult::Closed => Poll::Pending,
            PollResult::Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Stream for Signals {
    type Item = io::Result<Signal>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_recv(cx).map(Some)
    }
}

impl FusedStream for Signals {
    /// There may always be another signal.
    fn is_terminated(&self) -> bool {
        false
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}

/// The end of the socket pair that a byte comes from when there is a signal.
struct Reader(Socket);

impl Reader {
    fn poll(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let read = |fd: BorrowedFd<'_>| {
            let socket = SockRef::from(&fd);
            let mut socket: &socket2::Socket = &socket;
            // The rest is taken, and thrown away, before the signals are looked at.
            socket.read(&mut [0; 1])
        };
        self.0.poll_io(Direction::Read, cx, read)
    }
}

impl AsRawFd for Reader {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}
