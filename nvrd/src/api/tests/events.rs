//! Events over REST: filters, pages, thumbnails, removal.

use nvr_store::EventState;
use serde_json::json;

use super::{NOW_US, SECOND_US, World, routes};

#[tokio::test]
async fn an_event_has_all_its_keys() {
    let world = World::new();
    let id = world.add_event(0, |_| {});
    let expect = json!({
        "id": id, "camera": "front", "kind": "object", "label": "person", "state": "closed",
        "start_ns": 1_000_000_000, "end_ns": 6_000_000_000_u64,
        "start_unix_us": NOW_US, "end_unix_us": NOW_US + 5 * SECOND_US,
        "score": 0.8765, "box": [0.1, 0.2, 0.3, 0.4], "zones": ["drive"], "track_id": 7,
        "identity": null, "similarity": null, "frames": 50, "model": "m", "pipeline": "p",
        "interrupted": false, "thumbnail_url": format!("/api/v1/events/{id}/thumbnail"),
    });
    let event = world.json(&format!("/api/v1/events/{id}")).await;
    for (key, value) in expect.as_object().unwrap() {
        assert_eq!(&event[key], value, "{key}");
    }
    let list = world.json("/api/v1/events").await;
    for name in ["items", "events"] {
        assert_eq!(list[name][0], event, "{name}");
    }
    let latest = world.json("/api/v1/events/latest?limit=1").await;
    assert_eq!(latest["items"][0], event);
}

#[tokio::test]
async fn filters_let_through_what_they_say() {
    let world = World::new();
    world.add_event(0, |event| event.label = Some("car".to_owned()));
    world.add_event(100, |event| event.camera = "back".to_owned());
    world.add_event(200, |event| {
        event.state = EventState::Open;
        event.end_us = None;
        event.kind = "motion".to_owned();
        event.label = None;
        event.score = Some(0.25);
        event.zones = vec!["lawn".to_owned(), "path".to_owned()];
    });
    let now = NOW_US / SECOND_US;
    let check = async |query: &str, seconds: &[i64]| {
        let list = world.json(&format!("/api/v1/events?{query}")).await;
        let items = list["items"].as_array().unwrap();
        let got: Vec<_> = items
            .iter()
            .map(|item| (item["start_unix_us"].as_i64().unwrap() - NOW_US) / SECOND_US)
            .collect();
        assert_eq!(got, seconds, "{query}");
        assert_eq!(list["total"], json!(seconds.len()), "{query}");
    };
    check("", &[200, 100, 0]).await;
    check("camera=back", &[100]).await;
    check("camera=", &[200, 100, 0]).await;
    check("kind=motion", &[200]).await;
    check("label=car", &[0]).await;
    check("min_score=0.5", &[100, 0]).await;
    check("zone=path", &[200]).await;
    check("state=open", &[200]).await;
    check("state=closed&kind=object", &[100, 0]).await;
    check("search=BACK", &[100]).await;
    check(&format!("end_unix={}.5", now + 99), &[0]).await;
    check(
        &format!("start_unix={}.000001&end_unix={}", now + 5, now + 101),
        &[100],
    )
    .await;
}

#[tokio::test]
async fn events_come_in_pages_newest_first() {
    let world = World::new();
    for second in 0..7 {
        world.add_event(second, |_| {});
    }
    let last = world.json("/api/v1/events?limit=3&page=3").await;
    assert_eq!(last["items"].as_array().unwrap().len(), 1);
    assert_eq!(last["items"][0]["start_unix_us"], json!(NOW_US));
    assert_eq!(
        (
            &last["total"],
            &last["page"],
            &last["limit"],
            &last["pages"]
        ),
        (&json!(7), &json!(3), &json!(3), &json!(3))
    );
}

