//! Calls from the wrong place panic with a text that says what to do instead.

// Runtimes need a kernel; under loom there are none.
#![cfg(not(loom))]

mod common;

use std::cell::RefCell;
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use common::within_patience;
use gorin::runtime::Handle;
use gorin::{Runtime, go, run};

/// The text of the panic that `body` ends with.
fn panic_text<T>(body: impl FnOnce() -> T) -> String {
    let panic = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(_) => panic!("it was allowed"),
        Err(panic) => panic,
    };
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => (*panic.downcast::<&str>().expect("panics carry text")).to_owned(),
    }
}

/// Names both ways to have a runtime, by which a reader finds them in the documentation.
fn assert_says_how(text: &str) {
    for name in ["gorin::run", "Handle::enter"] {
        assert!(text.contains(name), "{name} is not in: {text}");
    }
}

#[test]
fn go_outside_a_runtime_says_where_to_call_it() {
    let text = panic_text(|| go(async {}));
    assert!(text.contains("inside a gorin runtime"), "{text}");
    assert_says_how(&text);
}

#[test]
fn go_local_on_a_thread_that_is_no_worker_says_where_it_may_be_called() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let entered = runtime.handle();
    for text in [
        panic_text(|| gorin::go_local(async {})),
        panic_text(|| runtime.block_on(async { gorin::go_local(async {}).await })),
        panic_text(move || {
            let _entered = entered.enter();
            gorin::go_local(async {})
        }),
    ] {
        assert!(text.contains("only on a worker"), "{text}");
        assert!(text.contains("`go`"), "{text}");
    }
}

#[test]
fn unblock_outside_a_runtime_says_where_to_call_it() {
    let text = panic_text(|| gorin::unblock(|| ()));
    assert!(text.contains("inside a gorin runtime"), "{text}");
    assert_says_how(&text);
}

#[test]
fn sleeping_outside_a_runtime_says_where_to_call_it() {
    let sleep = gorin::time::sleep(Duration::from_secs(3600));
    let text = panic_text(|| gorin_base::check::block_on(sleep));
    assert_says_how(&text);
}

#[test]
fn counting_outside_a_runtime_says_where_to_call_it() {
    for text in [
        panic_text(gorin::num_goroutines),
        panic_text(gorin::num_workers),
        panic_text(gorin::goroutines),
    ] {
        assert!(text.contains("gorin::run"), "{text}");
    }
}

#[test]
fn sockets_outside_a_runtime_give_an_error_that_says_where_to_make_them() {
    let stream = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let error = gorin::net::TcpListener::from_std(stream).unwrap_err();
    assert!(error.to_string().contains("gorin::run"), "{error}");
}

#[test]
fn writing_to_the_standard_output_outside_a_runtime_is_an_error_that_says_where_to_do_it() {
    use gorin::io::AsyncWriteExt;
    let mut out = gorin::io::stdout();
    let written = gorin_base::check::block_on(out.write_all(b"not written"));
    let error = written.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotConnected);
    assert!(error.to_string().contains("gorin::run"), "{error}");
}

#[test]
fn run_inside_run_says_to_await() {
    let text = run(async { panic_text(|| run(async {})) });
    assert!(
        text.contains(".await") && text.contains("gorin::go"),
        "{text}"
    );
    let text = run(async { go(async { panic_text(|| run(async {})) }).await.unwrap() });
    assert!(text.contains(".await"), "{text}");
}

#[test]
fn block_on_inside_a_goroutine_says_to_await() {
    within_patience(|| {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        let handle = runtime.handle();
        let inner = runtime.go(async move { panic_text(|| handle.block_on(async {})) });
        let text = runtime.block_on(inner).unwrap();
        assert!(text.contains(".await"), "{text}");
    });
}

#[test]
fn block_on_inside_block_on_says_to_await_and_the_outer_one_goes_on() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let text = runtime.block_on(async { panic_text(|| runtime.block_on(async {})) });
    assert!(text.contains(".await"), "{text}");
    assert_eq!(runtime.block_on(async { 1 }), 1, "the thread is free again");
}

#[test]
fn a_runtime_dropped_inside_its_own_goroutine_stops_and_says_what_to_do() {
    within_patience(|| {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        let handle = runtime.handle();
        let (sender, told) = std::sync::mpsc::channel();
        handle.go(async move {
            let text = panic_text(|| drop(runtime));
            sender.send(text).unwrap();
        });
        let text = told.recv().unwrap();
        assert!(
            text.contains("Handle") && text.contains("shutdown_background"),
            "{text}"
        );
        // It has been told to stop: nothing runs on it any more.
        let late = handle.go(pending::<()>());
        assert!(
            gorin_base::check::block_on(late)
                .unwrap_err()
                .is_cancelled()
        );
    });
}

