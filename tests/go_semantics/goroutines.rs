//! G1–G20: the go statement, the life of a goroutine, who runs next, and on which worker.

use std::cell::Cell;
use std::future::pending;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, ThreadId};

use gorin::prelude::*;
use gorin::{PanicPolicy, Runtime, Spec, go_local, goroutines, num_goroutines, run};

use super::{common, everywhere, on_workers};

/// Sends once when it is dropped.
struct TellOnDrop(mpsc::Sender<()>);

impl Drop for TellOnDrop {
    fn drop(&mut self) {
        // The test may have ended; then nobody asks any more.
        let _ = self.0.send(());
    }
}

#[test]
fn g01_the_arguments_of_go_are_evaluated_by_the_caller_at_once() {
    everywhere(|| async {
        fn here() -> ThreadId {
            thread::current().id()
        }
        async fn echo(thread: ThreadId) -> ThreadId {
            thread
        }
        let caller = here();
        let evaluated_by = go(echo(here())).await.unwrap();
        assert_eq!(evaluated_by, caller);
    });
}

#[test]
fn g01_a_goroutine_runs_without_being_awaited() {
    everywhere(|| async {
        let (tx, rx) = chan(0);
        go(async move { tx.send("I run").await });
        assert_eq!(rx.recv().await, Some("I run"));
    });
}

#[test]
fn g02_what_was_written_before_go_is_seen_by_the_goroutine() {
    everywhere(|| async {
        for round in 0..200 {
            // Relaxed on purpose: `go` itself must order the two.
            let written = Arc::new(AtomicUsize::new(0));
            written.store(round, Ordering::Relaxed);
            let seen = go({
                let written = written.clone();
                async move { written.load(Ordering::Relaxed) }
            });
            assert_eq!(seen.await.unwrap(), round);
        }
    });
}

#[test]
fn g03_what_a_goroutine_wrote_is_seen_after_its_handle_was_awaited() {
    everywhere(|| async {
        for round in 0..200 {
            let written = Arc::new(AtomicUsize::new(0));
            let writer = written.clone();
            go(async move { writer.store(round, Ordering::Relaxed) })
                .await
                .unwrap();
            assert_eq!(written.load(Ordering::Relaxed), round);
        }
    });
}

#[test]
fn g04_the_end_of_main_drops_the_goroutines_and_runs_their_destructors() {
    common::within_patience(|| {
        for workers in [1, 2] {
            let (sender, told) = mpsc::channel();
            let value = Runtime::builder().workers(workers).run(async move {
                for _ in 0..10 {
                    let on_drop = TellOnDrop(sender.clone());
                    go(async move {
                        let _on_drop = on_drop;
                        pending::<()>().await;
                    });
                }
                "main's value"
            });
            assert_eq!(value.unwrap(), "main's value");
            // All have been dropped when `run` returns, not some time later.
            assert_eq!(told.try_iter().count(), 10);
        }
    });
}

#[test]
fn g04_the_end_of_main_may_wait_for_the_goroutines_for_a_while() {
    use gorin::runtime::MainExit;
    let run_with = |exit, started: fn(mpsc::Sender<()>)| {
        let (tx, rx) = mpsc::channel();
        let runtime = Runtime::builder().workers(2).on_main_exit(exit);
        runtime.run(async move { started(tx) }).unwrap();
        rx.try_recv().is_ok()
    };
    let in_steps: fn(mpsc::Sender<()>) = |tx| {
        go(async move {
            gorin::time::sleep(std::time::Duration::from_millis(5)).await;
            // The last one is started when main is long over.
            go(async move {
                yield_now().await;
                tx.send(()).unwrap();
            });
        });
    };
    assert!(run_with(MainExit::Wait(common::PATIENCE), in_steps));
    let never: fn(mpsc::Sender<()>) = |tx| {
        go(async move {
            pending::<()>().await;
            tx.send(()).unwrap();
        });
    };
    let short = std::time::Duration::from_millis(5);
    assert!(!run_with(MainExit::Wait(short), never));
    assert!(!run_with(MainExit::Drop, never));
}

#[test]
fn g05_a_panic_goes_to_who_awaits_the_handle() {
    everywhere(|| async {
        let failed = go(async { panic!("as expected by the test") }).await;
        let panic = failed.unwrap_err().into_panic();
        assert_eq!(panic.downcast_ref(), Some(&"as expected by the test"));
    });
}

