//! What a runtime says of itself in numbers, to its program and on stderr.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{on_workers, within_patience};
use gorin::runtime::Handle;
use gorin::{Runtime, go, yield_now};

#[test]
fn goroutines_are_counted_that_live_and_that_wait_for_a_worker() {
    on_workers(1, || async {
        let handle = Handle::current();
        let before = handle.stats();
        let five: Vec<_> = (0..5).map(|_| go(async {})).collect();
        // Nobody else could have run them.
        let stats = handle.stats();
        assert_eq!(stats.goroutines - before.goroutines, 5, "{stats}");
        assert_eq!((stats.ready, stats.since(&before).polls), (5, 0), "{stats}");
        for one in five {
            one.await.unwrap();
        }
        let stats = handle.stats();
        assert_eq!((stats.ready, stats.since(&before).polls), (0, 5), "{stats}");
        assert_eq!(stats.goroutines, before.goroutines);
    });
}

#[test]
fn sleeps_entries_and_what_the_kernel_reports_are_counted() {
    on_workers(1, || async {
        let handle = Handle::current();
        let (left, right) = gorin::net::UnixStream::pair().unwrap();
        let before = handle.stats();
        let reads = go(async move { left.read(&mut [0]).await });
        // It waits by now.
        while handle.stats().since(&before).polls == 0 {
            yield_now().await;
        }
        right.write_all(b"x").await.unwrap();
        assert_eq!(reads.await.unwrap().unwrap(), 1);
        // One may be over before it is waited for.
        while handle.stats().since(&before).sleeps == 0 {
            gorin::time::sleep(Duration::from_millis(1)).await;
        }
        let stats = handle.stats().since(&before);
        assert!(stats.completions >= 1, "{stats}");
        assert!(1 <= stats.sleeps && stats.sleeps <= stats.enters, "{stats}");
    });
}

#[test]
fn a_line_names_each_number_once() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let line = runtime.handle().stats().to_string();
    let fields: Vec<_> = line.split(' ').collect();
    assert_eq!(fields[..2], ["goroutines=0", "ready=0"]);
    for field in &fields {
        let (name, number) = field.split_once('=').expect("a name and a number");
        assert!(number.parse::<u64>().is_ok(), "{field}");
        assert!(format!("{:?}", runtime.handle().stats()).contains(&format!("{name}: ")));
    }
}

/// A program whose only worker is stuck until its input ends.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn stuck() {
    let builder = Runtime::builder().workers(1);
    let stuck = async { std::io::stdin().read_to_end(&mut Vec::new()).unwrap() };
    builder.run(stuck).unwrap();
}

/// [`stuck`] with lines in so many milliseconds, and with pipes to it and from it.
fn traced(millis: u32) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "stuck"])
        .env("GORIN_DEBUG", format!("schedtrace={millis}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// For: an end that waited for a thread which could not get rid of its line.
#[test]
fn a_trace_that_nobody_reads_keeps_no_runtime_from_its_end() {
    within_patience(|| {
        let mut child = traced(1);
        let unread = child.stderr.take().unwrap();
        let filled = || rustix::io::ioctl_fionread(&unread).unwrap();
        // Until the pipe is full.
        loop {
            let before = filled();
            std::thread::sleep(Duration::from_millis(50));
            if before > 0 && filled() == before {
                break;
            }
        }
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
    });
}

#[test]
fn the_trace_goes_on_when_all_workers_are_stuck_and_ends_with_the_runtime() {
    within_patience(|| {
        let mut child = traced(5);
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut traced = lines
            .map(|line| line.unwrap())
            .filter(|line| line.starts_with("gorin: at="));
        for _ in 0..3 {
            let line = traced.next().expect("it goes on");
            assert!(line.contains("ms goroutines=0 ready=0 polls="), "{line}");
        }
        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        // The pipe ends, since nobody is left to write.
        traced.for_each(drop);
    });
}
