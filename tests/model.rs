//! Programs under `gorin::model`: right ones pass, and the bugs of the others are found.
//!
//! The same file runs under the explorer (`cargo test --test model`) and under loom (`cargo loom`);
//! what loom is too slow for, or has too few threads for, is left to the explorer.

#[cfg(not(loom))]
mod common;
mod explore;

use std::mem::swap;

use explore::{fails, passes, patient};
use gorin::channel::{Receiver, Sender};
use gorin::prelude::*;
use gorin::sync::WaitGroup;

/// `stages` goroutines that add one to each value and hand it on.
async fn pipeline(stages: u32, values: u32) {
    let (first, mut last) = chan(0);
    for _ in 0..stages {
        let (tx, rx) = chan(0);
        let input = std::mem::replace(&mut last, rx);
        go(async move {
            while let Some(value) = input.recv().await {
                tx.send(value + 1).await.unwrap();
            }
        });
    }
    go(async move {
        for value in 0..values {
            first.send(value).await.unwrap();
        }
    });
    let mut received = Vec::new();
    while let Some(value) = last.recv().await {
        received.push(value);
    }
    assert!(received.into_iter().eq(stages..stages + values));
}

#[test]
fn pipeline_of_one_stage() {
    passes(|| pipeline(1, 1));
}

#[test]
#[cfg(not(loom))]
fn pipelines_need_one_execution_because_nothing_in_them_is_a_race() {
    for (stages, values) in [(1, 2), (2, 2), (3, 3), (6, 4)] {
        assert_eq!(passes(move || pipeline(stages, values)).executions, 1);
    }
}

/// Workers that share a queue of jobs.
async fn pool(workers: u32, jobs: u32) {
    let (job, queue) = chan(1);
    let (result, results) = chan(jobs as usize);
    let all = WaitGroup::new();
    for _ in 0..workers {
        let (queue, result, token) = (queue.clone(), result.clone(), all.add());
        go(async move {
            while let Some(n) = queue.recv().await {
                result.send(n * 2).await.unwrap();
            }
            drop(token);
        });
    }
    for n in 0..jobs {
        job.send(n).await.unwrap();
    }
    drop(job);
    all.wait().await;
    let mut sum = 0;
    for _ in 0..jobs {
        sum += results.recv().await.unwrap();
    }
    assert_eq!(sum, (0..jobs).map(|n| n * 2).sum::<u32>());
}

#[test]
fn pool_of_one_worker() {
    passes(|| pool(1, 1));
}

#[test]
#[cfg(not(loom))]
fn pools() {
    passes(|| pool(2, 2));
    passes(|| pool(2, 3));
    passes(|| pool(3, 3));
}

/// A goroutine that serves two channels until it is told to quit. If `main` does not wait for it,
/// `main` closes the other channel, too, by dropping its sender: the bug.
async fn select_and_quit(wait: bool) {
    let (data, input) = chan(0);
    let (quit, quits) = chan::<()>(0);
    let server = go(async move {
        let mut next = 0;
        loop {
            select! {
                value = input.recv() => {
                    assert_eq!(value, Some(next));
                    next += 1;
                }
                _ = quits.recv() => break,
            }
        }
        assert_eq!(next, 2);
    });
    data.send(0).await.unwrap();
    data.send(1).await.unwrap();
    quit.close();
    if wait {
        server.await.unwrap();
    }
}

#[test]
fn select_loop_ends_when_told() {
    passes(|| select_and_quit(true));
}

#[test]
fn select_loop_sees_the_other_channel_closed_as_well() {
    assert!(fails(|| select_and_quit(false)).is_panic());
}

type Fork = (Sender<()>, Receiver<()>);

async fn dine(left: Fork, right: Fork) {
    left.0.send(()).await.unwrap();
    right.0.send(()).await.unwrap();
    right.1.recv().await;
    left.1.recv().await;
}

/// `n` philosophers; the last one is left-handed unless `all_alike`, which is the bug.
async fn dining(n: usize, all_alike: bool) {
    let forks: Vec<Fork> = (0..n).map(|_| chan(1)).collect();
    for i in 0..n {
        let (mut left, mut right) = (forks[i].clone(), forks[(i + 1) % n].clone());
        if i == n - 1 && !all_alike {
            swap(&mut left, &mut right);
        }
        go(dine(left, right));
    }
}

