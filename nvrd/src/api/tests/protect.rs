//! Controllers over REST, with a device that speaks the API of Protect over TLS in their place.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::World;
use crate::outbound::stub::{Asked, Stub, Told};

const PASSWORD: &str = "canary-0815";

/// A device, and what a test does to it.
#[derive(Clone, Default)]
struct Device {
    away: Arc<AtomicBool>,
    log_ins: Arc<AtomicU32>,
    /// Sessions before this one have ended.
    oldest: Arc<AtomicU32>,
    cameras: Arc<Mutex<Vec<Value>>>,
}

fn door() -> Value {
    json!({
        "id": "a1", "name": "Front Door", "marketName": "G4 Doorbell", "state": "CONNECTED",
        "featureFlags": {"smartDetectTypes": ["person", "package"]},
        "channels": [
            {"width": 640, "height": 360, "isRtspEnabled": true, "rtspAlias": "low"},
            {"width": 1600, "height": 1200, "isRtspEnabled": true, "rtspAlias": "high"},
        ],
    })
}

fn shed() -> Value {
    json!({"id": "b2", "name": "Shed", "type": "UVC G3", "state": "DISCONNECTED", "channels": []})
}

impl Device {
    async fn start(&self) -> Stub {
        *self.cameras.lock().unwrap() = vec![door(), shed()];
        let this = self.clone();
        Stub::start_tls(move |asked| this.answer(asked)).await
    }

    fn answer(&self, asked: &Asked) -> Told {
        if self.away.load(Ordering::SeqCst) {
            return Told::json(502, &json!({"error": PASSWORD}));
        }
        match asked.path.as_str() {
            "/api/auth/login" => {
                let body = asked.json();
                if (&body["username"], &body["password"]) != (&json!("admin"), &json!(PASSWORD)) {
                    return Told::json(401, &json!({"message": PASSWORD}));
                }
                let session = self.log_ins.fetch_add(1, Ordering::SeqCst) + 1;
                Told::json(200, &json!({}))
                    .with("set-cookie", &format!("TOKEN=s{session}; Path=/; HttpOnly"))
                    .with("x-csrf-token", "csrf-1")
            }
            "/proxy/protect/api/bootstrap" => {
                let oldest = self.oldest.load(Ordering::SeqCst);
                let cookie = asked
                    .headers
                    .get("cookie")
                    .map(String::as_str)
                    .unwrap_or_default();
                let session: u32 = cookie
                    .strip_prefix("TOKEN=s")
                    .unwrap_or("0")
                    .parse()
                    .unwrap();
                if session == 0 || session < oldest || asked.headers["x-csrf-token"] != "csrf-1" {
                    return Told::json(401, &json!({}));
                }
                Told::json(
                    200,
                    &json!({
                        "nvr": {"version": "4.0.21", "ports": {"rtsp": 7447, "rtsps": 7441}},
                        "cameras": *self.cameras.lock().unwrap(),
                    }),
                )
            }
            _ => Told::json(404, &json!({})),
        }
    }
}

fn body(stub: &Stub) -> Value {
    json!({
        "name": "home", "host": "127.0.0.1", "port": stub.address.port(), "username": "admin", "password": PASSWORD,
    })
}

async fn add(world: &World, stub: &Stub) -> String {
    let made = world
        .send("POST", "/api/v1/protect/controllers", &body(stub))
        .await;
    assert_eq!(made.status, 201, "{}", made.text());
    let id = made.json()["data"]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/protect/controllers/{id}");
    assert_eq!(made.header("location"), Some(path.as_str()));
    path
}