#[test]
fn g05_with_crash_a_panic_that_nobody_awaits_ends_the_program() {
    common::within_patience(|| {
        for workers in [1, 2] {
            let crashed = catch_unwind(AssertUnwindSafe(|| {
                Runtime::builder()
                    .workers(workers)
                    .panic_policy(PanicPolicy::Crash)
                    .run(async {
                        go(async { panic!("as expected by the test") });
                        pending::<()>().await;
                    })
            }));
            let panic = crashed.expect_err("main is ended by the panic");
            assert_eq!(panic.downcast_ref(), Some(&"as expected by the test"));
        }
    });
}

#[test]
fn g06_a_panic_that_nobody_awaits_leaves_the_others_alone() {
    everywhere(|| async {
        let (tx, rx) = chan::<u8>(0);
        // The sender moves into the goroutine that panics: its drop is what the others see.
        go(async move {
            let _tx = tx;
            panic!("as expected by the test");
        });
        assert_eq!(rx.recv().await, None);
        assert_eq!(go(async { 1 }).await.unwrap(), 1);
    });
}

/// A goroutine that is about to wait for ever, and what tells that it was dropped.
async fn parked() -> (JoinHandle<()>, mpsc::Receiver<()>) {
    let (sender, told) = mpsc::channel();
    let (tx, rx) = chan(0);
    let waiting = go(async move {
        let _on_drop = TellOnDrop(sender);
        tx.send("parked next").await.unwrap();
        pending::<()>().await;
    });
    rx.recv().await.unwrap();
    (waiting, told)
}

#[test]
fn g07_abort_drops_a_goroutine_at_its_await_point() {
    everywhere(|| async {
        let (waiting, told) = parked().await;
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert!(
            told.try_recv().is_ok(),
            "dropped before the handle is ready"
        );
    });
}

#[test]
fn g07_who_does_not_join_a_goroutine_can_abort_it() {
    everywhere(|| async {
        let waiting = go(pending::<()>());
        let abort = waiting.abort_handle();
        assert_eq!(abort.id(), waiting.id());
        assert!(!abort.is_finished());
        go({
            let abort = abort.clone();
            async move { abort.abort() }
        });
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert!(abort.is_finished());
        abort.abort();

        let done = go(async { 7 });
        let abort = done.abort_handle();
        assert_eq!(done.await.unwrap(), 7);
        abort.abort();
        assert!(abort.is_finished());

        let (detached, told) = parked().await;
        let abort = detached.abort_handle();
        drop(detached);
        abort.abort();
        while !abort.is_finished() {
            yield_now().await;
        }
        assert!(told.try_recv().is_ok(), "dropped before it is finished");
    });
}

#[test]
fn g08_each_goroutine_has_an_id_of_its_own_and_a_name_if_it_was_given_one() {
    everywhere(|| async {
        let named = go_with(Spec::new().name("acceptor"), pending::<()>());
        let other = go(pending::<()>());
        assert_ne!(named.id(), other.id());
        let infos = gorin_executor::current().unwrap().tasks();
        let info = infos
            .iter()
            .find(|info| info.to_string().contains("acceptor"));
        assert!(
            info.is_some_and(|info| info.to_string().contains("goroutines.rs")),
            "{infos:?}"
        );
    });
}

#[test]
fn g09_a_goroutine_outlives_the_one_that_started_it() {
    everywhere(|| async {
        let (tx, rx) = chan(0);
        let parent = go(async move {
            go(async move { tx.send("still here").await });
        });
        parent.await.unwrap();
        assert_eq!(rx.recv().await, Some("still here"));
    });
}

#[test]
fn g10_dropping_the_handle_lets_the_goroutine_run_on() {
    everywhere(|| async {
        let (tx, rx) = chan(0);
        drop(go(async move {
            yield_now().await;
            tx.send("detached").await
        }));
        assert_eq!(rx.recv().await, Some("detached"));
    });
}

#[test]
fn g10_abort_on_drop_makes_the_handle_take_the_goroutine_with_it() {
    everywhere(|| async {
        let (tx, rx) = chan::<()>(0);
        let handle = go(async move {
            let _tx = tx;
            pending::<()>().await;
        });
        drop(handle.abort_on_drop());
        assert_eq!(rx.recv().await, None, "its sender is dropped");
    });
}

