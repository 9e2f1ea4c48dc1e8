//! What may stand for an address: a [`SocketAddr`], an IP address and a port, or text.
//!
//! Text that is no literal address is a host name, and asking the system's resolver blocks the
//! calling thread for seconds in bad times. So it is asked on a thread for blocking code, never on a
//! worker; this is why std's trait of the same name, which resolves at once, is not taken.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::IntErrorKind;

use crate::blocking::not_made;
use crate::goroutine::Spec;
use crate::runtime::Handle;

/// Addresses to connect to or to listen on; they are tried in order.
///
/// | value | example |
/// |---|---|
/// | an address, or several | `SocketAddr`, `&[SocketAddr]`, an array or `Vec` of them |
/// | an IP address and a port | `(Ipv4Addr::LOCALHOST, 7777)` |
/// | a host and a port | `("localhost", 7777)` |
/// | both in one text | `"127.0.0.1:7777"`, `"[::1]:7777"`, `"localhost:7777"` |
///
/// The trait is sealed.
pub trait ToSocketAddrs: sealed::Sealed {}

impl<T: sealed::Sealed + ?Sized> ToSocketAddrs for T {}

/// The addresses that a name stands for: Go's `net.LookupHost`, with the port that was given.
///
/// Connecting and binding look names up by themselves; this is for those who want to know.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// gorin::run(async {
///     let found = gorin::net::lookup(("localhost", 80)).await?;
///     assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 80));
///     Ok(())
/// })
/// # }
/// ```
///
/// # Errors
/// If the text is no address, or the system's resolver finds nothing for the name; without a runtime
/// on this thread an error that says so.
///
/// # Cancel safety
/// Has no effect that could be lost.
pub async fn lookup(addresses: impl ToSocketAddrs) -> io::Result<Vec<SocketAddr>> {
    resolve(&addresses).await
}

/// All addresses that `addresses` stands for, never none.
pub(super) async fn resolve(
    addresses: &(impl ToSocketAddrs + ?Sized),
) -> io::Result<Vec<SocketAddr>> {
    let found = match addresses.target()? {
        Target::Address(address) => vec![address],
        Target::Addresses(list) => list,
        Target::Host(host, port) => look_up(host, port).await?,
    };
    if found.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "the name or list stands for no address at all",
        ));
    }
    Ok(found)
}

/// The first of the addresses that `addresses` stands for; of a literal one without a list.
pub(super) async fn resolve_first(
    addresses: &(impl ToSocketAddrs + ?Sized),
) -> io::Result<SocketAddr> {
    match addresses.target()? {
        Target::Address(address) => Ok(address),
        _ => Ok(resolve(addresses).await?[0]),
    }
}

/// Asks the system's resolver, on a thread for blocking code; it ends with the answer, also when
/// nobody waits for it any more.
async fn look_up(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    let runtime = Handle::try_current()
        .ok_or_else(|| gorin_reactor::no_runtime(&format!("looking up `{host}`")))?;
    let spec = Spec::new().name("resolver");
    let name = host.clone();
    let answer = runtime.errand(spec, move || {
        let found = std::net::ToSocketAddrs::to_socket_addrs(&(name.as_str(), port));
        found.map(Iterator::collect)
    });
    // One that still waits in line when nobody waits for it need not be made.
    let answer = answer.abort_on_drop().await;
    answer
        .map_err(not_made)
        .flatten()
        .map_err(|error| io::Error::new(error.kind(), format!("cannot resolve `{host}`: {error}")))
}

/// What a value says about where to connect to.
#[derive(Debug)]
pub enum Target {
    /// A literal address.
    Address(SocketAddr),
    /// Literal addresses.
    Addresses(Vec<SocketAddr>),
    /// A host name that the resolver must look up, and a port.
    Host(String, u16),
}

impl Target {
    fn one(address: impl Into<SocketAddr>) -> io::Result<Target> {
        Ok(Target::Address(address.into()))
    }

    fn host(host: &str, port: u16) -> io::Result<Target> {
        match host.parse::<IpAddr>() {
            Ok(ip) => Target::one((ip, port)),
            Err(_) => Ok(Target::Host(host.to_owned(), port)),
        }
    }

    pub(crate) fn text(text: &str) -> io::Result<Target> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Target::one(address);
        }
        let parts = text.rsplit_once(':');
        let parsed = parts.and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match parsed {
            // A colon in the host: an IPv6 address without brackets, or one with a typing error.
            Some((host, port)) if !host.is_empty() && !host.contains(':') => {
                Target::host(host, port)
            }
            _ => Err(invalid(text, parts)),
        }
    }
}

