//! Passwords as Digest keeps them (RFC 2617), and which camera a URI is about.

use gst::glib;

/// What passwords are hashed together with; the hashes of users are made with this one.
pub(super) const REALM: &str = "nvrd";

/// MD5 in hexadecimal digits.
fn md5(text: &str) -> String {
    let bytes = glib::Bytes::from(text.as_bytes());
    glib::compute_checksum_for_bytes(glib::ChecksumType::Md5, &bytes)
        .expect("MD5 is always there")
        .to_string()
}

/// What a user and a password are kept as.
pub(super) fn ha1(user: &str, password: &str) -> String {
    md5(&format!("{user}:{REALM}:{password}"))
}

/// Whether two hashes are the same, in a time that does not tell where they differ.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.len() == b.len()
        && a.bytes()
            .zip(b.bytes())
            .fold(0, |all, (a, b)| all | (a ^ b))
            == 0
}

/// The first part of a URI's path: the camera.
pub(super) fn camera_of(uri: &str) -> &str {
    let path = match uri.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => uri.trim_start_matches('/'),
    };
    path.split(['/', '?']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_kept_as_the_rfc_says() {
        // RFC 2617, 3.5, in our realm; the first is `printf 'Mufasa:nvrd:Circle Of Life' | md5sum`.
        assert_eq!(
            ha1("Mufasa", "Circle Of Life"),
            "e70cf36a501b87e0447cba0664d6613f"
        );
        assert!(same("abc", "abc") && same("", ""));
        assert!(!same("abc", "abd") && !same("abc", "ab") && !same("", "a"));
    }

    #[test]
    fn the_camera_is_the_first_part_of_the_path() {
        let check = |uri: &str, expect: &str| assert_eq!(camera_of(uri), expect, "{uri}");
        check("rtsp://h:8554/front", "front");
        check("rtsp://h/front/stream=0", "front");
        check("rtsps://u:p@h/front?x=/yard", "front");
        check("/front/", "front");
        check("rtsp://h", "");
        check("rtsp://h/", "");
        check("*", "*");
    }
}
