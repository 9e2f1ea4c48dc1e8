//! monoio: one thread, one ring. Several workers are several runtimes, for servers only.

mod gate;
mod no_mutex;
mod select;
mod shared;

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::main()
}

/// monoio behind the names that the workloads use.
mod rt {
    use crate::select::select_with;
    use crate::shared::channel::{Capacity, Channel};
    use crate::shared::messages::Rows;
    use crate::shared::{Failure, Outcome, unsupported};
    use local_sync::mpsc::{bounded, unbounded};

    pub(crate) use crate::gate::Gate;
    pub(crate) use crate::no_mutex::{Mutex, NO_MUTEX};
    pub(crate) use monoio::time::sleep;

    pub(crate) trait MaybeSend {}
    impl<T> MaybeSend for T {}

    pub(crate) const ONE_SERVER_PER_THREAD: bool = true;
    pub(crate) const NO_YIELD: Option<&str> =
        Some("a task that wakes itself goes to the front of the queue, and nobody else runs");

    pub(crate) type Task<T> = monoio::task::JoinHandle<T>;

    pub(crate) fn run<F>(workers: usize, main: F) -> F::Output
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        assert_eq!(workers, 1, "monoio cannot share tasks between workers");
        let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
            .enable_all()
            .build()
            .expect("monoio starts");
        let output = runtime.block_on(async { spawn(main).await });
        // Leaked on purpose: local-sync panics when the runtime drops tasks that wait to send.
        std::mem::forget(runtime);
        output
    }

    pub(crate) fn spawn<F>(future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        monoio::spawn(future)
    }

    pub(crate) async fn join<T>(task: Task<T>) -> T {
        task.await
    }

    pub(crate) fn detach<T>(task: Task<T>) {
        drop(task);
    }

    pub(crate) async fn yield_now() {
        // Never reached: the row asks `NO_YIELD` first.
        std::future::ready(()).await;
    }

    pub(crate) fn with_channel(name: &str, rows: &Rows) -> Outcome {
        match name {
            "native" => rows.run::<LocalSync>(),
            _ => unsupported("it is measured with its own channel only"),
        }
    }

    /// local-sync's channel, which stays on one thread.
    struct LocalSync;

    #[derive(Clone)]
    enum Tx {
        Bounded(bounded::Tx<u64>),
        Unbounded(unbounded::Tx<u64>),
    }

    enum Rx {
        Bounded(bounded::Rx<u64>),
        Unbounded(unbounded::Rx<u64>),
    }

    impl Rx {
        async fn recv(&mut self) -> Option<u64> {
            match self {
                Rx::Bounded(rx) => rx.recv().await,
                Rx::Unbounded(rx) => rx.recv().await,
            }
        }
    }

    impl Channel for LocalSync {
        type Tx = Tx;
        type Rx = Rx;
        const SMALLEST: usize = 1;

        fn open(capacity: Capacity) -> Result<(Tx, Rx), Failure> {
            Ok(match capacity {
                Capacity::Unbounded => {
                    let (tx, rx) = unbounded::channel();
                    (Tx::Unbounded(tx), Rx::Unbounded(rx))
                }
                Capacity::Bounded(capacity) => {
                    let (tx, rx) = bounded::channel(capacity);
                    (Tx::Bounded(tx), Rx::Bounded(rx))
                }
            })
        }

        fn share(_rx: &Rx) -> Result<Rx, Failure> {
            unsupported("it has a single receiver")
        }

        async fn send(tx: &mut Tx, value: u64) -> bool {
            match tx {
                Tx::Bounded(tx) => tx.send(value).await.is_ok(),
                Tx::Unbounded(tx) => tx.send(value).is_ok(),
            }
        }

        async fn recv(rx: &mut Rx) -> Option<u64> {
            rx.recv().await
        }

        select_with!(monoio::select, recv, |v| v);
    }

    pub(crate) mod fs {
        use std::io;
        use std::path::Path;

        pub(crate) struct File(monoio::fs::File);

        impl File {
            pub(crate) async fn open(path: &Path) -> io::Result<File> {
                monoio::fs::File::open(path).await.map(File)
            }

            pub(crate) async fn read_at(
                &self,
                buf: Vec<u8>,
                offset: u64,
            ) -> (io::Result<usize>, Vec<u8>) {
                use monoio::buf::IoBufMut;
                let len = buf.len();
                let (result, slice) = self.0.read_at(buf.slice_mut(0..len), offset).await;
                (result, slice.into_inner())
            }
        }
    }

    pub(crate) mod net {
        use monoio::buf::IoBufMut;
        use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
        use std::io;
        use std::net::SocketAddr;

        pub(crate) const NONBLOCKING: bool = false;
        pub(crate) use crate::shared::serve::start_echo;

        pub(crate) struct Listener(monoio::net::TcpListener);
        pub(crate) struct Stream(monoio::net::TcpStream);

        impl Listener {
            pub(crate) fn from_std(listener: std::net::TcpListener) -> io::Result<Listener> {
                monoio::net::TcpListener::from_std(listener).map(Listener)
            }

            pub(crate) async fn accept(&self) -> io::Result<Stream> {
                let (stream, _) = self.0.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Stream(stream))
            }
        }

        impl Stream {
            pub(crate) async fn read(&mut self, buf: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
                let len = buf.len();
                let (result, slice) = self.0.read(buf.slice_mut(0..len)).await;
                (result, slice.into_inner())
            }

            pub(crate) async fn write_all(
                &mut self,
                buf: Vec<u8>,
                len: usize,
            ) -> (io::Result<()>, Vec<u8>) {
                use monoio::buf::IoBuf;
                let (result, slice) = self.0.write_all(buf.slice(0..len)).await;
                (result.map(drop), slice.into_inner())
            }
        }

        pub(crate) struct Udp(monoio::net::udp::UdpSocket);

        impl Udp {
            pub(crate) fn from_std(socket: std::net::UdpSocket) -> io::Result<Udp> {
                monoio::net::udp::UdpSocket::from_std(socket).map(Udp)
            }

            pub(crate) async fn recv_from(
                &mut self,
                buf: Vec<u8>,
            ) -> (io::Result<(usize, SocketAddr)>, Vec<u8>) {
                let len = buf.len();
                let (result, slice) = self.0.recv_from(buf.slice_mut(0..len)).await;
                (result, slice.into_inner())
            }

            pub(crate) async fn send_to(
                &mut self,
                buf: Vec<u8>,
                len: usize,
                peer: SocketAddr,
            ) -> (io::Result<usize>, Vec<u8>) {
                use monoio::buf::IoBuf;
                let (result, slice) = self.0.send_to(buf.slice(0..len), peer).await;
                (result, slice.into_inner())
            }
        }
    }
}
