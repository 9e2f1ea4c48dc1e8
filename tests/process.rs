//! Child processes: their streams, their end, and what becomes of those that nobody waits for.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::future::Future;
use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::join_all;
use gorin::Runtime;
use gorin::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, PipeReader, pipe};
use gorin::prelude::*;
use gorin::process::{Command, Stdio};
use gorin::signal::Signal;
use gorin::time::timeout;

/// Runs `program` on a runtime with two workers.
fn on_two_workers<F: Future<Output = ()> + 'static>(program: fn() -> F) {
    common::within_patience(move || {
        let run = Runtime::builder().workers(2).run(program());
        run.expect("a runtime can be started");
    });
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

/// A program that ends only when it is killed. (A shell would leave its own child behind.)
fn sleeper() -> Command {
    let mut command = Command::new("sleep");
    command.arg("3600");
    command
}

/// True as long as the process runs or is a zombie.
fn exists(id: u32) -> bool {
    PathBuf::from(format!("/proc/{id}")).exists()
}

#[test]
fn output_and_status_are_those_of_the_program() {
    on_two_workers(|| async {
        let output = shell("echo out; echo err >&2; exit 7")
            .output()
            .await
            .unwrap();
        assert_eq!(output.stdout, b"out\n");
        assert_eq!(output.stderr, b"err\n");
        assert_eq!(output.status.code(), Some(7));
        assert!(shell("true").status().await.unwrap().success());
        // Its input is empty, not this test's.
        let output = shell("cat; echo end").output().await.unwrap();
        assert_eq!(output.stdout, b"end\n");
        // A stream that was set is left alone.
        let output = shell("echo out").stdout(Stdio::null()).output().await;
        assert_eq!(output.unwrap().stdout, b"");
    });
}

/// For: pipes of `output` that stayed with the command, so that a program which was started by it once
/// more waited for somebody to read.
#[test]
fn a_command_whose_output_was_collected_inherits_its_streams_again() {
    on_two_workers(|| async {
        let mut command = shell("echo out; echo err >&2");
        assert_eq!(command.output().await.unwrap().stdout, b"out\n");
        let mut child = command.spawn().unwrap();
        let piped = [child.stdout.is_some(), child.stderr.is_some()];
        assert_eq!(piped, [false; 2]);
        assert!(child.wait().await.unwrap().success());
        // And what was set stays set.
        command.stdout(Stdio::piped());
        assert_eq!(command.output().await.unwrap().stdout, b"out\n");
        let mut child = command.spawn().unwrap();
        let piped = [child.stdout.is_some(), child.stderr.is_some()];
        assert_eq!(piped, [true, false]);
        assert!(child.wait().await.unwrap().success());
    });
}

#[test]
fn the_settings_reach_the_program() {
    on_two_workers(|| async {
        let mut command = shell("echo $0 $A $B${C-unset}; pwd");
        command
            .arg("name")
            .env("A", "1")
            .envs([("B", "2"), ("C", "3")]);
        command.env_remove("C").current_dir("/");
        let output = command.output().await.unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "name 1 2unset\n/\n"
        );
    });
}

#[test]
fn more_than_a_pipe_holds_goes_through_both_ways() {
    on_two_workers(|| async {
        let mut cat = shell("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = cat.stdin.take().unwrap();
        let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n * 7 + n / 251) as u8).collect();
        let writer = go({
            let sent = sent.clone();
            async move {
                stdin.write_all(&sent).await.unwrap();
                stdin.close().await.unwrap();
                let late = AsyncWriteExt::write(&mut stdin, b"x").await.unwrap_err();
                assert_eq!(late.kind(), ErrorKind::BrokenPipe);
            }
        });
        let output = cat.wait_with_output().await.unwrap();
        writer.await.unwrap();
        assert!(output.status.success());
        assert!(output.stdout == sent, "{} bytes", output.stdout.len());
    });
}

#[test]
fn waiting_closes_the_input_and_can_be_given_up_and_repeated() {
    on_two_workers(|| async {
        let directory = common::TempDir::new();
        let fifo = directory.path("fifo");
        assert!(
            Command::new("mkfifo")
                .arg(&fifo)
                .status()
                .await
                .unwrap()
                .success()
        );
        let mut child = shell("cat; read line < \"$FIFO\"; exit 3")
            .env("FIFO", &fifo)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        assert_eq!(child.try_wait().unwrap(), None);
        assert!(timeout(Duration::ZERO, child.wait()).await.is_err());
        // Its input has ended; what it reads now comes when its reader is there.
        gorin::unblock(move || std::fs::write(fifo, "\n").unwrap())
            .await
            .unwrap();
        for _ in 0..2 {
            assert_eq!(child.wait().await.unwrap().code(), Some(3));
        }
        assert_eq!(child.try_wait().unwrap().unwrap().code(), Some(3));
        child.kill().unwrap(); // Too late, and no error.
    });
}

