//! Users, sessions and keys as they are now, in memory: who asks is found out without asking the database.

use std::collections::HashMap;
use std::sync::Arc;

use nvr_base::principal::{Actor, Principal, Role};
use nvr_base::{Result, Secret};
use nvr_store::{KeyRow, SessionRow, Store, UserRow};
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq as _;

use crate::evidence::hex;

/// What every key begins with.
pub const KEY_MARK: &str = "nvrd_";
/// Letters after it by which people recognise a key.
pub(super) const KEY_SHOWN: usize = 8;

/// A user.
#[derive(Debug)]
pub(super) struct Person {
    /// What is stored.
    pub(super) row: UserRow,
    /// What they may.
    pub(super) principal: Arc<Principal>,
}

/// A key.
#[derive(Debug)]
pub(super) struct Program {
    /// What is stored.
    pub(super) row: KeyRow,
    /// What it may.
    pub(super) principal: Arc<Principal>,
}

/// Everybody who may ask for something.
#[derive(Debug, Default)]
pub(super) struct People {
    /// The state of the database that this was read from, or a later one.
    pub(super) version: i64,
    users: HashMap<String, Person>,
    names: HashMap<String, String>,
    sessions: HashMap<String, SessionRow>,
    keys: HashMap<String, Vec<Program>>,
}

impl People {
    /// Reads everybody. Blocks.
    ///
    /// # Errors
    /// Those of the database.
    pub(super) fn read(store: &Store) -> Result<Self> {
        // The version first: a change meanwhile is seen as one to come, never missed.
        let mut this = Self {
            version: store.identity_version()?,
            ..Self::default()
        };
        for row in store.users()? {
            let actor = Actor::User {
                id: row.id.clone(),
                name: row.name.clone(),
            };
            let principal = Principal {
                actor,
                role: row.role,
                scopes: None,
                cameras: row.cameras.clone(),
            };
            this.names.insert(row.name.to_lowercase(), row.id.clone());
            let principal = Arc::new(principal);
            this.users.insert(row.id.clone(), Person { row, principal });
        }
        for row in store.sessions()? {
            this.sessions.insert(row.id.clone(), row);
        }
        for row in store.live_keys()? {
            let actor = Actor::Key {
                id: row.id.clone(),
                name: row.name.clone(),
            };
            let principal = Principal {
                actor,
                role: Role::Viewer,
                scopes: Some(row.scopes.clone()),
                cameras: row.cameras.clone(),
            };
            let principal = Arc::new(principal);
            let same = this.keys.entry(row.prefix.clone()).or_default();
            same.push(Program { row, principal });
        }
        Ok(this)
    }

    /// Whether there is no user at all.
    pub(super) fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// The names of everybody, as they write them.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.users.values().map(|person| person.row.name.as_str())
    }

    /// The user with an id.
    pub(super) fn user(&self, id: &str) -> Option<&Person> {
        self.users.get(id)
    }

    /// The user with a name, whatever the case of its letters.
    pub(super) fn named(&self, name: &str) -> Option<&Person> {
        self.users.get(self.names.get(&name.to_lowercase())?)
    }

    /// A session that goes on, and its user, who may log in.
    pub(super) fn session(&self, id: &str, now_us: i64) -> Option<(&SessionRow, &Person)> {
        let session = self
            .sessions
            .get(id)
            .filter(|row| row.expires_us > now_us)?;
        let person = self
            .user(&session.user_id)
            .filter(|person| person.row.active)?;
        Some((session, person))
    }

    /// The sessions of a user, the newest first.
    pub(super) fn sessions_of(&self, user_id: &str, now_us: i64) -> Vec<SessionRow> {
        let mine = |row: &&SessionRow| row.user_id == user_id && row.expires_us > now_us;
        let mut found: Vec<SessionRow> = self.sessions.values().filter(mine).cloned().collect();
        found.sort_by(|a, b| (b.created_us, &b.id).cmp(&(a.created_us, &a.id)));
        found
    }

    /// The key that was shown, if it counts now.
    pub(super) fn key(&self, shown: &str, now_us: i64) -> Option<&Program> {
        let hash = hash_of(shown);
        let same = self.keys.get(prefix_of(shown)?)?;
        same.iter()
            .filter(|program| program.row.expires_us.is_none_or(|end| end > now_us))
            .find(|program| same_text(&program.row.hash, &hash))
    }

    /// The key with an id, if it counts now.
    pub(super) fn key_by_id(&self, id: &str, now_us: i64) -> Option<&Program> {
        let mut all = self.keys.values().flatten();
        let lives = |program: &&Program| program.row.expires_us.is_none_or(|end| end > now_us);
        all.find(|program| program.row.id == id).filter(lives)
    }
}

/// Whether two texts are the same; takes the same time wherever they differ.
pub(super) fn same_text(a: &str, b: &str) -> bool {
    a.as_bytes().ct_eq(b.as_bytes()).into()
}

/// SHA-256 in hex digits: enough for secrets that are random themselves.
pub(super) fn hash_of(secret: &str) -> String {
    hex(digest(&SHA256, secret.as_bytes()).as_ref())
}

/// What people see of a key.
pub(super) fn prefix_of(key: &str) -> Option<&str> {
    key.strip_prefix(KEY_MARK)?;
    key.get(..KEY_MARK.len() + KEY_SHOWN)
}

/// A text of letters and digits that nobody guesses: 32 of them hold 190 bits.
pub(super) fn random_text(length: usize) -> Secret {
    const LETTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = String::with_capacity(length);
    while text.len() < length {
        // The last 8 of 256 would make the first letters a little more likely.
        let fair = crate::vault::random::<64>()
            .into_iter()
            .filter(|byte| *byte < 248);
        let letters = fair.map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()]));
        text.extend(letters.take(length - text.len()));
    }
    Secret::new(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_texts_are_as_long_as_wanted_and_never_the_same() {
        for length in [1, 32, 43, 200] {
            let text = random_text(length);
            assert_eq!(text.expose().len(), length);
            assert!(text.expose().chars().all(|c| c.is_ascii_alphanumeric()));
        }
        assert_ne!(random_text(32), random_text(32));
    }

    #[test]
    fn keys_show_their_first_letters() {
        assert_eq!(prefix_of("nvrd_0123456789"), Some("nvrd_01234567"));
        for bad in [
            "",
            "nvrd_",
            "nvrd_0123456",
            "argus_0123456789",
            "nvrd_1234567é",
        ] {
            assert_eq!(prefix_of(bad), None, "{bad}");
        }
    }
}
