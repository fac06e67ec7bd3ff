//! Storage over REST: how it is, what a policy would delete, protection and deletion by a person.

use serde_json::{Value, json};

use super::{NOW_US, SECOND_US, World};

const NOW: i64 = NOW_US / SECOND_US;

fn range(from: i64, to: i64) -> String {
    format!("start_unix={}&end_unix={}", NOW + from, NOW + to)
}

async fn starts(world: &World) -> Vec<i64> {
    let path = format!("/api/v1/cameras/front/recordings?{}", range(0, 1000));
    let found = world.json(&path).await;
    let items = found["items"].as_array().unwrap().iter();
    items
        .map(|item| (item["start_unix_us"].as_i64().unwrap() - NOW_US) / SECOND_US)
        .collect()
}

#[tokio::test]
async fn the_folders_are_told_with_what_is_in_them() {
    let world = World::new();
    world.add_segment(0, &[0; 1000], None);
    world.add_segment(10, &[0; 1000], None);
    world.clock.advance(std::time::Duration::from_secs(20));
    let found = world.json("/api/v1/storage").await;
    let first = &found["storages"][0];
    assert_eq!(
        (&first["name"], &first["state"], &first["in_use"]),
        (&json!("first"), &json!("ready"), &json!(true)),
        "{found}"
    );
    assert_eq!(
        (
            &first["recordings_bytes"],
            &first["segments"],
            &first["rate"]
        ),
        (&json!(2000), &json!(2), &json!(100.0))
    );
    assert!(first["free_bytes"].as_u64().unwrap() <= first["total_bytes"].as_u64().unwrap());
    assert_eq!(found["cameras"][0]["limited_by"], "space");
    world.clock.advance(std::time::Duration::from_secs(86_400));
    let later = world.json("/api/v1/storage").await;
    assert_eq!(
        later["storages"][0]["rate"].to_string(),
        "0.0",
        "long silent"
    );
    assert_eq!(found["clock"]["trusted"], true);
    let policy = world.json("/api/v1/storage/policy").await;
    assert_eq!(policy["when_full"], "stop");
    assert_eq!(policy["retention"]["max_bytes"], Value::Null);
}

#[tokio::test]
async fn a_policy_can_be_tried_without_deleting_anything() {
    let world = World::new();
    for second in 0..10 {
        world.add_segment(second * 10, &[0; 1000], None);
    }
    world.clock.advance(std::time::Duration::from_secs(100));
    let nothing = world.send("POST", "/api/v1/storage/plan", &json!({})).await;
    assert_eq!(nothing.status, 200, "{}", nothing.text());
    assert_eq!(nothing.json()["segments"], 0);
    let tried = json!({
        "policy": {
            "retention": {"max_bytes": "9 kB"},
            "cameras": {"front": {"continuous_days": 50.0 / 86400.0, "max_bytes": 4000}},
            "storages": {"first": {"max_bytes": 1000000}},
        },
        "page": 2, "limit": 4,
    });
    let answer = world.send("POST", "/api/v1/storage/plan", &tried).await;
    let found = answer.json();
    assert_eq!(
        (&found["segments"], &found["bytes"]),
        (&json!(6), &json!(6000)),
        "{found}"
    );
    assert_eq!(
        found["deletions"],
        json!([
            {"camera": "front", "reason": "age", "segments": 5, "bytes": 5000,
             "first_unix_us": NOW_US, "last_unix_us": NOW_US + 50 * SECOND_US},
            {"camera": "front", "reason": "camera_size", "segments": 1, "bytes": 1000,
             "first_unix_us": NOW_US + 50 * SECOND_US, "last_unix_us": NOW_US + 60 * SECOND_US},
        ])
    );
    let list = &found["list"];
    assert_eq!((&list["total"], &list["pages"]), (&json!(6), &json!(2)));
    assert_eq!(list["items"].as_array().unwrap().len(), 2);
    assert_eq!(list["items"][1]["reason"], "camera_size");
    assert_eq!(found["cameras"][0]["limited_by"], "camera_size");
    assert_eq!(starts(&world).await.len(), 10, "nothing is gone");
}

