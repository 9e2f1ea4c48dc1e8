//! Scopes: goroutines that have ended when the block that started them goes on.
//!
//! The models run under the explorer (`cargo test --test scope`); under loom (`cargo loom`), where
//! nothing can be aborted, those that abort nothing.

mod explore;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use explore::patient;
use gorin::model::{Builder, Coverage};
use gorin::prelude::*;
use gorin::scope;

/// Counts the goroutines that hold one. std's counter: it is looked at between the operations that the
/// checkers know, where nothing else runs, and it orders nothing.
#[derive(Clone, Default)]
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn enter(&self) -> Alive {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.clone()
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

struct Inside(Alive);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Never ends by itself.
async fn wait_for_ever(alive: Alive) -> Result<(), &'static str> {
    let _inside = Inside(alive.enter());
    Receiver::<()>::never().recv().await;
    unreachable!("nobody sends")
}

#[track_caller]
fn passes<F: Future<Output = ()> + 'static>(program: impl Fn() -> F + Send + Sync + 'static) {
    let builder = patient();
    let builder = if cfg!(loom) {
        builder.preemption_bound(2)
    } else {
        builder
    };
    check(builder, program);
}

/// As `passes`, for programs that have too many orders.
#[cfg(not(loom))]
#[track_caller]
fn passes_bounded<F: Future<Output = ()> + 'static>(
    bound: usize,
    program: impl Fn() -> F + Send + Sync + 'static,
) {
    check(patient().preemption_bound(bound), program);
}

#[track_caller]
fn check<F: Future<Output = ()> + 'static>(
    builder: Builder,
    program: impl Fn() -> F + Send + Sync + 'static,
) {
    let coverage = builder.check(program).coverage;
    assert!(matches!(
        coverage,
        Coverage::Complete | Coverage::Bounded(_)
    ));
}

/// For: a scope that returns before the last of its goroutines.
#[test]
fn a_scope_returns_when_all_have_ended() {
    passes(|| async {
        let goroutines = if cfg!(loom) { 1 } else { 2 };
        let (tx, rx) = chan(2);
        let value = scope(|s| async move {
            for n in 0..goroutines {
                let tx = tx.clone();
                s.go(async move { tx.send(n).await.map_err(|_| "nobody receives") });
            }
            Ok(7)
        });
        assert_eq!(value.await, Ok(7));
        assert_eq!(rx.len(), goroutines);
    });
}

/// For: siblings that are not ended, or not waited for.
#[cfg(not(loom))]
#[test]
fn the_first_error_ends_the_others_before_it_is_told() {
    passes(|| async {
        let alive = Alive::default();
        let inside = alive.clone();
        let failed: Result<(), _> = scope(|s| async move {
            s.go(wait_for_ever(inside));
            s.go(async { Err("no") });
            Ok(())
        })
        .await;
        assert_eq!((failed, alive.count()), (Err("no"), 0));
    });
}

/// For: a newcomer of a scope that has failed, which nobody ends.
#[cfg(not(loom))]
#[test]
fn who_is_started_after_a_failure_ends_too() {
    passes(|| async {
        let alive = Alive::default();
        let inside = alive.clone();
        let failed: Result<(), _> = scope(|s| async move {
            let more = s.clone();
            s.go(async move {
                more.go(wait_for_ever(inside));
                Ok(())
            });
            Err("no")
        })
        .await;
        assert_eq!((failed, alive.count()), (Err("no"), 0));
    });
}

/// A scope that fails while its body waits: the body is dropped.
#[test]
fn a_body_that_waits_is_dropped_when_a_goroutine_fails() {
    passes(|| async {
        let alive = Alive::default();
        let failed: Result<(), _> = scope(|s| {
            s.go(async { Err("no") });
            wait_for_ever(alive.clone())
        })
        .await;
        assert_eq!((failed, alive.count()), (Err("no"), 0));
    });
}

