//! Tickets: a word that lets its holder in once, for browsers, whose sockets cannot send a header.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use http::HeaderMap;
use ring::rand::{SecureRandom, SystemRandom};

/// How long a ticket may be used.
pub const TICKET_LIFE: Duration = Duration::from_secs(30);
/// Tickets that may be open at once.
const MOST: usize = 1024;

/// The tickets that are open.
#[derive(Default)]
pub struct Tickets {
    open: Mutex<HashMap<String, Ticket>>,
}

struct Ticket {
    /// The credentials that it was bought with; it is worth as much as they are.
    headers: HeaderMap,
    until: Duration,
}

// By hand: whoever reads a log must not get in.
impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

impl Tickets {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Ticket>> {
        self.open.lock().expect("no holder of this lock panics")
    }

    /// A new ticket for whoever sent these headers; `None` when too many are open. `now` is monotonic.
    pub fn sell(&self, headers: HeaderMap, now: Duration) -> Option<String> {
        let mut random = [0; 32];
        SystemRandom::new().fill(&mut random).ok()?;
        let word: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut open = self.lock();
        open.retain(|_, ticket| ticket.until > now);
        if open.len() >= MOST {
            return None;
        }
        let until = now + TICKET_LIFE;
        open.insert(word.clone(), Ticket { headers, until });
        Some(word)
    }

    /// The headers that a ticket stands for; it is used up.
    pub fn redeem(&self, word: &str, now: Duration) -> Option<HeaderMap> {
        let ticket = self.lock().remove(word)?;
        (ticket.until > now).then_some(ticket.headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_lets_in_once_and_not_for_long() {
        let tickets = Tickets::default();
        let now = Duration::from_secs(5);
        let word = tickets.sell(HeaderMap::new(), now).unwrap();
        assert_eq!(word.len(), 64);
        assert!(tickets.redeem("", now).is_none());
        assert!(tickets.redeem(&word, now).is_some());
        assert!(tickets.redeem(&word, now).is_none());
        let word = tickets.sell(HeaderMap::new(), now).unwrap();
        assert!(tickets.redeem(&word, now + TICKET_LIFE).is_none());
    }

    #[test]
    fn the_number_of_tickets_is_bounded() {
        let tickets = Tickets::default();
        for _ in 0..MOST {
            assert!(tickets.sell(HeaderMap::new(), Duration::ZERO).is_some());
        }
        assert!(tickets.sell(HeaderMap::new(), Duration::ZERO).is_none());
        assert!(tickets.sell(HeaderMap::new(), TICKET_LIFE).is_some());
    }
}
