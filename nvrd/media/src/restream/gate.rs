//! Who may see which camera over RTSP, and how the server is made to ask.
//!
//! The server's own code checks digests: it alone knows the method that an answer was made for, and its bindings hide
//! the fields of a header. It takes users from a file, so each is handed over in a file that is memory only.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex, OnceLock};

use gst::glib;
use gst_rtsp_server::gst_rtsp::{RTSPAuthMethod, RTSPHeaderField, RTSPStatusCode, RTSPUrl};
use gst_rtsp_server::prelude::*;
use gst_rtsp_server::subclass::prelude::*;
use gst_rtsp_server::{RTSPClient, RTSPContext, RTSPServer, RTSPToken};
use nvr_base::{Principal, Secret};

use super::digest::{REALM, camera_of, ha1, same};
use super::guests::Guests;

/// Who may see which camera. It is asked on the server's threads for every request, so it has to be quick.
pub trait Viewers: Send + Sync + 'static {
    /// Whether clients have to say who they are at this moment.
    fn asks(&self) -> bool;

    /// A number that changes whenever [`Viewers::all`] does.
    fn version(&self) -> i64;

    /// Everybody who may log in.
    fn all(&self) -> Vec<RtspUser>;

    /// Whether somebody at that address may try a password now.
    fn may_try(&self, from: IpAddr) -> bool;

    /// Somebody at that address was wrong about a user or a password.
    fn was_wrong(&self, from: IpAddr);
}

/// A user as RTSP knows one.
#[derive(Debug, Clone)]
pub struct RtspUser {
    /// The log-in name.
    pub name: String,
    /// MD5 of `name:nvrd:password` in hexadecimal digits.
    pub ha1: Secret,
    /// Who it is, and with it the cameras that may be seen.
    pub principal: Arc<Principal>,
}

/// Everybody may see everything.
#[derive(Debug, Clone, Copy)]
pub struct Anybody;

impl Viewers for Anybody {
    fn asks(&self) -> bool {
        false
    }

    fn version(&self) -> i64 {
        0
    }

    fn all(&self) -> Vec<RtspUser> {
        Vec::new()
    }

    fn may_try(&self, _: IpAddr) -> bool {
        false
    }

    fn was_wrong(&self, _: IpAddr) {}
}

/// The check that does nothing but ask who it is.
const WHO: &str = "auth.check.transport.client-settings";
/// A path that no camera has, in place of one that somebody may not know of.
const NOWHERE: &str = "/.";

/// What the server's objects share.
pub(super) struct Rules {
    viewers: Arc<dyn Viewers>,
    guests: Arc<Guests>,
    /// Those whom the server's own code knows by now.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    version: Option<i64>,
    users: HashMap<String, RtspUser>,
    /// One for each name there ever was: the server's code keeps a token without owning it for a moment.
    tokens: HashMap<String, RTSPToken>,
}

/// The number under which a client is kept.
pub(super) fn id_of(client: &RTSPClient) -> usize {
    client.as_ptr() as usize
}

/// The camera that a request is for.
fn asked_camera(url: &RTSPUrl) -> String {
    camera_of(&url.request_uri()).to_owned()
}

/// The file that the server's code reads a user from: one line, and never on a disk.
fn line_of(user: &RtspUser) -> std::io::Result<File> {
    let flags = rustix::fs::MemfdFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::memfd_create("nvrd-rtsp-user", flags)?);
    writeln!(file, "{}:{REALM}:{}", user.name, user.ha1.expose())?;
    Ok(file)
}

/// Whether a name can stand in such a line.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c == ':' || c.is_control())
}

impl Rules {
    /// Tells the server's own code of everybody who came, changed or went since the last time.
    fn learn(&self, auth: &gst_rtsp_server::RTSPAuth) {
        let mut known = self.known.lock().expect("no holder of this lock panics");
        let version = self.viewers.version();
        if known.version == Some(version) {
            return;
        }
        let all = self.viewers.all();
        let all: HashMap<String, RtspUser> = all
            .into_iter()
            .filter(|user| is_plain(&user.name))
            .map(|user| (user.name.clone(), user))
            .collect();
        for gone in known.users.keys().filter(|name| !all.contains_key(*name)) {
            auth.remove_digest(gone);
        }
        for (name, user) in &all {
            let before = known.users.get(name).map(|user| user.ha1.expose());
            if before == Some(user.ha1.expose()) {
                continue;
            }
            let token = || RTSPToken::builder().field("user", name).build();
            let token = known
                .tokens
                .entry(name.clone())
                .or_insert_with(token)
                .clone();
            let told = line_of(user).map(|file| {
                auth.parse_htdigest(format!("/proc/self/fd/{}", file.as_raw_fd()), &token)
            });
            if !told.unwrap_or(false) {
                tracing::error!(user = %name, "the RTSP server did not take a user");
            }
        }
        known.users = all;
        known.version = Some(version);
    }