/// Dropped with a newcomer on its way: nobody is left, and no value is lost. For: a goroutine that
/// lives on in a message that nobody has read.
#[cfg(not(loom))]
#[test]
fn a_scope_that_is_dropped_aborts_its_goroutines() {
    passes_bounded(2, || async {
        let owner = go(async {
            let mut family = Box::pin(scope(|s: gorin::Scope<&str>| async move {
                let more = s.clone();
                s.go(async move {
                    more.go(wait_for_ever(Alive::default()));
                    Ok(())
                });
                Ok(())
            }));
            assert!(gorin_base::check::poll_once(family.as_mut()).is_pending());
        });
        owner.await.unwrap();
    });
}

#[cfg(not(loom))]
mod plain {
    use std::panic::AssertUnwindSafe;
    use std::time::Duration;

    use futures::FutureExt;
    use gorin::Scope;
    use gorin::time::timeout;

    use super::explore::fails;
    use super::*;

    #[test]
    fn a_deadlock_inside_of_a_scope_is_explained() {
        let failure = fails(|| async {
            let _: Result<(), ()> = scope(|s| async move {
                s.go(async {
                    let (tx, rx) = chan::<()>(0);
                    rx.recv().await;
                    drop(tx);
                    Ok(())
                });
                Ok(())
            })
            .await;
        });
        let text = failure.to_string();
        assert!(failure.is_deadlock(), "{text}");
        for part in [
            "goroutine 0, main\n    blocked in join of goroutine 1",
            "goroutine 1, started at tests/scope.rs:",
            "blocked in chan receive at tests/scope.rs:",
        ] {
            assert!(text.contains(part), "`{part}` is not in\n{text}");
        }
    }

    #[test]
    fn a_panic_comes_out_of_the_scope_when_the_others_have_ended() {
        gorin::run(async {
            let alive = Alive::default();
            let (inside, as_well) = (alive.clone(), alive.clone());
            let family = scope(|s| async move {
                s.go(wait_for_ever(inside));
                s.go(wait_for_ever(as_well));
                s.go(async { panic!("as was to be expected") });
                Ok(())
            });
            let payload = AssertUnwindSafe(family).catch_unwind().await.unwrap_err();
            assert_eq!(payload.downcast_ref(), Some(&"as was to be expected"));
            assert_eq!(alive.count(), 0);
        });
    }

    /// The block panics, at once or later, while a goroutine of the scope runs.
    #[test]
    fn a_panic_of_the_body_goes_on_when_the_others_have_ended() {
        for at_once in [true, false] {
            let ran = gorin::Runtime::builder().workers(2).run(async move {
                let alive = Alive::default();
                let (inside, runs) = (alive.clone(), alive.clone());
                let family = scope(|s: Scope<()>| {
                    s.go(async move {
                        let _inside = Inside(inside.enter());
                        // Longer than the panic takes.
                        std::thread::sleep(Duration::from_millis(20));
                        Ok(())
                    });
                    while runs.count() == 0 {
                        std::thread::yield_now();
                    }
                    assert!(!at_once, "as was to be expected");
                    async { panic!("as was to be expected") }
                });
                let panic: Result<Result<(), ()>, _> =
                    AssertUnwindSafe(family).catch_unwind().await;
                let payload = panic.unwrap_err();
                assert_eq!(payload.downcast_ref(), Some(&"as was to be expected"));
                assert_eq!(alive.count(), 0);
            });
            ran.unwrap();
        }
    }

    #[test]
    fn a_body_borrows_and_may_fail_by_the_question_mark() {
        gorin::run(async {
            let text = String::from("x");
            let parsed: Result<u32, std::num::ParseIntError> = scope(|s| async {
                let s = s;
                s.go(async { Ok(()) });
                let number = text.parse::<u32>()?;
                Ok(number)
            })
            .await;
            assert!(parsed.is_err());
            assert_eq!(text, "x");
        });
    }

