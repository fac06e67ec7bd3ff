//! The second factor: codes that change every thirty seconds (TOTP, RFC 6238), each good once.

use nvr_base::{Error, Result, Secret};
use totp_rs::{Builder, Totp};

/// Bytes of a secret, as many as SHA-1 has.
const SECRET_BYTES: usize = 20;

/// A new secret in the form that apps take.
pub(super) fn new_secret() -> Secret {
    let bytes: [u8; SECRET_BYTES] = crate::vault::random();
    Secret::new(totp_rs::Secret::from(bytes).to_base32())
}

/// What a picture for an app holds.
pub(super) fn uri(secret: &Secret, user: &str) -> Secret {
    let user = percent_encoding::utf8_percent_encode(user, percent_encoding::NON_ALPHANUMERIC);
    Secret::new(format!(
        "otpauth://totp/nvrd:{user}?secret={}&issuer=nvrd&algorithm=SHA1&digits=6&period=30",
        secret.expose()
    ))
}

/// The step of time that a code belongs to, if it is one of this moment, the one before or the one after.
///
/// # Errors
/// `DataLoss` when the stored secret is none.
pub(super) fn step_of(secret: &Secret, code: &str, now_unix: i64) -> Result<Option<i64>> {
    let now = u64::try_from(now_unix).unwrap_or(0);
    let step = totp(secret)?.check(code, now);
    Ok(step.and_then(|step| i64::try_from(step).ok()))
}

fn totp(secret: &Secret) -> Result<Totp> {
    let lost = || Error::data_loss("the stored secret of the second factor is none");
    let bytes = totp_rs::Secret::try_from_base32(secret.expose()).map_err(|_| lost())?;
    Builder::new()
        .with_secret(bytes)
        .build()
        .map_err(|_| lost())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The secret and codes of RFC 6238, appendix B, cut to six digits.
    #[test]
    fn codes_are_those_of_the_standard() {
        let secret = Secret::new("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        for (at, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(step_of(&secret, code, at).unwrap(), Some(at / 30), "{at}");
            assert_eq!(step_of(&secret, code, at + 30).unwrap(), Some(at / 30));
            assert_eq!(step_of(&secret, code, at + 90).unwrap(), None);
        }
        for bad in ["", "28708", "2870821", "abcdef", "+87082", "２８７０８２"] {
            assert_eq!(step_of(&secret, bad, 59).unwrap(), None, "{bad}");
        }
    }

    #[test]
    fn secrets_are_new_and_apps_can_read_them() {
        let secret = new_secret();
        assert_ne!(secret, new_secret());
        assert!(step_of(&secret, "000000", 0).is_ok());
        let uri = uri(&secret, "a@b:c");
        assert!(
            uri.expose()
                .starts_with("otpauth://totp/nvrd:a%40b%3Ac?secret=")
        );
        assert!(step_of(&Secret::new("0189"), "000000", 0).is_err());
    }
}
