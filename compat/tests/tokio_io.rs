//! tokio's traits on gorin's streams: codecs of tokio-util, halves, several buffers in one call, ends.

#![cfg(not(loom))]

#[path = "../../tests/common/mod.rs"]
mod common;
mod web;

use std::future::poll_fn;
use std::io::{IoSlice, SeekFrom};
use std::pin::{Pin, pin};

use bytes::{Bytes, BytesMut};
use common::{TempDir, everywhere, everywhere_with_directory};
use futures::{SinkExt, StreamExt};
use gorin::io::{
    AsyncFd, DuplexStream, Join, PipeReader, PipeWriter, PooledReader, duplex, join, pipe,
};
use gorin::net::{ReadHalf, TcpStream, UnixStream, WriteHalf};
use gorin::prelude::*;
use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite, AsyncWriteExt,
    ReadBuf,
};
use tokio_util::codec::{Framed, FramedRead, FramedWrite, LengthDelimitedCodec, LinesCodec};
use web::{pattern, tcp_pair};

/// Sends frames of all sizes from `one` to `other` and back.
async fn frames(
    one: impl AsyncRead + AsyncWrite + Unpin,
    other: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) {
    let sizes = [0, 1, 4000, 8192, 70_000, 1_000_000];
    let echo = go(async move {
        let mut frames = Framed::new(other, LengthDelimitedCodec::new());
        while let Some(frame) = frames.next().await {
            frames.send(frame.unwrap().freeze()).await.unwrap();
        }
    });
    let mut sender = Framed::new(one, LengthDelimitedCodec::new());
    for len in sizes {
        sender.send(pattern(len)).await.unwrap();
        let back = sender.next().await.unwrap().unwrap();
        assert!(back == pattern(len), "{len}");
    }
    drop(sender);
    echo.await.unwrap();
}

#[test]
fn frames_go_over_every_stream() {
    everywhere(|| async {
        let (one, other) = tcp_pair().await;
        frames(one, other).await;
        let (one, other) = UnixStream::pair()?;
        frames(one, other).await;
        let (one, other) = duplex(100);
        frames(one, other).await;
        let ((to_one, from_other), (to_other, from_one)) = (pipe()?, pipe()?);
        frames(join(to_one, from_one), join(to_other, from_other)).await;
        Ok(())
    });
}

#[test]
fn lines_go_from_half_to_half() {
    everywhere(|| async {
        let (ours, theirs) = tcp_pair().await;
        let (reader, writer) = theirs.into_split();
        go(async move {
            let mut lines = FramedRead::new(reader, LinesCodec::new());
            let mut answers = FramedWrite::new(writer, LinesCodec::new());
            while let Some(line) = lines.next().await {
                let answer = line.unwrap().to_uppercase();
                answers.send(answer).await.unwrap();
            }
            // The end of the writer is the end for the peer.
        });
        let (mut sink, lines) = Framed::new(ours, LinesCodec::new()).split();
        let writer = go(async move {
            for n in 0..1000 {
                sink.send(format!("line {n}")).await.unwrap();
            }
            sink.close().await.unwrap();
        });
        let lines: Vec<String> = lines.map(Result::unwrap).collect().await;
        let expected: Vec<String> = (0..1000).map(|n| format!("LINE {n}")).collect();
        assert_eq!(lines, expected);
        writer.await.unwrap();
        Ok(())
    });
}

#[test]
fn a_shutdown_is_the_end_for_the_peer_and_reading_goes_on() {
    everywhere(|| async {
        let (mut ours, mut theirs) = tcp_pair().await;
        check_shutdown(&mut ours, &mut theirs).await;
        let (mut ours, mut theirs) = UnixStream::pair()?;
        check_shutdown(&mut ours, &mut theirs).await;
        let (mut ours, mut theirs) = duplex(100);
        check_shutdown(&mut ours, &mut theirs).await;
        // The halves of the stream, and those of tokio.
        let (ours, theirs) = tcp_pair().await;
        let (read, write) = ours.into_split();
        let mut ours = join(read, write);
        let (read, write) = tokio::io::split(theirs);
        let mut theirs = tokio::io::join(read, write);
        check_shutdown(&mut ours, &mut theirs).await;
        Ok(())
    });
}