#[tokio::test]
async fn a_controller_lives_and_keeps_its_password_to_itself() {
    let world = World::new();
    let device = Device::default();
    let stub = device.start().await;
    let path = add(&world, &stub).await;
    let id = path.rsplit('/').next().unwrap();

    let shown = world.json(&path).await;
    let moment = "2026-01-01T00:00:00Z";
    assert_eq!(
        shown["data"],
        json!({
            "id": id, "name": "home", "host": "127.0.0.1", "port": stub.address.port(), "username": "admin",
            "verify_ssl": false, "is_connected": false, "is_wanted": true, "last_connected_at": null,
            "last_error": null, "created_at": moment, "updated_at": moment,
        })
    );
    assert_eq!(
        (&shown["meta"]["timestamp"], &shown["meta"]["count"]),
        (&json!(moment), &Value::Null)
    );
    let list = world.json("/api/v1/protect/controllers").await;
    assert_eq!(
        (&list["meta"]["count"], &list["data"][0]["id"]),
        (&json!(1), &json!(id))
    );
    assert_ne!(list["meta"]["request_id"], shown["meta"]["request_id"]);

    let connected = world.ask("POST", &format!("{path}/connect")).await;
    assert_eq!(
        connected.json()["data"],
        json!({"controller_id": id, "status": "connected", "error": null})
    );
    let shown = world.json(&path).await;
    assert_eq!(
        (
            &shown["data"]["is_connected"],
            &shown["data"]["last_connected_at"]
        ),
        (&json!(true), &json!(moment))
    );
    let tested = world.ask("POST", &format!("{path}/test")).await.json();
    assert_eq!(
        tested["data"],
        json!({
            "success": true, "message": "it answers, and has 2 cameras", "firmware_version": "4.0.21",
            "camera_count": 2,
        })
    );
}

#[tokio::test]
async fn the_password_of_a_controller_is_never_told() {
    let world = World::new();
    let device = Device::default();
    let stub = device.start().await;
    let path = add(&world, &stub).await;
    let id = path.rsplit('/').next().unwrap();
    let connected = world.ask("POST", &format!("{path}/connect")).await;
    let stored = world
        .context
        .store
        .controller(id)
        .unwrap()
        .controller
        .password;
    assert!(crate::vault::Vault::is_sealed(&stored) && !stored.contains(PASSWORD));
    let renamed = world.send("PUT", &path, &json!({"name": "house"})).await;
    assert_eq!(renamed.json()["data"]["name"], "house");
    let texts = [
        renamed.text(),
        connected.text(),
        world.ask("GET", &path).await.text(),
        world.ask("GET", "/api/v1/protect/controllers").await.text(),
        world.ask("GET", &format!("{path}/cameras")).await.text(),
    ];
    assert!(
        texts.iter().all(|text| !text.contains(PASSWORD)),
        "{texts:?}"
    );
}

#[tokio::test]
async fn a_controller_is_left_alone_and_goes() {
    let world = World::new();
    let device = Device::default();
    let stub = device.start().await;
    let path = add(&world, &stub).await;
    world.ask("POST", &format!("{path}/connect")).await;
    let left = world
        .ask("POST", &format!("{path}/disconnect"))
        .await
        .json();
    assert_eq!(left["data"]["status"], "disconnected");
    let shown = world.json(&path).await;
    assert_eq!(
        (&shown["data"]["is_connected"], &shown["data"]["is_wanted"]),
        (&json!(false), &json!(false))
    );

    let gone = world.ask("DELETE", &path).await;
    assert_eq!(
        (gone.status, &gone.json()["data"]),
        (200, &json!({"deleted": true}))
    );
    for gone in [
        world.ask("GET", &path).await,
        world.ask("DELETE", &path).await,
        world.send("PUT", &path, &json!({})).await,
        world.ask("POST", &format!("{path}/test")).await,
        world.ask("POST", &format!("{path}/connect")).await,
        world.ask("POST", &format!("{path}/disconnect")).await,
        world.ask("GET", &format!("{path}/cameras")).await,
        world
            .ask("POST", &format!("{path}/cameras/a1/enable"))
            .await,
        world
            .ask("POST", &format!("{path}/cameras/a1/disable"))
            .await,
    ] {
        gone.assert_refused(404, "no controller has the id");
    }
}

#[tokio::test]
async fn the_cameras_of_a_controller_are_listed() {
    let world = World::new();
    let device = Device::default();
    let stub = device.start().await;
    let path = add(&world, &stub).await;
    let listed = world.json(&format!("{path}/cameras")).await;
    assert_eq!(
        listed["data"],
        json!([
            {
                "protect_camera_id": "a1", "name": "Front Door", "type": "doorbell", "model": "G4 Doorbell",
                "is_online": true, "is_doorbell": true, "is_enabled_for_ai": false,
                "smart_detection_capabilities": ["person", "package"], "camera_id": null,
            },
            {
                "protect_camera_id": "b2", "name": "Shed", "type": "camera", "model": "UVC G3", "is_online": false,
                "is_doorbell": false, "is_enabled_for_ai": false, "smart_detection_capabilities": [],
                "camera_id": null,
            },
        ])
    );
    assert_eq!(
        (&listed["meta"]["count"], &listed["meta"]["cached"]),
        (&json!(2), &json!(false))
    );
}