#[test]
fn shutdown_background_is_allowed_inside_its_own_goroutine() {
    within_patience(|| {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        let handle = runtime.handle();
        let (sender, told) = std::sync::mpsc::channel();
        handle.go(async move {
            runtime.shutdown_background();
            sender.send(()).unwrap();
            pending::<()>().await;
        });
        told.recv().unwrap();
    });
}

#[test]
fn a_handle_of_a_stopped_runtime_says_so() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let handle = runtime.handle();
    assert!(runtime.shutdown_timeout(common::PATIENCE).is_complete());
    let text = panic_text(|| handle.block_on(pending::<()>()));
    assert!(
        text.contains("stopped") && text.contains("Runtime"),
        "{text}"
    );
    let _entered = handle.enter();
    for text in [
        gorin_base::check::block_on(gorin::net::lookup("localhost:1"))
            .unwrap_err()
            .to_string(),
        gorin_base::check::block_on(gorin::fs::canonicalize("."))
            .unwrap_err()
            .to_string(),
    ] {
        assert!(text.contains("its runtime has ended"), "{text}");
    }
}

#[test]
fn settings_that_make_no_sense_are_refused_by_name() {
    for workers in [0, 1_000_000] {
        let error = Runtime::builder().workers(workers).build().unwrap_err();
        assert!(error.to_string().contains("Builder::workers"), "{error}");
    }
    let error = Runtime::builder().thread_name("a\0b").build().unwrap_err();
    assert!(error.to_string().contains("thread_name"), "{error}");
    // Some are too small for any goroutine, and others larger than any memory.
    for stack in [0, 4096, usize::MAX / 2] {
        let builder = Runtime::builder().thread_stack_size(stack);
        let text = builder.build().unwrap_err().to_string();
        assert!(text.contains(&stack.to_string()), "{text}");
    }
    let smallest = Runtime::builder().workers(1).thread_stack_size(64 << 10);
    let runtime = smallest.build().unwrap();
    let read = runtime.go(async { gorin::fs::read("Cargo.toml").await });
    assert!(runtime.block_on(read).unwrap().is_ok());
}

#[test]
fn a_wrong_environment_variable_is_refused_with_its_value() {
    let ping_pong = common::example("ping_pong");
    let workers = ["many", "0", "-1"].map(|value| ("GORIN_WORKERS", value));
    let poll = ["long", "-1", "5 us"].map(|value| ("GORIN_POLL_US", value));
    let seed = ["random", "-1"].map(|value| ("GORIN_SEED", value));
    let others = [
        ("GORIN_RESCUE", "yes"),
        ("GORIN_STALL_MS", "1s"),
        ("GORIN_DEBUG", "schedtrace"),
        ("GORIN_WITHOUT", "msg_ring,sqpoll"),
    ];
    let all = workers.into_iter().chain(poll).chain(seed).chain(others);
    for (variable, value) in all {
        let output = Command::new(&ping_pong)
            .env(variable, value)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success());
        assert!(
            text.contains(variable) && text.contains(value.rsplit(',').next().unwrap()),
            "{text}"
        );
    }
}

/// Compose files and shells that pass on a variable which is not set pass on an empty one.
#[test]
fn empty_environment_variables_count_as_not_set() {
    let names = [
        "WORKERS", "POLL_US", "SEED", "RESCUE", "STALL_MS", "DRIVER", "DEBUG", "WITHOUT",
    ];
    let output = Command::new(common::example("ping_pong"))
        .arg("1")
        .envs(names.map(|name| (format!("GORIN_{name}"), "")))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
}

#[test]
fn when_the_ring_of_a_worker_cannot_be_had_run_says_why_and_leaves_nothing() {
    // Descriptors for the process's own needs and a ring or two, not for fifty.
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 20; GORIN_WORKERS=50 exec \"$0\" 1"])
        .arg(common::example("ping_pong"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(101), "a panic of main: {text}");
    assert!(
        text.contains("RLIMIT_NOFILE") || text.contains("ulimit -n"),
        "{text}"
    );
}

