//! What a refusing kernel makes of [`Reactor::new`](gorin_reactor::Reactor::new), with io_uring
//! required or not: each case runs in a process of its own, because limits and seccomp filters cannot
//! be undone.
#![cfg(not(loom))]

mod support;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::pin::pin;
use std::process::Command;
use std::time::{Duration, Instant};

use futures::future::join;
use gorin_base::check::poll_once;
use gorin_reactor::{Config, DriverKind, Feature, Reactor, Sleep, ops};
use support::*;

/// The variable that tells the child what to do to itself.
const CASE: &str = "GORIN_TEST_REFUSAL";

/// The variable that tells it to require io_uring.
const REQUIRE: &str = "GORIN_TEST_REQUIRE";

/// Runs [`child`], which requires io_uring, in a process of its own; gives what it printed.
fn run(case: &str) -> String {
    run_with(case, &[(REQUIRE, "")]).0
}

/// The same with these variables. Gives what it printed, and the lines in which gorin complained.
fn run_with(case: &str, variables: &[(&str, &str)]) -> (String, Vec<String>) {
    let output = Command::new(std::env::current_exe().expect("a path"))
        .args([
            "child",
            "--exact",
            "--ignored",
            "--nocapture",
            "--test-threads=1",
        ])
        .env_remove("GORIN_DRIVER")
        .env(CASE, case)
        .envs(variables.iter().copied())
        .output()
        .expect("the child runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{case}: {text}{errors}");
    let complaints = errors.lines().filter(|line| line.starts_with("gorin: "));
    (text, complaints.map(str::to_owned).collect())
}

#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn child() {
    let Ok(case) = std::env::var(CASE) else {
        // Somebody runs all ignored tests: this process is not to be harmed.
        return;
    };
    match case.as_str() {
        "nothing" => {}
        "seccomp EPERM" => refuse_by_seccomp(libc::SYS_io_uring_setup, libc::EPERM),
        "seccomp ENOSYS" => refuse_by_seccomp(libc::SYS_io_uring_setup, libc::ENOSYS),
        "no memory to enter" => refuse_by_seccomp(libc::SYS_io_uring_enter, libc::ENOMEM),
        "no entry" => refuse_by_seccomp(libc::SYS_io_uring_enter, libc::EPERM),
        "an answer of its own" => refuse_by_seccomp(libc::SYS_io_uring_setup, libc::EINVAL),
        "no timers" => refuse_by_seccomp(libc::SYS_timerfd_create, libc::EPERM),
        "no events" => refuse_by_seccomp(libc::SYS_eventfd2, libc::ENOSYS),
        "no sets" => refuse_by_seccomp(libc::SYS_epoll_create1, libc::EPERM),
        "no watches" => refuse_by_seccomp(libc::SYS_epoll_ctl, libc::ENOSPC),
        "no threads" => {
            become_nobody();
            limit(libc::RLIMIT_NPROC, 0);
            return open_without_threads();
        }
        "no messages later" => return wake_without_messages(),
        "no memory to sleep" => return sleep_without_memory(),
        "no memory to submit" => return submit_without_memory(libc::EAGAIN),
        "no memory at all to submit" => return submit_without_memory(libc::ENOMEM),
        "too many completions" => return submit_without_memory(libc::EBUSY),
        "a lost completion" => return submit_without_memory(libc::EBADR),
        "no memory for many" => return submit_many_without_memory(),
        "no descriptors" => limit(libc::RLIMIT_NOFILE, 3),
        "no memory" => {
            become_nobody();
            limit(libc::RLIMIT_MEMLOCK, 0);
        }
        "little memory" => {
            become_nobody();
            limit(libc::RLIMIT_MEMLOCK, 24 << 10);
            assert_eq!(
                plain_setup(256),
                Err(libc::ENOMEM),
                "enough for a full ring"
            );
        }
        other => panic!("no such case: {other}"),
    }
    match start() {
        Ok(driver) => println!("it works on {driver}"),
        Err(error) => println!("refused ({:?}): {error}", error.kind()),
    }
}

