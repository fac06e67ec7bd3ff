//! The users of the API as the RTSP server knows them: the same names, passwords, cameras and limits on attempts.

use std::net::IpAddr;
use std::sync::Arc;

use nvr_media::restream::{RtspUser, Viewers};

use super::Auth;

/// Lets the RTSP server ask who there is.
#[derive(Debug)]
pub struct RtspViewers {
    auth: Arc<Auth>,
    /// Whether clients are asked even while the API is open to whoever sits at the machine.
    always: bool,
}

impl RtspViewers {
    /// Viewers of the cameras; `always` where others than this machine reach the server, or the file says so.
    pub fn new(auth: Arc<Auth>, always: bool) -> Self {
        Self { auth, always }
    }
}

impl Viewers for RtspViewers {
    fn asks(&self) -> bool {
        self.always || !self.auth.is_open()
    }

    fn version(&self) -> i64 {
        *self.auth.changes.borrow()
    }

    fn all(&self) -> Vec<RtspUser> {
        let people = self.auth.people();
        let names = people.names();
        names
            .filter_map(|name| {
                let (principal, ha1) = self.auth.digest_of(name)?;
                let name = name.to_owned();
                Some(RtspUser {
                    name,
                    ha1,
                    principal,
                })
            })
            .collect()
    }

    fn may_try(&self, from: IpAddr) -> bool {
        self.auth.attempts.may(from, self.auth.clock.monotonic())
    }

    fn was_wrong(&self, from: IpAddr) {
        self.auth.attempts.note(from, self.auth.clock.monotonic());
        tracing::warn!(address = %from, "a viewer by RTSP was wrong about a user or a password");
    }
}
