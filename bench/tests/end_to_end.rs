//! The command as a person runs it, at its smallest size, and the client's honesty.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};

fn run(program: &str, words: &str) -> Output {
    Command::new(program)
        .args(words.split_whitespace())
        .output()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_run_measures_and_writes_its_report_between_the_markers() {
    let document = std::env::temp_dir().join(format!("gorin-bench-{}.md", std::process::id()));
    let begin = gorin_bench::table::BEGIN;
    let end = gorin_bench::table::END;
    std::fs::write(&document, format!("kept\n{begin}\n{end}\n")).unwrap();
    let words = format!(
        "--smoke --no-build --rows spawn_join.w1,chan_spsc.1.w1,echo.c1.m64,idle_connections \
         --contenders tokio,smol --out {}",
        document.display()
    );
    let output = run(env!("CARGO_BIN_EXE_gorin-bench"), &words);
    let (report, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{errors}");
    let written = std::fs::read_to_string(&document).unwrap();
    std::fs::remove_file(&document).unwrap();
    assert!(
        written.starts_with("kept\n") && written.contains(report.trim_end()),
        "{written}"
    );
    assert!(
        report.contains("| benchmark | unit | tokio | smol |"),
        "{report}"
    );
    assert!(
        !report.contains('–') && !report.contains("### Gaps"),
        "{report}"
    );
    for row in [
        "spawn_join.w1.task",
        "chan_spsc.1.w1 ",
        "echo.c1.m64.rate",
        "idle_connections ",
    ] {
        assert!(
            report.contains(&format!("| {row}")),
            "{row} is missing: {report}"
        );
    }
}

#[test]
fn servers_are_compared_in_turns() {
    let words =
        "--smoke --no-build --slices 6 --rows echo.c1.m64,spawn_join --contenders smol,tokio";
    let output = run(env!("CARGO_BIN_EXE_gorin-bench"), words);
    let (report, errors) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{errors}");
    assert!(
        report.starts_with("| benchmark | unit | smol | tokio |"),
        "{report}"
    );
    let cpu = report
        .lines()
        .find(|line| line.starts_with("| echo.c1.m64.cpu | us/req |"));
    assert!(
        cpu.is_some_and(|cpu| cpu.contains("(1.000 ± 0.000)")),
        "{report}"
    );
    assert!(
        !report.contains('–') && !report.contains("spawn_join"),
        "{report}"
    );
}

#[test]
fn mistakes_on_the_command_line_are_told_and_fail() {
    for words in ["--quik", "--rows nothing.like.this", "--rounds many"] {
        let output = run(env!("CARGO_BIN_EXE_gorin-bench"), words);
        assert!(!output.status.success(), "{words}");
        assert!(text(&output.stderr).starts_with("gorin-bench: "), "{words}");
    }
}

/// A server that changes the `nth` byte it echoes.
fn lying_server(nth: usize) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 4096];
        let mut echoed = 0;
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if (echoed..echoed + count).contains(&nth) {
                buffer[nth - echoed] ^= 1;
            }
            echoed += count;
            if stream.write_all(&buffer[..count]).is_err() {
                break;
            }
        }
    });
    addr
}

#[test]
fn the_client_sees_a_single_wrong_bit() {
    let addr = lying_server(64 * 5 + 3);
    let words = format!("echo --connections 1 --size 64 --duration-ms 5000 --addr {addr}");
    let output = run(env!("CARGO_BIN_EXE_bench-client"), &words);
    assert!(!output.status.success());
    assert!(
        text(&output.stderr).contains("other bytes"),
        "{}",
        text(&output.stderr)
    );
}