#[test]
fn two_philosophers() {
    passes(|| dining(2, false));
}

#[test]
fn three_philosophers_alike_starve() {
    let failure = fails(|| dining(3, true));
    assert!(failure.is_leak());
    let text = failure.to_string();
    for goroutine in 1..=3 {
        assert!(text.contains(&format!("goroutine {goroutine}, started at tests/model.rs")));
    }
    assert!(text.contains("blocked in chan send at tests/model.rs"));
}

#[test]
#[cfg(not(loom))]
fn philosophers_need_one_execution_for_each_order_of_the_forks() {
    for n in 2..=6 {
        // Each fork goes to one of its two neighbours first, but not all of them the same way round.
        assert_eq!(passes(move || dining(n, false)).executions, (1 << n) - 2);
    }
}

#[test]
#[cfg(not(loom))]
fn five_philosophers_alike_starve() {
    assert!(fails(|| dining(5, true)).is_leak());
}

/// Each of two goroutines first sends, then receives.
async fn both_send_first() {
    let (to_a, from_b) = chan(0);
    let (to_b, from_a) = chan(0);
    go(async move {
        to_b.send(1).await.unwrap();
        from_b.recv().await;
    });
    to_a.send(2).await.unwrap();
    from_a.recv().await;
}

#[test]
fn both_sending_first_is_a_deadlock() {
    let failure = fails(both_send_first);
    assert!(failure.is_deadlock());
    assert!(
        failure
            .to_string()
            .contains("all goroutines are asleep - deadlock!")
    );
}

/// Two locks taken in opposite order.
async fn opposite_locks() {
    let (a, b): (Fork, Fork) = (chan(1), chan(1));
    let one = go(dine(a.clone(), b.clone()));
    let other = go(dine(b, a));
    one.await.unwrap();
    other.await.unwrap();
}

#[test]
fn opposite_order_of_locks_is_a_deadlock() {
    assert!(fails(opposite_locks).is_deadlock());
}

/// The loser of a race blocks for ever: the channel would need room for two.
async fn first_of_two() {
    let (tx, rx) = chan(0);
    // Kept open, or the loser's send would fail instead of waiting.
    let _open = rx.clone();
    for n in 0..2 {
        let tx = tx.clone();
        go(async move {
            let _ = tx.send(n).await;
            std::future::pending::<()>().await;
        });
    }
    rx.recv().await;
}

#[test]
fn a_goroutine_left_behind_is_a_leak() {
    assert!(fails(first_of_two).is_leak());
}

/// The token is taken inside the goroutine: `wait` may come before it.
async fn token_taken_too_late() {
    let (tx, rx) = chan(2);
    let all = WaitGroup::new();
    for n in 0..2 {
        let (tx, all) = (tx.clone(), all.clone());
        go(async move {
            let token = all.add();
            tx.send(n).await.unwrap();
            drop(token);
        });
    }
    all.wait().await;
    assert_eq!(rx.len(), 2, "wait returned too early");
}

#[test]
fn a_token_taken_inside_the_goroutine_is_too_late() {
    let failure = fails(token_taken_too_late);
    assert!(failure.is_panic());
    assert!(failure.to_string().contains("wait returned too early"));
}

/// A check and an act that are two steps.
async fn check_then_act() {
    let (tx, _rx) = chan(1);
    let offer = |n| {
        let tx = tx.clone();
        async move {
            if !tx.is_full() {
                tx.try_send(n).expect("there was room a moment ago");
            }
        }
    };
    let other = go(offer(1));
    offer(2).await;
    other.await.unwrap();
}

#[test]
fn checking_before_acting_is_no_reservation() {
    let failure = fails(check_then_act);
    assert!(failure.is_panic());
    assert!(failure.to_string().contains("there was room a moment ago"));
}