/// A reactor that does something.
fn start() -> std::io::Result<DriverKind> {
    let config = Config {
        require_io_uring: std::env::var_os(REQUIRE).is_some(),
        // Several watch each other.
        workers: 2,
        ..Config::default()
    };
    let reactor = Reactor::new(config.clone())?;
    let mut local = reactor.attach(0).inspect_err(|error| {
        assert!(
            !reactor.gives_way(error),
            "another driver would do no better"
        );
    })?;
    local.block_on(async {
        ops::nop().await?;
        let (socket, mut peer) = connection();
        let (answer, sent) = join(echo(socket), async {
            peer.write_all(b"hello")?;
            peer.shutdown(Shutdown::Write)
        })
        .await;
        sent?;
        assert_eq!(answer?, 5);
        std::io::Result::Ok(())
    })?;
    shut_down(local);
    if reactor.driver() == DriverKind::Epoll {
        // A second one in the same process has nothing new to say.
        assert_eq!(Reactor::new(config)?.driver(), DriverKind::Epoll);
    }
    Ok(reactor.driver())
}

/// Opens what is in no cache, so that it may block.
fn open_without_threads() {
    let reactor = Reactor::new(Config::default()).expect("a reactor needs no thread");
    let mut local = reactor.attach(0).expect("nor does a ring");
    let opened = local.block_on(ops::open("/proc/self/status", libc::O_RDONLY, 0));
    println!("opened: {opened:?}");
    shut_down(local);
}

/// Wakes a worker that sleeps, on a thread that may not send messages to its ring any more.
fn wake_without_messages() {
    let reactor = Reactor::new(Config::default()).expect("a reactor");
    let (sender, wakers) = std::sync::mpsc::channel();
    let (woken, is_woken) = std::sync::mpsc::channel();
    let worker = reactor.clone();
    std::thread::spawn(move || {
        let mut local = worker.attach(0).expect("a ring");
        local.block_on(std::future::poll_fn(|cx| {
            // Nobody listens after the first ones.
            let _ = sender.send(cx.waker().clone());
            match worker.stats().wakes {
                0 => std::task::Poll::Pending,
                _ => std::task::Poll::Ready(()),
            }
        }));
        let _ = woken.send(());
    });
    let waker = wakers.recv().expect("it is polled");
    refuse_by_seccomp(libc::SYS_io_uring_register, libc::EPERM);
    wait_for("a bell", || {
        waker.wake_by_ref();
        reactor.stats().wakes > 0
    });
    // Where it is rung by an eventfd it is heard. Else this says so, and the process ends.
    if is_woken.recv_timeout(Duration::from_secs(1)).is_ok() {
        println!("woken");
    }
}

/// A worker whose every sleep in its ring is refused: timers, sockets and wakes of others come all the same.
fn sleep_without_memory() {
    let reactor = Reactor::new(Config::default()).expect("a reactor");
    let mut local = reactor.attach(0).expect("a ring");
    const MIN_COMPLETE: u32 = 2;
    refuse_by_seccomp_if(
        libc::SYS_io_uring_enter,
        Some((MIN_COMPLETE, 1)),
        libc::ENOMEM,
    );
    let (begun, pause) = (Instant::now(), Duration::from_millis(300));
    local.block_on(Sleep::until(begun + pause));
    let (slept, refused) = (begun.elapsed(), reactor.stats().refusals);
    assert!(slept >= pause, "early");
    // Both ways to wait, a millisecond after the other time.
    assert!(
        u128::from(refused) <= 2 * slept.as_millis() + 2,
        "it spins: {refused}"
    );
    let (socket, mut peer) = connection();
    let (sender, woken) = futures::channel::oneshot::channel();
    let refusals = reactor.stats().refusals;
    let others = std::thread::spawn({
        let reactor = reactor.clone();
        move || {
            // When it waits, in vain.
            wait_for("a refusal", || reactor.stats().refusals > refusals);
            peer.write_all(b"hello").expect("it is read");
            peer.shutdown(Shutdown::Write).expect("a connection");
            let mut answer = Vec::new();
            peer.read_to_end(&mut answer).expect("it is echoed");
            let refusals = reactor.stats().refusals;
            wait_for("one more", || reactor.stats().refusals > refusals);
            sender.send(answer).expect("it is waited for");
        }
    });
    let echoed = local.block_on(echo(socket)).expect("a connection");
    let answer = local.block_on(woken).expect("it is sent");
    assert_eq!((echoed, &answer[..]), (5, &b"hello"[..]));
    others.join().expect("the peer's part");
    shut_down(local);
    println!("refused {} times", reactor.stats().refusals);
}

