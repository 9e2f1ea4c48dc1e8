//! The standard streams, in a process of their own: this test program, started again.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use futures::StreamExt;
use gorin::Runtime;
use gorin::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, copy};
use gorin::io::{stderr, stdin, stdout};
use gorin::time::{after, timeout};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

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
fn copies_and_exits() {
    let copied = gorin::run(copy(stdin(), &mut stdout()));
    // Not back to the test harness, which would print to what may have no room.
    std::process::exit(i32::from(!matches!(copied, Ok(1_000_000))));
}

/// For: streams that were not waited for where another process had made them non-blocking, so that
/// reads failed and a part of what was written was lost.
#[test]
fn streams_that_others_made_non_blocking_are_waited_for() {
    common::within_patience(|| {
        let (input, feed) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        let (written, output) = pipe_with(PipeFlags::CLOEXEC).unwrap();
        for fd in [&input, &output] {
            fcntl_setfl(fd, fcntl_getfl(fd).unwrap() | OFlags::NONBLOCK).unwrap();
        }
        // So that it is full at each chunk.
        fcntl_setpipe_size(&output, 4096).unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture", "--quiet"])
            .arg("copies_and_exits")
            .stdin(input)
            .stdout(output)
            .spawn()
            .unwrap();
        let line = "0123456789abcdef 0123456789abcdef 0123456789abcde\n";
        let (tell, told) = mpsc::channel();
        let feeding = std::thread::spawn(move || {
            let mut feed = File::from(feed);
            feed.write_all(line.repeat(19_999).as_bytes())?;
            // When there is nothing to read.
            told.recv().expect("the lines come out");
            feed.write_all(line.as_bytes())
        });
        let lines = std::io::BufReader::new(File::from(written)).lines();
        let mut copied = 0;
        for got in lines.map_while(Result::ok) {
            copied += usize::from(got == line.trim_end());
            if copied == 19_999 {
                let _ = tell.send(());
            }
        }
        assert_eq!(copied, 20_000);
        feeding.join().unwrap().unwrap();
        assert!(child.wait().unwrap().success());
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
fn writes_each_line_by_a_handle_of_its_own() {
    gorin::run(async {
        for n in 0..1000 {
            stdout().write_all(format!("line {n}\n").as_bytes()).await?;
            stderr()
                .write_all(format!("error {n}\n").as_bytes())
                .await?;
        }
        std::io::Result::Ok(())
    })
    .unwrap();
}

/// For: lines that overtook each other, as each had a thread of its own.
#[test]
fn what_several_handles_write_gets_out_in_order() {
    common::within_patience(|| {
        let written = run("writes_each_line_by_a_handle_of_its_own", Vec::new());
        for kind in ["line ", "error "] {
            let lines = written.lines().filter_map(|line| line.strip_prefix(kind));
            let numbers: Vec<usize> = lines.map(|number| number.parse().unwrap()).collect();
            assert_eq!(numbers, Vec::from_iter(0..1000), "{kind}");
        }
    });
}

#[test]
#[ignore = "the program of another test"]
fn writes_when_the_runtime_has_ended() {
    let handle = Runtime::builder()
        .workers(1)
        .build()
        .unwrap()
        .handle()
        .clone();
    let _entered = handle.enter();
    let written = gorin_base::check::block_on(async {
        let mut out = stdout();
        out.write_all(b"late words\n").await?;
        out.flush().await
    });
    written.unwrap();
}

/// For: an error of the flush, after which a program would write the same again.
#[test]
fn what_was_written_although_the_runtime_has_ended_is_no_error() {
    common::within_patience(|| {
        let written = run("writes_when_the_runtime_has_ended", Vec::new());
        assert!(written.contains("late words"), "{written}");
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
fn gives_up_and_leaves_the_rest() {
    gorin::run(async {
        for _ in 0..10 {
            let mut handle = stdin();
            let read = timeout(Duration::ZERO, handle.read(&mut [0; 7])).await;
            assert!(read.is_err(), "{read:?}");
        }
        println!("asked");
        let mut buf = [0; 7];
        let read = stdin().read(&mut buf).await.unwrap();
        assert_eq!(&buf[..read], b"one");
    });
    println!("has one");
    // Somebody else's turn.
    let mut rest = String::new();
    std::io::stdin().read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "two");
}

/// For: requests of dropped handles, for each of which the thread read what nobody had asked for.
#[test]
fn reads_that_were_given_up_take_nothing_away() {
    common::within_patience(|| {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--ignored", "--nocapture", "--quiet"])
            .arg("gives_up_and_leaves_the_rest")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let output = std::io::BufReader::new(child.stdout.take().unwrap());
        let mut lines = output.lines().map(|line| line.unwrap());
        lines.find(|line| line == "asked").expect("it asks");
        input.write_all(b"one").unwrap();
        lines.find(|line| line == "has one").expect("it reads");
        input.write_all(b"two").unwrap();
        drop(input);
        let rest: Vec<String> = lines.collect();
        assert!(child.wait().unwrap().success(), "{rest:?}");
    });
}

#[test]
#[ignore = "the program of another test"]
fn ends_though_nobody_types() {
    let limited = async {
        let mut buf = [0; 1];
        let mut input = stdin();
        gorin::select! {
            _ = input.read(&mut buf) => panic!("nobody types"),
            _ = after(Duration::from_millis(5)) => {}
        }
    };
    // If it waited for the input it would not end before that comes.
    let patient = Runtime::builder().exit_timeout(Duration::from_secs(3600));
    patient.run(limited).unwrap();
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
