//! `recv_of_2` and `recv_of_8` of a channel by whichever `select!` goes with it.

/// Writes `recv_of_2` and `recv_of_8` of a [`Channel`] with a `select!` macro. The receive is
/// spelt out in each arm, because a `select!` may treat a channel's own receive specially.
macro_rules! select_with {
    ($select:path, $recv:ident, |$v:ident| $value:expr) => {
        async fn recv_of_2(rxs: &mut [Self::Rx; 2]) -> Option<u64> {
            let [a, b] = rxs;
            $select! { $v = a.$recv() => { $value }, $v = b.$recv() => { $value }, }
        }

        async fn recv_of_8(rxs: &mut [Self::Rx; 8]) -> Option<u64> {
            let [a, b, c, d, e, f, g, h] = rxs;
            $select! {
                $v = a.$recv() => { $value }, $v = b.$recv() => { $value },
                $v = c.$recv() => { $value }, $v = d.$recv() => { $value },
                $v = e.$recv() => { $value }, $v = f.$recv() => { $value },
                $v = g.$recv() => { $value }, $v = h.$recv() => { $value },
            }
        }
    };
}
pub(crate) use select_with;