    fn user(&self, name: &str) -> Option<RtspUser> {
        let known = self.known.lock().expect("no holder of this lock panics");
        known.users.get(name).cloned()
    }

    /// Notes who a request is from; `digest` is whether the server's code has found out already.
    fn identify(&self, context: &RTSPContext) {
        let (Some(client), Some(url), Some(request)) =
            (context.client(), context.uri(), context.request())
        else {
            return;
        };
        let id = id_of(client);
        let credentials = request.parse_auth_credentials();
        let Some(credential) = credentials.first() else {
            return;
        };
        let Some(origin) = self.guests.origin(id) else {
            return;
        };
        let shown = match credential.scheme() {
            RTSPAuthMethod::Digest => context
                .token()
                .and_then(|token| token.string("user"))
                .and_then(|name| self.user(&name)),
            // A password in the clear for everybody on the way is not taken, so that nobody gets used to it.
            RTSPAuthMethod::Basic if origin.private => {
                let shown = self.basic(credential.authorization().unwrap_or_default());
                let known = self.known.lock().expect("no holder of this lock panics");
                let token = shown.as_ref().and_then(|user| known.tokens.get(&user.name));
                if let Some(token) = token {
                    context.set_token(token.clone());
                }
                shown
            }
            _ => return,
        };
        match shown {
            Some(user) => self.guests.was_right(id, user, &asked_camera(url)),
            None => {
                self.viewers.was_wrong(origin.address);
                self.guests.was_wrong(id);
            }
        }
    }

    /// The user of a Basic header, if the password is right.
    fn basic(&self, authorization: &str) -> Option<RtspUser> {
        let text = String::from_utf8(glib::base64_decode(authorization)).ok()?;
        let (name, password) = text.split_once(':')?;
        let user = self.user(name)?;
        same(user.ha1.expose(), &ha1(name, password)).then_some(user)
    }

    /// Whether a client may try at all: it was not wrong too often, here or elsewhere.
    fn may_try(&self, context: &RTSPContext) -> bool {
        let id = context.client().map(id_of);
        let origin = id.and_then(|id| self.guests.origin(id));
        origin.is_some_and(|origin| self.viewers.may_try(origin.address))
    }

    /// Whether whoever a client has shown to be is still who they were, and may see what they see.
    pub(super) fn still(
        &self,
        shown: Option<&RtspUser>,
        cameras: &std::collections::BTreeSet<String>,
    ) -> bool {
        if !self.viewers.asks() {
            return true;
        }
        let is_same = |shown: &RtspUser, now: &RtspUser| {
            same(now.ha1.expose(), shown.ha1.expose())
                && cameras.iter().all(|camera| now.principal.sees(camera))
        };
        shown.is_some_and(|shown| {
            self.user(&shown.name)
                .is_some_and(|now| is_same(shown, &now))
        })
    }
}

mod auth {
    //! The `GObject` that the server asks about every request.

    use super::*;

    #[derive(Default)]
    pub struct Auth {
        pub(super) rules: OnceLock<Arc<Rules>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Auth {
        const NAME: &'static str = "NvrdRtspAuth";
        type Type = super::Auth;
        type ParentType = gst_rtsp_server::RTSPAuth;
    }

    impl ObjectImpl for Auth {}

    impl RTSPAuthImpl for Auth {
        fn authenticate(&self, context: &RTSPContext) -> bool {
            let Some(rules) = self.rules.get() else {
                return false;
            };
            rules.learn(self.obj().upcast_ref());
            if !rules.may_try(context) {
                return false;
            }
            self.parent_authenticate(context);
            rules.identify(context);
            true
        }

        fn check(&self, context: &RTSPContext, check: &glib::GString) -> bool {
            let open = self.rules.get().is_some_and(|rules| !rules.viewers.asks());
            match check.as_str() {
                // Nobody chooses where pictures are sent to.
                WHO => false,
                "auth.check.connect" => true,
                _ if open => true,
                // `OPTIONS *` and the like are about no camera.
                "auth.check.url" if context.uri().is_none() => true,
                "auth.check.url" => {
                    // Identifies, and answers 401 with a challenge where that fails.
                    self.parent_check(context, &WHO.into());
                    context.token().is_some()
                }
                _ => context.token().is_some(),
            }
        }

