//! What a controller says of itself and its cameras; everything in it is data of somebody else.

use serde::Deserialize;
use serde_json::Value;

/// Most cameras of one controller.
const MAX_CAMERAS: usize = 256;
/// Longest text that is taken over, characters.
const MAX_TEXT: usize = 100;
/// Most kinds of things that a camera detects by itself.
const MAX_KINDS: usize = 32;

/// A controller as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bootstrap {
    /// Version of its software.
    pub(super) version: Option<String>,
    /// Port of its RTSP server.
    pub(super) rtsp: Option<u16>,
    /// Port of its RTSP server over TLS.
    pub(super) rtsps: Option<u16>,
    pub(super) cameras: Vec<DeviceCamera>,
}

/// A camera as its controller describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceCamera {
    /// What the controller calls it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Its model.
    pub model: Option<String>,
    /// Whether the controller reaches it.
    pub is_online: bool,
    /// Whether it is a doorbell.
    pub is_doorbell: bool,
    /// What it detects by itself.
    pub detects: Vec<String>,
    /// Its streams, the largest first.
    pub(super) channels: Vec<Channel>,
}

/// A stream that RTSP is switched on for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Channel {
    pub(super) alias: String,
    pub(super) pixels: u64,
}

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    nvr: RawNvr,
    cameras: Vec<Value>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct RawNvr {
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    firmware_version: Option<String>,
    #[serde(default)]
    ports: Option<RawPorts>,
}

