//! [`UdpSocket`].

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::task::{Context, Poll};

use socket2::{Domain, Protocol, Type};

use super::address::{ToSocketAddrs, resolve, resolve_first};
use super::endpoint::{self, Endpoint, new_socket};
use super::face::{call_face, datagram_face, socket_face, transfer_face};
use super::ip_address;

/// A UDP socket.
///
/// It can talk to many peers, by [`send_to`](UdpSocket::send_to) and
/// [`recv_from`](UdpSocket::recv_from), or to one, after [`connect`](UdpSocket::connect). All
/// methods take `&self`; [`Clone`] gives another handle to the same socket.
///
/// ```
/// use gorin::net::UdpSocket;
///
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let server = UdpSocket::bind("127.0.0.1:0").await?;
///     let client = UdpSocket::bind("127.0.0.1:0").await?;
///     client.send_to(b"ping", server.local_addr()?).await?;
///     let mut buf = [0; 1500];
///     let (len, peer) = server.recv_from(&mut buf).await?;
///     assert_eq!((&buf[..len], peer), (&b"ping"[..], client.local_addr()?));
///     Ok(())
/// })
/// # }
/// ```
#[derive(Clone)]
pub struct UdpSocket {
    endpoint: Endpoint,
}

impl UdpSocket {
    /// A socket at the first of `addresses` that can be had; port 0 lets the system choose one.
    ///
    /// # Errors
    /// The error of the last address tried, or of resolving the name; without a runtime on this
    /// thread an error that says so.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn bind(addresses: impl ToSocketAddrs) -> io::Result<UdpSocket> {
        let mut result = Err(io::ErrorKind::AddrNotAvailable.into());
        for address in resolve(&addresses).await? {
            result = UdpSocket::bind_to(address);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    fn bind_to(address: SocketAddr) -> io::Result<UdpSocket> {
        let domain = Domain::for_address(address);
        let socket = new_socket(domain, Type::DGRAM, Some(Protocol::UDP))?;
        socket.bind(&address.into())?;
        Endpoint::new(socket).map(UdpSocket::from_endpoint)
    }

    fn from_endpoint(endpoint: Endpoint) -> UdpSocket {
        UdpSocket { endpoint }
    }

    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Makes the first of `addresses` that is possible the only peer: [`send`](UdpSocket::send)
    /// sends to it, and only its datagrams are received. Nothing is sent for that.
    ///
    /// # Errors
    /// The error of the last address tried, or of resolving the name.
    ///
    /// # Cancel safety
    /// Dropping the future has no effect.
    pub async fn connect(&self, addresses: impl ToSocketAddrs) -> io::Result<()> {
        let mut result = Err(io::ErrorKind::AddrNotAvailable.into());
        for address in resolve(&addresses).await? {
            result = self.endpoint.options().connect(&address.into());
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Sends a datagram to the first address that `target` stands for; gives its length. A name is
    /// looked up each time.
    ///
    /// # Cancel safety
    /// Nothing is sent by a future that is dropped before it is ready.
    ///
    /// # Errors
    /// As [`send`](UdpSocket::send), and those of resolving the name.
    pub async fn send_to(&self, buf: &[u8], target: impl ToSocketAddrs) -> io::Result<usize> {
        let address = resolve_first(&target).await?.into();
        self.endpoint.write(endpoint::send_to(buf, &address)).await
    }

    /// Sends a datagram, without waiting.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room; else as [`send`](UdpSocket::send).
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        let address = target.into();
        self.endpoint.try_write(endpoint::send_to(buf, &address))
    }

    /// As [`send_to`](UdpSocket::send_to), for futures written by hand; of wakers as
    /// [`poll_readable`](UdpSocket::poll_readable).
    ///
    /// # Errors
    /// As [`send`](UdpSocket::send).
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        let address = target.into();
        let call = endpoint::send_to(buf, &address);
        self.endpoint.poll_write(cx, call)
    }
}

/// Options; each fails as `getsockopt(2)` or `setsockopt(2)` does.
impl UdpSocket {
    /// Whether datagrams may be sent to broadcast addresses.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.endpoint.options().broadcast()
    }

    /// Sets whether datagrams may be sent to broadcast addresses.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn set_broadcast(&self, broadcast: bool) -> io::Result<()> {
        self.endpoint.options().set_broadcast(broadcast)
    }

    /// Time to live of outgoing packets, in hops.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn ttl(&self) -> io::Result<u32> {
        self.endpoint.options().ttl_v4()
    }

    /// Sets the time to live of outgoing packets, in hops.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn set_ttl(&self, hops: u32) -> io::Result<()> {
        self.endpoint.options().set_ttl_v4(hops)
    }

    /// Whether datagrams that this host sends to an IPv4 group come back to its own sockets.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.endpoint.options().multicast_loop_v4()
    }

    /// Sets whether datagrams that this host sends to an IPv4 group come back to its own sockets.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn set_multicast_loop_v4(&self, comes_back: bool) -> io::Result<()> {
        self.endpoint.options().set_multicast_loop_v4(comes_back)
    }

    /// Time to live of datagrams to IPv4 groups, in hops; 1 unless it is set.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.endpoint.options().multicast_ttl_v4()
    }

    /// Sets the time to live of datagrams to IPv4 groups, in hops.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn set_multicast_ttl_v4(&self, hops: u32) -> io::Result<()> {
        self.endpoint.options().set_multicast_ttl_v4(hops)
    }

    /// Whether datagrams that this host sends to an IPv6 group come back to its own sockets.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.endpoint.options().multicast_loop_v6()
    }

    /// Sets whether datagrams that this host sends to an IPv6 group come back to its own sockets.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn set_multicast_loop_v6(&self, comes_back: bool) -> io::Result<()> {
        self.endpoint.options().set_multicast_loop_v6(comes_back)
    }

    /// Joins the IPv4 group `group` on the interface that has the address `interface`, or, if that
    /// is unspecified, on one that the system chooses.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn join_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.endpoint
            .options()
            .join_multicast_v4(&group, &interface)
    }

    /// Leaves the group; see [`join_multicast_v4`](UdpSocket::join_multicast_v4).
    ///
    /// # Errors
    /// Those of the system call.
    pub fn leave_multicast_v4(&self, group: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.endpoint
            .options()
            .leave_multicast_v4(&group, &interface)
    }

    /// Joins the IPv6 group `group` on the interface number `interface`, or, if that is 0, on one
    /// that the system chooses.
    ///
    /// # Errors
    /// Those of the system call.
    pub fn join_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.endpoint.options().join_multicast_v6(group, interface)
    }

    /// Leaves the group; see [`join_multicast_v6`](UdpSocket::join_multicast_v6).
    ///
    /// # Errors
    /// Those of the system call.
    pub fn leave_multicast_v6(&self, group: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.endpoint.options().leave_multicast_v6(group, interface)
    }
}

socket_face!(UdpSocket, std: std::net::UdpSocket, address: SocketAddr = ip_address);
transfer_face!(UdpSocket, address: SocketAddr = ip_address);
call_face!(UdpSocket);
datagram_face!(UdpSocket, address: SocketAddr = ip_address);

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("UdpSocket");
        if let Ok(address) = self.local_addr() {
            out.field("local", &address);
        }
        if let Ok(address) = self.peer_addr() {
            out.field("peer", &address);
        }
        out.finish()
    }
}
