//! Waiting for descriptors that are not gorin's own.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::fs::File;
use std::io::{self, ErrorKind, PipeReader, PipeWriter, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use common::{TempDir, everywhere, within_patience};
use gorin::Runtime;
use gorin::io::{AsyncFd, AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use gorin::prelude::*;
use gorin_base::check::poll_once;
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fs::inotify;
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use rustix::time::{timerfd_create, timerfd_settime};

fn std_pipe() -> io::Result<(AsyncFd<PipeReader>, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    Ok((AsyncFd::new(reader)?, writer))
}

/// One read of eight bytes, as eventfd and timerfd give them.
fn number(fd: &OwnedFd) -> io::Result<u64> {
    let mut bytes = [0; 8];
    rustix::io::read(fd, &mut bytes)?;
    Ok(u64::from_ne_bytes(bytes))
}

fn assert_would_block<T: std::fmt::Debug>(result: io::Result<T>) {
    assert_eq!(result.unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_change_of_a_directory_wakes_who_waits_for_it() {
    common::everywhere_with_directory(|dir: TempDir| async move {
        let watch = Arc::new(AsyncFd::new(inotify::init(inotify::CreateFlags::CLOEXEC)?)?);
        inotify::add_watch(&watch, dir.path(""), inotify::WatchFlags::CREATE)?;
        let watching = watch.clone();
        let (tell, told) = chan(0);
        go(async move {
            for _ in 0..3 {
                let mut buf = [MaybeUninit::uninit(); 512];
                let name = watching.read_with(|fd| {
                    let mut events = inotify::Reader::new(fd, &mut buf);
                    let event = events.next()?;
                    Ok(event.file_name().unwrap().to_owned())
                });
                tell.send(name.await.unwrap()).await.unwrap();
            }
        });
        for name in [c"five", c"rings", c"more"] {
            gorin::fs::write(dir.path(name.to_str().unwrap()), "").await?;
            assert_eq!(told.recv().await.as_deref(), Some(name));
        }
        Ok(())
    });
}

#[test]
fn timers_and_counters_of_the_kernel() {
    everywhere(|| async {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
        let timer = AsyncFd::new(timer)?;
        assert_would_block(timer.try_read_with(number));
        let tick = Timespec {
            tv_sec: 0,
            tv_nsec: 2_000_000,
        };
        let period = Itimerspec {
            it_interval: tick,
            it_value: tick,
        };
        let start = Instant::now();
        timerfd_settime(&timer, TimerfdTimerFlags::empty(), &period)?;
        let mut ticks = 0;
        while ticks < 10 {
            ticks += timer.read_with(number).await?;
        }
        assert!(start.elapsed() >= Duration::from_millis(20));

        let counter = Arc::new(AsyncFd::new(eventfd(0, EventfdFlags::CLOEXEC)?)?);
        let waiting = counter.clone();
        let sum = go(async move {
            let mut sum = 0;
            while sum < 5000 {
                sum += waiting.read_with(number).await.unwrap();
            }
            sum
        });
        for _ in 0..5000 {
            let one = 1_u64.to_ne_bytes();
            counter
                .write_with(|fd| Ok(rustix::io::write(fd, &one)?))
                .await?;
        }
        assert_eq!(sum.await.unwrap(), 5000);
        Ok(())
    });
}

#[test]
fn readable_says_so_as_long_as_there_is_something() {
    everywhere(|| async {
        let (reader, mut writer) = std_pipe()?;
        {
            let mut waiting = pin!(reader.readable());
            assert!(poll_once(waiting.as_mut()).is_pending());
            writer.write_all(b"abc")?;
            waiting.await?;
        }
        let mut byte = [0];
        for expected in b"abc" {
            reader.readable().await?;
            assert_eq!(reader.get_ref().read(&mut byte)?, 1);
            assert_eq!(byte[0], *expected);
        }
        assert!(poll_once(pin!(reader.readable())).is_pending());
        drop(writer);
        reader.readable().await?;
        assert_eq!(reader.get_ref().read(&mut byte)?, 0, "the end");
        Ok(())
    });
}

#[test]
fn writing_waits_for_room() {
    everywhere(|| async {
        let (mut reader, writer) = io::pipe()?;
        let writer = AsyncFd::new(writer)?;
        let block = [7; 4096];
        let mut written = 0;
        let full = loop {
            match writer.try_write_with(|mut pipe| pipe.write(&block)) {
                Ok(len) => written += len,
                result => break result,
            }
        };
        assert_would_block(full);
        let mut waiting = pin!(writer.write_with(|mut pipe| pipe.write(&block)));
        assert!(poll_once(waiting.as_mut()).is_pending());
        assert!(poll_once(pin!(writer.writable())).is_pending());
        let mut taken = vec![0; written];
        reader.read_exact(&mut taken)?;
        assert!(taken.iter().all(|byte| *byte == 7));
        assert_eq!(waiting.await?, block.len());
        writer.writable().await
    });
}

#[test]
fn a_dropped_call_takes_nothing() {
    everywhere(|| async {
        let (reader, mut writer) = std_pipe()?;
        let mut buf = [0; 8];
        for round in 0..100_u8 {
            {
                let mut lost = [0; 8];
                let mut dropped = pin!(reader.read_with(|mut pipe| pipe.read(&mut lost)));
                assert!(poll_once(dropped.as_mut()).is_pending());
                if round % 2 == 0 {
                    yield_now().await;
                }
                writer.write_all(&[round])?;
            }
            assert_eq!(reader.read_with(|mut pipe| pipe.read(&mut buf)).await?, 1);
            assert_eq!(buf[0], round);
        }
        Ok(())
    });
}

#[test]
fn closing_ends_what_waits_and_leaves_the_descriptor() {
    everywhere(|| async {
        let (ours, mut peer) = UnixStream::pair()?;
        let ours = Arc::new(AsyncFd::new(ours)?);
        let waiting = ours.clone();
        let (begin, begun) = chan(0);
        let reader = go(async move {
            let mut first = true;
            let mut look = pin!(waiting.readable());
            std::future::poll_fn(|cx| {
                let polled = look.as_mut().poll(cx);
                if std::mem::take(&mut first) {
                    assert!(polled.is_pending());
                    begin.close();
                }
                polled
            })
            .await
        });
        assert_eq!(begun.recv().await, None::<()>);
        ours.close();
        let error = reader.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);
        let error = ours.try_write_with(|mut s| s.write(b"x")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotConnected);

        // The connection is the value's, and lives.
        let mut ours = Arc::into_inner(ours)
            .expect("the goroutine has ended")
            .into_inner();
        ours.write_all(b"alive")?;
        let mut buf = [0; 5];
        peer.read_exact(&mut buf)?;
        assert_eq!(&buf, b"alive");
        Ok(())
    });
}

#[test]
fn deadlines_end_waiting() {
    everywhere(|| async {
        let (reader, mut writer) = std_pipe()?;
        reader.set_read_deadline(Some(Instant::now() + Duration::from_millis(5)));
        assert_eq!(
            reader.readable().await.unwrap_err().kind(),
            ErrorKind::TimedOut
        );
        writer.write_all(b"late")?;
        let mut buf = [0; 8];
        let result = reader.try_read_with(|mut pipe| pipe.read(&mut buf));
        assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
        reader.set_read_deadline(None);
        assert_eq!(reader.read_with(|mut pipe| pipe.read(&mut buf)).await?, 4);
        Ok(())
    });
}

/// The duplicate goes with it: the peer of the value finds an end, though somebody had waited.
#[test]
fn dropping_it_closes_the_descriptor() {
    everywhere(|| async {
        let (ours, peer) = UnixStream::pair()?;
        let ours = AsyncFd::new(ours)?;
        assert!(poll_once(pin!(ours.readable())).is_pending());
        yield_now().await;
        drop(ours);
        let peer = AsyncFd::new(peer)?;
        let mut buf = [0; 1];
        assert_eq!(peer.read_with(|mut s| s.read(&mut buf)).await?, 0);
        Ok(())
    });
}

#[test]
fn the_values_own_descriptor_may_end_before() {
    everywhere(|| async {
        let (reader, mut writer) = io::pipe()?;
        let mut reader = AsyncFd::new(OwnedFd::from(reader))?;
        assert!(poll_once(pin!(reader.readable())).is_pending());
        // Another file gets the number of the first.
        *reader.get_mut() = File::open("/dev/null")?.into();
        let mut waiting = pin!(reader.readable());
        assert!(poll_once(waiting.as_mut()).is_pending(), "it is the pipe's");
        writer.write_all(b"x")?;
        waiting.await
    });
}

#[test]
fn one_descriptor_may_be_waited_for_twice() {
    everywhere(|| async {
        let (pipe, mut writer) = io::pipe()?;
        let (one, other) = (AsyncFd::new(&pipe)?, AsyncFd::new(pipe.as_fd())?);
        let (mut first, mut second) = (pin!(one.readable()), pin!(other.readable()));
        assert!(poll_once(first.as_mut()).is_pending());
        assert!(poll_once(second.as_mut()).is_pending());
        writer.write_all(b"x")?;
        first.await?;
        second.await
    });
}

#[test]
fn several_goroutines_share_what_comes() {
    everywhere(|| async {
        let (reader, mut writer) = std_pipe()?;
        let reader = Arc::new(reader);
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let reader = reader.clone();
                go(async move {
                    let (mut sum, mut byte) = (0, [0]);
                    while reader.read_with(|mut pipe| pipe.read(&mut byte)).await? == 1 {
                        sum += usize::from(byte[0]);
                        yield_now().await;
                    }
                    io::Result::Ok(sum)
                })
            })
            .collect();
        for _ in 0..500 {
            writer.write_all(&[2])?;
            yield_now().await;
        }
        drop(writer);
        let mut sum = 0;
        for reader in readers {
            sum += reader.await.unwrap()?;
        }
        assert_eq!(sum, 1000);
        Ok(())
    });
}

#[test]
fn what_std_can_read_and_write_is_a_stream() {
    everywhere(|| async {
        let (client, left) = UnixStream::pair()?;
        let (right, server) = UnixStream::pair()?;
        let (mut left, mut right) = (AsyncFd::new(left)?, AsyncFd::new(right)?);
        let proxy = go(async move { copy_bidirectional(&mut left, &mut right).await });
        let client = Arc::new(AsyncFd::new(client)?);
        let server = AsyncFd::new(server)?;
        let sender = client.clone();
        let message: Arc<[u8]> = (0..300_000_u32).map(|i| (i / 7) as u8).collect();
        let sent = message.clone();
        let sender = go(async move { (&*sender).write_all(&sent).await });
        let mut got = vec![0; message.len()];
        (&server).read_exact(&mut got).await?;
        assert!(got[..] == message[..]);
        sender.await.unwrap()?;
        (&server).write_all(b"thanks").await?;
        let mut thanks = [0; 6];
        (&*client).read_exact(&mut thanks).await?;
        assert_eq!(&thanks, b"thanks");
        drop((client, server));
        assert_eq!(proxy.await.unwrap()?, (message.len() as u64, 6));
        Ok(())
    });
}

/// As libraries have it that bring an event loop of their own.
#[test]
fn an_epoll_set_can_be_waited_for() {
    everywhere(|| async {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let counter = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let data = epoll::EventData::new_u64(5);
        epoll::add(&set, &counter, data, epoll::EventFlags::IN)?;
        let set = AsyncFd::new(set)?;
        for _ in 0..3 {
            let mut waiting = pin!(set.readable());
            assert!(poll_once(waiting.as_mut()).is_pending());
            rustix::io::write(&counter, &1_u64.to_ne_bytes())?;
            waiting.await?;
            assert_eq!(number(&counter)?, 1);
        }
        Ok(())
    });
}

#[test]
fn what_polls_by_hand_is_woken() {
    everywhere(|| async {
        let (reader, mut writer) = std_pipe()?;
        let (begin, begun) = chan(0);
        let polling = go(async move {
            let mut buf = [0; 8];
            std::future::poll_fn(|cx| {
                let polled = reader.poll_readable(cx);
                begin.close();
                polled
            })
            .await?;
            std::future::poll_fn(|cx| reader.poll_read_with(cx, |mut pipe| pipe.read(&mut buf)))
                .await
        });
        assert_eq!(begun.recv().await, None::<()>);
        writer.write_all(b"hand")?;
        assert_eq!(polling.await.unwrap()?, 4);
        let (_keep, writer) = io::pipe()?;
        let writer = AsyncFd::new(writer)?;
        std::future::poll_fn(|cx| writer.poll_writable(cx)).await?;
        let write = |mut pipe: &PipeWriter| pipe.write(b"x");
        let wrote = std::future::poll_fn(|cx| writer.poll_write_with(cx, write));
        assert_eq!(wrote.await?, 1);
        Ok(())
    });
}

#[test]
fn what_cannot_be_polled_is_refused() {
    everywhere(|| async {
        for path in ["/proc/self/exe", "/"] {
            let error = AsyncFd::new(File::open(path)?).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path}");
        }
        Ok(())
    });
    let error = AsyncFd::new(io::pipe().unwrap().0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotConnected);
    assert!(error.to_string().contains("gorin::run"), "{error}");
}

#[test]
fn it_outlives_its_runtime_as_an_error() {
    within_patience(|| {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        let (reader, mut writer) = runtime.block_on(async { std_pipe() }).unwrap();
        drop(runtime);
        let error = gorin_base::check::block_on(reader.readable()).unwrap_err();
        assert!(error.to_string().contains("shut down"), "{error}");
        // What is there is there.
        writer.write_all(b"x").unwrap();
        let mut byte = [0];
        assert_eq!(
            reader
                .try_read_with(|mut pipe| pipe.read(&mut byte))
                .unwrap(),
            1
        );
        let mut again = pin!(reader.readable());
        assert!(matches!(poll_once(again.as_mut()), Poll::Ready(Err(_))));
    });
}
