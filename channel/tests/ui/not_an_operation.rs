//! Only operations and futures can be cases.

async fn wrong() {
    gorin_channel::select! {
        value = 5 => drop(value),
    }
}

fn main() {
    drop(wrong());
}