/// What only the explorer can do.
#[cfg(not(loom))]
mod explorer {
    use std::collections::BTreeSet;
    use std::process::{Command, Output};
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, Instant};

    use gorin::Spec;
    use gorin::model::Coverage;
    use gorin::sync::{Notify, Semaphore};
    use gorin::time::{after, sleep, timeout};

    use super::common::example;
    use super::*;

    #[test]
    fn goroutines_are_named_in_a_failure() {
        let failure = fails(|| async {
            let (tx, rx) = chan::<()>(0);
            let waiter = go_with(Spec::new().name("waiter"), async move { rx.recv().await });
            waiter.await.unwrap();
            drop(tx);
        });
        assert!(failure.is_deadlock());
        let text = failure.to_string();
        assert!(
            text.contains("goroutine 1 \"waiter\", started at tests/model.rs"),
            "{text}"
        );
        assert!(text.contains("blocked in join of goroutine 1"), "{text}");
    }

    #[test]
    fn a_panic_that_is_joined_is_a_failure_unless_allowed() {
        async fn panics() {
            let handle = go(async { panic!("on purpose") });
            assert!(handle.await.unwrap_err().is_panic());
        }
        assert!(
            fails(panics)
                .to_string()
                .contains("goroutine 1 panicked: on purpose")
        );
        patient().allow_panics().check(panics);
    }

    #[test]
    fn main_may_leave_others_behind_if_allowed() {
        async fn leaves() {
            let (tx, rx) = chan::<()>(0);
            go(async move { rx.recv().await });
            std::mem::forget(tx);
        }
        assert!(fails(leaves).is_leak());
        patient().allow_leaks().check(leaves);
    }

    #[test]
    fn a_loop_without_an_end_is_reported() {
        let failure = patient()
            .max_steps(500)
            .explore(|| async {
                let (_tx, rx) = chan::<()>(1);
                while rx.try_recv().is_err() {
                    yield_now().await;
                }
            })
            .unwrap_err();
        assert!(failure.is_endless());
    }

    #[test]
    fn a_loop_that_yields_until_another_has_sent_ends() {
        passes(|| async {
            let (tx, rx) = chan(1);
            go(async move { tx.send(()).await.unwrap() });
            while rx.try_recv().is_err() {
                yield_now().await;
            }
        });
    }

    #[test]
    fn time_is_virtual_and_moves_only_when_all_wait() {
        let start = Instant::now();
        passes(|| async {
            let hour = Duration::from_secs(3600);
            let (tx, rx) = chan(0);
            go(async move {
                sleep(hour).await;
                tx.send("late").await.unwrap();
            });
            select! {
                _ = rx.recv() => panic!("an hour is longer than a minute"),
                _ = after(hour / 60) => {}
            }
            assert_eq!(rx.recv().await, Some("late"));
            assert!(timeout(hour, std::future::pending::<()>()).await.is_err());
        });
        assert!(start.elapsed() < Duration::from_secs(60));
    }

    /// The ends of `program`, which pushes what it sees to the list that it is given.
    fn ends<F: Future<Output = ()> + 'static>(
        program: impl Fn(Arc<Mutex<Vec<u32>>>) -> F + Send + Sync + 'static,
    ) -> BTreeSet<Vec<u32>> {
        explore::ends(patient(), move || {
            let seen = Arc::new(Mutex::new(Vec::new()));
            let run = program(seen.clone());
            async move {
                run.await;
                std::mem::take(&mut *seen.lock().unwrap())
            }
        })
    }

    #[test]
    fn timers_of_one_instant_fire_in_every_order() {
        let ends = ends(|seen| async move {
            let (tx, rx) = chan(0);
            for n in 0..2 {
                let tx = tx.clone();
                go(async move {
                    sleep(Duration::from_millis(5)).await;
                    tx.send(n).await.unwrap();
                });
            }
            drop(tx);
            while let Some(n) = rx.recv().await {
                seen.lock().unwrap().push(n);
            }
        });
        assert_eq!(ends, BTreeSet::from([vec![0, 1], vec![1, 0]]));
    }

    #[test]
    fn a_select_with_two_ready_cases_takes_either() {
        let ends = ends(|seen| async move {
            let ((a, from_a), (b, from_b)) = (chan(1), chan(1));
            a.send(1).await.unwrap();
            b.send(2).await.unwrap();
            let first = select! {
                n = from_a.recv() => n,
                n = from_b.recv() => n,
            };
            seen.lock().unwrap().extend(first);
        });
        assert_eq!(ends, BTreeSet::from([vec![1], vec![2]]));
    }

    #[test]
    fn who_waits_for_two_things_may_find_both() {
        let ends = ends(|seen| async move {
            let ((a, from_a), (b, from_b)) = (chan(0), chan(0));
            let first = go(async move { b.send(2).await.is_ok() });
            let second = go(async move { a.send(1).await.is_ok() });
            let received = {
                let (one, other) = (std::pin::pin!(from_a.recv()), std::pin::pin!(from_b.recv()));
                match futures::future::select(one, other).await {
                    futures::future::Either::Left((value, _)) => value,
                    futures::future::Either::Right((value, _)) => value,
                }
            };
            let left = (from_a.len() + from_b.len()) as u32;
            drop((from_a, from_b));
            first.await.unwrap();
            second.await.unwrap();
            seen.lock().unwrap().extend([received.unwrap(), left]);
        });
        // Either alone; or both were handed over before it looked: it takes the first, and the other
        // one's value goes back to its channel.
        let expected = [[1, 0], [2, 0], [1, 1]];
        assert!(
            expected.iter().all(|end| ends.contains(&end[..])),
            "{ends:?}"
        );
    }

    /// Two who need two permits each, and take them one by one.
    async fn two_permits_each(permits: usize) {
        let semaphore = Semaphore::new(permits);
        let inside = semaphore.clone();
        let other = go(async move {
            let one = inside.acquire().await;
            let two = inside.acquire().await;
            drop((one, two));
        });
        let one = semaphore.acquire().await;
        let two = semaphore.acquire().await;
        drop((one, two));
        other.await.unwrap();
        assert_eq!(semaphore.available(), permits);
    }

    #[test]
    fn permits_that_are_collected_are_a_deadlock() {
        let failure = fails(|| two_permits_each(2));
        let text = failure.to_string();
        assert!(failure.is_deadlock(), "{text}");
        assert!(
            text.contains("Semaphore acquire at tests/model.rs:")
                && text.contains("on semaphore 1 made at tests/model.rs:"),
            "{text}"
        );
        passes(|| two_permits_each(3));
        let failure = patient()
            .without_reduction()
            .explore(|| two_permits_each(2));
        assert!(failure.unwrap_err().is_deadlock());
        patient().without_reduction().check(|| two_permits_each(3));
    }

    /// A value comes while the poll that has looked for it goes on: it waits for a handle next.
    #[test]
    fn who_is_woken_inside_of_a_poll_is_polled_again() {
        async fn program() {
            let (tx, rx) = chan(1);
            let sender = go(async move { tx.send(1).await });
            let (received, sent) = futures::future::join(rx.recv(), sender).await;
            assert_eq!((received, sent.unwrap()), (Some(1), Ok(())));
        }
        passes(program);
        passes(|| async { go(program()).await.unwrap() });
        patient().without_reduction().check(program);
    }

    #[test]
    fn an_abort_comes_before_or_after_or_in_between() {
        let ends = ends(|seen| async move {
            let (tx, rx) = chan(2);
            let (ready, go_on) = chan(1);
            let sender = go(async move {
                tx.send(1).await.unwrap();
                go_on.recv().await;
                tx.send(2).await.unwrap();
            });
            go(async move { ready.send(()).await });
            sender.abort();
            let aborted = sender.await.is_err();
            while let Some(n) = rx.recv().await {
                seen.lock().unwrap().push(n);
            }
            seen.lock().unwrap().push(if aborted { 100 } else { 0 });
        });
        // Before its first step, while it waits, before it looks at the end of its wait, too late.
        let expected = [vec![100], vec![1, 100], vec![1, 2, 0], vec![1, 2, 100]];
        assert!(
            expected[..3].iter().all(|end| ends.contains(end)),
            "{ends:?}"
        );
        assert!(ends.iter().all(|end| expected.contains(end)), "{ends:?}");
    }

    #[test]
    fn a_search_that_is_cut_off_says_so() {
        let report = patient().max_iterations(3).check(|| dining(4, false));
        assert_eq!(report.coverage, Coverage::Capped);
        assert!(report.to_string().contains("CAPPED"));
        let report = patient()
            .max_duration(Duration::ZERO)
            .check(|| dining(4, false));
        assert_eq!(report.coverage, Coverage::Capped);
    }

    #[test]
    fn a_bound_on_preemptions_still_finds_what_needs_no_more() {
        let check = |bound| patient().preemption_bound(bound).explore(opposite_locks);
        // Each goroutine must be stopped between its locks: by the other one, or by its own end.
        assert_eq!(check(0).unwrap().coverage, Coverage::Bounded(0));
        assert!(check(1).unwrap_err().is_deadlock());
    }

    /// A goroutine in a scope that is left behind: it is aborted, but only when the execution is given up.
    async fn leaves_a_scope() {
        go(gorin::scope(|scope: gorin::Scope<()>| async move {
            scope.go(std::future::pending());
            Ok(())
        }));
        let notify = Arc::new(Notify::new());
        for _ in 0..2 {
            let notify = notify.clone();
            go(async move { notify.notify_one() });
        }
    }

    #[test]
    fn what_is_aborted_when_an_execution_is_given_up_is_no_part_of_the_program() {
        let report = patient().allow_leaks().check(leaves_a_scope);
        assert!(report.executions > 1);
        assert_eq!(report.coverage, Coverage::Complete);
    }

    #[test]
    fn as_many_orders_are_drawn_as_asked_for_also_if_the_first_shows_an_abort() {
        let report = patient().seed(1).max_iterations(1).check(|| async {
            go(std::future::pending::<()>()).abort();
        });
        assert_eq!((report.executions, report.coverage), (1, Coverage::Sampled));
    }

    #[test]
    fn a_seed_draws_the_same_orders_again() {
        let sample = |seed| {
            let builder = patient().seed(seed).max_iterations(1000);
            builder
                .explore(|| dining(5, true))
                .expect_err("1000 orders are enough")
        };
        assert_eq!(sample(7).schedule(), sample(7).schedule());
        let all = patient().seed(1).max_iterations(50).check(|| pool(3, 4));
        assert_eq!((all.coverage, all.executions), (Coverage::Sampled, 50));
    }

    #[test]
    #[should_panic(expected = "a model cannot be started inside another one")]
    fn a_model_in_a_model_is_refused() {
        gorin::model(|| async { gorin::model(|| async {}) });
    }

    /// Runs one test of this file in a process of its own.
    fn run_test(name: &str, environment: &[(&str, &str)]) -> Output {
        let this = std::env::current_exe().unwrap();
        let mut command = Command::new(this);
        command.args(["--exact", name, "--nocapture", "--ignored"]);
        command.envs(environment.iter().copied());
        command.output().unwrap()
    }

    #[test]
    #[ignore = "fails on purpose; the tests below run it"]
    fn dinner() {
        gorin::model(|| dining(3, true));
    }

    #[test]
    #[ignore = "fails on purpose; the test below runs it"]
    fn late_abort() {
        gorin::model(|| async {
            let (tx, rx) = chan(0);
            let (words, heard) = chan(1);
            let speaker = go(async move { words.send(()).await });
            go(async move { tx.send(()).await });
            // Only here is it known that somebody will be aborted.
            rx.recv().await;
            speaker.abort();
            assert_eq!(heard.recv().await, Some(()), "not always");
        });
    }

    #[test]
    fn a_program_that_aborts_late_is_explored_and_its_failure_replayed() {
        replay_of("explorer::late_abort", "not always");
    }

    /// Runs a test that fails, and again with the schedule that it prints.
    fn replay_of(name: &str, complaint: &str) {
        let failed = run_test(name, &[]);
        assert!(!failed.status.success());
        let text = String::from_utf8(failed.stderr).unwrap();
        assert!(text.contains(complaint), "{text}");
        let (_, rest) = text
            .split_once("GORIN_REPLAY='")
            .expect("the schedule is printed");
        let (schedule, _) = rest.split_once('\'').unwrap();
        let again = run_test(name, &[("GORIN_REPLAY", schedule)]);
        assert!(!again.status.success());
        let text = String::from_utf8(again.stderr).unwrap();
        assert!(
            text.contains(schedule) && text.contains(complaint),
            "{text}"
        );
    }

    #[test]
    fn a_schedule_is_printed_and_replays_the_failure() {
        replay_of("explorer::dinner", "goroutine leak");
        // One that lets the philosophers eat in turn finds nothing.
        let peaceful = [("GORIN_REPLAY", "1*5 2*5 3*5")];
        let output = run_test("explorer::dinner", &peaceful);
        assert!(output.status.success());
        assert!(
            String::from_utf8(output.stdout)
                .unwrap()
                .contains("one schedule replayed")
        );
    }

    #[test]
    fn a_schedule_of_another_program_is_refused() {
        for (schedule, complaint) in [
            ("7 7", "the schedule says `7`"),
            ("c0", "the schedule says `c0`"),
            ("one", "`one` in the schedule"),
        ] {
            let output = run_test("explorer::dinner", &[("GORIN_REPLAY", schedule)]);
            assert!(!output.status.success());
            let text = String::from_utf8(output.stderr).unwrap();
            assert!(text.contains(complaint), "{text}");
        }
    }

    #[test]
    fn the_environment_chooses_random_schedules() {
        let output = run_test("explorer::dinner", &[("GORIN_MODEL", "random:3:5000")]);
        assert!(
            String::from_utf8(output.stderr)
                .unwrap()
                .contains("goroutine leak")
        );
        let output = run_test("explorer::dinner", &[("GORIN_MODEL", "randomly")]);
        assert!(
            String::from_utf8(output.stderr)
                .unwrap()
                .contains("it must be `exhaustive` or")
        );
    }

    #[test]
    fn the_examples_find_their_bugs_and_pass_without() {
        let run = |name: &str, arguments: &[&str]| {
            let output = Command::new(example(name))
                .args(arguments)
                .output()
                .unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            (output.status.success(), text)
        };
        for (name, bug, right, wrong) in [
            ("philosophers", "--alike", "nobody starves: ", "deadlock!"),
            (
                "pipeline",
                "--careless",
                "every stage ends: ",
                "nobody listens any more",
            ),
        ] {
            let (passed, text) = run(name, &["--check"]);
            assert!(
                passed && text.starts_with(right) && text.contains(", complete"),
                "{text}"
            );
            let (passed, text) = run(name, &[bug, "--check"]);
            assert!(!passed && text.contains(wrong), "{text}");
            assert!(run(name, &[]).0);
            assert!(!run(name, &["--nonsense"]).0);
        }
    }
}

