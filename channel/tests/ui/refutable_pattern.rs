//! A pattern must fit every result: what would a select do with a value that does not?

async fn wrong(rx: gorin_channel::Receiver<u8>) {
    gorin_channel::select! {
        Some(value) = rx.recv() => drop(value),
    }
}

fn main() {
    drop(wrong(gorin_channel::Receiver::never()));
}
