//! Models: work that is shared by those who ask for it at the same time.

mod common;

use common::*;
use gorin_channel::sync::SingleFlight;

/// Work in memory that only turns order: that two do it at the same time is found there. Returns how often it
/// has been done.
async fn work(memory: Unordered) -> usize {
    memory.write(memory.read() + 1);
    memory.read()
}

/// Two ask for the same: one does the work and the other one has its result, or does it afterwards. For: a
/// look that finds nobody, though somebody is there.
#[test]
fn one_at_a_time_does_the_work() {
    model("one at a time does the work", || {
        let (flights, memory) = (SingleFlight::new(), Unordered::new());
        let theirs = (flights.clone(), memory.clone());
        let other = thread::spawn(move || {
            let (flights, memory) = theirs;
            block_on(flights.run(1, || work(memory)))
        });
        let mine = block_on(flights.run(1, || work(memory.clone())));
        let theirs = other.join().unwrap();
        assert_eq!(mine.max(theirs), memory.read());
        assert_eq!(flights.in_flight(), 0);
    });
}

/// Who has a result and asks again has a newer one. For: a flight that can be joined when it has ended.
#[test]
fn who_comes_after_the_result_begins_anew() {
    model("who comes after the result begins anew", || {
        let (flights, memory) = (SingleFlight::new(), Unordered::new());
        let theirs = (flights.clone(), memory.clone());
        let other = thread::spawn(move || {
            let (flights, memory) = theirs;
            let before = block_on(flights.run(1, || work(memory.clone())));
            let after = block_on(flights.run(1, || work(memory)));
            assert!(before < after);
        });
        block_on(flights.run(1, || work(memory.clone())));
        other.join().unwrap();
        assert_eq!(flights.in_flight(), 0);
    });
}

/// A leader is dropped while somebody waits or comes, and another one comes: still one at a time does the
/// work. For: a flight that goes with its leader, though others are in it.
#[test]
fn the_next_one_leads_when_the_leader_is_dropped() {
    model("the next one leads when the leader is dropped", || {
        let (flights, memory) = (SingleFlight::new(), Unordered::new());
        let mine = flights.clone();
        let mut leader = boxed(async move { mine.run(1, std::future::pending).await });
        assert!(poll_once(leader.as_mut()).is_pending());
        let theirs = (flights.clone(), memory.clone());
        let next = thread::spawn(move || {
            let (flights, memory) = theirs;
            block_on(flights.run(1, || work(memory)))
        });
        drop(leader);
        let last = block_on(flights.run(1, || work(memory.clone())));
        let next = next.join().unwrap();
        assert_eq!(last.max(next), memory.read());
        assert_eq!(flights.in_flight(), 0);
    });
}

/// All who take part in a flight give up, one after the other or at once. For: a flight without members that
/// stays in the table.
#[test]
fn nothing_stays_of_a_flight_that_nobody_ends() {
    model("nothing stays of a flight that nobody ends", || {
        let flights = SingleFlight::<usize, usize>::new();
        let [mut first, mut second] = [(); 2].map(|()| {
            let flights = flights.clone();
            boxed(async move { flights.run(1, std::future::pending).await })
        });
        assert!(poll_once(first.as_mut()).is_pending());
        assert!(poll_once(second.as_mut()).is_pending());
        let dropper = thread::spawn(move || drop(first));
        drop(second);
        dropper.join().unwrap();
        assert_eq!(flights.in_flight(), 0);
    });
}
