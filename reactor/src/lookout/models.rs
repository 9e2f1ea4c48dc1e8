//! Models of the hand-over against mock switches. Stress tests on std threads without loom.

use super::*;
use gorin_base::check::{model, model_bounded};
use gorin_base::primitive::{Condvar, PlainArc, thread, wait};

/// Two workers, their switches, and one socket.
#[derive(Default)]
struct World {
    kernel: Mutex<Kernel>,
    changed: Condvar,
}

#[derive(Default)]
struct Kernel {
    ready: bool,
    on: [bool; 2],
    told: [bool; 2],
}

impl Kernel {
    fn tell(&mut self) {
        for worker in 0..2 {
            self.told[worker] |= self.ready && self.on[worker];
        }
    }
}

impl Switch for PlainArc<World> {
    fn set(&self, worker: usize, on: bool) {
        let mut kernel = self.kernel.lock();
        kernel.on[worker] = on;
        kernel.tell();
        drop(kernel);
        self.changed.notify_one();
    }
}

impl World {
    /// The socket becomes ready.
    fn event(&self) {
        let mut kernel = self.kernel.lock();
        kernel.ready = true;
        kernel.tell();
        drop(kernel);
        self.changed.notify_one();
    }

    /// Sleeps until told.
    fn sleep(&self, worker: usize) {
        let mut kernel = self.kernel.lock();
        while !kernel.told[worker] {
            kernel = wait(&self.changed, kernel);
        }
    }
}

/// A socket becomes ready while one worker sleeps and the other one rests and goes to work for good
/// without looking: the sleeper is told. For: a lookout that leaves without handing over; a worker
/// that rests without being told.
#[test]
fn while_anybody_sleeps_somebody_is_told() {
    model_bounded("lookout: sleep × rest and work × event", 3, || {
        let (lookout, world) = (
            PlainArc::new(Lookout::new()),
            PlainArc::new(World::default()),
        );
        let busy = {
            let (lookout, world) = (lookout.clone(), world.clone());
            thread::spawn(move || {
                lookout.rest(1, &world);
                lookout.resume(1, &world);
            })
        };
        let kernel = {
            let world = world.clone();
            thread::spawn(move || world.event())
        };
        lookout.rest(0, &world);
        world.sleep(0);
        lookout.resume(0, &world);
        busy.join().unwrap();
        kernel.join().unwrap();
    });
}

/// Two workers rest: one of them is told of an event, the other one sleeps on. For: waking everybody
/// for each event.
#[test]
fn one_worker_is_told() {
    model("lookout: two rest × event", || {
        let (lookout, world) = (
            PlainArc::new(Lookout::new()),
            PlainArc::new(World::default()),
        );
        let other = {
            let (lookout, world) = (lookout.clone(), world.clone());
            thread::spawn(move || lookout.rest(1, &world))
        };
        lookout.rest(0, &world);
        other.join().unwrap();
        world.event();
        let told = world.kernel.lock().told;
        assert_eq!(told.iter().filter(|&&told| told).count(), 1);
    });
}

/// The lookout is the worker that came last, and the one before it when it leaves, whoever else has
/// left.
#[cfg(not(loom))]
#[test]
fn the_last_to_come_is_the_lookout() {
    /// Notes the turns.
    #[derive(Default)]
    struct Turns(Mutex<Vec<(usize, bool)>>);
    impl Switch for Turns {
        fn set(&self, worker: usize, on: bool) {
            self.0.lock().push((worker, on));
        }
    }
    let (lookout, turns) = (Lookout::new(), Turns::default());
    let taken = || std::mem::take(&mut *turns.0.lock());
    lookout.rest(0, &turns);
    lookout.rest(1, &turns);
    lookout.rest(2, &turns);
    let all = [(0, true), (1, true), (0, false), (2, true), (1, false)];
    assert_eq!(taken(), all);
    // One that is not the lookout goes, and comes back.
    lookout.resume(1, &turns);
    assert_eq!(taken(), [], "nothing changes for the lookout");
    lookout.resume(2, &turns);
    assert_eq!(taken(), [(0, true)]);
    lookout.rest(2, &turns);
    assert_eq!(taken(), [(0, false)], "it was never switched off");
    lookout.resume(2, &turns);
    assert_eq!(taken(), [(0, true)]);
    lookout.retire(2, &turns);
    assert_eq!(taken(), [(2, false)], "it sleeps, and hears of nothing");
    lookout.rest(2, &turns);
    assert_eq!(taken(), [(2, true), (0, false)]);
}
