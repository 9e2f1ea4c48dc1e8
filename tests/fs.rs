//! Files: the same as std's, call by call, and what becomes of futures that are dropped.

// Files need a kernel; under loom there is none.
#![cfg(not(loom))]

mod common;

use std::fs;
use std::future::Future;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant, SystemTime};

use common::{PATIENCE, TempDir, everywhere_with_directory as everywhere, within_patience};
use futures::future::poll_fn;
use gorin::Runtime;
use gorin::fs::{File, OpenOptions};
use gorin::io::{AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader};
use gorin_base::check::poll_once;
use gorin_base::rng;

/// Polls `future` once, as the goroutine that runs.
async fn start<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n % 251) as u8).collect()
}

#[test]
fn whole_files_of_any_length() {
    everywhere(|dir| async move {
        let path = dir.path("file");
        let k16 = 16 << 10;
        for len in [0, 1, k16 - 1, k16, k16 + 1, (1 << 20) - 1, (3 << 20) + 5] {
            gorin::fs::write(&path, bytes(len)).await?;
            assert!(fs::read(&path)? == bytes(len), "written, {len} bytes");
            assert!(gorin::fs::read(&path).await? == bytes(len), "{len} bytes");
        }
        gorin::fs::write(&path, "ring: 輪").await?;
        assert_eq!(gorin::fs::read_to_string(&path).await?, "ring: 輪");
        gorin::fs::write(&path, b"\xff").await?;
        let error = gorin::fs::read_to_string(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        // A file that says it is empty and is not.
        let status = gorin::fs::read_to_string("/proc/self/status").await?;
        assert!(status.starts_with("Name:"), "{status}");
        let error = gorin::fs::read(dir.path("absent")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = gorin::fs::read("/").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IsADirectory);
        Ok(())
    });
}

/// All 64 combinations, with the file there or not: opened or refused as by std, with the same
/// effect.
#[test]
fn options_mean_what_they_mean_in_std() {
    everywhere(|dir| async move {
        let path = dir.path("file");
        for combination in 0..128 {
            let on = |bit: u32| combination & 1 << bit != 0;
            let prepare = || match on(6) {
                true => fs::write(&path, "content"),
                false => fs::remove_file(&path).or(Ok(())),
            };
            let mut ours = OpenOptions::new();
            ours.read(on(0)).write(on(1)).append(on(2)).truncate(on(3));
            ours.create(on(4)).create_new(on(5)).mode(0o640);
            let mut theirs = fs::OpenOptions::new();
            theirs.read(on(0)).write(on(1)).append(on(2));
            theirs.truncate(on(3)).create(on(4)).create_new(on(5));
            theirs.mode(0o640);
            let state = || {
                let mode = fs::metadata(&path).map(|file| file.permissions().mode());
                (fs::read(&path).ok(), mode.ok())
            };
            prepare()?;
            let expected = theirs.open(&path).map(drop).map_err(|error| error.kind());
            let expected = (expected, state());
            prepare()?;
            let got = ours.open(&path).await.map(drop);
            let got = (got.map_err(|error| error.kind()), state());
            assert_eq!(got, expected, "{ours:?}, there before: {}", on(6));
        }
        Ok(())
    });
}

#[test]
fn names_that_cannot_be_opened() {
    everywhere(|dir| async move {
        let kind = async |path: &Path| File::open(path).await.unwrap_err().kind();
        assert_eq!(kind(&dir.path("absent")).await, ErrorKind::NotFound);
        assert_eq!(kind(Path::new("zero\0byte")).await, ErrorKind::InvalidInput);
        assert_eq!(kind(Path::new("")).await, ErrorKind::NotFound);
        let error = File::create("/").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::IsADirectory);
        let mut no_link = OpenOptions::new();
        no_link.read(true).custom_flags(libc::O_NOFOLLOW);
        std::os::unix::fs::symlink("/proc", dir.path("link"))?;
        let error = no_link.open(dir.path("link")).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
        Ok(())
    });
}