/// Workers come first: what is too little for the spare one as well is said, and no error.
#[test]
fn when_only_the_spare_worker_cannot_be_had_the_runtime_goes_on_without() {
    let run = |descriptors: usize| {
        let output = Command::new("sh")
            .args(["-c", &format!("ulimit -n {descriptors}; exec \"$0\" 1")])
            .arg(common::example("ping_pong"))
            .env("GORIN_WORKERS", "2")
            .output()
            .unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let runs: Vec<_> = (3..40).map(run).collect();
    let fails = runs.iter().take_while(|(success, _)| !success).count();
    let goes_on = &runs[fails..];
    assert!(fails > 0 && goes_on.iter().all(|(success, _)| *success));
    let without = goes_on.iter().take_while(|(_, text)| !text.is_empty());
    let without: Vec<_> = without.map(|(_, text)| text).collect();
    assert!(!without.is_empty() && without.len() < goes_on.len());
    for text in without {
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(
            text.contains("RLIMIT_NOFILE") && text.contains("without the spare worker"),
            "{text}"
        );
    }
    assert!(goes_on.last().unwrap().1.is_empty());
}

/// Whatever memory there is for rings, with or without a ring per worker: none is an error.
#[test]
fn too_little_memory_for_the_ring_of_each_worker_is_none_for_any() {
    use std::os::unix::process::CommandExt;

    // Root may lock as much as it likes, and nobody else may look into root's directories.
    let directory = common::TempDir::new();
    let program = directory.path("prime_sieve");
    // By a program: what this one has open to write, the children of other tests hold until they have begun,
    // and a program that is open to write cannot be started.
    let mut copy = Command::new("cp");
    let copied = copy.arg(common::example("prime_sieve")).arg(&program);
    assert!(copied.status().unwrap().success());
    for limit in [0, 16, 32, 48, 64, 96, 128] {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("ulimit -l {limit}; exec \"$0\" 3")])
            .arg(&program)
            .env("GORIN_WORKERS", "4")
            .env_remove("GORIN_DRIVER");
        if rustix::process::geteuid().is_root() {
            shell.uid(65534);
        }
        let output = shell.output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{limit} KiB: {text}");
        let said = text.lines().filter(|line| line.starts_with("gorin: "));
        let said: Vec<_> = said.collect();
        // Old kernels do not count rings.
        assert!(said.len() <= 1, "{said:?}");
        let is_cure = |line: &str| {
            line.contains("epoll instead") || line.contains("without the spare worker")
        };
        assert!(
            said.iter()
                .all(|line| line.contains("RLIMIT_MEMLOCK") && is_cure(line)),
            "{said:?}"
        );
    }
}

#[test]
fn block_on_ends_when_its_runtime_does() {
    within_patience(|| {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        let handle = runtime.handle();
        let (sender, waiting) = std::sync::mpsc::channel();
        let blocked = std::thread::spawn(move || {
            panic_text(|| {
                handle.block_on(async {
                    sender.send(()).unwrap();
                    pending::<()>().await;
                })
            })
        });
        waiting.recv().unwrap();
        assert!(runtime.shutdown_timeout(common::PATIENCE).is_complete());
        let text = blocked.join().unwrap();
        assert!(text.contains("stopped"), "{text}");
    });
}

#[test]
fn block_on_ends_when_a_goroutine_crashes_the_runtime() {
    within_patience(|| {
        let builder = Runtime::builder().panic_policy(gorin::PanicPolicy::Crash);
        let runtime = builder.build().unwrap();
        runtime.go(async { panic!("as expected by the test") });
        let text = panic_text(|| runtime.block_on(pending::<()>()));
        assert!(text.contains("crashed"), "{text}");
    });
}

/// As at the end of `run`, nobody waits for a goroutine that computes before the panic is told.
#[test]
fn block_on_ends_at_a_crash_also_while_another_goroutine_computes() {
    within_patience(|| {
        let builder = Runtime::builder().panic_policy(gorin::PanicPolicy::Crash);
        let builder = builder.exit_timeout(Duration::from_millis(10));
        let runtime = builder.workers(2).build().unwrap();
        let (release, released) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        runtime.go(async move {
            begin.send(()).unwrap();
            let _ended = released.recv();
        });
        begun.recv().unwrap();
        runtime.go(async { panic!("as expected by the test") });
        let text = panic_text(|| runtime.block_on(pending::<()>()));
        assert!(text.contains("crashed"), "{text}");
        drop(release);
    });
}

/// The waker of a stranger: it panics, and so does what its panic carries when it is dropped.
struct Panics(mpsc::Sender<()>);

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        // Nobody may listen any more.
        let _ = self.0.send(());
        std::panic::panic_any(PanicsAgain);
    }
}

struct PanicsAgain;

impl Drop for PanicsAgain {
    fn drop(&mut self) {
        panic!("as expected by the test");
    }
}

type Waiting = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Polls a future of `make` with a waker that panics, until one waits.
fn wait_with_panics<F: Future<Output = ()> + Send + 'static>(
    woken: &mpsc::Sender<()>,
    make: impl Fn() -> F,
) -> Waiting {
    let waker = Waker::from(Arc::new(Panics(woken.clone())));
    // On a busy machine the first one may be over before it is polled.
    loop {
        let mut future: Waiting = Box::pin(make());
        if future
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_pending()
        {
            break future;
        }
    }
}

fn moment() -> gorin::time::Sleep {
    gorin::time::sleep(Duration::from_millis(20))
}

