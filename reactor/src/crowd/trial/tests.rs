//! The trial on machines that are made up: what so many workers serve, and whether CPUs are contended.

use super::*;
use gorin_base::clock;

/// A machine whose workers serve so much per second, and whose CPUs are contended or not, depending
/// on how many workers go on.
struct Machine {
    trial: Trial,
    workers: usize,
    now: Instant,
    served: f64,
    /// Until when it is narrow, and how many go on.
    narrow: Option<(usize, Instant)>,
    /// How long so many workers went on, by their number.
    times: Vec<Duration>,
    changes: usize,
}

impl Machine {
    fn new(workers: usize) -> Machine {
        Machine {
            trial: Trial::new(workers),
            workers,
            now: clock::now(),
            served: 0.0,
            narrow: None,
            times: vec![Duration::ZERO; workers + 1],
            changes: 0,
        }
    }

    fn width(&self) -> usize {
        match self.narrow {
            Some((width, until)) if self.now < until => width,
            _ => self.workers,
        }
    }

    fn run(
        &mut self,
        time: Duration,
        rate: impl Fn(usize) -> f64,
        contended: impl Fn(usize) -> bool,
    ) {
        let (end, tick) = (self.now + time, Duration::from_millis(1));
        while self.now < end {
            let width = self.width();
            self.times[width] += tick;
            self.served += rate(width) * tick.as_secs_f64();
            self.now += tick;
            let served = self.served as u64;
            match self.trial.step(self.now, contended(width), || served) {
                Some(Verdict::Narrow(width, hold)) => self.narrow = Some((width, self.now + hold)),
                Some(Verdict::Widen) => self.narrow = None,
                None => {}
            }
            self.changes += usize::from(self.width() != width);
        }
    }

    fn share(&self, width: usize) -> f64 {
        let all: Duration = self.times.iter().sum();
        self.times[width].as_secs_f64() / all.as_secs_f64()
    }
}

const LONG: Duration = Duration::from_secs(60);

#[test]
fn without_contention_all_go_on() {
    let mut machine = Machine::new(4);
    machine.run(LONG, |_| 300_000.0, |_| false);
    assert_eq!(machine.changes, 0);
}

#[test]
fn one_fewer_goes_on_where_that_serves_more() {
    let mut machine = Machine::new(2);
    let rate = |width| if width == 1 { 240_000.0 } else { 190_000.0 };
    machine.run(LONG, rate, |width| width == 2);
    assert!(machine.share(1) > 0.95, "{:?}", machine.times);
    // It is found out again and again whether that is still so.
    assert!(machine.share(2) > 0.005, "{:?}", machine.times);
}

#[test]
fn as_many_go_on_as_the_cpus_have_room_for() {
    let mut machine = Machine::new(8);
    let rate = |width: usize| 200_000.0 - 5_000.0 * width as f64;
    machine.run(LONG, rate, |width| width > 5);
    assert!(machine.share(5) > 0.9, "{:?}", machine.times);
    assert_eq!(machine.share(4), 0.0);
}

/// A foreign program wants the CPUs: more threads have a larger share.
#[test]
fn all_go_on_where_fewer_serve_less() {
    let mut machine = Machine::new(2);
    machine.run(LONG, |width| 100_000.0 * width as f64, |_| true);
    assert!(machine.share(1) < 0.01, "{:?}", machine.times);
    let mut machine = Machine::new(64);
    machine.run(LONG, |width| 10_000.0 * width as f64, |_| true);
    let narrower: Duration = machine.times[..57].iter().sum();
    assert_eq!(narrower, Duration::ZERO, "a tenth less at most");
}

#[test]
fn sockets_that_are_hardly_used_are_left_alone() {
    let mut machine = Machine::new(2);
    machine.run(LONG, |_| BUSY / 2.0, |_| true);
    assert_eq!(machine.changes, 0);
}

#[test]
fn when_cpus_are_free_again_all_go_on_soon() {
    let mut machine = Machine::new(2);
    machine.run(LONG, |_| 200_000.0, |_| true);
    assert!(machine.share(1) > 0.9);
    machine.run(HOLDS.1, |_| 200_000.0, |_| false);
    machine.times.fill(Duration::ZERO);
    machine.run(LONG, |_| 200_000.0, |_| false);
    assert_eq!(machine.share(2), 1.0);
}

/// For: a rate over a pause that nobody was awake in, which looks like a failure.
#[test]
fn a_pause_is_no_verdict() {
    let mut machine = Machine::new(2);
    machine.run(LONG, |_| 200_000.0, |_| true);
    for _ in 0..100 {
        machine.now += LONG;
        machine.run(Duration::from_millis(200), |_| 200_000.0, |_| true);
    }
    assert_eq!(machine.trial.rests_until, None);
}

/// For: the end of the load, taken for a sign that all workers together serve less than one.
#[test]
fn when_the_load_ends_all_go_on() {
    let mut machine = Machine::new(2);
    machine.run(LONG, |_| 200_000.0, |_| true);
    while machine.width() == 1 {
        machine.run(Duration::from_millis(1), |_| 200_000.0, |_| true);
    }
    machine.times.fill(Duration::ZERO);
    machine.run(LONG, |_| 0.0, |_| false);
    assert_eq!(machine.share(2), 1.0);
    assert_eq!(machine.trial.rests_until, None);
}
