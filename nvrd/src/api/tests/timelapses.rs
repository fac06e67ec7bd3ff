//! Time-lapses over REST: from the wish to the file and its end.

use std::time::Duration;

use serde_json::{Value, json};

use super::stills::recorded;
use super::{Answer, NOW_US, SECOND_US, World, routes};

const NOW: i64 = NOW_US / SECOND_US;
const ALL: &str = "/api/v1/timelapses";

fn wish() -> Value {
    json!({ "camera": "front", "start_unix": NOW - 4, "end_unix": NOW + 4, "interval_s": 0.5, "fps": 10, "height": 90 })
}

/// Waits until a time-lapse is over.
async fn over(world: &World, path: &str) -> Value {
    for _ in 0..600 {
        let found = world.json(path).await;
        if !["queued", "running"].contains(&found["state"].as_str().unwrap()) {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{path} is not over after half a minute");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_becomes_a_film() {
    let Some((world, _)) = recorded() else { return };
    world.clock.advance(Duration::from_secs(10));
    let asked = world.send("POST", ALL, &wish()).await;
    assert_eq!(asked.status, 202, "{}", asked.text());
    let path = asked.header("location").unwrap().to_owned();
    let id = asked.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(path, format!("{ALL}/{id}"));
    let done = over(&world, &path).await;
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(
        (&done["progress"], &done["pictures"]),
        (&json!(1.0), &json!(8))
    );
    assert_eq!(done["detail"], "8 of its moments are not recorded");
    assert_eq!(done["shown_start_unix_us"], json!(NOW_US));
    assert_eq!(world.json(ALL).await["items"], json!([done]));

    let url = done["url"].as_str().unwrap();
    let whole = world.ask("GET", url).await;
    assert_eq!(
        (whole.status, whole.header("content-type")),
        (200, Some("video/mp4"))
    );
    assert_eq!(json!(whole.response.body().len()), done["bytes"]);
    assert_eq!(&whole.response.body()[4..8], b"ftyp");
    let request = warp::test::request().path(url).header("range", "bytes=4-7");
    let part = Answer::of(request.reply(&routes(world.context.clone())).await);
    assert_eq!(
        (part.status, &part.response.body()[..]),
        (206, &b"ftyp"[..])
    );

    assert_eq!(world.ask("DELETE", &path).await.status, 204);
    world
        .ask("GET", &path)
        .await
        .assert_refused(404, "no time-lapse has the id");
    let folder = world.folder.path().join("timelapses");
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wish_can_be_taken_back() {
    let Some((world, _)) = recorded() else { return };
    world.clock.advance(Duration::from_secs(10));
    let mut paths = Vec::new();
    // Long enough that none of them is done before it is cancelled: 80 pictures with a rest after each.
    for _ in 0..16 {
        let mut wish = wish();
        wish["interval_s"] = json!(0.1);
        let asked = world.send("POST", ALL, &wish).await;
        assert_eq!(asked.status, 202, "{}", asked.text());
        paths.push(asked.header("location").unwrap().to_owned());
    }
    let last = paths.last().unwrap();
    let file = world.ask("GET", &format!("{last}/file.mp4")).await;
    file.assert_refused(409, "is queued: it has no file");
    for path in &paths {
        assert_eq!(world.ask("DELETE", path).await.status, 204);
    }
    let cancelled = over(&world, last).await;
    assert_eq!(
        (&cancelled["state"], &cancelled["url"]),
        (&json!("cancelled"), &Value::Null)
    );
    assert_eq!(world.ask("DELETE", last).await.status, 204);
    assert_eq!(world.ask("GET", last).await.status, 404);
}

#[tokio::test]
async fn wishes_that_make_no_sense_name_the_field() {
    let world = World::new();
    world.clock.advance(Duration::from_secs(10));
    let check = async |field: &str, value: Value, status: u16, expect: &str| {
        let mut wish = wish();
        wish[field] = value;
        world
            .send("POST", ALL, &wish)
            .await
            .assert_refused(status, expect);
    };
    check("interval_s", json!(0), 400, "interval_s: use 0.1 or more").await;
    check(
        "interval_s",
        json!(-1),
        400,
        "interval_s: -1 is out of range",
    )
    .await;
    check("interval_s", json!("a"), 400, "interval_s: invalid type").await;
    check(
        "fps",
        json!(61),
        400,
        "fps: 61 is out of range: use 1 to 60",
    )
    .await;
    check("height", json!(1), 400, "height: 1 is out of range").await;
    check(
        "end_unix",
        json!(NOW - 5),
        400,
        "start_unix: is not before end_unix",
    )
    .await;
    check(
        "end_unix",
        json!(NOW + 500),
        400,
        "end_unix: lies in the future",
    )
    .await;
    check("start_unix", json!(0), 400, "are the most: use").await;
    check("width", json!(1), 400, "unknown field `width`").await;
    check("camera", json!("../x"), 404, "no camera is called").await;
    check(
        "camera",
        json!("front"),
        404,
        "nothing of camera \"front\" is recorded",
    )
    .await;
    world
        .ask("GET", &format!("{ALL}/x"))
        .await
        .assert_refused(404, "no time-lapse has the id");
    world
        .ask("DELETE", &format!("{ALL}/x"))
        .await
        .assert_refused(404, "no time-lapse has the id");
    assert_eq!(world.json(ALL).await["total"], 0);
}
