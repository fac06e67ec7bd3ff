//! What a camera's URI says: which backend, its options, and the credentials, which are split off at once.

use std::fmt;
use std::path::PathBuf;

use url::Url;

use crate::scene::{Pattern, SceneOptions};

/// Schemes that the element speaks.
pub const SCHEMES: &[&str] = &["rtsp", "rtsps", "file", "test"];

/// User name and password of a camera; neither shows up in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// User name, decoded.
    pub user: String,
    /// Password, decoded.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials { … }")
    }
}

/// Where the pictures come from.
#[derive(Debug, Clone, PartialEq)]
pub enum Source {
    /// A network camera; the URL holds no credentials.
    Rtsp(Url),
    /// A video file.
    File(FileOptions),
    /// A scene that the element draws itself.
    Scene(SceneOptions),
}

impl Source {
    /// Whether pictures come at the pace of the clock, so that a pipeline is live.
    pub fn is_live(&self) -> bool {
        match self {
            Self::Rtsp(_) => true,
            Self::File(file) => file.realtime,
            Self::Scene(scene) => scene.realtime,
        }
    }
}

/// A video file and how to play it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOptions {
    /// The file.
    pub path: PathBuf,
    /// Begin again at the end.
    pub looped: bool,
    /// Play at the pace of the clock, not as fast as the pipeline takes it.
    pub realtime: bool,
}

/// A URI taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraUri {
    /// Where the pictures come from.
    pub source: Source,
    /// What the URI said before the `@`.
    pub credentials: Option<Credentials>,
}

/// Why a URI is of no use; the text holds no credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UriError(String);

impl fmt::Display for UriError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UriError {}

fn error<T>(text: impl Into<String>) -> Result<T, UriError> {
    Err(UriError(text.into()))
}

/// Takes a URI apart; an absolute path without a scheme is a file.
///
/// # Errors
/// One sentence that names what is wrong and what would be right, without credentials.
pub fn parse(text: &str) -> Result<CameraUri, UriError> {
    if text.starts_with('/') {
        return Ok(CameraUri {
            source: Source::File(FileOptions {
                path: PathBuf::from(text),
                looped: false,
                realtime: false,
            }),
            credentials: None,
        });
    }
    let mut url = Url::parse(text).map_err(|reason| UriError(format!("not a URI: {reason}")))?;
    let credentials = take_credentials(&mut url)?;
    let source = match url.scheme() {
        "rtsp" | "rtsps" => rtsp(url)?,
        "file" => file(&url)?,
        "test" => scene(&url)?,
        other => {
            return error(format!(
                "scheme {other:?} is not known; known are {}",
                SCHEMES.join(", ")
            ));
        }
    };
    Ok(CameraUri {
        source,
        credentials,
    })
}

/// The URI without what stands before the `@` of its authority, whether or not the rest can be parsed.
pub fn redact(text: &str) -> String {
    let Some(start) = text.find("://").map(|at| at + 3) else {
        return text.to_owned();
    };
    // A password with an unescaped `/`, `?` or `#` ends the authority too early for a strict parser:
    // everything up to the last `@` goes, rather than a part of a password stays.
    match text[start..].rfind('@') {
        Some(at) if !text.starts_with("file:") => {
            format!("{}{}", &text[..start], &text[start + at + 1..])
        }
        _ => text.to_owned(),
    }
}

fn take_credentials(url: &mut Url) -> Result<Option<Credentials>, UriError> {
    if url.username().is_empty() && url.password().is_none() {
        return Ok(None);
    }
    let credentials = Credentials {
        user: percent_decode(url.username())?,
        password: percent_decode(url.password().unwrap_or_default())?,
    };
    let cleared = url.set_username("").and_then(|()| url.set_password(None));
    if cleared.is_err() {
        return error(format!("scheme {:?} takes no user name", url.scheme()));
    }
    Ok(Some(credentials))
}

fn percent_decode(text: &str) -> Result<String, UriError> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        if let Some(byte) = hex {
            out.push(byte);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(out).or_else(|_| error("the user name or password is not UTF-8"))
}

fn rtsp(mut url: Url) -> Result<Source, UriError> {
    if url.host_str().is_none_or(str::is_empty) {
        return error("an rtsp:// URI needs a host, as in rtsp://192.0.2.7/stream");
    }
    url.set_fragment(None);
    Ok(Source::Rtsp(url))
}

fn file(url: &Url) -> Result<Source, UriError> {
    if url.fragment().is_some() {
        return error("a \"#\" in a file's name is written %23");
    }
    let Ok(path) = url.to_file_path() else {
        return error("a file URI is written file:///absolute/path");
    };
    let mut options = FileOptions {
        path,
        looped: false,
        realtime: false,
    };
    for (key, value) in url.query_pairs() {
        match &*key {
            "loop" => options.looped = switch(&key, &value)?,
            "realtime" => options.realtime = switch(&key, &value)?,
            _ => return unknown_option(&key, &["loop", "realtime"]),
        }
    }
    Ok(Source::File(options))
}

