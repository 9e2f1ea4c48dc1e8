//! The parsers that fuzz targets (`fuzz/`) feed: what reads text and bytes that others have made.
//!
//! Compiled with `--cfg fuzzing` only, as `cargo fuzz` does, so that users see nothing of it. Each
//! function is the parser itself, or what makes its answer something that a target can judge.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::SocketAddr as UnixAddress;
use std::path::Path;

use socket2::SockAddr;

use crate::model::explore::Mode;
use crate::model::schedule;
use crate::net::address::Target;
use crate::net::unix;
use crate::runtime::{cpus, environment};

/// How many CPUs there are by the files that `read` gives.
pub fn count_cpus(read: &dyn Fn(&Path) -> Option<String>) -> usize {
    cpus::count(read)
}

/// The variables of the environment, in the order of [`read_setting`].
pub const SETTINGS: usize = 4;

/// Whether `text` is a value of the variable number `which`.
///
/// # Errors
/// That of the variable.
pub fn read_setting(which: usize, text: &str) -> io::Result<()> {
    match which % SETTINGS {
        0 => environment::WORKERS.read(text).map(drop),
        1 => environment::POLL_US.read(text).map(drop),
        2 => environment::RESCUE.read(text).map(drop),
        _ => environment::STALL_MS.read(text).map(drop),
    }
}

/// The value of `GORIN_MODEL` that `text` is, written anew.
pub fn rewrite_mode(text: &str) -> Option<String> {
    Some(match Mode::read(text)? {
        Mode::Exhaustive => "exhaustive".to_owned(),
        Mode::Random { seed, iterations } => format!("random:{seed}:{iterations}"),
    })
}

/// The schedule that `text` is, written anew.
///
/// # Errors
/// What a model says of a wrong one.
pub fn rewrite_schedule(text: &str) -> Result<String, String> {
    let (decisions, shown) = schedule::read(text)?;
    Ok(schedule::write(&decisions, shown))
}

/// What an address as text says.
#[derive(Debug, PartialEq, Eq)]
pub enum Named {
    /// It is one.
    Address(SocketAddr),
    /// The resolver has to be asked.
    Host(String, u16),
}

/// What `text` says about where to connect to.
///
/// # Errors
/// What the caller of `connect` gets.
pub fn read_address(text: &str) -> io::Result<Named> {
    match Target::text(text)? {
        Target::Address(address) => Ok(Named::Address(address)),
        Target::Host(host, port) => Ok(Named::Host(host, port)),
        Target::Addresses(list) => unreachable!("one text is one address, not {list:?}"),
    }
}

/// A Unix socket's address, as the kernel gives it.
///
/// # Errors
/// What the caller of `accept` or `recv_from` gets.
pub fn read_unix_address(address: SockAddr) -> io::Result<UnixAddress> {
    unix::from_kernel(address)
}

/// The address back in the kernel's form.
///
/// # Errors
/// What the caller of `connect` gets.
pub fn write_unix_address(address: &UnixAddress) -> io::Result<SockAddr> {
    unix::to_kernel(address)
}
