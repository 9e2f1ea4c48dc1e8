//! How a ring is made, and taken down.
//!
//! A ring is made on its worker's own thread, which alone may use it (`SINGLE_ISSUER`), and runs
//! completion work only when it enters (`DEFER_TASKRUN`): no interrupt for a completion, 10–18 %
//! less CPU at 1,000 connections than `COOP_TASKRUN`, which is the next choice; the plain ring is
//! the last (+45 %). The completion queue has four times the entries of the submission queue. All
//! is probed by trying it, never by the kernel's version.
//!
//! Rejected: a limit for the kernel's threads that do what would block (`IORING_REGISTER_IOWQ_MAX_WORKERS`).
//! Hundreds of them were reported for older kernels; on 6.18 neither 500 reads that were forced to
//! block nor 300 opens of FIFOs made more than two. A limit would let opens that wait for their other
//! side hold up all others.
//!
//! A ring that [`Ring::new`] gives can be woken and can cancel all requests at once; if this kernel
//! has no such ring, the error says what it lacks. Its descriptor is registered with the calling
//! thread, so that the same thread must drop it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use gorin_base::clock;
use gorin_base::primitive::PlainArc;
use io_uring::{EnterFlags, IoUring};

use super::Ring;
use crate::bell::{RingBell, Target, new_event, send_wake};
use crate::counters::Counters;
use crate::driver::Driver;
use crate::error;
use crate::key::{Key, Kind};
use crate::standing::Standing;
use crate::{Config, Feature, Features};

/// The smallest submission queue that is tried when memory is short.
const LEAST_ENTRIES: u32 = 32;
/// The largest: the kernel's limit for completion queues is four times that.
const MOST_ENTRIES: u32 = 16_384;
/// Completions per submission that the queues have room for.
const COMPLETIONS_PER_ENTRY: u32 = 4;

/// How long a new ring is tried at most; what it is tried for takes microseconds.
const TRIAL: Duration = Duration::from_secs(1);

const IORING_ENTER_REGISTERED_RING: u32 = 1 << 4;
const IORING_REGISTER_RING_FDS: u32 = 20;
const IORING_UNREGISTER_RING_FDS: u32 = 21;

impl Ring {
    /// Makes the ring of the calling thread's worker and lets `bell` ring it.
    pub(crate) fn new(
        config: &Config,
        bell: &RingBell,
        counters: PlainArc<Counters>,
    ) -> io::Result<Ring> {
        let uring = build(config).map_err(|error| error::explain(error::SETUP, &error))?;
        if !uring.params().is_feature_ext_arg() || !uring.params().is_feature_nodrop() {
            return Err(error::too_old("IORING_FEAT_EXT_ARG and IORING_FEAT_NODROP"));
        }
        let features = config.features;
        let no_iowait = uring.params().is_feature_no_iowait() && features.has(Feature::NoIowait);
        let sleep_flags = match no_iowait {
            true => EnterFlags::NO_IOWAIT.bits(),
            false => 0,
        };
        let mut ring = Ring {
            enter_fd: uring.as_raw_fd(),
            uring,
            backlog: VecDeque::new(),
            enter_flags: 0,
            sleep_flags,
            event: None,
            alarm: None,
            listening: false,
            wakes_due: 0,
            standing: Standing::default(),
            asked: 0,
            due: VecDeque::new(),
            ended: Vec::new(),
            starves: false,
            features,
            counters,
        };
        if features.has(Feature::RegisteredRing) {
            ring.register_descriptor();
        }
        let messages = ring.try_out(features.has(Feature::MsgRing))?;
        let target = if messages {
            Target::Message(ring.uring.as_raw_fd())
        } else {
            let event = new_event()?;
            ring.event = Some(event.as_raw_fd());
            ring.poll_for_ever(event.as_raw_fd(), Key::WAKE);
            Target::Event(event)
        };
        bell.connect(target);
        Ok(ring)
    }

    /// Lets the kernel find the ring by an index instead of a descriptor; without it all works, too.
    fn register_descriptor(&mut self) {
        let mut update = RingUpdate {
            offset: u32::MAX,
            reserved: 0,
            data: self.uring.as_raw_fd() as u64,
        };
        if register(&self.uring, IORING_REGISTER_RING_FDS, &mut update) == 1 {
            self.enter_fd = update.offset as RawFd;
            self.enter_flags = IORING_ENTER_REGISTERED_RING;
        }
    }

