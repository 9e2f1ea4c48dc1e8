//! Operating system threads with blocking channels and sockets: each task is a thread. For the
//! channels that block (crossbeam-channel has no other form) and as the plain alternative.

mod gorin_channel;
mod select;
mod shared;

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::main()
}

/// Threads behind the names that the workloads use. The futures of the workloads never wait: what
/// they would await blocks the thread (gorin's channel parks it through its waker).
mod rt {
    use crate::gorin_channel::GorinChannel;
    use crate::shared::channel::{Capacity, Channel};
    use crate::shared::messages::Rows;
    use crate::shared::{Failure, Outcome, unsupported};
    use futures::executor::block_on;
    use std::sync::{self, Arc, Condvar};
    use std::thread::JoinHandle;
    use std::time::Duration;

    pub(crate) use gorin_channel::sync::Mutex;
    pub(crate) trait MaybeSend: Send {}
    impl<T: Send> MaybeSend for T {}

    pub(crate) const ONE_SERVER_PER_THREAD: bool = false;
    pub(crate) const NO_YIELD: Option<&str> = None;
    pub(crate) const NO_MUTEX: Option<&str> = None;

    pub(crate) type Task<T> = JoinHandle<T>;

    pub(crate) fn run<F: Future>(_workers: usize, main: F) -> F::Output {
        block_on(main)
    }

    pub(crate) fn spawn<F>(future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        std::thread::Builder::new()
            .stack_size(128 << 10)
            .spawn(|| block_on(future))
            .expect("the system starts a thread")
    }

    pub(crate) async fn join<T>(task: Task<T>) -> T {
        task.join().expect("the task does not panic")
    }

    pub(crate) fn detach<T>(task: Task<T>) {
        drop(task);
    }

    pub(crate) async fn yield_now() {
        std::thread::yield_now();
    }

    pub(crate) async fn sleep(time: Duration) {
        std::thread::sleep(time);
    }

    #[derive(Clone, Default)]
    pub(crate) struct Gate(Arc<(sync::Mutex<bool>, Condvar)>);

    impl Gate {
        pub(crate) fn new() -> Gate {
            Gate::default()
        }

        pub(crate) async fn wait(&self) {
            let (open, changed) = &*self.0;
            let guard = open.lock().expect("nobody panics with the lock");
            drop(
                changed
                    .wait_while(guard, |open| !*open)
                    .expect("nobody panics with the lock"),
            );
        }

        pub(crate) fn open(&self) {
            let (open, changed) = &*self.0;
            *open.lock().expect("nobody panics with the lock") = true;
            changed.notify_all();
        }
    }

    pub(crate) fn with_channel(name: &str, rows: &Rows) -> Outcome {
        match name {
            "gorin" => rows.run::<GorinChannel>(),
            "crossbeam" => rows.run::<Crossbeam>(),
            "kanal" => rows.run::<Kanal>(),
            "flume" => rows.run::<Flume>(),
            _ => unsupported(format!("it does not know the channel `{name}`")),
        }
    }

    /// A [`Channel`] whose calls block and that is left out of select.
    macro_rules! blocking_channel {
        ($name:ident, $tx:ty, $rx:ty, $bounded:path, $unbounded:path, $no_select:expr,
         $recv_of_2:expr, $recv_of_8:expr) => {
            struct $name;

            impl Channel for $name {
                type Tx = $tx;
                type Rx = $rx;
                const SMALLEST: usize = 0;
                const NO_SELECT: Option<&str> = $no_select;

                fn open(capacity: Capacity) -> Result<(Self::Tx, Self::Rx), Failure> {
                    Ok(match capacity {
                        Capacity::Bounded(capacity) => $bounded(capacity),
                        Capacity::Unbounded => $unbounded(),
                    })
                }

                fn share(rx: &Self::Rx) -> Result<Self::Rx, Failure> {
                    Ok(rx.clone())
                }

                async fn send(tx: &mut Self::Tx, value: u64) -> bool {
                    tx.send(value).is_ok()
                }

                async fn recv(rx: &mut Self::Rx) -> Option<u64> {
                    rx.recv().ok()
                }

                async fn recv_of_2(rxs: &mut [Self::Rx; 2]) -> Option<u64> {
                    $recv_of_2(rxs)
                }

                async fn recv_of_8(rxs: &mut [Self::Rx; 8]) -> Option<u64> {
                    $recv_of_8(rxs)
                }
            }
        };
    }