#[test]
fn a_waiting_goroutine_does_not_hold_its_worker() {
    common::within_patience(|| {
        let program = async {
            let mut child = shell("read line; exit 5").stdin(Stdio::piped()).spawn();
            let stdin = child.as_mut().unwrap().stdin.take().unwrap();
            let waiter = go(async move { child.unwrap().wait().await.unwrap().code() });
            yield_now().await;
            // The one worker is free, or this line would never be written.
            stdin.write_all(b"go on\n").await.unwrap();
            assert_eq!(waiter.await.unwrap(), Some(5));
        };
        Runtime::builder().workers(1).run(program).unwrap();
    });
}

#[test]
fn a_child_is_stopped_and_goes_on() {
    on_two_workers(|| async {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let stat = format!("/proc/{}/stat", child.id());
        child.signal(Signal::STOP).unwrap();
        while !std::fs::read_to_string(&stat).unwrap().contains(") T ") {
            yield_now().await;
        }
        assert_eq!(child.try_wait().unwrap(), None, "stopped is not ended");
        drop(child.stdin.take());
        child.signal(Signal::CONTINUE).unwrap();
        assert!(child.wait().await.unwrap().success());
    });
}

#[test]
fn children_die_of_signals_and_say_so() {
    on_two_workers(|| async {
        let mut child = sleeper().spawn().unwrap();
        child.signal(Signal::TERMINATE).unwrap();
        let status = child.wait().await.unwrap();
        assert_eq!(status.signal(), Some(Signal::TERMINATE.as_raw()));

        let mut child = sleeper().spawn().unwrap();
        child.kill().unwrap();
        assert_eq!(child.wait().await.unwrap().signal(), Some(9));
        let mut child = shell("true").spawn().unwrap();
        for number in [0, 40] {
            let error = child.signal(Signal::from(number)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
        }
        child.wait().await.unwrap();
    });
}

#[test]
fn dropped_children_run_on_unless_they_are_to_be_killed_and_leave_no_zombie() {
    on_two_workers(|| async {
        let mut kept = shell("read line").stdin(Stdio::piped()).spawn().unwrap();
        let stdin = kept.stdin.take().unwrap();
        let (kept_id, running) = (kept.id(), exists(kept.id()));
        drop(kept);
        assert!(running && exists(kept_id));

        let killed = sleeper().kill_on_drop(true).spawn().unwrap();
        let killed_id = killed.id();
        drop(killed);
        gone(killed_id).await;
        assert!(exists(kept_id));
        drop(stdin); // Ends its `read`.
        gone(kept_id).await;

        let ended = shell("true").spawn().unwrap();
        let ended_id = ended.id();
        drop(ended);
        gone(ended_id).await;
    });
}

/// Waits until the process is gone, letting the goroutine that reaps it run.
async fn gone(id: u32) {
    let deadline = Instant::now() + common::PATIENCE;
    while exists(id) {
        assert!(Instant::now() < deadline, "process {id} is still there");
        gorin::time::sleep(Duration::from_millis(1)).await;
    }
}

#[test]
fn a_child_that_outlives_its_runtime_is_reaped_by_the_next_use() {
    common::within_patience(|| {
        let (id, stdin) = gorin::run(async {
            let mut child = shell("read line").stdin(Stdio::piped()).spawn().unwrap();
            let stdin = child.stdin.take().unwrap().into_fd().unwrap();
            (child.id(), stdin)
        });
        assert!(exists(id), "the end of the runtime ends no process");
        drop(stdin);
        let deadline = Instant::now() + common::PATIENCE;
        while exists(id) {
            assert!(Instant::now() < deadline, "still there");
            gorin::run(async { drop(shell("true").spawn().unwrap()) });
        }
        // A child that was killed because its runtime has ended.
        let id = gorin::run(async {
            let child = sleeper().kill_on_drop(true).spawn().unwrap();
            let id = child.id();
            go(async move {
                let _kept = child;
                std::future::pending::<()>().await;
            });
            id
        });
        while exists(id) {
            assert!(Instant::now() < deadline, "still there");
            gorin::run(async { drop(shell("true").spawn().unwrap()) });
        }
    });
}

#[test]
fn many_children_at_once() {
    on_two_workers(|| async {
        let codes = join_all((0..40).map(|n| async move {
            let script = format!("exit {n}");
            shell(&script).status().await.unwrap().code()
        }));
        let expected: Vec<_> = (0..40).map(Some).collect();
        assert_eq!(codes.await, expected);
    });
}

#[test]
fn a_program_that_is_not_there_is_an_error_of_its_start() {
    on_two_workers(|| async {
        let error = Command::new("no-such-program").spawn().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = Command::new("no-such-program").status().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    });
}

#[test]
fn without_a_runtime_nothing_is_started_and_the_error_says_what_to_do() {
    let error = shell("true").spawn().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    assert!(error.to_string().contains("gorin::run"), "{error}");
}

/// F10: rings, eventfds and sockets are closed on exec.
#[test]
fn a_child_inherits_its_three_streams_and_nothing_of_the_runtime() {
    /// The numbers of the descriptors in what `ls -l` says.
    fn numbers(listing: Vec<u8>) -> Vec<String> {
        let text = String::from_utf8(listing).unwrap();
        assert!(!text.contains("io_uring"), "{text}");
        let lines = text.lines().filter_map(|line| line.split_once(" -> "));
        lines
            .map(|(before, _)| before.rsplit(' ').next().unwrap().to_owned())
            .collect()
    }
    const LIST: [&str; 2] = ["-l", "/proc/self/fd"];
    on_two_workers(|| async {
        let listener = gorin::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let pipe = pipe().unwrap();
        let output = Command::new("ls").args(LIST).output().await;
        let inherited = numbers(output.unwrap().stdout);
        drop((listener, pipe));
        // Whoever started this test may have left descriptors open to all.
        let output = std::process::Command::new("ls").args(LIST).output();
        assert_eq!(inherited, numbers(output.unwrap().stdout));
        assert!(inherited.len() >= 4, "the three streams and the directory");
    });
}

#[test]
fn one_program_reads_what_another_writes() {
    on_two_workers(|| async {
        let mut first = shell("echo b; echo a")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let between = Stdio::try_from(first.stdout.take().unwrap()).unwrap();
        let sorted = Command::new("sort").stdin(between).output().await.unwrap();
        assert_eq!(sorted.stdout, b"a\nb\n");
        assert!(first.wait().await.unwrap().success());
    });
}

#[test]
fn lines_are_read_while_the_program_runs() {
    on_two_workers(|| async {
        let mut child = shell("echo one; read line; echo two")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        use gorin::stream::StreamExt;
        assert_eq!(lines.next().await.unwrap().unwrap(), "one");
        let quiet = timeout(Duration::from_millis(5), lines.next()).await;
        assert!(quiet.is_err(), "it waits for a line");
        child.stdin.take().unwrap().write_all(b"\n").await.unwrap();
        assert_eq!(lines.next().await.unwrap().unwrap(), "two");
        assert!(lines.next().await.is_none());
        child.wait().await.unwrap();
    });
}

#[test]
fn a_pipe_waits_when_it_is_full_and_fails_when_nobody_reads() {
    on_two_workers(|| async {
        let (reader, writer) = pipe().unwrap();
        let mut written = 0;
        while let Ok(n) = timeout(Duration::from_millis(5), writer.write(&[7; 5000])).await {
            written += n.unwrap();
        }
        assert!(written >= 4096, "a full pipe holds a page at least");
        let mut all = vec![0; written];
        reader.read_exact(&mut all).await.unwrap();
        assert!(all.iter().all(|&byte| byte == 7));
        // A dropped read takes nothing.
        assert!(
            timeout(Duration::from_millis(1), reader.read(&mut all))
                .await
                .is_err()
        );
        writer.write_all(b"x").await.unwrap();
        assert_eq!(PipeReader::read(&reader, &mut all).await.unwrap(), 1);
        let waiter = go(async move {
            let n = PipeReader::read(&reader, &mut [0; 8]).await.unwrap();
            (n, reader)
        });
        yield_now().await;
        writer.write_all(b"yz").await.unwrap();
        let (n, reader) = waiter.await.unwrap();
        assert_eq!(n, 2);
        drop(reader);
        // Closed when the last poll of the end is cancelled, perhaps by another worker; and a program
        // that another test starts in this moment has the end, too, until it has begun.
        let deadline = Instant::now() + common::PATIENCE;
        let error = loop {
            match writer.write(b"x").await {
                Ok(_) => assert!(Instant::now() < deadline, "the end is still open"),
                Err(error) => break error,
            }
            yield_now().await;
        };
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    });
}

/// What a stream's halves can, a pipe's ends can, by the methods of the same names.
#[test]
fn the_ends_of_a_pipe_have_the_methods_of_halves() {
    on_two_workers(|| async {
        let (reader, writer) = pipe().unwrap();
        let nothing = reader.try_read(&mut [0; 8]).unwrap_err();
        assert_eq!(nothing.kind(), ErrorKind::WouldBlock);
        let pieces = [IoSlice::new(b"ab"), IoSlice::new(b"c")];
        writer.writable().await.unwrap();
        assert_eq!(writer.write_vectored(&pieces).await.unwrap(), 3);
        assert_eq!(writer.try_write_vectored(&pieces[1..]).unwrap(), 1);
        assert_eq!(writer.try_write(b"de").unwrap(), 2);
        reader.readable().await.unwrap();
        let (mut one, mut two) = ([0; 1], [0; 2]);
        let mut room = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        assert_eq!(reader.read_vectored(&mut room).await.unwrap(), 3);
        assert_eq!(reader.try_read_vectored(&mut room).unwrap(), 3);
        assert_eq!((one, two), (*b"c", *b"de"));

        let soon = Instant::now() + Duration::from_millis(2);
        reader.set_read_deadline(Some(soon));
        let late = reader.read(&mut two).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        reader.set_read_deadline(None);
        writer.set_write_deadline(Some(soon));
        let late = writer.write(b"x").await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        writer.set_write_deadline(None);
        let full = loop {
            if let Err(error) = writer.try_write(&[0; 4096]) {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        drop(writer);
        let mut rest = vec![0; 2 << 20];
        let early = reader.read_exact(&mut rest).await.unwrap_err();
        assert_eq!(early.kind(), ErrorKind::UnexpectedEof);
    });
}

/// For: one that waited for more, after a read that had emptied the pipe.
#[test]
fn a_read_without_room_does_not_wait() {
    on_two_workers(|| async {
        let (mut reader, writer) = pipe().unwrap();
        for round in 0..3 {
            writer.write_all(b"all").await.unwrap();
            assert_eq!(PipeReader::read(&reader, &mut [0; 8]).await.unwrap(), 3);
            let read = match round {
                0 => PipeReader::read(&reader, &mut []).now_or_never(),
                1 => reader.read_vectored(&mut []).now_or_never(),
                _ => AsyncReadExt::read(&mut reader, &mut []).now_or_never(),
            };
            assert_eq!(read.expect("it does not wait").unwrap(), 0);
        }
    });
}

/// Some programs make the standard streams of their children by `socketpair(2)`.
#[test]
fn a_socket_that_was_an_end_lives_on_as_a_descriptor() {
    on_two_workers(|| async {
        let (left, mut right) = std::os::unix::net::UnixStream::pair().unwrap();
        let reader = PipeReader::from_fd(left.into()).unwrap();
        // Somebody waits, and gives up.
        let given_up = timeout(Duration::ZERO, PipeReader::read(&reader, &mut [0])).await;
        assert!(given_up.is_err());
        let mut left = std::os::unix::net::UnixStream::from(reader.into_fd().unwrap());
        std::io::Write::write_all(&mut right, b"x").expect("the other end is there");
        let mut buf = [0; 2];
        assert_eq!(std::io::Read::read(&mut left, &mut buf).unwrap(), 1);
    });
}

/// Whoever opens a FIFO to read and write counts as its writer.
#[test]
fn a_fifo_opened_to_read_and_write_waits_for_whoever_writes() {
    on_two_workers(|| async {
        let directory = common::TempDir::new();
        let fifo = directory.path("fifo");
        let made = Command::new("mkfifo").arg(&fifo).status().await.unwrap();
        assert!(made.success());
        let opened = std::fs::File::options().read(true).write(true).open(&fifo);
        let reader = PipeReader::from_fd(opened.unwrap().into()).unwrap();
        let mut buf = [0; 8];
        for word in ["one", "two"] {
            let early = timeout(Duration::ZERO, PipeReader::read(&reader, &mut buf)).await;
            assert!(early.is_err(), "no end, though nobody writes");
            gorin::fs::write(&fifo, word).await.unwrap();
            let len = PipeReader::read(&reader, &mut buf).await.unwrap();
            assert_eq!(&buf[..len], word.as_bytes());
        }
    });
}

#[test]
fn a_dropped_writer_is_the_end_for_a_reader_that_waits() {
    on_two_workers(|| async {
        let (reader, writer) = pipe().unwrap();
        let waiter = go(async move { PipeReader::read(&reader, &mut [0; 8]).await });
        yield_now().await;
        drop(writer);
        assert_eq!(waiter.await.unwrap().unwrap(), 0);
    });
}

#[test]
fn a_regular_file_is_no_pipe() {
    on_two_workers(|| async {
        let file = std::fs::File::open("Cargo.toml").unwrap();
        let error: io::Error = PipeReader::from_fd(file.into()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn nothing_is_left_open() {
    on_two_workers(|| async {
        let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let before = count();
        for _ in 0..100 {
            let output = shell("echo x").output().await.unwrap();
            assert!(output.status.success());
            drop(pipe().unwrap());
        }
        // Other tests of this process hold some, until they end.
        let deadline = Instant::now() + common::PATIENCE / 2;
        while count() >= before + 50 {
            assert!(
                Instant::now() < deadline,
                "{before} before, now {}",
                count()
            );
            gorin::time::sleep(Duration::from_millis(1)).await;
        }
    });
}
