//! The row over files: random reads of a file that is in the page cache.

use super::{Outcome, Setup, measure};
use crate::rt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Tasks that read at once, each with one read in flight.
const READERS: u64 = 64;

/// What is read at a time, at a multiple of it.
const PAGE: usize = 4096;

/// Of the file. Larger than the processor's caches, small enough to stay in memory.
const PAGES: u64 = 16 << 10;

/// A file of `PAGES`, each beginning with its number; removed at the end.
struct Pages(PathBuf);

impl Pages {
    fn new() -> Result<Pages, String> {
        let name = format!("gorin-bench-{}", std::process::id());
        let pages = Pages(std::env::temp_dir().join(name));
        let mut content = vec![0; PAGE * PAGES as usize];
        for (number, page) in content.chunks_exact_mut(PAGE).enumerate() {
            page[..8].copy_from_slice(&(number as u64).to_le_bytes());
        }
        fs::write(&pages.0, content).map_err(|error| format!("{}: {error}", pages.0.display()))?;
        Ok(pages)
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // It may never have been made.
        let _ = fs::remove_file(&self.0);
    }
}

/// Some tasks read pages at random places, each with a buffer of its own.
pub(crate) fn read(setup: &Setup) -> Outcome {
    let pages = Pages::new()?;
    let path: Arc<Path> = pages.0.as_path().into();
    measure(setup, "read", READERS * 100, move |count| {
        let path = path.clone();
        async move {
            let file = rt::fs::File::open(&path).await.expect("the file opens");
            let file = Arc::new(file);
            let each = count.div_ceil(READERS);
            let start = Instant::now();
            let readers: Vec<_> = (0..READERS)
                .map(|seed| rt::spawn(read_pages(file.clone(), each, seed)))
                .collect();
            for reader in readers {
                rt::join(reader).await;
            }
            let elapsed: Duration = start.elapsed();
            // The readers may have read a few more than counted.
            elapsed.mul_f64(count as f64 / (each * READERS) as f64)
        }
    });
    Ok(())
}

async fn read_pages(file: Arc<rt::fs::File>, count: u64, seed: u64) {
    let mut random = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed + 1);
    let mut buffer = vec![0; PAGE];
    for _ in 0..count {
        // Marsaglia's xorshift: the same numbers for every contender.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let number = random % PAGES;
        let (result, back) = file.read_at(buffer, number * PAGE as u64).await;
        assert_eq!(result.expect("the page is there"), PAGE);
        let (found, _) = back.split_at(8);
        assert_eq!(found, number.to_le_bytes(), "another page came");
        buffer = back;
    }
}
