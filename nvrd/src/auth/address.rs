//! Where a request comes from: its connection, or what a proxy that is trusted says of it.

use std::net::IpAddr;
use std::str::FromStr;

use http::HeaderMap;
use nvr_base::Error;
use serde::Deserialize;

/// An address, or a network such as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl FromStr for Network {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::invalid(format!(
                "{text:?} is no network: use an address, or one such as 10.0.0.0/8"
            ))
        };
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => whole,
            Some(bits) => bits.parse().map_err(|_| wrong())?,
        };
        if bits > whole {
            return Err(wrong());
        }
        Ok(Self { address, bits })
    }
}

impl TryFrom<String> for Network {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl Network {
    fn holds(self, address: IpAddr) -> bool {
        let differ = match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => u128::from(u32::from(a) ^ u32::from(b)) << 96,
            (IpAddr::V6(a), IpAddr::V6(b)) => u128::from(a) ^ u128::from(b),
            _ => return false,
        };
        self.bits == 0 || differ >> (128 - self.bits) == 0
    }
}

/// The client's address; only what trusted proxies added to `X-Forwarded-For` is believed.
pub(super) fn client(
    peer: Option<IpAddr>,
    headers: &HeaderMap,
    trusted: &[Network],
) -> Option<IpAddr> {
    let mut client = peer?.to_canonical();
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.holds(address));
    let lines = headers.get_all("x-forwarded-for");
    let lines: Vec<&str> = lines.iter().filter_map(|line| line.to_str().ok()).collect();
    // From the nearest on: each trusted one tells who came to it, and the first that is not trusted is the client.
    for said in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        if !is_trusted(client) {
            break;
        }
        let Ok(before) = said.trim().parse::<IpAddr>() else {
            break;
        };
        client = before.to_canonical();
    }
    Some(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let trusted: Vec<Network> = ["127.0.0.1", "10.0.0.0/8", "fd00::/8"]
            .map(|text| text.parse().unwrap())
            .to_vec();
        let check = |peer: &str, lines: &[&str], expect: &str| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            let got = client(Some(peer.parse().unwrap()), &headers, &trusted).unwrap();
            assert_eq!(got.to_string(), expect, "{peer} {lines:?}");
        };
        check("203.0.113.9", &[], "203.0.113.9");
        // A client that claims to be another.
        check("203.0.113.9", &["127.0.0.1"], "203.0.113.9");
        check("203.0.113.9", &["10.1.2.3, 198.51.100.1"], "203.0.113.9");
        check("127.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("127.0.0.1", &["1.1.1.1, 198.51.100.1"], "198.51.100.1");
        check("127.0.0.1", &["1.1.1.1", "198.51.100.1"], "198.51.100.1");
        check("127.0.0.1", &["198.51.100.1, 10.9.9.9"], "198.51.100.1");
        check("127.0.0.1", &["198.51.100.1, rubbish"], "127.0.0.1");
        check("::ffff:127.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("fd00::1", &["2001:db8::5"], "2001:db8::5");
        check("127.0.0.1", &[], "127.0.0.1");
        assert_eq!(client(None, &HeaderMap::new(), &trusted), None);
    }

    #[test]
    fn networks_are_checked() {
        for bad in ["", "x", "10.0.0.0/33", "10.0.0.0/x", "::1/129", "10.0.0/8"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.holds("9.9.9.9".parse().unwrap()) && !all.holds("::1".parse().unwrap()));
    }
}
