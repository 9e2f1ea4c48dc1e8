//! Names of files: giving, taking and following them.

use std::fs::Permissions;
use std::io;
use std::path::{Path, PathBuf};

use gorin_reactor::ops;

use super::blocking;

/// Gives the file or directory `from` the name `to`, in place of what had it. Both must be on the
/// same file system.
///
/// # Errors
/// Those of `rename(2)`.
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    ops::rename(from, to).await
}

/// Removes the name `path`; the file goes with its last name, when nobody has it open any more.
///
/// # Errors
/// Those of `unlink(2)`: `IsADirectory` for a directory.
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    ops::unlink(path).await
}

/// Makes the symbolic link `link`, which points to `original`.
///
/// # Errors
/// Those of `symlink(2)`.
pub async fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    ops::symlink(original, link).await
}

/// Gives the file `original` another name. A symbolic link is not followed.
///
/// # Errors
/// Those of `link(2)`.
pub async fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    ops::link(original, link).await
}

/// Where the symbolic link `path` points to.
///
/// # Errors
/// Those of `readlink(2)`: `InvalidInput` if `path` is no symbolic link.
pub async fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    on_path(path, std::fs::read_link).await
}

/// The absolute form of `path`, with all symbolic links followed.
///
/// # Errors
/// Those of `realpath(3)`: `NotFound` if there is nothing.
pub async fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    on_path(path, std::fs::canonicalize).await
}

/// Changes who may do what with the file at `path`; symbolic links are followed.
///
/// # Errors
/// Those of `chmod(2)`.
pub async fn set_permissions(path: impl AsRef<Path>, permissions: Permissions) -> io::Result<()> {
    on_path(path, |path| std::fs::set_permissions(path, permissions)).await
}

/// Gives the file at `path` to the user `uid` and the group `gid`; `None` leaves the one that it has.
/// Symbolic links are followed.
///
/// # Errors
/// Those of `chown(2)`: `PermissionDenied` for what only root may do.
pub async fn chown(path: impl AsRef<Path>, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    on_path(path, move |path| std::os::unix::fs::chown(path, uid, gid)).await
}

/// As [`chown`], but a symbolic link itself is given.
///
/// # Errors
/// As [`chown`].
pub async fn lchown(path: impl AsRef<Path>, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    on_path(path, move |path| std::os::unix::fs::lchown(path, uid, gid)).await
}

/// Calls what the ring cannot do with a copy of `path`, where it may block.
pub(super) async fn on_path<T: Send + 'static>(
    path: impl AsRef<Path>,
    call: impl FnOnce(PathBuf) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let path = path.as_ref().to_owned();
    blocking(move || call(path)).await
}
