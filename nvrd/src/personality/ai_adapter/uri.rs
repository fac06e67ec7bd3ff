//! Frame URIs, which name a picture of a camera: `opennvr://frames/<camera>/<file>.jpg`, or without `frames/`.

/// Longest URI that is looked at, bytes.
const MAX_BYTES: usize = 256;
/// Longest name of a camera or a file, bytes.
const MAX_NAME: usize = 64;
/// The file that stands for what a camera shows now.
pub(super) const LATEST: &str = "latest.jpg";

/// The picture that a URI names; its parts are names only, and lead nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FrameUri {
    /// The camera, in the words of the client.
    pub(super) camera: String,
    /// The file.
    pub(super) file: String,
}

impl FrameUri {
    /// Takes a URI apart.
    ///
    /// # Errors
    /// The sentence of every URI that is none, with what one looks like.
    pub(super) fn parse(uri: &str) -> Result<Self, String> {
        let wrong = || {
            let shown: String = uri.chars().take(MAX_BYTES).collect();
            format!(
                "Invalid frame URI: {shown:?}: use opennvr://frames/<camera>/latest.jpg, or the name of a frame in place of latest.jpg"
            )
        };
        if uri.len() > MAX_BYTES {
            return Err(wrong());
        }
        let rest = uri.strip_prefix("opennvr://").ok_or_else(wrong)?;
        let parts: Vec<&str> = rest.split('/').collect();
        let (camera, file) = match parts.as_slice() {
            ["frames", camera, file] | [camera, file] => (*camera, *file),
            _ => return Err(wrong()),
        };
        if !is_camera(camera) || !is_file(file) {
            return Err(wrong());
        }
        Ok(Self {
            camera: camera.to_owned(),
            file: file.to_owned(),
        })
    }
}

/// The URI of a picture.
pub(super) fn uri_of(camera: &str, file: &str) -> String {
    format!("opennvr://frames/{camera}/{file}")
}

/// Whether a text can be the name of a camera, ours or one as the upstream program counts them.
fn is_camera(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    (1..=MAX_NAME).contains(&text.len()) && text.chars().all(word)
}

/// Whether a text can be the name of a frame.
pub(super) fn is_file(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let stem = text
        .strip_suffix(".jpg")
        .or_else(|| text.strip_suffix(".jpeg"));
    text.len() <= MAX_NAME
        && stem.is_some_and(|stem| {
            stem.starts_with(|c: char| c.is_ascii_alphanumeric())
                && stem.chars().all(word)
                && !stem.contains("..")
        })
}

/// Which of our cameras is meant: by its name, by its name with `_` for `-`, else by its number.
///
/// `camera_0` is the first one in the order of their names, as long as none is called so.
pub(super) fn camera_meant<'a>(words: &str, names: &'a [String]) -> Option<&'a str> {
    let slug = words.to_ascii_lowercase().replace('_', "-");
    let named = names.iter().find(|name| **name == slug);
    let number = || slug.strip_prefix("camera-")?.parse::<usize>().ok();
    named.or_else(|| names.get(number()?)).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_name_a_picture() {
        let check = |uri: &str, expect: Option<(&str, &str)>| {
            let got = FrameUri::parse(uri).ok();
            let got = got
                .as_ref()
                .map(|it| (it.camera.as_str(), it.file.as_str()));
            assert_eq!(got, expect, "{uri}");
        };
        check(
            "opennvr://frames/camera_0/latest.jpg",
            Some(("camera_0", "latest.jpg")),
        );
        check(
            "opennvr://camera_0/latest.jpg",
            Some(("camera_0", "latest.jpg")),
        );
        check(
            "opennvr://frames/front/person.jpg",
            Some(("front", "person.jpg")),
        );
        check(
            "opennvr://frames/latest.jpg",
            Some(("frames", "latest.jpg")),
        );
        for bad in [
            "",
            "opennvr://",
            "opennvr://frames/",
            "opennvr://frames/camera_0",
            "opennvr://frames/camera_0/",
            "opennvr://frames//latest.jpg",
            "opennvr://frames/a/b/latest.jpg",
            "opennvr://frames/../latest.jpg",
            "opennvr://frames/camera_0/../../etc/passwd",
            "opennvr://frames/camera_0/..%2f..%2fetc%2fpasswd.jpg",
            "opennvr://frames/camera_0/.jpg",
            "opennvr://frames/camera_0/a..b.jpg",
            "opennvr://frames/camera_0/a\\b.jpg",
            "opennvr://frames/camera_0/a\0.jpg",
            "opennvr://frames/camera_0/latest.png",
            "opennvr://frames/camera_0/latest.jpg?x=1",
            "opennvr://frames/c%61mera/latest.jpg",
            "OPENNVR://frames/camera_0/latest.jpg",
            "file:///etc/passwd",
            "http://169.254.169.254/latest.jpg",
            "camera_0/latest.jpg",
        ] {
            check(bad, None);
        }
        check(&format!("opennvr://{}/latest.jpg", "a".repeat(300)), None);
        assert!(
            FrameUri::parse("x")
                .unwrap_err()
                .starts_with("Invalid frame URI")
        );
    }

    #[test]
    fn cameras_are_meant_by_name_before_number() {
        let check = |words: &str, names: &[&str], expect: Option<&str>| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(camera_meant(words, &names), expect, "{words} {names:?}");
        };
        check("front", &["back", "front"], Some("front"));
        check("camera_0", &["back", "front"], Some("back"));
        check("camera_1", &["back", "front"], Some("front"));
        check("camera_2", &["back", "front"], None);
        check("camera_0", &["a", "camera-0"], Some("camera-0"));
        check("Front_Door", &["front-door"], Some("front-door"));
        check("camera_-1", &["a"], None);
        check("camera_99999999999999999999", &["a"], None);
        check("0", &["a"], None);
        check("camera_0", &[], None);
    }
}