#[test]
fn g11_a_hundred_thousand_goroutines_are_normal() {
    everywhere(|| async {
        const MANY: usize = 100_000;
        let (tx, rx) = chan(1);
        for _ in 0..MANY {
            let rx = rx.clone();
            go(async move { rx.recv().await });
        }
        assert_eq!(num_goroutines(), MANY);
        for value in 0..MANY {
            tx.send(value).await.unwrap();
        }
    });
}

#[test]
fn g12_each_iteration_has_its_own_loop_variable() {
    everywhere(|| async {
        let handles: Vec<_> = (0..10).map(|i| go(async move { i })).collect();
        for (i, handle) in handles.into_iter().enumerate() {
            assert_eq!(handle.await.unwrap(), i);
        }
    });
}

#[test]
fn g13_yield_now_lets_every_other_ready_goroutine_run_first() {
    // With two workers "first" has no meaning: the other one runs at the same time.
    on_workers(1, || async {
        let steps = Arc::new(Mutex::new(Vec::new()));
        let handles: Vec<_> = (0..3)
            .map(|id| {
                let steps = steps.clone();
                go(async move {
                    for step in 0..3 {
                        steps.lock().unwrap().push((step, id));
                        yield_now().await;
                    }
                })
            })
            .collect();
        for handle in handles {
            handle.await.unwrap();
        }
        let steps = steps.lock().unwrap();
        let rounds: Vec<i32> = steps.iter().map(|(step, _)| *step).collect();
        assert_eq!(rounds, [0, 0, 0, 1, 1, 1, 2, 2, 2], "{steps:?}");
    });
}

#[test]
fn g14_a_pair_that_keeps_waking_each_other_does_not_starve_a_third() {
    everywhere(|| async {
        let (ping, pings) = chan(0);
        let (pong, pongs) = chan(0);
        go(async move { while ping.send(()).await.is_ok() && pongs.recv().await.is_some() {} });
        go(async move { while pings.recv().await.is_some() && pong.send(()).await.is_ok() {} });
        go(async {
            for _ in 0..1000 {
                yield_now().await;
            }
        })
        .await
        .unwrap();
    });
}

#[test]
fn g15_a_loop_over_operations_that_are_always_ready_does_not_starve_others() {
    everywhere(|| async {
        let stop = Arc::new(AtomicBool::new(false));
        let hog = go({
            let stop = stop.clone();
            async move {
                let (tx, rx) = chan(1);
                while !stop.load(Ordering::Relaxed) {
                    tx.send(()).await.unwrap();
                    rx.recv().await.unwrap();
                }
            }
        });
        go(async move { stop.store(true, Ordering::Relaxed) })
            .await
            .unwrap();
        hog.await.unwrap();
    });
}

#[test]
fn main_may_borrow_and_need_not_be_send() {
    let count = Rc::new(Cell::new(0));
    let borrowed = &count;
    run(async {
        let one = go(async { 1 }).await.unwrap();
        borrowed.set(borrowed.get() + one);
    });
    assert_eq!(count.get(), 1);
}

/// Remembers its thread, and tells on which one it is dropped.
struct HomeIs {
    thread: ThreadId,
    dropped_on: mpsc::Sender<ThreadId>,
    not_send: Rc<()>,
}

impl Drop for HomeIs {
    fn drop(&mut self) {
        // The test may have ended; then nobody asks any more.
        let _ = self.dropped_on.send(thread::current().id());
    }
}

fn home() -> (HomeIs, mpsc::Receiver<ThreadId>) {
    let (dropped_on, drops) = mpsc::channel();
    let home = HomeIs {
        thread: thread::current().id(),
        dropped_on,
        not_send: Rc::new(()),
    };
    (home, drops)
}

#[test]
fn g17_code_that_blocks_does_not_hold_the_others() {
    on_workers(1, || async {
        let (tx, rx) = mpsc::channel();
        let blocking = gorin::unblock(move || rx.recv().unwrap());
        // The only worker goes on, or this is never sent.
        go(async move { tx.send(7).unwrap() });
        assert_eq!(blocking.await.unwrap(), 7);
    });
}

