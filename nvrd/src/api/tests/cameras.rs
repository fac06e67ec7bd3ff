//! Cameras over REST: their life, and what is never told.

use serde_json::{Value, json};

use super::{NOW_US, World};
use crate::vault::Vault;

#[tokio::test]
async fn a_camera_lives_and_keeps_its_password_to_itself() {
    let world = World::new();
    let new = json!({
        "name": "front", "uri": "rtsp://admin:s3cret@10.0.0.5/stream1", "pipeline": "record", "enabled": false,
    });
    let made = world.send("POST", "/api/v1/cameras", &new).await;
    assert_eq!(
        (made.status, made.header("location")),
        (201, Some("/api/v1/cameras/front")),
        "{}",
        made.text()
    );
    let mut made = made.json();
    let rtsp = format!("rtsp://{}/front", world.context.cameras.rtsp_address());
    assert_eq!(made["restream_url"].take(), json!(rtsp));
    let status = json!({
        "state": "stopped", "since_unix_us": NOW_US, "since": "2026-01-01T00:00:00Z", "detail": null,
        "loss": null, "pipeline": "record", "recording": false, "codec": null, "width": null,
        "height": null, "fps": null, "restarts": 0, "abandoned": 0, "decoding": null,
    });
    assert_eq!(
        made,
        json!({
            "id": "front", "name": "front", "uri": "rtsp://10.0.0.5/stream1", "sub_uri": null, "user": "admin",
            "has_password": true, "pipeline": "record", "params": {}, "enabled": false, "read_only": false,
            "restream_url": null,
            "type": "rtsp", "source_type": "rtsp", "rtsp_url": "rtsp://10.0.0.5/stream1", "substream_url": null,
            "username": "admin", "is_enabled": false, "is_active": false, "motion_enabled": false,
            "frame_rate": null, "live_online": false, "recording_enabled": false, "recording_state": "off",
            "last_recording_at": null, "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
            "status": status,
        })
    );
    world
        .send("POST", "/api/v1/cameras", &new)
        .await
        .assert_refused(409, "camera \"front\" exists already");

    // Each way to read it, and nothing tells the password.
    let texts = [
        world.ask("GET", "/api/v1/cameras").await.text(),
        world.ask("GET", "/api/v1/cameras/front").await.text(),
    ];
    assert!(
        texts
            .iter()
            .all(|text| !text.contains("s3cret") && !text.contains("file-secret")),
        "{texts:?}"
    );

    assert_eq!(
        world.ask("POST", "/api/v1/cameras/front/stop").await.json()["enabled"],
        json!(false)
    );
    let gone = world.ask("DELETE", "/api/v1/cameras/front").await;
    assert_eq!((gone.status, gone.text()), (204, String::new()));
    world
        .ask("GET", "/api/v1/cameras/front")
        .await
        .assert_refused(404, "no camera is called \"front\"");
}

#[tokio::test]
async fn a_camera_changes_in_parts_or_as_a_whole() {
    let world = World::new();
    let new = json!({
        "name": "front", "uri": "rtsp://admin:s3cret@10.0.0.5/stream1", "pipeline": "record", "enabled": false,
    });
    assert_eq!(
        world.send("POST", "/api/v1/cameras", &new).await.status,
        201
    );
    let patched = world
        .send(
            "PATCH",
            "/api/v1/cameras/front",
            &json!({"uri": "rtsp://10.0.0.6/stream1"}),
        )
        .await
        .json();
    assert_eq!(
        (&patched["uri"], &patched["has_password"]),
        (&json!("rtsp://10.0.0.6/stream1"), &json!(true))
    );
    let moved = world
        .send(
            "PATCH",
            "/api/v1/cameras/front",
            &json!({"uri": "rtsp://root:new@10.0.0.7/"}),
        )
        .await
        .json();
    assert_eq!(
        (&moved["user"], &moved["uri"]),
        (&json!("root"), &json!("rtsp://10.0.0.7/"))
    );
    let stored = world.context.store.camera("front").unwrap();
    let sealed = stored.password.unwrap();
    assert!(Vault::is_sealed(&sealed) && !sealed.contains("new"));
    let opened = world.context.vault.open(&sealed).unwrap();
    assert_eq!(opened.expose(), "new");

    // ArgusAI's clients send what changes, and no more.
    let whole = json!({"name": "Front door", "is_enabled": false});
    let replaced = world
        .send("PUT", "/api/v1/cameras/front", &whole)
        .await
        .json();
    assert_eq!(
        (&replaced["id"], &replaced["name"], &replaced["user"]),
        (&json!("front"), &json!("Front door"), &json!("root"))
    );
    let renamed = json!({"id": "back"});
    world
        .send("PUT", "/api/v1/cameras/front", &renamed)
        .await
        .assert_refused(400, "id: \"back\" is not the id in the path");
    world
        .send("PUT", "/api/v1/cameras/back", &whole)
        .await
        .assert_refused(404, "no camera is called");
}

