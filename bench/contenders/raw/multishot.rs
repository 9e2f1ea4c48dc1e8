//! Completions by io_uring: one multishot receive per connection, into buffers that all share, and
//! `send(2)`. Nothing is submitted per message, and no connection holds a buffer.

use io_uring::types::BufRingEntry;
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use nix::libc;
use socket2::SockRef;
use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering};

/// Entries that are submitted at once; completions have room for four times as many.
const ENTRIES: u32 = 1024;
/// Buffers that all connections share; a power of two.
const BUFFERS: u16 = 1024;
const BUFFER_BYTES: usize = 16 << 10;
const GROUP: u16 = 0;
/// The `user_data` of the accept.
const ACCEPT: u64 = u64::MAX;
/// Set in the `user_data` of a wait for room.
const ROOM: u64 = 1 << 63;

struct Connection {
    stream: TcpStream,
    /// What found no room in the socket's buffer; empty nearly always.
    rest: Vec<u8>,
}

/// The buffers, and the ring in which those that are free are given to the kernel.
struct Buffers {
    ring: NonNull<BufRingEntry>,
    memory: Vec<u8>,
    tail: u16,
}

impl Buffers {
    /// All of them, for good: they live as long as the process.
    fn new(uring: &IoUring) -> io::Result<Buffers> {
        let bytes = usize::from(BUFFERS) * size_of::<BufRingEntry>();
        let layout = Layout::from_size_align(bytes, 4096).map_err(io::Error::other)?;
        // SAFETY: the layout is not empty.
        let ring = unsafe { alloc_zeroed(layout) };
        let Some(ring) = NonNull::new(ring.cast()) else {
            handle_alloc_error(layout)
        };
        let address = ring.as_ptr() as u64;
        // SAFETY: so many entries, page-aligned, and never freed.
        unsafe {
            uring
                .submitter()
                .register_buf_ring_with_flags(address, BUFFERS, GROUP, 0)
        }?;
        let mut buffers = Buffers {
            ring,
            memory: vec![0; usize::from(BUFFERS) * BUFFER_BYTES],
            tail: 0,
        };
        (0..BUFFERS).for_each(|id| buffers.give_back(id));
        buffers.publish();
        Ok(buffers)
    }

    fn filled(&self, id: u16, len: usize) -> &[u8] {
        &self.memory[usize::from(id) * BUFFER_BYTES..][..len]
    }

    /// Queues buffer `id` for the kernel, which sees it after [`publish`](Self::publish).
    fn give_back(&mut self, id: u16) {
        let address = self.memory[usize::from(id) * BUFFER_BYTES..].as_ptr();
        let place = usize::from(self.tail % BUFFERS);
        // SAFETY: `place` is less than the length of the ring.
        let mut entry = unsafe { self.ring.add(place) };
        // SAFETY: the kernel has done with the place, since as many buffers are out.
        let entry = unsafe { entry.as_mut() };
        entry.set_addr(address as u64);
        entry.set_len(BUFFER_BYTES as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        // SAFETY: the ring's tail lies within its first entry.
        let tail = unsafe { BufRingEntry::tail(self.ring.as_ptr()) }.cast_mut();
        // SAFETY: aligned, and written by this thread only.
        let tail = unsafe { AtomicU16::from_ptr(tail) };
        // Release: the kernel, which acquires it, sees the entries before.
        tail.store(self.tail, Ordering::Release);
    }
}

/// Serves for ever. Calls `ready` when connections can come.
pub(crate) fn serve(listener: &TcpListener, ready: impl FnOnce()) -> io::Result<()> {
    let mut uring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_cqsize(4 * ENTRIES)
        .build(ENTRIES)?;
    let mut buffers = Buffers::new(&uring)?;
    push(&mut uring, accept(listener))?;
    ready();
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut vacant = Vec::new();
    let mut completed = Vec::new();
    loop {
        match uring.submit_and_wait(1) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let completions = uring.completion();
        completed
            .extend(completions.map(|entry| (entry.user_data(), entry.result(), entry.flags())));
        for (key, result, flags) in completed.drain(..) {
            if key == ACCEPT {
                push(&mut uring, accept(listener))?;
                if result < 0 {
                    continue;
                }
                // SAFETY: the kernel has just made the descriptor, for us.
                let stream = unsafe { TcpStream::from_raw_fd(result) };
                stream.set_nodelay(true)?;
                let index = vacant.pop().unwrap_or_else(|| {
                    connections.push(None);
                    connections.len() - 1
                });
                push(&mut uring, receive(&stream, index))?;
                let rest = Vec::new();
                connections[index] = Some(Connection { stream, rest });
                continue;
            }
            let index = (key & !ROOM) as usize;
            let Some(connection) = connections[index].as_mut() else {
                continue;
            };
            if key & ROOM != 0 {
                let rest = std::mem::take(&mut connection.rest);
                connection.send(&mut uring, index, &rest)?;
                continue;
            }
            if let Some(id) = cqueue::buffer_select(flags) {
                let len = usize::try_from(result).unwrap_or(0);
                connection.send(&mut uring, index, buffers.filled(id, len))?;
                buffers.give_back(id);
            }
            if cqueue::more(flags) {
                continue;
            }
            if result > 0 || result == -libc::ENOBUFS {
                push(&mut uring, receive(&connection.stream, index))?;
            } else {
                connections[index] = None;
                vacant.push(index);
            }
        }
        buffers.publish();
    }
}

fn accept(listener: &TcpListener) -> squeue::Entry {
    let null = std::ptr::null_mut();
    opcode::Accept::new(types::Fd(listener.as_raw_fd()), null, null.cast())
        .build()
        .user_data(ACCEPT)
}

fn receive(stream: &TcpStream, index: usize) -> squeue::Entry {
    opcode::RecvMulti::new(types::Fd(stream.as_raw_fd()), GROUP)
        .build()
        .user_data(index as u64)
}

/// Queues `entry`; submits first if the queue is full.
fn push(uring: &mut IoUring, entry: squeue::Entry) -> io::Result<()> {
    loop {
        // SAFETY: an entry names a descriptor and no memory.
        if unsafe { uring.submission().push(&entry) }.is_ok() {
            return Ok(());
        }
        uring.submit()?;
    }
}

impl Connection {
    /// Sends what finds room, and has the ring tell when there is more. An error is left to the
    /// receive, which ends with it.
    fn send(&mut self, uring: &mut IoUring, index: usize, bytes: &[u8]) -> io::Result<()> {
        if !self.rest.is_empty() {
            self.rest.extend_from_slice(bytes);
            return Ok(());
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        let mut sent = 0;
        while sent < bytes.len() {
            match SockRef::from(&self.stream).send_with_flags(&bytes[sent..], flags) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => return Ok(()),
            }
        }
        self.rest.extend_from_slice(&bytes[sent..]);
        if self.rest.is_empty() {
            return Ok(());
        }
        let fd = types::Fd(self.stream.as_raw_fd());
        let room = opcode::PollAdd::new(fd, libc::POLLOUT as u32).build();
        push(uring, room.user_data(index as u64 | ROOM))
    }
}
