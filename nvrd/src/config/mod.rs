//! The configuration file: one TOML document, read into types that cannot hold a bad value.

mod camera;
mod units;
mod retention;
mod storage;
mod export;
mod listen;
mod outbound;
mod faces;
mod personality;
mod live;
mod nearest;
mod schema;

use std::path::{Path, PathBuf};

use nvr_base::{Error, Result};
use serde::Deserialize;
use utoipa::ToSchema;

pub use camera::CameraConfig;
pub use export::ExportConfig;
pub use faces::FacesConfig;
pub use listen::{ApiConfig, RtspConfig, TlsConfig};
pub use live::{LiveConfig, NotificationsConfig};
pub use outbound::{Net, OutboundConfig};
pub use personality::{AiAdapterConfig, CloudConfig, PersonalityConfig};
pub use retention::{RetentionConfig, WhenFullConfig};
pub use schema::schema;
pub use storage::{MoreStorage, StorageConfig};
pub use units::{Bytes, Days};

/// The whole configuration.
#[derive(Debug, Clone, PartialEq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where everything is kept.
    pub storage: StorageConfig,
    /// How long recordings are kept.
    #[serde(default)]
    pub retention: RetentionConfig,
    /// The REST API.
    #[serde(default)]
    pub api: ApiConfig,
    /// The RTSP re-stream.
    #[serde(default)]
    pub rtsp: RtspConfig,
    /// The certificate of the listeners.
    #[serde(default)]
    pub tls: TlsConfig,
    /// Pipeline descriptions besides the built-in ones.
    #[serde(default)]
    pub pipelines: PipelinesConfig,
    /// Exports of recordings.
    #[serde(default)]
    pub export: ExportConfig,
    /// Calls that the daemon makes on behalf of clients.
    #[serde(default)]
    pub outbound: OutboundConfig,
    /// Models that tell faces apart.
    #[serde(default)]
    pub faces: FacesConfig,
    /// Listeners that speak the language of other programs.
    #[serde(default)]
    pub personality: PersonalityConfig,
    /// Who may listen to what happens.
    #[serde(default)]
    pub live: LiveConfig,
    /// What people are told of.
    #[serde(default)]
    pub notifications: NotificationsConfig,
    /// The log.
    #[serde(default)]
    pub log: LogConfig,
    /// The cameras of the file; over REST they are read-only.
    #[serde(default, rename = "camera")]
    pub cameras: Vec<CameraConfig>,
    /// Where all of that was read.
    #[serde(skip)]
    pub origin: Origin,
}

/// Where a configuration was read, and what stood there.
#[derive(Clone, PartialEq, Default)]
pub struct Origin {
    /// The file; absent for a text that came from elsewhere.
    pub path: Option<PathBuf>,
    /// What relative paths are meant from.
    pub folder: PathBuf,
    /// What was said, without defaults.
    pub table: toml::Table,
}

impl std::fmt::Debug for Origin {
    /// Without the table, which may hold passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Origin")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// `[pipelines]`
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PipelinesConfig {
    /// Folder with more descriptions (`NAME.toml`); one of the same name replaces a built-in one.
    #[schema(value_type = Option<String>)]
    pub path: Option<PathBuf>,
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// `text` or `json`.
    #[schema(default = "text")]
    pub format: LogFormat,
    /// What is logged, in the syntax of `RUST_LOG`; `info,ort=warn` unless given. The variable `NVRD_LOG` goes before it.
    pub filter: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Text,
            // The runtime of models introduces itself at length.
            filter: "info,ort=warn".to_owned(),
        }
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One line of text per record.
    Text,
    /// One JSON object per record.
    Json,
}

/// An address that it listens on.
struct Listener {
    key: &'static str,
    address: std::net::SocketAddr,
    /// The key that has everybody asked who they are.
    asked_by: &'static str,
    asks: bool,
    is_encrypted: bool,
}

impl Config {
    /// Reads a configuration file; relative paths in it are meant from its folder.
    ///
    /// # Errors
    /// When the file cannot be read, or with every problem it has, each with its key.
    pub fn load(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let config = Self::parse(&text, folder);
        let mut config =
            config.map_err(|error| Error::invalid(format!("{}: {error}", path.display())))?;
        config.origin.path = Some(path.to_owned());
        Ok(config)
    }

