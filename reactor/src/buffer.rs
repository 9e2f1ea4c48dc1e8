//! Buffers that an operation owns while the kernel uses them.
//!
//! An operation of the ring outlives the future that waits for it, so it cannot borrow: the buffer
//! goes into the call and comes back with its result. These traits say which types may.
//!
//! Reading fills what a buffer contains already; its length does not change. So no call leaves
//! memory behind that nobody has initialised, and none has to set a length. Other runtimes fill the
//! capacity; who does that out of habit ([`Vec::with_capacity`]) would read nothing, and take it for
//! the end: that is refused ([`has_length`]).
//!
//! Rejected: to fill the capacity of an empty vector. The second read into the same vector, which has the
//! length of the first one by then, would be as short as that.

use std::io;
use std::sync::Arc;

use gorin_base::pool::PooledBuf;

use crate::error;

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

    /// How many bytes more it could contain without another allocation, as a [`Vec`] of a larger capacity than
    /// length. An empty buffer that could contain some is refused: its length was forgotten.
    fn spare(&self) -> usize {
        0
    }
}

/// `Err` if `buffer`, which is to be filled, contains nothing though it could: see the module text.
pub(crate) fn has_length(buffer: &impl IoBufMut) -> io::Result<()> {
    match buffer.bytes().is_empty() && buffer.spare() > 0 {
        true => Err(error::no_length(buffer.spare())),
        false => Ok(()),
    }
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
    (@vector $name:ty) => {
        // SAFETY: the value is the only one that refers to the memory.
        unsafe impl IoBufMut for $name {
            fn bytes_mut(&mut self) -> &mut [u8] {
                self
            }

            fn spare(&self) -> usize {
                self.capacity() - self.len()
            }
        }
    };
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
    Vec<u8>, vector;
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

    #[test]
    fn only_what_is_empty_and_has_room_lacks_its_length() {
        let mut buffer = Vec::with_capacity(10);
        assert_eq!(
            has_length(&buffer).unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
        buffer.push(1);
        has_length(&buffer).unwrap();
        has_length(&Vec::new()).unwrap();
        has_length(&Box::<[u8]>::default()).unwrap();
        has_length(&PooledBuf::default()).unwrap();
    }
}
