//! Operations on files and names on the real ring, and bursts that overflow its queues.
//!
//! Some count descriptors of the whole process, so all run one at a time.
#![cfg(not(loom))]

mod support;

use std::fs;
use std::future::{Future, poll_fn};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use gorin_base::{check, rng};
use gorin_reactor::{Config, Features, Reactor, Sleep, ops};
use support::{
    alone, has_no_ring, kinds_of_rings, on_worker, open_descriptors, poll_once, shut_down,
    wait_for, with_config,
};

/// A directory that is removed at the end.
struct TempDir(PathBuf);

impl TempDir {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        loop {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("gorin-files-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match fs::create_dir(&path) {
                Ok(()) => return Self(path),
                // Left by a process of this number that was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("{}: {error}", path.display()),
            }
        }
    }

    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).expect("a file");
        path
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("it exists");
    }
}

fn open(path: &Path) -> Arc<fs::File> {
    let file = fs::File::options().read(true).write(true).open(path);
    Arc::new(file.expect("the file exists"))
}

#[test]
fn names_are_made_and_unmade() {
    let _alone = alone();
    let dir = TempDir::new();
    let (old, new) = (dir.file("old", b"content"), dir.0.join("new"));
    let (hard, soft, sub) = (dir.0.join("hard"), dir.0.join("soft"), dir.0.join("sub"));
    on_worker(|local| {
        local.block_on(async {
            ops::rename(&old, &new).await?;
            assert!(!old.exists());
            ops::link(&new, &hard).await?;
            ops::symlink("new", &soft).await?;
            assert_eq!(fs::read_link(&soft)?, Path::new("new"));
            let (file, link) = (
                ops::stat(&soft, true).await?,
                ops::stat(&soft, false).await?,
            );
            let expected = fs::metadata(&new)?;
            assert_eq!((file.stx_size, file.stx_nlink), (7, 2));
            assert_eq!(file.stx_ino, expected.ino());
            assert_eq!(file.stx_mtime.tv_sec, expected.mtime());
            assert_eq!(u32::from(link.stx_mode) & libc::S_IFMT, libc::S_IFLNK);
            let same = ops::stat_file(&open(&new)).await?;
            assert_eq!((same.stx_ino, same.stx_size), (file.stx_ino, 7));
            ops::unlink(&hard).await?;
            ops::unlink(&soft).await?;
            assert!(new.exists() && !hard.exists());
            ops::mkdir(&sub, 0o700).await?;
            assert_eq!(fs::metadata(&sub)?.mode() & 0o777, 0o700);
            ops::rmdir(&sub).await?;
            assert!(!sub.exists());
            io::Result::Ok(())
        })
    })
    .expect("all succeed");
}

#[test]
fn refused_names_give_the_kernels_errors() {
    let _alone = alone();
    let dir = TempDir::new();
    let (file, absent) = (dir.file("file", b""), dir.0.join("absent"));
    on_worker(|local| {
        local.block_on(async {
            let kind = |result: io::Result<()>| result.expect_err("it is refused").kind();
            use io::ErrorKind::*;
            assert_eq!(kind(ops::rename(&absent, &file).await), NotFound);
            assert_eq!(kind(ops::unlink(&absent).await), NotFound);
            assert_eq!(kind(ops::unlink(&dir.0).await), IsADirectory);
            assert_eq!(kind(ops::rmdir(&dir.0).await), DirectoryNotEmpty);
            assert_eq!(kind(ops::rmdir(&file).await), NotADirectory);
            assert_eq!(kind(ops::mkdir(&dir.0, 0o777).await), AlreadyExists);
            assert_eq!(kind(ops::link(&absent, dir.0.join("x")).await), NotFound);
            assert_eq!(kind(ops::symlink("target", &file).await), AlreadyExists);
            assert_eq!(kind(ops::mkdir("zero\0byte", 0o777).await), InvalidInput);
            assert_eq!(kind(ops::rename(&file, "zero\0byte").await), InvalidInput);
            let error = ops::stat("zero\0byte", true).await.map(drop);
            assert_eq!(kind(error), InvalidInput);
            let error = ops::stat(file.join("below"), true).await.map(drop);
            assert_eq!(kind(error), NotADirectory);
        });
    });
}

