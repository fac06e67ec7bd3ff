//! `[outbound]`: which addresses the daemon may call on behalf of clients, besides those that are open to all.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

/// `[outbound]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OutboundConfig {
    /// Addresses that may be called although they are refused otherwise: `["127.0.0.1", "169.254.0.0/16"]`.
    #[schema(value_type = Vec<String>, default = json!([]))]
    pub allow: Vec<Net>,
    /// A PEM file with certificates that are trusted beside those of the system.
    #[schema(value_type = Option<String>)]
    pub ca_file: Option<PathBuf>,
}

/// An address, or all that begin like it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net {
    address: IpAddr,
    bits: u32,
}

impl Net {
    /// Whether an address is in it; an IPv4 address never is in a net of IPv6.
    pub fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(net), IpAddr::V4(other)) => {
                same(net.to_bits().into(), other.to_bits().into(), 32 - self.bits)
            }
            (IpAddr::V6(net), IpAddr::V6(other)) => {
                same(net.to_bits(), other.to_bits(), 128 - self.bits)
            }
            _ => false,
        }
    }
}

/// Whether two addresses agree but for their last bits.
fn same(a: u128, b: u128, last: u32) -> bool {
    (a ^ b).checked_shr(last).unwrap_or(0) == 0
}

impl std::str::FromStr for Net {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no address: use one like \"127.0.0.1\", \"10.1.0.0/16\" or \"::1\""
            )
        };
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits.parse().map_err(|_| wrong())?,
        };
        match bits <= most {
            true => Ok(Self { address, bits }),
            false => Err(wrong()),
        }
    }
}

impl<'de> Deserialize<'de> for Net {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nets_hold_what_begins_like_them() {
        let check = |net: &str, address: &str, expect: bool| {
            let net: Net = net.parse().unwrap();
            assert_eq!(
                net.contains(address.parse().unwrap()),
                expect,
                "{net:?} {address}"
            );
        };
        check("127.0.0.1", "127.0.0.1", true);
        check("127.0.0.1", "127.0.0.2", false);
        check("10.1.0.0/16", "10.1.255.3", true);
        check("10.1.0.0/16", "10.2.0.0", false);
        check("0.0.0.0/0", "203.0.113.9", true);
        check("0.0.0.0/0", "::1", false);
        check("::1", "::1", true);
        check("::/0", "fe80::1", true);
        check("fe80::/10", "fec0::1", false);
        for bad in [
            "localhost",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "",
            "010.0.0.1",
        ] {
            assert!(bad.parse::<Net>().is_err(), "{bad}");
        }
    }
}