#[tokio::test]
async fn a_lent_camera_gets_a_free_name_and_its_best_streams() {
    let world = World::new();
    let device = Device::default();
    let stub = device.start().await;
    let path = add(&world, &stub).await;
    // A name that is taken gets a number.
    let taken = json!({"name": "front-door", "uri": "rtsp://10.0.0.5/a", "pipeline": "record", "enabled": false});
    assert_eq!(
        world.send("POST", "/api/v1/cameras", &taken).await.status,
        201
    );
    let enable = format!("{path}/cameras/a1/enable");
    let enabled = world.ask("POST", &enable).await;
    assert_eq!(
        enabled.json()["data"],
        json!({"protect_camera_id": "a1", "camera_id": "front-door-2", "is_enabled_for_ai": true}),
        "{}",
        enabled.text()
    );
    let camera = world.json("/api/v1/cameras/front-door-2").await;
    assert_eq!(
        (
            &camera["uri"],
            &camera["sub_uri"],
            &camera["params"],
            &camera["enabled"],
            &camera["pipeline"]
        ),
        (
            &json!("rtsps://127.0.0.1:7441/high"),
            &json!("rtsps://127.0.0.1:7441/low"),
            &json!({"tls-insecure": true}),
            &json!(true),
            &json!("motion")
        )
    );
    // Once more changes nothing, and the list knows.
    assert_eq!(
        world.ask("POST", &enable).await.json()["data"]["camera_id"],
        "front-door-2"
    );
    let listed = world.json(&format!("{path}/cameras")).await;
    assert_eq!(
        (&listed["data"][0]["camera_id"], &listed["meta"]["cached"]),
        (&json!("front-door-2"), &json!(true))
    );

    for (camera, body, status, says) in [
        (
            "b2",
            json!({}),
            409,
            "camera \"Shed\" has no stream: switch RTSP on",
        ),
        ("zz", json!({}), 404, "the controller has no camera \"zz\""),
        (
            "..%2fx",
            json!({}),
            404,
            "the controller has no camera \"../x\"",
        ),
        ("a1", json!({"nmae": "x"}), 400, "unknown field `nmae`"),
    ] {
        let path = format!("{path}/cameras/{camera}/enable");
        world
            .send("POST", &path, &body)
            .await
            .assert_refused(status, says);
    }
}

#[tokio::test]
async fn a_lent_camera_goes_by_itself_or_with_its_controller() {
    let world = World::new();
    let device = Device::default();
    let stub = device.start().await;
    let path = add(&world, &stub).await;
    let taken = json!({"name": "front-door", "uri": "rtsp://10.0.0.5/a", "pipeline": "record", "enabled": false});
    assert_eq!(
        world.send("POST", "/api/v1/cameras", &taken).await.status,
        201
    );
    let enable = format!("{path}/cameras/a1/enable");
    world.ask("POST", &enable).await;
    let disable = format!("{path}/cameras/a1/disable");
    for _ in 0..2 {
        let gone = world.ask("POST", &disable).await.json();
        assert_eq!(gone["data"]["is_enabled_for_ai"], false);
        assert_eq!(
            world
                .ask("GET", "/api/v1/cameras/front-door-2")
                .await
                .status,
            404
        );
    }
    // With a name and a description of one's own, and gone with its controller.
    let wish = json!({"name": "bell", "pipeline": "record"});
    assert_eq!(
        world.send("POST", &enable, &wish).await.json()["data"]["camera_id"],
        "bell"
    );
    assert_eq!(
        world.json("/api/v1/cameras/bell").await["pipeline"],
        "record"
    );
    world.ask("POST", &disable).await;
    for (wish, status, says) in [
        (json!({"name": "front-door"}), 409, "exists already"),
        (json!({"name": "A b"}), 400, "name: "),
        (json!({"pipeline": "nonsense"}), 400, "nonsense"),
    ] {
        world
            .send("POST", &enable, &wish)
            .await
            .assert_refused(status, says);
    }
    world.ask("POST", &enable).await;
    assert_eq!(world.ask("DELETE", &path).await.status, 200);
    assert_eq!(
        world
            .ask("GET", "/api/v1/cameras/front-door-2")
            .await
            .status,
        404
    );
    assert_eq!(world.json("/api/v1/cameras").await["total"], 2);
}