async fn check_shutdown<A, B>(ours: &mut A, theirs: &mut B)
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    ours.write_all(b"all").await.unwrap();
    ours.flush().await.unwrap();
    ours.shutdown().await.unwrap();
    let mut text = String::new();
    theirs.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "all");
    assert!(ours.write_all(b"more").await.is_err());
    theirs.write_all(b"answer").await.unwrap();
    theirs.shutdown().await.unwrap();
    text.clear();
    ours.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "answer");
}

#[test]
fn tokio_copies_between_sockets_both_ways() {
    everywhere(|| async {
        let (client, mut near) = tcp_pair().await;
        let (mut far, server) = UnixStream::pair()?;
        let proxy = go(async move {
            tokio::io::copy_bidirectional(&mut near, &mut far)
                .await
                .unwrap()
        });
        let echo = go(async move {
            let (mut reader, mut writer) = server.into_split();
            tokio::io::copy(&mut reader, &mut writer).await.unwrap()
        });
        let sent = pattern(3_000_000);
        let (mut reader, mut writer) = client.into_split();
        let writing = go({
            let sent = sent.clone();
            async move {
                writer.write_all(&sent).await.unwrap();
                writer.shutdown().await.unwrap();
            }
        });
        let mut back = Vec::new();
        reader.read_to_end(&mut back).await?;
        assert!(back == sent);
        writing.await.unwrap();
        let len = sent.len() as u64;
        assert_eq!(proxy.await.unwrap(), (len, len));
        assert_eq!(echo.await.unwrap(), len);
        Ok(())
    });
}

#[gorin::test]
async fn several_buffers_go_out_in_one_call() {
    async fn check(writer: &mut (impl AsyncWrite + Unpin), reader: &mut (impl AsyncRead + Unpin)) {
        assert!(writer.is_write_vectored());
        let parts = [b"one".as_slice(), b"", b"two", b"three"].map(IoSlice::new);
        assert_eq!(writer.write_vectored(&parts).await.unwrap(), 11);
        let mut text = [0; 11];
        reader.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"onetwothree");
    }
    let (mut ours, mut theirs) = tcp_pair().await;
    check(&mut ours, &mut theirs).await;
    check(&mut &ours, &mut &theirs).await;
    let ((mut read, mut write), (mut read_back, mut write_back)) =
        (ours.into_split(), theirs.into_split());
    check(&mut write, &mut read_back).await;
    check(&mut write_back, &mut read).await;
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    check(&mut ours, &mut theirs).await;
    check(&mut &theirs, &mut &ours).await;
    let (mut read, mut write) = ours.into_split();
    check(&mut write, &mut theirs).await;
    check(&mut theirs, &mut read).await;
    let (mut reader, mut writer) = pipe().unwrap();
    check(&mut writer, &mut reader).await;
    check(&mut &writer, &mut &reader).await;
    let (one, other) = std::os::unix::net::UnixStream::pair().unwrap();
    one.set_nonblocking(true).unwrap();
    other.set_nonblocking(true).unwrap();
    let (mut one, mut other) = (AsyncFd::new(one).unwrap(), AsyncFd::new(other).unwrap());
    check(&mut one, &mut other).await;
    check(&mut &one, &mut &other).await;
    // A copy into memory gains nothing from it.
    assert!(!duplex(1).0.is_write_vectored());
}

/// One poll of `reader`, which has something to read.
async fn fill<R: AsyncRead + Unpin>(reader: &mut R, into: &mut ReadBuf<'_>) {
    poll_fn(|cx| Pin::new(&mut *reader).poll_read(cx, into))
        .await
        .unwrap();
}

