//! What a runtime has done, in numbers.
//!
//! Sums of what each worker counts for itself, at no cost for it; so they may be read at any time, as often as
//! one likes, and what moves meanwhile may be missed. Nothing may hang on them.

use std::fmt;

use super::Handle;

/// Declares [`Stats`]: what is there at a moment first, then what is counted.
macro_rules! stats {
    (
        now { $($(#[$of_now:meta])* $now:ident: $type:ty,)* }
        counted { $($(#[$of_count:meta])* $count:ident,)* }
    ) => {
        /// What a runtime has to do at a moment, and has done until then: [`Handle::stats`].
        ///
        /// [`Display`](fmt::Display) gives one line of `name=number`, for people and for programs.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$of_now])* pub $now: $type,)*
            $($(#[$of_count])* pub $count: u64,)*
        }

        impl Stats {
            /// The same with what was counted after `earlier`: divided by the time between the two, rates.
            ///
            /// ```
            /// # use gorin::runtime::Handle;
            /// gorin::run(async {
            ///     let handle = Handle::current();
            ///     let before = handle.stats();
            ///     gorin::go(async {}).await.unwrap();
            ///     let stats = handle.stats().since(&before);
            ///     assert!(stats.polls >= 1, "{stats}");
            /// });
            /// ```
            pub fn since(mut self, earlier: &Stats) -> Stats {
                $(self.$count = self.$count.saturating_sub(earlier.$count);)*
                self
            }
        }

        impl fmt::Display for Stats {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let numbers = [
                    $((stringify!($now), self.$now as u64),)*
                    $((stringify!($count), self.$count),)*
                ];
                for (place, (name, number)) in numbers.iter().enumerate() {
                    let space = if place == 0 { "" } else { " " };
                    write!(f, "{space}{name}={number}")?;
                }
                Ok(())
            }
        }
    };
}

stats! {
    now {
        /// Goroutines alive.
        goroutines: usize,
        /// Those of them that wait for a worker to run them. Without those that one worker alone may run
        /// ([`go_local`](crate::go_local)).
        ready: usize,
    }
    counted {
        /// Polls of goroutines.
        polls,
        /// Times that a worker took goroutines from another one's queue.
        steals,
        /// Times that a worker which had nothing to do was called to run goroutines.
        calls,
        /// Calls of `io_uring_enter`, or of `epoll_wait`.
        enters,
        /// Those of them that waited: a worker had nothing to do.
        sleeps,
        /// System calls that ended such a sleep. One costs its caller some 10 µs.
        wakes,
        /// Times that a worker looked for completions before it slept, or instead of sleeping
        /// ([`Builder::poll_before_sleep`](super::Builder::poll_before_sleep)).
        looks,
        /// Sockets that were moved from a worker that computes, or stands down, to another one.
        moves,
        /// What the kernel has reported: sockets that became ready, and operations that ended.
        completions,
        /// Times that a ring's completion queue was too short. Nothing is lost, but it takes time.
        overflows,
        /// Times that a ring's submission queue was full, with the same effect.
        backlogs,
        /// Entries into a ring that the kernel refused for now: it had no memory (`EAGAIN`, `ENOMEM`), or
        /// wanted completions to be taken first (`EBUSY`). They are tried again. So is `EBADR`, but then it has
        /// lost a completion for want of memory, of which a line on stderr tells.
        refusals,
        /// Entries into a ring that a signal interrupted.
        interrupts,
    }
}

impl Stats {
    pub(super) fn of(handle: &Handle) -> Stats {
        let (executor, reactor) = (&handle.shared.executor, &handle.shared.reactor);
        let (tasks, rings) = (executor.counters(), reactor.stats());
        Stats {
            goroutines: executor.num_tasks(),
            ready: executor.num_ready(),
            polls: tasks.polls,
            steals: tasks.steals,
            calls: tasks.calls,
            enters: rings.enters,
            sleeps: rings.sleeps,
            wakes: rings.wakes,
            looks: rings.looks,
            moves: rings.moves,
            completions: rings.completions,
            overflows: rings.overflows,
            backlogs: rings.backlogs,
            refusals: rings.refusals,
            interrupts: rings.interrupts,
        }
    }
}
