//! What the message rows need of a channel. A row that a channel cannot do is reported, never
//! imitated.

use super::Failure;
use crate::rt::MaybeSend;

/// How much a channel buffers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Capacity {
    /// 0 is a rendezvous.
    Bounded(usize),
    Unbounded,
}

/// A channel of numbers.
pub(crate) trait Channel: Sized + 'static {
    type Tx: Clone + MaybeSend + 'static;
    type Rx: MaybeSend + 'static;

    /// The smallest capacity: 0 for a channel that has rendezvous.
    const SMALLEST: usize;

    /// `capacity` is not below [`Channel::SMALLEST`].
    fn open(capacity: Capacity) -> Result<(Self::Tx, Self::Rx), Failure>;

    /// A second receiver of the same channel.
    fn share(rx: &Self::Rx) -> Result<Self::Rx, Failure>;

    /// Returns false when there are no receivers any more.
    fn send(tx: &mut Self::Tx, value: u64) -> impl Future<Output = bool> + MaybeSend;

    /// Returns `None` when there are no senders and no values any more.
    fn recv(rx: &mut Self::Rx) -> impl Future<Output = Option<u64>> + MaybeSend;

    /// One of two, whichever has a value.
    fn recv_of_2(rxs: &mut [Self::Rx; 2]) -> impl Future<Output = Option<u64>> + MaybeSend;

    /// One of eight, whichever has a value.
    fn recv_of_8(rxs: &mut [Self::Rx; 8]) -> impl Future<Output = Option<u64>> + MaybeSend;

    /// Why the select rows must not be run, if so.
    const NO_SELECT: Option<&str> = None;
}
