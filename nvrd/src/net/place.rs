//! Who holds a place at a listener, what each connection is doing, and which one has to go.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};

use nvr_base::Shutdown;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::limits::Limits;

/// The connections of a listener.
#[derive(Debug)]
pub(super) struct Places {
    limits: Limits,
    held: Mutex<Held>,
    /// Told when a place becomes free, or may be taken from somebody.
    freed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    next: u64,
    seats: BTreeMap<u64, Arc<Seat>>,
}

#[derive(Debug)]
struct Seat {
    origin: IpAddr,
    state: Mutex<State>,
    /// Set when the connection has to end at once.
    cut: Shutdown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// TLS is being agreed on.
    Handshake,
    /// No request has come yet.
    First,
    /// At least one has.
    Served,
    /// It is no HTTP connection any more.
    Upgraded,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    h2: bool,
    /// Since when nothing is being done for it, while `requests` is empty.
    since: Instant,
    /// When the first byte of the next request came.
    heard: Option<Instant>,
    /// Whether the client is slow to take what it is sent.
    blocked: bool,
    next: u64,
    /// The request whose answer tells a listener what happens: somebody else bounds how many there are of those.
    apart: Option<u64>,
    /// Requests that are being answered, and since when the last piece of an answer waits to be taken.
    requests: BTreeMap<u64, Option<Instant>>,
}

/// A connection's place; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    id: u64,
    seat: Arc<Seat>,
    places: Arc<Places>,
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Ticket {
    id: u64,
    place: Arc<Place>,
}

/// That an address has all the places it may have, and that each of them is at work.
#[derive(Debug)]
pub(super) struct TooMany;

/// What counts as one address: whoever has an IPv6 address has 2^64 of them.
fn origin_of(address: SocketAddr) -> IpAddr {
    match address.ip().to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 => v4,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}

impl Seat {
    /// Whether it is one of the connections that the limits are for.
    fn counts(&self) -> bool {
        lock(&self.state).apart.is_none()
    }
}

impl Held {
    /// How many connections the limits are for.
    fn counted(&self) -> usize {
        self.seats.values().filter(|seat| seat.counts()).count()
    }

    /// The connection that has waited longest for its client, among those of an origin or among all.
    fn longest_waiting(&self, origin: Option<IpAddr>) -> Option<u64> {
        self.seats
            .iter()
            .filter(|(_, seat)| origin.is_none_or(|origin| seat.origin == origin))
            .filter_map(|(id, seat)| Some((lock(&seat.state).waits_since()?, *id)))
            .min()
            .map(|(_, id)| id)
    }

    fn evict(&mut self, id: u64) {
        if let Some(seat) = self.seats.remove(&id) {
            seat.cut.trigger();
            tracing::debug!(origin = %seat.origin, "a connection that waited makes room");
        }
    }
}

impl State {
    /// Since when it waits for its client, if it does.
    fn waits_since(&self) -> Option<Instant> {
        let waits = self.requests.is_empty() && !self.blocked && self.phase != Phase::Upgraded;
        waits.then_some(self.since)
    }

    /// Whether its client took too long.
    fn is_late(&self, limits: &Limits, now: Instant) -> bool {
        // In HTTP/1 a slow client blocks the connection itself, which is seen byte by byte.
        let stalled = |given: &Option<Instant>| {
            given.is_some_and(|given| now.duration_since(given) > limits.stall_time)
        };
        if self.h2 && self.requests.values().any(stalled) {
            return true;
        }
        let Some(since) = self.waits_since() else {
            return false;
        };
        let (from, limit) = match (self.phase, self.heard) {
            (Phase::Handshake, _) => (since, limits.handshake_time),
            (Phase::First, _) => (since, limits.header_time),
            // Frames of HTTP/2 come for other reasons too.
            (_, Some(heard)) if !self.h2 => (heard, limits.header_time),
            _ => (since, limits.idle_time),
        };
        now.duration_since(from) > limit
    }
}

