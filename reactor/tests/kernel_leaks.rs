//! Nothing is left: descriptors and threads of the whole process, so these tests have a process of
//! their own, and run one at a time.
#![cfg(not(loom))]

mod support;

use std::future::{Future, poll_fn};
use std::process::Command;
use std::task::Poll;

use support::*;

#[test]
fn a_hundred_reactors_leave_nothing_behind() {
    let _alone = alone();
    let run = || {
        let reactor = reactor(2);
        let other = Idle::start(&reactor, 1);
        let mut local = reactor.attach(0).unwrap();
        let (socket, _peer) = connection();
        let mut buffer = [0; 1];
        let ended = local.block_on(async {
            let mut waiting = std::pin::pin!(read(&socket, &mut buffer));
            poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx).is_ready())).await
        });
        assert!(!ended);
        drop(socket);
        shut_down(local);
        other.stop();
    };
    run();
    let before = (open_descriptors(), threads());
    for _ in 0..100 {
        run();
    }
    wait_for("descriptors and threads to be as before", || {
        open_descriptors() <= before.0 && threads() <= before.1
    });
}

/// A child that executes another program has none of our rings and eventfds.
#[test]
fn a_child_inherits_no_ring() {
    let _alone = alone();
    for config in kinds() {
        let reactor = with_config(config);
        let worker = Idle::start(&reactor, 0);
        let list = Command::new("ls")
            .args(["-l", "/proc/self/fd"])
            .output()
            .expect("ls runs");
        let list = String::from_utf8_lossy(&list.stdout).into_owned();
        assert!(list.contains("->"), "{list}");
        assert!(
            !list.contains("io_uring") && !list.contains("eventfd"),
            "{list}"
        );
        worker.stop();
    }
}