#[tokio::test]
async fn cameras_stay_while_their_controller_is_away_and_follow_it() {
    let world = World::new();
    let device = Device::default();
    let stub = device.start().await;
    let path = add(&world, &stub).await;
    let cameras = format!("{path}/cameras");
    let fresh = format!("{cameras}?force_refresh=true");
    world.ask("POST", &format!("{cameras}/a1/enable")).await;

    device.away.store(true, Ordering::SeqCst);
    let connect = world.ask("POST", &format!("{path}/connect")).await;
    let state = connect.json()["data"].clone();
    assert_eq!(
        (&state["status"], &state["error"]),
        (
            &json!("error"),
            &json!("127.0.0.1: it answers with HTTP 502")
        )
    );
    assert!(!connect.text().contains(PASSWORD));
    let shown = world.json(&path).await["data"].clone();
    assert_eq!(
        (&shown["is_connected"], &shown["last_error"]),
        (&json!(false), &state["error"])
    );
    let listed = world.json(&fresh).await;
    assert_eq!(
        (
            &listed["meta"]["cached"],
            &listed["meta"]["count"],
            listed["meta"]["warning"].is_string()
        ),
        (&json!(true), &json!(2), true)
    );
    assert_eq!(
        world.json("/api/v1/cameras/front-door").await["enabled"],
        true
    );

    // It is back, its sessions are over, and a stream has another name; a camera it no longer knows stays.
    device.away.store(false, Ordering::SeqCst);
    device.oldest.store(99, Ordering::SeqCst);
    device.log_ins.store(98, Ordering::SeqCst);
    device.cameras.lock().unwrap()[0]["channels"][1]["rtspAlias"] = json!("moved");
    let listed = world.json(&fresh).await;
    assert_eq!(
        (&listed["meta"]["cached"], &listed["meta"]["warning"]),
        (&json!(false), &Value::Null)
    );
    let camera = world.json("/api/v1/cameras/front-door").await;
    assert_eq!(camera["uri"], "rtsps://127.0.0.1:7441/moved");
    let log_ins = device.log_ins.load(Ordering::SeqCst);
    world.json(&fresh).await;
    assert_eq!(
        device.log_ins.load(Ordering::SeqCst),
        log_ins,
        "the session is used again"
    );
    device.cameras.lock().unwrap().clear();
    world.json(&fresh).await;
    assert_eq!(
        world.json("/api/v1/cameras/front-door").await["uri"],
        "rtsps://127.0.0.1:7441/moved"
    );

    // What a person removes by hand does not come back.
    world.ask("DELETE", "/api/v1/cameras/front-door").await;
    device.cameras.lock().unwrap().push(door());
    let listed = world.json(&fresh).await;
    assert_eq!(listed["data"][0]["camera_id"], Value::Null);
    assert_eq!(
        world.ask("GET", "/api/v1/cameras/front-door").await.status,
        404
    );
    world
        .ask("GET", &format!("{cameras}?force_refresh=maybe"))
        .await
        .assert_refused(400, "force_refresh: ");
}