    /// Generations of goroutines that outlive those who started them.
    #[test]
    fn goroutines_of_goroutines_are_waited_for() {
        fn descend(s: Scope<()>, depth: u32, ended: Sender<u32>) {
            let heir = s.clone();
            s.go(async move {
                yield_now().await;
                if depth > 0 {
                    descend(heir.clone(), depth - 1, ended.clone());
                    descend(heir, depth - 1, ended.clone());
                }
                let _ = ended.send(depth).await;
                Ok(())
            });
        }
        gorin::run(async {
            let (ended, ends) = gorin::channel::unbounded();
            let told = ended.clone();
            scope(|s| async move {
                descend(s, 9, told);
                Ok(())
            })
            .await
            .unwrap();
            assert_eq!(ends.len(), (1 << 10) - 1);
        });
    }

    #[test]
    fn a_time_limit_around_a_scope_ends_its_goroutines() {
        gorin::run(async {
            let alive = Alive::default();
            let inside = alive.clone();
            let before = gorin::num_goroutines();
            let family = scope(|s| async move {
                for _ in 0..100 {
                    s.go(wait_for_ever(inside.clone()));
                }
                Ok(())
            });
            assert!(timeout(Duration::from_millis(20), family).await.is_err());
            // They end soon, and nothing but time can be waited for.
            while gorin::num_goroutines() > before {
                yield_now().await;
            }
            assert_eq!(alive.count(), 0);
        });
    }
}

#[test]
#[cfg(not(loom))]
fn goroutines_are_gone_when_a_destructor_of_the_body_panics() {
    use futures::FutureExt;
    use std::panic::AssertUnwindSafe;

    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("what the body owns panics");
        }
    }

    gorin::run(async {
        let alive = Arc::new(());
        let theirs = alive.clone();
        let fails = scope(|s: gorin::Scope<u8>| async move {
            let _panics = Panics;
            s.go(async move {
                let _theirs = theirs;
                std::future::pending().await
            });
            s.go(async { Err(1) });
            std::future::pending::<()>().await;
            Ok(())
        });
        assert!(AssertUnwindSafe(fails).catch_unwind().await.is_err());
        assert_eq!(Arc::strong_count(&alive), 1);
    });
}

/// Who awaits a scope whose goroutines are of another runtime does not end with that one.
#[test]
#[cfg(not(loom))]
fn a_scope_does_not_wait_for_goroutines_whose_runtime_has_ended() {
    let started_in = gorin::Runtime::builder().workers(1).build().unwrap();
    let other = gorin::Runtime::builder().workers(1).build().unwrap();
    let handle = started_in.handle();
    let (tell, started) = std::sync::mpsc::channel();
    let waits = other.go(scope(|s: gorin::Scope<u8>| async move {
        let entered = handle.enter();
        s.go(std::future::pending());
        drop(entered);
        tell.send(()).unwrap();
        Ok(())
    }));
    started.recv().unwrap();
    drop(started_in);
    let limit = std::time::Duration::from_secs(60);
    let ended = other.block_on(async { gorin::time::timeout(limit, waits).await });
    let text = ended.expect("it ends").unwrap_err().to_string();
    assert!(text.contains("runtime"), "{text}");
}

/// In the same runtime it is dropped with the others, and says nothing.
#[test]
#[cfg(not(loom))]
fn a_scope_ends_with_its_runtime() {
    for _ in 0..100 {
        let runtime = gorin::Runtime::builder().workers(2).build().unwrap();
        let (tell, started) = std::sync::mpsc::channel();
        let waits = runtime.go(async move {
            scope(|s: gorin::Scope<u8>| async move {
                for _ in 0..3 {
                    s.go(std::future::pending());
                }
                tell.send(()).unwrap();
                Ok(())
            })
            .await
        });
        started.recv().unwrap();
        drop(runtime);
        let ended = gorin_base::check::block_on(waits);
        assert!(ended.unwrap_err().is_cancelled());
    }
}