/// Random reads and writes at offsets, against a `Vec`.
#[test]
fn calls_with_an_offset() {
    everywhere(|dir| async move {
        let file = File::create_new(dir.path("file")).await?;
        let mut model: Vec<u8> = Vec::new();
        for _ in 0..300 {
            let offset = rng::below(300_000);
            let len = rng::below(1 << rng::below(18));
            if rng::below(2) == 0 {
                let data: Vec<u8> = (0..len).map(|_| rng::below(256) as u8).collect();
                if !data.is_empty() {
                    model.resize(model.len().max(offset + len), 0);
                    model[offset..offset + len].copy_from_slice(&data);
                }
                let (result, back) = file.write_all_at(data.clone(), offset as u64).await;
                result?;
                assert_eq!(back, data);
            } else {
                let expected = model.get(offset..).unwrap_or(&[]);
                let (result, buffer) = file.read_exact_at(vec![1; len], offset as u64).await;
                if expected.len() >= len {
                    result?;
                    assert!(buffer == expected[..len]);
                } else {
                    assert_eq!(result.unwrap_err().kind(), ErrorKind::UnexpectedEof);
                    assert!(buffer[..expected.len()] == *expected);
                }
            }
        }
        assert!(gorin::fs::read(dir.path("file")).await? == model);
        let (count, _) = file.read_at(vec![0; 8], model.len() as u64).await;
        assert_eq!(count?, 0, "the end");
        let (count, _) = file.read_at(Vec::new(), 0).await;
        assert_eq!(count?, 0, "nothing asked for");
        for offset in [1 << 63, u64::MAX] {
            let (result, _) = file.read_at(vec![0; 8], offset).await;
            assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
            let (result, _) = file.write_all_at(vec![0; 8], offset).await;
            assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        // Beyond 4 GiB, in a file with a hole.
        file.set_len(5 << 30).await?;
        file.write_all_at("far away", (5 << 30) - 8).await.0?;
        let (result, buffer) = file.read_exact_at(vec![1; 16], (5 << 30) - 16).await;
        result?;
        assert_eq!(buffer, b"\0\0\0\0\0\0\0\0far away");
        Ok(())
    });
}

#[test]
fn a_file_that_is_appended_to_ignores_offsets() {
    everywhere(|dir| async move {
        let path = dir.path("file");
        fs::write(&path, "one")?;
        let mut file = OpenOptions::new().append(true).open(&path).await?;
        file.write_at("two", 0).await.0?;
        file.write_all(b"three").await?;
        file.flush().await?;
        assert_eq!(fs::read(&path)?, b"onetwothree");
        let (result, _) = file.read_at(vec![0; 3], 0).await;
        assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EBADF));
        Ok(())
    });
}

/// Reads until `into` is full or the file ends, as std's does at once.
async fn read_up_to(file: &mut File, len: usize) -> io::Result<Vec<u8>> {
    let mut into = vec![0; len];
    let mut filled = 0;
    while filled < len {
        match file.read(&mut into[filled..]).await? {
            0 => break,
            count => filled += count,
        }
    }
    into.truncate(filled);
    Ok(into)
}

/// Begins a read and drops it. What it has read is there for the next one.
async fn drop_read(file: &mut File) -> io::Result<()> {
    // Too much to be tried without the ring.
    let mut into = vec![0; 100_000];
    let read = start(pin!(file.read(&mut into))).await;
    // A worker on another thread may have been so quick that there is nothing left to drop.
    if let Poll::Ready(count) = read {
        file.seek(SeekFrom::Current(-(count? as i64))).await?;
    }
    Ok(())
}

/// The same random calls on a file of ours and on one of std's; some reads of ours are dropped
/// half-way, which must not be seen.
#[test]
fn streams_do_what_stds_do() {
    everywhere(|dir| async move {
        let open = |name| {
            let mut options = fs::File::options();
            options.read(true).write(true).create_new(true);
            options.open(dir.path(name))
        };
        let mut ours = File::from_std(open("ours")?);
        let mut theirs = open("theirs")?;
        for step in 0..600 {
            let len = 1 << rng::below(19);
            match rng::below(7) {
                0 | 1 => {
                    let data = vec![step as u8; rng::below(len)];
                    ours.write_all(&data).await?;
                    theirs.write_all(&data)?;
                }
                2 => {
                    let mut expected = Vec::new();
                    (&mut theirs).take(len as u64).read_to_end(&mut expected)?;
                    let got = read_up_to(&mut ours, len).await?;
                    assert!(got == expected, "step {step}");
                }
                3 => {
                    let to = match rng::below(3) {
                        0 => SeekFrom::Start(rng::below(400_000) as u64),
                        1 => SeekFrom::End(-(rng::below(len) as i64)),
                        _ => SeekFrom::Current(len as i64 / 2 - rng::below(len) as i64),
                    };
                    let got = ours.seek(to).await.map_err(|error| error.kind());
                    let expected = theirs.seek(to).map_err(|error| error.kind());
                    assert_eq!(got, expected, "step {step}: {to:?}");
                }
                4 => {
                    drop_read(&mut ours).await?;
                }
                5 => {
                    let len = rng::below(400_000) as u64;
                    ours.flush().await?;
                    // What a dropped read has seen is the file as it was.
                    ours.seek(SeekFrom::Current(0)).await?;
                    ours.set_len(len).await?;
                    theirs.set_len(len)?;
                }
                _ => ours.flush().await?,
            }
        }
        assert_eq!(ours.stream_position().await?, theirs.stream_position()?);
        ours.flush().await?;
        assert!(fs::read(dir.path("ours"))? == fs::read(dir.path("theirs"))?);
        Ok(())
    });
}

