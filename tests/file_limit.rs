//! A file that may grow no longer, which to a writer is a disk that is full: what did not get into the
//! file is told, and what did is not overwritten.
//!
//! Alone in its process, because the limit holds for all of it.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use common::{TempDir, everywhere_with_directory};
use gorin::fs::{self, File, OpenOptions};
use gorin::io::{AsyncSeekExt, AsyncWriteExt, SeekFrom};
use gorin::signal::{Signal, signals};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// No multiple of what is transferred at a time: the write that reaches it comes out short.
const LIMIT: usize = 1_500_000;

/// Lets files of this process be `LIMIT` bytes long, until it is dropped.
struct Limited(Rlimit);

impl Limited {
    fn new() -> io::Result<Limited> {
        let before = getrlimit(Resource::Fsize);
        let limit = Rlimit {
            current: Some(LIMIT as u64),
            maximum: before.maximum,
        };
        setrlimit(Resource::Fsize, limit)?;
        Ok(Limited(before))
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        setrlimit(Resource::Fsize, self.0).expect("a limit can be lifted");
    }
}

/// Bytes that say where they belong.
fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n / 1000) as u8).collect()
}

/// Writes more than fits from the beginning of `file`, `part` bytes at a time, and asserts that what
/// fits is there and that somebody is told of the rest.
async fn overfill(mut file: File, path: PathBuf, part: usize) -> io::Result<()> {
    let content = bytes(2 * LIMIT);
    let mut told = Ok(());
    for part in content.chunks(part) {
        told = match file.write_all(part).await {
            Ok(()) => file.flush().await,
            error => error,
        };
        if told.is_err() {
            break;
        }
    }
    assert_eq!(
        told.map_err(|error| error.kind()),
        Err(ErrorKind::FileTooLarge)
    );
    assert_eq!(file.seek(SeekFrom::Current(0)).await?, LIMIT as u64);
    assert!(fs::read(path).await? == content[..LIMIT]);
    Ok(())
}

/// For: rings that leave the file's position behind a write that came out short, so that the rest of it
/// was written over its beginning, and nobody was told.
#[test]
fn what_does_not_fit_is_told_and_overwrites_nothing() {
    everywhere_with_directory(|dir: TempDir| async move {
        // It would end the process.
        let _handled = signals([Signal::from(rustix::process::Signal::XFSZ.as_raw())])?;
        let _limited = Limited::new()?;
        for part in [100_000, 400_000, 2 * LIMIT] {
            let path = dir.path("created");
            overfill(File::create(&path).await?, path, part).await?;
            let path = dir.path("appended");
            fs::write(&path, "").await?;
            let mut options = OpenOptions::new();
            let file = options.append(true).open(&path).await?;
            overfill(file, path, part).await?;
        }
        Ok(())
    });
}