/// A ring that the kernel takes single operations from no more, but two at a time.
fn submit_without_memory(errno: i32) {
    let reactor = Reactor::new(Config::default()).expect("a reactor");
    let mut local = reactor.attach(0).expect("a ring");
    // With what a new ring has to submit of its own.
    local.block_on(ops::nop()).expect("a ring");
    const TO_SUBMIT: u32 = 1;
    refuse_by_seccomp_if(libc::SYS_io_uring_enter, Some((TO_SUBMIT, 1)), errno);
    local.block_on(async {
        let mut first = pin!(ops::nop());
        assert!(poll_once(first.as_mut()).is_pending());
        let refusals = reactor.stats().refusals;
        while reactor.stats().refusals < refusals + 3 {
            Sleep::until(Instant::now() + Duration::from_millis(1)).await;
        }
        assert!(poll_once(first.as_mut()).is_pending(), "it was refused");
        let (first, second) = join(first, ops::nop()).await;
        first.and(second).expect("nothing is lost");
    });
    println!("refused {} times", reactor.stats().refusals);
    // Its last entry would be a single one.
    std::mem::forget(local);
}

/// A ring that the kernel takes nothing from, and that has more to submit than its queue has room for.
fn submit_many_without_memory() {
    let reactor = Reactor::new(Config {
        entries: 1,
        ..Config::default()
    });
    let reactor = reactor.expect("a reactor");
    let mut local = reactor.attach(0).expect("a ring");
    local.block_on(ops::nop()).expect("a ring");
    const TO_SUBMIT: u32 = 1;
    refuse_by_seccomp_if(libc::SYS_io_uring_enter, Some((TO_SUBMIT, 1)), libc::EAGAIN);
    let (begun, pause) = (Instant::now(), Duration::from_millis(300));
    local.block_on(async {
        let mut operations = [(); 3].map(|()| Box::pin(ops::nop()));
        for operation in &mut operations {
            assert!(poll_once(operation.as_mut()).is_pending());
        }
        Sleep::until(begun + pause).await;
        for operation in &mut operations {
            assert!(poll_once(operation.as_mut()).is_pending(), "refused");
        }
    });
    let (slept, refused) = (begun.elapsed(), reactor.stats().refusals);
    // One before a rest and one in it, a millisecond after the last ones.
    assert!(
        (2..=2 * slept.as_millis() + 4).contains(&u128::from(refused)),
        "it spins: {refused}"
    );
    assert!(reactor.stats().backlogs > 0, "the queue was not full");
    println!("refused {refused} times");
    // Its entries stay refused.
    std::mem::forget(local);
}

/// `io_uring_setup` without more; the errno if it is refused.
fn plain_setup(entries: u32) -> Result<(), i32> {
    let mut params = [0_u32; 30];
    // SAFETY: the parameters are as large as the kernel's structure.
    let fd = unsafe { libc::syscall(libc::SYS_io_uring_setup, entries, params.as_mut_ptr()) };
    if fd < 0 {
        return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(0));
    }
    // SAFETY: closes what was made above.
    unsafe { libc::close(fd as i32) };
    Ok(())
}

