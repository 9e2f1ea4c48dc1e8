//! glommio: one thread, one executor. Several workers are several executors, for servers only.

mod gate;
mod no_mutex;
mod shared;

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::main()
}

/// glommio behind the names that the workloads use.
mod rt {
    use crate::shared::channel::{Capacity, Channel};
    use crate::shared::messages::Rows;
    use crate::shared::{Failure, Outcome, unsupported};
    use glommio::channels::local_channel::{self, LocalReceiver, LocalSender};
    use std::rc::Rc;
    use std::time::Duration;

    pub(crate) use crate::gate::Gate;
    pub(crate) use crate::no_mutex::{Mutex, NO_MUTEX};

    pub(crate) trait MaybeSend {}
    impl<T> MaybeSend for T {}

    pub(crate) const ONE_SERVER_PER_THREAD: bool = true;
    pub(crate) const NO_YIELD: Option<&str> = None;

    pub(crate) type Task<T> = glommio::Task<T>;

    pub(crate) fn run<F>(workers: usize, main: F) -> F::Output
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        assert_eq!(workers, 1, "glommio cannot share tasks between workers");
        glommio::LocalExecutorBuilder::default()
            .make()
            .expect("glommio starts (it wants at least 512 KiB of RLIMIT_MEMLOCK)")
            .run(async { spawn(main).await })
    }

    pub(crate) fn spawn<F>(future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        glommio::spawn_local(future)
    }

    pub(crate) async fn join<T>(task: Task<T>) -> T {
        task.await
    }

    pub(crate) fn detach<T: 'static>(task: Task<T>) {
        task.detach();
    }

    pub(crate) async fn yield_now() {
        glommio::executor().yield_now().await;
    }

    pub(crate) async fn sleep(time: Duration) {
        glommio::timer::sleep(time).await;
    }

    pub(crate) fn with_channel(name: &str, rows: &Rows) -> Outcome {
        match name {
            "native" => rows.run::<LocalChannel>(),
            _ => unsupported("it is measured with its own channel only"),
        }
    }

    /// glommio's channel, which stays on one thread and whose ends are not `Clone`.
    struct LocalChannel;

    impl Channel for LocalChannel {
        type Tx = Rc<LocalSender<u64>>;
        type Rx = Rc<LocalReceiver<u64>>;
        const SMALLEST: usize = 1;
        const NO_SELECT: Option<&str> = Some("it brings no select");

        fn open(capacity: Capacity) -> Result<(Self::Tx, Self::Rx), Failure> {
            let (tx, rx) = match capacity {
                Capacity::Unbounded => local_channel::new_unbounded(),
                Capacity::Bounded(capacity) => local_channel::new_bounded(capacity),
            };
            Ok((Rc::new(tx), Rc::new(rx)))
        }

        fn share(rx: &Self::Rx) -> Result<Self::Rx, Failure> {
            Ok(rx.clone())
        }

        async fn send(tx: &mut Self::Tx, value: u64) -> bool {
            tx.send(value).await.is_ok()
        }

        async fn recv(rx: &mut Self::Rx) -> Option<u64> {
            rx.recv().await
        }

        async fn recv_of_2(rxs: &mut [Self::Rx; 2]) -> Option<u64> {
            // Never reached: the row asks `NO_SELECT` first.
            rxs[0].recv().await
        }

        async fn recv_of_8(rxs: &mut [Self::Rx; 8]) -> Option<u64> {
            // Never reached: the row asks `NO_SELECT` first.
            rxs[0].recv().await
        }
    }

    pub(crate) mod fs {
        use std::io;
        use std::path::Path;

        pub(crate) struct File(glommio::io::BufferedFile);

        impl File {
            pub(crate) async fn open(path: &Path) -> io::Result<File> {
                Ok(File(glommio::io::BufferedFile::open(path).await?))
            }

            /// glommio makes a buffer of its own for each read.
            pub(crate) async fn read_at(
                &self,
                mut buf: Vec<u8>,
                offset: u64,
            ) -> (io::Result<usize>, Vec<u8>) {
                match self.0.read_at(offset, buf.len()).await {
                    Ok(read) => {
                        buf[..read.len()].copy_from_slice(&read);
                        (Ok(read.len()), buf)
                    }
                    Err(error) => (Err(error.into()), buf),
                }
            }
        }
    }

    pub(crate) mod net {
        use futures::{AsyncReadExt, AsyncWriteExt};
        use std::io;
        use std::net::SocketAddr;

        pub(crate) const NONBLOCKING: bool = false;
        pub(crate) use crate::shared::serve::start_echo;

        pub(crate) struct Listener(glommio::net::TcpListener);
        pub(crate) struct Stream(glommio::net::TcpStream);

        impl Listener {
            /// glommio takes no listener of others without unsafe code; this binds the same
            /// address anew (both sides set SO_REUSEPORT, and nobody has connected yet).
            pub(crate) fn from_std(listener: std::net::TcpListener) -> io::Result<Listener> {
                let addr = listener.local_addr()?;
                drop(listener);
                Ok(Listener(glommio::net::TcpListener::bind(addr)?))
            }

            pub(crate) async fn accept(&self) -> io::Result<Stream> {
                let stream = self.0.accept().await?;
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

        pub(crate) struct Udp(glommio::net::UdpSocket);

        impl Udp {
            /// As the listener's.
            pub(crate) fn from_std(socket: std::net::UdpSocket) -> io::Result<Udp> {
                let addr = socket.local_addr()?;
                drop(socket);
                Ok(Udp(glommio::net::UdpSocket::bind(addr)?))
            }

            pub(crate) async fn recv_from(
                &mut self,
                mut buf: Vec<u8>,
            ) -> (io::Result<(usize, SocketAddr)>, Vec<u8>) {
                (
                    self.0.recv_from(&mut buf).await.map_err(io::Error::from),
                    buf,
                )
            }

            pub(crate) async fn send_to(
                &mut self,
                buf: Vec<u8>,
                len: usize,
                peer: SocketAddr,
            ) -> (io::Result<usize>, Vec<u8>) {
                (
                    self.0
                        .send_to(&buf[..len], peer)
                        .await
                        .map_err(io::Error::from),
                    buf,
                )
            }
        }
    }
}