    blocking_channel!(
        Crossbeam,
        crossbeam_channel::Sender<u64>,
        crossbeam_channel::Receiver<u64>,
        crossbeam_channel::bounded,
        crossbeam_channel::unbounded,
        None,
        |rxs: &[Self::Rx; 2]| {
            let [a, b] = rxs;
            crossbeam_channel::select! { recv(a) -> v => v.ok(), recv(b) -> v => v.ok() }
        },
        |rxs: &[Self::Rx; 8]| {
            let [a, b, c, d, e, f, g, h] = rxs;
            crossbeam_channel::select! {
                recv(a) -> v => v.ok(), recv(b) -> v => v.ok(),
                recv(c) -> v => v.ok(), recv(d) -> v => v.ok(),
                recv(e) -> v => v.ok(), recv(f) -> v => v.ok(),
                recv(g) -> v => v.ok(), recv(h) -> v => v.ok(),
            }
        }
    );

    const SELECT_IS_CROSSBEAMS: Option<&str> = Some("its select is measured on an executor");

    blocking_channel!(
        Kanal,
        kanal::Sender<u64>,
        kanal::Receiver<u64>,
        kanal::bounded,
        kanal::unbounded,
        SELECT_IS_CROSSBEAMS,
        |rxs: &[Self::Rx; 2]| rxs[0].recv().ok(),
        |rxs: &[Self::Rx; 8]| rxs[0].recv().ok()
    );

    blocking_channel!(
        Flume,
        flume::Sender<u64>,
        flume::Receiver<u64>,
        flume::bounded,
        flume::unbounded,
        SELECT_IS_CROSSBEAMS,
        |rxs: &[Self::Rx; 2]| rxs[0].recv().ok(),
        |rxs: &[Self::Rx; 8]| rxs[0].recv().ok()
    );

    pub(crate) mod fs {
        use std::io;
        use std::os::unix::fs::FileExt;
        use std::path::Path;

        pub(crate) struct File(std::fs::File);

        impl File {
            pub(crate) async fn open(path: &Path) -> io::Result<File> {
                std::fs::File::open(path).map(File)
            }

            pub(crate) async fn read_at(
                &self,
                mut buf: Vec<u8>,
                offset: u64,
            ) -> (io::Result<usize>, Vec<u8>) {
                (self.0.read_at(&mut buf, offset), buf)
            }
        }
    }

    pub(crate) mod net {
        use std::io::{self, Read, Write};
        use std::net::SocketAddr;

        pub(crate) use crate::shared::serve::start_echo;

        pub(crate) const NONBLOCKING: bool = false;

        pub(crate) struct Listener(std::net::TcpListener);
        pub(crate) struct Stream(std::net::TcpStream);

        impl Listener {
            pub(crate) fn from_std(listener: std::net::TcpListener) -> io::Result<Listener> {
                Ok(Listener(listener))
            }

            pub(crate) async fn accept(&self) -> io::Result<Stream> {
                let (stream, _) = self.0.accept()?;
                stream.set_nodelay(true)?;
                Ok(Stream(stream))
            }
        }

        impl Stream {
            pub(crate) async fn read(&mut self, mut buf: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
                (self.0.read(&mut buf), buf)
            }

            pub(crate) async fn write_all(
                &mut self,
                buf: Vec<u8>,
                len: usize,
            ) -> (io::Result<()>, Vec<u8>) {
                (self.0.write_all(&buf[..len]), buf)
            }
        }

        pub(crate) struct Udp(std::net::UdpSocket);

        impl Udp {
            pub(crate) fn from_std(socket: std::net::UdpSocket) -> io::Result<Udp> {
                Ok(Udp(socket))
            }

            pub(crate) async fn recv_from(
                &mut self,
                mut buf: Vec<u8>,
            ) -> (io::Result<(usize, SocketAddr)>, Vec<u8>) {
                (self.0.recv_from(&mut buf), buf)
            }

            pub(crate) async fn send_to(
                &mut self,
                buf: Vec<u8>,
                len: usize,
                peer: SocketAddr,
            ) -> (io::Result<usize>, Vec<u8>) {
                (self.0.send_to(&buf[..len], peer), buf)
            }
        }
    }
}