#[tokio::test]
async fn cameras_of_the_file_are_read_only() {
    let world = World::new();
    let gate = world.json("/api/v1/cameras/gate").await;
    assert_eq!(
        (&gate["read_only"], &gate["user"], &gate["has_password"]),
        (&json!(true), &json!("admin"), &json!(true))
    );
    let whole = json!({"uri": "rtsp://10.0.0.8/"});
    for answer in [
        world.send("PUT", "/api/v1/cameras/gate", &whole).await,
        world
            .send("PATCH", "/api/v1/cameras/gate", &json!({"enabled": true}))
            .await,
        world.ask("POST", "/api/v1/cameras/gate/start").await,
        world.ask("DELETE", "/api/v1/cameras/gate").await,
    ] {
        answer.assert_refused(409, "stands in the configuration file: change it there");
    }
}

#[tokio::test]
async fn the_list_comes_in_pages() {
    let world = World::new();
    for name in ["c", "a", "b"] {
        let new =
            json!({"name": name, "uri": "test://ball", "pipeline": "record", "enabled": false});
        assert_eq!(
            world.send("POST", "/api/v1/cameras", &new).await.status,
            201
        );
    }
    let check = async |query: &str, names: &[&str], page: u64, pages: u64| {
        let list = world.json(&format!("/api/v1/cameras{query}")).await;
        let got: Vec<_> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["name"].as_str().unwrap())
            .collect();
        assert_eq!(got, names, "{query}");
        assert_eq!(
            (&list["total"], &list["page"], &list["pages"]),
            (&json!(4), &json!(page), &json!(pages)),
            "{query}"
        );
    };
    check("", &["a", "b", "c", "gate"], 1, 1).await;
    check("?limit=3", &["a", "b", "c"], 1, 2).await;
    check("?limit=3&page=2", &["gate"], 2, 2).await;
    check("?limit=3&page=1000000", &[], 1_000_000, 2).await;
}

#[tokio::test]
async fn a_test_that_fails_is_a_result() {
    let world = World::new();
    let lost = world
        .send(
            "POST",
            "/api/v1/cameras/test",
            &json!({"uri": "file:///nowhere/at/all.mp4"}),
        )
        .await;
    let result = lost.json();
    assert_eq!(
        (lost.status, &result["success"], &result["codec"]),
        (200, &json!(false), &Value::Null),
        "{result}"
    );
    assert!(!result["detail"].as_str().unwrap().is_empty(), "{result}");
    let wrong = world
        .send(
            "POST",
            "/api/v1/cameras/test",
            &json!({"uri": "gopher://x/"}),
        )
        .await;
    wrong.assert_refused(400, "uri: gopher:// is not spoken");
}

#[tokio::test]
async fn a_test_says_what_a_camera_sends() {
    let world = World::new();
    let tried = world
        .send(
            "POST",
            "/api/v1/cameras/test",
            &json!({"uri": "test://ball"}),
        )
        .await;
    let result = tried.json();
    if result["success"] == json!(false)
        && result["detail"].as_str().unwrap().contains("not installed")
    {
        println!("SKIP: {}", result["detail"]);
        return;
    }
    assert_eq!(tried.status, 200);
    assert_eq!(
        (&result["success"], &result["codec"], &result["audio"]),
        (&json!(true), &json!("h264"), &json!(false)),
        "{result}"
    );
    assert!(
        result["width"].as_i64().unwrap() > 0 && result["fps"].as_f64().unwrap() > 1.0,
        "{result}"
    );
    assert!(
        result["thumbnail"]
            .as_str()
            .unwrap()
            .starts_with("data:image/jpeg;base64,/9j/"),
        "{result}"
    );
}

