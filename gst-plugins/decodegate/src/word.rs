//! Who wants everything to be let through: the detector by its word, and whoever asked for it.

use nvr_contract::gate::OpenReason;

/// After something was seen on a key frame, motion must be confirmed within this time, nanoseconds: a second and a
/// half is twice what slow things take, and a wrong guess costs no more.
const CONFIRM_NS: u64 = 1_500_000_000;
/// Requests that are kept at a time.
const REQUESTS: usize = 32;
/// Bytes of a name that are kept.
const NAME_LIMIT: usize = 64;

/// What the detector said last.
#[derive(Debug, Default)]
pub struct Word {
    /// Whether it ever said that the scene is quiet, which it does when it has learned it.
    pub ready: bool,
    /// Whether it gave no word where one was due.
    pub silent: bool,
    /// PTS of the key frame that waits for a word, nanoseconds.
    pub awaited: Option<u64>,
    /// PTS of the key frame on which something was seen.
    pub hint: Option<u64>,
    /// Until when that must be confirmed.
    confirm_until: Option<u64>,
    moving: bool,
    quiet_since: Option<u64>,
}

impl Word {
    /// A word on the picture with that PTS; `alone` when it is a key frame that was sent alone and all else waits.
    pub fn hear(&mut self, moving: bool, pts_ns: u64, alone: bool) {
        self.silent = false;
        if self.awaited.is_some_and(|awaited| pts_ns >= awaited) {
            self.awaited = None;
        }
        match (moving, alone) {
            (true, true) => {
                self.hint = Some(pts_ns);
                self.confirm_until = Some(pts_ns.saturating_add(CONFIRM_NS));
            }
            (true, false) => {
                (self.moving, self.confirm_until, self.quiet_since) = (true, None, None);
            }
            (false, _) if self.moving || !self.ready => {
                (self.moving, self.ready, self.quiet_since) = (false, true, Some(pts_ns));
            }
            (false, _) => {}
        }
    }

    /// Why it wants everything, at that time.
    pub fn wants(&self, now_ns: Option<u64>, hold_ns: u64) -> Option<OpenReason> {
        if !self.ready {
            return Some(OpenReason::Learning);
        }
        if self.silent {
            return Some(OpenReason::Unanswered);
        }
        let now = now_ns.unwrap_or(0);
        let held = |since: u64| now <= since.saturating_add(hold_ns);
        let wanted = self.moving
            || self.hint.is_some()
            || self.confirm_until.is_some_and(|until| now <= until)
            || self.quiet_since.is_some_and(held);
        wanted.then_some(OpenReason::Motion)
    }

    /// Nothing is let through any more.
    pub fn closed(&mut self) {
        (self.hint, self.confirm_until, self.quiet_since) = (None, None, None);
    }
}

/// Who asked for everything, and for how long.
#[derive(Debug, Default)]
pub struct Requests {
    list: Vec<Request>,
}

#[derive(Debug)]
struct Request {
    who: String,
    until: Until,
}

#[derive(Debug, Clone, Copy)]
enum Until {
    /// Until it is taken back.
    Closed,
    /// For this long, from the next picture on.
    For(u64),
    /// Until this PTS.
    At(u64),
}

impl Requests {
    /// Adds a request, or makes the one of that name last longer; a duration of 0 is until it is closed.
    pub fn open(&mut self, who: &str, duration_ns: u64, now_ns: Option<u64>) {
        let who: String = who
            .chars()
            .filter(|c| !c.is_control())
            .scan(0, |bytes, c| {
                *bytes += c.len_utf8();
                (*bytes <= NAME_LIMIT).then_some(c)
            })
            .collect();
        let until = match (duration_ns, now_ns) {
            (0, _) => Until::Closed,
            (duration, Some(now)) => Until::At(now.saturating_add(duration)),
            (duration, None) => Until::For(duration),
        };
        match self.list.iter_mut().find(|request| request.who == who) {
            Some(request) => {
                request.until = match (request.until, until) {
                    (Until::At(a), Until::At(b)) => Until::At(a.max(b)),
                    (Until::For(a), Until::For(b)) => Until::For(a.max(b)),
                    (_, until) => until,
                }
            }
            None => {
                if self.list.len() >= REQUESTS {
                    self.list.remove(0);
                }
                self.list.push(Request { who, until });
            }
        }
    }

    /// Ends the request of that name, or all with an empty one.
    pub fn close(&mut self, who: &str) {
        self.list
            .retain(|request| !who.is_empty() && request.who != who);
    }

    /// Ends those whose time is over.
    pub fn expire(&mut self, now_ns: Option<u64>) {
        let Some(now) = now_ns else { return };
        for request in &mut self.list {
            if let Until::For(duration) = request.until {
                request.until = Until::At(now.saturating_add(duration));
            }
        }
        self.list
            .retain(|request| !matches!(request.until, Until::At(until) if until < now));
    }

    /// Whether anybody wants anything.
    pub fn any(&self) -> bool {
        !self.list.is_empty()
    }

    /// Who asked last.
    pub fn who(&self) -> Option<String> {
        self.list.last().map(|request| request.who.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_end_by_time_or_by_name() {
        let mut requests = Requests::default();
        requests.open("door", 100, None);
        requests.open("viewer", 0, None);
        requests.expire(Some(1000));
        assert_eq!(requests.who().as_deref(), Some("viewer"));
        requests.expire(Some(1100));
        requests.close("viewer");
        assert!(requests.any());
        // Asked again, it lasts longer, never shorter.
        requests.open("door", 50, Some(1100));
        requests.open("door", 10, Some(1100));
        requests.expire(Some(1150));
        assert!(requests.any());
        requests.expire(Some(1151));
        assert!(!requests.any());
        for n in 0..100 {
            requests.open(&format!("{n}{}", "x".repeat(100)), 0, None);
        }
        assert_eq!(requests.list.len(), REQUESTS);
        assert!(requests.list.iter().all(|r| r.who.len() <= NAME_LIMIT));
        requests.close("");
        assert!(!requests.any());
    }

    #[test]
    fn motion_is_held_and_a_guess_must_be_confirmed() {
        let mut word = Word::default();
        let check = |word: &Word, now: u64, expect: Option<OpenReason>| {
            assert_eq!(
                word.wants(Some(now * 1_000_000), 4_000_000_000),
                expect,
                "{now}"
            );
        };
        check(&word, 0, Some(OpenReason::Learning));
        word.hear(true, 1_000_000_000, false);
        check(&word, 1000, Some(OpenReason::Learning));
        word.hear(false, 2_000_000_000, false);
        check(&word, 6000, Some(OpenReason::Motion));
        check(&word, 6001, None);
        word.closed();
        word.hear(true, 8_000_000_000, true);
        check(&word, 8100, Some(OpenReason::Motion));
        word.hint = None;
        check(&word, 9500, Some(OpenReason::Motion));
        check(&word, 9501, None);
        word.hear(true, 9_000_000_000, false);
        check(&word, 60_000, Some(OpenReason::Motion));
    }
}
