//! The clients of the RTSP server: how many from where, who each has shown to be, and who has to go.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::gate::RtspUser;

/// What the server grants its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Clients at once.
    pub clients: usize,
    /// Clients at once from one address.
    pub per_address: usize,
    /// Sessions at once, of all clients together.
    pub sessions: u32,
    /// How long a client may be connected without a session.
    pub idle_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients: 128,
            per_address: 32,
            sessions: 256,
            idle_time: Duration::from_secs(15),
        }
    }
}

/// Wrong passwords over one connection; then it is over.
const MAX_WRONG: u32 = 5;
/// Clients that relays have told of and that have not come yet.
const MAX_ANNOUNCED: usize = 1024;
/// How long such a client may take to come.
const ANNOUNCED_FOR: Duration = Duration::from_secs(10);

/// Where a client comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    pub(super) address: IpAddr,
    /// Whether nobody can listen in: it is encrypted, or never leaves this machine.
    pub(super) private: bool,
}

#[derive(Debug)]
struct Guest {
    origin: Origin,
    wrong: u32,
    shown: Option<RtspUser>,
    /// The cameras it has asked for.
    cameras: BTreeSet<String>,
    /// Since when it has no session.
    idle_since: Option<Instant>,
}

/// The clients, each under a number of the caller's.
#[derive(Debug)]
pub(super) struct Guests {
    limits: Limits,
    inside: Mutex<HashMap<usize, Guest>>,
    announced: Mutex<HashMap<SocketAddr, (SocketAddr, Instant)>>,
    /// Who is being let in at this moment.
    arriving: Mutex<Option<Origin>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no holder of this lock panics")
}

impl Guests {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            inside: Mutex::default(),
            announced: Mutex::default(),
            arriving: Mutex::default(),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    pub(super) fn count(&self) -> usize {
        lock(&self.inside).len()
    }

    /// The next connection from `relay` is that of `client`.
    pub(super) fn announce(&self, relay: SocketAddr, client: SocketAddr) {
        let now = Instant::now();
        let mut announced = lock(&self.announced);
        announced.retain(|_, (_, at)| now.duration_since(*at) < ANNOUNCED_FOR);
        if announced.len() < MAX_ANNOUNCED {
            announced.insert(relay, (client, now));
        }
    }

    /// Where a new connection really comes from, and whether there is room for it.
    pub(super) fn admit(&self, peer: SocketAddr) -> Option<Origin> {
        let relayed = lock(&self.announced).remove(&peer);
        let origin = match relayed {
            Some((client, _)) => Origin {
                address: client.ip().to_canonical(),
                private: true,
            },
            None => Origin {
                address: peer.ip().to_canonical(),
                private: peer.ip().to_canonical().is_loopback(),
            },
        };
        let inside = lock(&self.inside);
        let same = inside
            .values()
            .filter(|guest| guest.origin.address == origin.address);
        let room = inside.len() < self.limits.clients && same.count() < self.limits.per_address;
        room.then_some(origin)
    }

    /// Says who is being let in, until the server has made a client of it.
    pub(super) fn arriving(&self, origin: Option<Origin>) {
        *lock(&self.arriving) = origin;
    }

    /// The client that is being let in has this number.
    pub(super) fn enter(&self, id: usize) {
        let Some(origin) = lock(&self.arriving).take() else {
            return;
        };
        let guest = Guest {
            origin,
            wrong: 0,
            shown: None,
            cameras: BTreeSet::new(),
            idle_since: Some(Instant::now()),
        };
        lock(&self.inside).insert(id, guest);
    }

    pub(super) fn leave(&self, id: usize) {
        lock(&self.inside).remove(&id);
    }

    /// Where a client comes from; none for one that has been wrong too often.
    pub(super) fn origin(&self, id: usize) -> Option<Origin> {
        let inside = lock(&self.inside);
        let guest = inside.get(&id)?;
        (guest.wrong < MAX_WRONG).then_some(guest.origin)
    }

    pub(super) fn was_wrong(&self, id: usize) {
        if let Some(guest) = lock(&self.inside).get_mut(&id) {
            guest.wrong += 1;
            guest.shown = None;
        }
    }

