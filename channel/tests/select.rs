//! What the documentation promises of select, polled by hand: each test is one promise.
#![cfg(not(loom))]

use std::future::{Future, pending, ready};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use futures::executor::block_on;
use gorin_channel::{Chan, Outcome, Receiver, Select, SendError, Sender, chan, select};

fn poll<F: Future + ?Sized>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn a_ready_case_is_chosen_and_the_others_have_no_effect() {
    let (tx, rx) = chan(1);
    let (other, other_rx) = chan::<u8>(0);
    tx.try_send(1).unwrap();
    let got = block_on(async {
        select! {
            value = rx.recv() => value,
            _ = other.send(9) => None,
            value = other_rx.recv() => value,
        }
    });
    assert_eq!(got, Some(1));
    assert!(other.try_send(2).unwrap_err().is_full());
    assert!(other_rx.try_recv().is_err());
}

#[test]
#[cfg_attr(miri, ignore = "statistics over many rounds")]
fn every_ready_case_is_chosen_equally_often() {
    let channels: Vec<_> = (0..4).map(|_| Chan::new(1)).collect();
    for n in [0, 2, 3] {
        channels[n].try_send(()).unwrap();
    }
    let rounds = 30_000;
    let mut counts = [0u32; 4];
    block_on(async {
        for _ in 0..rounds {
            let n = select! {
                _ = channels[0].recv() => 0,
                _ = channels[1].recv() => 1,
                _ = channels[2].recv() => 2,
                _ = channels[3].recv() => 3,
            };
            counts[n] += 1;
            channels[n].try_send(()).unwrap();
        }
    });
    assert_eq!(counts[1], 0);
    for n in [0, 2, 3] {
        // 10,000 expected, standard deviation 82.
        assert!((9500..10_500).contains(&counts[n]), "{counts:?}");
    }
}

#[test]
fn biased_takes_the_first_ready_case_in_source_order() {
    let a = Chan::new(1);
    let b = Chan::new(1);
    a.try_send('a').unwrap();
    b.try_send('b').unwrap();
    block_on(async {
        for _ in 0..50 {
            let got = select! {
                biased;
                () = pending() => None,
                value = b.recv() => value,
                value = a.recv() => value,
                () = ready(()) => None,
            };
            assert_eq!(got, Some('b'));
            b.try_send('b').unwrap();
        }
    });
}

#[test]
fn default_is_chosen_only_if_nothing_is_ready() {
    let (tx, rx) = chan(1);
    let look = || {
        block_on(async {
            select! {
                value = rx.recv() => value,
                default => Some(0),
            }
        })
    };
    assert_eq!(look(), Some(0));
    tx.try_send(1).unwrap();
    assert_eq!(look(), Some(1));
    drop(tx);
    assert_eq!(look(), None);
}

#[test]
fn guards_and_missing_operands_switch_cases_off() {
    let (tx, rx) = chan(1);
    tx.try_send(1).unwrap();
    let no_receiver: Option<Receiver<u8>> = None;
    let no_sender: Option<&Sender<u8>> = None;
    let no_future: Option<std::future::Ready<u8>> = None;
    let mut evaluated = false;
    let on = 1 > 2;
    let got = block_on(async {
        select! {
            value = rx.recv(), if on => value,
            _ = { evaluated = true; ready(()) }, if on => None,
            value = no_receiver.recv() => value,
            _ = no_sender.send(1) => None,
            value = no_future => Some(value),
            default => Some(7),
        }
    });
    assert_eq!(got, Some(7));
    assert!(!evaluated);
    let some = Some(rx);
    let got = block_on(async {
        select! {
            value = some.recv(), if !on => value,
            default => None,
        }
    });
    assert_eq!(got, Some(1));
}

#[test]
fn bodies_belong_to_the_enclosing_function() {
    async fn first_positive(rx: &Receiver<i32>) -> Result<i32, String> {
        loop {
            let value = select! {
                value = rx.recv() => value.ok_or("closed")?,
            };
            if value == 0 {
                continue;
            }
            select! {
                () = ready(()) => {
                    if value > 0 {
                        return Ok(value);
                    }
                    break Err(format!("negative: {value}"))
                }
            }
        }
    }
    let (tx, rx) = chan(4);
    for n in [0, 3, -1] {
        tx.try_send(n).unwrap();
    }
    tx.close();
    assert_eq!(block_on(first_positive(&rx)), Ok(3));
    assert_eq!(block_on(first_positive(&rx)), Err("negative: -1".into()));
    assert_eq!(block_on(first_positive(&rx)), Err("closed".into()));
}

#[test]
fn a_body_may_use_what_the_select_had_borrowed() {
    let mut own = Some(Chan::new(1));
    own.as_ref().unwrap().try_send(5).unwrap();
    block_on(async {
        select! {
            value = own.as_ref().unwrap().recv() => {
                assert_eq!(value, Some(5));
                own = None;
            }
        }
    });
    assert!(own.is_none());
}

