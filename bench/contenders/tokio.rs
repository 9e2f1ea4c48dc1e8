//! tokio, multi-threaded; `tokio-ct` by `TOKIO_FLAVOR=ct` is its current-thread runtime.

mod crates;
mod gorin_channel;
mod select;
mod shared;

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::main()
}

/// tokio behind the names that the workloads use.
mod rt {
    use crate::crates::{self, TokioMpsc};
    use crate::gorin_channel::GorinChannel;
    use crate::shared::Outcome;
    use crate::shared::messages::Rows;
    use std::sync::Arc;
    use tokio::runtime::Builder;
    use tokio::sync::Notify;

    pub(crate) use tokio::sync::Mutex;
    pub(crate) use tokio::task::yield_now;
    pub(crate) use tokio::time::sleep;

    pub(crate) trait MaybeSend: Send {}
    impl<T: Send> MaybeSend for T {}

    pub(crate) const ONE_SERVER_PER_THREAD: bool = false;
    pub(crate) const NO_YIELD: Option<&str> = None;
    pub(crate) const NO_MUTEX: Option<&str> = None;

    pub(crate) type Task<T> = tokio::task::JoinHandle<T>;

    pub(crate) fn run<F>(workers: usize, main: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let mut builder = match std::env::var("TOKIO_FLAVOR").as_deref() {
            Ok("ct") => Builder::new_current_thread(),
            _ => Builder::new_multi_thread(),
        };
        let runtime = builder
            .worker_threads(workers)
            .enable_all()
            .build()
            .expect("tokio starts");
        // As a task, not on the calling thread, which is none of tokio's workers.
        let output = runtime.block_on(async { tokio::spawn(main).await });
        runtime.shutdown_background();
        output.expect("the workload does not panic")
    }

    pub(crate) fn spawn<F>(future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(future)
    }

    pub(crate) async fn join<T>(task: Task<T>) -> T {
        task.await.expect("the task does not panic")
    }

    pub(crate) fn detach<T>(task: Task<T>) {
        drop(task);
    }

    #[derive(Clone)]
    pub(crate) struct Gate(Arc<Notify>);

    impl Gate {
        pub(crate) fn new() -> Gate {
            Gate(Arc::new(Notify::new()))
        }

        pub(crate) async fn wait(&self) {
            self.0.notified().await;
        }

        pub(crate) fn open(&self) {
            self.0.notify_waiters();
        }
    }

    pub(crate) fn with_channel(name: &str, rows: &Rows) -> Outcome {
        match name {
            "native" => rows.run::<TokioMpsc>(),
            "gorin" => rows.run::<GorinChannel>(),
            _ => crates::with_channel(name, rows),
        }
    }

    /// It reads files on its threads for blocking calls, and has no call with an offset of its own.
    pub(crate) mod fs {
        use std::io;
        use std::os::unix::fs::FileExt;
        use std::path::Path;
        use std::sync::Arc;

        pub(crate) struct File(Arc<std::fs::File>);

        impl File {
            pub(crate) async fn open(path: &Path) -> io::Result<File> {
                Ok(File(Arc::new(std::fs::File::open(path)?)))
            }

            pub(crate) async fn read_at(
                &self,
                mut buf: Vec<u8>,
                offset: u64,
            ) -> (io::Result<usize>, Vec<u8>) {
                let file = self.0.clone();
                let read = move || (file.read_at(&mut buf, offset), buf);
                tokio::task::spawn_blocking(read)
                    .await
                    .expect("it does not panic")
            }
        }
    }

    pub(crate) mod net {
        use std::io;
        use std::net::SocketAddr;
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        pub(crate) const NONBLOCKING: bool = true;
        pub(crate) use crate::shared::serve::start_echo;

        pub(crate) struct Listener(tokio::net::TcpListener);
        pub(crate) struct Stream(tokio::net::TcpStream);

        impl Listener {
            pub(crate) fn from_std(listener: std::net::TcpListener) -> io::Result<Listener> {
                tokio::net::TcpListener::from_std(listener).map(Listener)
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

        pub(crate) struct Udp(tokio::net::UdpSocket);

        impl Udp {
            pub(crate) fn from_std(socket: std::net::UdpSocket) -> io::Result<Udp> {
                tokio::net::UdpSocket::from_std(socket).map(Udp)
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
