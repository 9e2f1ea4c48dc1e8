//! Every case has a body.

async fn wrong(rx: gorin_channel::Receiver<u8>) {
    gorin_channel::select! {
        value = rx.recv(),
        default => {}
    }
}

fn main() {
    drop(wrong(gorin_channel::Receiver::never()));
}