#[tokio::test]
async fn a_thumbnail_comes_and_goes_with_its_event() {
    let world = World::new();
    let id = world.add_event(0, |_| {});
    let url = format!("/api/v1/events/{id}/thumbnail");
    world
        .ask("GET", &url)
        .await
        .assert_refused(404, "camera \"front\" has no picture at");
    let file = world.context.storage.thumbnail(&id).unwrap();
    std::fs::write(&file, b"\xff\xd8jpeg").unwrap();
    assert_eq!(
        world.json(&format!("/api/v1/events/{id}")).await["thumbnail_url"],
        json!(url)
    );
    let jpeg = world.ask("GET", &url).await;
    assert_eq!(
        (jpeg.status, jpeg.header("content-type")),
        (200, Some("image/jpeg"))
    );
    assert_eq!(&jpeg.response.body()[..], b"\xff\xd8jpeg");
    let etag = jpeg.header("etag").unwrap();
    let api = routes(world.context.clone());
    let request = warp::test::request()
        .path(&url)
        .header("if-none-match", etag);
    let known = request.reply(&api).await;
    assert_eq!((known.status().as_u16(), known.body().len()), (304, 0));

    assert_eq!(
        world
            .ask("DELETE", &format!("/api/v1/events/{id}"))
            .await
            .status,
        204
    );
    assert!(!file.exists());
    world
        .ask("GET", &url)
        .await
        .assert_refused(404, "no event has the id");
}

#[tokio::test]
async fn an_event_that_goes_on_stays() {
    let world = World::new();
    let id = world.add_event(0, |event| event.state = EventState::Open);
    world
        .ask("DELETE", &format!("/api/v1/events/{id}"))
        .await
        .assert_refused(409, "still goes on");
    assert_eq!(
        world.json(&format!("/api/v1/events/{id}")).await["state"],
        json!("open")
    );
}

#[tokio::test]
async fn events_are_counted_and_exported() {
    let world = World::new();
    world.add_event(0, |event| event.label = Some("car".to_owned()));
    let person = world.add_event(100, |event| {
        event.identity = Some("=HYPERLINK()".to_owned())
    });
    world.add_event(200, |event| {
        event.kind = "motion".to_owned();
        event.label = None;
        event.score = None;
        event.camera = "back".to_owned();
    });
    let stats = world.json("/api/v1/events/stats").await;
    assert_eq!(stats["total_events"], 3);
    assert_eq!(stats["events_by_camera"], json!({"front": 2, "back": 1}));
    let objects = json!({"vehicle": 1, "person": 1, "motion": 1});
    assert_eq!(stats["events_by_object_type"], objects);
    assert_eq!(stats["average_confidence"], 87.7);
    assert_eq!(stats["time_range"]["start"], "2026-01-01T00:00:00Z");
    let later = "start_time=2026-01-01T00:01:00Z&camera_id=front";
    let stats = world.json(&format!("/api/v1/events/stats?{later}")).await;
    assert_eq!(stats["total_events"], 1);
    let alias = world.json("/api/v1/events/stats/aggregate").await;
    assert_eq!(alias["total_events"], 3);

    let csv = world.ask("GET", "/api/v1/events/export").await;
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8"));
    let text = csv.text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].starts_with("id,timestamp,"), "{text}");
    let line = lines.iter().find(|line| line.starts_with(&person)).unwrap();
    assert!(
        line.contains(",person,") && line.ends_with(",'=HYPERLINK()"),
        "{line}"
    );
    let json = world
        .ask("GET", "/api/v1/events/export?format=json&camera_id=back")
        .await;
    let line: serde_json::Value = serde_json::from_str(json.text().trim()).unwrap();
    assert_eq!(line["kind"], "motion");
    let refused = world.ask("GET", "/api/v1/events/export?format=xml").await;
    refused.assert_refused(400, "format: ");
}

#[tokio::test]
async fn a_file_of_many_events_has_each_once() {
    let world = World::new();
    for n in 0..1203 {
        // Many begin at the same moment, across the parts that are read at once.
        world.add_event(n / 700, |_| {});
    }
    let text = world.ask("GET", "/api/v1/events/export").await.text();
    let ids: std::collections::BTreeSet<&str> =
        text.lines().skip(1).map(|line| &line[..36]).collect();
    assert_eq!((text.lines().count(), ids.len()), (1204, 1203));
}
