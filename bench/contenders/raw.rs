//! Echo servers without a runtime: what the kernel's interfaces cost by themselves, which is the
//! limit for what a runtime can reach. One thread, one loop, no tasks, no timers.
//!
//! `RAW_INTERFACE=epoll` waits by readiness: level-triggered, one buffer for all connections.
//! `RAW_INTERFACE=uring` has one receive or send in flight per connection, each with a buffer of its
//! own, on a ring that sleeps at once. `RAW_INTERFACE=multishot` receives into buffers that all share.
//!
//! With `--udp` `epoll` echoes the datagrams of one socket; a ring has no call for a datagram's sender
//! but `recvmsg`, which is another program.

#[path = "raw/epoll.rs"]
mod epoll;
#[path = "raw/multishot.rs"]
mod multishot;
#[path = "raw/uring.rs"]
mod uring;

use gorin_bench::args::Args;
use gorin_bench::wire::{self, Line};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::ExitCode;

/// Connections that may wait to be accepted: as many as the runtimes' servers let wait.
const BACKLOG: i32 = 4096;

fn main() -> ExitCode {
    gorin_bench::process::die_with_parent();
    match Args::parse(std::env::args().skip(1)).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(mut args: Args) -> Result<(), String> {
    if args.word() != Some("serve") {
        return Err("only `serve`".to_owned());
    }
    let addr = args.take("addr", SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let buffer_bytes = args.take("buffer", 4096)?;
    let hogs: usize = args.take("hogs", 0)?;
    // One thread serves, whatever is asked for.
    let _workers: usize = args.take("workers", 1)?;
    let udp = args.take_flag("udp")?;
    args.finish()?;
    if hogs > 0 {
        wire::say(&Line::Unsupported("has no tasks".to_owned()));
        return Ok(());
    }
    let served = match udp {
        true => serve_udp(addr),
        false => serve(addr, buffer_bytes),
    };
    served.map_err(|error| error.to_string())
}

fn serve_udp(addr: SocketAddr) -> io::Result<()> {
    if std::env::var("RAW_INTERFACE").as_deref() != Ok("epoll") {
        wire::say(&Line::Unsupported("datagrams are epoll's".to_owned()));
        return Ok(());
    }
    let socket = UdpSocket::bind(addr)?;
    let addr = socket.local_addr()?;
    std::thread::spawn(|| wire::obey_stdin());
    epoll::serve_udp(&socket, || wire::say(&Line::Addr(addr)))
}

fn serve(addr: SocketAddr, buffer_bytes: usize) -> io::Result<()> {
    gorin_bench::process::raise_file_limit();
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let addr = listener.local_addr()?;
    std::thread::spawn(|| wire::obey_stdin());
    let ready = || wire::say(&Line::Addr(addr));
    match std::env::var("RAW_INTERFACE").as_deref() {
        Ok("epoll") => epoll::serve(&listener, buffer_bytes, ready),
        Ok("multishot") => multishot::serve(&listener, ready),
        Ok("uring") => uring::serve(&listener, buffer_bytes, ready),
        _ => Err(io::Error::other(
            "RAW_INTERFACE is `epoll`, `uring` or `multishot`",
        )),
    }
}
