//! Events that programs bring.

use serde_json::{Value, json};

use super::World;

fn event() -> Value {
    json!({
        "camera_id": "gate",
        "timestamp": "2025-12-23T10:30:00Z",
        "description": "a person at the gate",
        "confidence": 92,
        "objects_detected": ["person", "package"],
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut event = event();
    event[field] = value;
    event
}

#[tokio::test]
async fn one_event_is_stored_and_told() {
    let world = World::new();
    let mut committed = world.context.hub.committed().subscribe();
    let answer = world.send("POST", "/api/v1/events", &event()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let made = answer.json();
    let path = format!("/api/v1/events/{}", made["id"].as_str().unwrap());
    assert_eq!(answer.header("location"), Some(path.as_str()));
    let stored = world.json(&path).await;
    assert_eq!(stored["camera"], "gate");
    assert_eq!(
        (&stored["kind"], &stored["label"]),
        (&json!("object"), &json!("person"))
    );
    assert_eq!(stored["score"], 0.92);
    assert_eq!(stored["start_unix_us"], 1_766_485_800_000_000_i64);
    let id = made["id"].as_str().unwrap().to_owned();
    let words = world.context.store.event_descriptions(&[id]).unwrap();
    assert_eq!(
        words.values().next().unwrap().answer.description,
        "a person at the gate"
    );
    assert_eq!(committed.try_recv().unwrap().camera, "gate");
    // A time without a zone is UTC, and an end is one.
    let mut plain = with("timestamp", json!("2025-12-23T10:30:00"));
    plain["end_timestamp"] = json!("2025-12-23T11:30:10+01:00");
    let made = world.send("POST", "/api/v1/events", &plain).await.json();
    assert_eq!(made["start_unix_us"], 1_766_485_800_000_000_i64);
    assert_eq!(made["end_unix_us"], 1_766_485_810_000_000_i64);
}

#[tokio::test]
async fn a_list_is_stored_whole_or_not_at_all() {
    let world = World::new();
    let many: Vec<Value> = (0..1000).map(|_| event()).collect();
    let answer = world.send("POST", "/api/v1/events", &json!(many)).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["total"], 1000);
    let last = body["ids"][999].as_str().unwrap();
    world.json(&format!("/api/v1/events/{last}")).await;
    assert_eq!(world.json("/api/v1/events").await["total"], 1000);

    let check = async |body: Value, status: u16, says: &str| {
        world
            .send("POST", "/api/v1/events", &body)
            .await
            .assert_refused(status, says);
        assert_eq!(world.json("/api/v1/events").await["total"], 1000);
    };
    check(
        json!([event(), with("confidence", json!(101))]),
        400,
        "[1].confidence: 101 is out of range",
    )
    .await;
    check(
        json!([event(), with("camera_id", json!("nowhere"))]),
        404,
        "no camera is called \"nowhere\"",
    )
    .await;
    check(json!([]), 400, "body: 0 events: send 1 to 1000").await;
    let small = json!({"camera_id": "gate", "timestamp": "2025-12-23T10:30:00Z", "description": "x", "confidence": 1, "objects_detected": ["x"]});
    let many: Vec<Value> = (0..5000).map(|_| small.clone()).collect();
    check(json!(many), 400, "body: 1001 events").await;
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let world = World::new();
    let check = async |body: Value, says: &str| {
        world
            .send("POST", "/api/v1/events", &body)
            .await
            .assert_refused(400, says);
    };
    check(
        with("timestamp", json!("yesterday")),
        "timestamp: \"yesterday\" is no time",
    )
    .await;
    check(
        with("timestamp", json!("2027-01-01T00:00:00Z")),
        "timestamp: \"2027-01-01T00:00:00Z\" lies in the future",
    )
    .await;
    check(
        with("timestamp", json!("1969-12-31T00:00:00Z")),
        "timestamp: ",
    )
    .await;
    check(
        with("end_timestamp", json!("2025-12-23T10:29:59Z")),
        "end_timestamp: lies before",
    )
    .await;
    check(
        with("confidence", json!(101)),
        "confidence: 101 is out of range: use 0 to 100",
    )
    .await;
    check(with("confidence", json!(-1)), "confidence: invalid value").await;
    check(
        with("objects_detected", json!([])),
        "objects_detected: name 1 to 32",
    )
    .await;
    check(
        with("objects_detected", json!(["x", ""])),
        "objects_detected[1]: use 1 to 64 bytes",
    )
    .await;
    check(
        with("description", json!("")),
        "description: use 1 to 8192 bytes",
    )
    .await;
    check(with("description", json!("a\u{0}b")), "description: ").await;
    check(with("mood", json!("good")), "unknown field `mood`").await;
    check(json!({"camera_id": "gate"}), "missing field `timestamp`").await;
    check(json!(5), "an object, or a list of objects").await;
    assert_eq!(world.json("/api/v1/events").await["total"], 0);
}
