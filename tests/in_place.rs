//! `block_in_place` on pipes: the closure waits for the end of an end that a goroutine holds, and that this
//! worker has polled for.
//!
//! For: a poll that kept the file open until the closure had ended, which waited for just that.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::future::Future;
use std::io::{self, Read, Write};
use std::sync::mpsc;
use std::time::Duration;

use common::within_patience;
use gorin::io::{PipeReader, PipeWriter};
use gorin::time::timeout;
use gorin::{Runtime, block_in_place, go, yield_now};

/// Runs `program` again and again, with somebody beside the worker that blocks.
fn repeat<F: Future<Output = ()> + Send + 'static>(program: fn(usize) -> F) {
    if std::env::var_os("GORIN_DRIVER").is_some_and(|driver| driver == "simulated") {
        // It cancels when it likes.
        return;
    }
    within_patience(move || {
        for workers in [2, 4] {
            let runtime = Runtime::builder().workers(workers).build().unwrap();
            for round in 0..30 {
                runtime.block_on(runtime.go(program(round))).unwrap();
            }
        }
    });
}

#[test]
fn a_closure_reads_to_the_end_what_a_goroutine_writes() {
    repeat(|round| async move {
        let (mut reader, writer) = io::pipe().unwrap();
        let writer = PipeWriter::from_fd(writer.into()).unwrap();
        let writing = go(async move { writer.write_all(&vec![0; 1 << 20]).await });
        for _ in 0..round % 3 {
            yield_now().await;
        }
        let read = block_in_place(|| reader.read_to_end(&mut Vec::new()));
        assert_eq!(read.unwrap(), 1 << 20);
        writing.await.unwrap().unwrap();
    });
}

#[test]
fn a_closure_writes_until_a_goroutine_reads_no_more() {
    repeat(|round| async move {
        let (reader, mut writer) = io::pipe().unwrap();
        let reader = PipeReader::from_fd(reader.into()).unwrap();
        let reading = go(async move {
            for _ in 0..8 {
                reader.read(&mut [0; 1]).await.unwrap();
            }
        });
        // Each is waited for, perhaps on this worker.
        for _ in 0..round % 8 {
            yield_now().await;
            writer.write_all(&[0]).unwrap();
        }
        let written = block_in_place(|| writer.write_all(&[0; 1 << 20]));
        assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        reading.await.unwrap();
    });
}

#[test]
fn an_end_that_was_waited_for_in_vain_is_closed_by_another_worker() {
    repeat(|_| async move {
        let (mut reader, writer) = io::pipe().unwrap();
        let writer = PipeWriter::from_fd(writer.into()).unwrap();
        while writer.try_write(&[0; 4096]).is_ok() {}
        let given_up = timeout(Duration::from_millis(1), writer.write(b"x")).await;
        assert!(given_up.is_err());
        let (tell, blocks) = mpsc::channel();
        let dropped = go(async move {
            blocks.recv().unwrap();
            drop(writer);
        });
        let read = block_in_place(|| {
            tell.send(()).unwrap();
            reader.read_to_end(&mut Vec::new())
        });
        assert!(read.unwrap() > 0);
        dropped.await.unwrap();
    });
}
