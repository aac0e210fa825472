//! Free loopback ports that stay free until their owner takes them.
//!
//! Some programs must be told their port before they start. A socket that is bound and not listening keeps the kernel from
//! giving the port to anyone else, and with `SO_REUSEADDR` on both sides a server may still listen on it (Linux,
//! socket(7)). Java and ourselves set it.

use std::{
    io,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::OwnedFd,
};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, socket_with, sockopt};

/// A port that nobody else gets while this lives.
#[derive(Debug)]
pub struct ReservedPort {
    port: u16,
    _socket: OwnedFd,
}

impl ReservedPort {
    /// Reserves `wanted`, or any free port.
    ///
    /// # Errors
    /// [`io::ErrorKind::AddrInUse`] when the wanted port is taken; others when there are no sockets to be had.
    pub fn new(wanted: Option<u16>) -> io::Result<Self> {
        let address = |port| SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
        if let Some(port) = wanted {
            // A listener of somebody else's with the same option would not be noticed by binding alone.
            drop(std::net::TcpListener::bind(address(port))?);
        }
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_reuseaddr(&socket, true)?;
        bind(&socket, &address(wanted.unwrap_or(0)))?;
        let bound: SocketAddrV4 = getsockname(&socket)?.try_into()?;
        Ok(Self { port: bound.port(), _socket: socket })
    }

    /// The port.
    pub const fn get(&self) -> u16 {
        self.port
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_reserved_port_can_be_listened_on_and_is_given_to_nobody_else() {
        let reserved = ReservedPort::new(None).unwrap();
        // The standard library sets SO_REUSEADDR, as Java does.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, reserved.get())).unwrap();
        let others: Vec<ReservedPort> = (0..200).map(|_| ReservedPort::new(None).unwrap()).collect();
        assert!(others.iter().all(|other| other.get() != reserved.get()));
        drop(listener);
    }

    #[test]
    fn a_used_port_is_refused() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(ReservedPort::new(Some(port)).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
