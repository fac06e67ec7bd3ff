//! Where a database is: a file of SQLite, or one on a PostgreSQL server.

use std::fmt;
use std::path::{Path, PathBuf};

use nvr_base::{Error, Result};

/// Where a database is; shown without its password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A file of SQLite.
    File(PathBuf),
    /// A database on a PostgreSQL server.
    Server(Server),
}

impl Place {
    /// The file, where the database is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Server(_) => None,
        }
    }

    /// The file, or why what is asked for cannot be done with a database on a server.
    pub(crate) fn need_file(&self, why: &str) -> Result<&Path> {
        self.file().ok_or_else(|| {
            Error::precondition(format!(
                "{self}: the database is on a PostgreSQL server: {why}"
            ))
        })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Server(server) => server.url.fmt(f),
        }
    }
}

/// The address of a database on a PostgreSQL server, and the password for it.
#[derive(Clone, PartialEq, Eq)]
pub struct Server {
    url: String,
    password: Option<String>,
}

// By hand: debug output ends in logs.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.url).finish()
    }
}

/// What a connection gets unless the address says otherwise: an end to waiting for a server that is not there, and
/// to a connection whose other side is gone.
const DEFAULTS: [(&str, &str); 5] = [
    ("application_name", "nvrd"),
    ("connect_timeout", "5"),
    ("keepalives_idle", "10"),
    ("keepalives_interval", "5"),
    ("keepalives_count", "3"),
];

impl Server {
    /// A database by its address, `postgres://user@host:port/database` or `postgres:///database?host=/folder/of/socket`.
    ///
    /// # Errors
    /// `InvalidArgument` for another kind of address, and for one that holds a password: addresses are shown.
    pub fn new(url: &str, password: Option<&str>) -> Result<Self> {
        let rest = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))
            .ok_or_else(|| {
                Error::invalid(
                    "the address of a database must begin with postgres://, as in postgres://nvrd@localhost/nvrd",
                )
            })?;
        if url.len() > 2048 || url.contains(|c: char| c.is_control() || c.is_whitespace()) {
            return Err(Error::invalid(
                "the address of a database must be at most 2048 bytes without spaces or control characters",
            ));
        }
        let (authority, query) = rest.split_once('?').unwrap_or((rest, ""));
        let authority = authority.split('/').next().unwrap_or_default();
        let user = authority.rsplit_once('@').map(|(user, _)| user);
        // A letter may be written as its number too.
        let plain = unescaped(query);
        let names = |name: &str| plain.split('&').any(|pair| pair.starts_with(name));
        if user.is_some_and(|user| user.contains(':'))
            || names("password=")
            || names("sslpassword=")
        {
            return Err(Error::invalid(
                "the address of a database is shown, so it must not hold a password: put that into a file of its own",
            ));
        }
        if password.is_some_and(|password| password.contains('\0')) {
            return Err(Error::invalid(
                "the password of a database must not hold a NUL character",
            ));
        }
        Ok(Self {
            url: url.to_owned(),
            password: password.map(ToOwned::to_owned),
        })
    }

    /// What libpq is told; holds the password.
    #[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "nobody is told"))]
    pub(crate) fn connection_string(&self) -> String {
        let mut text = self.url.clone();
        let mut add = |name: &str, value: &str| {
            let mark = if text.contains('?') { '&' } else { '?' };
            text.push(mark);
            text.push_str(name);
            text.push('=');
            for byte in value.bytes() {
                if byte.is_ascii_alphanumeric() {
                    text.push(char::from(byte));
                } else {
                    text.push_str(&format!("%{byte:02X}"));
                }
            }
        };
        for (name, value) in DEFAULTS {
            if !self.url.contains(&format!("{name}=")) {
                add(name, value);
            }
        }
        if let Some(password) = &self.password {
            add("password", password);
        }
        text
    }

    /// A message of libpq, which may quote what it was told, without the password.
    #[cfg_attr(
        not(feature = "postgres"),
        allow(dead_code, reason = "nothing is quoted")
    )]
    pub(crate) fn without_password(&self, message: &str) -> String {
        let told = self.connection_string();
        let message = message.trim().replace(&told, &self.url);
        match &self.password {
            Some(password) if !password.is_empty() => message.replace(password.as_str(), "***"),
            _ => message,
        }
    }
}

/// A text with its `%XX` as letters, as far as they are ones of ASCII.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        plain.push_str(before);
        let code = after
            .get(..2)
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        match code.filter(u8::is_ascii) {
            Some(code) => {
                plain.push(char::from(code));
                rest = &after[2..];
            }
            None => {
                plain.push('%');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use nvr_base::ErrorKind;

    use super::*;

    #[test]
    fn addresses_are_checked_and_never_hold_a_password() {
        for good in [
            "postgres://nvrd@localhost/nvrd",
            "postgresql://nvrd@[::1]:5433/nvrd?sslmode=require",
            "postgres:///nvrd?host=/run/postgresql",
            "postgres://a@h1,h2/nvrd?target_session_attrs=read-write",
        ] {
            let server = Server::new(good, None).unwrap();
            assert_eq!(Place::Server(server).to_string(), good);
        }
        for bad in [
            "",
            "nvrd.db",
            "mysql://nvrd@localhost/nvrd",
            "postgres://nvrd:hunter2@localhost/nvrd",
            "postgres://localhost/nvrd?password=hunter2",
            "postgres://localhost/nvrd?host=x&p%61ssword=hunter2",
            "postgres://localhost/nvrd?sslpassword=hunter2",
            "postgres://local host/nvrd",
            "postgres://localhost/nv\0rd",
        ] {
            let error = Server::new(bad, None).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{bad}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn the_password_is_told_to_the_server_alone() {
        let server = Server::new(
            "postgres://nvrd@db/nvrd?connect_timeout=2",
            Some("a b&'c=%"),
        );
        let server = server.unwrap();
        let told = server.connection_string();
        assert!(told.ends_with("&password=a%20b%26%27c%3D%25"), "{told}");
        assert_eq!(told.matches("connect_timeout").count(), 1, "{told}");
        let place = Place::Server(server.clone());
        assert!(!format!("{place} {place:?}").contains("a b&"));
        let quoted = server.without_password(&format!("in \"{told}\": a b&'c=% is wrong\n"));
        assert_eq!(
            quoted,
            "in \"postgres://nvrd@db/nvrd?connect_timeout=2\": *** is wrong"
        );
        assert!(Server::new("postgres://x", Some("a\0")).is_err());
    }
}
