//! Pictures of recordings over REST: a moment, thumbnails, sheets, and what a client may keep of them.

use serde_json::{Value, json};

use super::{Answer, NOW_US, SECOND_US, World, routes};
use crate::stills::tests::{record, row_of};

const NOW: i64 = NOW_US / SECOND_US;

/// A world in which `front` has four seconds of a ball from [`NOW_US`] on, and the id of that segment.
pub(super) fn recorded() -> Option<(World, String)> {
    let world = World::new();
    let storage = &world.context.storage;
    let file = record(&storage.recordings_of(&"front".parse().unwrap()))?;
    let row = row_of(storage, &world.context.store, &file, NOW_US);
    assert!(world.context.store.insert_segment(&row).unwrap());
    Some((world, row.id))
}

async fn ask_with(world: &World, path: &str, header: (&str, &str)) -> Answer {
    let request = warp::test::request().path(path).header(header.0, header.1);
    Answer::of(request.reply(&routes(world.context.clone())).await)
}

/// Sees that it is a JPEG, that HEAD tells of the same one, and that a client that has it does not get it again.
async fn assert_picture(world: &World, path: &str, cache: &str) -> Answer {
    let got = world.ask("GET", path).await;
    assert_eq!(got.status, 200, "{path}: {}", got.text());
    assert_eq!(got.header("content-type"), Some("image/jpeg"), "{path}");
    assert!(got.response.body().starts_with(&[0xff, 0xd8]), "{path}");
    assert!(
        got.header("cache-control").unwrap().contains(cache),
        "{path}"
    );
    let head = world.ask("HEAD", path).await;
    assert_eq!(
        (head.status, head.response.body().len()),
        (200, 0),
        "{path}"
    );
    let length = got.response.body().len().to_string();
    assert_eq!(
        head.header("content-length"),
        Some(length.as_str()),
        "{path}"
    );
    let known = ask_with(world, path, ("if-none-match", got.header("etag").unwrap())).await;
    assert_eq!(
        (known.status, known.response.body().len()),
        (304, 0),
        "{path}"
    );
    got
}

#[tokio::test]
async fn a_moment_has_its_picture() {
    let Some((world, _)) = recorded() else { return };
    let path = |rest: &str| format!("/api/v1/recordings/front/frame.jpg?at_unix={NOW}{rest}");
    let got = assert_picture(&world, &path(".5"), "immutable").await;
    assert_eq!(
        got.header("x-frame-unix"),
        Some(format!("{NOW}.480000").as_str())
    );
    assert_eq!(got.header("x-frame-damaged"), None);
    let key = assert_picture(&world, &path(".5&exact=false&height=90"), "immutable").await;
    assert_eq!(
        key.header("x-frame-unix"),
        Some(format!("{NOW}.000000").as_str())
    );
    assert!(key.response.body().len() < got.response.body().len());

    let after = format!("/api/v1/recordings/front/frame.jpg?at_unix={}", NOW + 4);
    // In the last moments of a segment its last picture stands.
    assert_eq!(
        world.ask("GET", &after).await.header("x-frame-unix"),
        Some(format!("{}.960000", NOW + 3).as_str())
    );
    let before = format!("/api/v1/recordings/front/frame.jpg?at_unix={}", NOW - 1);
    let near = format!("what is after it begins at {NOW}.000000");
    world.ask("GET", &before).await.assert_refused(404, &near);
}

#[tokio::test]
async fn wrong_questions_are_named() {
    let world = World::new();
    #[rustfmt::skip]
    let all = [
        ("recordings/gate/frame.jpg", 400, "at_unix: is missing"),
        ("recordings/gate/frame.jpg?at_unix=soon", 400, "at_unix: \"soon\""),
        ("recordings/gate/frame.jpg?at_unix=1&exact=yes", 400, "exact: \"yes\": use true or false"),
        ("recordings/gate/frame.jpg?at_unix=1&height=5", 400, "height: \"5\" is out of range: use 16 to 4320"),
        ("recordings/gate/frame.jpg?at_unix=1&width=5", 400, "unknown parameter `width`"),
        ("recordings/gate/frame.jpg?at_unix=1", 404, "nothing of it is recorded"),
        ("recordings/nobody/frame.jpg?at_unix=1", 404, "no camera is called \"nobody\""),
        ("recordings/..%2f/frame.jpg?at_unix=1", 404, "no camera is called"),
        ("recordings/gate/sprite.jpg?count=51", 400, "count: \"51\" is out of range: use 1 to 50"),
        ("recordings/gate/sprite.json?columns=0", 400, "columns: \"0\""),
        ("recordings/gate/sprite.jpg?height=241", 400, "height: \"241\" is out of range: use 16 to 240"),
        ("recordings/gate/sprite.jpg?start_unix=2&end_unix=1", 400, "start_unix: is not before end_unix"),
        ("recordings/gate/sprite.jpg", 404, "nothing of it is recorded"),
        ("recordings/nobody/sprite.json", 404, "no camera is called \"nobody\""),
        ("recordings/front/01890a5d-ac96-774b-bcce-b302099a8057/thumbnail.jpg", 404, "no segment has the id"),
        ("events/01890a5d-ac96-774b-bcce-b302099a8057/sprite.jpg", 404, "no event has the id"),
        ("events/01890a5d-ac96-774b-bcce-b302099a8057/sprite.json?count=0", 400, "count: \"0\""),
    ];
    for (path, status, detail) in all {
        println!("{path}");
        let answer = world.ask("GET", &format!("/api/v1/{path}")).await;
        answer.assert_refused(status, detail);
    }
}