impl Places {
    pub(super) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            held: Mutex::default(),
            freed: Notify::new(),
        })
    }

    /// How many connections there are.
    pub(super) fn count(&self) -> usize {
        lock(&self.held).seats.len()
    }

    /// Waits until there is a place, or a connection that can be asked to leave one.
    pub(super) async fn room(&self) {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            {
                let held = lock(&self.held);
                if held.counted() < self.limits.connections || held.longest_waiting(None).is_some()
                {
                    return;
                }
            }
            freed.await;
        }
    }

    /// Gives a new connection a place, for which the one that waited longest may have to go.
    pub(super) fn admit(self: &Arc<Self>, address: SocketAddr) -> Result<Place, TooMany> {
        let origin = origin_of(address);
        let mut held = lock(&self.held);
        let same = held
            .seats
            .values()
            .filter(|seat| seat.origin == origin && seat.counts())
            .count();
        if same >= self.limits.per_address {
            let longest = held.longest_waiting(Some(origin)).ok_or(TooMany)?;
            held.evict(longest);
        } else if held.counted() >= self.limits.connections {
            let longest = held.longest_waiting(None).ok_or(TooMany)?;
            held.evict(longest);
        }
        let seat = Arc::new(Seat {
            origin,
            state: Mutex::new(State {
                phase: Phase::Handshake,
                h2: false,
                since: Instant::now(),
                heard: None,
                blocked: false,
                next: 0,
                apart: None,
                requests: BTreeMap::new(),
            }),
            cut: Shutdown::new(),
        });
        let id = held.next;
        held.next += 1;
        held.seats.insert(id, Arc::clone(&seat));
        Ok(Place {
            id,
            seat,
            places: Arc::clone(self),
        })
    }

    /// Ends the connections whose clients took too long.
    pub(super) fn sweep(&self, now: Instant) {
        for seat in lock(&self.held).seats.values() {
            if lock(&seat.state).is_late(&self.limits, now) {
                seat.cut.trigger();
            }
        }
        self.freed.notify_waiters();
    }

    /// Ends every connection.
    pub(super) fn cut_all(&self) {
        for seat in lock(&self.held).seats.values() {
            seat.cut.trigger();
        }
    }

    /// Waits until nobody holds a place.
    pub(super) async fn empty(&self) {
        loop {
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            freed.await;
        }
    }
}

impl Place {
    /// The handshake is over, or there is none: requests may come.
    pub(super) fn greeted(&self, h2: bool) {
        let mut state = lock(&self.seat.state);
        (state.phase, state.h2) = (Phase::First, h2);
        state.since = Instant::now();
    }

    /// A byte came.
    pub(super) fn heard(&self) {
        let mut state = lock(&self.seat.state);
        if state.requests.is_empty() && state.heard.is_none() {
            state.heard = Some(Instant::now());
        }
    }

    /// Whether the client is slow to take what it is sent.
    pub(super) fn blocked(&self, blocked: bool) {
        let mut state = lock(&self.seat.state);
        if state.blocked && !blocked {
            state.since = Instant::now();
        }
        state.blocked = blocked;
    }

    /// A request came, whole but for its body.
    pub(super) fn begin(self: &Arc<Self>) -> Ticket {
        let mut state = lock(&self.seat.state);
        let id = state.next;
        state.next += 1;
        state.requests.insert(id, None);
        state.heard = None;
        state.phase = Phase::Served;
        Ticket {
            id,
            place: Arc::clone(self),
        }
    }

    /// The connection speaks something else from now on, and has its own idea of time.
    pub(super) fn upgraded(&self) {
        lock(&self.seat.state).phase = Phase::Upgraded;
    }

    /// The token that is set when the connection has to end at once.
    pub(super) fn cut(&self) -> Shutdown {
        self.seat.cut.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.places.held).seats.remove(&self.id);
        self.places.freed.notify_waiters();
    }
}

impl Ticket {
    /// A piece of the answer waits to be taken, or the next one is asked for.
    pub(super) fn given(&self, given: bool) {
        let mut state = lock(&self.place.seat.state);
        if let Some(request) = state.requests.get_mut(&self.id) {
            *request = given.then(Instant::now);
        }
    }

    /// The answer goes on for as long as the client listens.
    pub(super) fn apart(&self) {
        lock(&self.place.seat.state).apart = Some(self.id);
        self.place.places.freed.notify_waiters();
    }