#[test]
#[cfg(not(loom))]
fn a_panic_of_main_is_found_also_if_what_it_carries_panics_when_it_is_dropped() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("what a panic carried panics");
        }
    }
    let failure = patient()
        .explore(|| async { std::panic::panic_any(Bomb) })
        .unwrap_err();
    assert!(failure.to_string().contains("goroutine 0 panicked"));
}

#[test]
#[cfg(not(loom))]
fn a_blocking_operation_that_would_wait_in_a_model_is_a_failure_and_no_hang() {
    let receives = || async {
        let (tx, rx) = chan(0);
        go(async move { tx.send(1).await.unwrap() });
        assert_eq!(rx.recv_blocking(), Some(1));
    };
    let failure = patient().explore(receives).unwrap_err().to_string();
    assert!(failure.contains("without `_blocking`"), "{failure}");
    patient().check(|| async {
        let (tx, rx) = chan(1);
        tx.send_blocking(1).unwrap();
        assert_eq!(rx.recv_blocking(), Some(1));
    });
}

#[test]
#[cfg(not(loom))]
fn a_runtime_in_a_model_is_refused() {
    let runs = || async { gorin::run(async { go(async { 1 }).await.map(drop).unwrap() }) };
    let failure = patient().explore(runs).unwrap_err().to_string();
    assert!(failure.contains("`run` was called in a model"), "{failure}");
}

/// Whether or not the model runs on a worker, whose runtime it would otherwise tell of.
#[test]
#[cfg(not(loom))]
fn what_tells_of_a_runtime_is_refused_in_a_model() {
    let calls: [fn() -> usize; 3] = [gorin::num_goroutines, gorin::num_workers, || {
        gorin::goroutines().len()
    }];
    let refused = move || {
        for call in calls {
            let program = move || async move {
                call();
            };
            let failure = patient().explore(program).unwrap_err().to_string();
            assert!(failure.contains("no runtime to ask"), "{failure}");
        }
    };
    refused();
    gorin::run(async move { refused() });
}
