//! gorin's channel, which runs on any executor.

use crate::select::select_with;
use crate::shared::Failure;
use crate::shared::channel::{Capacity, Channel};

pub(crate) struct GorinChannel;

impl Channel for GorinChannel {
    type Tx = gorin_channel::Sender<u64>;
    type Rx = gorin_channel::Receiver<u64>;
    const SMALLEST: usize = 0;

    fn open(capacity: Capacity) -> Result<(Self::Tx, Self::Rx), Failure> {
        Ok(match capacity {
            Capacity::Bounded(capacity) => gorin_channel::chan(capacity),
            Capacity::Unbounded => gorin_channel::unbounded(),
        })
    }

    fn share(rx: &Self::Rx) -> Result<Self::Rx, Failure> {
        Ok(rx.clone())
    }

    async fn send(tx: &mut Self::Tx, value: u64) -> bool {
        tx.send(value).await.is_ok()
    }

    async fn recv(rx: &mut Self::Rx) -> Option<u64> {
        rx.recv().await
    }

    select_with!(gorin_channel::select, recv, |v| v);
}