#[gorin::test]
async fn buffers_are_filled_from_where_they_are_filled() {
    let (ours, mut theirs) = tcp_pair().await;
    ours.write_all(&pattern(100)).await.unwrap();
    // Not initialized, and partly so.
    let mut memory = [std::mem::MaybeUninit::uninit(); 100];
    let mut buf = ReadBuf::uninit(&mut memory);
    buf.put_slice(b"head");
    let mut part = buf.take(10);
    fill(&mut theirs, &mut part).await;
    assert_eq!(part.filled(), &pattern(10)[..]);
    // Initialized.
    let mut memory = [0; 64];
    let mut buf = ReadBuf::new(&mut memory);
    buf.put_slice(b"head");
    fill(&mut theirs, &mut buf).await;
    assert_eq!(buf.filled()[..4], *b"head");
    assert_eq!(buf.filled()[4..], pattern(70)[10..]);
    // Full: there is nothing to do, and nothing is lost.
    fill(&mut theirs, &mut buf).await;
    assert_eq!(buf.filled().len(), 64);
    let mut rest = BytesMut::with_capacity(1000);
    theirs.read_buf(&mut rest).await.unwrap();
    assert_eq!(rest, pattern(100)[70..]);
    // Much at once, into memory that was never written.
    let sent = pattern(300_000);
    let writing = go({
        let sent = sent.clone();
        async move { ours.write_all(&sent).await.unwrap() }
    });
    let mut all = Vec::with_capacity(400_000);
    while all.len() < sent.len() {
        assert!(theirs.read_buf(&mut all).await.unwrap() > 0);
    }
    assert!(all == sent);
    writing.await.unwrap();
}

#[gorin::test]
async fn a_read_that_is_dropped_loses_nothing() {
    let (ours, mut theirs) = tcp_pair().await;
    let (tell, told) = chan::<()>(0);
    let mut got = Vec::new();
    go(async move {
        for n in 0..200 {
            ours.write_all(&[n]).await.unwrap();
            tell.send(()).await.unwrap();
        }
    });
    while got.len() < 200 {
        let mut buf = [0; 3];
        select! {
            // Not the method of the stream itself.
            read = AsyncReadExt::read(&mut theirs, &mut buf) => got.extend_from_slice(&buf[..read.unwrap()]),
            _ = told.recv() => {}
        }
    }
    assert!(got.into_iter().eq(0..200));
}

#[test]
fn files_are_read_and_written() {
    everywhere_with_directory(|directory: TempDir| async move {
        let path = directory.path("file");
        let mut file = gorin::fs::File::create(&path).await?;
        file.write_all(&pattern(700_000)).await?;
        // As with tokio's own files: what is written is on its way until it is flushed.
        file.flush().await?;
        let mut file = gorin::fs::File::open(&path).await?;
        let mut all = Vec::new();
        file.read_to_end(&mut all).await?;
        assert!(all == pattern(700_000));
        let mut file = FramedWrite::new(
            gorin::fs::File::create(&path).await?,
            LengthDelimitedCodec::new(),
        );
        file.send(Bytes::from_static(b"five rings")).await.unwrap();
        SinkExt::<Bytes>::close(&mut file).await.unwrap();
        assert_eq!(gorin::fs::read(&path).await?, b"\0\0\0\nfive rings");
        Ok(())
    });
}

#[gorin::test]
async fn a_pooled_reader_has_the_traits() {
    let (mut left, right) = duplex(100);
    let mut reader = PooledReader::new(right);
    left.write_all(b"five\nrings\n").await.unwrap();
    let mut line = String::new();
    assert_eq!(reader.read_line(&mut line).await.unwrap(), 5);
    reader.write_all(line.as_bytes()).await.unwrap();
    let mut back = [0; 5];
    left.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"five\n");
    assert_eq!(reader.fill_buf().await.unwrap(), b"rings\n");
}

