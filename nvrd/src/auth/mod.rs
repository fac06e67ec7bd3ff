//! Who asks: turns what a request carries into a principal, or says why not.
//!
//! It knows headers and addresses, and nothing of the API behind it, so that every listener can ask it.

use std::net::SocketAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use nvr_base::Principal;
use nvr_base::principal::{Role, Scope};

/// What somebody must be allowed to do before a request is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Need {
    /// Nothing; who asks without credentials is nobody and sees no camera.
    Public,
    /// To be a user who is logged in, whatever the role.
    Person,
    /// To see events and what is recorded.
    SeeEvents,
    /// To see cameras and what they show now.
    SeeCameras,
    /// To start, stop and trigger cameras, to keep and export recordings, to delete events.
    Operate,
    /// To change how the system is set up.
    Manage,
}

impl Need {
    /// What it takes of a person, and of an API key.
    fn takes(self) -> Option<(Role, Scope)> {
        match self {
            Self::Public | Self::Person => None,
            Self::SeeEvents => Some((Role::Viewer, Scope::ReadEvents)),
            Self::SeeCameras => Some((Role::Viewer, Scope::ReadCameras)),
            Self::Operate => Some((Role::Operator, Scope::WriteCameras)),
            Self::Manage => Some((Role::Admin, Scope::Admin)),
        }
    }

    /// Whether a principal may.
    pub fn allows(self, principal: &Principal) -> bool {
        use nvr_base::principal::Actor;
        match self.takes() {
            Some((role, scope)) => {
                principal.actor != Actor::Anonymous && principal.may(role, scope)
            }
            None => {
                self == Self::Public || matches!(principal.actor, Actor::Local | Actor::User { .. })
            }
        }
    }
}

/// What is known of a request before its body is read.
#[derive(Debug)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Where it comes from; unknown in tests that have no connection.
    pub peer: Option<SocketAddr>,
    /// What it needs.
    pub need: Need,
}

/// Somebody who may ask.
#[derive(Debug, Clone)]
pub struct Identified {
    /// Who it is.
    pub principal: Arc<Principal>,
    /// What the answer carries, such as how many requests are left.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// Somebody who may not.
#[derive(Debug, Clone, PartialEq)]
pub struct Refused {
    /// 401, 403, 429 or 503.
    pub status: u16,
    /// One sentence for people.
    pub detail: String,
    /// What the answer carries beside it.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// The gate of every listener.
#[derive(Debug, Default)]
pub struct Auth {}

impl Auth {
    /// A gate that is open to whoever sits at this machine.
    pub fn open() -> Self {
        Self::default()
    }

    /// Whether everybody who reaches a listener may do everything, because there are no users yet.
    pub fn is_open(&self) -> bool {
        true
    }

    /// Says who asks.
    ///
    /// # Errors
    /// When credentials are missing, wrong or not enough, or too many requests came.
    pub async fn identify(&self, asked: &Asked<'_>) -> Result<Identified, Refused> {
        let principal = Principal::local();
        debug_assert!(asked.need.allows(&principal));
        Ok(Identified {
            principal: Arc::new(principal),
            headers: Vec::new(),
        })
    }
}
