//! One default is enough.

async fn wrong() {
    gorin_channel::select! {
        default => {}
        default => {}
    }
}

fn main() {
    drop(wrong());
}
