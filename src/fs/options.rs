//! [`OpenOptions`]: how a file is opened, in std's words.

use std::io;
use std::path::Path;

use gorin_reactor::ops;

use super::File;

/// How a file is opened; std's [`OpenOptions`](std::fs::OpenOptions), with its rules.
///
/// ```
/// use gorin::fs::OpenOptions;
/// use gorin::io::AsyncWriteExt;
///
/// # fn main() -> std::io::Result<()> {
/// # let path = std::env::temp_dir().join(format!("gorin-options-{}", std::process::id()));
/// gorin::run(async {
///     let mut log = OpenOptions::new().append(true).create(true).open(&path).await?;
///     log.write_all(b"one more line\n").await?;
///     log.flush().await?;
///     # gorin::fs::remove_file(&path).await?;
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    mode: u32,
    custom_flags: i32,
}

impl OpenOptions {
    /// All off: at least one of `read`, `write` and `append` must be set to open a file.
    pub fn new() -> OpenOptions {
        OpenOptions {
            read: false,
            write: false,
            append: false,
            truncate: false,
            create: false,
            create_new: false,
            mode: 0o666,
            custom_flags: 0,
        }
    }

    /// Whether the file can be read.
    pub fn read(&mut self, read: bool) -> &mut OpenOptions {
        self.read = read;
        self
    }

    /// Whether the file can be written.
    pub fn write(&mut self, write: bool) -> &mut OpenOptions {
        self.write = write;
        self
    }

    /// Whether all writes, also those at an offset, go to the end of the file.
    pub fn append(&mut self, append: bool) -> &mut OpenOptions {
        self.append = append;
        self
    }

    /// Whether what the file contains is thrown away.
    pub fn truncate(&mut self, truncate: bool) -> &mut OpenOptions {
        self.truncate = truncate;
        self
    }

    /// Whether the file is made if there is none.
    pub fn create(&mut self, create: bool) -> &mut OpenOptions {
        self.create = create;
        self
    }

    /// Whether the file must be made by this call: an existing one is an error. Takes precedence
    /// over `create` and `truncate`.
    pub fn create_new(&mut self, create_new: bool) -> &mut OpenOptions {
        self.create_new = create_new;
        self
    }

    /// The permissions of a file that is made, less what the process's umask takes away. `0o666`
    /// unless it is set.
    pub fn mode(&mut self, mode: u32) -> &mut OpenOptions {
        self.mode = mode;
        self
    }

    /// More flags of `open(2)`; those that say how the file is accessed are ignored.
    pub fn custom_flags(&mut self, flags: i32) -> &mut OpenOptions {
        self.custom_flags = flags;
        self
    }

    /// Opens `path`.
    ///
    /// On the ring a named pipe is opened without waiting for the other end, unlike in std and with
    /// the driver `epoll`: for reading it succeeds at once, and reading gives the end while nobody
    /// writes; for writing it fails with `ENXIO` while nobody reads. The same with any driver is
    /// [`PipeReader::from_fd`](crate::io::PipeReader::from_fd), which waits for writers, too.
    ///
    /// # Errors
    /// `InvalidInput` for options that contradict each other and for a path with a zero byte; those
    /// of `open(2)`.
    ///
    /// # Cancel safety
    /// A dropped call may have made or truncated the file.
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let flags = self.access()? | self.creation()? | (self.custom_flags & !libc::O_ACCMODE);
        loop {
            match ops::open(path.as_ref(), flags, self.mode).await {
                Ok(fd) => return Ok(File::new(fd, flags & libc::O_DIRECT == 0)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn access(&self) -> io::Result<i32> {
        let append = if self.append { libc::O_APPEND } else { 0 };
        match (self.read, self.write || self.append) {
            (true, false) => Ok(libc::O_RDONLY),
            (false, true) => Ok(libc::O_WRONLY | append),
            (true, true) => Ok(libc::O_RDWR | append),
            (false, false) => Err(invalid("a file is opened to read, to write or to append")),
        }
    }

    fn creation(&self) -> io::Result<i32> {
        let makes = self.truncate || self.create || self.create_new;
        if makes && !self.write && !self.append {
            return Err(invalid(
                "creating or truncating a file requires write or append access",
            ));
        }
        if self.append && self.truncate && !self.create_new {
            return Err(invalid("a file cannot be truncated and appended to"));
        }
        if self.create_new {
            return Ok(libc::O_CREAT | libc::O_EXCL);
        }
        let create = if self.create { libc::O_CREAT } else { 0 };
        let truncate = if self.truncate { libc::O_TRUNC } else { 0 };
        Ok(create | truncate)
    }
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions::new()
    }
}

fn invalid(text: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
