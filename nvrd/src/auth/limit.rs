//! Limits on attempts to log in: so many at once, then one every while, for each address and each name.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Attempts at once.
const BURST: u32 = 5;
/// After them one is free again in this time.
const EVERY: Duration = Duration::from_secs(12);
/// Addresses and names that are remembered.
const MAX_KEYS: usize = 20_000;

/// Whose attempts are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Who {
    /// An IPv4 address, or a /64 of IPv6, which one client has to itself.
    Address(Option<IpAddr>),
    /// A name, whether there is such a user or not.
    Name(String),
}

/// Counts attempts to log in.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    /// When the last attempt that was made so far is paid for, in monotonic time.
    paid: Mutex<HashMap<Who, Duration>>,
}

impl Attempts {
    /// Makes an attempt, unless there were too many; then says how long to wait.
    ///
    /// # Errors
    /// The time after which one is possible again.
    pub(super) fn take(
        &self,
        address: Option<IpAddr>,
        name: &str,
        now: Duration,
    ) -> Result<(), Duration> {
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let both = keys(address, name);
        let wait = both
            .iter()
            .filter_map(|who| {
                let until = paid.get(who).copied().unwrap_or_default().max(now) + EVERY;
                until.checked_sub(now + EVERY * BURST)
            })
            .filter(|wait| !wait.is_zero())
            .max();
        if let Some(wait) = wait {
            return Err(wait);
        }
        for who in both {
            add(&mut paid, who, now);
        }
        Ok(())
    }

    /// Whether somebody at an address may make an attempt now, whatever the name.
    pub(super) fn may(&self, address: IpAddr, now: Duration) -> bool {
        let paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let until = paid.get(&place(Some(address))).copied();
        until.unwrap_or_default().max(now) + EVERY <= now + EVERY * BURST
    }

    /// Counts an attempt of an address that failed, where it was not counted before.
    pub(super) fn note(&self, address: IpAddr, now: Duration) {
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        add(&mut paid, place(Some(address)), now);
    }

    /// Takes an attempt back that succeeded.
    pub(super) fn give_back(&self, address: Option<IpAddr>, name: &str) {
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        for who in keys(address, name) {
            if let Some(until) = paid.get_mut(&who) {
                *until = until.saturating_sub(EVERY);
            }
        }
    }
}

fn add(paid: &mut HashMap<Who, Duration>, who: Who, now: Duration) {
    let until = paid.get(&who).copied().unwrap_or_default().max(now) + EVERY;
    if !paid.contains_key(&who) && paid.len() >= MAX_KEYS {
        make_room(paid, now);
    }
    // However often somebody was wrong, they may try again after a minute.
    paid.insert(who, until.min(now + EVERY * BURST));
}

fn place(address: Option<IpAddr>) -> Who {
    Who::Address(address.map(|address| match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }))
}

fn keys(address: Option<IpAddr>, name: &str) -> [Who; 2] {
    // Bounded, whatever a client sends as its name.
    let name: String = name.to_lowercase().chars().take(64).collect();
    [place(address), Who::Name(name)]
}

/// Forgets who may begin anew anyhow, or else those who may soonest.
fn make_room(paid: &mut HashMap<Who, Duration>, now: Duration) {
    paid.retain(|_, until| *until > now);
    if paid.len() < MAX_KEYS {
        return;
    }
    let mut ends: Vec<Duration> = paid.values().copied().collect();
    let (_, middle, _) = ends.select_nth_unstable(MAX_KEYS / 10);
    let middle = *middle;
    paid.retain(|_, until| *until > middle);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(1000 + seconds)
    }

    fn ip(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, 0, last]))
    }

    #[test]
    fn five_at_once_then_one_every_twelve_seconds() {
        let attempts = Attempts::default();
        for _ in 0..5 {
            attempts.take(ip(1), "ada", at(0)).unwrap();
        }
        assert_eq!(
            attempts.take(ip(1), "bob", at(0)),
            Err(EVERY),
            "the address"
        );
        assert_eq!(attempts.take(ip(2), "ADA", at(0)), Err(EVERY), "the name");
        attempts.take(ip(2), "bob", at(0)).unwrap();
        assert_eq!(
            attempts.take(ip(1), "x", at(7)),
            Err(Duration::from_secs(5))
        );
        attempts.take(ip(1), "ada", at(12)).unwrap();
        assert!(attempts.take(ip(1), "ada", at(12)).is_err());
        for _ in 0..5 {
            attempts.take(ip(1), "ada", at(100)).unwrap();
        }
    }

    #[test]
    fn a_refused_attempt_costs_nothing_and_a_good_one_is_given_back() {
        let attempts = Attempts::default();
        for _ in 0..100 {
            attempts.take(ip(1), "ada", at(0)).unwrap();
            attempts.give_back(ip(1), "ada");
        }
        for _ in 0..5 {
            attempts.take(ip(1), "ada", at(0)).unwrap();
        }
        for _ in 0..100 {
            assert!(attempts.take(ip(1), "ada", at(0)).is_err());
        }
        attempts.take(ip(1), "ada", at(12)).unwrap();
    }

    #[test]
    fn one_client_has_a_whole_network_of_ipv6() {
        let attempts = Attempts::default();
        for last in 0..5u16 {
            let address = IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]);
            attempts
                .take(Some(address), &last.to_string(), at(0))
                .unwrap();
        }
        let same = IpAddr::from([0x2001, 0xdb8, 0, 1, 9, 9, 9, 9]);
        assert!(attempts.take(Some(same), "x", at(0)).is_err());
        let other = IpAddr::from([0x2001, 0xdb8, 0, 2, 0, 0, 0, 0]);
        attempts.take(Some(other), "x", at(0)).unwrap();
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let attempts = Attempts::default();
        for number in 0..30_000u32 {
            let address = Some(IpAddr::from(number.to_be_bytes()));
            attempts.take(address, &number.to_string(), at(0)).unwrap();
        }
        assert!(attempts.paid.lock().unwrap().len() <= MAX_KEYS);
        attempts.take(ip(1), &"x".repeat(100_000), at(0)).unwrap();
    }

    #[test]
    fn failures_elsewhere_count_for_the_address() {
        let attempts = Attempts::default();
        for _ in 0..5 {
            assert!(attempts.may([10, 0, 0, 1].into(), at(0)));
            attempts.note([10, 0, 0, 1].into(), at(0));
        }
        assert!(!attempts.may([10, 0, 0, 1].into(), at(0)));
        assert!(attempts.may([10, 0, 0, 2].into(), at(0)));
        assert_eq!(attempts.take(ip(1), "ada", at(0)), Err(EVERY));
        assert!(attempts.may([10, 0, 0, 1].into(), at(12)));
        for _ in 0..1000 {
            attempts.note([10, 0, 0, 1].into(), at(20));
        }
        assert!(
            attempts.may([10, 0, 0, 1].into(), at(20 + 61)),
            "a stranger is not locked out for long, however often they were wrong"
        );
    }
}
