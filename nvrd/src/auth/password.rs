//! Passwords: which ones are taken, their hashes, and what Digest needs of them.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use md5::{Digest as _, Md5};
use nvr_base::{Error, Result};

use crate::evidence::hex;

/// Least characters of a password.
const MIN_CHARS: usize = 12;
/// Most bytes of a password.
const MAX_BYTES: usize = 256;
/// Most characters of a log-in name.
const MAX_NAME: usize = 64;
/// What the RTSP server calls itself when it asks for a password.
pub const REALM: &str = "nvrd";

/// The hash of no password, with the cost of a true one: whoever asks for an unknown user waits as long.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5bm9ib2R5bm9ib2R5$\
                      AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Sees that a password may be chosen.
///
/// # Errors
/// One sentence that begins with the name of the field.
pub(super) fn check_password(field: &str, password: &str, user: &str) -> Result<()> {
    if password.chars().count() < MIN_CHARS {
        return Err(Error::invalid(format!(
            "{field}: use {MIN_CHARS} characters or more"
        )));
    }
    if password.len() > MAX_BYTES {
        return Err(Error::invalid(format!(
            "{field}: use {MAX_BYTES} bytes or less"
        )));
    }
    if password.chars().any(char::is_control) {
        return Err(Error::invalid(format!(
            "{field}: it holds a control character"
        )));
    }
    if password.to_lowercase() == user.to_lowercase() {
        return Err(Error::invalid(format!("{field}: it is the user name")));
    }
    let first = password.chars().next();
    if password.chars().all(|c| Some(c) == first) {
        return Err(Error::invalid(format!(
            "{field}: it is one character again and again"
        )));
    }
    Ok(())
}

/// Sees that a log-in name may be chosen.
///
/// # Errors
/// One sentence that begins with the name of the field.
pub(super) fn check_name(name: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@');
    let good = (1..=MAX_NAME).contains(&name.len())
        && name.chars().all(plain)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    match good {
        true => Ok(()),
        false => Err(Error::invalid(format!(
            "username: use 1 to {MAX_NAME} of a-z, A-Z, 0-9, . _ - and @, with a letter or digit first"
        ))),
    }
}

/// The hash of a password, which takes some 50 ms and 19 MiB.
///
/// # Errors
/// When memory is short.
pub(super) fn hash(password: &str) -> Result<String> {
    let hash = Argon2::default().hash_password(password.as_bytes());
    let hash =
        hash.map_err(|error| Error::exhausted(format!("the password cannot be hashed: {error}")))?;
    Ok(hash.to_string())
}

/// Whether a password has this hash; takes as long where there is none.
pub(super) fn verify(password: &str, hash: Option<&str>) -> bool {
    let Ok(parsed) = PasswordHash::new(hash.unwrap_or(NOBODY)) else {
        return false;
    };
    // A longer one was never taken: hashing it would only cost.
    let right = password.len() <= MAX_BYTES
        && Argon2::default()
            .verify_password(password.as_bytes(), &parsed)
            .is_ok();
    right && hash.is_some()
}

/// What Digest (RFC 7616, MD5) knows of a password: as good as the password itself, so it is stored sealed.
pub(super) fn digest(user: &str, password: &str) -> String {
    hex(&Md5::digest(format!("{user}:{REALM}:{password}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_its_hash_alone() {
        let stored = hash("correct horse battery").unwrap();
        assert!(
            stored.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{stored}"
        );
        assert_ne!(stored, hash("correct horse battery").unwrap());
        assert!(verify("correct horse battery", Some(&stored)));
        for bad in ["", "correct horse batterY", &"x".repeat(10_000)] {
            assert!(!verify(bad, Some(&stored)), "{bad}");
        }
        assert!(!verify("correct horse battery", None));
        assert!(!verify("x", Some("no hash")));
        assert!(PasswordHash::new(NOBODY).is_ok());
    }

    #[test]
    fn weak_passwords_are_refused_with_a_reason() {
        let check = |password: &str, expect: &str| {
            let error = check_password("password", password, "Administrator-1").unwrap_err();
            assert!(error.to_string().starts_with("password: "), "{error}");
            assert!(error.to_string().contains(expect), "{error}");
        };
        check("short", "12 characters");
        check(&"é".repeat(129), "256 bytes");
        check("twelve chars\u{7}", "control");
        check("administrator-1", "user name");
        check("aaaaaaaaaaaaaaaa", "again and again");
        check_password("password", "ünïcödé wörds", "a").unwrap();
    }

    #[test]
    fn names_are_plain() {
        for good in ["a", "ada.lovelace@example.org", "A-1_b"] {
            check_name(good).unwrap();
        }
        for bad in ["", "-a", "a b", "a:b", "ä", "a/b", "a\n", &"a".repeat(65)] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn digest_is_that_of_the_standard() {
        assert_eq!(
            digest("Mufasa", "Circle of Life"),
            hex(&Md5::digest("Mufasa:nvrd:Circle of Life"))
        );
        assert_eq!(hex(&Md5::digest("abc")), "900150983cd24fb0d6963f7d28e17f72");
    }
}