    /// Reads a configuration from its text; relative paths are meant from `folder`.
    ///
    /// # Errors
    /// With every problem it has, each with its key.
    pub fn parse(text: &str, folder: &Path) -> Result<Self> {
        let mut config: Self =
            toml::from_str(text).map_err(|error| Error::invalid(nearest::explain(text, &error)))?;
        config.origin.folder = folder.to_owned();
        config.origin.table = toml::from_str(text).map_err(|error| {
            Error::internal(format!("the text changed while it was read: {error}"))
        })?;
        config.storage.path = folder.join(&config.storage.path);
        for more in &mut config.storage.more {
            more.path = folder.join(&more.path);
        }
        config.personality.resolve(folder);
        config.faces.resolve(folder);
        let password = &mut config.storage.database_password_file;
        *password = password.take().map(|path| folder.join(path));
        config.pipelines.path = config.pipelines.path.map(|path| folder.join(path));
        config.outbound.ca_file = config.outbound.ca_file.map(|path| folder.join(path));
        for camera in &mut config.cameras {
            camera.password_file = camera.password_file.take().map(|path| folder.join(path));
        }
        config.tls.resolve(folder);
        let problems = config.problems();
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(Error::invalid(problems.join("\n")))
        }
    }

    /// The values that may be set over REST where the file leaves them open, by key.
    pub fn settable(&self) -> std::collections::BTreeMap<String, serde_json::Value> {
        let (keep, export) = (&self.retention, &self.export);
        let values = serde_json::json!({
            "retention.continuous_days": keep.continuous_days,
            "retention.motion_days": keep.motion_days,
            "retention.event_days": keep.event_days,
            "retention.max_bytes": keep.max_bytes,
            "export.keep_days": export.keep_days,
            "export.keep_count": export.keep_count,
            "export.max_hours": export.max_hours,
            "export.queue": export.queue,
            "log.filter": self.log.filter,
        });
        match values {
            serde_json::Value::Object(values) => values.into_iter().collect(),
            _ => Default::default(),
        }
    }

    /// Every address that it listens on.
    fn listeners(&self) -> Vec<Listener> {
        let adapter = self.personality.listening_adapter();
        let listener = |key, address, (asked_by, asks), is_encrypted| Listener {
            key,
            address,
            asked_by,
            asks,
            is_encrypted,
        };
        let (api, rtsp) = (&self.api, &self.rtsp);
        let of_api = ("api.auth", api.auth);
        let of_rtsp = ("rtsp.auth", rtsp.auth);
        let relay = rtsp.tls_listen;
        let relay = relay.map(|at| listener("rtsp.tls_listen", at, of_rtsp, true));
        let adapter = adapter.map(|it| {
            let asked = ("personality.ai_adapter.auth", it.auth);
            listener("personality.ai_adapter.listen", it.listen, asked, it.tls)
        });
        let first = [
            listener("api.listen", api.listen, of_api, api.tls),
            // Digest: the password itself never travels.
            listener("rtsp.listen", rtsp.listen, of_rtsp, false),
        ];
        first.into_iter().chain(relay).chain(adapter).collect()
    }

    /// What may be meant, and is worth a second look: one sentence each, with its key.
    pub fn warnings(&self) -> Vec<String> {
        let listeners = self.listeners();
        let bare = listeners
            .iter()
            .filter(|it| !it.is_encrypted && !it.address.ip().is_loopback());
        bare.map(|it| {
            let (key, address) = (it.key, it.address);
            match key {
                "rtsp.listen" => format!(
                    "{key}: {address} shows pictures to whoever listens in on the network: rtsp.tls_listen encrypts them"
                ),
                _ => format!(
                    "{key}: {address} takes passwords and keys in the clear: encrypt with {} = true, or put a proxy before it that does",
                    key.replace(".listen", ".tls")
                ),
            }
        })
        .collect()
    }

    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let adapter = self.personality.listening_adapter();
        let all = self.listeners();
        for (index, listener) in all.iter().enumerate() {
            let Listener { key, address, .. } = listener;
            if !address.ip().is_loopback() && !listener.asks {
                problems.push(format!(
                    "{key}: {address} is reached by other machines, so whoever comes there has to log in: set {} = true, or use 127.0.0.1 or ::1",
                    listener.asked_by
                ));
            }
            let taken = all[..index].iter().find(|other| other.address == *address);
            if let Some(other) = taken.filter(|_| address.port() != 0) {
                problems.push(format!("{key}: {address} is {} already", other.key));
            }
        }
        problems.extend(self.api.problems());
        let encrypted = [
            ("api.tls", self.api.tls),
            ("rtsp.tls_listen", self.rtsp.tls_listen.is_some()),
            (
                "personality.ai_adapter.tls",
                adapter.is_some_and(|it| it.tls),
            ),
        ];
        let encrypted = encrypted.into_iter().find(|(_, tls)| *tls);
        problems.extend(self.tls.problems(encrypted.map(|(key, _)| key)));
        problems.extend(self.personality.problems());
        problems.extend(self.faces.problems());
        if let Err(error) = nvr_base::logging::check_filter(&self.log.filter) {
            problems.push(format!("log.filter: {error}"));
        }
        problems.extend(self.storage.problems());
        problems.extend(self.export.problems());
        problems.extend(self.live.problems());
        problems.extend(self.notifications.problems());
        for (index, camera) in self.cameras.iter().enumerate() {
            if let Err(error) = camera.name.parse::<nvr_base::Slug>() {
                problems.push(format!("camera[{index}].name: {error}"));
            }
            if self.cameras[..index]
                .iter()
                .any(|other| other.name == camera.name)
            {
                problems.push(format!(
                    "camera[{index}].name: {:?} is given twice",
                    camera.name
                ));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    fn check(text: &str, expect: &expect_test::Expect) {
        let error = Config::parse(text, Path::new("/etc/nvrd"))
            .expect_err("a bad configuration")
            .to_string();
        expect.assert_eq(&error);
    }

    #[test]
    fn the_documented_file_is_whole() {
        let text = r#"
            [storage]
            path = "data"
            [[camera]]
            name = "front"
            uri = "rtsp://10.0.0.5/stream1"
            password_file = "front.password"
            pipeline = "detect"
            params = { threshold = 0.4 }
        "#;
        let config = Config::parse(text, Path::new("/etc/nvrd")).unwrap();
        assert_eq!(config.storage.path, Path::new("/etc/nvrd/data"));
        assert_eq!(config.api.listen.to_string(), "127.0.0.1:8000");
        assert_eq!(config.rtsp.listen.to_string(), "127.0.0.1:8554");
        assert_eq!(config.cameras[0].pipeline, "detect");
        assert_eq!(
            config.cameras[0].password_file.as_deref(),
            Some(Path::new("/etc/nvrd/front.password"))
        );
        assert!(config.cameras[0].enabled);
    }

    #[test]
    fn typos_are_errors_that_name_the_nearest_key() {
        check(
            "[stroage]\npath = \"data\"",
            &expect![[r#"
                line 1, column 2: unknown key `stroage`; did you mean `storage`?"#]],
        );
        check(
            "[storage]\npath = \"d\"\n[[camera]]\nname = \"a\"\nurl = \"rtsp://h/\"",
            &expect![[r#"
                line 5, column 1: unknown key `url`; did you mean `uri`?"#]],
        );
    }

    #[test]
    fn other_machines_are_served_where_everybody_logs_in() {
        let parse = |text: &str| {
            let text = format!("[storage]\npath = \"d\"\n{text}");
            Config::parse(&text, Path::new("/etc/nvrd"))
        };
        let open = [
            ("[api]\nlisten = \"[::]:8000\"", "api.listen", "api.auth"),
            (
                "[rtsp]\nlisten = \"192.0.2.1:8554\"",
                "rtsp.listen",
                "rtsp.auth",
            ),
            (
                "[tls]\nself_signed = true\n[rtsp]\ntls_listen = \"0.0.0.0:322\"",
                "rtsp.tls_listen",
                "rtsp.auth",
            ),
            (
                "[personality.ai_adapter]\nlisten = \"0.0.0.0:9100\"",
                "personality.ai_adapter.listen",
                "personality.ai_adapter.auth",
            ),
        ];
        for (text, key, asked_by) in open {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
            assert!(error.contains(&format!("set {asked_by} = true")), "{error}");
            let config = parse(&format!("{text}\nauth = true")).unwrap();
            let is_encrypted = text.contains("tls_listen");
            let warned = config.warnings().iter().any(|it| it.starts_with(key));
            assert_eq!(warned, !is_encrypted, "{key}");
        }
        assert_eq!(parse("").unwrap().warnings(), Vec::<String>::new());
    }

    #[test]
    fn every_problem_is_told_with_its_key() {
        check(
            "[storage]\npath = \"d\"\n[api]\nlisten = \"0.0.0.0:8000\"\n[[camera]]\nname = \"A b\"\nuri = \"rtsp://h/\"\n[[camera]]\nname = \"x\"\nuri = \"test://ball\"\n[[camera]]\nname = \"x\"\nuri = \"test://ball\"",
            &expect![[r#"
                api.listen: 0.0.0.0:8000 is reached by other machines, so whoever comes there has to log in: set api.auth = true, or use 127.0.0.1 or ::1
                camera[0].name: "A b" is no camera name: use 1 to 64 of a-z, 0-9 and -, with a letter or digit at both ends
                camera[2].name: "x" is given twice"#]],
        );
    }

    #[test]
    fn retention_is_read_and_refused_with_its_key() {
        let text = |retention: &str| format!("[storage]\npath = \"d\"\n{retention}");
        let good = text(
            "max_bytes = \"1 TB\"\nmin_free = \"5 GiB\"\nwhen_full = \"delete_protected\"\n\
             [[storage.more]]\npath = \"e\"\nmax_bytes = 1000\n\
             [retention]\ncontinuous_days = 0.5\nevent_days = 90\n\
             [[camera]]\nname = \"a\"\nuri = \"test://ball\"\n[camera.retention]\nevent_days = 7\nmax_bytes = \"1 GB\"",
        );
        let config = Config::parse(&good, Path::new("/etc/nvrd")).unwrap();
        assert_eq!(config.storage.max_bytes.unwrap().get(), 1_000_000_000_000);
        assert_eq!(config.storage.when_full, WhenFullConfig::DeleteProtected);
        assert_eq!(config.storage.more[0].path, Path::new("/etc/nvrd/e"));
        let limits = config.cameras[0].retention.or(config.retention).limits();
        let day = 86_400_000_000_i64;
        assert_eq!(limits.age_us, [Some(day / 2), None, Some(7 * day)]);
        assert_eq!(limits.max_bytes, Some(1_000_000_000));
        check(
            &text("[retention]\nmotion_days = -1"),
            &expect![[r#"
                line 4, column 15: motion_days: -1 is no number of days: use one above 0 and up to 36500, or leave the key out to keep recordings whatever their age"#]],
        );
        check(
            &text("min_free = \"lots\""),
            &expect![[r#"
                line 3, column 12: min_free: "lots" is no number of bytes: use a number above 0 with B, kB, MB, GB, TB, KiB, MiB, GiB or TiB, such as "500 GB""#]],
        );
        check(
            &text(
                "[[camera]]\nname = \"a\"\nuri = \"test://ball\"\nretention = { event_days = 3, motion_days = 0 }",
            ),
            &expect![[r#"
                line 6, column 45: motion_days: 0 is no number of days: use one above 0 and up to 36500, or leave the key out to keep recordings whatever their age"#]],
        );
        check(
            &text("when_full = \"panic\""),
            &expect![[r#"
                line 3, column 13: unknown variant `panic`, expected `stop` or `delete_protected`"#]],
        );
    }

    #[test]
    fn listeners_are_bounded_and_certificates_whole() {
        let text = |more: &str| format!("[storage]\npath = \"d\"\n{more}");
        let good = text(
            "[api]\ntls = true\nidle_s = 75\n[tls]\ncertificate = \"c.pem\"\nkey = \"/k.pem\"",
        );
        let config = Config::parse(&good, Path::new("/etc/nvrd")).unwrap();
        assert_eq!(config.api.idle_time().as_secs(), 75);
        assert_eq!(
            config.tls.certificate.as_deref(),
            Some(Path::new("/etc/nvrd/c.pem"))
        );
        assert_eq!(config.tls.key.as_deref(), Some(Path::new("/k.pem")));
        check(
            &text("[api]\nconnections = 1\nconnections_per_address = 0\nidle_s = 0\ntls = true"),
            &expect![[r#"
                api.connections: 1 is out of range: use 16 to 65536
                api.connections_per_address: 0 is out of range: use 1 to 65536
                api.idle_s: 0 is out of range: use 1 to 3600
                api.tls: there is no certificate: give tls.certificate and tls.key, or tls.self_signed = true"#]],
        );
        check(
            &text("[tls]\ncertificate = \"c\""),
            &expect!["tls.key: missing: give the private key of tls.certificate"],
        );
        check(
            &text("[tls]\nkey = \"k\"\nnames = [\"a\"]"),
            &expect![[r#"
                tls.certificate: missing: give the certificate of tls.key
                tls.names: they are for tls.self_signed = true only"#]],
        );
        check(
            &text("[tls]\ncertificate = \"c\"\nkey = \"k\"\nself_signed = true"),
            &expect!["tls.self_signed: there is tls.certificate already: leave one of them out"],
        );
    }

    #[test]
    fn wrong_types_name_the_place() {
        check(
            "[storage]\npath = 5",
            &expect![[r#"
                line 2, column 8: invalid type: integer `5`, expected path string"#]],
        );
    }
}
