//! Buffers that a thread lends out, for reads that take one only when there is something to read.
//!
//! Each thread has a pool of its own, so lending takes no lock; a buffer goes back to the pool of the thread
//! that drops it. The one that came back last is lent first: it is in the cache. A pool is bounded, so
//! goroutines that carry buffers to another worker fill nobody's memory.
//!
//! What a buffer held before stays in its memory, beyond what [`PooledBuf`] shows.

use std::cell::RefCell;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// Buffers come in powers of two, from this size on.
const LEAST: usize = 1024;
/// There are no larger ones.
const MOST: usize = 256 * 1024;
/// How many sizes that are.
const SIZES: usize = (MOST / LEAST).ilog2() as usize + 1;
/// A thread keeps no more bytes of each size than that.
const KEPT: usize = 512 * 1024;

/// What a thread has to lend: a shelf for each size.
#[derive(Default)]
struct Pool([Vec<Box<[u8]>>; SIZES]);

std::thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

impl Pool {
    /// Where buffers of `size` bytes are, which is a power of two.
    fn shelf(&mut self, size: usize) -> &mut Vec<Box<[u8]>> {
        &mut self.0[(size / LEAST).ilog2() as usize]
    }

    /// Gives `memory` back if there is no place for it.
    fn put(&mut self, memory: Box<[u8]>) -> Option<Box<[u8]>> {
        let size = memory.len();
        let shelf = self.shelf(size);
        if shelf.len() >= KEPT / size {
            return Some(memory);
        }
        shelf.push(memory);
        None
    }
}

/// Bytes in a buffer that goes back, when this is dropped, to the pool of the thread that drops it.
///
/// Calls like `recv_pooled` of a stream make it. It derefs to the bytes received, and owns them: it can be
/// changed, kept, sent to another goroutine, and written by calls that own their buffer. `Bytes::from_owner` of
/// the crate bytes makes it one of those without copying it.
///
/// A thread keeps at most 512 KiB of each size (powers of two from 1 to 256 KiB); what is over that is freed.
/// The memory may hold more than it shows, of others, too.
#[derive(Default)]
pub struct PooledBuf {
    memory: Box<[u8]>,
    len: usize,
}

impl PooledBuf {
    /// A buffer of `len` bytes, or of 256 KiB if that is less; it may hold what others have left there.
    pub fn take(len: usize) -> PooledBuf {
        let len = len.min(MOST);
        let memory = match len {
            0 => Box::default(),
            _ => lend(len.next_power_of_two().max(LEAST)),
        };
        PooledBuf { memory, len }
    }

    /// Shows no more than the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

fn lend(size: usize) -> Box<[u8]> {
    // There is no pool while the thread ends.
    let kept = POOL.try_with(|pool| pool.borrow_mut().shelf(size).pop());
    let memory = kept.ok().flatten();
    memory.unwrap_or_else(|| vec![0; size].into_boxed_slice())
}

impl Drop for PooledBuf {
    fn drop(&mut self) {
        let memory = std::mem::take(&mut self.memory);
        if !memory.is_empty() {
            // Freed, if at all, when the pool is no longer borrowed.
            let _rest = POOL.try_with(|pool| pool.borrow_mut().put(memory));
        }
    }
}

impl Deref for PooledBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[..self.len]
    }
}

impl DerefMut for PooledBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[..self.len]
    }
}

impl AsRef<[u8]> for PooledBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl AsMut<[u8]> for PooledBuf {
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

impl fmt::Debug for PooledBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledBuf")
            .field("len", &self.len)
            .field("room", &self.memory.len())
            .finish()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Runs `f` on a thread of its own, which has an empty pool.
    fn alone<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
        std::thread::spawn(f).join().expect("it has not panicked")
    }

    /// Bytes that this thread has to lend.
    fn kept() -> usize {
        POOL.with_borrow(|pool| pool.0.iter().flatten().map(|memory| memory.len()).sum())
    }

    #[test]
    fn what_came_back_last_is_lent_first() {
        alone(|| {
            let (first, second) = (PooledBuf::take(4096), PooledBuf::take(4096));
            let places = [first.as_ptr(), second.as_ptr()];
            drop(first);
            drop(second);
            assert_eq!(PooledBuf::take(4096).as_ptr(), places[1]);
            let (first, second) = (PooledBuf::take(3000), PooledBuf::take(4096));
            assert_eq!([second.as_ptr(), first.as_ptr()], places);
        });
    }

    #[test]
    fn it_shows_as_much_as_was_asked_for_and_then_less() {
        alone(|| {
            for len in [0, 1, LEAST - 1, LEAST, LEAST + 1, MOST] {
                for _ in 0..2 {
                    let mut buffer = PooledBuf::take(len);
                    assert_eq!((buffer.len(), buffer.as_mut().len()), (len, len));
                    buffer.fill(7);
                    buffer.truncate(len + 1);
                    assert_eq!(buffer.len(), len);
                    buffer.truncate(len / 2);
                    assert_eq!(*buffer, vec![7; len / 2]);
                }
            }
        });
    }

    #[test]
    fn none_is_larger_than_the_largest_size() {
        alone(|| {
            assert_eq!(PooledBuf::take(usize::MAX).len(), MOST);
            assert_eq!(kept(), MOST);
            drop(PooledBuf::default());
            drop(PooledBuf::take(0));
            assert_eq!(kept(), MOST);
        });
    }

    #[test]
    fn a_thread_keeps_a_bounded_number_of_bytes_of_each_size() {
        alone(|| {
            for (rank, size) in [LEAST, MOST].into_iter().enumerate() {
                let many: Vec<_> = (0..2 * KEPT / size)
                    .map(|_| PooledBuf::take(size))
                    .collect();
                drop(many);
                assert_eq!(kept(), (rank + 1) * KEPT);
            }
        });
    }

    #[test]
    fn it_goes_to_the_pool_of_the_thread_that_drops_it() {
        let buffer = alone(|| PooledBuf::take(LEAST));
        let place = buffer.as_ptr().addr();
        alone(move || {
            drop(buffer);
            assert_eq!(kept(), LEAST);
            assert_eq!(PooledBuf::take(LEAST).as_ptr().addr(), place);
        });
    }

    #[test]
    fn a_thread_that_ends_may_still_take_and_drop_some() {
        struct Late(Option<PooledBuf>);
        impl Drop for Late {
            fn drop(&mut self) {
                self.0 = None;
                assert_eq!(PooledBuf::take(10).len(), 10);
            }
        }
        std::thread_local! {
            static LATE: RefCell<Late> = const { RefCell::new(Late(None)) };
        }
        alone(|| {
            // Destroyed after the pool, or before: both ways.
            LATE.with_borrow_mut(|late| late.0 = Some(PooledBuf::take(10)));
        });
        alone(|| {
            drop(PooledBuf::take(10));
            LATE.with_borrow_mut(|late| late.0 = Some(PooledBuf::take(10)));
        });
    }
}
