//! The channel crates that run on any executor.
//!
//! kanal takes no part in select: a value handed to one of its receive futures dies with the
//! future, and a row that loses messages measures nothing.

use crate::select::select_with;
use crate::shared::channel::{Capacity, Channel};
use crate::shared::messages::Rows;
use crate::shared::{Failure, Outcome, unsupported};

/// Runs `rows` on the crate called `name`.
pub(crate) fn with_channel(name: &str, rows: &Rows) -> Outcome {
    match name {
        "kanal" => rows.run::<Kanal>(),
        "flume" => rows.run::<Flume>(),
        "async-channel" => rows.run::<AsyncChannel>(),
        "tokio-mpsc" => rows.run::<TokioMpsc>(),
        _ => unsupported(format!("it does not know the channel `{name}`")),
    }
}

pub(crate) struct Kanal;

impl Channel for Kanal {
    type Tx = kanal::AsyncSender<u64>;
    type Rx = kanal::AsyncReceiver<u64>;
    const SMALLEST: usize = 0;
    const NO_SELECT: Option<&str> = Some("kanal loses values under select");

    fn open(capacity: Capacity) -> Result<(Self::Tx, Self::Rx), Failure> {
        Ok(match capacity {
            Capacity::Bounded(capacity) => kanal::bounded_async(capacity),
            Capacity::Unbounded => kanal::unbounded_async(),
        })
    }

    fn share(rx: &Self::Rx) -> Result<Self::Rx, Failure> {
        Ok(rx.clone())
    }

    async fn send(tx: &mut Self::Tx, value: u64) -> bool {
        tx.send(value).await.is_ok()
    }

    async fn recv(rx: &mut Self::Rx) -> Option<u64> {
        rx.recv().await.ok()
    }

    select_with!(tokio::select, recv, |v| v.ok());
}

pub(crate) struct Flume;

impl Channel for Flume {
    type Tx = flume::Sender<u64>;
    type Rx = flume::Receiver<u64>;
    const SMALLEST: usize = 0;

    fn open(capacity: Capacity) -> Result<(Self::Tx, Self::Rx), Failure> {
        Ok(match capacity {
            Capacity::Bounded(capacity) => flume::bounded(capacity),
            Capacity::Unbounded => flume::unbounded(),
        })
    }

    fn share(rx: &Self::Rx) -> Result<Self::Rx, Failure> {
        Ok(rx.clone())
    }

    async fn send(tx: &mut Self::Tx, value: u64) -> bool {
        tx.send_async(value).await.is_ok()
    }

    async fn recv(rx: &mut Self::Rx) -> Option<u64> {
        rx.recv_async().await.ok()
    }

    select_with!(tokio::select, recv_async, |v| v.ok());
}

pub(crate) struct AsyncChannel;

impl Channel for AsyncChannel {
    type Tx = async_channel::Sender<u64>;
    type Rx = async_channel::Receiver<u64>;
    const SMALLEST: usize = 1;

    fn open(capacity: Capacity) -> Result<(Self::Tx, Self::Rx), Failure> {
        Ok(match capacity {
            Capacity::Unbounded => async_channel::unbounded(),
            Capacity::Bounded(capacity) => async_channel::bounded(capacity),
        })
    }

    fn share(rx: &Self::Rx) -> Result<Self::Rx, Failure> {
        Ok(rx.clone())
    }

    async fn send(tx: &mut Self::Tx, value: u64) -> bool {
        tx.send(value).await.is_ok()
    }

    async fn recv(rx: &mut Self::Rx) -> Option<u64> {
        rx.recv().await.ok()
    }

    select_with!(tokio::select, recv, |v| v.ok());
}

pub(crate) struct TokioMpsc;

/// tokio has two types of channel; this is either, with the cost of one predictable branch.
#[derive(Clone)]
pub(crate) enum TokioTx {
    Bounded(tokio::sync::mpsc::Sender<u64>),
    Unbounded(tokio::sync::mpsc::UnboundedSender<u64>),
}

pub(crate) enum TokioRx {
    Bounded(tokio::sync::mpsc::Receiver<u64>),
    Unbounded(tokio::sync::mpsc::UnboundedReceiver<u64>),
}

impl TokioRx {
    async fn recv(&mut self) -> Option<u64> {
        match self {
            TokioRx::Bounded(rx) => rx.recv().await,
            TokioRx::Unbounded(rx) => rx.recv().await,
        }
    }
}

impl Channel for TokioMpsc {
    type Tx = TokioTx;
    type Rx = TokioRx;
    const SMALLEST: usize = 1;

    fn open(capacity: Capacity) -> Result<(Self::Tx, Self::Rx), Failure> {
        Ok(match capacity {
            Capacity::Unbounded => {
                let (tx, rx) = tokio::sync::mpsc::unbounded_channel();
                (TokioTx::Unbounded(tx), TokioRx::Unbounded(rx))
            }
            Capacity::Bounded(capacity) => {
                let (tx, rx) = tokio::sync::mpsc::channel(capacity);
                (TokioTx::Bounded(tx), TokioRx::Bounded(rx))
            }
        })
    }

    fn share(_rx: &Self::Rx) -> Result<Self::Rx, Failure> {
        unsupported("it has a single receiver")
    }

    async fn send(tx: &mut Self::Tx, value: u64) -> bool {
        match tx {
            TokioTx::Bounded(tx) => tx.send(value).await.is_ok(),
            TokioTx::Unbounded(tx) => tx.send(value).is_ok(),
        }
    }

    async fn recv(rx: &mut Self::Rx) -> Option<u64> {
        rx.recv().await
    }

    select_with!(tokio::select, recv, |v| v);
}
