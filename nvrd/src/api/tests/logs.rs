//! The log over the API: newest first, filtered, and without secrets.

use nvr_base::logging::{self, LogFormat};

use super::World;

#[tokio::test]
async fn records_come_newest_first_and_without_secrets() {
    let world = World::new();
    logging::init(LogFormat::Json, "info");
    tracing::info!("the first of two");
    tracing::warn!(
        camera.id = "front",
        password = "hunter2",
        "the second of two: rtsp://admin:hunter2@10.0.0.5/"
    );
    tracing::debug!("the third of two");
    let list = world.json("/api/v1/logs?search=of+two&limit=1").await;
    assert_eq!(
        (&list["total"], &list["pages"]),
        (&2.into(), &2.into()),
        "{list}"
    );
    let item = &list["items"][0];
    assert_eq!(item["level"], "warn");
    assert_eq!(item["message"], "the second of two: rtsp://***@10.0.0.5/");
    assert_eq!(item["fields"]["camera.id"], "front");
    assert_eq!(item["fields"]["password"], "***");
    assert!(item["target"].as_str().unwrap().contains("logs"), "{item}");
    assert!(item["time"].as_str().unwrap().ends_with('Z'), "{item}");
    let second = world
        .json("/api/v1/logs?search=of+two&limit=1&page=2")
        .await;
    assert_eq!(second["items"][0]["message"], "the first of two");
    let level = world.json("/api/v1/logs?search=of+two&level=WARN").await;
    assert_eq!(level["total"], 1);
    let camera = world.json("/api/v1/logs?search=FRONT&level=warn").await;
    assert_eq!(camera["total"], 1);
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let world = World::new();
    for (query, says) in [
        ("level=loud", "level: \"loud\": use error, warn"),
        ("level=3", "level: \"3\""),
        ("limit=501", "limit: "),
        ("page=0", "page: "),
        ("since=1", "unknown parameter `since`"),
    ] {
        let answer = world.ask("GET", &format!("/api/v1/logs?{query}")).await;
        answer.assert_refused(400, says);
    }
}
