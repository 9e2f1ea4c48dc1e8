//! A short list that allocates only when it gets long.

use std::ops::{Deref, DerefMut};

/// Items that fit without an allocation.
const INLINE: usize = 16;

/// Up to [`INLINE`] items in place, more of them in a vector.
#[derive(Debug)]
pub(crate) struct Few<T> {
    inline: [T; INLINE],
    /// Empty, or all items if there are more than `INLINE`.
    long: Vec<T>,
    len: usize,
}

impl<T: Copy + Default> Few<T> {
    #[inline]
    pub(crate) fn new() -> Self {
        Self {
            inline: [T::default(); INLINE],
            long: Vec::new(),
            len: 0,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
        self.long.clear();
    }

    #[inline]
    pub(crate) fn push(&mut self, item: T) {
        if self.len < INLINE {
            self.inline[self.len] = item;
        } else {
            if self.len == INLINE {
                self.long.clear();
                self.long.extend_from_slice(&self.inline);
            }
            self.long.push(item);
        }
        self.len += 1;
    }

    /// Removes the item at `index` and moves the later ones up.
    pub(crate) fn remove(&mut self, index: usize) -> T {
        let item = self[index];
        self.copy_within(index + 1.., index);
        self.len -= 1;
        if self.len >= INLINE {
            self.long.truncate(self.len);
            if self.len == INLINE {
                self.inline.copy_from_slice(&self.long);
            }
        }
        item
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        if self.len <= INLINE {
            &self.inline[..self.len]
        } else {
            &self.long
        }
    }
}

impl<T> DerefMut for Few<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        if self.len <= INLINE {
            &mut self.inline[..self.len]
        } else {
            &mut self.long
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn it_behaves_like_a_vector_below_and_above_the_inline_length() {
        for len in [0, 1, INLINE - 1, INLINE, INLINE + 1, 3 * INLINE] {
            let mut few = Few::new();
            let mut model = Vec::new();
            for n in 0..len {
                few.push(n);
                model.push(n);
            }
            while !model.is_empty() {
                assert_eq!(*few, *model);
                let index = model.len() / 2;
                assert_eq!(few.remove(index), model.remove(index));
            }
            assert!(few.is_empty());
            model.extend(0..len);
            model.iter().for_each(|&n| few.push(n));
            few.clear();
            assert!(few.is_empty());
            few.push(7);
            assert_eq!(*few, [7]);
        }
    }
}
