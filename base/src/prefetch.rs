//! Having the processor fetch what will be needed soon: with a thousand busy connections the state of each
//! has left the cache since it was used last, and fetching it takes as long as some 200 instructions.
//!
//! Hints only; on other processors than x86-64 there are none.

/// Bytes of a cache line.
pub const LINE: usize = 64;

/// Has the processor fetch `lines` cache lines, from that of `place` on. It may be any address.
#[inline]
pub fn prefetch<T>(place: *const T, lines: usize) {
    for line in 0..lines {
        fetch(place.cast::<i8>().wrapping_add(LINE * line));
    }
}

#[cfg(all(target_arch = "x86_64", not(any(loom, miri))))]
#[inline]
fn fetch(place: *const i8) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a hint; it may name any address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(place) };
}

#[cfg(not(all(target_arch = "x86_64", not(any(loom, miri)))))]
#[inline]
fn fetch(_place: *const i8) {}
