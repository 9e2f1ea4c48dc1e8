//! The echo servers: TCP with one task per connection, UDP with one task for its socket; and what
//! the runner asks of a server.

use super::{Failure, Outcome, tasks};
use crate::rt::{self, net};
use gorin_bench::args::Args;
use gorin_bench::wire::{self, Line};
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long a hog computes per poll.
const HOG_WORK: Duration = Duration::from_millis(100);

/// Connections that may wait to be accepted: more than any row opens at once.
const BACKLOG: i32 = 4096;

/// What a server is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    workers: usize,
    addr: SocketAddr,
    buffer_bytes: usize,
    hogs: usize,
    udp: bool,
}

impl Options {
    pub(crate) fn take(args: &mut Args) -> Result<Options, String> {
        Ok(Options {
            workers: args.take("workers", 1)?,
            addr: args.take("addr", SocketAddr::from(([127, 0, 0, 1], 0)))?,
            buffer_bytes: args.take("buffer", 4096)?,
            hogs: args.take("hogs", 0)?,
            udp: args.take_flag("udp")?,
        })
    }
}

/// Listens, says where, and serves until stdin ends.
pub(crate) fn serve(options: Options) -> Outcome {
    gorin_bench::process::raise_file_limit();
    if options.udp {
        return serve_udp(options);
    }
    let servers = if rt::ONE_SERVER_PER_THREAD {
        options.workers
    } else {
        1
    };
    let mut addr = options.addr;
    let mut listeners = Vec::new();
    for _ in 0..servers {
        let listener = listen(addr, servers > 1)
            .map_err(|error| Failure::Broken(format!("cannot listen on {addr}: {error}")))?;
        addr = listener
            .local_addr()
            .map_err(|error| Failure::Broken(error.to_string()))?;
        listeners.push(listener);
    }
    std::thread::spawn(|| wire::obey_stdin());
    let unready = Arc::new(AtomicUsize::new(servers));
    let workers = options.workers / servers;
    std::thread::scope(|scope| {
        for (index, listener) in listeners.into_iter().enumerate().rev() {
            let hogs = options.hogs / servers + usize::from(index < options.hogs % servers);
            let unready = unready.clone();
            let server = move || {
                let ready = move || {
                    if unready.fetch_sub(1, Ordering::AcqRel) == 1 {
                        wire::say(&Line::Addr(addr));
                    }
                };
                rt::run(
                    workers,
                    accept_all(listener, hogs, options.buffer_bytes, ready),
                )
            };
            if index > 0 {
                scope.spawn(server);
            } else {
                server();
            }
        }
    });
    Ok(())
}

/// As [`serve`], datagrams of one socket.
fn serve_udp(options: Options) -> Outcome {
    let socket = bind_udp(options.addr)
        .map_err(|error| Failure::Broken(format!("cannot bind {}: {error}", options.addr)))?;
    let addr = socket
        .local_addr()
        .map_err(|error| Failure::Broken(error.to_string()))?;
    std::thread::spawn(|| wire::obey_stdin());
    let ready = move || wire::say(&Line::Addr(addr));
    let server = echo_datagrams(socket, options.buffer_bytes, ready);
    rt::run(options.workers, server);
    Ok(())
}

fn bind_udp(addr: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind(addr)?;
    socket.set_nonblocking(rt::net::NONBLOCKING)?;
    Ok(socket)
}

fn listen(addr: SocketAddr, share_port: bool) -> std::io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    if share_port {
        socket.set_reuse_port(true)?;
    }
    socket.set_nonblocking(rt::net::NONBLOCKING)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Serves for ever. Calls `ready` when connections can come.
async fn accept_all(
    listener: std::net::TcpListener,
    hogs: usize,
    buffer_bytes: usize,
    ready: impl FnOnce() + rt::MaybeSend + 'static,
) {
    let listener = match net::Listener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => give_up("cannot use the listener", &error),
    };
    ready();
    for _ in 0..hogs {
        rt::detach(rt::spawn(hog()));
    }
    loop {
        match listener.accept().await {
            Ok(stream) => net::start_echo(stream, buffer_bytes),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(error) => give_up("cannot accept", &error),
        }
    }
}

/// Starts the task of a connection. (A runtime may have another one.)
pub(crate) fn start_echo(stream: net::Stream, buffer_bytes: usize) {
    rt::detach(rt::spawn(echo(stream, buffer_bytes)));
}

/// A benchmark of a server that fails measures nothing: the whole process ends.
fn give_up(what: &str, error: &std::io::Error) -> ! {
    eprintln!("{what}: {error}");
    std::process::exit(1)
}

/// Sends back what comes until the other side ends or fails.
async fn echo(mut stream: net::Stream, buffer_bytes: usize) {
    let mut buffer = vec![0; buffer_bytes];
    loop {
        let (received, full) = stream.read(buffer).await;
        let Ok(received @ 1..) = received else { break };
        let (sent, empty) = stream.write_all(full, received).await;
        if sent.is_err() {
            break;
        }
        buffer = empty;
    }
}

/// Sends each datagram back, for ever. Calls `ready` when they can come.
async fn echo_datagrams(
    socket: UdpSocket,
    buffer_bytes: usize,
    ready: impl FnOnce() + rt::MaybeSend + 'static,
) {
    let mut socket = match net::Udp::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => give_up("cannot use the socket", &error),
    };
    ready();
    let mut buffer = vec![0; buffer_bytes];
    loop {
        let (received, full) = socket.recv_from(buffer).await;
        let (len, peer) = match received {
            Ok(received) => received,
            Err(error) => give_up("cannot receive", &error),
        };
        let (sent, empty) = socket.send_to(full, len, peer).await;
        // Refused by a client that has ended: the others go on.
        if let Err(error) = sent
            && error.kind() != std::io::ErrorKind::ConnectionRefused
        {
            give_up("cannot send", &error);
        }
        buffer = empty;
    }
}

/// Computes, and leaves the same to a new task: a task that is always runnable and never yields.
#[expect(
    clippy::manual_async_fn,
    reason = "an async fn that spawns itself has no nameable Send"
)]
fn hog() -> impl Future<Output = ()> + rt::MaybeSend + 'static {
    async {
        tasks::burn(HOG_WORK);
        rt::detach(rt::spawn(hog()));
    }
}
