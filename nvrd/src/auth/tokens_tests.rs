//! Tokens that somebody made up, changed or kept too long, one by one.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;

const NOW: i64 = 1_767_225_600;

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// A token with these parts, signed with a key and an algorithm of ring's.
fn forge(algorithm: hmac::Algorithm, key: &[u8], header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", part(header), part(claims));
    let tag = hmac::sign(&hmac::Key::new(algorithm, key), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

struct Forge {
    tokens: Tokens,
    key: crate::vault::Key,
    _folder: tempfile::TempDir,
}

fn open() -> Forge {
    let folder = tempfile::tempdir().unwrap();
    let tokens = Tokens::open_in(folder.path(), NOW).unwrap();
    let key = tokens.ring.read().unwrap().current().clone();
    Forge {
        tokens,
        key,
        _folder: folder,
    }
}

fn claims() -> Value {
    json!({"iss": "nvrd", "aud": "nvrd:api", "sub": "u", "sid": "s", "jti": "j", "iat": NOW, "exp": NOW + 60})
}

fn with(key: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(key)),
        value => claims[key] = value,
    }
    claims
}

#[test]
fn tokens_count_for_their_use_and_their_time() {
    let Forge { tokens, .. } = open();
    let (access, jti) = tokens.sign(Use::Access, "u", "s", NOW).unwrap();
    let said = tokens.check(Use::Access, &access, NOW).unwrap();
    assert_eq!(
        (said.sub.as_str(), said.sid.as_str(), &said.jti),
        ("u", "s", &jti)
    );
    assert!(
        tokens
            .check(Use::Access, &access, NOW + ACCESS_S - 1)
            .is_some()
    );
    assert!(tokens.check(Use::Access, &access, NOW + ACCESS_S).is_none());
    assert!(tokens.check(Use::Access, &access, NOW - 61).is_none());
    assert!(tokens.check(Use::Refresh, &access, NOW).is_none());
    let (refresh, _) = tokens.sign(Use::Refresh, "u", "s", NOW).unwrap();
    assert!(tokens.check(Use::Access, &refresh, NOW).is_none());
    assert!(
        tokens
            .check(Use::Refresh, &refresh, NOW + REFRESH_S - 1)
            .is_some()
    );
}

#[test]
fn forged_tokens_are_refused() {
    let Forge { tokens, key, .. } = open();
    let kid = key.id.clone();
    let header = |alg: &str| json!({"alg": alg, "typ": "JWT", "kid": kid});
    let sha256 =
        |header: &Value, claims: &Value| forge(hmac::HMAC_SHA256, &key.bytes, header, claims);
    // The forge can make what is taken: what follows fails for its own reason.
    let good = sha256(&header("HS256"), &claims());
    assert!(tokens.check(Use::Access, &good, NOW).is_some());

    let unsigned = |alg: &str| format!("{}.{}.", part(&header(alg)), part(&claims()));
    let (message, tag) = good.rsplit_once('.').unwrap();
    let (head, _) = message.split_once('.').unwrap();
    let other_body = part(&with("sub", json!("admin")));
    let no_kid = json!({"alg": "HS256"});
    let other_kid = json!({"alg": "HS256", "kid": "00000000"});
    #[rustfmt::skip]
    let table: Vec<(&str, String)> = vec![
        ("alg none", unsigned("none")),
        ("alg NONE", unsigned("None")),
        ("alg HS256 without a signature", unsigned("HS256")),
        ("alg none with the right signature", format!("{}.{}.{tag}", part(&header("none")), part(&claims()))),
        ("HS512 with our key", forge(hmac::HMAC_SHA512, &key.bytes, &header("HS512"), &claims())),
        ("HS384 with our key", forge(hmac::HMAC_SHA384, &key.bytes, &header("HS384"), &claims())),
        ("RS256 by name", sha256(&header("RS256"), &claims())),
        ("ES256 by name", sha256(&header("ES256"), &claims())),
        ("EdDSA by name", sha256(&header("EdDSA"), &claims())),
        ("unknown algorithm", sha256(&header("HS257"), &claims())),
        ("another key", forge(hmac::HMAC_SHA256, &[7; 32], &header("HS256"), &claims())),
        ("an empty key", forge(hmac::HMAC_SHA256, &[], &header("HS256"), &claims())),
        ("no kid", sha256(&no_kid, &claims())),
        ("unknown kid", sha256(&other_kid, &claims())),
        ("a kid that is a path", sha256(&json!({"alg": "HS256", "kid": "../../dev/null"}), &claims())),
        ("another body", format!("{head}.{other_body}.{tag}")),
        ("a cut signature", good[..good.len() - 2].to_owned()),
        ("expired", sha256(&header("HS256"), &with("exp", json!(NOW)))),
        ("no end", sha256(&header("HS256"), &with("exp", Value::Null))),
        ("an end that is a text", sha256(&header("HS256"), &with("exp", json!("9999999999")))),
        ("from the future", sha256(&header("HS256"), &with("iat", json!(NOW + 3600)))),
        ("another issuer", sha256(&header("HS256"), &with("iss", json!("evil")))),
        ("no issuer", sha256(&header("HS256"), &with("iss", Value::Null))),
        ("another audience", sha256(&header("HS256"), &with("aud", json!("nvrd:refresh")))),
        ("no audience", sha256(&header("HS256"), &with("aud", Value::Null))),
        ("no session", sha256(&header("HS256"), &with("sid", Value::Null))),
        ("no user", sha256(&header("HS256"), &with("sub", Value::Null))),
        ("no token", String::new()),
        ("points", "..".to_owned()),
        ("rubbish", "a.b.c".to_owned()),
        ("too long", format!("{good}{}", "A".repeat(10_000))),
    ];
    for (what, token) in &table {
        assert_eq!(tokens.check(Use::Access, token, NOW), None, "{what}");
    }
}

#[test]
fn an_old_key_is_replaced_and_counts_once_more() {
    let folder = tempfile::tempdir().unwrap();
    let token = |at: i64| {
        let tokens = Tokens::open_in(folder.path(), at).unwrap();
        let (token, _) = tokens.sign(Use::Refresh, "u", "s", at).unwrap();
        (tokens, token)
    };
    let (_, first) = token(NOW);
    let later = NOW + KEY_AGE_S - 10;
    let (_, second) = token(later);
    let (after, third) = token(later + 20);
    let kid = |token: &str| jsonwebtoken::decode_header(token).unwrap().kid;
    assert_eq!(kid(&first), kid(&second));
    assert_ne!(kid(&second), kid(&third));
    assert!(after.check(Use::Refresh, &second, later + 20).is_some());
    let (last, _) = token(later + 20 + KEY_AGE_S + 1);
    assert!(last.check(Use::Refresh, &second, later).is_none());
}