#[test]
fn a_waiting_select_is_served_once_and_leaves_nothing_behind() {
    let (a, b) = (Chan::new(0), Chan::new(0));
    {
        let mut waiting = pin!(async {
            select! {
                value = a.recv() => ('a', value),
                value = b.recv() => ('b', value),
            }
        });
        assert!(poll(waiting.as_mut()).is_pending());
        assert_eq!(b.try_send(1), Ok(()));
        assert!(a.try_send(2).unwrap_err().is_full());
        assert!(b.try_send(3).unwrap_err().is_full());
        assert_eq!(poll(waiting.as_mut()), Poll::Ready(('b', Some(1))));
    }
    assert!(a.try_send(4).unwrap_err().is_full());
}

#[test]
fn a_select_dropped_after_it_was_given_a_value_puts_the_value_back() {
    let (a, b) = (Chan::new(0), Chan::new(0));
    {
        let mut waiting = pin!(async {
            select! {
                value = a.recv() => value,
                value = b.recv() => value,
            }
        });
        assert!(poll(waiting.as_mut()).is_pending());
        a.try_send(1).unwrap();
    }
    assert_eq!((a.len(), b.len()), (1, 0));
    assert_eq!(a.try_recv(), Ok(1));
}

#[test]
fn a_select_does_not_meet_itself_but_two_selects_meet() {
    let c = Chan::new(0);
    let both = || async {
        select! {
            result = c.send(1) => result.map(|()| None),
            value = c.recv() => Ok(value),
        }
    };
    let mut first = pin!(both());
    assert!(poll(first.as_mut()).is_pending());
    assert!(poll(first.as_mut()).is_pending());
    let mut second = pin!(both());
    let Poll::Ready(second) = poll(second.as_mut()) else {
        panic!("two selects must meet")
    };
    let Poll::Ready(first) = poll(first.as_mut()) else {
        panic!("both sides must have been served")
    };
    let mut got = [first.unwrap(), second.unwrap()];
    got.sort_unstable();
    assert_eq!(got, [None, Some(1)]);
}

#[test]
fn the_same_channel_may_occur_many_times() {
    let c = Chan::new(1);
    let (mut sent, mut received) = (0, 0);
    block_on(async {
        for n in 0..100 {
            select! {
                result = c.send(n) => { result.unwrap(); sent += 1; }
                result = c.send(n) => { result.unwrap(); sent += 1; }
                _ = c.recv() => received += 1,
                _ = c.recv() => received += 1,
            }
        }
    });
    assert_eq!(sent + received, 100);
    assert_eq!(sent - received, i32::try_from(c.len()).unwrap());
}

#[test]
fn a_closed_channel_is_ready_also_beside_default() {
    let (tx, rx) = chan::<u8>(0);
    rx.close();
    block_on(async {
        for _ in 0..20 {
            select! {
                value = rx.recv() => assert_eq!(value, None),
                result = tx.send(1) => assert_eq!(result, Err(SendError(1))),
                default => panic!("a closed channel is ready"),
            }
        }
    });
}

#[test]
#[cfg_attr(miri, ignore = "statistics over many rounds")]
fn a_ready_channel_does_not_starve_a_foreign_future_nor_the_reverse() {
    let c = Chan::new(1);
    c.try_send(()).unwrap();
    let (mut channel, mut foreign) = (0, 0);
    block_on(async {
        for _ in 0..4000 {
            select! {
                _ = c.recv() => { channel += 1; c.try_send(()).unwrap(); }
                () = ready(()) => foreign += 1,
            }
        }
    });
    assert!(channel > 1700 && foreign > 1700, "{channel} {foreign}");
}

#[test]
fn a_partner_that_comes_while_a_foreign_future_is_polled_is_found() {
    let c = Chan::new(0);
    let mut polls = 0;
    let sent = std::cell::RefCell::new(None);
    let sneaky = std::future::poll_fn(|_| {
        polls += 1;
        if polls == 2 {
            // The select is absent now: this send waits in line.
            let mut send = Box::pin(c.send(5));
            assert!(poll(send.as_mut()).is_pending());
            *sent.borrow_mut() = Some(send);
        }
        Poll::<()>::Pending
    });
    {
        let mut sneaky = pin!(sneaky);
        let mut waiting = pin!(async {
            select! {
                value = c.recv() => value,
                () = sneaky.as_mut() => None,
            }
        });
        let mut got = Poll::Pending;
        for _ in 0..3 {
            if got.is_pending() {
                got = poll(waiting.as_mut());
            }
        }
        assert_eq!(got, Poll::Ready(Some(5)));
    }
    let send = sent.borrow_mut().take();
    assert_eq!(poll(send.unwrap().as_mut()), Poll::Ready(Ok(())));
}

