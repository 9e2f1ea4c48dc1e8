//! What is known of a file besides its content: std's `Metadata`, made from what the ring gives.
//!
//! std's own type cannot be made from outside of std; this one has its methods, those of
//! `std::os::unix::fs::MetadataExt` included.

use std::fmt;
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use gorin_reactor::ops;

/// What the system knows of the file at `path`; symbolic links are followed.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     assert!(gorin::fs::metadata("/proc").await?.is_dir());
///     Ok(())
/// })
/// # }
/// ```
///
/// # Errors
/// Those of `stat(2)`.
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    ops::stat(path, true).await.map(Metadata::new)
}

/// As [`metadata`], of a symbolic link itself.
///
/// # Errors
/// Those of `lstat(2)`.
pub async fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    ops::stat(path, false).await.map(Metadata::new)
}

/// Whether there is something at `path`; symbolic links are followed.
///
/// # Errors
/// If that cannot be known: those of `stat(2)` other than `NotFound`.
pub async fn exists(path: impl AsRef<Path>) -> io::Result<bool> {
    match ops::stat(path, true).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// What the system knows of a file; see [`metadata`].
#[derive(Clone)]
pub struct Metadata {
    stat: libc::statx,
}

impl Metadata {
    pub(super) fn new(stat: libc::statx) -> Metadata {
        Metadata { stat }
    }

    /// What kind of file it is.
    pub fn file_type(&self) -> FileType {
        FileType { mode: self.mode() }
    }

    /// True if it is a directory.
    pub fn is_dir(&self) -> bool {
        self.file_type().is_dir()
    }

    /// True if it is a regular file.
    pub fn is_file(&self) -> bool {
        self.file_type().is_file()
    }

    /// True if it is a symbolic link, which only [`symlink_metadata`] and the like can find.
    pub fn is_symlink(&self) -> bool {
        self.file_type().is_symlink()
    }

    /// Bytes in the file.
    #[expect(clippy::len_without_is_empty, reason = "std's type has no `is_empty`")]
    pub fn len(&self) -> u64 {
        self.stat.stx_size
    }

    /// Who may do what.
    pub fn permissions(&self) -> Permissions {
        Permissions::from_mode(self.mode())
    }

    /// When the content was changed last.
    ///
    /// # Errors
    /// If the file system does not record it.
    pub fn modified(&self) -> io::Result<SystemTime> {
        self.time(libc::STATX_MTIME, self.stat.stx_mtime)
    }

    /// When the content was read last, as far as the file system records it.
    ///
    /// # Errors
    /// If the file system does not record it.
    pub fn accessed(&self) -> io::Result<SystemTime> {
        self.time(libc::STATX_ATIME, self.stat.stx_atime)
    }

    /// When the file was made.
    ///
    /// # Errors
    /// `Unsupported` if the file system does not record it.
    pub fn created(&self) -> io::Result<SystemTime> {
        self.time(libc::STATX_BTIME, self.stat.stx_btime)
    }

    fn time(&self, recorded: u32, time: libc::statx_timestamp) -> io::Result<SystemTime> {
        if self.stat.stx_mask & recorded == 0 {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this file system does not record that time",
            ));
        }
        let seconds = Duration::from_secs(time.tv_sec.unsigned_abs());
        let whole = if time.tv_sec < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(seconds)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(seconds)
        };
        whole
            .and_then(|whole| whole.checked_add(Duration::from_nanos(time.tv_nsec.into())))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the time is out of range"))
    }

    /// When content, owner, permissions or names of the file were changed last, in seconds since 1970.
    pub fn ctime(&self) -> i64 {
        self.stat.stx_ctime.tv_sec
    }

    /// The part of [`ctime`](Metadata::ctime) below a second, in nanoseconds.
    pub fn ctime_nsec(&self) -> i64 {
        self.stat.stx_ctime.tv_nsec.into()
    }

    /// Type and permissions, as `st_mode` has them.
    pub fn mode(&self) -> u32 {
        self.stat.stx_mode.into()
    }

    /// The device that holds the file.
    pub fn dev(&self) -> u64 {
        libc::makedev(self.stat.stx_dev_major, self.stat.stx_dev_minor)
    }

    /// The device that the file stands for.
    pub fn rdev(&self) -> u64 {
        libc::makedev(self.stat.stx_rdev_major, self.stat.stx_rdev_minor)
    }

    /// The number of the file on its device.
    pub fn ino(&self) -> u64 {
        self.stat.stx_ino
    }

    /// How many names the file has.
    pub fn nlink(&self) -> u64 {
        self.stat.stx_nlink.into()
    }

    /// The user that owns the file.
    pub fn uid(&self) -> u32 {
        self.stat.stx_uid
    }

    /// The group that owns the file.
    pub fn gid(&self) -> u32 {
        self.stat.stx_gid
    }

    /// The size in bytes that transfers should have.
    pub fn blksize(&self) -> u64 {
        self.stat.stx_blksize.into()
    }

    /// The space that the file takes, in blocks of 512 bytes.
    pub fn blocks(&self) -> u64 {
        self.stat.stx_blocks
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata")
            .field("file_type", &self.file_type())
            .field("permissions", &self.permissions())
            .field("len", &self.len())
            .field("modified", &self.modified())
            .finish_non_exhaustive()
    }
}

