//! One connection of the load client: where it is in its current message, and whether what came
//! back is what was sent.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Instant;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// Messages of a connection start at different places of the payload, so that an answer to another
/// message, or another connection's, differs in nearly every byte.
const PHASES: usize = 251;

/// The bytes that are sent: reproducible noise, longer than a message by [`PHASES`].
pub(crate) struct Payload {
    noise: Vec<u8>,
    message_bytes: usize,
}

impl Payload {
    pub(crate) fn new(message_bytes: usize) -> Payload {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let noise = (0..message_bytes + PHASES)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                (state >> 32) as u8
            })
            .collect();
        Payload {
            noise,
            message_bytes,
        }
    }

    /// The message of `phase`.
    fn message(&self, phase: usize) -> &[u8] {
        &self.noise[phase..phase + self.message_bytes]
    }
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More of the answer.
    Answer,
    /// Room to send the rest, or more of the answer.
    Room,
    /// Nothing: the whole message came back.
    Done,
}

/// A connection that exchanges one message at a time.
pub(crate) struct Connection {
    socket: Socket,
    phase: usize,
    sent: usize,
    received: usize,
    /// When the current message began, or was due.
    pub(crate) start: Instant,
    /// What the event queue was last asked to report.
    pub(crate) asked: Progress,
}

impl Connection {
    /// Connects (blocking; a loopback connection is there at once) to `addr`. With `udp` a message
    /// is a datagram, so it must not be longer than one.
    pub(crate) fn open(addr: SocketAddr, udp: bool, index: usize) -> io::Result<Connection> {
        let (kind, protocol) = match udp {
            true => (Type::DGRAM, Protocol::UDP),
            false => (Type::STREAM, Protocol::TCP),
        };
        let socket = Socket::new(Domain::for_address(addr), kind, Some(protocol))?;
        socket.connect(&addr.into())?;
        if !udp {
            socket.set_tcp_nodelay(true)?;
        }
        socket.set_nonblocking(true)?;
        Ok(Connection {
            socket,
            phase: index % PHASES,
            sent: 0,
            received: 0,
            start: Instant::now(),
            asked: Progress::Answer,
        })
    }

    /// Begins the next message at `now`.
    pub(crate) fn begin(
        &mut self,
        now: Instant,
        payload: &Payload,
        scratch: &mut [u8],
    ) -> io::Result<Progress> {
        self.phase = (self.phase + 1) % PHASES;
        self.sent = 0;
        self.received = 0;
        self.start = now;
        self.send(payload)?;
        self.after_send(payload, scratch)
    }

    /// Sends and receives what is possible now.
    pub(crate) fn advance(
        &mut self,
        payload: &Payload,
        scratch: &mut [u8],
    ) -> io::Result<Progress> {
        if self.sent < payload.message_bytes {
            self.send(payload)?;
        }
        self.receive(payload, scratch)?;
        Ok(self.progress(payload))
    }

    /// After the first send nothing can have come back unless the message is longer than a
    /// socket buffer; then the answer must be drained for the rest to find room.
    fn after_send(&mut self, payload: &Payload, scratch: &mut [u8]) -> io::Result<Progress> {
        if self.sent < payload.message_bytes {
            self.receive(payload, scratch)?;
        }
        Ok(self.progress(payload))
    }

    fn progress(&self, payload: &Payload) -> Progress {
        if self.received == payload.message_bytes {
            Progress::Done
        } else if self.sent < payload.message_bytes {
            Progress::Room
        } else {
            Progress::Answer
        }
    }

    fn send(&mut self, payload: &Payload) -> io::Result<()> {
        let message = payload.message(self.phase);
        while self.sent < message.len() {
            match self.socket.write(&message[self.sent..]) {
                Ok(bytes) => self.sent += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn receive(&mut self, payload: &Payload, scratch: &mut [u8]) -> io::Result<()> {
        let message = payload.message(self.phase);
        while self.received < message.len() {
            let want = (message.len() - self.received).min(scratch.len());
            match self.socket.read(&mut scratch[..want]) {
                Ok(0) => return Err(io::Error::other("the server closed a connection")),
                Ok(bytes) => {
                    let expected = &message[self.received..self.received + bytes];
                    if self.received + bytes > self.sent || scratch[..bytes] != *expected {
                        return Err(io::Error::other("the server sent other bytes than it got"));
                    }
                    self.received += bytes;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Ends the connection with a reset, so that no port lingers in TIME_WAIT.
    pub(crate) fn reset(self) -> io::Result<()> {
        SockRef::from(&self.socket).set_linger(Some(std::time::Duration::ZERO))
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
