//! A secret in every place that takes one: no answer, no log line at the finest level and no stored row tells it.
#![allow(
    clippy::too_many_lines,
    reason = "a story is easier to follow in one piece"
)]

use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tracing_subscriber::fmt::MakeWriter;

use super::World;
use super::people::{PASSWORD, ask};
use crate::api::table;

/// What is looked for.
const CANARY: &str = "cAnArY";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn secret(what: &str) -> String {
    format!("{CANARY}-{what}-0123456789")
}

#[tokio::test]
async fn no_secret_is_told_anywhere() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    tracing::trace!("the log is read");

    let world = World::new();
    let root = world.root().await;
    let mut told = Vec::new();
    let mut answers = 0;
    let mut check = |what: &str, text: &str| {
        answers += 1;
        if text.contains(CANARY) {
            told.push(format!("{what}: {text}"));
        }
    };
    let post = async |method: &str, path: &str, body: Value| {
        world.with_token(&root, method, path, Some(&body)).await
    };

    // Right and wrong requests that carry a secret in each field that takes one.
    let camera = json!({"name": "front", "user": "u", "password": secret("camera"), "enabled": false,
        "uri": format!("rtsp://{}:{}@10.0.0.5/x", "u", secret("uri"))});
    let requests = [
        ("POST", "/api/v1/cameras", camera.clone()),
        ("POST", "/api/v1/cameras", camera.clone()),
        (
            "POST",
            "/api/v1/cameras",
            json!({"name": "b", "uri": format!("rtsp://u:{}@[bad", secret("bad"))}),
        ),
        (
            "PATCH",
            "/api/v1/cameras/front",
            json!({"password": secret("patch")}),
        ),
        (
            "PATCH",
            "/api/v1/cameras/front",
            json!({"uri": format!("rtsp://u:{}@10.0.0.6/", secret("patch-uri"))}),
        ),
        (
            "PATCH",
            "/api/v1/cameras/front",
            json!({"password": [secret("list")]}),
        ),
        (
            "POST",
            "/api/v1/users",
            json!({"username": "vera", "role": "viewer", "password": secret("user")}),
        ),
        (
            "POST",
            "/api/v1/users",
            json!({"username": "vera", "role": "viewer", "password": secret("user")}),
        ),
        (
            "POST",
            "/api/v1/users",
            json!({"username": "a b", "role": "viewer", "password": secret("user")}),
        ),
        (
            "POST",
            "/api/v1/users",
            json!({"username": "x", "role": "viewer", "password": {"p": secret("map")}}),
        ),
        (
            "POST",
            "/api/v1/auth/login",
            json!({"username": "root", "password": secret("login")}),
        ),
        (
            "POST",
            "/api/v1/auth/login-json",
            json!({"username": "root", "password": secret("login"), "client_secret": secret("client")}),
        ),
        (
            "POST",
            "/api/v1/auth/session",
            json!({"username": "root", "password": secret("session"), "code": secret("code")}),
        ),
        (
            "POST",
            "/api/v1/auth/refresh",
            json!({"refresh_token": secret("refresh")}),
        ),
        (
            "POST",
            "/api/v1/auth/change-password",
            json!({"current_password": secret("a"), "new_password": secret("b")}),
        ),
        (
            "POST",
            "/api/v1/auth/mfa/disable",
            json!({"password": secret("mfa")}),
        ),
        (
            "POST",
            "/api/v1/auth/first-time-setup",
            json!({"token": secret("token"), "username": "x", "password": secret("first")}),
        ),
        (
            "POST",
            "/api/v1/storage/plan",
            json!({"password": secret("nowhere")}),
        ),
    ];
    for (method, path, body) in requests {
        let answer = post(method, path, body).await;
        check(&format!("{method} {path}"), &answer.text());
    }
    for (name, value) in [
        ("x-api-key", format!("nvrd_{}", secret("key"))),
        ("authorization", format!("Bearer {}", secret("bearer"))),
        ("authorization", format!("Basic {}", secret("basic"))),
        ("cookie", format!("nvrd_session=x.{}", secret("cookie"))),
        ("cookie", format!("access_token={}", secret("cookie"))),
    ] {
        let answer = ask(&world, "GET", "/api/v1/cameras", &[(name, &value)], None).await;
        assert_eq!(answer.status, 401, "{value}");
        check(name, &answer.text());
    }
    // The secrets are really there: the camera has a password, and vera can log in.
    world.clock.advance(std::time::Duration::from_secs(120));
    let vera = json!({"username": "vera", "password": secret("user")});
    assert_eq!(post("POST", "/api/v1/auth/login", vera).await.status, 200);
    let input = world.context.cameras.get("front").unwrap().input;
    assert_eq!(input.password.unwrap().expose(), secret("patch-uri"));

    // Everything that can be read.
    let user = world.context.store.users().unwrap()[0].id.clone();
    let rows = table(world.context.clone());
    for (method, template, _) in rows.rows() {
        let path = template.replace("{camera}", "front").replace("{id}", &user);
        if method != "GET" || path.contains('{') {
            continue;
        }
        let asked = world.with_token(&root, "GET", &path, None);
        let Ok(answer) = tokio::time::timeout(std::time::Duration::from_secs(3), asked).await
        else {
            continue;
        };
        check(&path, &answer.text());
    }
    // Graphs as `nvrd render` prints them, of cameras whose URI and fields hold a secret.
    let descriptions = nvr_media::description::Descriptions::load(None).unwrap();
    let mut graphs = 0;
    for description in descriptions.iter() {
        let text = format!(
            "[storage]\npath = \"d\"\n[[camera]]\nname = \"a\"\nuser = \"u\"\npassword = \"{}\"\n\
             uri = \"rtsp://10.0.0.5/x\"\npipeline = \"{}\"\n[[camera]]\nname = \"b\"\n\
             uri = \"rtsp://u:{}@10.0.0.5/x\"\npipeline = \"{}\"\n",
            secret("render"),
            description.name,
            secret("render-uri"),
            description.name
        );
        let config = crate::config::Config::parse(&text, world.folder.path()).unwrap();
        check("configuration", &format!("{config:?}"));
        let specs = match crate::app::specs(&config, world.folder.path()) {
            Ok(specs) => specs,
            // A description may want a model, and says so without the secret.
            Err(error) => {
                check("specs", &error.to_string());
                continue;
            }
        };
        for spec in specs {
            let password = &spec.credentials.as_ref().unwrap().password;
            assert!(password.expose().contains(CANARY));
            let codec = nvr_contract::source::VideoCodec::H264;
            let graph =
                nvr_media::assemble::render(&spec, &spec.pipelines[0], codec, world.folder.path());
            check("render", &graph.unwrap());
            check("spec", &format!("{spec:?}"));
            graphs += 1;
        }
    }
    assert!(graphs >= 4, "{graphs}");
    // A backup holds what it must, and nobody is told of it.
    let made = world
        .with_token(&root, "POST", "/api/v1/system/backup", None)
        .await;
    assert_eq!(made.status, 201, "{}", made.text());
    check("backup", &made.text());
    std::fs::remove_dir_all(world.folder.path().join("backups")).unwrap();
    // What is in the file of the database and its log, byte by byte.
    let mut bytes = Vec::new();
    for entry in std::fs::read_dir(world.folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            bytes.extend(std::fs::read(path).unwrap());
        }
    }
    for (what, bytes) in [("database", bytes), ("log", log.0.lock().unwrap().clone())] {
        assert!(bytes.len() > 100, "{what}");
        let text = String::from_utf8_lossy(&bytes);
        let hits: Vec<&str> = text
            .lines()
            .filter(|line| line.contains(CANARY))
            .take(5)
            .collect();
        assert!(hits.is_empty(), "{what}: {hits:?}");
        assert!(
            !text.contains(PASSWORD),
            "{what} tells the password of root"
        );
    }
    assert!(told.is_empty(), "{}", told.join("\n"));
    assert!(answers > 50, "{answers}");
}