fn scene(url: &Url) -> Result<Source, UriError> {
    let pattern = match url.host_str().unwrap_or_default() {
        "ball" => Pattern::Ball,
        "visits" => Pattern::Visits,
        other => {
            return error(format!(
                "test scene {other:?} is not known; known are ball, visits"
            ));
        }
    };
    if !matches!(url.path(), "" | "/") {
        return error("a test scene has no path: options follow the ?");
    }
    let mut scene = SceneOptions::of(pattern);
    for (key, value) in url.query_pairs() {
        match &*key {
            "width" => scene.width = even(&key, &value, 64, 3840)?,
            "height" => scene.height = even(&key, &value, 64, 2160)?,
            "fps" => scene.fps = number(&key, &value, 1, 120)?,
            "period" => scene.period_ms = millis(&key, &value)?,
            "visit" => scene.visit_ms = millis(&key, &value)?,
            "seed" => scene.seed = number(&key, &value, 0, u64::MAX)?,
            "frames" => scene.frames = number(&key, &value, 0, u64::MAX)?,
            "realtime" => scene.realtime = switch(&key, &value)?,
            _ => {
                return unknown_option(
                    &key,
                    &[
                        "width", "height", "fps", "period", "visit", "seed", "frames", "realtime",
                    ],
                );
            }
        }
    }
    if scene.visit_ms > scene.period_ms {
        return error("visit may not be longer than period");
    }
    Ok(Source::Scene(scene))
}

fn unknown_option<T>(key: &str, known: &[&str]) -> Result<T, UriError> {
    error(format!(
        "option {key:?} is not known; known are {}",
        known.join(", ")
    ))
}

fn switch(key: &str, value: &str) -> Result<bool, UriError> {
    match value {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => error(format!(
            "option {key:?} is true or false, but reads {value:?}"
        )),
    }
}

fn number<T>(key: &str, value: &str, low: T, high: T) -> Result<T, UriError>
where
    T: std::str::FromStr + PartialOrd + fmt::Display,
{
    match value.parse::<T>() {
        Ok(n) if n >= low && n <= high => Ok(n),
        _ => error(format!(
            "option {key:?} is a whole number from {low} to {high}, but reads {value:?}"
        )),
    }
}

fn even(key: &str, value: &str, low: usize, high: usize) -> Result<usize, UriError> {
    let n = number(key, value, low, high)?;
    if n % 2 == 1 {
        return error(format!("option {key:?} is an even number of pixels"));
    }
    Ok(n)
}

/// Seconds, perhaps with a fraction, as milliseconds.
fn millis(key: &str, value: &str) -> Result<u64, UriError> {
    match value.parse::<f64>() {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range is checked right here"
        )]
        Ok(s) if (0.1..=86_400.0).contains(&s) => Ok((s * 1000.0).round() as u64),
        _ => error(format!(
            "option {key:?} is seconds from 0.1 to 86400, but reads {value:?}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file_of(text: &str) -> FileOptions {
        match parse(text).unwrap().source {
            Source::File(file) => file,
            other => panic!("{other:?} is no file"),
        }
    }

    #[test]
    fn files_carry_options_and_escapes() {
        let file = file_of("file:///a%20b/c%23%3F1.mp4?loop=true&realtime=0");
        assert_eq!(file.path, PathBuf::from("/a b/c#?1.mp4"));
        assert!(file.looped && !file.realtime);
        assert_eq!(
            file_of("/clips/100%.mp4").path,
            PathBuf::from("/clips/100%.mp4")
        );
    }

    #[test]
    fn credentials_leave_the_url_and_every_text() {
        let uri = parse("rtsp://ad%40min:p%2Fw%25@cam:8554/live?channel=1").unwrap();
        let credentials = uri.credentials.clone().unwrap();
        assert_eq!(
            (credentials.user.as_str(), credentials.password.as_str()),
            ("ad@min", "p/w%")
        );
        assert!(!format!("{uri:?}").contains("min"));
        let Source::Rtsp(url) = uri.source else {
            panic!("no RTSP")
        };
        assert_eq!(url.as_str(), "rtsp://cam:8554/live?channel=1");
    }

    #[test]
    fn redaction_needs_no_valid_uri() {
        for (raw, clean) in [
            ("rtsp://u:p@cam/x", "rtsp://cam/x"),
            ("rtsp://u:p/@#w@cam/x?y=1", "rtsp://cam/x?y=1"),
            ("rtsp://cam/x", "rtsp://cam/x"),
            ("file:///a@b.mp4", "file:///a@b.mp4"),
            ("test://ball", "test://ball"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(redact(raw), clean);
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("http://cam/x", "known are rtsp, rtsps, file, test"),
            ("rtsps:///x", "needs a host"),
            ("test://cat", "known are ball, visits"),
            ("test://ball?colour=red", "known are width, height"),
            ("test://visits?fps=0", "from 1 to 120"),
            ("test://visits?width=65", "even number"),
            ("test://visits?period=2&visit=3", "longer than period"),
            ("test://visits?visit=NaN", "seconds"),
            ("test://ball/x", "no path"),
            ("file:///a#b.mp4", "%23"),
            ("file:///a.mp4?loop=maybe", "true or false"),
            ("file:///a.mp4?speed=2", "known are loop, realtime"),
            ("file://otherhost/a.mp4", "absolute/path"),
            ("a.mp4", "not a URI"),
            ("", "not a URI"),
        ] {
            let found = parse(text).unwrap_err().to_string();
            assert!(found.contains(part), "{text}: {found}");
        }
    }

    #[test]
    fn scenes_read_their_options() {
        let text = "test://visits?width=320&height=240&fps=10&period=2.5&visit=1&seed=7&frames=60&realtime=false";
        let Source::Scene(scene) = parse(text).unwrap().source else {
            panic!("no scene")
        };
        assert_eq!(
            scene,
            SceneOptions {
                pattern: Pattern::Visits,
                width: 320,
                height: 240,
                fps: 10,
                period_ms: 2500,
                visit_ms: 1000,
                seed: 7,
                frames: 60,
                realtime: false,
            }
        );
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics_and_no_secret_stays(secret in "[a-z]{8}", text in ".{0,40}") {
            drop(parse(&text));
            drop(parse(&format!("rtsp://user:{secret}@{text}")));
            let clean = redact(&format!("rtsp://user:{secret}@cam/"));
            proptest::prop_assert!(!clean.contains(&secret));
        }
    }
}
