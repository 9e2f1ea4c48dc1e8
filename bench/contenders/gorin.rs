//! gorin; `gorin-pooled` by `GORIN_BENCH_READS=pooled` is its server that reads into buffers of the worker's
//! pool.

mod crates;
mod gorin_channel;
mod select;
mod shared;

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::main()
}

/// gorin behind the names that the workloads use.
mod rt {
    use crate::crates;
    use crate::gorin_channel::GorinChannel;
    use crate::shared::Outcome;
    use crate::shared::messages::Rows;
    use gorin::channel::{Receiver, Sender};

    pub(crate) use gorin::sync::Mutex;
    pub(crate) use gorin::time::sleep;
    pub(crate) use gorin::yield_now;

    pub(crate) trait MaybeSend: Send {}
    impl<T: Send> MaybeSend for T {}

    pub(crate) const ONE_SERVER_PER_THREAD: bool = false;
    pub(crate) const NO_YIELD: Option<&str> = None;
    pub(crate) const NO_MUTEX: Option<&str> = None;

    pub(crate) type Task<T> = gorin::JoinHandle<T>;

    pub(crate) fn run<F>(workers: usize, main: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        gorin::Runtime::builder()
            .workers(workers)
            .run(async { join(gorin::go(main)).await })
            .unwrap_or_else(|error| panic!("gorin does not start: {error}"))
    }

    pub(crate) fn spawn<F>(future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        gorin::go(future)
    }

    pub(crate) async fn join<T>(task: Task<T>) -> T {
        task.await.expect("the task does not panic")
    }

    pub(crate) fn detach<T>(task: Task<T>) {
        drop(task);
    }

    /// As in Go: a channel that is closed.
    #[derive(Clone)]
    pub(crate) struct Gate {
        tx: Sender<()>,
        rx: Receiver<()>,
    }

    impl Gate {
        pub(crate) fn new() -> Gate {
            let (tx, rx) = gorin::chan(0);
            Gate { tx, rx }
        }

        pub(crate) async fn wait(&self) {
            // Nothing is ever sent: `None` says that the channel was closed.
            let _ = self.rx.recv().await;
        }

        pub(crate) fn open(&self) {
            self.tx.close();
        }
    }

    pub(crate) fn with_channel(name: &str, rows: &Rows) -> Outcome {
        match name {
            "native" => rows.run::<GorinChannel>(),
            _ => crates::with_channel(name, rows),
        }
    }

    pub(crate) mod fs {
        use std::io;
        use std::path::Path;

        pub(crate) struct File(gorin::fs::File);

        impl File {
            pub(crate) async fn open(path: &Path) -> io::Result<File> {
                gorin::fs::File::open(path).await.map(File)
            }

            pub(crate) async fn read_at(
                &self,
                buf: Vec<u8>,
                offset: u64,
            ) -> (io::Result<usize>, Vec<u8>) {
                self.0.read_at(buf, offset).await
            }
        }
    }

    pub(crate) mod net {
        use std::io;
        use std::net::SocketAddr;
        use std::sync::LazyLock;

        pub(crate) const NONBLOCKING: bool = true;

        pub(crate) struct Listener(gorin::net::TcpListener);
        pub(crate) struct Stream(gorin::net::TcpStream);

        pub(crate) fn start_echo(stream: Stream, buffer_bytes: usize) {
            static IS_POOLED: LazyLock<bool> = LazyLock::new(|| {
                std::env::var("GORIN_BENCH_READS").is_ok_and(|reads| reads == "pooled")
            });
            match *IS_POOLED {
                true => super::detach(gorin::go(pooled_echo(stream.0, buffer_bytes))),
                false => crate::shared::serve::start_echo(stream, buffer_bytes),
            }
        }

        /// As the common one, with a buffer only while there is something in it.
        async fn pooled_echo(stream: gorin::net::TcpStream, buffer_bytes: usize) {
            while let Ok(message) = stream.recv_pooled(buffer_bytes).await {
                if message.is_empty() || stream.write_all(&message).await.is_err() {
                    break;
                }
            }
        }

        impl Listener {
            pub(crate) fn from_std(listener: std::net::TcpListener) -> io::Result<Listener> {
                gorin::net::TcpListener::from_std(listener).map(Listener)
            }

            pub(crate) async fn accept(&self) -> io::Result<Stream> {
                let (stream, _) = self.0.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Stream(stream))
            }
        }

        impl Stream {
            pub(crate) async fn read(&mut self, mut buf: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
                (self.0.read(&mut buf).await, buf)
            }

            pub(crate) async fn write_all(
                &mut self,
                buf: Vec<u8>,
                len: usize,
            ) -> (io::Result<()>, Vec<u8>) {
                (self.0.write_all(&buf[..len]).await, buf)
            }
        }

        pub(crate) struct Udp(gorin::net::UdpSocket);

        impl Udp {
            pub(crate) fn from_std(socket: std::net::UdpSocket) -> io::Result<Udp> {
                gorin::net::UdpSocket::from_std(socket).map(Udp)
            }

            pub(crate) async fn recv_from(
                &mut self,
                mut buf: Vec<u8>,
            ) -> (io::Result<(usize, SocketAddr)>, Vec<u8>) {
                (self.0.recv_from(&mut buf).await, buf)
            }

            pub(crate) async fn send_to(
                &mut self,
                buf: Vec<u8>,
                len: usize,
                peer: SocketAddr,
            ) -> (io::Result<usize>, Vec<u8>) {
                (self.0.send_to(&buf[..len], peer).await, buf)
            }
        }
    }
}
