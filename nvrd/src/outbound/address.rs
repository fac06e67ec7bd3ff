//! Which addresses lead somewhere that no client may send the daemon to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// This machine.
    Loopback,
    /// Anything that is no address of a machine to be called.
    Special(&'static str),
}

impl Reason {
    /// What the address is, for a sentence.
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::Loopback => "a loopback address",
            Self::Special(what) => what,
        }
    }
}

/// Services of clouds that hand out credentials to whoever can reach them.
const METADATA_V4: [Ipv4Addr; 4] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];
const METADATA: &str = "the address of a cloud's metadata service";

/// Why an address is refused, if it is; private ones are not, for cameras and their controllers have them.
pub(super) fn refused(address: IpAddr) -> Option<Reason> {
    match address {
        IpAddr::V4(address) => refused_v4(address),
        IpAddr::V6(address) => refused_v6(address),
    }
}

fn refused_v4(address: Ipv4Addr) -> Option<Reason> {
    let first = address.octets()[0];
    if METADATA_V4.contains(&address) {
        Some(Reason::Special(METADATA))
    } else if address.is_loopback() {
        Some(Reason::Loopback)
    } else if first == 0 {
        Some(Reason::Special("no address of a machine"))
    } else if address.is_link_local() {
        Some(Reason::Special("a link-local address"))
    } else if address.is_multicast() {
        Some(Reason::Special("a multicast address"))
    } else if first >= 240 {
        Some(Reason::Special("a broadcast or reserved address"))
    } else {
        None
    }
}

fn refused_v6(address: Ipv6Addr) -> Option<Reason> {
    let parts = address.segments();
    if address.is_loopback() {
        Some(Reason::Loopback)
    } else if address.is_unspecified() {
        Some(Reason::Special("no address of a machine"))
    } else if METADATA_V6.contains(&address) {
        Some(Reason::Special(METADATA))
    } else if address.is_multicast() {
        Some(Reason::Special("a multicast address"))
    } else if parts[0] & 0xff80 == 0xfe80 {
        // fe80::/10, and the site-local fec0::/10 that came before the private ones.
        Some(Reason::Special("a link-local address"))
    } else if let Some(inner) = inner(address) {
        refused_v4(inner)
    } else if parts[..2] == [0x2001, 0] || parts[..3] == [0x64, 0xff9b, 1] {
        Some(Reason::Special("the address of a tunnel"))
    } else {
        None
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, NAT64, 6to4.
pub(super) fn inner(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let parts = address.segments();
    let of = |high: u16, low: u16| {
        Some(Ipv4Addr::from_bits(
            (u32::from(high) << 16) | u32::from(low),
        ))
    };
    match parts {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => of(high, low),
        // Translated without a mark: ::ffff:0:0/96 shifted by one group.
        [0, 0, 0, 0, 0xffff, 0, high, low] => of(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => of(high, low),
        [0x2002, high, low, ..] => of(high, low),
        _ => None,
    }
}

/// The address itself, or the IPv4 one it stands for.
pub(super) fn plain(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if !v6.is_loopback() && !v6.is_unspecified() => {
            inner(v6).map_or(address, IpAddr::V4)
        }
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_refused_address_is_refused() {
        for text in [
            "127.0.0.1",
            "127.255.255.254",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "::ffff:0:127.0.0.1",
        ] {
            assert_eq!(
                refused(text.parse().unwrap()),
                Some(Reason::Loopback),
                "{text}"
            );
        }
        for text in [
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "169.254.169.254",
            "169.254.1.2",
            "::ffff:169.254.169.254",
            "2002:a9fe:a9fe::1",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::1",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "224.0.0.1",
            "239.255.255.250",
            "ff02::1",
            "255.255.255.255",
            "240.0.0.1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "::ffff:0.0.0.0",
        ] {
            let got = refused(text.parse().unwrap());
            assert!(matches!(got, Some(Reason::Special(_))), "{text}: {got:?}");
        }
        for text in [
            "10.0.0.5",
            "172.16.3.4",
            "192.168.1.1",
            "100.64.0.1",
            "203.0.113.9",
            "::ffff:192.168.1.1",
            "fd12:3456::1",
            "2606:4700::1",
            "2001:db8::1",
            "64:ff9b::8.8.8.8",
        ] {
            assert_eq!(refused(text.parse().unwrap()), None, "{text}");
        }
    }
}