#[gorin::test]
async fn a_pooled_buffer_becomes_bytes_without_a_copy() {
    let (left, right) = UnixStream::pair().unwrap();
    left.write_all(b"five rings").await.unwrap();
    let buffer = right.recv_pooled(100).await.unwrap();
    let place = buffer.as_ptr();
    let bytes = Bytes::from_owner(buffer);
    assert_eq!((&bytes[..], bytes.as_ptr()), (&b"five rings"[..], place));
}

#[test]
fn files_are_sought() {
    everywhere_with_directory(|directory: TempDir| async move {
        let path = directory.path("file");
        gorin::fs::write(&path, pattern(100_000)).await?;
        let mut file = gorin::fs::File::open(&path).await?;
        let mut buf = [0; 10];
        file.read_exact(&mut buf).await?;
        assert_eq!(file.stream_position().await?, 10);
        assert_eq!(file.seek(SeekFrom::Current(50_000)).await?, 50_010);
        file.read_exact(&mut buf).await?;
        assert_eq!(buf, pattern(100_000)[50_010..50_020]);
        assert_eq!(file.seek(SeekFrom::End(-10)).await?, 99_990);
        let mut rest = Vec::new();
        file.read_to_end(&mut rest).await?;
        assert_eq!(rest, pattern(100_000)[99_990..]);

        let before = file.seek(SeekFrom::Current(-200_000)).await.unwrap_err();
        assert_eq!(before.kind(), std::io::ErrorKind::InvalidInput);
        Pin::new(&mut file).start_seek(SeekFrom::Start(7))?;
        let busy = Pin::new(&mut file).start_seek(SeekFrom::Start(8));
        assert!(busy.unwrap_err().to_string().contains("poll_complete"));
        // One that was started is done first.
        assert_eq!(file.seek(SeekFrom::Current(1)).await?, 8);

        // Also if nobody waits for its end, and before whatever comes next.
        Pin::new(&mut file).start_seek(SeekFrom::Start(60_000))?;
        file.read_exact(&mut buf).await?;
        assert_eq!(buf, pattern(100_000)[60_000..60_010]);
        assert_eq!(file.stream_position().await?, 60_010, "once");
        assert_eq!(file.seek(SeekFrom::Start(8)).await?, 8);

        let mut buffered = tokio::io::BufReader::new(file);
        buffered.read_exact(&mut buf).await?;
        assert_eq!(buffered.seek(SeekFrom::Current(5)).await?, 23);
        buffered.read_exact(&mut buf).await?;
        assert_eq!(buf, pattern(100_000)[23..33]);

        // And what comes next may be std's.
        let mut file = buffered.into_inner();
        Pin::new(&mut file).start_seek(SeekFrom::Start(70_000))?;
        let mut file = file.into_std().await?;
        std::io::Read::read_exact(&mut file, &mut buf)?;
        assert_eq!(buf, pattern(100_000)[70_000..70_010]);
        Ok(())
    });
}

#[gorin::test]
async fn the_standard_streams_have_the_traits() {
    fn reads(_: impl AsyncRead) {}
    reads(gorin::io::stdin());
    let mut out = pin!(gorin::io::stdout());
    out.flush().await.unwrap();
    gorin::io::stderr().flush().await.unwrap();
}

/// What generic code asks for: streams that can be sent to other threads.
#[test]
fn what_has_the_traits_is_send() {
    fn check<T: Send + Unpin + 'static>() {}
    fn stream<T: AsyncRead + AsyncWrite + Send + Unpin + 'static>() {
        check::<T>();
    }
    stream::<TcpStream>();
    stream::<UnixStream>();
    stream::<DuplexStream>();
    stream::<Join<PipeReader, PipeWriter>>();
    stream::<Join<ReadHalf, WriteHalf>>();
    stream::<Join<ReadHalf<UnixStream>, WriteHalf<UnixStream>>>();
    stream::<gorin::fs::File>();
    stream::<AsyncFd<std::fs::File>>();
}
