//! Models of sleeping and waking against a mock bell. Stress tests on std threads without loom.

use super::*;
use crate::mailbox::Mailbox;
use gorin_base::check::model;
use gorin_base::primitive::{Condvar, Mutex, UnsafeCell, thread, wait};
use std::collections::VecDeque;

/// What a ring is to a sleeper: rings that came and were not yet answered, and how many came.
#[derive(Default)]
struct MockBell {
    rings: Mutex<(usize, usize)>,
    changed: Condvar,
}

impl Bell for PlainArc<MockBell> {
    fn ring(&self) {
        let mut rings = self.rings.lock();
        rings.0 += 1;
        rings.1 += 1;
        drop(rings);
        self.changed.notify_one();
    }
}

impl MockBell {
    fn total(&self) -> usize {
        self.rings.lock().1
    }

    fn sleep(&self) {
        let mut rings = self.rings.lock();
        while rings.0 == 0 {
            rings = wait(&self.changed, rings);
        }
        rings.0 -= 1;
    }
}

type Sleeper = Signal<PlainArc<MockBell>>;

fn sleeper() -> (PlainArc<Sleeper>, PlainArc<MockBell>) {
    let bell = PlainArc::new(MockBell::default());
    (PlainArc::new(Signal::new(bell.clone())), bell)
}

/// Takes a notice, sleeping until there is one; counts the rings that were promised.
fn next_notice(signal: &Sleeper, bell: &MockBell, promised: &mut usize) -> Notice {
    loop {
        let notice = signal.take();
        if notice.task || notice.mail {
            return notice;
        }
        if signal.try_sleep() {
            bell.sleep();
            assert!(signal.wake_up(), "woken by nobody");
            *promised += 1;
        }
    }
}

/// A wake between the last look and the sleep must end the sleep, and what the waker wrote before
/// is seen. For: a sleep that does not look; a notice that publishes nothing.
#[test]
fn a_wake_is_never_lost() {
    model("park: wake × sleep", || {
        struct Shared(UnsafeCell<u32>);
        // SAFETY: the cell is written before the notice and read after it: what the model checks.
        unsafe impl Sync for Shared {}
        // SAFETY: as above.
        unsafe impl Send for Shared {}
        let (signal, bell) = sleeper();
        let data = PlainArc::new(Shared(UnsafeCell::new(0)));
        let waker = {
            let (signal, data) = (signal.clone(), data.clone());
            thread::spawn(move || {
                // SAFETY: nobody reads before the notice.
                data.0.with_mut(|data| unsafe { *data = 7 });
                signal.notify_task();
            })
        };
        let notice = next_notice(&signal, &bell, &mut 0);
        assert!(notice.task && !notice.mail);
        // SAFETY: the notice came after the write.
        assert_eq!(data.0.with(|data| unsafe { *data }), 7);
        waker.join().unwrap();
    });
}

/// Two threads wake one sleeper: the bell is rung once for each sleep that was ended, not once for
/// each wake. For: ringing whenever `ASLEEP` is seen.
#[test]
fn one_ring_for_each_transition() {
    model("park: two wakers × sleep", || {
        let (signal, bell) = sleeper();
        let other = {
            let signal = signal.clone();
            thread::spawn(move || signal.notify_task())
        };
        let another = {
            let signal = signal.clone();
            thread::spawn(move || signal.notify_mail())
        };
        let (mut task, mut mail, mut promised) = (false, false, 0);
        while !(task && mail) {
            let notice = next_notice(&signal, &bell, &mut promised);
            task |= notice.task;
            mail |= notice.mail;
        }
        other.join().unwrap();
        another.join().unwrap();
        assert_eq!(bell.total(), promised, "rings and ended sleeps differ");
    });
}

/// A sleeper that is woken by something else (a completion) counts the rings it must wait for
/// before it ends; after its end nobody rings. For: closing a ring that a wake is on its way to.
#[test]
fn no_ring_after_the_end() {
    model("park: wake × end", || {
        let (signal, bell) = sleeper();
        let waker = {
            let signal = signal.clone();
            thread::spawn(move || {
                signal.notify_task();
                signal.notify_mail();
            })
        };
        let mut promised = 0;
        if signal.try_sleep() && signal.wake_up() {
            promised += 1;
        }
        signal.close();
        for _ in 0..promised {
            bell.sleep();
        }
        let at_the_end = bell.total();
        waker.join().unwrap();
        assert_eq!(bell.total(), at_the_end, "rung after the end");
        assert_eq!(at_the_end, promised);
    });
}

/// A message posted while its owner goes to sleep is served. For: waking before posting.
#[test]
fn a_message_is_never_left_behind() {
    model("park: post × sleep", || {
        let (signal, bell) = sleeper();
        let mailbox = PlainArc::new(Mailbox::new());
        let poster = {
            let (signal, mailbox) = (signal.clone(), mailbox.clone());
            thread::spawn(move || {
                for message in 1..=2 {
                    mailbox.post(message, || signal.notify_mail()).unwrap();
                }
            })
        };
        let (mut served, mut inbox) = (Vec::new(), VecDeque::new());
        while served.len() < 2 {
            assert!(next_notice(&signal, &bell, &mut 0).mail);
            mailbox.take(&mut inbox);
            served.extend(inbox.drain(..));
        }
        assert_eq!(served, [1, 2]);
        poster.join().unwrap();
    });
}

/// A message is either served by the owner who closes its mailbox or given back to who posted it.
/// For: a mailbox that takes messages which nobody will ever read.
#[test]
fn a_closed_mailbox_gives_back() {
    model("park: post × close", || {
        let mailbox = PlainArc::new(Mailbox::new());
        let poster = {
            let mailbox = mailbox.clone();
            thread::spawn(move || mailbox.post(1, || ()).is_ok())
        };
        let left = mailbox.close();
        assert_eq!(poster.join().unwrap(), left.len() == 1);
        assert_eq!(mailbox.post(2, || ()), Err(2));
    });
}
