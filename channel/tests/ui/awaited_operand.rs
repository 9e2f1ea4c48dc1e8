//! An operation is given to `select!` without `.await`.

async fn wrong(rx: gorin_channel::Receiver<u8>) {
    gorin_channel::select! {
        value = rx.recv().await => drop(value),
    }
}

fn main() {
    drop(wrong(gorin_channel::Receiver::never()));
}