fn limit(resource: libc::__rlimit_resource_t, value: u64) {
    let limit = libc::rlimit {
        rlim_cur: value,
        rlim_max: value,
    };
    // SAFETY: reads a live rlimit.
    assert_eq!(unsafe { libc::setrlimit(resource, &limit) }, 0);
}

/// A user without rights that nobody else is, since memory and threads are counted by user. Root may lock as
/// much memory, and start as many threads, as it likes.
fn become_nobody() {
    // The last ones that there are in a container with as many as 16 bits have, but for `nobody`.
    let id = 65_534 - 1 - std::process::id() % 5_000;
    // SAFETY: changes the ids of this process, which does nothing else.
    let changed = unsafe { libc::setresuid(id, id, id) };
    // SAFETY: takes nothing.
    let user = unsafe { libc::geteuid() };
    assert!(changed == 0 || user != 0, "still root");
}

/// From now on the system call `number` answers `errno` in this process.
fn refuse_by_seccomp(number: libc::c_long, errno: i32) {
    refuse_by_seccomp_if(number, None, errno);
}

/// The same on this thread; if an argument of the call is named, by its number, only if it is this.
fn refuse_by_seccomp_if(number: libc::c_long, argument: Option<(u32, u32)>, errno: i32) {
    const NUMBER: u32 = 0; // Offset of the system call's number in `struct seccomp_data`.
    const ARGUMENTS: u32 = 16; // And of the arguments, 8 bytes each.
    let statement = |code: u32, jt, jf, k| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let load = |offset| statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, offset);
    // Past the refusal if it is another one.
    let is = |value, past| statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, past, value);
    let is_argument = argument.map(|(index, value)| [load(ARGUMENTS + 8 * index), is(value, 1)]);
    let past = if is_argument.is_some() { 3 } else { 1 };
    let mut filter = vec![load(NUMBER), is(number as u32, past)];
    filter.extend(is_argument.into_iter().flatten());
    filter.extend([
        statement(
            libc::BPF_RET | libc::BPF_K,
            0,
            0,
            libc::SECCOMP_RET_ERRNO | errno as u32,
        ),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
    ]);
    let program = libc::sock_fprog {
        len: filter.len() as u16,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: takes numbers only.
    let promised = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(promised, 0);
    // SAFETY: the program and its filter live through the call. The filter holds for this thread,
    // which alone goes on.
    let set = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    assert_eq!(set, 0);
}

#[test]
fn a_seccomp_profile_that_forbids() {
    let text = run("seccomp EPERM");
    assert!(
        text.contains("refused (PermissionDenied): io_uring_setup: EPERM"),
        "{text}"
    );
    assert!(text.contains("seccomp profile"), "{text}");
    let sysctl = std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled");
    let value = sysctl.map_or("not to be read".to_owned(), |value| value.trim().to_owned());
    let named = format!("kernel.io_uring_disabled, which is {value} here");
    assert!(text.contains(&named), "{text}");
}

/// A profile that allows the making of rings and forgets their use.
#[test]
fn a_seccomp_profile_that_forbids_entering() {
    let text = run("no entry");
    assert!(
        text.contains("refused (PermissionDenied): io_uring_enter: EPERM"),
        "{text}"
    );
    assert!(text.contains("seccomp profile"), "{text}");
}

/// For: a new ring that starved was taken for one of an old kernel.
#[test]
fn no_memory_to_enter() {
    let text = run("no memory to enter");
    assert!(
        text.contains("refused (OutOfMemory): io_uring_enter: ENOMEM"),
        "{text}"
    );
}

#[test]
fn a_kernel_without_io_uring() {
    let text = run("seccomp ENOSYS");
    assert!(
        text.contains("refused (Unsupported): io_uring_setup: ENOSYS"),
        "{text}"
    );
    assert!(text.contains("CONFIG_IO_URING"), "{text}");
}