/// The reactor calls it.
#[test]
fn a_waker_that_panics_does_not_end_its_worker() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (sender, called) = mpsc::channel();
    let polled = runtime.go(async move { vec![wait_with_panics(&sender, moment)] });
    let sleep = runtime.block_on(polled).unwrap();
    called
        .recv_timeout(common::PATIENCE)
        .expect("the timer fires");
    let answer = runtime.go(async { 7 });
    let answer = within_patience(move || (runtime.block_on(answer), runtime));
    assert_eq!(answer.0.unwrap(), 7);
    drop(sleep);
    let runtime = answer.1;
    assert!(runtime.shutdown_timeout(common::PATIENCE).is_complete());
}

#[test]
fn a_waker_that_panics_on_the_worker_of_main_does_not_end_main() {
    let (sender, called) = mpsc::channel();
    let ran = Runtime::builder().workers(1).run(async {
        let sleep = wait_with_panics(&sender, moment);
        while called.try_recv().is_err() {
            gorin::time::sleep(Duration::from_millis(1)).await;
        }
        drop(sleep);
        7
    });
    assert_eq!(ran.unwrap(), 7);
}

/// Sockets and timers that outlive the runtime, in the hands of strangers, are woken at its end.
#[test]
fn wakers_that_panic_at_the_end_do_not_disturb_it() {
    let (sender, called) = mpsc::channel();
    let leave = move || {
        let sender = sender.clone();
        async move {
            let mut waiting = Vec::new();
            for _ in 0..3 {
                let (stream, peer) = gorin::net::UnixStream::pair().unwrap();
                let stream = Arc::new(stream);
                waiting.push(wait_with_panics(&sender, move || {
                    let (stream, peer) = (stream.clone(), peer.clone());
                    async move {
                        let _ = stream.read(&mut [0]).await;
                        drop(peer);
                    }
                }));
                waiting.push(wait_with_panics(&sender, || {
                    gorin::time::sleep(Duration::from_secs(3600))
                }));
            }
            waiting
        }
    };
    let waiting = Runtime::builder().workers(1).run(leave()).unwrap();
    assert_eq!(called.try_iter().count(), waiting.len());
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let waiting = runtime.block_on(runtime.go(leave())).unwrap();
    assert!(runtime.shutdown_timeout(common::PATIENCE).is_complete());
    assert_eq!(called.try_iter().count(), waiting.len());
}

/// In a destructor of a thread-local gorin's own may be gone already: who asks for the runtime is told that
/// there is none, and a runtime can be used by its handle, and dropped. For: panics there, which end the
/// process.
#[test]
fn a_runtime_can_be_used_while_the_locals_of_its_thread_are_destroyed() {
    struct Late(Option<Runtime>, mpsc::Sender<(bool, i32, String)>);

    impl Drop for Late {
        fn drop(&mut self) {
            let is_outside = Handle::try_current().is_none();
            let runtime = self.0.take().unwrap();
            let joined = runtime.block_on(runtime.go(async { 7 })).unwrap();
            let refused = panic_text(|| run(async {}));
            drop(runtime);
            self.1.send((is_outside, joined, refused)).unwrap();
        }
    }

    thread_local! {
        static LATE: RefCell<Option<Late>> = const { RefCell::new(None) };
    }

    let (sender, seen) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        // Before gorin's own, so that these go first.
        LATE.set(None);
        let runtime = Runtime::builder().workers(1).build().unwrap();
        runtime.block_on(async { go(async {}).await.unwrap() });
        LATE.set(Some(Late(Some(runtime), sender)));
    });
    thread.join().unwrap();
    let (is_outside, joined, refused) = seen.recv_timeout(common::PATIENCE).unwrap();
    assert!(is_outside);
    assert_eq!(joined, 7);
    assert!(
        refused.contains("destructor of a thread-local"),
        "{refused}"
    );
}

/// What a kernel would have to answer is refused in a model, whatever it is, and not waited for.
#[test]
fn in_a_model_errors_of_operations_say_what_to_take_instead() {
    use gorin::io::AsyncReadExt;
    let refused = || async {
        let errors = [
            gorin::net::TcpListener::bind("127.0.0.1:0").await.err(),
            gorin::net::lookup("localhost:80").await.err(),
            gorin::fs::read("Cargo.toml").await.err(),
            gorin::fs::canonicalize("Cargo.toml").await.err(),
            gorin::process::Command::new("true").status().await.err(),
            gorin::io::stdin().read(&mut [0]).await.err(),
        ];
        for error in errors {
            let text = error.expect("it is refused").to_string();
            assert!(text.contains("gorin::io::duplex"), "{text}");
        }
    };
    gorin::model(refused);
    // Also on a thread that has a runtime, as in `#[gorin::test]`.
    gorin::run(async move {
        gorin::model(refused);
    });
}
