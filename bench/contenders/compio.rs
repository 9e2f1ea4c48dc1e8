//! compio: one thread, one ring. Several workers are several runtimes, for servers only. It brings
//! no channel of its own and is measured with async-channel.

mod crates;
mod gate;
mod no_mutex;
mod select;
mod shared;

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::main()
}

/// compio behind the names that the workloads use.
mod rt {
    use crate::crates;
    use crate::shared::Outcome;
    use crate::shared::messages::Rows;
    use std::future::poll_fn;
    use std::task::Poll;

    pub(crate) use crate::gate::Gate;
    pub(crate) use crate::no_mutex::{Mutex, NO_MUTEX};
    pub(crate) use compio::time::sleep;

    pub(crate) trait MaybeSend {}
    impl<T> MaybeSend for T {}

    pub(crate) const ONE_SERVER_PER_THREAD: bool = true;
    pub(crate) const NO_YIELD: Option<&str> = None;

    pub(crate) type Task<T> = compio::runtime::JoinHandle<T>;

    pub(crate) fn run<F>(workers: usize, main: F) -> F::Output
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        assert_eq!(workers, 1, "compio cannot share tasks between workers");
        compio::runtime::Runtime::new()
            .expect("compio starts")
            .block_on(async { join(spawn(main)).await })
    }

    pub(crate) fn spawn<F>(future: F) -> Task<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        compio::runtime::spawn(future)
    }

    pub(crate) async fn join<T>(task: Task<T>) -> T {
        task.await.expect("the task does not panic")
    }

    pub(crate) fn detach<T>(task: Task<T>) {
        task.detach();
    }

    pub(crate) async fn yield_now() {
        let mut yielded = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    pub(crate) fn with_channel(name: &str, rows: &Rows) -> Outcome {
        match name {
            "native" => rows.run::<crates::AsyncChannel>(),
            _ => crates::with_channel(name, rows),
        }
    }

    pub(crate) mod fs {
        use compio::BufResult;
        use compio::io::AsyncReadAt;
        use std::io;
        use std::path::Path;

        pub(crate) struct File(compio::fs::File);

        impl File {
            pub(crate) async fn open(path: &Path) -> io::Result<File> {
                compio::fs::File::open(path).await.map(File)
            }

            pub(crate) async fn read_at(
                &self,
                buf: Vec<u8>,
                offset: u64,
            ) -> (io::Result<usize>, Vec<u8>) {
                let BufResult(result, buf) = self.0.read_at(buf, offset).await;
                (result, buf)
            }
        }
    }

    pub(crate) mod net {
        use compio::BufResult;
        use compio::buf::{IntoInner, IoBufExt};
        use compio::io::{AsyncRead, AsyncWriteExt};
        use std::io;
        use std::net::SocketAddr;

        pub(crate) const NONBLOCKING: bool = false;
        pub(crate) use crate::shared::serve::start_echo;

        pub(crate) struct Listener(compio::net::TcpListener);
        pub(crate) struct Stream(compio::net::TcpStream);

        impl Listener {
            pub(crate) fn from_std(listener: std::net::TcpListener) -> io::Result<Listener> {
                compio::net::TcpListener::from_std(listener).map(Listener)
            }

            pub(crate) async fn accept(&self) -> io::Result<Stream> {
                let (stream, _) = self.0.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Stream(stream))
            }
        }

        impl Stream {
            pub(crate) async fn read(&mut self, buf: Vec<u8>) -> (io::Result<usize>, Vec<u8>) {
                let BufResult(result, buf) = self.0.read(buf).await;
                (result, buf)
            }

            pub(crate) async fn write_all(
                &mut self,
                buf: Vec<u8>,
                len: usize,
            ) -> (io::Result<()>, Vec<u8>) {
                let BufResult(result, slice) = self.0.write_all(buf.slice(..len)).await;
                (result, slice.into_inner())
            }
        }

        pub(crate) struct Udp(compio::net::UdpSocket);

        impl Udp {
            pub(crate) fn from_std(socket: std::net::UdpSocket) -> io::Result<Udp> {
                compio::net::UdpSocket::from_std(socket).map(Udp)
            }

            pub(crate) async fn recv_from(
                &mut self,
                buf: Vec<u8>,
            ) -> (io::Result<(usize, SocketAddr)>, Vec<u8>) {
                let BufResult(result, buf) = self.0.recv_from(buf).await;
                (result, buf)
            }

            pub(crate) async fn send_to(
                &mut self,
                buf: Vec<u8>,
                len: usize,
                peer: SocketAddr,
            ) -> (io::Result<usize>, Vec<u8>) {
                let BufResult(result, slice) = self.0.send_to(buf.slice(..len), peer).await;
                (result, slice.into_inner())
            }
        }
    }
}