/// The error for what is no `host:port`; `parts` are what is before and after the last colon.
fn invalid(text: &str, parts: Option<(&str, &str)>) -> io::Error {
    let too_large = |port: &str| {
        let parsed = port.parse::<u16>();
        parsed.is_err_and(|error| *error.kind() == IntErrorKind::PosOverflow)
    };
    let cure = match parts {
        Some((host, port)) if !host.contains(':') && too_large(port) => "a port is at most 65535",
        _ => "write host:port, as in 127.0.0.1:7777, [::1]:7777 or localhost:7777",
    };
    let text = format!("`{text}` is not an address: {cure}");
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

mod sealed {
    use super::*;

    // Here and not on `ToSocketAddrs`: this is the bound that the compiler finds missing.
    #[diagnostic::on_unimplemented(
        message = "`{Self}` is not an address that gorin can resolve",
        note = "write \"host:port\", (\"host\", port), (ip, port), or a SocketAddr"
    )]
    pub trait Sealed {
        /// What this value says about where to connect to.
        fn target(&self) -> io::Result<Target>;
    }

    impl Sealed for SocketAddr {
        fn target(&self) -> io::Result<Target> {
            Target::one(*self)
        }
    }

    impl Sealed for SocketAddrV4 {
        fn target(&self) -> io::Result<Target> {
            Target::one(*self)
        }
    }

    impl Sealed for SocketAddrV6 {
        fn target(&self) -> io::Result<Target> {
            Target::one(*self)
        }
    }

    impl Sealed for [SocketAddr] {
        fn target(&self) -> io::Result<Target> {
            Ok(Target::Addresses(self.to_vec()))
        }
    }

    impl<const N: usize> Sealed for [SocketAddr; N] {
        fn target(&self) -> io::Result<Target> {
            self[..].target()
        }
    }

    impl Sealed for Vec<SocketAddr> {
        fn target(&self) -> io::Result<Target> {
            self[..].target()
        }
    }

    impl Sealed for (IpAddr, u16) {
        fn target(&self) -> io::Result<Target> {
            Target::one(*self)
        }
    }

    impl Sealed for (Ipv4Addr, u16) {
        fn target(&self) -> io::Result<Target> {
            Target::one(*self)
        }
    }

    impl Sealed for (Ipv6Addr, u16) {
        fn target(&self) -> io::Result<Target> {
            Target::one(*self)
        }
    }

    impl Sealed for (&str, u16) {
        fn target(&self) -> io::Result<Target> {
            Target::host(self.0, self.1)
        }
    }

    impl Sealed for (String, u16) {
        fn target(&self) -> io::Result<Target> {
            Target::host(&self.0, self.1)
        }
    }

    impl Sealed for str {
        fn target(&self) -> io::Result<Target> {
            Target::text(self)
        }
    }

    impl Sealed for String {
        fn target(&self) -> io::Result<Target> {
            Target::text(self)
        }
    }

    impl<T: Sealed + ?Sized> Sealed for &T {
        fn target(&self) -> io::Result<Target> {
            (**self).target()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::sealed::Sealed;
    use super::*;

    fn addresses(value: impl ToSocketAddrs) -> Vec<SocketAddr> {
        match value.target().unwrap() {
            Target::Address(address) => vec![address],
            Target::Addresses(list) => list,
            Target::Host(host, port) => panic!("{host} at port {port} would be looked up"),
        }
    }

    #[test]
    fn literal_addresses_need_no_resolver() {
        let v4: SocketAddr = "127.0.0.1:7777".parse().unwrap();
        let v6: SocketAddr = "[::1]:7777".parse().unwrap();
        assert_eq!(addresses("127.0.0.1:7777"), [v4]);
        assert_eq!(addresses("[::1]:7777".to_owned()), [v6]);
        assert_eq!(addresses(("127.0.0.1", 7777)), [v4]);
        assert_eq!(addresses((Ipv4Addr::LOCALHOST, 7777)), [v4]);
        assert_eq!(addresses((Ipv6Addr::LOCALHOST, 7777)), [v6]);
        assert_eq!(addresses(("127.0.0.1".to_owned(), 7777)), [v4]);
        assert_eq!(addresses(&[v4, v6][..]), [v4, v6]);
        assert_eq!(addresses([v4, v6]), [v4, v6]);
        assert_eq!(addresses(vec![v4, v6]), [v4, v6]);
        assert_eq!(addresses(v6), [v6]);
    }

    #[test]
    fn a_host_name_is_left_to_the_resolver() {
        for target in ["localhost:80".target(), ("localhost", 80).target()] {
            assert!(matches!(target.unwrap(), Target::Host(host, 80) if host == "localhost"));
        }
    }

    #[test]
    fn text_that_is_no_address_is_refused_with_an_example() {
        for text in [
            "",
            "localhost",
            ":80",
            "host:",
            "host:-1",
            "::1",
            "2001:db8::99999",
            "a:b:80",
        ] {
            let error = text.target().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{text}");
            assert!(error.to_string().contains("host:port"), "{error}");
        }
        let error = "host:99999".target().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        assert!(error.to_string().contains("at most 65535"), "{error}");
    }
}
