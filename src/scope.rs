//! Goroutines that have ended when the block that started them goes on.
//!
//! A goroutine comes to its scope as a join handle over a channel, so that any of them can start more
//! of its kind, and the scope awaits all of them at once. The handles abort when they are dropped:
//! wherever one is (with the scope, with the channel's end, with the refused message), its goroutine
//! ends.
//!
//! The channel has no limit, because a place would have to be waited for, and what waits in it is in
//! the runtime anyway. It ends when nobody can start another goroutine, which closes nothing: a scope
//! that has failed goes on to take newcomers, and aborts them.
//!
//! Must not share anything between threads but by channels and join handles.

use std::any::Any;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use futures::future::{Either, FutureExt, select};
use futures::stream::{FuturesUnordered, Stream};
use gorin_base::seeded;

use crate::channel::{Receiver, Sender, unbounded};
use crate::goroutine::{JoinError, JoinHandle, Spec, go_with};

/// Runs `body`, which may start goroutines through the [`Scope`] that it is given, and returns when
/// they all have ended: Go's `errgroup`.
///
/// The first error, of a goroutine or of `body`, ends all others at the await point where they are,
/// and is the result when they are gone; that of a goroutine that fails later is lost. So who gets a
/// value knows that all goroutines have succeeded, and who gets an error that none of them still
/// runs.
///
/// `body` runs in the goroutine that awaits the scope, and may borrow from it; the goroutines of the
/// scope are goroutines like any other, and may not.
///
/// ```
/// use std::io;
///
/// use gorin::Scope;
/// use gorin::channel::chan;
///
/// async fn fetch(page: u32) -> io::Result<String> {
///     Ok(format!("page {page}"))
/// }
///
/// # fn main() -> io::Result<()> {
/// gorin::run(async {
///     let (found, pages) = chan(10);
///     // The type of the error, because `?` takes any that fits.
///     gorin::scope(|s: Scope<io::Error>| async move {
///         for number in 1..=3 {
///             let found = found.clone();
///             s.go(async move {
///                 let page = fetch(number).await?;
///                 let _ = found.send(page).await;
///                 Ok(())
///             });
///         }
///         Ok(())
///     })
///     .await?;
///     assert_eq!(pages.len(), 3);
///     io::Result::Ok(())
/// })
/// # }
/// ```
///
/// Where goroutines should have more in common than their end: a time limit for all is
/// [`time::timeout`](crate::time::timeout()) around the scope, and a [`Context`](crate::context::Context) ends
/// them by [`run`](crate::context::Context::run).
///
/// Where they should have less in common: an error that a goroutine handles by itself ends nobody else, and a
/// panic can be kept to one goroutine, as a server wants it for its connections, by one within it:
///
/// ```
/// use gorin::{JoinError, Scope, go, scope};
///
/// # async fn serve(client: u32) {
/// #     assert!(client != 2, "as the example wants it");
/// # }
/// # gorin::run(async {
/// scope(|s: Scope<std::io::Error>| async move {
///     for client in 1..=3 {
///         s.go(async move {
///             // Aborted with the scope; only this last step is not waited for.
///             let served = go(serve(client)).abort_on_drop();
///             if let Err(JoinError::Panic(payload)) = served.await {
///                 eprintln!("client {client}: {:?}", payload.message());
///             }
///             Ok(())
///         });
///     }
///     Ok(())
/// })
/// .await
/// .unwrap();
/// # });
/// ```
///
/// # Errors
/// The first one.
///
/// # Panics
/// If a goroutine of the scope panics, or `body` does, with its payload; the others are ended before, as
/// after an error. A panic comes before an error, whichever was first. Where a runtime ends before goroutines
/// do that the scope has started in it there is no result: who awaits the scope in that runtime ends, too, and
/// elsewhere this panics.
///
/// # Cancel safety
/// A scope that is dropped aborts its goroutines. They end at their await points, soon, but it cannot
/// wait for them.
pub async fn scope<B, F, T, E>(body: B) -> Result<T, E>
where
    B: FnOnce(Scope<E>) -> F,
    F: Future<Output = Result<T, E>>,
    E: Send + 'static,
{
    let (children, newcomers) = unbounded();
    let mut family = Family {
        newcomers,
        alive: FuturesUnordered::new(),
        failed: false,
    };
    let outcome = match catch_unwind(AssertUnwindSafe(|| body(Scope { children }))) {
        Err(payload) => Err(Failure::Panic(payload)),
        Ok(body) => {
            let mut body = pin!(Some(AssertUnwindSafe(body).catch_unwind()));
            let runs = body.as_mut().as_pin_mut().expect("it has just been made");
            let outcome = match select(runs, pin!(family.next_failure())).await {
                Either::Left((ended, _)) => of_body(ended),
                Either::Right((Some(failure), _)) => Err(failure),
                // Nobody can start a goroutine any more, the body included.
                Either::Right((None, body)) => of_body(body.await),
            };
            // What the body owns may panic when it is dropped: the goroutines end before that gets out.
            match (catch_unwind(AssertUnwindSafe(|| body.set(None))), outcome) {
                (Ok(()), outcome) | (Err(_), outcome @ Err(Failure::Panic(_))) => outcome,
                (Err(payload), _) => Err(Failure::Panic(payload)),
            }
        }
    };
    let failure = match outcome {
        Err(failure) => failure,
        Ok(value) => match family.next_failure().await {
            None => return Ok(value),
            Some(failure) => failure,
        },
    };
    match family.end(failure).await {
        Failure::Error(error) => Err(error),
        Failure::Panic(payload) => resume_unwind(payload),
        // Only the end of its runtime aborts a goroutine whose handle is here. It ends whoever awaits the
        // scope there, too; until then there is no answer that would be true.
        Failure::Cancelled if crate::model::is_running() || gorin_executor::is_ending() => {
            pending().await
        }
        Failure::Cancelled => panic!(
            "gorin: a goroutine of a scope was dropped, because the runtime in which it was started has ended \
             before the scope has"
        ),
    }
}