#[test]
fn lines_come_from_a_buffered_file() {
    everywhere(|dir| async move {
        fs::write(dir.path("file"), "one\ntwo\nthree")?;
        let file = File::open(dir.path("file")).await?;
        let mut reader = BufReader::new(file);
        let mut line = String::new();
        let mut lines = Vec::new();
        while reader.read_line(&mut line).await? > 0 {
            lines.push(std::mem::take(&mut line));
        }
        assert_eq!(lines, ["one\n", "two\n", "three"]);
        Ok(())
    });
}

#[test]
fn a_failed_write_is_told_once_by_the_next_call() {
    everywhere(|_dir| async move {
        let full = async || OpenOptions::new().write(true).open("/dev/full").await;
        let mut file = full().await?;
        file.write_all(b"no room").await?;
        let error = file.flush().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        file.flush().await?;
        file.write_all(b"no room").await?;
        let error = file.write_all(b"no room").await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::StorageFull);
        file.write_all(b"no room").await?;
        assert_eq!(
            file.close().await.unwrap_err().kind(),
            ErrorKind::StorageFull
        );
        let (result, buffer) = full().await?.write_at(vec![1, 2], 0).await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(buffer, [1, 2]);
        Ok(())
    });
}

#[test]
fn a_write_that_has_begun_outlives_its_file() {
    everywhere(|dir| async move {
        for round in 0..50 {
            let path = dir.path(&round.to_string());
            let mut file = File::create(&path).await?;
            file.write_all(b"not flushed").await?;
            drop(file);
            while fs::read(&path)? != b"not flushed" {
                gorin::yield_now().await;
            }
        }
        Ok(())
    });
}

#[test]
fn a_file_goes_to_std_with_its_position() {
    everywhere(|dir| async move {
        let path = dir.path("file");
        fs::write(&path, bytes(300_000))?;
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).open(&path).await?;
        // Reads ahead, and leaves most of it unread.
        drop_read(&mut file).await?;
        assert_eq!(read_up_to(&mut file, 10).await?, bytes(10));
        let mut std = file.into_std().await?;
        assert_eq!(std.stream_position()?, 10);
        // And back, and half of it into another handle to the same position.
        std.seek(SeekFrom::Start(20))?;
        let mut file = File::from(std);
        let mut other = file.try_clone()?;
        assert_eq!(read_up_to(&mut file, 5).await?, bytes(25)[20..]);
        assert_eq!(read_up_to(&mut other, 5).await?, bytes(30)[25..]);
        // What was read ahead is not written over.
        drop_read(&mut file).await?;
        assert_eq!(read_up_to(&mut file, 10).await?, bytes(40)[30..]);
        file.write_all(b"here").await?;
        file.flush().await?;
        assert_eq!(fs::read(&path)?[40..44], *b"here");
        file.close().await
    });
}

#[test]
fn pipes_are_files_without_a_position() {
    everywhere(|_dir| async move {
        let (reader, writer) = io::pipe()?;
        let mut reader = File::from(OwnedFd::from(reader));
        let mut writer = File::from(OwnedFd::from(writer));
        let mut first = [0; 2];
        // It waits without a thread: on one worker the writer below would not get its turn else.
        let reading = gorin::go(async move {
            reader.read_exact(&mut first).await?;
            let mut rest = Vec::new();
            reader.read_to_end(&mut rest).await?;
            io::Result::Ok((first, rest))
        });
        gorin::yield_now().await;
        writer.write_all(b"through ").await?;
        writer.write_all(b"a pipe").await?;
        let error = writer.seek(SeekFrom::Start(0)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotSeekable);
        writer.close().await?;
        let (first, rest) = reading.await.unwrap()?;
        assert_eq!((&first, &rest[..]), (b"th", &b"rough a pipe"[..]));
        Ok(())
    });
}

