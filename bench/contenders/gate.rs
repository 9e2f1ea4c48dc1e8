//! A gate for runtimes that bring no primitive with many waiters: a channel that is closed.

/// Many tasks wait until it opens.
#[derive(Clone)]
pub(crate) struct Gate {
    tx: async_channel::Sender<()>,
    rx: async_channel::Receiver<()>,
}

impl Gate {
    pub(crate) fn new() -> Gate {
        let (tx, rx) = async_channel::bounded(1);
        Gate { tx, rx }
    }

    pub(crate) async fn wait(&self) {
        // Nothing is ever sent: the error says that the channel was closed.
        let _ = self.rx.recv().await;
    }

    pub(crate) fn open(&self) {
        self.tx.close();
    }
}
