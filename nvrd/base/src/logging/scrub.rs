//! Blots out what looks like a secret in a text that is about to be shown.

use std::borrow::Cow;

/// What stands in place of a secret.
const BLOT: &str = "***";

/// Names whose values are secrets wherever they stand.
const NAMES: [&str; 13] = [
    "password",
    "passwd",
    "pwd",
    "secret",
    "token",
    "access_token",
    "refresh_token",
    "api_key",
    "apikey",
    "x-api-key",
    "authorization",
    "cookie",
    "user-pw",
];

/// Whether a field of that name holds a secret.
pub(super) fn names_a_secret(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    NAMES.iter().any(|known| known.eq_ignore_ascii_case(last))
}

/// The text without credentials in URIs, values of `password=…` and its like, and what follows `Bearer` or `Basic`.
pub fn scrub(text: &str) -> Cow<'_, str> {
    let mut secrets = Vec::new();
    find_in_uris(text, &mut secrets);
    find_after_names(text, &mut secrets);
    find_after_schemes(text, &mut secrets);
    if secrets.is_empty() {
        return Cow::Borrowed(text);
    }
    secrets.sort_unstable();
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (start, end) in secrets {
        if start >= done {
            out.push_str(&text[done..start]);
            out.push_str(BLOT);
        }
        done = done.max(end);
    }
    out.push_str(&text[done..]);
    Cow::Owned(out)
}

fn ends_a_word(c: char) -> bool {
    c.is_whitespace() || matches!(c, '"' | '\'' | '<' | '>' | '`' | ')' | ']' | '}' | '\\')
}

/// `user:password` of `scheme://user:password@host`, also where the password is not written as it should be.
fn find_in_uris(text: &str, secrets: &mut Vec<(usize, usize)>) {
    for (at, _) in text.match_indices("://") {
        let start = at + 3;
        let rest = &text[start..];
        let word = &rest[..rest.find(ends_a_word).unwrap_or(rest.len())];
        let authority = &word[..word.find(['/', '?', '#']).unwrap_or(word.len())];
        let end = match authority.rfind('@') {
            Some(end) => Some(end),
            // A slash in a password: what stands before is no host with a port then.
            None if !is_host(authority) => word.find('@'),
            None => None,
        };
        if let Some(end) = end.filter(|end| *end > 0) {
            secrets.push((start, start + end));
        }
    }
}

/// Whether a text may be `host` or `host:port`.
fn is_host(text: &str) -> bool {
    let port = match text.strip_prefix('[') {
        Some(rest) => rest.rsplit(']').next(),
        None => text.split_once(':').map(|(_, port)| port),
    };
    port.is_none_or(|port| {
        port.trim_start_matches(':')
            .bytes()
            .all(|b| b.is_ascii_digit())
    })
}

/// The value of `name=value`, `name: value` and `"name":"value"`.
fn find_after_names(text: &str, secrets: &mut Vec<(usize, usize)>) {
    for (at, sign) in text.match_indices(['=', ':']) {
        let before = text[..at].trim_end_matches([' ', '"', '\\']);
        let start = before.rfind(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-')));
        let name = &before[start.map_or(0, |at| {
            at + before[at..].chars().next().map_or(1, char::len_utf8)
        })..];
        if !names_a_secret(name) {
            continue;
        }
        let from = at + sign.len();
        let quoted = text[from..].trim_start_matches([' ', '\\']);
        let inside = quoted.trim_start_matches('"');
        let from = text.len() - inside.len();
        let end = match quoted.starts_with('"') {
            true => inside.find(['"', '\\']),
            false => inside.find(|c: char| ends_a_word(c) || matches!(c, ',' | '&' | ';')),
        };
        let end = end.map_or(text.len(), |end| from + end);
        if from < end {
            secrets.push((from, end));
        }
    }
}

/// What follows `Bearer ` and `Basic `.
fn find_after_schemes(text: &str, secrets: &mut Vec<(usize, usize)>) {
    for scheme in ["Bearer ", "Basic "] {
        for (at, _) in text.match_indices(scheme) {
            let from = at + scheme.len();
            let word = &text[from..];
            let end = from
                + word
                    .find(|c| ends_a_word(c) || c == ',')
                    .unwrap_or(word.len());
            // A sentence about "Basic authentication" tells nothing.
            if end - from >= 16 || text[from..end].contains(['.', '=', '+']) {
                secrets.push((from, end));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        assert_eq!(scrub(text), expect);
    }

    #[test]
    fn credentials_in_uris_go() {
        check("rtsp://admin:pw@10.0.0.5/a", "rtsp://***@10.0.0.5/a");
        check("x \"rtsp://a:p@b@h:554/s\" y", "x \"rtsp://***@h:554/s\" y");
        check("rtsp://admin:p/w@10.0.0.5/a", "rtsp://***@10.0.0.5/a");
        check(
            "rtsp://admin@h/ and http://u:p@h",
            "rtsp://***@h/ and http://***@h",
        );
        check("rtsp://ä:ö@h/x", "rtsp://***@h/x");
        check("http://h:8000/a@b", "http://h:8000/a@b");
        check("http://[::1]:8000/a@b", "http://[::1]:8000/a@b");
        check("http://h/?mail=a@b", "http://h/?mail=a@b");
        check("file:///a@b", "file:///a@b");
        check("://", "://");
    }

    #[test]
    fn values_of_secret_names_go() {
        check("password=hunter2 x", "password=*** x");
        check(
            "{\"password\":\"hun ter2\",\"a\":1}",
            "{\"password\":\"***\",\"a\":1}",
        );
        check("api_key: abc, b", "api_key: ***, b");
        check("/x?token=abc&b=1", "/x?token=***&b=1");
        check("Authorization: Bearer eyJ.a.b", "Authorization: *** ***");
        check("user-pw=\"a b\"", "user-pw=\"***\"");
        check("é password=x", "é password=***");
        check("passwordless=yes", "passwordless=yes");
        check("token bucket: full", "token bucket: full");
        check("password: ", "password: ");
    }

    #[test]
    fn what_follows_a_scheme_goes() {
        check("Bearer eyJhbGciOi.abc", "Bearer ***");
        check("Basic dXNlcjpwYXNzd29yZA==", "Basic ***");
        check("Basic authentication", "Basic authentication");
    }

    #[test]
    fn plain_texts_stay() {
        for text in [
            "",
            "camera is running",
            "12:30:05 at http://h/a:b",
            "a=b, c: d",
        ] {
            assert!(matches!(scrub(text), Cow::Borrowed(_)), "{text}");
        }
    }
}
