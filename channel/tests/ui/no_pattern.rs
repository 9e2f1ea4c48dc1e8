//! Every case names its result.

async fn wrong(rx: gorin_channel::Receiver<u8>) {
    gorin_channel::select! {
        rx.recv() => {}
    }
}

fn main() {
    drop(wrong(gorin_channel::Receiver::never()));
}
