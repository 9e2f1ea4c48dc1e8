//! G42–G51: select, between goroutines.
//!
//! Single steps, polled by hand, are tested with the channels; here the partners are goroutines.

use std::cell::Cell;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gorin::channel::{Outcome, Select, unbounded};
use gorin::prelude::*;
use gorin::time::after;

use super::everywhere;

#[test]
fn g42_operands_are_evaluated_once_in_source_order_also_of_cases_not_taken() {
    everywhere(|| async {
        let evaluated = Cell::new(String::new());
        let note = |name: &str, value: u32| {
            evaluated.set(evaluated.take() + name);
            value
        };
        let (tx, _rx) = chan(1);
        let (full, _full_rx) = chan(0);
        select! {
            _ = full.send(note("a", 1)) => unreachable!("nobody receives"),
            sent = tx.send(note("b", 2)) => assert!(sent.is_ok()),
            _ = full.send(note("c", 3)) => unreachable!("nobody receives"),
        }
        assert_eq!(evaluated.take(), "abc");
    });
}

/// From when the goroutine is started, at least one of the two channels always has a value: it must
/// not look at them one after the other.
#[test]
fn g43_all_cases_are_looked_at_in_one_atomic_step() {
    everywhere(|| async {
        for _ in 0..1000 {
            let (first, firsts) = chan(1);
            let (second, seconds) = chan(1);
            first.try_send(1).unwrap();
            let looking = go({
                let (firsts, seconds) = (firsts.clone(), seconds.clone());
                async move {
                    select! {
                        value = firsts.recv() => value,
                        value = seconds.recv() => value,
                        default => None,
                    }
                }
            });
            second.try_send(2).unwrap();
            let mine = firsts.try_recv().ok();
            let theirs = looking.await.unwrap();
            assert!(theirs.is_some(), "a case was ready all the time");
            let left = seconds.try_recv().ok();
            let mut all: Vec<i32> = [mine, theirs, left].into_iter().flatten().collect();
            all.sort_unstable();
            assert_eq!(all, [1, 2]);
        }
    });
}

#[test]
fn g44_ready_cases_are_chosen_equally_often() {
    everywhere(|| async {
        const ROUNDS: usize = 3000;
        let channels: Vec<_> = (0..3).map(|_| chan(ROUNDS)).collect();
        for (tx, _) in &channels {
            for _ in 0..ROUNDS {
                tx.send(()).await.unwrap();
            }
        }
        let [first, second, third] = [0, 1, 2].map(|i: usize| &channels[i].1);
        let idle = Receiver::<()>::never();
        let mut counts = [0; 3];
        for _ in 0..ROUNDS {
            let chosen = select! {
                _ = first.recv() => 0,
                _ = idle.recv() => unreachable!("a nil channel"),
                _ = second.recv() => 1,
                _ = third.recv() => 2,
            };
            counts[chosen] += 1;
        }
        // Five standard deviations around a third.
        let fair = |count: &usize| count.abs_diff(ROUNDS / 3) < 130;
        assert!(counts.iter().all(fair), "{counts:?}");
    });
}

#[test]
fn g45_default_is_taken_only_if_nothing_is_ready() {
    everywhere(|| async {
        let (tx, rx) = chan(1);
        let receive = || async {
            select! {
                value = rx.recv() => value,
                default => Some("nothing"),
            }
        };
        assert_eq!(receive().await, Some("nothing"));
        tx.send("a value").await.unwrap();
        assert_eq!(receive().await, Some("a value"));
        tx.close();
        assert_eq!(receive().await, None, "a closed channel is ready");
    });
}

#[test]
fn g46_of_two_partners_that_come_at_once_exactly_one_is_served() {
    everywhere(|| async {
        const ROUNDS: usize = 2000;
        let (left, lefts) = chan(0);
        let (right, rights) = chan(0);
        let senders = [left, right].map(|tx| {
            go(async move {
                let mut sent = 0;
                while tx.send(()).await.is_ok() {
                    sent += 1;
                }
                sent
            })
        });
        let mut received = [0; 2];
        for _ in 0..ROUNDS {
            select! {
                value = lefts.recv() => received[0] += usize::from(value.is_some()),
                value = rights.recv() => received[1] += usize::from(value.is_some()),
            }
        }
        drop((lefts, rights));
        for (sender, received) in senders.into_iter().zip(received) {
            assert_eq!(sender.await.unwrap(), received, "of {ROUNDS}");
        }
        assert_eq!(received.iter().sum::<usize>(), ROUNDS);
    });
}

