//! Who asks for something, what they may do, and which cameras they may know of.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::LazyLock;

use crate::Error;

/// What a person may do; each role may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Looks at cameras, events and recordings.
    Viewer,
    /// Also starts and stops cameras, keeps and exports recordings, and deletes events.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// Every role, the weakest first.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// `viewer`, `operator` or `admin`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Role {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == word);
        found.ok_or_else(|| Error::invalid(format!("{word:?}: use admin, operator or viewer")))
    }
}

/// What an API key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Reads events and what is recorded.
    ReadEvents,
    /// Reads cameras, and pictures of what they show now.
    ReadCameras,
    /// Starts, stops and triggers cameras, keeps and exports recordings.
    WriteCameras,
    /// Everything.
    Admin,
}

impl Scope {
    /// Every scope, in the order of the documentation.
    pub const ALL: [Self; 4] = [
        Self::ReadEvents,
        Self::ReadCameras,
        Self::WriteCameras,
        Self::Admin,
    ];

    /// `read:events`, `read:cameras`, `write:cameras` or `admin`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadEvents => "read:events",
            Self::ReadCameras => "read:cameras",
            Self::WriteCameras => "write:cameras",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self, Error> {
        let found = Self::ALL.into_iter().find(|scope| scope.as_str() == word);
        found.ok_or_else(|| {
            Error::invalid(format!(
                "{word:?}: use read:events, read:cameras, write:cameras or admin"
            ))
        })
    }
}

/// Which cameras somebody may know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CameraAccess {
    /// All, also those to come.
    All,
    /// These; what is asked about another is answered as if it did not exist.
    Only(BTreeSet<String>),
}

/// Who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The daemon itself.
    System,
    /// Nobody that is known.
    Anonymous,
    /// Whoever sits at this machine while there are no users yet.
    Local,
    /// A user.
    User {
        /// Id of the user.
        id: String,
        /// Log-in name.
        name: String,
    },
    /// A program with an API key.
    Key {
        /// Id of the key.
        id: String,
        /// What a person calls the key.
        name: String,
    },
}

/// Who asks, what they may do, and what they may know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Who it is.
    pub actor: Actor,
    /// What a person may do; for an API key its scopes decide.
    pub role: Role,
    /// What an API key may be used for; absent for everybody else.
    pub scopes: Option<BTreeSet<Scope>>,
    /// Which cameras they may know of.
    pub cameras: CameraAccess,
}

static SYSTEM: LazyLock<Principal> = LazyLock::new(|| Principal {
    actor: Actor::System,
    role: Role::Admin,
    scopes: None,
    cameras: CameraAccess::All,
});

impl Principal {
    /// The daemon itself, which sees everything.
    pub fn system() -> &'static Self {
        &SYSTEM
    }

    /// Whoever sits at this machine while there are no users yet; sees everything.
    pub fn local() -> Self {
        Self {
            actor: Actor::Local,
            ..SYSTEM.clone()
        }
    }

    /// Nobody that is known, who sees no camera.
    pub fn anonymous() -> Self {
        Self {
            actor: Actor::Anonymous,
            role: Role::Viewer,
            scopes: Some(BTreeSet::new()),
            cameras: CameraAccess::Only(BTreeSet::new()),
        }
    }

    /// Whether they may know of this camera.
    pub fn sees(&self, camera: &str) -> bool {
        match &self.cameras {
            CameraAccess::All => true,
            CameraAccess::Only(names) => names.contains(camera),
        }
    }

    /// Whether they may do what needs this role of a person, or this scope of an API key.
    pub fn may(&self, role: Role, scope: Scope) -> bool {
        match &self.scopes {
            Some(scopes) => scopes.contains(&Scope::Admin) || scopes.contains(&scope),
            None => self.role >= role,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(scopes: &[Scope]) -> Principal {
        Principal {
            actor: Actor::Key {
                id: "1".to_owned(),
                name: "n".to_owned(),
            },
            role: Role::Viewer,
            scopes: Some(scopes.iter().copied().collect()),
            cameras: CameraAccess::All,
        }
    }

    #[test]
    fn roles_hold_the_weaker_ones_and_keys_only_their_scopes() {
        let person = |role| Principal {
            role,
            ..Principal::local()
        };
        let check = |who: Principal, role, scope, expect: bool| {
            assert_eq!(who.may(role, scope), expect, "{who:?} {role:?} {scope:?}");
        };
        check(person(Role::Viewer), Role::Viewer, Scope::ReadEvents, true);
        check(
            person(Role::Viewer),
            Role::Operator,
            Scope::WriteCameras,
            false,
        );
        check(
            person(Role::Operator),
            Role::Operator,
            Scope::WriteCameras,
            true,
        );
        check(person(Role::Operator), Role::Admin, Scope::Admin, false);
        check(person(Role::Admin), Role::Admin, Scope::Admin, true);
        check(
            key(&[Scope::ReadEvents]),
            Role::Viewer,
            Scope::ReadEvents,
            true,
        );
        check(
            key(&[Scope::ReadEvents]),
            Role::Viewer,
            Scope::ReadCameras,
            false,
        );
        check(
            key(&[Scope::WriteCameras]),
            Role::Viewer,
            Scope::ReadCameras,
            false,
        );
        check(key(&[Scope::Admin]), Role::Admin, Scope::Admin, true);
        check(key(&[]), Role::Viewer, Scope::ReadEvents, false);
    }

    #[test]
    fn words_are_read_back() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse::<Role>().unwrap(), role);
        }
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse::<Scope>().unwrap(), scope);
        }
        assert!("root".parse::<Role>().is_err());
        assert!("write:events".parse::<Scope>().is_err());
    }

    #[test]
    fn a_camera_that_is_not_granted_is_not_seen() {
        let only = Principal {
            cameras: CameraAccess::Only(BTreeSet::from(["a".to_owned()])),
            ..Principal::local()
        };
        assert!(only.sees("a") && !only.sees("b"));
        assert!(Principal::system().sees("b"));
    }
}
