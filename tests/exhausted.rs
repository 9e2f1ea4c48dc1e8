//! A listener when no descriptors are left. Alone in its process, whose limit it lowers.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::fs::File;
use std::io::ErrorKind;
use std::pin::pin;
use std::task::Poll;
use std::time::Instant;

use common::everywhere;
use gorin::net::TcpListener;
use gorin_base::check::poll_once;
use rustix::process::{Resource, getrlimit, setrlimit};

/// An accept that waits for better times ends as any other.
#[test]
fn an_accept_without_descriptors_ends_when_its_listener_does() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(256);
    setrlimit(Resource::Nofile, limit).unwrap();
    everywhere(|| async {
        for (close, kind) in [
            (false, ErrorKind::TimedOut),
            (true, ErrorKind::NotConnected),
        ] {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let _client = std::net::TcpStream::connect(listener.local_addr()?)?;
            let mut all = Vec::new();
            while let Ok(file) = File::open("/dev/null") {
                all.push(file);
            }
            let mut accept = pin!(listener.accept());
            assert!(poll_once(accept.as_mut()).is_pending());
            match close {
                false => listener.set_accept_deadline(Some(Instant::now())),
                true => listener.close(),
            }
            match poll_once(accept.as_mut()) {
                Poll::Ready(ended) => assert_eq!(ended.unwrap_err().kind(), kind),
                Poll::Pending => panic!("it sleeps on"),
            }
        }
        Ok(())
    });
}