        fn generate_authenticate_header(&self, context: &RTSPContext) {
            self.parent_generate_authenticate_header(context);
            let Some((rules, client)) = self.rules.get().zip(context.client()) else {
                return;
            };
            let origin = rules.guests.origin(id_of(client));
            if let (Some(response), true) = (
                context.response(),
                origin.is_some_and(|origin| origin.private),
            ) {
                let basic = format!("Basic realm=\"{REALM}\"");
                response.add_header(RTSPHeaderField::WwwAuthenticate, &basic);
            }
        }
    }
}

glib::wrapper! {
    /// Asks clients who they are.
    pub struct Auth(ObjectSubclass<auth::Auth>) @extends gst_rtsp_server::RTSPAuth;
}

mod mounts {
    //! The `GObject` that knows the paths of the cameras, and hides some of them from some.

    use super::*;

    #[derive(Default)]
    pub struct Mounts {
        pub(super) rules: OnceLock<Arc<Rules>>,
    }

    #[glib::object_subclass]
    impl ObjectSubclass for Mounts {
        const NAME: &'static str = "NvrdRtspMounts";
        type Type = super::Mounts;
        type ParentType = gst_rtsp_server::RTSPMountPoints;
    }

    impl ObjectImpl for Mounts {}

    impl RTSPMountPointsImpl for Mounts {
        fn make_path(&self, url: &RTSPUrl) -> Option<glib::GString> {
            let rules = self.rules.get()?;
            let path = self.parent_make_path(url)?;
            if !rules.viewers.asks() {
                return Some(path);
            }
            let client = RTSPContext::with_current_context(|context| context.client().map(id_of));
            let sees = client
                .flatten()
                .is_some_and(|id| rules.guests.sees(id, camera_of(&path)));
            Some(if sees { path } else { NOWHERE.into() })
        }
    }
}

glib::wrapper! {
    /// The paths of the cameras.
    pub struct Mounts(ObjectSubclass<mounts::Mounts>) @extends gst_rtsp_server::RTSPMountPoints;
}

/// Makes a server ask, and gives it paths of which everybody sees their own.
pub(super) fn guard(
    server: &RTSPServer,
    viewers: Arc<dyn Viewers>,
    guests: &Arc<Guests>,
) -> (Mounts, Keeper) {
    let rules = Arc::new(Rules {
        viewers,
        guests: Arc::clone(guests),
        known: Mutex::default(),
    });
    let once = "a fresh object has no rules yet";
    let auth: Auth = glib::Object::new();
    auth.imp()
        .rules
        .set(Arc::clone(&rules))
        .map_err(|_| once)
        .expect(once);
    auth.set_realm(Some(REALM));
    auth.set_supported_methods(RTSPAuthMethod::Digest);
    server.set_auth(Some(&auth));
    let mounts: Mounts = glib::Object::new();
    mounts
        .imp()
        .rules
        .set(Arc::clone(&rules))
        .map_err(|_| once)
        .expect(once);
    server.set_mount_points(Some(&mounts));
    let welcomed = Arc::clone(guests);
    server.connect_client_connected(move |_, client| welcome(&welcomed, client));
    (mounts, Keeper { auth, rules })
}

/// Bytes of a request's body.
const MAX_BODY_BYTES: u32 = 64 << 10;

fn welcome(guests: &Arc<Guests>, client: &RTSPClient) {
    guests.enter(id_of(client));
    client.set_content_length_limit(MAX_BODY_BYTES);
    // A client whose session is over has nothing to wait for.
    client.set_post_session_timeout(0);
    let guests = Arc::clone(guests);
    client.connect_closed(move |client| guests.leave(id_of(client)));
    client.connect_pre_announce_request(|_, _| RTSPStatusCode::MethodNotAllowed);
    client.connect_pre_record_request(|_, _| RTSPStatusCode::MethodNotAllowed);
}

/// Knows who may stay.
pub(super) struct Keeper {
    auth: Auth,
    rules: Arc<Rules>,
}

impl Keeper {
    /// Whether a client that watches these cameras may stay.
    pub(super) fn still(
        &self,
        shown: Option<&RtspUser>,
        cameras: &std::collections::BTreeSet<String>,
    ) -> bool {
        self.rules.still(shown, cameras)
    }

    /// Learns who came, changed or went, before a round of looking.
    pub(super) fn learn(&self) {
        self.rules.learn(self.auth.upcast_ref());
    }
}