#[test]
fn no_descriptor_left() {
    let text = run("no descriptors");
    assert!(text.contains("io_uring_setup: EMFILE"), "{text}");
    assert!(text.contains("RLIMIT_NOFILE is "), "{text}");
}

#[test]
fn no_memory_to_lock() {
    let text = run("no memory");
    assert!(
        text.contains("refused (OutOfMemory): io_uring_setup: ENOMEM"),
        "{text}"
    );
    assert!(
        text.contains("RLIMIT_MEMLOCK, which is 0 bytes here"),
        "{text}"
    );
}

#[test]
fn little_memory_gives_a_smaller_ring() {
    let text = run("little memory");
    assert!(text.contains("it works on uring"), "{text}");
}

/// Where io_uring is refused and not required, epoll serves, and one line says why and what to do.
#[test]
fn a_refusing_kernel_gives_epoll_and_one_line() {
    for (case, cause) in [
        ("seccomp EPERM", "io_uring_setup: EPERM"),
        ("seccomp ENOSYS", "io_uring_setup: ENOSYS"),
        ("no entry", "io_uring_enter: EPERM"),
        ("no memory", "io_uring_setup: ENOMEM"),
        ("an answer of its own", "io_uring_setup: Invalid argument"),
    ] {
        let (text, complaints) = run_with(case, &[]);
        assert!(text.contains("it works on epoll"), "{case}: {text}");
        let [line] = &complaints[..] else {
            panic!("{case}: not one line: {complaints:?}");
        };
        assert!(line.contains(cause), "{case}: {line}");
        assert!(line.contains("Running on epoll"), "{case}: {line}");
        assert!(line.contains("require_io_uring"), "{case}: {line}");
    }
}

/// What has nothing to do with rings is explained by itself, and is no reason to run on epoll.
#[test]
fn what_no_driver_can_do_without_is_named() {
    for (case, driver, cause, cure) in [
        ("no timers", "", "timerfd_create: EPERM", "GORIN_RESCUE=0"),
        (
            "no timers",
            "epoll",
            "timerfd_create: EPERM",
            "GORIN_RESCUE=0",
        ),
        ("no events", "epoll", "eventfd2: ENOSYS", "allow it"),
        ("no sets", "hybrid", "epoll_create1: EPERM", "allow it"),
        (
            "no watches",
            "epoll",
            "epoll_ctl: ENOSPC",
            "max_user_watches",
        ),
    ] {
        let (text, complaints) = run_with(case, &[("GORIN_DRIVER", driver)]);
        let refused = text.lines().find(|line| line.contains("refused ("));
        let line = refused.unwrap_or_else(|| panic!("{case}: {text}"));
        assert!(
            line.contains(cause) && line.contains(cure),
            "{case}: {line}"
        );
        assert!(!line.contains("io_uring"), "{case}: {line}");
        assert!(complaints.is_empty(), "{case}: {complaints:?}");
    }
}

/// For: a bare "Operation canceled" from somebody whose container has no thread left.
#[test]
fn an_operation_that_no_thread_is_left_for_says_so() {
    for driver in ["uring", "epoll"] {
        let (text, _) = run_with("no threads", &[("GORIN_DRIVER", driver)]);
        assert!(text.contains("opened: Err("), "{driver}: {text}");
        assert!(text.contains("ulimit -u"), "{driver}: {text}");
    }
}

/// For: a program that hangs without a word, since it has forbidden more than it can do without.
#[test]
fn a_worker_that_cannot_be_woken_any_more_is_told_of() {
    let (text, complaints) = run_with("no messages later", &[("GORIN_DRIVER", "uring")]);
    let is_told = |line: &String| line.contains("io_uring_register") && line.contains("woken");
    assert!(
        text.contains("woken") || complaints.iter().any(is_told),
        "{text}{complaints:?}"
    );
}