#[tokio::test]
async fn segments_and_events_have_small_pictures() {
    let Some((world, id)) = recorded() else {
        return;
    };
    let list = format!(
        "/api/v1/cameras/front/recordings?start_unix={NOW}&end_unix={}",
        NOW + 4
    );
    let url = world.json(&list).await["items"][0]["thumbnail_url"].clone();
    assert_eq!(
        url,
        json!(format!("/api/v1/recordings/front/{id}/thumbnail.jpg"))
    );
    assert_picture(&world, url.as_str().unwrap(), "immutable").await;
    let other = format!("/api/v1/recordings/gate/{id}/thumbnail.jpg");
    world
        .ask("GET", &other)
        .await
        .assert_refused(404, "has no segment with the id");

    // The event's middle is recorded, and no better picture was kept.
    let event = world.add_event(1, |event| event.end_us = Some(event.start_us + SECOND_US));
    let url = format!("/api/v1/events/{event}/thumbnail");
    assert_picture(&world, &url, "no-cache").await;
    let made = world
        .context
        .storage
        .thumbnails()
        .join(format!("made/{event}.jpg"));
    assert!(made.is_file());
    world
        .ask("DELETE", &format!("/api/v1/events/{event}"))
        .await;
    assert!(!made.exists());
    // Its middle is not recorded, and its start is.
    let event = world.add_event(3, |event| {
        event.end_us = Some(event.start_us + 60 * SECOND_US)
    });
    assert_picture(
        &world,
        &format!("/api/v1/events/{event}/thumbnail"),
        "no-cache",
    )
    .await;
}

#[tokio::test]
async fn a_sheet_says_what_each_cell_shows() {
    let Some((world, _)) = recorded() else { return };
    let query = format!(
        "start_unix={NOW}&end_unix={}&count=8&columns=3&height=60",
        NOW + 8
    );
    let path = |kind: &str| format!("/api/v1/recordings/front/sprite.{kind}?{query}");
    let told = world.json(&path("json")).await;
    assert_eq!((&told["columns"], &told["rows"]), (&json!(3), &json!(3)));
    assert_eq!((&told["width"], &told["height"]), (&json!(106), &json!(60)));
    let cells = told["cells"].as_array().unwrap();
    let places: Vec<_> = cells.iter().map(|cell| (&cell["x"], &cell["y"])).collect();
    assert_eq!(places[4], (&json!(106), &json!(60)));
    assert_eq!(cells[0]["wanted_unix_us"], json!(NOW_US + SECOND_US / 2));
    assert_eq!(cells[7]["unix_us"], Value::Null);

    let sheet = assert_picture(&world, &path("jpg"), "no-cache").await;
    let times: Vec<&str> = sheet.header("x-sprite-unix").unwrap().split(',').collect();
    let told: Vec<String> = cells
        .iter()
        .map(|cell| match cell["unix_us"].as_i64() {
            Some(us) => format!("{}.{:06}", us / SECOND_US, us % SECOND_US),
            None => String::new(),
        })
        .collect();
    assert_eq!(times, told);
    assert_eq!(times.iter().filter(|time| !time.is_empty()).count(), 4);

    let event = world.add_event(0, |event| {
        event.end_us = Some(event.start_us + 4 * SECOND_US)
    });
    let told = world
        .json(&format!("/api/v1/events/{event}/sprite.json?count=4"))
        .await;
    assert!(
        told["cells"]
            .as_array()
            .unwrap()
            .iter()
            .all(|cell| cell["unix_us"].is_i64()),
        "{told}"
    );
    assert_picture(
        &world,
        &format!("/api/v1/events/{event}/sprite.jpg?count=4"),
        "no-cache",
    )
    .await;
}
