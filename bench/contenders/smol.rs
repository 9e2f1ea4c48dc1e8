//! smol: async-executor on as many threads as workers. Its reactor (async-io) keeps a thread of its
//! own beside them. Its channel is async-channel.

mod crates;
mod gate;
mod select;
mod shared;

use std::process::ExitCode;

fn main() -> ExitCode {
    shared::main()
}

/// smol behind the names that the workloads use.
mod rt {
    use crate::crates;
    use crate::shared::Outcome;
    use crate::shared::messages::Rows;
    use smol::{Executor, future};
    use std::time::Duration;

    pub(crate) use crate::gate::Gate;
    pub(crate) use smol::future::yield_now;
    pub(crate) use smol::lock::Mutex;

    pub(crate) trait MaybeSend: Send {}
    impl<T: Send> MaybeSend for T {}

    pub(crate) const ONE_SERVER_PER_THREAD: bool = false;
    pub(crate) const NO_YIELD: Option<&str> = None;
    pub(crate) const NO_MUTEX: Option<&str> = None;

    static EXECUTOR: Executor<'static> = Executor::new();

    pub(crate) type Task<T> = smol::Task<T>;

    pub(crate) fn run<F>(workers: usize, main: F) -> F::Output
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        for _ in 1..workers {
            std::thread::spawn(|| future::block_on(EXECUTOR.run(future::pending::<()>())));
        }
        // smol's own block_on polls the reactor where the thread would sleep.
        smol::block_on(EXECUTOR.run(spawn(main)))
    }

    pub(crate) fn spawn<F>(future: F) -> Task<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        EXECUTOR.spawn(future)
    }

    pub(crate) async fn join<T>(task: Task<T>) -> T {
        task.await
    }

    pub(crate) fn detach<T>(task: Task<T>) {
        task.detach();
    }

    pub(crate) async fn sleep(time: Duration) {
        smol::Timer::after(time).await;
    }

    pub(crate) fn with_channel(name: &str, rows: &Rows) -> Outcome {
        match name {
            "native" => rows.run::<crates::AsyncChannel>(),
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
                smol::unblock(read).await
            }
        }
    }

    pub(crate) mod net {
        use smol::io::{AsyncReadExt, AsyncWriteExt};
        use std::io;
        use std::net::SocketAddr;

        pub(crate) const NONBLOCKING: bool = true;
        pub(crate) use crate::shared::serve::start_echo;

        pub(crate) struct Listener(smol::net::TcpListener);
        pub(crate) struct Stream(smol::net::TcpStream);

        impl Listener {
            pub(crate) fn from_std(listener: std::net::TcpListener) -> io::Result<Listener> {
                listener.try_into().map(Listener)
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

        pub(crate) struct Udp(smol::net::UdpSocket);

        impl Udp {
            pub(crate) fn from_std(socket: std::net::UdpSocket) -> io::Result<Udp> {
                socket.try_into().map(Udp)
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