    /// The connection that the request came over.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = lock(&self.place.seat.state);
        state.requests.remove(&self.id);
        if state.apart == Some(self.id) && state.phase != Phase::Upgraded {
            state.apart = None;
        }
        if state.requests.is_empty() {
            state.since = Instant::now();
            state.heard = None;
        }
        drop(state);
        self.place.places.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits() -> Limits {
        Limits {
            connections: 4,
            per_address: 2,
            ..Limits::default()
        }
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn the_one_that_waits_longest_makes_room() {
        let places = Places::new(limits());
        let first = places.admit(at("10.0.0.1:1")).unwrap();
        let second = Arc::new(places.admit(at("10.0.0.1:2")).unwrap());
        let third = places.admit(at("10.0.0.1:3")).unwrap();
        assert!(first.cut().is_triggered() && !second.cut().is_triggered());
        assert_eq!(places.count(), 2);
        // One that is being answered is never taken.
        let _second = second.begin();
        let fourth = Arc::new(places.admit(at("10.0.0.1:4")).unwrap());
        assert!(third.cut().is_triggered());
        let _fourth = fourth.begin();
        assert!(places.admit(at("10.0.0.1:5")).is_err());
        // Another address has places of its own, until there are none at all.
        let _other = places.admit(at("10.0.0.2:1")).unwrap();
        let _more = places.admit(at("10.0.0.3:1")).unwrap();
        assert_eq!(places.count(), 4);
        places.room().await;
        let _last = places.admit(at("10.0.0.4:1")).unwrap();
        assert_eq!(places.count(), 4);
    }

    #[tokio::test]
    async fn those_who_only_listen_do_not_count() {
        let places = Places::new(limits());
        let listens = |upgraded: bool| {
            let place = Arc::new(places.admit(at("10.0.0.1:1")).unwrap());
            let ticket = place.begin();
            if upgraded {
                place.upgraded();
            }
            ticket.apart();
            (place, ticket)
        };
        let streams: Vec<_> = (0..10).map(|_| listens(false)).collect();
        let sockets: Vec<_> = (0..10).map(|_| listens(true).0).collect();
        assert_eq!(places.count(), 20);
        places.room().await;
        let works = || {
            let place = Arc::new(places.admit(at("10.0.0.1:1")).unwrap());
            let ticket = place.begin();
            (place, ticket)
        };
        let _first = works();
        let _second = works();
        assert!(places.admit(at("10.0.0.1:1")).is_err());
        // A stream that is over is a connection like any other, and the first that has to go.
        let (place, ticket) = streams.into_iter().next().unwrap();
        drop(ticket);
        let _third = places.admit(at("10.0.0.1:1")).unwrap();
        assert!(place.cut().is_triggered());
        assert!(sockets.iter().all(|place| !place.cut().is_triggered()));
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let check = |a: &str, b: &str, same: bool| {
            assert_eq!(origin_of(at(a)) == origin_of(at(b)), same, "{a} {b}");
        };
        check("[2001:db8:1:2::1]:1", "[2001:db8:1:2:ffff::9]:2", true);
        check("[2001:db8:1:2::1]:1", "[2001:db8:1:3::1]:1", false);
        check("[::ffff:10.0.0.1]:1", "10.0.0.1:2", true);
        check("10.0.0.1:1", "10.0.0.2:1", false);
    }

    #[test]
    fn every_kind_of_waiting_has_its_limit() {
        let limits = Limits {
            handshake_time: Duration::from_secs(1),
            header_time: Duration::from_secs(2),
            idle_time: Duration::from_secs(4),
            stall_time: Duration::from_secs(8),
            ..limits()
        };
        type Step = fn(&Arc<Place>) -> Option<Ticket>;
        let check = |seconds: Option<u64>, step: Step| {
            let begun = Instant::now();
            let places = Places::new(limits);
            let place = Arc::new(places.admit(at("10.0.0.1:1")).unwrap());
            let _ticket = step(&place);
            let cut = (0..20).find(|second| {
                places.sweep(begun + Duration::from_secs(*second));
                place.cut().is_triggered()
            });
            assert_eq!(cut, seconds);
        };
        check(Some(2), |_| None);
        check(Some(3), |place| {
            place.greeted(false);
            None
        });
        check(Some(5), |place| {
            drop(place.begin());
            None
        });
        check(Some(3), |place| {
            drop(place.begin());
            place.heard();
            None
        });
        check(None, |place| Some(place.begin()));
        check(Some(9), |place| {
            place.greeted(true);
            let ticket = place.begin();
            ticket.given(true);
            Some(ticket)
        });
        check(None, |place| {
            drop(place.begin());
            place.upgraded();
            None
        });
        check(None, |place| {
            drop(place.begin());
            place.blocked(true);
            None
        });
    }
}