/// Starts goroutines in a [`scope()`].
///
/// A clone starts them in the same scope, so that they can start more. The scope lasts until all clones
/// are dropped: keep none where it outlives the goroutines.
pub struct Scope<E> {
    children: Sender<Child<E>>,
}

impl<E: Send + 'static> Scope<E> {
    /// Starts a goroutine that belongs to the scope; [`go`](crate::go()) says more. If the scope has
    /// failed, or was dropped, it ends before it begins, or at its next await point.
    ///
    /// # Panics
    /// On a thread that belongs to no runtime; the text says what to do.
    #[track_caller]
    pub fn go<F>(&self, future: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        self.go_with(Spec::new(), future);
    }

    /// As [`go`](Self::go), with a [`Spec`] that names the goroutine in reports.
    ///
    /// # Panics
    /// As [`go`](Self::go).
    #[track_caller]
    pub fn go_with<F>(&self, spec: Spec, future: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
    {
        let child = go_with(spec, future).abort_on_drop();
        // Closed: the scope was dropped, and this refuses the newcomer. Asked first, because a checker
        // of programs takes note of whoever sends on after a refusal.
        if !self.children.is_closed() {
            let _ = self.children.try_send(child);
        }
    }
}

impl<E> Clone for Scope<E> {
    fn clone(&self) -> Self {
        Scope {
            children: self.children.clone(),
        }
    }
}

impl<E> fmt::Debug for Scope<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").finish_non_exhaustive()
    }
}

type Child<E> = JoinHandle<Result<(), E>>;

/// What a panic carries.
type Payload = Box<dyn Any + Send>;

/// Why a scope ends before its goroutines have.
enum Failure<E> {
    Error(E),
    Panic(Payload),
    Cancelled,
}

/// How `body` has ended.
fn of_body<T, E>(ended: Result<Result<T, E>, Payload>) -> Result<T, Failure<E>> {
    ended.map_err(Failure::Panic)?.map_err(Failure::Error)
}

/// The goroutines of a scope.
struct Family<E> {
    /// Those that were started and not looked at yet.
    newcomers: Receiver<Child<E>>,
    alive: FuturesUnordered<Child<E>>,
    /// All are to end, newcomers too.
    failed: bool,
}

impl<E> Family<E> {
    /// Waits for a goroutine that fails; `None` when all have ended and no more can come.
    async fn next_failure(&mut self) -> Option<Failure<E>> {
        poll_fn(|cx| self.poll_failure(cx)).await
    }

    fn poll_failure(&mut self, cx: &mut Context<'_>) -> Poll<Option<Failure<E>>> {
        let more = loop {
            match Pin::new(&mut self.newcomers).poll_next(cx) {
                Poll::Ready(Some(child)) => {
                    if self.failed && !seeded::bug("scope.newcomers_live_on") {
                        child.abort();
                    }
                    self.alive.push(child);
                }
                Poll::Ready(None) => break false,
                Poll::Pending => break true,
            }
        };
        loop {
            match Pin::new(&mut self.alive).poll_next(cx) {
                Poll::Ready(Some(Ok(Ok(())))) => {}
                Poll::Ready(Some(Ok(Err(error)))) => {
                    return Poll::Ready(Some(Failure::Error(error)));
                }
                Poll::Ready(Some(Err(JoinError::Panic(payload)))) => {
                    return Poll::Ready(Some(Failure::Panic(payload.into_inner())));
                }
                Poll::Ready(Some(Err(JoinError::Cancelled))) => {
                    return Poll::Ready(Some(Failure::Cancelled));
                }
                Poll::Ready(None) if !more => return Poll::Ready(None),
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Aborts all, and waits until they are gone; gives the failure that counts.
    async fn end(&mut self, first: Failure<E>) -> Failure<E> {
        self.failed = true;
        if !seeded::bug("scope.siblings_live_on") {
            self.alive.iter().for_each(JoinHandle::abort);
        }
        let mut counts = first;
        while let Some(failure) = self.next_failure().await {
            match (&counts, &failure) {
                (Failure::Panic(_), _) => {}
                (_, Failure::Panic(_)) => counts = failure,
                _ => {}
            }
        }
        counts
    }
}

impl<E> Drop for Family<E> {
    /// Newcomers that nobody has looked at are no values that are lost: they are ended.
    fn drop(&mut self) {
        if gorin_base::primitive::unwinding() {
            return;
        }
        self.newcomers.close();
        while let Ok(child) = self.newcomers.try_recv() {
            drop(child);
        }
    }
}
