//! Addresses of Unix sockets as the kernel gives them, for whoever has connected or sent.
//!
//! The input is the family, in two bytes, and what follows it. No peer can choose a name that makes
//! `accept` fail; what std can name goes back to the kernel as it came.

#![no_main]

use gorin::fuzzing::{read_unix_address, write_unix_address};
use libfuzzer_sys::fuzz_target;
use socket2::{SockAddr, SockAddrStorage};

/// What the kernel can answer: a family and up to as many bytes as a name may have. It ends a path by a
/// zero byte, the first one, and gives one more than there is room for if the path is the longest.
fn from_bytes(data: &[u8]) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    // SAFETY: one of the kinds of addresses, made of integers.
    let unix = unsafe { storage.view_as::<libc::sockaddr_un>() };
    let (family, name) = data.split_at(data.len().min(2));
    unix.sun_family = match family {
        &[low, high] => u16::from_le_bytes([low, high]),
        _ => 0,
    };
    let name = &name[..name.len().min(unix.sun_path.len())];
    let is_abstract = name.first() == Some(&0);
    let len = name.iter().position(|&byte| byte == 0 && !is_abstract);
    let name = &name[..len.unwrap_or(name.len())];
    for (place, &byte) in unix.sun_path.iter_mut().zip(name) {
        *place = byte as libc::c_char;
    }
    let end = usize::from(!is_abstract && !name.is_empty());
    let len = if family.len() < 2 {
        0
    } else {
        2 + name.len() + end
    };
    // SAFETY: an address of `len` bytes, or one more zero where a path is the longest, was written to
    // storage that is longer and was all zeroes.
    unsafe { SockAddr::new(storage, len as libc::socklen_t) }
}

fuzz_target!(|data: &[u8]| {
    let kernel = from_bytes(data);
    let family = kernel.family();
    let address = read_unix_address(kernel.clone()).expect("whatever the peer's name");
    if i32::from(family) == libc::AF_UNIX && !address.is_unnamed() {
        let back = write_unix_address(&address).expect("it was an address");
        assert_eq!(back, kernel);
    }
});
