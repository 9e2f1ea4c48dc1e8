//! Buffers that an operation owns while the kernel uses them.
//!
//! An operation of the ring outlives the future that waits for it, so it cannot borrow: the buffer
//! goes into the call and comes back with its result. These traits say which types may.
//!
//! Reading fills what a buffer contains already; its length does not change. So no call leaves
//! memory behind that nobody has initialised, and none has to set a length.

use std::sync::Arc;

use gorin_base::pool::PooledBuf;

/// A buffer that the kernel can read from while an operation owns it.
///
/// The default value is what the caller gets back when the runtime is torn down by force while the
/// kernel still uses the buffer, which is then never freed.
///
/// # Safety
/// The memory of [`bytes`](IoBuf::bytes) must stay where it is, initialised and allocated, for as
/// long as the value is neither changed nor dropped, and must not change by itself. Moving the
/// value must not move that memory. Two calls without a change in between give the same slice.
pub unsafe trait IoBuf: Default + Send + 'static {
    /// All that the buffer contains.
    fn bytes(&self) -> &[u8];
}

/// A buffer that the kernel can write to while an operation owns it.
///
/// # Safety
/// As [`IoBuf`]; [`bytes_mut`](IoBufMut::bytes_mut) gives the same memory as [`IoBuf::bytes`], and
/// nothing but the value refers to it.
pub unsafe trait IoBufMut: IoBuf {
    /// All that the buffer contains.
    fn bytes_mut(&mut self) -> &mut [u8];
}

macro_rules! buffers {
    ($($name:ty, $mutable:ident;)*) => {$(
        // SAFETY: the memory is on the heap or static, and reached only through the value; shared
        // owners of it may only read.
        unsafe impl IoBuf for $name {
            fn bytes(&self) -> &[u8] {
                self.as_ref()
            }
        }
        buffers!(@$mutable $name);
    )*};
    (@shared $name:ty) => {};
    (@unique $name:ty) => {
        // SAFETY: the value is the only one that refers to the memory.
        unsafe impl IoBufMut for $name {
            fn bytes_mut(&mut self) -> &mut [u8] {
                self.as_mut()
            }
        }
    };
}

buffers! {
    Vec<u8>, unique;
    Box<[u8]>, unique;
    &'static mut [u8], unique;
    PooledBuf, unique;
    &'static [u8], shared;
    &'static str, shared;
    Arc<[u8]>, shared;
    String, shared;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stays(buffer: impl IoBuf) {
        let before = (buffer.bytes().as_ptr(), buffer.bytes().len());
        let moved = Box::new(buffer);
        assert_eq!((moved.bytes().as_ptr(), moved.bytes().len()), before);
    }

    #[test]
    fn the_memory_does_not_move_with_the_value() {
        stays(vec![1; 10]);
        stays(vec![1; 10].into_boxed_slice());
        stays(PooledBuf::take(10));
        stays(Arc::<[u8]>::from(vec![1; 10]));
        stays(String::from("a string"));
        stays("static");
        stays(&b"static"[..]);
        stays(Vec::new().leak());
    }

    #[test]
    fn what_is_written_through_one_view_is_seen_through_the_other() {
        fn check(mut buffer: impl IoBufMut) {
            buffer.bytes_mut()[3] = 9;
            assert_eq!(buffer.bytes(), [0, 0, 0, 9]);
            assert_eq!(buffer.bytes().as_ptr(), buffer.bytes_mut().as_ptr());
        }
        check(vec![0; 4]);
        check(vec![0; 4].into_boxed_slice());
    }
}