    /// A client has shown who it is, and asks for a camera.
    pub(super) fn was_right(&self, id: usize, shown: RtspUser, camera: &str) {
        if let Some(guest) = lock(&self.inside).get_mut(&id) {
            // What it may not see is refused anyhow, and a client that tries many names is not to fill the memory.
            if shown.principal.sees(camera) && guest.cameras.len() < 64 {
                guest.cameras.insert(camera.to_owned());
            }
            guest.shown = Some(shown);
        }
    }

    /// Whether a client may know of a camera.
    pub(super) fn sees(&self, id: usize, camera: &str) -> bool {
        let inside = lock(&self.inside);
        let shown = inside.get(&id).and_then(|guest| guest.shown.as_ref());
        shown.is_some_and(|shown| shown.principal.sees(camera))
    }

    /// Whether a client has to go: it has been wrong too often, does nothing, or may no longer see what it sees.
    ///
    /// `still` says whether somebody is still who they were, and may see what they see.
    pub(super) fn must_go(
        &self,
        id: usize,
        sessions: usize,
        now: Instant,
        still: impl FnOnce(Option<&RtspUser>, &BTreeSet<String>) -> bool,
    ) -> bool {
        let mut inside = lock(&self.inside);
        let Some(guest) = inside.get_mut(&id) else {
            return false;
        };
        guest.idle_since = match (sessions, guest.idle_since) {
            (0, since) => since.or(Some(now)),
            _ => None,
        };
        let idle = guest
            .idle_since
            .is_some_and(|since| now.duration_since(since) > self.limits.idle_time);
        idle || guest.wrong >= MAX_WRONG
            || (sessions > 0 && !still(guest.shown.as_ref(), &guest.cameras))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn enter(guests: &Guests, id: usize, from: &str) -> bool {
        let origin = guests.admit(at(from));
        guests.arriving(origin);
        if origin.is_some() {
            guests.enter(id);
        }
        origin.is_some()
    }

    #[test]
    fn clients_are_bounded_and_relayed_ones_are_who_they_are() {
        let guests = Guests::new(Limits {
            clients: 3,
            per_address: 2,
            ..Limits::default()
        });
        assert!(enter(&guests, 1, "10.0.0.1:1") && enter(&guests, 2, "10.0.0.1:2"));
        assert!(!enter(&guests, 3, "10.0.0.1:3"));
        guests.announce(at("127.0.0.1:50"), at("10.0.0.1:9"));
        assert!(!enter(&guests, 3, "127.0.0.1:50"));
        guests.announce(at("127.0.0.1:51"), at("10.0.0.2:9"));
        assert!(enter(&guests, 3, "127.0.0.1:51"));
        let origin = guests.origin(3).unwrap();
        assert_eq!(
            (origin.address, origin.private),
            (at("10.0.0.2:0").ip(), true)
        );
        assert!(!guests.origin(1).unwrap().private);
        assert!(!enter(&guests, 4, "10.0.0.3:1"));
        guests.leave(1);
        assert!(enter(&guests, 4, "127.0.0.1:51"));
        assert!(guests.origin(4).unwrap().private);
    }

    #[test]
    fn whoever_does_nothing_or_guesses_has_to_go() {
        let guests = Guests::new(Limits::default());
        assert!(enter(&guests, 1, "10.0.0.1:1"));
        let now = Instant::now();
        let late = now + Duration::from_secs(16);
        let goes = |sessions, now| guests.must_go(1, sessions, now, |_, _| true);
        assert!(!goes(0, now));
        assert!(goes(0, late));
        assert!(!goes(1, late));
        // The time begins anew when the session is over.
        assert!(!goes(0, late + Duration::from_secs(1)));
        assert!(goes(0, late + Duration::from_secs(20)));
        assert!(guests.must_go(1, 1, now, |_, _| false));
        for _ in 0..5 {
            assert!(guests.origin(1).is_some());
            guests.was_wrong(1);
        }
        assert!(guests.origin(1).is_none() && goes(1, now));
    }
}