#[test]
fn a_part_of_a_buffer_is_transferred_and_the_position_moves() {
    let _alone = alone();
    let dir = TempDir::new();
    let path = dir.file("file", b"0123456789");
    on_worker(|local| {
        local.block_on(async {
            let file = open(&path);
            let (count, buffer) = ops::read(&file, vec![b'.'; 8], 2..5, Some(4)).await;
            assert_eq!((count.unwrap(), &*buffer), (3, &b"..456..."[..]));
            for expected in [&b"012"[..], b"345", b"678", b"9"] {
                let (count, buffer) = ops::read(&file, buffer.clone(), 0..3, None).await;
                assert_eq!(&buffer[..count.unwrap()], expected);
            }
            let (count, _) = ops::write(&file, "-abc-", 1..4, None).await;
            assert_eq!(count.unwrap(), 3);
            let (count, _) = ops::write_at(&file, Arc::<[u8]>::from(&b"X"[..]), 0).await;
            assert_eq!(count.unwrap(), 1);
            assert_eq!(fs::read(&path).unwrap(), b"X123456789abc");
            match ops::truncate(&file, 4).await {
                Ok(()) => assert_eq!(fs::read(&path).unwrap(), b"X123"),
                // Before Linux 6.9.
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::InvalidInput),
            }
        });
    });
}

#[test]
#[should_panic(expected = "out of range")]
fn a_part_outside_of_the_buffer_is_refused() {
    let _alone = alone();
    let file = Arc::new(fs::File::open("/dev/null").expect("it exists"));
    drop(ops::read(&file, vec![0; 4], 2..5, None));
}

#[test]
fn what_is_cached_is_read_at_once() {
    let _alone = alone();
    let dir = TempDir::new();
    let file = open(&dir.file("file", b"just written"));
    let mut buffer = [0; 64];
    let count = ops::read_cached(&file, &mut buffer, Some(5));
    match count {
        Ok(count) => assert_eq!(&buffer[..count], b"written"),
        // This file system cannot tell.
        Err(error) => assert_eq!(error.raw_os_error(), Some(libc::EOPNOTSUPP)),
    }
    let error = ops::read_cached(&file, &mut buffer, Some(1 << 63)).expect_err("negative");
    assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    assert!(ops::uses_cache(&file));
}

/// Documented, because `open(2)` waits.
#[test]
fn a_named_pipe_is_opened_without_the_other_end() {
    let _alone = alone();
    let dir = TempDir::new();
    let path = dir.0.join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo runs").success());
    on_worker(|local| {
        local.block_on(async {
            if has_no_ring(&Reactor::current().expect("a worker")) {
                return;
            }
            let error = ops::open(&path, libc::O_WRONLY, 0).await;
            let error = error.expect_err("nobody reads").raw_os_error();
            assert_eq!(error, Some(libc::ENXIO));
            let reader = Arc::new(ops::open(&path, libc::O_RDONLY, 0).await.expect("opens"));
            let writer = Arc::new(ops::open(&path, libc::O_WRONLY, 0).await.expect("opens"));
            // Reading waits: what was opened so is no non-blocking descriptor.
            let mut read = ops::read_at(&reader, vec![0; 8], 0);
            assert!(poll_once(Pin::new(&mut read)).await.is_pending());
            ops::nop().await.expect("a nop succeeds");
            assert!(poll_once(Pin::new(&mut read)).await.is_pending());
            let (count, _) = ops::write_at(&writer, "through", 0).await;
            assert_eq!(count.expect("written"), 7);
            let (count, buffer) = read.await;
            assert_eq!(&buffer[..count.expect("read")], b"through");
        });
    });
}

/// An open that is dropped at any time leaves no descriptor: limits of 0 to 200 µs.
#[test]
fn opens_with_a_time_limit_leave_no_descriptor() {
    let _alone = alone();
    let dir = TempDir::new();
    let path = dir.file("file", b"");
    let before = open_descriptors();
    on_worker(|local| {
        let (mut done, mut dropped) = (0, 0);
        local.block_on(async {
            for _ in 0..5_000 {
                let limit = Duration::from_micros(rng::below(200) as u64);
                let mut open = std::pin::pin!(ops::open(&path, libc::O_RDONLY, 0));
                let mut sleep = std::pin::pin!(Sleep::until(std::time::Instant::now() + limit));
                poll_fn(|cx| {
                    if let Poll::Ready(fd) = open.as_mut().poll(cx) {
                        drop(fd.expect("it exists"));
                        done += 1;
                        return Poll::Ready(());
                    }
                    sleep.as_mut().poll(cx).map(|()| dropped += 1)
                })
                .await;
            }
        });
        assert_eq!(done + dropped, 5_000);
    });
    // Threads that have done the last of them, or worked for the test before this one, may still let go of what
    // wakes the worker.
    wait_for("the descriptors to be closed", || {
        open_descriptors() <= before
    });
}

