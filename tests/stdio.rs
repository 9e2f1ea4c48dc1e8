//! The standard streams, in a process of their own: this test program, started again.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures::StreamExt;
use gorin::Runtime;
use gorin::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy};
use gorin::io::{stderr, stdin, stdout};
use gorin::time::{after, timeout};

/// Runs one of the ignored tests below as a program, feeds it, and gives what it has written.
fn run(program: &str, input: Vec<u8>) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "--quiet", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || stdin.write_all(&input));
    let mut written = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut written)
        .unwrap();
    let mut errors = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut errors)
        .unwrap();
    assert!(child.wait().unwrap().success(), "{written}{errors}");
    feeding.join().unwrap().unwrap();
    written + &errors
}

#[test]
#[ignore = "the program of another test"]
fn copies_input_to_output() {
    let copied = gorin::run(async {
        let copied = copy(stdin(), &mut stdout()).await.unwrap();
        let mut errors = stderr();
        errors.write_all(b"copied to the end\n").await.unwrap();
        errors.flush().await.unwrap();
        copied
    });
    assert_eq!(copied, 1_000_000);
}

#[test]
fn what_is_read_from_the_input_can_be_written_to_the_output() {
    common::within_patience(|| {
        let line = "0123456789abcdef 0123456789abcdef 0123456789abcde\n";
        let input = line.repeat(20_000);
        let written = run("copies_input_to_output", input.clone().into_bytes());
        assert!(written.contains(&input));
        assert!(written.contains("copied to the end"));
    });
}

#[test]
#[ignore = "the program of another test"]
fn ends_without_a_flush() {
    // The one thread for blocking code is busy until the runtime ends: the words wait in line.
    let (tx, rx) = std::sync::mpsc::channel::<()>();
    let runtime = Runtime::builder().workers(1).max_blocking_threads(1);
    runtime
        .run(async move {
            let (tell, begun) = gorin::chan(0);
            gorin::unblock(move || {
                tell.send_blocking(()).unwrap();
                rx.recv()
            });
            begun.recv().await.unwrap();
            gorin::go(async move {
                let _dropped_at_the_end = tx;
                std::future::pending::<()>().await;
            });
            gorin::yield_now().await;
            stdout().write_all(b"last words\n").await.unwrap();
        })
        .unwrap();
}

#[test]
fn what_is_written_gets_out_although_the_runtime_ends() {
    common::within_patience(|| {
        let written = run("ends_without_a_flush", Vec::new());
        assert!(written.contains("last words"), "{written}");
    });
}

#[test]
#[ignore = "the program of another test"]
fn reads_lines_with_little_patience() {
    gorin::run(async {
        let mut got = String::new();
        // Dropped reads: each may have asked for bytes, none may take them along.
        for _ in 0..100 {
            let mut handle = stdin();
            let mut buf = [0; 7];
            if let Ok(read) = timeout(Duration::ZERO, handle.read(&mut buf)).await {
                got.push_str(std::str::from_utf8(&buf[..read.unwrap()]).unwrap());
            }
        }
        let mut lines = BufReader::new(stdin()).lines();
        while let Some(line) = lines.next().await {
            got.push_str(&line.unwrap());
        }
        let wanted: String = (0..200).map(|n| n.to_string()).collect();
        assert_eq!(got.replace('\n', ""), wanted);
    });
}

#[test]
fn reads_that_are_given_up_lose_nothing() {
    common::within_patience(|| {
        let lines: String = (0..200).map(|n| format!("{n}\n")).collect();
        run("reads_lines_with_little_patience", lines.into_bytes());
    });
}

#[test]
#[ignore = "the program of another test"]
fn ends_though_nobody_types() {
    let start = Instant::now();
    let limited = async {
        let mut buf = [0; 1];
        let mut input = stdin();
        gorin::select! {
            _ = input.read(&mut buf) => panic!("nobody types"),
            _ = after(Duration::from_millis(5)) => {}
        }
    };
    Runtime::builder().run(limited).unwrap();
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "it waited for the input"
    );
}

#[test]
fn a_read_that_waits_for_input_holds_up_no_end() {
    common::within_patience(|| {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "--ignored",
                "--nocapture",
                "ends_though_nobody_types",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        assert!(child.wait().unwrap().success());
        drop(stdin);
    });
}