#[test]
fn a_panic_of_a_foreign_future_leaves_nothing_behind() {
    let c = Chan::new(0);
    let mut polls = 0;
    let mut waiting = Box::pin(async {
        select! {
            value = c.recv() => value,
            value = std::future::poll_fn(|_| {
                polls += 1;
                assert!(polls < 3, "the third poll panics");
                Poll::Pending
            }) => value,
        }
    });
    assert!(poll(waiting.as_mut()).is_pending());
    let unwound = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        while poll(waiting.as_mut()).is_pending() {}
    }));
    assert!(unwound.is_err());
    drop(waiting);
    assert!(c.try_send(1).unwrap_err().is_full());
    let mut recv = pin!(c.recv());
    assert!(poll(recv.as_mut()).is_pending());
    c.try_send(2).unwrap();
    assert_eq!(poll(recv.as_mut()), Poll::Ready(Some(2)));
}

#[test]
fn a_future_by_reference_survives_a_select_that_chose_another_case() {
    let (tx, rx) = chan(0);
    let mut recv = rx.recv();
    block_on(async {
        select! {
            biased;
            _ = &mut recv => panic!("nothing was sent"),
            () = ready(()) => {}
        }
    });
    tx.try_send(3).unwrap();
    assert_eq!(block_on(recv), Some(3));
}

#[test]
fn an_operation_that_was_polled_before_can_move_into_a_select() {
    let (tx, rx) = chan(0);
    let mut recv = rx.recv();
    assert!(poll(Pin::new(&mut recv)).is_pending());
    tx.try_send(1).unwrap();
    let got = block_on(async {
        select! { value = recv => value }
    });
    assert_eq!(got, Some(1));
    let mut send = tx.send(2);
    assert!(poll(Pin::new(&mut send)).is_pending());
    assert_eq!(rx.try_recv(), Ok(2));
    let result = block_on(async {
        select! { result = send => result }
    });
    assert_eq!(result, Ok(()));
}

#[test]
fn more_channels_than_fit_inline_work_too() {
    let channels: Vec<_> = (0..40).map(|_| chan(1)).collect();
    let mut select = Select::new();
    for (_, rx) in channels.iter().rev() {
        select = select.recv(rx);
    }
    for (tx, _) in &channels {
        let mut waiting = Box::pin(select.wait());
        assert!(poll(waiting.as_mut()).is_pending());
        tx.try_send(1).unwrap();
        assert!(matches!(
            poll(waiting.as_mut()),
            Poll::Ready((_, Outcome::Received(Some(1))))
        ));
    }
}

#[test]
fn the_run_time_select_sends_each_value_once_and_keeps_unsent_ones() {
    let (a, a_rx) = chan(1);
    let (b, b_rx) = chan(1);
    let mut select = Select::new().biased().send(&a, 1).send(&b, 2);
    assert_eq!(select.try_wait(), Some((0, Outcome::Sent(Ok(())))));
    assert_eq!(block_on(select.wait()), (1, Outcome::Sent(Ok(()))));
    assert_eq!(select.try_wait(), None);
    assert_eq!(select.set_value(1, 3), None);
    {
        let mut waiting = pin!(select.wait());
        assert!(poll(waiting.as_mut()).is_pending());
    }
    assert_eq!(select.set_value(1, 4), Some(3));
    assert_eq!((a_rx.try_recv(), b_rx.try_recv()), (Ok(1), Ok(2)));
    assert_eq!(select.try_wait(), Some((1, Outcome::Sent(Ok(())))));
    select.set_enabled(1, true);
    assert_eq!(b_rx.try_recv(), Ok(4));
}

#[test]
fn a_select_is_send_if_its_cases_are() {
    fn assert_send<T: Send>(value: T) -> T {
        value
    }
    let (tx, rx) = chan::<u8>(1);
    let future = assert_send(async move {
        select! {
            value = rx.recv() => value,
            _ = tx.send(1) => None,
            () = pending() => None,
        }
    });
    assert_eq!(block_on(future), None);
}

#[test]
fn a_send_that_has_happened_stays_off_when_it_is_switched_on_without_a_value() {
    let (tx, rx) = chan(1);
    let mut select = Select::new().send(&tx, 1);
    assert_eq!(select.try_wait(), Some((0, Outcome::Sent(Ok(())))));
    assert_eq!(rx.try_recv(), Ok(1));
    select.set_enabled(0, true);
    assert_eq!(select.try_wait(), None, "there is nothing to send");
    assert!(rx.is_empty());
    assert_eq!(select.set_value(0, 2), None);
    assert_eq!(select.try_wait(), Some((0, Outcome::Sent(Ok(())))));
    assert_eq!(rx.try_recv(), Ok(2));
}

#[test]
fn a_send_that_was_refused_stays_off_when_it_is_switched_on_without_a_value() {
    let (tx, _rx) = chan(1);
    let mut select = Select::new().send(&tx, 1);
    tx.close();
    let refused = Outcome::Sent(Err(SendError(1)));
    assert_eq!(select.try_wait(), Some((0, refused)));
    select.set_enabled(0, true);
    assert_eq!(select.try_wait(), None, "there is nothing to send");
}
