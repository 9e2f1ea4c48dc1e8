//! Models of the roster. Stress tests on std threads without loom.

use super::*;
use gorin_base::check::{model, model_bounded};
use gorin_base::primitive::{PlainArc, thread};

/// What a worker does that wakes for work.
fn get_up(watch: &Watch, worker: usize) {
    watch.wake(worker);
    // Whoever is alarmed has its timer now.
    let _ = watch.unwatched();
}

fn lie_down(watch: &Watch, worker: usize) {
    let _ = watch.sleep(worker);
}

/// All of `workers` in their loops, those in `asleep` asleep, by the rules.
fn world(workers: usize, asleep: &[usize]) -> PlainArc<Watch> {
    let watch = Watch::new(workers);
    (0..workers).for_each(|_| watch.enter());
    asleep.iter().for_each(|&worker| lie_down(&watch, worker));
    PlainArc::new(watch)
}

/// Invariant 1, and 2 and 3: who watches or is alarmed is asleep.
fn check(watch: &Watch) {
    let roster = Roster(watch.roster.load(Ordering::Acquire));
    assert!(!roster.is_unwatched(), "nobody watches: {watch:?}");
    for worker in [roster.watcher(), roster.alarmed()].into_iter().flatten() {
        let abed = watch.abed[worker].load(Ordering::Relaxed);
        assert!(abed, "{worker} watches while it runs: {watch:?}");
    }
}

/// A worker lies down while another, the only one that slept, wakes and will run. For: a sleep
/// without limit that has not seen who is awake.
#[test]
fn who_sleeps_beside_a_runner_watches() {
    model("watch: sleep × wake", || {
        let watch = world(2, &[1]);
        let other = {
            let watch = watch.clone();
            thread::spawn(move || get_up(&watch, 1))
        };
        lie_down(&watch, 0);
        other.join().unwrap();
        check(&watch);
    });
}

/// All sleep; one wakes and stays awake, a second wakes and sleeps again or not, a third sleeps on.
/// For: an alarm for one that has woken meanwhile, and so cannot come to the third's rescue.
#[test]
fn a_runner_among_sleepers_is_watched() {
    model_bounded("watch: wake × wake and sleep", 3, || {
        let watch = world(3, &[0, 1, 2]);
        let other = {
            let watch = watch.clone();
            thread::spawn(move || {
                get_up(&watch, 0);
                lie_down(&watch, 0);
                get_up(&watch, 0);
            })
        };
        get_up(&watch, 1);
        other.join().unwrap();
        check(&watch);
    });
}

/// The watcher is woken for work while another worker lies down. For: a role that its holder takes
/// along when it works.
#[test]
fn the_watch_changes_hands() {
    model("watch: watcher wakes × sleep", || {
        let watch = world(3, &[0]);
        assert!(check_watcher(&watch, 0));
        let other = {
            let watch = watch.clone();
            thread::spawn(move || get_up(&watch, 0))
        };
        lie_down(&watch, 1);
        other.join().unwrap();
        check(&watch);
        assert!(!check_watcher(&watch, 0), "the role is given up");
    });
}

fn check_watcher(watch: &Watch, worker: usize) -> bool {
    Roster(watch.roster.load(Ordering::Relaxed)).watcher() == Some(worker)
}

/// Who lies down last has no limit, and who wakes to look has none when it lies down again: an idle
/// process is not woken.
#[test]
fn nobody_watches_sleepers() {
    model("watch: the last two sleep", || {
        let watch = world(2, &[]);
        let other = {
            let watch = watch.clone();
            thread::spawn(move || lie_down(&watch, 0))
        };
        lie_down(&watch, 1);
        other.join().unwrap();
        let watcher = Roster(watch.roster.load(Ordering::Acquire)).watcher();
        let watcher = watcher.expect("the first one that lay down saw the other awake");
        // Its limit has passed: it looks, and finds nobody awake.
        assert!(watch.wake(watcher).watched);
        assert!(!watch.sleep(watcher), "no limit");
    });
}
