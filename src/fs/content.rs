//! Whole files at once.

use std::io;
use std::path::Path;

use super::names::on_path;
use super::{File, OpenOptions};

/// What is read first, before anybody asks how long the file is: most files are small, and the
/// question costs more than reading them.
const FIRST: usize = 16 << 10;

/// What is transferred at a time: the kernel copies cached data on the worker's time, some 100 µs
/// for that much.
const CHUNK: usize = 1 << 20;

/// All that the file at `path` contains.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let version = gorin::fs::read("/proc/version").await?;
///     assert!(version.starts_with(b"Linux"));
///     Ok(())
/// })
/// # }
/// ```
///
/// # Errors
/// Those of opening and reading it; `OutOfMemory` if it is larger than memory.
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let file = File::open(path).await?;
    let mut buffer = vec![0; FIRST];
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            // One byte more than there should be: the read that fills the rest also sees the end.
            let expected = file.metadata().await?.len().saturating_add(1);
            let len = expected.max(2 * filled as u64);
            buffer = grown(&buffer, usize::try_from(len).unwrap_or(usize::MAX))?;
        }
        let end = buffer.len().min(filled + CHUNK);
        let (count, back) = file.read_range(buffer, filled..end, filled as u64).await;
        buffer = back;
        match count {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(filled);
    buffer.shrink_to_fit();
    Ok(buffer)
}

/// A longer buffer that begins with what is in `buffer`. Its memory comes zeroed from the system and
/// is touched only when the kernel fills it.
fn grown(buffer: &[u8], len: usize) -> io::Result<Vec<u8>> {
    // `vec!` would end the process.
    Vec::<u8>::new().try_reserve_exact(len)?;
    let mut grown = vec![0; len];
    grown[..buffer.len()].copy_from_slice(buffer);
    Ok(grown)
}

/// All that the file at `path` contains, which must be UTF-8.
///
/// # Errors
/// As [`read`]; `InvalidData` if it is not UTF-8.
pub async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    String::from_utf8(read(path).await?)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

/// Makes `contents` all that the file at `path` contains; makes the file if there is none.
///
/// # Errors
/// Those of opening and writing it. A part may have been written.
///
/// # Cancel safety
/// A dropped call may have truncated the file, and written a part.
pub async fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).open(path);
    let file = file.await?;
    let contents = contents.as_ref();
    let mut buffer = Vec::with_capacity(contents.len().min(CHUNK));
    for (number, chunk) in contents.chunks(CHUNK).enumerate() {
        buffer.clear();
        buffer.extend_from_slice(chunk);
        let (result, back) = file.write_all_at(buffer, (number * CHUNK) as u64).await;
        result?;
        buffer = back;
    }
    Ok(())
}

/// Copies content and permissions of the file `from` to `to`, and gives the number of bytes. Within
/// one file system the kernel may share the blocks instead of copying them (`copy_file_range(2)`).
///
/// # Errors
/// Those of [`std::fs::copy`].
///
/// # Cancel safety
/// A dropped call goes on to its end.
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    let to = to.as_ref().to_owned();
    on_path(from, move |from| std::fs::copy(from, to)).await
}