#[test]
fn g19_a_local_goroutine_stays_on_its_worker_whoever_wakes_it() {
    on_workers(4, || async {
        let mut hosts = Vec::new();
        for _ in 0..8 {
            hosts.push(go(async {
                let (to_local, inbox) = chan::<usize>(0);
                let (home, drops) = home();
                let local = go_local(async move {
                    let mut sum = 0;
                    while let Some(n) = inbox.recv().await {
                        assert_eq!(thread::current().id(), home.thread);
                        assert_eq!(Rc::strong_count(&home.not_send), 1);
                        sum += n;
                    }
                    sum
                });
                // These move about, and each send wakes the local one.
                let senders: Vec<_> = (0..4)
                    .map(|_| {
                        let to_local = to_local.clone();
                        go(async move {
                            for n in 0..100 {
                                to_local.send(n).await.unwrap();
                                yield_now().await;
                            }
                        })
                    })
                    .collect();
                drop(to_local);
                for sender in senders {
                    sender.await.unwrap();
                }
                assert_eq!(local.await.unwrap(), 4 * 4950);
                drops.recv().unwrap()
            }));
        }
        for host in hosts {
            host.await.unwrap();
        }
    });
}

#[test]
fn g19_a_local_goroutine_is_aborted_from_elsewhere_and_dropped_at_home() {
    everywhere(|| async {
        let (home, drops) = home();
        let worker = home.thread;
        let local = go_local(async move {
            let _home = home;
            pending::<()>().await;
        });
        yield_now().await;
        thread::spawn(move || local.abort()).join().unwrap();
        let dropped_on = loop {
            match drops.try_recv() {
                Ok(thread) => break thread,
                Err(_) => yield_now().await,
            }
        };
        assert_eq!(dropped_on, worker);
    });
}

#[test]
fn g19_at_the_end_of_main_local_goroutines_are_dropped_at_home() {
    let (tx, rx) = mpsc::channel();
    run(async move {
        for _ in 0..20 {
            let tx = tx.clone();
            go(async move {
                let (home, drops) = home();
                tx.send((home.thread, drops)).unwrap();
                drop(go_local(async move {
                    let _home = home;
                    pending::<()>().await;
                }));
            })
            .await
            .unwrap();
        }
    });
    let homes: Vec<_> = rx.iter().collect();
    assert_eq!(homes.len(), 20);
    for (home, drops) in homes {
        assert_eq!(drops.recv().unwrap(), home);
    }
}

#[test]
fn g19_an_output_that_is_not_send_can_be_taken_on_the_same_worker() {
    run(async {
        let shared = go_local(async { Rc::new(7) }).await.unwrap();
        assert_eq!(*shared, 7);
        let error = go_local(async { panic!("at home") }).await.unwrap_err();
        assert_eq!(error.to_string(), "the goroutine panicked: at home");
    });
}

#[test]
fn g19_local_goroutines_and_others_take_turns() {
    on_workers(1, || async {
        let turns = Rc::new(Cell::new(0));
        let seen = turns.clone();
        let local = go_local(async move {
            loop {
                seen.set(seen.get() + 1);
                yield_now().await;
            }
        });
        let mut others = 0;
        while turns.get() < 1000 {
            others += 1;
            go(yield_now()).await.unwrap();
        }
        assert!(others > 10, "the local one kept the worker to itself");
        local.abort();
    });
}

#[test]
fn g20_goroutines_are_counted_and_listed() {
    everywhere(|| async {
        assert_eq!(num_goroutines(), 0);
        let handles: Vec<_> = (0..5).map(|_| go(pending::<()>())).collect();
        let local = go_local(pending::<()>());
        assert_eq!(num_goroutines(), 6);
        let mut listed: Vec<_> = goroutines().iter().map(|goroutine| goroutine.id).collect();
        let mut started: Vec<_> = handles.iter().map(|handle| handle.id()).collect();
        started.push(local.id());
        listed.sort();
        started.sort();
        assert_eq!(listed, started);
        assert!(goroutines()[0].to_string().contains("goroutines.rs"));
        for handle in handles.into_iter().chain([local]) {
            handle.abort();
            assert!(handle.await.unwrap_err().is_cancelled());
        }
        assert_eq!(num_goroutines(), 0);
    });
}

#[test]
fn g18_the_number_of_workers_is_that_of_the_cpus_unless_told_otherwise() {
    // The variable would decide; the test is about its absence.
    if std::env::var_os("GORIN_WORKERS").is_none() {
        let cpus = gorin::runtime::available_cpus();
        assert_eq!(run(async { gorin::num_workers() }), cpus);
    }
    let runtime = Runtime::builder().workers(3).build().unwrap();
    assert_eq!(runtime.handle().num_workers(), 3);
}
