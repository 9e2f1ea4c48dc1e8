//! The small examples do what their first lines say. (The echo pair has `echo.rs`.)

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Output};

use common::{Process, example};

fn run(name: &str, args: &[&str]) -> Output {
    Command::new(example(name))
        .args(args)
        .output()
        .expect("the example can be started")
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("the examples print text")
}

#[test]
fn prime_sieve_prints_the_first_primes() {
    let expected: Vec<u64> = (2..)
        .filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0))
        .take(200)
        .collect();
    for args in [&[][..], &["200"]] {
        let text = stdout(&run("prime_sieve", args));
        let primes: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
        let wanted = if args.is_empty() { 25 } else { 200 };
        assert_eq!(primes, expected[..wanted]);
    }
}

#[test]
fn ping_pong_counts_its_rounds() {
    let text = stdout(&run("ping_pong", &["1000"]));
    assert!(text.starts_with("1000 round trips, "), "{text}");
}

#[test]
fn arguments_that_make_no_sense_are_refused_in_one_line() {
    for name in ["prime_sieve", "ping_pong"] {
        let output = run(name, &["many"]);
        assert_eq!(output.status.code(), Some(1), "{name}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(
            text.starts_with(&format!("{name}: `many` is not a number")),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1, "{text}");
    }
    for args in [&["--help"][..], &["127.0.0.1:0", "surplus"]] {
        let output = run("echo", args);
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.starts_with("usage: echo [ADDRESS]"), "{text}");
    }
    let output = run("echo_client", &["--connections", "0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("usage: echo_client")
    );
}

#[test]
fn the_chat_tells_all_what_one_says_and_ends_when_all_are_gone() {
    let chat = Process::start(&example("chat"), &["127.0.0.1:0"]);
    let line = chat.line_with("listening on ");
    let address = line.rsplit(' ').next().expect("it is the last word");
    let come = |name: &str| {
        let client = TcpStream::connect(address).expect("the chat listens");
        client.set_read_timeout(Some(common::PATIENCE)).unwrap();
        writeln!(&client, "{name}").unwrap();
        client
    };
    let hears = |client: &mut TcpStream, line: &str| {
        let mut heard = vec![0; line.len()];
        client.read_exact(&mut heard).unwrap();
        assert_eq!(String::from_utf8(heard).unwrap(), line);
    };
    let mut ann = come("ann");
    hears(&mut ann, "your name: * ann is here\n");
    let mut bob = come("bob");
    hears(&mut bob, "your name: * bob is here\n");
    hears(&mut ann, "* bob is here\n");
    writeln!(ann, "good morning").unwrap();
    for client in [&mut ann, &mut bob] {
        hears(client, "ann: good morning\n");
    }
    drop(ann);
    hears(&mut bob, "* ann is gone\n");
    chat.signal("TERM");
    hears(&mut bob, "* the server ends\n");
    let mut rest = Vec::new();
    bob.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
    chat.line_with("chat: 1 lines were said");
    assert!(chat.wait().success());
}

#[test]
fn the_proxy_passes_on_what_clients_and_target_say_and_their_ends() {
    let (echo, target) = common::start_echo(1);
    for mode in [&[][..], &["--copy"]] {
        let mut command = Command::new(example("proxy"));
        command.args(["127.0.0.1:0", &target]).args(mode);
        let proxy = Process::start_command(&mut command);
        let line = proxy.line_with(" is behind ");
        let address = line.rsplit(' ').next().expect("it is the last word");
        let mut client = TcpStream::connect(address).expect("the proxy listens");
        client.set_read_timeout(Some(common::PATIENCE)).unwrap();
        let sent: Vec<u8> = (0..100_000_u32).map(|n| (n * 31 % 251) as u8).collect();
        let mut writer = client.try_clone().unwrap();
        let writing = std::thread::spawn({
            let sent = sent.clone();
            move || {
                writer.write_all(&sent).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            }
        });
        let mut echoed = Vec::new();
        client.read_to_end(&mut echoed).unwrap();
        writing.join().unwrap();
        assert!(echoed == sent, "{} bytes came back", echoed.len());
        proxy.signal("TERM");
        assert!(proxy.wait().success());
    }
    echo.signal("TERM");
    assert!(echo.wait().success());
}
