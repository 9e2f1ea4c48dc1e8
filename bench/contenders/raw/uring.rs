//! Completions by io_uring: one operation in flight per connection.

use io_uring::{IoUring, opcode, squeue, types};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};

/// Entries that are submitted at once; completions have room for four times as many.
const ENTRIES: u32 = 1024;
/// The `user_data` of the accept.
const ACCEPT: u64 = u64::MAX;

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Bytes in the buffer that go back, and how many of them have gone. Nothing: a receive is in
    /// flight, else a send.
    received: usize,
    sent: usize,
}

/// Serves for ever. Calls `ready` when connections can come.
pub(crate) fn serve(
    listener: &TcpListener,
    buffer_bytes: usize,
    ready: impl FnOnce(),
) -> io::Result<()> {
    let mut ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_cqsize(4 * ENTRIES)
        .build(ENTRIES)?;
    push(&mut ring, accept(listener))?;
    ready();
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut vacant = Vec::new();
    let mut completed = Vec::new();
    loop {
        match ring.submit_and_wait(1) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let completions = ring.completion();
        completed.extend(completions.map(|entry| (entry.user_data(), entry.result())));
        for (key, result) in completed.drain(..) {
            let index = if key == ACCEPT {
                push(&mut ring, accept(listener))?;
                let Ok(fd) = checked(result) else { continue };
                let index = vacant.pop().unwrap_or_else(|| {
                    connections.push(None);
                    connections.len() - 1
                });
                connections[index] = Some(Connection::new(fd, buffer_bytes)?);
                index
            } else {
                let index = key as usize;
                let connection = connections[index].as_mut();
                let connection = connection.expect("an operation of it was in flight");
                if !connection.advance(result) {
                    connections[index] = None;
                    vacant.push(index);
                    continue;
                }
                index
            };
            if let Some(connection) = &mut connections[index] {
                let entry = connection.next().user_data(index as u64);
                push(&mut ring, entry)?;
            }
        }
    }
}

fn checked(result: i32) -> io::Result<i32> {
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    Ok(result)
}

fn accept(listener: &TcpListener) -> squeue::Entry {
    let null = std::ptr::null_mut();
    opcode::Accept::new(types::Fd(listener.as_raw_fd()), null, null.cast())
        .build()
        .user_data(ACCEPT)
}

/// Queues `entry`; submits first if the queue is full.
fn push(ring: &mut IoUring, entry: squeue::Entry) -> io::Result<()> {
    loop {
        // SAFETY: descriptor and buffer belong to a connection, which is dropped only when its one
        // operation has completed; the buffer's bytes do not move.
        if unsafe { ring.submission().push(&entry) }.is_ok() {
            return Ok(());
        }
        ring.submit()?;
    }
}

impl Connection {
    fn new(fd: i32, buffer_bytes: usize) -> io::Result<Connection> {
        // SAFETY: the kernel has just made the descriptor, for us.
        let stream = unsafe { TcpStream::from_raw_fd(fd) };
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            buffer: vec![0; buffer_bytes],
            received: 0,
            sent: 0,
        })
    }

    /// Takes the result of the operation in flight; false if the connection has ended.
    fn advance(&mut self, result: i32) -> bool {
        let Ok(count @ 1..) = checked(result) else {
            return false;
        };
        if self.received == 0 {
            self.received = count as usize;
        } else {
            self.sent += count as usize;
        }
        if self.sent == self.received {
            (self.received, self.sent) = (0, 0);
        }
        true
    }

    /// The operation that follows.
    fn next(&mut self) -> squeue::Entry {
        let fd = types::Fd(self.stream.as_raw_fd());
        if self.received == 0 {
            let buffer = &mut self.buffer;
            return opcode::Recv::new(fd, buffer.as_mut_ptr(), buffer.len() as u32).build();
        }
        let rest = &self.buffer[self.sent..self.received];
        opcode::Send::new(fd, rest.as_ptr(), rest.len() as u32)
            .flags(nix::libc::MSG_NOSIGNAL)
            .build()
    }
}