/// 32 MiB of cached reads are in flight when the reactor ends, orphaned or not. Meant for
/// AddressSanitizer: freed buffers would be written to.
#[test]
fn a_reactor_ends_with_32_mib_of_reads_in_flight() {
    let _alone = alone();
    const PART: usize = 1 << 20;
    let dir = TempDir::new();
    let file = open(&dir.file("file", &vec![0x55; 32 * PART]));
    for round in 0..8 {
        let mut reads: Vec<_> = (0..32)
            .map(|part| ops::read_at(&file, vec![0; PART], (part * PART) as u64))
            .collect();
        on_worker(|local| {
            local.block_on(async {
                for read in &mut reads {
                    read.start();
                }
                if round % 2 == 0 {
                    reads.clear();
                }
            });
        });
        for read in &mut reads {
            let Poll::Ready((result, buffer)) = check::poll_once(Pin::new(read)) else {
                panic!("in flight on a ring that is closed");
            };
            match result {
                Ok(count) => assert!(buffer[..count].iter().all(|&byte| byte == 0x55)),
                Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ECANCELED)),
            }
        }
        drop(reads);
        wait_for("all operations to be gone", || {
            Arc::strong_count(&file) == 1
        });
    }
}

#[test]
fn a_write_that_is_never_cancelled_outlives_its_future() {
    let _alone = alone();
    let dir = TempDir::new();
    let path = dir.file("file", b"");
    on_worker(|local| {
        local.block_on(async {
            for round in 0..200_u64 {
                let file = open(&path);
                let mut write = ops::write_at(&file, vec![b'w'; 10], round * 10);
                write.never_cancel();
                write.start();
                drop(write);
                while Arc::strong_count(&file) > 1 {
                    ops::nop().await.expect("a nop succeeds");
                }
            }
        });
    });
    assert_eq!(fs::read(&path).unwrap(), vec![b'w'; 2_000]);
}

/// Starts `count` operations in one poll and awaits them all.
async fn burst<F: Future + Unpin>(count: usize, make: impl Fn() -> F, check: impl Fn(F::Output)) {
    let mut all: Vec<Option<F>> = (0..count).map(|_| Some(make())).collect();
    let mut left = count;
    poll_fn(|cx| {
        for place in &mut all {
            if let Some(future) = place
                && let Poll::Ready(output) = Pin::new(future).poll(cx)
            {
                check(output);
                *place = None;
                left -= 1;
            }
        }
        if left == 0 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

fn small(features: Features) -> Reactor {
    with_config(Config {
        entries: 1,
        features,
        ..Config::default()
    })
}

/// Completions that find the queue full are neither lost nor uncounted.
#[test]
fn fifty_thousand_completions_overflow_the_smallest_queue_and_none_is_lost() {
    let _alone = alone();
    for features in kinds_of_rings() {
        let reactor = small(features);
        if has_no_ring(&reactor) {
            return;
        }
        let mut local = reactor.attach(0).expect("a ring");
        // All completions of the pipe's polls come at once, when something is written.
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let reader = Arc::new(OwnedFd::from(reader));
        local.block_on(async {
            let mut reads: Vec<_> = (0..500)
                .map(|_| ops::read_at(&reader, vec![0; 1], 0))
                .collect();
            for read in &mut reads {
                assert!(poll_once(Pin::new(read)).await.is_pending());
            }
            ops::nop().await.expect("all were submitted before");
            writer.write_all(&[7; 500]).expect("room");
            for read in reads {
                let (count, buffer) = read.await;
                assert_eq!((count.expect("read"), &*buffer), (1, &[7][..]));
            }
            burst(50_000, || Box::pin(ops::nop()), |done| done.expect("a nop")).await;
        });
        let stats = reactor.stats();
        assert!(stats.overflows > 0, "{features:?}: {stats:?}");
        assert!(stats.completions >= 50_500, "{features:?}: {stats:?}");
        shut_down(local);
    }
}

/// Ten times what the submission queue holds, in one poll: reads, whose buffers must all be right.
#[test]
fn ten_times_the_submission_queue_in_one_poll() {
    let _alone = alone();
    let dir = TempDir::new();
    let file = open(&dir.file("file", &[0x77; 64]));
    for features in kinds_of_rings() {
        let reactor = with_config(Config {
            entries: 64,
            features,
            ..Config::default()
        });
        let mut local = reactor.attach(0).expect("a ring");
        local.block_on(burst(
            640,
            || ops::read_at(&file, vec![0; 64], 0),
            |(count, buffer)| {
                assert_eq!((count.expect("read"), &*buffer), (64, &[0x77; 64][..]));
            },
        ));
        shut_down(local);
    }
}
