//! Directories: listing, making and removing them.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::stream::Stream;
use gorin_base::coop;
use gorin_reactor::ops;

use super::names::on_path;
use super::{FileType, Metadata, blocking, symlink_metadata};

/// Entries that are read ahead: a change of thread costs as much as some hundred entries.
const BATCH: usize = 128;

/// Makes the directory `path`, in one that exists.
///
/// # Errors
/// Those of `mkdir(2)`.
pub async fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    ops::mkdir(path, 0o777).await
}

/// Makes the directory `path` and those above it, as far as they do not exist.
///
/// # Errors
/// Those of `mkdir(2)`, except that an existing directory is none.
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    on_path(path, std::fs::create_dir_all).await
}

/// Removes the directory `path`, which must be empty.
///
/// # Errors
/// Those of `rmdir(2)`.
pub async fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    ops::rmdir(path).await
}

/// Removes the directory `path` and all that is in it. Symbolic links are removed, not followed.
///
/// # Errors
/// Those of [`std::fs::remove_dir_all`]; a part may have been removed.
///
/// # Cancel safety
/// A dropped call goes on to its end.
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    on_path(path, std::fs::remove_dir_all).await
}

/// How a directory is made.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # let path = std::env::temp_dir().join(format!("gorin-builder-{}", std::process::id()));
/// gorin::run(async {
///     gorin::fs::DirBuilder::new().mode(0o700).create(&path).await?;
///     gorin::fs::remove_dir(&path).await
/// })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DirBuilder {
    recursive: bool,
    mode: u32,
}

impl DirBuilder {
    /// One directory, with the permissions `0o777` less what the process's umask takes away.
    pub fn new() -> DirBuilder {
        DirBuilder {
            recursive: false,
            mode: 0o777,
        }
    }

    /// Whether those above it are made, too, and existing ones are no error.
    pub fn recursive(&mut self, recursive: bool) -> &mut DirBuilder {
        self.recursive = recursive;
        self
    }

    /// The permissions, less what the process's umask takes away.
    pub fn mode(&mut self, mode: u32) -> &mut DirBuilder {
        self.mode = mode;
        self
    }

    /// Makes the directory `path`.
    ///
    /// # Errors
    /// Those of `mkdir(2)`.
    pub async fn create(&self, path: impl AsRef<Path>) -> io::Result<()> {
        if !self.recursive {
            return ops::mkdir(path, self.mode).await;
        }
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(true).mode(self.mode);
        on_path(path, move |path| builder.create(path)).await
    }
}

impl Default for DirBuilder {
    fn default() -> DirBuilder {
        DirBuilder::new()
    }
}

/// The entries of the directory `path`, in no order; without `.` and `..`.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let mut entries = gorin::fs::read_dir("/proc/self").await?;
///     let mut names = Vec::new();
///     while let Some(entry) = entries.next_entry().await? {
///         names.push(entry.file_name());
///     }
///     assert!(names.iter().any(|name| name == "status"));
///     Ok(())
/// })
/// # }
/// ```
///
/// # Errors
/// Those of `opendir(3)`.
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let batch = on_path(path, |path| Ok(Batch::read(std::fs::read_dir(path)?))).await?;
    Ok(ReadDir {
        state: State::Here(batch),
    })
}

/// The entries of a directory, one after the other; made by [`read_dir`]. Also a [`Stream`].
///
/// Batches of entries are read on a thread that may block.
pub struct ReadDir {
    state: State,
}

enum State {
    Here(Batch),
    Away(Pin<Box<dyn Future<Output = io::Result<Batch>> + Send>>),
}

/// Entries that were read, and where the next come from.
#[derive(Default)]
struct Batch {
    entries: VecDeque<io::Result<DirEntry>>,
    /// `None` at the end.
    rest: Option<std::fs::ReadDir>,
}

impl Batch {
    /// Reads the next entries of `rest`. Blocks.
    fn read(mut rest: std::fs::ReadDir) -> Batch {
        let entries: VecDeque<_> = rest
            .by_ref()
            .take(BATCH)
            .map(|entry| entry.map(DirEntry::new))
            .collect();
        let ended = entries.len() < BATCH;
        Batch {
            entries,
            rest: (!ended).then_some(rest),
        }
    }
}

impl ReadDir {
    /// The next entry; `None` when there are no more.
    ///
    /// # Errors
    /// Those of `readdir(3)`.
    ///
    /// # Cancel safety
    /// Nothing is lost: an entry that a dropped call would have given is given by the next.
    pub async fn next_entry(&mut self) -> io::Result<Option<DirEntry>> {
        poll_fn(|cx| self.poll_next_entry(cx)).await
    }

    fn poll_next_entry(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<DirEntry>>> {
        ready!(coop::poll_ready(cx));
        loop {
            match &mut self.state {
                State::Here(batch) => {
                    if let Some(entry) = batch.entries.pop_front() {
                        coop::spend();
                        return Poll::Ready(entry.map(Some));
                    }
                    let Some(rest) = batch.rest.take() else {
                        return Poll::Ready(Ok(None));
                    };
                    self.state = State::Away(Box::pin(blocking(move || Ok(Batch::read(rest)))));
                }
                State::Away(batch) => {
                    let batch = ready!(batch.as_mut().poll(cx));
                    // What the thread had is lost with an error of the runtime.
                    let (batch, error) = match batch {
                        Ok(batch) => (batch, None),
                        Err(error) => (Batch::default(), Some(error)),
                    };
                    self.state = State::Here(batch);
                    if let Some(error) = error {
                        return Poll::Ready(Err(error));
                    }
                }
            }
        }
    }
}

impl Stream for ReadDir {
    type Item = io::Result<DirEntry>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_next_entry(cx).map(Result::transpose)
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir").finish_non_exhaustive()
    }
}

/// One entry of a directory.
#[derive(Debug)]
pub struct DirEntry {
    entry: std::fs::DirEntry,
    /// `None` if the directory does not say.
    file_type: Option<FileType>,
}

impl DirEntry {
    /// Blocks where the directory does not say what kind its entries are.
    fn new(entry: std::fs::DirEntry) -> DirEntry {
        let file_type = entry.file_type().ok().map(FileType::from);
        DirEntry { entry, file_type }
    }

    /// The path of the directory as it was given to [`read_dir`], and the name.
    pub fn path(&self) -> PathBuf {
        self.entry.path()
    }

    /// The name, without the path.
    pub fn file_name(&self) -> OsString {
        self.entry.file_name()
    }

    /// The number of the file on its device.
    pub fn ino(&self) -> u64 {
        std::os::unix::fs::DirEntryExt::ino(&self.entry)
    }

    /// What the system knows of the file; of a symbolic link itself.
    ///
    /// # Errors
    /// Those of `lstat(2)`.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        symlink_metadata(self.path()).await
    }

    /// What kind of file it is; mostly known without a system call.
    ///
    /// # Errors
    /// Those of `lstat(2)`.
    pub async fn file_type(&self) -> io::Result<FileType> {
        match self.file_type {
            Some(file_type) => Ok(file_type),
            None => self.metadata().await.map(|metadata| metadata.file_type()),
        }
    }
}