#[test]
fn g47_selects_that_both_send_and_receive_on_both_channels_meet_and_lose_nothing() {
    everywhere(|| async {
        const EACH: usize = 1000;
        let (a, from_a) = chan(0);
        let (b, from_b) = chan(0);
        let (results, collected) = unbounded();
        for player in 0..4 {
            let (a, from_a) = (a.clone(), from_a.clone());
            let (b, from_b) = (b.clone(), from_b.clone());
            let results = results.clone();
            go(async move {
                let mut next = 0;
                loop {
                    let offered = (next < EACH).then_some(player * EACH + next);
                    let to_a = offered.map(|_| &a);
                    let to_b = offered.map(|_| &b);
                    let received = select! {
                        _ = to_a.send(offered.unwrap_or(0)) => None,
                        _ = to_b.send(offered.unwrap_or(0)) => None,
                        value = from_a.recv() => value,
                        value = from_b.recv() => value,
                    };
                    match received {
                        None => next += 1,
                        Some(value) if results.try_send(value).is_ok() => {}
                        // The test has seen enough and is over.
                        Some(_) => return,
                    }
                }
            });
        }
        let mut values = Vec::new();
        while values.len() < 4 * EACH {
            values.push(collected.recv().await.unwrap());
        }
        values.sort_unstable();
        assert_eq!(values, (0..4 * EACH).collect::<Vec<_>>());
    });
}

#[test]
fn g48_a_select_whose_cases_are_all_off_blocks_for_ever() {
    everywhere(|| async {
        let nil: Option<Receiver<u8>> = None;
        let (tx, rx) = chan(1);
        tx.send(1).await.unwrap();
        let blocked = go(async move {
            select! {
                _ = nil.recv() => {}
                _ = rx.recv(), if false => {}
            }
        });
        yield_now().await;
        assert!(!blocked.is_finished());
        blocked.abort();
        assert!(blocked.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn g49_bodies_may_break_continue_return_and_use_the_question_mark() {
    async fn first_even(rx: Receiver<u32>) -> Result<u32, &'static str> {
        loop {
            select! {
                value = rx.recv() => {
                    let value = value.ok_or("the end")?;
                    if value % 2 == 1 {
                        continue;
                    }
                    return Ok(value);
                }
                _ = pending::<()>() => break Err("unreachable"),
            }
        }
    }
    everywhere(|| async {
        let (tx, rx) = chan(4);
        for value in [1, 3, 4, 5] {
            tx.send(value).await.unwrap();
        }
        drop(tx);
        assert_eq!(first_even(rx.clone()).await, Ok(4));
        assert_eq!(first_even(rx).await, Err("the end"));
    });
}

#[test]
fn g50_cases_can_be_put_together_at_run_time() {
    everywhere(|| async {
        const CHANNELS: usize = 200;
        let channels: Vec<_> = (0..CHANNELS).map(|_| chan(0)).collect();
        let (back, answers) = chan(0);
        let senders: Vec<_> = channels
            .iter()
            .enumerate()
            .map(|(index, (tx, _))| {
                let (tx, answers) = (tx.clone(), answers.clone());
                go(async move {
                    tx.send(index).await.unwrap();
                    answers.recv().await
                })
            })
            .collect();
        let mut select = Select::new();
        for (_, rx) in &channels {
            select = select.recv(rx);
        }
        select = select.send(&back, CHANNELS);
        let (mut received, mut answered) = (vec![0; CHANNELS], 0);
        while answered < CHANNELS {
            match select.wait().await {
                (index, Outcome::Received(Some(value))) => {
                    assert_eq!(value, index);
                    received[index] += 1;
                    // Switched off, it is never chosen again.
                    select.set_enabled(index, false);
                }
                (index, Outcome::Sent(result)) => {
                    assert_eq!((index, result), (CHANNELS, Ok(())));
                    answered += 1;
                    // What was sent is gone: the case is off until it has another value.
                    assert_eq!(select.set_value(index, CHANNELS + answered), None);
                }
                other => unreachable!("{other:?}: no channel is closed"),
            }
        }
        assert_eq!(received, [1; CHANNELS]);
        let mut values: Vec<_> = Vec::new();
        for sender in senders {
            values.extend(sender.await.unwrap());
        }
        values.sort_unstable();
        assert_eq!(values, (CHANNELS..2 * CHANNELS).collect::<Vec<_>>());
    });
}

#[test]
fn g51_a_timer_is_a_case_like_any_other_and_loses_no_value_when_it_wins() {
    everywhere(|| async {
        let (tx, rx) = chan(0);
        let won = Arc::new(AtomicUsize::new(0));
        let timeouts = won.clone();
        let sender = go(async move {
            for number in 0..300 {
                tx.send(number).await.unwrap();
                if number % 7 == 0 {
                    gorin::time::sleep(Duration::from_micros(70)).await;
                }
            }
            // On a slow machine the sender may always be back before the timer: it wins here at the latest, if
            // it can.
            while timeouts.load(Ordering::Relaxed) == 0 {
                gorin::time::sleep(Duration::from_micros(70)).await;
            }
        });
        let mut received = Vec::new();
        loop {
            select! {
                value = rx.recv() => match value {
                    Some(number) => received.push(number),
                    None => break,
                },
                _ = after(Duration::from_micros(40)) => {
                    won.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        sender.await.unwrap();
        assert_eq!(received, (0..300).collect::<Vec<_>>());
        assert!(won.load(Ordering::Relaxed) > 0, "the timer never won");
    });
}
