//! Connections in memory: on workers, and in every order inside `gorin::model`.

// The explorer of goroutine programs and the runtimes are absent under loom; the models for that
// are in `src/io/duplex.rs`.
#![cfg(not(loom))]

mod common;

use std::io::ErrorKind;
use std::time::Duration;

use futures::io::{AsyncReadExt, AsyncWriteExt};
use gorin::Runtime;
use gorin::io::{copy_bidirectional, duplex, split};
use gorin::prelude::*;
use gorin::time::timeout;

#[test]
fn a_direction_holds_what_it_was_made_for_and_loses_nothing_with_a_dropped_call() {
    gorin::model(|| async {
        let (mut left, mut right) = duplex(4);
        assert_eq!(left.write(b"abcdef").await.unwrap(), 4);
        let limit = Duration::from_secs(1);
        assert!(timeout(limit, left.write(b"x")).await.is_err(), "full");
        let mut buf = [0; 3];
        assert_eq!(right.read(&mut buf).await.unwrap(), 3);
        assert_eq!(left.write(b"efg").await.unwrap(), 3);
        let mut rest = [0; 8];
        assert_eq!(right.read(&mut rest).await.unwrap(), 4);
        assert_eq!(&rest[..4], b"defg");
        assert!(
            timeout(limit, right.read(&mut rest)).await.is_err(),
            "empty"
        );
    });
}

#[test]
fn a_question_and_its_answer_go_through_in_every_order() {
    gorin::model(|| async {
        let (mut client, mut server) = duplex(1);
        go(async move {
            let mut question = [0];
            server.read_exact(&mut question).await.unwrap();
            server.write_all(&question).await.unwrap();
        });
        client.write_all(b"?").await.unwrap();
        let mut answer = [0; 2];
        assert_eq!(client.read(&mut answer).await.unwrap(), 1);
        assert_eq!(client.read(&mut answer[1..]).await.unwrap(), 0);
        assert_eq!(answer[0], b'?');
    });
}

/// A server that sends back what comes, and a client that sends two lines and waits for each.
#[test]
fn an_echo_of_two_lines_is_explored_to_its_end() {
    // As long as it takes on a slow and busy machine.
    let patient = gorin::model::Builder::new().max_duration(Duration::from_secs(3600));
    let report = patient.check(|| async {
        let (mut client, mut server) = duplex(64);
        go(async move {
            let mut buf = [0; 16];
            loop {
                match server.read(&mut buf).await.unwrap() {
                    0 => break,
                    len => server.write_all(&buf[..len]).await.unwrap(),
                }
            }
        });
        for line in ["one\n", "two\n"] {
            client.write_all(line.as_bytes()).await.unwrap();
            let mut answer = [0; 4];
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, line.as_bytes());
        }
    });
    assert_eq!(report.coverage, gorin::model::Coverage::Complete);
}

#[test]
fn the_ends_of_both_sides_are_seen_in_every_order() {
    gorin::model(|| async {
        let (mut left, mut right) = duplex(1);
        let writer = go(async move {
            left.write_all(b"ab").await?;
            left.close().await?;
            let late = left.write(b"c").await.unwrap_err();
            assert_eq!(late.kind(), ErrorKind::BrokenPipe);
            std::io::Result::Ok(left)
        });
        let mut byte = [0];
        right.read_exact(&mut byte).await.unwrap();
        drop(right);
        match writer.await.unwrap() {
            // The second byte found room before the reader had gone.
            Ok(mut left) => assert_eq!(left.read(&mut byte).await.unwrap(), 0),
            Err(error) => assert_eq!(error.kind(), ErrorKind::BrokenPipe),
        }
    });
}

#[test]
fn a_megabyte_goes_both_ways_through_a_proxy() {
    common::within_patience(|| {
        let program = async {
            let (client, mut left) = duplex(100);
            let (mut right, server) = duplex(1000);
            go(async move { copy_bidirectional(&mut left, &mut right).await });
            let sent: Vec<u8> = (0..1_000_000_u32).map(|n| (n / 7 % 251) as u8).collect();
            let echo = go(async move {
                let (reader, mut writer) = split(server);
                gorin::io::copy(reader, &mut writer).await.unwrap();
                writer.close().await
            });
            let (mut reader, mut writer) = split(client);
            let writing = go({
                let sent = sent.clone();
                async move {
                    writer.write_all(&sent).await.unwrap();
                    writer.close().await.unwrap();
                }
            });
            let mut echoed = vec![0; sent.len()];
            reader.read_exact(&mut echoed).await.unwrap();
            assert!(echoed == sent);
            assert_eq!(reader.read(&mut [0]).await.unwrap(), 0);
            writing.await.unwrap();
            echo.await.unwrap().unwrap();
        };
        Runtime::builder().workers(2).run(program).unwrap();
    });
}
