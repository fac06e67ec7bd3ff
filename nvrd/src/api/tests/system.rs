//! `/system/storage`, `/system/retention` and the other names of what is there.

use serde_json::{Value, json};

use super::World;

#[tokio::test]
async fn storage_is_told_in_both_words() {
    let world = World::new();
    world.add_segment(0, &[0; 2_000_000], None);
    world.add_event(0, |_| {});
    let thumbnails = world.context.storage.thumbnails();
    std::fs::create_dir_all(thumbnails.join("made")).unwrap();
    std::fs::write(thumbnails.join("a.jpg"), [0; 1_000_000]).unwrap();
    std::fs::write(thumbnails.join("made/b.jpg"), [0; 500_000]).unwrap();
    let found = world.json("/api/v1/system/storage").await;
    assert_eq!(found["event_count"], 1, "{found}");
    assert_eq!(found["thumbnails_mb"], 1.43);
    assert_eq!(found["recordings_mb"], 1.91);
    let of = |key: &str| found[key].as_f64().unwrap();
    assert!(of("database_mb") > 0.0, "{found}");
    let sum = of("database_mb") + of("thumbnails_mb") + of("recordings_mb");
    assert!((of("total_mb") - sum).abs() < 0.02, "{found}");
    assert_eq!(found["storages"][0]["name"], "first");
    assert_eq!(found["storages"][0]["segments"], 1);
}

#[tokio::test]
async fn retention_is_one_number_or_four_limits() {
    let world = World::new();
    let path = "/api/v1/system/retention";
    let found = world.json(path).await;
    assert_eq!(
        (&found["retention_days"], &found["forever"]),
        (&json!(-1), &json!(true)),
        "{found}"
    );
    assert_eq!(found["next_cleanup"], "2026-01-01T00:00:10Z");
    let set = async |method: &str, body: Value| {
        let answer = world.send(method, path, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let found = set("PUT", json!({"retention_days": 30})).await;
    assert_eq!(found["retention_days"], 30);
    assert_eq!(found["motion_days"], 30.0);
    assert_eq!(found["forever"], false);
    let policy = world.json("/api/v1/storage/policy").await;
    assert_eq!(policy["retention"]["event_days"], 30.0, "{policy}");
    let found = set("PATCH", json!({"event_days": 90.5, "max_bytes": 1000})).await;
    assert_eq!(found["retention_days"], 91);
    assert_eq!(
        (&found["motion_days"], &found["max_bytes"]),
        (&json!(30.0), &json!(1000))
    );
    let found = set("PATCH", json!({"motion_days": null})).await;
    assert_eq!(
        (&found["retention_days"], &found["forever"]),
        (&json!(-1), &json!(true))
    );
    for (body, says) in [
        (
            json!({"retention_days": -2}),
            "retention_days: -2 is out of range",
        ),
        (json!({"retention_days": "30"}), "retention_days"),
        (
            json!({"retention_days": 1, "event_days": 2}),
            "leave one of them out",
        ),
        (json!({"event_days": 0}), "retention.event_days: "),
        (json!({"days": 3}), "unknown field `days`"),
    ] {
        world
            .send("PUT", path, &body)
            .await
            .assert_refused(400, says);
    }
    assert_eq!(
        world.json(path).await["event_days"],
        90.5,
        "nothing is half done"
    );
}

#[tokio::test]
async fn a_backup_is_made_kept_and_removed_but_never_sent() {
    let world = World::new();
    let path = "/api/v1/system/backup";
    let made = world.ask("POST", path).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let name = made.json()["name"].as_str().unwrap().to_owned();
    assert_eq!(name, "nvrd-20260101T000000Z.tar");
    assert_eq!(made.json()["has_database"], true, "{}", made.text());
    assert_eq!(
        made.header("location"),
        Some(format!("{path}/{name}").as_str())
    );
    let file = world.folder.path().join("backups").join(&name);
    let package = crate::backup::Package::open(&file).unwrap();
    assert_eq!(package.config().unwrap(), super::FILE);
    world
        .ask("POST", path)
        .await
        .assert_refused(409, "is there already");
    let list = world.json(path).await;
    assert_eq!(
        (&list["total"], &list["items"][0]["name"]),
        (&json!(1), &json!(name)),
        "{list}"
    );
    assert_eq!(world.json("/api/v1/system/backup/list").await, list);
    assert_eq!(
        world.ask("GET", &format!("{path}/{name}")).await.status,
        405
    );
    for odd in ["nvrd.toml", "..%2fnvrd.toml", "nvrd-20260101T000001Z.tar"] {
        let answer = world.ask("DELETE", &format!("{path}/{odd}")).await;
        answer.assert_refused(404, "no backup is called");
    }
    assert_eq!(
        world.ask("DELETE", &format!("{path}/{name}")).await.status,
        204
    );
    assert!(!file.exists());
}

#[tokio::test]
async fn other_names_answer_the_same() {
    let world = World::new();
    for (other, ours) in [
        ("/api/v1/system/ai-usage", "/api/v1/ai/usage"),
        ("/api/v1/system/ai-stats", "/api/v1/ai/usage"),
        ("/api/v1/system/ai-providers", "/api/v1/ai/providers"),
    ] {
        assert_eq!(world.json(other).await, world.json(ours).await, "{other}");
    }
    let health = world.json("/health").await;
    assert_eq!(
        health["status"],
        world.json("/api/v1/system/health").await["status"]
    );
}