/// What kind of file something is.
#[derive(Clone, Copy)]
pub struct FileType {
    /// Of `st_mode`, only the type is looked at.
    mode: u32,
}

impl FileType {
    fn kind(self) -> u32 {
        self.mode & libc::S_IFMT
    }

    /// True for directories.
    pub fn is_dir(&self) -> bool {
        self.kind() == libc::S_IFDIR
    }

    /// True for regular files.
    pub fn is_file(&self) -> bool {
        self.kind() == libc::S_IFREG
    }

    /// True for symbolic links.
    pub fn is_symlink(&self) -> bool {
        self.kind() == libc::S_IFLNK
    }

    /// True for devices with blocks.
    pub fn is_block_device(&self) -> bool {
        self.kind() == libc::S_IFBLK
    }

    /// True for devices with characters.
    pub fn is_char_device(&self) -> bool {
        self.kind() == libc::S_IFCHR
    }

    /// True for named pipes.
    pub fn is_fifo(&self) -> bool {
        self.kind() == libc::S_IFIFO
    }

    /// True for sockets.
    pub fn is_socket(&self) -> bool {
        self.kind() == libc::S_IFSOCK
    }
}

impl PartialEq for FileType {
    fn eq(&self, other: &FileType) -> bool {
        self.kind() == other.kind()
    }
}

impl Eq for FileType {}

impl std::hash::Hash for FileType {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.kind().hash(state);
    }
}

impl From<std::fs::FileType> for FileType {
    fn from(std: std::fs::FileType) -> FileType {
        let kinds = [
            (std.is_dir(), libc::S_IFDIR),
            (std.is_file(), libc::S_IFREG),
            (std.is_symlink(), libc::S_IFLNK),
            (std.is_block_device(), libc::S_IFBLK),
            (std.is_char_device(), libc::S_IFCHR),
            (std.is_fifo(), libc::S_IFIFO),
            (std.is_socket(), libc::S_IFSOCK),
        ];
        let kind = kinds.into_iter().find(|(is, _)| *is);
        FileType {
            mode: kind.map_or(0, |(_, mode)| mode),
        }
    }
}

impl fmt::Debug for FileType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.kind() {
            libc::S_IFDIR => "directory",
            libc::S_IFREG => "file",
            libc::S_IFLNK => "symbolic link",
            libc::S_IFBLK => "block device",
            libc::S_IFCHR => "character device",
            libc::S_IFIFO => "named pipe",
            libc::S_IFSOCK => "socket",
            _ => "unknown",
        };
        write!(f, "FileType({name})")
    }
}
