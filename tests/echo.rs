//! The echo example, started as a user starts it, and strangers that talk to it: plain threads
//! with std's blocking sockets, which share no code with the server.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use common::{PATIENCE, Process, assert_idle, example, start_echo};
use socket2::SockRef;

/// Bytes that belong to client `id` alone, and depend on their place.
fn bytes(id: u64, len: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(id);
    (0..len).map(|_| rng.u8(..)).collect()
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server accepts");
    // A server that loses bytes makes the client fail instead of hang.
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends `message` in pieces of random size with random pauses, half-closes, and reads all replies
/// meanwhile on another thread.
fn talk(address: &str, id: u64) {
    let mut rng = fastrand::Rng::with_seed(id);
    // Sizes of all magnitudes up to 1 MiB.
    let magnitude = rng.u32(0..=20);
    let len = rng.usize(1..=1 << magnitude);
    let message = bytes(id, len);
    let stream = connect(address);
    let mut writer = stream.try_clone().unwrap();
    let sent = message.clone();
    let sender = thread::spawn(move || {
        let mut rest = &sent[..];
        while !rest.is_empty() {
            let piece = rng.usize(1..=rest.len());
            writer.write_all(&rest[..piece]).unwrap();
            rest = &rest[piece..];
            if rng.u8(..) < 64 {
                thread::sleep(Duration::from_micros(rng.u64(..3000)));
            }
        }
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut reply = Vec::new();
    (&stream)
        .read_to_end(&mut reply)
        .expect("the replies end when the requests do");
    sender.join().unwrap();
    assert_eq!(
        reply.len(),
        message.len(),
        "client {id}: bytes are lost or doubled"
    );
    assert!(reply == message, "client {id}: bytes are changed or mixed");
}

/// Sends something and resets the connection at a random moment.
fn vanish(address: &str, id: u64) {
    let mut rng = fastrand::Rng::with_seed(id);
    let mut stream = connect(address);
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    let message = bytes(id, rng.usize(1..100_000));
    // The server may stop reading when nobody takes its replies; the reset must come anyway.
    stream
        .set_write_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let _ = stream.write(&message);
    if rng.bool() {
        stream
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let _ = stream.read(&mut [0; 100]);
    }
}

#[test]
fn two_hundred_clients_get_back_exactly_what_they_sent() {
    for workers in [1, 2] {
        let (server, address) = start_echo(workers);
        thread::scope(|scope| {
            for id in 0..200 {
                let address = &address;
                scope.spawn(move || talk(address, id));
                if id % 4 == 0 {
                    scope.spawn(move || vanish(address, 1000 + id));
                }
            }
        });
        // The server is still well after the resets.
        talk(&address, 2000);
        server.signal("INT");
        let line = server.line_with("served ");
        assert!(line.starts_with("served 251 connections, "), "{line}");
        assert!(server.wait().success());
    }
}

#[test]
fn half_close_is_answered_with_the_rest_and_the_end() {
    let (_server, address) = start_echo(2);
    let mut stream = connect(&address);
    stream.write_all(b"five rings").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert_eq!(reply, "five rings");
}

/// Connects until the server refuses: its port is closed a moment after it says so.
fn wait_until_refused(address: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect(address) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return,
            outcome => assert!(Instant::now() < deadline, "still accepts: {outcome:?}"),
        }
    }
}

#[test]
fn ctrl_c_lets_open_connections_finish_and_refuses_new_ones() {
    let (server, address) = start_echo(2);
    let mut stream = connect(&address);
    stream.write_all(b"before").unwrap();
    stream.read_exact(&mut [0; 6]).unwrap();
    server.signal("INT");
    server.line_with("to finish");
    wait_until_refused(&address);
    // The open connection is served on: in the middle of the drain nothing is cut off.
    stream.write_all(b"after it").unwrap();
    stream.read_exact(&mut [0; 8]).unwrap();
    drop(stream);
    assert_eq!(
        server.line_with("served "),
        "served 1 connections, 14 bytes"
    );
    assert!(server.wait().success());
}

#[test]
fn a_second_ctrl_c_cuts_off_at_once() {
    // Before the patience is over that the server has said. Where the machine takes as long, not each time.
    let start = Instant::now();
    while time_to_cut_off() >= Duration::from_secs(3) {
        assert!(start.elapsed() < PATIENCE, "it waits");
    }
}

fn time_to_cut_off() -> Duration {
    let (server, address) = start_echo(1);
    let mut stream = connect(&address);
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    server.signal("INT");
    server.line_with("to finish");
    let start = Instant::now();
    server.signal("INT");
    assert_eq!(server.line_with("served "), "served 1 connections, 1 bytes");
    assert!(server.wait().success());
    start.elapsed()
}

#[test]
fn a_request_to_end_drains_as_soon_as_the_server_says_that_it_listens() {
    for round in 0..20 {
        let (server, _address) = start_echo(2);
        server.signal(["INT", "TERM"][round % 2]);
        assert!(server.wait().success());
    }
}

#[test]
fn a_server_whose_output_nobody_reads_serves_on_and_ends_in_order() {
    let mut command = Command::new(example("echo"));
    let mut child = command
        .arg("127.0.0.1:0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    drop(output);
    let mut stream = connect(line.trim().rsplit(' ').next().unwrap());
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    drop(stream);
    let mut kill = Command::new("kill");
    assert!(
        kill.args(["-INT", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    assert!(child.wait().unwrap().success());
}

#[test]
fn ctrl_c_cuts_off_who_does_not_finish() {
    let (server, address) = start_echo(1);
    let mut stream = connect(&address);
    stream.write_all(b"x").unwrap();
    stream.read_exact(&mut [0]).unwrap();
    server.signal("INT");
    // This side sends nothing more and does not close either: the server's patience must end.
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, [], "the server ends the connection");
    assert_eq!(server.line_with("served "), "served 1 connections, 1 bytes");
    assert!(server.wait().success());
}

#[test]
fn a_server_without_descriptors_waits_for_better_times_and_says_so_once() {
    // Enough for the server itself and some connections.
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -n 20; exec \"$0\" 127.0.0.1:0 2>&1"])
        .arg(example("echo"))
        .env("GORIN_WORKERS", "2");
    let server = Process::start_command(&mut command);
    let line = server.line_with("listening on ");
    let address = line.rsplit(' ').next().unwrap();
    // The kernel takes them all; the server cannot.
    let clients: Vec<TcpStream> = (0..30).map(|_| connect(address)).collect();
    let complaint = server.line_with("cannot accept");
    assert!(complaint.contains("ulimit -n"), "{complaint}");
    let (second, budget) = (Duration::from_secs(1), Duration::from_millis(50));
    assert_idle(server.id(), second, budget, "trying again");
    // Each client that leaves makes room for one that waits, until all have been served.
    for mut client in clients {
        client.write_all(b"x").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut reply = Vec::new();
        client.read_to_end(&mut reply).unwrap();
        assert_eq!(reply, b"x");
    }
    server.signal("INT");
    let lines = server.lines_until("served ");
    assert_eq!(lines.last().unwrap(), "served 30 connections, 30 bytes");
    let again = lines.iter().filter(|line| line.contains("cannot accept"));
    assert_eq!(again.count(), 0, "{lines:?}");
    assert!(server.wait().success());
}

/// Runs the server with an address that it cannot have; gives what it says.
fn refusal(address: &str) -> String {
    let output = Command::new(example("echo"))
        .arg(address)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{address}");
    assert!(
        output.stdout.is_empty(),
        "{address}: {:?}",
        String::from_utf8_lossy(&output.stdout)
    );
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "one clear line, not: {text}");
    text
}

#[test]
fn an_address_that_cannot_be_had_gives_one_line_and_exit_code_1() {
    let occupied = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = occupied.local_addr().unwrap().to_string();
    let text = refusal(&address);
    assert!(text.contains(&address) && text.contains("in use"), "{text}");
    let text = refusal("nonsense");
    assert!(text.contains("`nonsense` is not an address"), "{text}");
    assert!(text.contains("127.0.0.1:7777"), "an example helps: {text}");
}

#[test]
fn the_load_generator_checks_every_byte_and_reports_percentiles() {
    let (_server, address) = start_echo(2);
    let args = [
        &address,
        "--connections",
        "20",
        "--size",
        "3000",
        "--duration",
        "0.3",
    ];
    let client = Process::start(&example("echo_client"), &args);
    let line = client.line_with("req/s");
    assert!(line.starts_with("20 connections x 3000 B"), "{line}");
    let line = client.line_with("latency");
    for name in ["p50 ", "p90 ", "p99 ", "p99.9 ", "max "] {
        assert!(line.contains(name), "{line}");
    }
    assert!(client.wait().success());
}

#[test]
fn the_load_generator_finds_a_server_that_changes_a_byte() {
    let liar = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = liar.local_addr().unwrap().to_string();
    let server = thread::spawn(move || {
        let (mut stream, _) = liar.accept().unwrap();
        let mut message = [0; 64];
        stream.read_exact(&mut message).unwrap();
        message[40] ^= 1;
        stream.write_all(&message).unwrap();
    });
    let output = Command::new(example("echo_client"))
        .args([&address, "--connections", "1", "--duration", "60"])
        .output()
        .unwrap();
    server.join().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("byte 40 came back wrong"), "{text}");
}