#[derive(Deserialize)]
struct RawPorts {
    #[serde(default)]
    rtsp: Option<u16>,
    #[serde(default)]
    rtsps: Option<u16>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawCamera {
    id: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    market_name: Option<String>,
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    feature_flags: RawFlags,
    #[serde(default)]
    channels: Vec<RawChannel>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct RawFlags {
    #[serde(default)]
    is_doorbell: bool,
    #[serde(default)]
    has_chime: bool,
    #[serde(default)]
    smart_detect_types: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawChannel {
    #[serde(default)]
    rtsp_alias: Option<String>,
    #[serde(default)]
    is_rtsp_enabled: bool,
    #[serde(default)]
    width: u32,
    #[serde(default)]
    height: u32,
}

impl Bootstrap {
    /// Reads what a controller answered; a camera that cannot be read is left out.
    ///
    /// # Errors
    /// One sentence when it is no such answer at all.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, &'static str> {
        let raw: Raw = serde_json::from_slice(bytes)
            .map_err(|_| "it does not answer like a Protect controller")?;
        let (rtsp, rtsps) = match raw.nvr.ports {
            None => (Some(7447), Some(7441)),
            Some(ports) => (ports.rtsp, ports.rtsps),
        };
        let cameras = raw
            .cameras
            .into_iter()
            .take(MAX_CAMERAS)
            .filter_map(|camera| serde_json::from_value(camera).ok())
            .filter_map(camera_of)
            .collect();
        Ok(Self {
            version: raw.nvr.version.or(raw.nvr.firmware_version).map(short),
            rtsp: rtsp.filter(|port| *port != 0),
            rtsps: rtsps.filter(|port| *port != 0),
            cameras,
        })
    }
}

fn camera_of(raw: RawCamera) -> Option<DeviceCamera> {
    if !is_word(&raw.id) {
        return None;
    }
    let model = raw.market_name.or(raw.kind).map(short);
    let doorbell = |model: &String| model.to_lowercase().contains("doorbell");
    let mut channels: Vec<Channel> = raw
        .channels
        .into_iter()
        .filter(|channel| channel.is_rtsp_enabled)
        .filter_map(|channel| {
            Some(Channel {
                alias: channel.rtsp_alias.filter(|alias| is_word(alias))?,
                pixels: u64::from(channel.width) * u64::from(channel.height),
            })
        })
        .take(16)
        .collect();
    channels.sort_by_key(|channel| std::cmp::Reverse(channel.pixels));
    let detects = raw.feature_flags.smart_detect_types.into_iter();
    Some(DeviceCamera {
        name: raw
            .name
            .map(short)
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| raw.id.clone()),
        is_online: raw.state.as_deref() == Some("CONNECTED"),
        is_doorbell: raw.feature_flags.is_doorbell
            || raw.feature_flags.has_chime
            || model.as_ref().is_some_and(doorbell),
        detects: detects.take(MAX_KINDS).map(short).collect(),
        id: raw.id,
        model,
        channels,
    })
}

/// Whether a text may stand in a path as it is.
pub(super) fn is_word(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

fn short(text: String) -> String {
    let visible = text.chars().filter(|c| !c.is_control());
    visible.take(MAX_TEXT).collect::<String>().trim().to_owned()
}

impl DeviceCamera {
    /// Where its largest stream is, and its smallest where that is another one; none where RTSP is switched off.
    pub(super) fn places(&self, host: &str, ports: &Bootstrap) -> Option<(String, Option<String>)> {
        // The one that nobody else can read goes first.
        let (scheme, port) = match (ports.rtsps, ports.rtsp) {
            (Some(port), _) => ("rtsps", port),
            (None, Some(port)) => ("rtsp", port),
            (None, None) => return None,
        };
        let place = |channel: &Channel| format!("{scheme}://{host}:{port}/{}", channel.alias);
        let (largest, smallest) = (self.channels.first()?, self.channels.last()?);
        let smaller = smallest.pixels < largest.pixels;
        Some((place(largest), smaller.then(|| place(smallest))))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_largest_and_the_smallest_stream_are_found() {
        let told = json!({
            "nvr": {"version": "4.0.21", "ports": {"rtsp": 7447, "rtsps": 7441}},
            "cameras": [
                {"id": "a1", "name": "Front Door", "type": "UVC G4 Doorbell", "state": "CONNECTED",
                 "featureFlags": {"smartDetectTypes": ["person", "package"]},
                 "channels": [
                    {"id": 2, "width": 640, "height": 360, "isRtspEnabled": true, "rtspAlias": "low"},
                    {"id": 0, "width": 1600, "height": 1200, "isRtspEnabled": true, "rtspAlias": "high"},
                    {"id": 1, "width": 4000, "height": 3000, "isRtspEnabled": false, "rtspAlias": "off"},
                    {"id": 3, "width": 9, "height": 9, "isRtspEnabled": true, "rtspAlias": "../../etc"},
                    {"id": 4, "width": 9, "height": 9, "isRtspEnabled": true, "rtspAlias": null}]},
                {"id": "b2", "state": "DISCONNECTED", "channels": []},
                {"id": "../x"}, {"name": "no id"}, 7, null,
            ],
        });
        let got = Bootstrap::read(told.to_string().as_bytes()).unwrap();
        assert_eq!(got.version.as_deref(), Some("4.0.21"));
        let [door, shed] = &got.cameras[..] else {
            panic!("{:?}", got.cameras)
        };
        assert!(door.is_online && door.is_doorbell && !shed.is_online && !shed.is_doorbell);
        assert_eq!(door.detects, ["person", "package"]);
        assert_eq!(shed.name, "b2");
        assert_eq!(
            door.places("10.0.0.1", &got),
            Some((
                "rtsps://10.0.0.1:7441/high".to_owned(),
                Some("rtsps://10.0.0.1:7441/low".to_owned())
            ))
        );
        assert_eq!(shed.places("10.0.0.1", &got), None);
        let plain = Bootstrap {
            rtsps: None,
            ..got.clone()
        };
        assert!(
            door.places("h", &plain)
                .unwrap()
                .0
                .starts_with("rtsp://h:7447/")
        );
        let none = Bootstrap {
            rtsps: None,
            rtsp: None,
            ..got.clone()
        };
        assert_eq!(door.places("h", &none), None);
    }

    #[test]
    fn anything_else_is_no_controller() {
        for bad in [
            "",
            "[]",
            "{}",
            "<html>",
            r#"{"cameras": 5}"#,
            r#"{"cameras": [], "nvr": {"ports": {"rtsp": "x"}}}"#,
        ] {
            assert!(Bootstrap::read(bad.as_bytes()).is_err(), "{bad}");
        }
        let bare = Bootstrap::read(br#"{"cameras": []}"#).unwrap();
        assert_eq!((bare.rtsp, bare.rtsps), (Some(7447), Some(7441)));
        let many: Vec<Value> = (0..5000)
            .map(|n| json!({"id": format!("c{n}"), "name": "ä".repeat(5000)}))
            .collect();
        let many = Bootstrap::read(json!({"cameras": many}).to_string().as_bytes()).unwrap();
        assert_eq!(many.cameras.len(), MAX_CAMERAS);
        assert!(
            many.cameras
                .iter()
                .all(|camera| camera.name.chars().count() <= MAX_TEXT)
        );
    }
}