    /// Tries what cannot be asked for: whether all requests can be cancelled at once, without which
    /// there is no teardown, and whether this ring can be woken by messages.
    fn try_out(&mut self, messages: bool) -> io::Result<bool> {
        self.cancel_all();
        let sent = messages && send_wake(self.uring.as_raw_fd(), false).is_ok();
        let mut cancels = None;
        let mut woken = false;
        // Again as often as memory is short for the moment.
        let begun = clock::now();
        while clock::now().duration_since(begun) < TRIAL {
            self.park(Some(TRIAL))
                .map_err(|error| error::explain(error::ENTER, &error))?;
            for completion in self.uring.completion() {
                match Key::from_raw(completion.user_data()).kind() {
                    Kind::Cancel => cancels = Some(completion.result()),
                    _ => woken = true,
                }
            }
            if cancels.is_some() && woken == sent {
                break;
            }
        }
        match cancels {
            Some(result) if result != -libc::EINVAL => Ok(woken),
            None if self.is_starved() => {
                let error = io::Error::from_raw_os_error(libc::ENOMEM);
                Err(error::explain(error::ENTER, &error))
            }
            _ => Err(error::too_old("IORING_ASYNC_CANCEL_ANY")),
        }
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        if self.enter_flags == 0 {
            return;
        }
        // The table of registered rings is the thread's and outlives the ring.
        let mut update = RingUpdate {
            offset: self.enter_fd as u32,
            reserved: 0,
            data: 0,
        };
        register(&self.uring, IORING_UNREGISTER_RING_FDS, &mut update);
    }
}

/// `struct io_uring_rsrc_update`.
#[repr(C)]
struct RingUpdate {
    offset: u32,
    reserved: u32,
    data: u64,
}

/// Changes the calling thread's table of registered rings. The crate's own call keeps what it
/// learns in a borrow of the ring, which cannot be stored beside it.
fn register(uring: &IoUring, what: u32, update: &mut RingUpdate) -> i64 {
    // SAFETY: one update, valid for reading and writing during the call.
    unsafe {
        libc::syscall(
            libc::SYS_io_uring_register,
            uring.as_raw_fd(),
            what,
            std::ptr::from_mut(update),
            1,
        )
    }
}

/// When completion work is done.
#[derive(Clone, Copy)]
enum Setup {
    /// When the worker enters: `SINGLE_ISSUER | DEFER_TASKRUN` (Linux 6.1).
    Deferred,
    /// At the worker's next system call: `COOP_TASKRUN` (Linux 5.19).
    Cooperative,
    /// At once, by an interrupt: no flags.
    Plain,
}

impl Setup {
    /// The best one first.
    const ALL: [Setup; 3] = [Setup::Deferred, Setup::Cooperative, Setup::Plain];

    fn is_within(self, features: Features) -> bool {
        match self {
            Setup::Deferred => features.has(Feature::DeferTaskrun),
            Setup::Cooperative => features.has(Feature::CoopTaskrun),
            Setup::Plain => true,
        }
    }
}

/// The best ring that the kernel makes within the configuration.
fn build(config: &Config) -> io::Result<IoUring> {
    let mut entries = config.entries.clamp(1, MOST_ENTRIES);
    let mut kinds = Setup::ALL
        .into_iter()
        .filter(|kind| kind.is_within(config.features));
    let mut setup = kinds.next().unwrap_or(Setup::Plain);
    loop {
        let mut builder = IoUring::builder();
        builder
            .dontfork()
            .setup_cqsize(entries * COMPLETIONS_PER_ENTRY);
        match setup {
            Setup::Deferred => builder
                .setup_single_issuer()
                .setup_defer_taskrun()
                .setup_taskrun_flag()
                .setup_submit_all(),
            Setup::Cooperative => builder
                .setup_coop_taskrun()
                .setup_taskrun_flag()
                .setup_submit_all(),
            Setup::Plain => &mut builder,
        };
        let error = match builder.build(entries) {
            Ok(uring) => return Ok(uring),
            Err(error) => error,
        };
        let next = match error.raw_os_error() {
            Some(libc::ENOMEM) if entries / 2 >= LEAST_ENTRIES => {
                entries /= 2;
                Some(setup)
            }
            Some(libc::EINVAL) => kinds.next(),
            _ => None,
        };
        setup = next.ok_or(error)?;
    }
}