#[tokio::test]
async fn what_is_wrong_with_a_policy_is_named() {
    let world = World::new();
    for (body, detail) in [
        (
            json!({"policy": {"retention": {"event_days": 0}}}),
            "policy.retention.event_days: 0 is no number of days",
        ),
        (
            json!({"policy": {"cameras": {"a": {"max_bytes": "lots"}}}}),
            "policy.cameras.a.max_bytes: \"lots\" is no number",
        ),
        (
            json!({"policy": {"storages": {"third": {}}}}),
            "no storage is called \"third\": use first",
        ),
        (
            json!({"policy": {"when_full": "panic"}}),
            "policy.when_full: unknown variant",
        ),
        (json!({"polcy": {}}), "unknown field `polcy`"),
        (json!({"page": 0}), "page: 0 is out of range"),
        (
            json!({"limit": 501}),
            "limit: 501 is out of range: use 1 to 500",
        ),
    ] {
        let answer = world.send("POST", "/api/v1/storage/plan", &body).await;
        println!("{body}");
        answer.assert_refused(400, detail);
    }
}

#[tokio::test]
async fn a_range_is_protected_and_then_not_deleted() {
    let world = World::new();
    for second in 0..5 {
        world.add_segment(second * 10, b"x", None);
    }
    let protect = async |from: i64, to: i64, protected: bool| {
        let body = json!({"start_unix": NOW + from, "end_unix": NOW + to, "protected": protected});
        let answer = world
            .send("POST", "/api/v1/recordings/front/protect", &body)
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let delete = async |query: String| {
        let path = format!("/api/v1/recordings/front?{query}");
        world.ask("DELETE", &path).await
    };
    assert_eq!(
        protect(15, 21, true).await,
        json!({"segments": 2, "protected": true})
    );
    let listed = world
        .json(&format!(
            "/api/v1/cameras/front/recordings?{}",
            range(0, 50)
        ))
        .await;
    let marks: Vec<&Value> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|i| &i["protected"])
        .collect();
    assert_eq!(marks, [false, true, true, false, false]);

    delete(range(0, 50))
        .await
        .assert_refused(409, "protected segments in this range");
    assert_eq!(starts(&world).await, [0, 10, 20, 30, 40]);
    // Only what lies wholly in the range goes.
    let gone = delete(range(30, 45)).await;
    assert_eq!(gone.json(), json!({"segments": 1, "bytes": 1}));
    assert_eq!(starts(&world).await, [0, 10, 20, 40]);
    let gaps = world
        .json(&format!(
            "/api/v1/cameras/front/recordings?{}",
            range(0, 50)
        ))
        .await;
    assert_eq!(gaps["gaps"][0]["reason"], "deleted", "{gaps}");
    assert_eq!(protect(0, 20, false).await["segments"], 2);
    delete(range(0, 20)).await;
    assert_eq!(starts(&world).await, [20, 40]);
    let forced = format!("{}&force=true", range(0, 100));
    assert_eq!(delete(forced).await.json()["segments"], 2);
    assert!(!world.context.store.pending_garbage().unwrap().is_empty());
    world.context.retention.empty_garbage(100).unwrap();
    assert!(world.context.store.pending_garbage().unwrap().is_empty());
    let folder = world.context.storage.recordings().join("front");
    assert_eq!(std::fs::read_dir(folder).map_or(0, Iterator::count), 0);
}

#[tokio::test]
async fn ranges_and_cameras_that_are_wrong_are_refused() {
    let world = World::new();
    world.add_segment(0, b"x", None);
    for (query, status, detail) in [
        ("end_unix=5", 400, "start_unix: is missing"),
        ("start_unix=5", 400, "end_unix: is missing"),
        (
            "start_unix=5&end_unix=5",
            400,
            "start_unix: is not before end_unix",
        ),
        (
            "start_unix=5&end_unix=6&force=yes",
            400,
            "force: \"yes\": use true or false",
        ),
    ] {
        let path = format!("/api/v1/recordings/front?{query}");
        world
            .ask("DELETE", &path)
            .await
            .assert_refused(status, detail);
    }
    let path = format!("/api/v1/recordings/nobody?{}", range(0, 1));
    world
        .ask("DELETE", &path)
        .await
        .assert_refused(404, "no camera is called \"nobody\"");
    let body = json!({"start_unix": -1, "end_unix": 5, "protected": true});
    let answer = world
        .send("POST", "/api/v1/recordings/front/protect", &body)
        .await;
    answer.assert_refused(400, "start_unix: \"-1\" is out of range");
}

#[tokio::test]
async fn the_clock_can_be_vouched_for() {
    let world = World::new();
    world.clock.advance(std::time::Duration::from_secs(1));
    let answer = world.ask("POST", "/api/v1/storage/trust-clock").await;
    assert_eq!(
        answer.json(),
        json!({"trusted": true, "reason": null, "since_unix_us": null})
    );
}