/// What the kernel has no memory for at this moment is tried again, is no error, and costs no CPU.
#[test]
fn entries_that_are_refused_for_now_lose_nothing() {
    for case in [
        "no memory to sleep",
        "no memory to submit",
        "no memory at all to submit",
        "too many completions",
        "no memory for many",
    ] {
        let (text, complaints) = run_with(case, &[("GORIN_DRIVER", "uring")]);
        assert!(text.contains("refused "), "{case}: {text}");
        assert!(complaints.is_empty(), "{case}: {complaints:?}");
    }
}

/// What the kernel has lost for good is told, once, and the worker goes on.
#[test]
fn a_lost_completion_is_told_of() {
    let (text, complaints) = run_with("a lost completion", &[("GORIN_DRIVER", "uring")]);
    assert!(text.contains("refused "), "{text}");
    let [line] = &complaints[..] else {
        panic!("not one line: {complaints:?}");
    };
    assert!(line.contains("io_uring_enter: EBADR"), "{line}");
}

/// Too few descriptors are no reason to try epoll, which needs some as well.
#[test]
fn no_descriptor_left_is_an_error_for_any_driver() {
    for driver in ["", "epoll"] {
        let variables = [("GORIN_DRIVER", driver)];
        let asked = if driver.is_empty() {
            &[][..]
        } else {
            &variables[..]
        };
        let (text, complaints) = run_with("no descriptors", asked);
        assert!(text.contains("EMFILE"), "{driver}: {text}");
        assert!(complaints.is_empty(), "{complaints:?}");
    }
}

/// What rings can do without, one by one and all at once; and a driver that has no rings.
#[test]
fn features_that_the_environment_switches_off_are_not_missed() {
    let names = Feature::ALL.map(|(name, _)| name);
    let all = names.join(",");
    for list in names.into_iter().chain([&*all]) {
        for driver in ["uring", "hybrid", "epoll"] {
            let variables = [("GORIN_DRIVER", driver), ("GORIN_WITHOUT", list)];
            let (text, complaints) = run_with("nothing", &variables);
            let works = text.contains(&format!("it works on {driver}"));
            assert!(
                works && complaints.is_empty(),
                "{list}: {text}{complaints:?}"
            );
        }
    }
    let (text, _) = run_with("nothing", &[("GORIN_WITHOUT", "sqpoll")]);
    assert!(text.contains("GORIN_WITHOUT names `sqpoll`"), "{text}");
}

#[test]
fn the_environment_chooses_the_driver() {
    for driver in ["uring", "hybrid", "epoll"] {
        let (text, complaints) = run_with("nothing", &[("GORIN_DRIVER", driver)]);
        assert!(text.contains(&format!("it works on {driver}")), "{text}");
        assert!(complaints.is_empty(), "{complaints:?}");
    }
    let (text, _) = run_with("nothing", &[("GORIN_DRIVER", "kqueue")]);
    assert!(
        text.contains("GORIN_DRIVER is `kqueue`: it must be `uring`, `hybrid` or `epoll`"),
        "{text}"
    );
}

#[test]
fn a_driver_that_cannot_be_had_is_an_error() {
    for driver in ["uring", "hybrid"] {
        let (text, complaints) = run_with("seccomp EPERM", &[("GORIN_DRIVER", driver)]);
        assert!(text.contains("refused (PermissionDenied)"), "{text}");
        let asked = format!("GORIN_DRIVER asks for the {driver} driver");
        assert!(text.contains(&asked), "{text}");
        assert!(complaints.is_empty(), "{complaints:?}");
    }
    let (text, _) = run_with("nothing", &[("GORIN_DRIVER", "epoll"), (REQUIRE, "")]);
    assert!(text.contains("refused (InvalidInput)"), "{text}");
    assert!(text.contains("but io_uring is required"), "{text}");
}