#[tokio::test]
async fn who_is_wanted_is_asked_again_with_growing_rests() {
    let world = World::new();
    let device = Device::default();
    let stub = device.start().await;
    device.away.store(true, Ordering::SeqCst);
    let path = add(&world, &stub).await;
    let stopping = nvr_base::Shutdown::new();
    let runs = tokio::spawn(Arc::clone(&world.context.protect).run(stopping.clone()));
    let until = async |count: usize| {
        while stub.asked().len() < count {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    until(1).await;
    stopping.trigger();
    runs.await.unwrap();
    while world.json(&path).await["data"]["last_error"].is_null() {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    // It rests for half a minute: one look after that asks, one before does not.
    for (seconds, asked) in [(29, 1), (2, 2), (59, 2), (2, 3)] {
        world.clock.advance(std::time::Duration::from_secs(seconds));
        world.context.protect.look().await;
        assert_eq!(stub.asked().len(), asked, "after {seconds} s more");
    }
    device.away.store(false, Ordering::SeqCst);
    world.clock.advance(std::time::Duration::from_secs(121));
    world.context.protect.look().await;
    assert_eq!(world.json(&path).await["data"]["is_connected"], true);
    // One that is not wanted is left alone.
    world.ask("POST", &format!("{path}/disconnect")).await;
    let asked = stub.asked().len();
    world.clock.advance(std::time::Duration::from_secs(3600));
    world.context.protect.look().await;
    assert_eq!(stub.asked().len(), asked);
}

/// A field, a value that it may not have, and what is said of it.
fn wrong_fields() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("name", json!(" "), "name: use 1 to 100 bytes"),
        (
            "host",
            json!("https://unvr.lan"),
            "host: \"https://unvr.lan\" is no name or address",
        ),
        (
            "host",
            json!("unvr.lan:443"),
            "host: \"unvr.lan:443\" is no name or address",
        ),
        (
            "host",
            json!("127.0.0.2"),
            "host: 127.0.0.2 is a loopback address",
        ),
        (
            "host",
            json!("2130706434"),
            "host: write the address as 127.0.0.2",
        ),
        (
            "host",
            json!("169.254.169.254"),
            "host: 169.254.169.254 is the address of a cloud",
        ),
        (
            "host",
            json!("::ffff:169.254.169.254"),
            "host: ::ffff:169.254.169.254 is the address",
        ),
        ("port", json!(0), "port: 0 is out of range"),
        ("port", json!(65536), "port: invalid value"),
        ("username", json!(""), "username: use 1 to 100 bytes"),
        ("password", json!(""), "password: use 1 to 256 bytes"),
        ("verify_ssl", json!("no"), "verify_ssl: invalid type"),
        ("nmae", json!("x"), "unknown field `nmae`"),
    ]
}

#[tokio::test]
async fn wrong_fields_of_controllers_are_named() {
    let world = World::new();
    let device = Device::default();
    let stub = device.start().await;
    let path = add(&world, &stub).await;
    for (field, value, says) in wrong_fields() {
        let mut new = body(&stub);
        new["name"] = json!("other");
        new[field] = value.clone();
        for place in [
            "/api/v1/protect/controllers",
            "/api/v1/protect/controllers/test",
        ] {
            world
                .send("POST", place, &new)
                .await
                .assert_refused(400, says);
        }
        let change =
            json!({field: value, "password": if field == "password" { "" } else { PASSWORD }});
        world
            .send("PUT", &path, &change)
            .await
            .assert_refused(400, says);
    }
    world
        .send("POST", "/api/v1/protect/controllers", &body(&stub))
        .await
        .assert_refused(409, "name: a controller");
    let mut nameless = body(&stub);
    nameless.as_object_mut().unwrap().remove("name");
    world
        .send("POST", "/api/v1/protect/controllers", &nameless)
        .await
        .assert_refused(400, "name: is missing");
    // The password is not sent to where somebody moved the controller.
    for moved in [json!({"host": "10.0.0.9"}), json!({"port": 8443})] {
        world
            .send("PUT", &path, &moved)
            .await
            .assert_refused(400, "password: is needed anew");
    }

    let tested = world
        .send("POST", "/api/v1/protect/controllers/test", &nameless)
        .await
        .json();
    assert_eq!(
        (&tested["data"]["success"], &tested["data"]["camera_count"]),
        (&json!(true), &json!(2))
    );
    let mut wrong = nameless.clone();
    wrong["password"] = json!("nonsense");
    let tested = world
        .send("POST", "/api/v1/protect/controllers/test", &wrong)
        .await;
    assert_eq!(
        tested.json()["data"],
        json!({
            "success": false, "message": "127.0.0.1: the user name or the password is refused",
            "firmware_version": null, "camera_count": null,
        })
    );
    assert!(!tested.text().contains(PASSWORD));
    let mut strict = nameless;
    strict["verify_ssl"] = json!(true);
    let tested = world
        .send("POST", "/api/v1/protect/controllers/test", &strict)
        .await
        .json();
    assert_eq!(tested["data"]["success"], false, "{tested}");
}
