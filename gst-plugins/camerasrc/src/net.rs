//! The one network thread that all cameras of a process share, and how often it looks at their sockets.
//!
//! A picture comes in a dozen packets, and to be woken for each costs more than to read them.
//! Between two looks the thread therefore sleeps for as long as every camera allows.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};

static NET: OnceLock<Result<Handle, String>> = OnceLock::new();
/// How long the thread sleeps before it looks again, nanoseconds.
static REST: AtomicU64 = AtomicU64::new(0);
/// What each camera allows, by the number of its `Wakes`.
static WISHES: Mutex<BTreeMap<u64, u64>> = Mutex::new(BTreeMap::new());
/// The number of the next `Wakes`.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// The runtime of the network thread, started at the first call and kept until the process ends.
///
/// # Errors
/// When the system gives no thread or no epoll; the same sentence on every call.
pub fn handle() -> Result<&'static Handle, &'static str> {
    NET.get_or_init(start).as_ref().map_err(String::as_str)
}

fn start() -> Result<Handle, String> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .on_thread_park(|| {
            let rest = REST.load(Ordering::Relaxed);
            if rest > 0 {
                std::thread::sleep(Duration::from_nanos(rest));
            }
        })
        .build()
        .map_err(|error| format!("the network thread cannot be prepared: {error}"))?;
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("camerasrc-net".to_owned())
        // Tasks run only while somebody blocks on the runtime; this thread does so for good.
        .spawn(move || runtime.block_on(std::future::pending::<()>()))
        .map_err(|error| format!("the network thread cannot be started: {error}"))?;
    Ok(handle)
}

/// How long one camera lets the network thread sleep, for as long as this value lives.
#[derive(Debug)]
pub struct Wakes {
    id: u64,
    wish: Mutex<Wish>,
}

#[derive(Debug, Clone, Copy)]
struct Wish {
    rest: Duration,
    hurried: bool,
    counts: bool,
}

impl Wakes {
    /// The wish of one more camera.
    pub fn new(rest: Duration) -> Self {
        let wakes = Self::of(rest, true);
        wakes.change(|_| ());
        wakes
    }

    /// A source that has no wish and will have none.
    pub fn never() -> Self {
        Self::of(Duration::ZERO, false)
    }

    fn of(rest: Duration, counts: bool) -> Self {
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            wish: Mutex::new(Wish {
                rest,
                hurried: false,
                counts,
            }),
        }
    }

    /// Changes the wish.
    pub fn set(&self, rest: Duration) {
        self.change(|wish| wish.rest = rest);
    }

    /// Says whether packets come in datagrams now: their buffer overflows while the thread sleeps, so it must not.
    pub fn hurry(&self, hurried: bool) {
        self.change(|wish| wish.hurried = hurried);
    }

    fn change(&self, change: impl FnOnce(&mut Wish)) {
        let wish = {
            let mut wish = self.wish.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut wish);
            *wish
        };
        let rest = match wish.hurried {
            true => 0,
            false => u64::try_from(wish.rest.as_nanos()).unwrap_or(u64::MAX),
        };
        if !wish.counts {
            return;
        }
        let mut wishes = wishes();
        wishes.insert(self.id, rest);
        settle(&wishes);
    }
}

impl Drop for Wakes {
    fn drop(&mut self) {
        let mut wishes = wishes();
        wishes.remove(&self.id);
        settle(&wishes);
    }
}

fn wishes() -> MutexGuard<'static, BTreeMap<u64, u64>> {
    WISHES.lock().unwrap_or_else(PoisonError::into_inner)
}

fn settle(wishes: &BTreeMap<u64, u64>) {
    REST.store(shortest(wishes), Ordering::Relaxed);
}

/// The shortest wish counts. One camera alone saves nothing by it: a wake-up is shared with nobody.
fn shortest(wishes: &BTreeMap<u64, u64>) -> u64 {
    match wishes.len() {
        0 | 1 => 0,
        _ => wishes.values().min().copied().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thread_serves_all() {
        let name = || {
            let (send, receive) = std::sync::mpsc::channel();
            super::handle().unwrap().spawn(async move {
                let name = std::thread::current().name().map(str::to_owned);
                send.send((name, std::thread::current().id())).unwrap();
            });
            receive.recv().unwrap()
        };
        let first = name();
        assert_eq!(first.0.as_deref(), Some("camerasrc-net"));
        assert_eq!(first, name());
    }

    #[test]
    fn the_most_hurried_camera_decides() {
        let ms = Duration::from_millis;
        // Numbers of their own: other tests have cameras too.
        let of = |ids: &[&Wakes]| -> Vec<u64> {
            let wishes = wishes();
            ids.iter()
                .map(|wakes| wishes[&wakes.id] / 1_000_000)
                .collect()
        };
        let (slow, fast) = (Wakes::new(ms(20)), Wakes::new(ms(5)));
        assert_eq!(of(&[&slow, &fast]), [20, 5]);
        fast.hurry(true);
        assert_eq!(of(&[&slow, &fast]), [20, 0]);
        fast.set(ms(40));
        assert_eq!(of(&[&slow, &fast]), [20, 0]);
        fast.hurry(false);
        assert_eq!(of(&[&slow, &fast]), [20, 40]);
        let id = fast.id;
        drop(fast);
        assert!(!wishes().contains_key(&id));
        assert_eq!(shortest(&BTreeMap::from([(1, 20), (2, 7)])), 7);
        assert_eq!(shortest(&BTreeMap::from([(1, 20)])), 0);
        assert_eq!(shortest(&BTreeMap::new()), 0);
    }
}