#[tokio::test]
async fn health_counts_what_there_is() {
    let world = World::new();
    world.clock.advance(std::time::Duration::from_secs(90));
    world.add_event(0, |_| {});
    let health = world.json("/api/v1/system/health").await;
    assert_eq!(
        (&health["status"], &health["uptime_s"]),
        (&json!("ok"), &json!(90))
    );
    assert_eq!(health["version"], json!(env!("CARGO_PKG_VERSION")));
    assert_eq!(
        (&health["cameras"]["total"], &health["cameras"]["disabled"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        (&health["database"]["state"], &health["database"]["events"]),
        (&json!("ok"), &json!(1))
    );
    assert!(health["storage"]["free_bytes"].as_u64() <= health["storage"]["total_bytes"].as_u64());
    assert!(health["storage"]["total_bytes"].as_u64() > Some(0));
    let rtsp = format!("rtsp://{}/", world.context.cameras.rtsp_address());
    assert_eq!(health["rtsp"]["url"], json!(rtsp));
}

#[tokio::test]
async fn passwords_of_an_earlier_version_are_sealed_at_the_start() {
    let world = World::new();
    let store = &world.context.store;
    let row = nvr_store::NewCamera {
        title: None,
        name: "old".to_owned(),
        uri: "rtsp://10.0.0.7/a".to_owned(),
        sub_uri: None,
        pipeline: "record".to_owned(),
        params_json: "{}".to_owned(),
        enabled: false,
        user: Some("admin".to_owned()),
        password: Some("clear-secret".to_owned()),
    };
    store.insert_camera(&row).unwrap();
    for _ in 0..2 {
        world.context.cameras.start().unwrap();
        let sealed = store.camera("old").unwrap().password.unwrap();
        let opened = world.context.vault.open(&sealed).unwrap();
        assert_eq!(opened.expose(), "clear-secret");
    }
    let view = world.context.cameras.get("old").unwrap();
    assert_eq!(view.input.password.unwrap().expose(), "clear-secret");

    // What another key sealed is lost, and the camera is there all the same.
    let other = tempfile::tempdir().unwrap();
    let foreign = Vault::open_in(other.path()).unwrap().seal("x");
    store
        .replace_camera_passwords(|_| Some(foreign.clone()))
        .unwrap();
    assert_eq!(
        world.json("/api/v1/cameras/old").await["has_password"],
        false
    );
    world.context.cameras.start().unwrap();
}

#[tokio::test]
async fn a_camera_is_nowhere_that_only_the_recorder_can_reach() {
    let world = World::new();
    let rtsp = world.context.cameras.rtsp_address();
    let camera =
        |uri: &str| json!({"name": "x", "uri": uri, "pipeline": "record", "enabled": false});
    for (uri, says) in [
        (
            "rtsp://169.254.169.254/latest",
            "uri: 169.254.169.254 is the address of a cloud",
        ),
        (
            "rtsp://[::ffff:169.254.169.254]/",
            "uri: ::ffff:169.254.169.254 is the address",
        ),
        (
            "rtsp://u:p@0.0.0.0/",
            "uri: 0.0.0.0 is no address of a machine",
        ),
        (
            "rtsps://239.255.255.250/",
            "uri: 239.255.255.250 is a multicast address",
        ),
    ] {
        for path in ["/api/v1/cameras", "/api/v1/cameras/test"] {
            world
                .send("POST", path, &camera(uri))
                .await
                .assert_refused(400, says);
        }
    }
    // On this machine a camera may be, as long as nobody else may ask.
    let made = camera(&format!("rtsp://127.0.0.1:{}/x", rtsp.port()));
    assert_eq!(
        world.send("POST", "/api/v1/cameras", &made).await.status,
        201
    );
    let away = json!({"sub_uri": "rtsp://169.254.169.254/"});
    world
        .send("PATCH", "/api/v1/cameras/x", &away)
        .await
        .assert_refused(400, "sub_uri: 169.254.169.254");
}