#[test]
fn what_one_can_ask_of_a_file() {
    everywhere(|dir| async move {
        let path = dir.path("file");
        let file = File::create(&path).await?;
        file.write_all_at("0123456789", 0).await.0?;
        file.set_len(4).await?;
        file.sync_data().await?;
        file.sync_all().await?;
        assert_eq!(fs::read(&path)?, b"0123");
        let read_only = File::open(&path).await?;
        let error = read_only.set_len(2).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        file.set_permissions(PermissionsExt::from_mode(0o600))
            .await?;
        let long_ago = SystemTime::UNIX_EPOCH + Duration::new(1_000_000, 123);
        let times = gorin::fs::FileTimes::new().set_modified(long_ago);
        file.set_times(times).await?;
        assert_eq!(file.metadata().await?.modified()?, long_ago);
        let long_ago = long_ago + Duration::from_secs(1);
        file.set_modified(long_ago).await?;
        let metadata = file.metadata().await?;
        assert_eq!((metadata.len(), metadata.mode()), (4, 0o100_600));
        assert_eq!(metadata.modified()?, long_ago);
        file.lock().await?;
        assert!(read_only.try_lock_shared().is_err());
        file.unlock()?;
        read_only.lock_shared().await?;
        file.try_lock_shared()?;
        Ok(())
    });
}

/// 64 goroutines read one file at once, on one, two and four workers.
#[test]
fn many_goroutines_read_one_file() {
    within_patience(|| {
        for workers in [1, 2, 4] {
            let dir = TempDir::new();
            let path = dir.path("file");
            fs::write(&path, bytes(1 << 20)).unwrap();
            let main = async {
                let file = Arc::new(File::open(&path).await.unwrap());
                let content: Arc<[u8]> = bytes(1 << 20).into();
                let readers: Vec<_> = (0..64)
                    .map(|_| {
                        let (file, content) = (file.clone(), content.clone());
                        gorin::go(async move {
                            let mut buffer = vec![0; 4096];
                            for _ in 0..50 {
                                let at = rng::below((1 << 20) - 4096);
                                let (result, back) = file.read_exact_at(buffer, at as u64).await;
                                result.unwrap();
                                assert!(back == content[at..at + 4096]);
                                buffer = back;
                            }
                        })
                    })
                    .collect();
                for reader in readers {
                    reader.await.unwrap();
                }
            };
            let builder = Runtime::builder().workers(workers);
            builder.run(main).unwrap();
        }
    });
}

/// Descriptors of this process that are open on `path`.
fn open_on(path: &Path) -> usize {
    let entries = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter(|link| link.starts_with(path)).count()
}

/// Runtimes end with reads, writes and opens in flight, and leave no file open.
#[test]
fn a_runtime_ends_with_files_in_flight() {
    within_patience(|| {
        let dir = TempDir::new();
        let path = dir.path("file");
        fs::write(&path, bytes(8 << 20)).unwrap();
        for round in 0..20 {
            let main = async {
                let mut options = OpenOptions::new();
                let file = options.read(true).write(true).open(&path).await.unwrap();
                let file = Arc::new(file);
                for part in 0..4 {
                    let (file, path) = (file.clone(), path.clone());
                    gorin::go(async move {
                        let _ = file.read_at(vec![0; 2 << 20], part * (2 << 20)).await;
                        let _ = file.write_at(vec![1; 1 << 20], part * (2 << 20)).await;
                        let _ = File::open(&path).await;
                        let _ = gorin::fs::copy(&path, path.with_extension("copy")).await;
                    });
                }
                for _ in 0..round {
                    gorin::yield_now().await;
                }
            };
            let builder = Runtime::builder().workers(1 + round % 2);
            builder.run(main).unwrap();
            // A thread that has done the last of it lets go in its own time.
            let begun = Instant::now();
            while open_on(&path) > 0 {
                assert!(begun.elapsed() < PATIENCE, "round {round}");
                std::thread::yield_now();
            }
        }
    });
}

#[test]
fn without_a_runtime_the_error_says_what_to_do() {
    let text = |poll: Poll<io::Result<()>>| match poll {
        Poll::Ready(Err(error)) => {
            assert_eq!(error.kind(), ErrorKind::NotConnected);
            error.to_string()
        }
        _ => panic!("there is no runtime"),
    };
    let on_ring = async { File::open("/").await.map(drop) };
    assert!(text(poll_once(pin!(on_ring))).contains("gorin::run"));
    let on_pool = async { gorin::fs::canonicalize("/").await.map(drop) };
    assert!(text(poll_once(pin!(on_pool))).contains("gorin::run"));
}
