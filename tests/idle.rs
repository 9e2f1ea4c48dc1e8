//! An idle runtime sleeps in the kernel and costs no CPU time, with connections open and without.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use common::{PATIENCE, assert_idle, start_echo};

/// What drivers sleep in: `io_uring_enter` and `epoll_pwait2`, the same numbers on every architecture,
/// and what libc's `epoll_wait` is in the kernel.
const SLEEPS: [&str; 3] = ["426", "441", EPOLL_WAIT];
#[cfg(target_arch = "x86_64")]
const EPOLL_WAIT: &str = "232";
#[cfg(not(target_arch = "x86_64"))]
const EPOLL_WAIT: &str = "22";

/// How long an idle server is watched, and the CPU time that it may use meanwhile: 20 ms in 10 s.
const WINDOW: Duration = Duration::from_secs(3);
const BUDGET: Duration = Duration::from_millis(6);

/// The system calls in which the threads of `process` sleep, by thread name; a running one has
/// "running".
fn system_calls(process: u32) -> Vec<(String, String)> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    tasks
        .map(|task| {
            let path = task.expect("it runs").path();
            let name = fs::read_to_string(path.join("comm")).expect("it runs");
            let call = fs::read_to_string(path.join("syscall")).expect("it is our child");
            let number = call.split_whitespace().next().unwrap_or_default();
            (name.trim().to_owned(), number.to_owned())
        })
        .collect()
}

/// Waits until every thread of `process` sleeps as its driver does.
fn wait_until_asleep(process: u32) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let calls = system_calls(process);
        if calls
            .iter()
            .all(|(_, call)| SLEEPS.contains(&call.as_str()))
        {
            return;
        }
        assert!(Instant::now() < deadline, "not all sleep: {calls:?}");
        thread::yield_now();
    }
}

#[test]
fn idle_workers_sleep_and_use_no_cpu_time() {
    for connections in [0, 100] {
        let (server, address) = start_echo(2);
        let clients: Vec<TcpStream> = (0..connections)
            .map(|_| {
                let mut stream = TcpStream::connect(&address).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                stream.write_all(b"ping").unwrap();
                stream.read_exact(&mut [0; 4]).unwrap();
                stream
            })
            .collect();
        wait_until_asleep(server.id());
        assert_eq!(
            system_calls(server.id()).len(),
            3,
            "two workers and the spare one are three threads"
        );
        let what = format!("a server with {connections} idle connections");
        assert_idle(server.id(), WINDOW, BUDGET, &what);
        wait_until_asleep(server.id());
        drop(clients);
    }
}
