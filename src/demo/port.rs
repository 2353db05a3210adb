//! Ports for programs that are started later, and again: nobody else is given them in between.

use std::{
    io,
    net::{Ipv4Addr, TcpListener, UdpSocket},
};

/// Below the range from which systems take ports for outgoing connections and for whoever asks for any.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

/// A port of loopback, kept until this is dropped. TCP is left to the program that it is for; the mark that others
/// who reserve ports see is the UDP port of the same number.
#[derive(Debug)]
pub struct ReservedPort {
    /// Its number.
    pub number: u16,
    _mark: UdpSocket,
}

impl ReservedPort {
    /// The first that nobody uses or has reserved; where the search begins depends on the process.
    pub fn reserve() -> io::Result<Self> {
        let count = RANGE.end - RANGE.start;
        let first = u16::try_from(u64::from(std::process::id()) * 101 % u64::from(count))
            .map_err(io::Error::other)?;
        let numbers = (0..count).map(|nth| RANGE.start + (first + nth) % count);
        let mut free = numbers.filter_map(|number| {
            let mark = UdpSocket::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
            TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
            Some(Self { number, _mark: mark })
        });
        free.next().ok_or_else(|| io::Error::other("no port between 20000 and 31999 is free"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_port_is_given_to_nobody_else() {
        let first = ReservedPort::reserve().unwrap();
        let second = ReservedPort::reserve().unwrap();
        assert_ne!(first.number, second.number);
        let program = TcpListener::bind((Ipv4Addr::LOCALHOST, first.number));
        assert!(program.is_ok(), "it is free for the program that it is for");
    }
}
