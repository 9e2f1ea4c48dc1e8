//! Why a context has ended: in a word ([`CtxError`]), and in somebody's own words ([`Cause`]).

use std::error::Error;
use std::fmt;
use std::io;
use std::sync::Arc;

/// Why a [`Context`](super::Context) has ended: Go's `ctx.Err()`.
///
/// It turns into an [`io::Error`], so that `?` works in functions that do I/O: the deadline is
/// [`TimedOut`](io::ErrorKind::TimedOut), as with [`time::timeout`](crate::time::timeout()); a cancel is
/// [`Other`](io::ErrorKind::Other), with this inside. (Not `Interrupted`, after which loops such as
/// `read_exact`'s would try again.)
///
/// ```
/// use gorin::context::CtxError;
/// use std::io;
///
/// let error = io::Error::from(CtxError::Canceled);
/// let inside = error.get_ref().and_then(|inside| inside.downcast_ref());
/// assert_eq!(inside, Some(&CtxError::Canceled));
///
/// let error = io::Error::from(CtxError::DeadlineExceeded);
/// assert_eq!(error.kind(), io::ErrorKind::TimedOut);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CtxError {
    /// It was cancelled, or one of those that it comes from.
    Canceled,
    /// Its deadline has passed, or that of one that it comes from.
    DeadlineExceeded,
}

impl fmt::Display for CtxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CtxError::Canceled => "context canceled",
            CtxError::DeadlineExceeded => "context deadline exceeded",
        })
    }
}

impl Error for CtxError {}

impl From<CtxError> for io::Error {
    fn from(error: CtxError) -> io::Error {
        let kind = match error {
            CtxError::Canceled => io::ErrorKind::Other,
            CtxError::DeadlineExceeded => io::ErrorKind::TimedOut,
        };
        io::Error::new(kind, error)
    }
}

/// What somebody has said a context ended for; shared by all who ask. See
/// [`Context::cause`](super::Context::cause).
pub type Cause = Arc<dyn Error + Send + Sync>;

/// What can be given as a cause: errors, and texts.
pub(super) fn cause(given: impl Into<Box<dyn Error + Send + Sync>>) -> Cause {
    Arc::from(given.into())
}
