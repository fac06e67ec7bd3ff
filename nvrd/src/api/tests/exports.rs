//! Exports over REST: asking, refusing, waiting, fetching, removing.

use nvr_base::Principal;
use serde_json::{Value, json};

use super::{Answer, NOW_US, SECOND_US, World, routes};
use nvr_store::ExportOutcome;

const NOW: i64 = NOW_US / SECOND_US;

/// With segments from 0 to 20 s, and the clock at 100 s.
fn world() -> World {
    let world = World::new();
    world.add_segment(0, b"0123456789", None);
    world.add_segment(10, b"x", None);
    world.clock.advance(std::time::Duration::from_secs(100));
    world
}

fn wish(from: i64, to: i64) -> Value {
    json!({"camera": "front", "start_unix": NOW + from, "end_unix": NOW + to})
}

#[tokio::test]
async fn an_export_is_asked_for_seen_and_cancelled() {
    let world = world();
    let mut body = wish(5, 15);
    body["name"] = json!("the van");
    let answer = world.send("POST", "/api/v1/exports", &body).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let made = answer.json();
    let id = made["id"].as_str().unwrap();
    let path = format!("/api/v1/exports/{id}");
    assert_eq!(answer.header("location"), Some(path.as_str()));
    assert_eq!(
        made,
        json!({
            "id": id, "camera": "front", "name": "the van", "start_unix_us": NOW_US + 5 * SECOND_US,
            "end_unix_us": NOW_US + 15 * SECOND_US, "state": "queued", "progress": 0.0, "shown_start_unix_us": null,
            "bytes": null, "missing": [], "detail": null, "url": null, "created_unix_us": NOW_US + 100 * SECOND_US,
            "finished_unix_us": null, "expires_unix_us": null,
        })
    );
    assert_eq!(world.json(&path).await, made);
    let list = world.json("/api/v1/exports?limit=1").await;
    assert_eq!((&list["items"][0], &list["total"]), (&made, &json!(1)));
    let file = format!("{path}/file.mp4");
    world
        .ask("GET", &file)
        .await
        .assert_refused(409, "is queued: it has no file");

    assert_eq!(world.ask("DELETE", &path).await.status, 204);
    assert_eq!(world.json(&path).await["state"], "cancelled");
    assert_eq!(world.ask("DELETE", &path).await.status, 204);
    world
        .ask("GET", &path)
        .await
        .assert_refused(404, "no export has the id");
    world
        .ask("DELETE", &path)
        .await
        .assert_refused(404, "no export has the id");
}

#[tokio::test]
async fn what_is_missing_is_told_at_once() {
    let world = world();
    let made = world
        .send("POST", "/api/v1/exports", &wish(-10, 30))
        .await
        .json();
    let missing: Vec<(i64, i64)> = made["missing"]
        .as_array()
        .unwrap()
        .iter()
        .map(|gap| {
            let second = |key: &str| (gap[key].as_i64().unwrap() - NOW_US) / SECOND_US;
            (second("start_unix_us"), second("end_unix_us"))
        })
        .collect();
    assert_eq!(missing, [(-10, 0), (20, 30)]);
}

#[tokio::test]
async fn a_wish_that_cannot_be_met_is_refused_with_its_field() {
    let world = world();
    let check = async |change: Value, status: u16, detail: &str| {
        let mut body = wish(5, 15);
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        world
            .send("POST", "/api/v1/exports", &body)
            .await
            .assert_refused(status, detail);
    };
    check(
        json!({"start_unix": NOW + 15}),
        400,
        "start_unix: is not before end_unix",
    )
    .await;
    check(
        json!({"end_unix": NOW + 101}),
        400,
        "end_unix: lies in the future",
    )
    .await;
    check(json!({"start_unix": NOW - 90_000}), 400, "and may be 24 h").await;
    check(json!({"start_unix": -1}), 400, "start_unix: is no moment").await;
    check(
        json!({"start_unix": 1e300}),
        400,
        "start_unix: is no moment",
    )
    .await;
    check(json!({"start_unix": "x"}), 400, "start_unix: invalid type").await;
    check(json!({"camera": "../x"}), 400, "camera: ").await;
    check(
        json!({"camera": "gate"}),
        404,
        "nothing of \"gate\" is recorded between 2026-01-01T00:00:05Z",
    )
    .await;
    check(
        json!({"start_unix": NOW - 5000, "end_unix": NOW - 4000}),
        404,
        "nothing of \"front\"",
    )
    .await;
    check(json!({"name": "a\nb"}), 400, "name: use 1 to 128 bytes").await;
    check(json!({"name": ""}), 400, "name: use 1 to 128 bytes").await;
    check(json!({"colour": 1}), 400, "unknown field `colour`").await;
}

#[tokio::test]
async fn a_change_of_codec_and_a_full_queue_are_refused() {
    let world = world();
    for _ in 0..16 {
        assert_eq!(
            world
                .send("POST", "/api/v1/exports", &wish(0, 1))
                .await
                .status,
            202
        );
    }
    let full = world.send("POST", "/api/v1/exports", &wish(0, 1)).await;
    full.assert_refused(503, "16 exports are waiting already");
    assert!(full.header("retry-after").is_some());

    let mut other = world
        .context
        .store
        .segments(Principal::system(), "front", i64::MIN, i64::MAX, 1)
        .unwrap()
        .remove(0);
    (other.id, other.path) = (world.context.store.new_id(), "front/h265.mp4".to_owned());
    (other.start_us, other.end_us) = (NOW_US + 20 * SECOND_US, NOW_US + 30 * SECOND_US);
    other.codec = "h265".to_owned();
    assert!(world.context.store.insert_segment(&other).unwrap());
    world
        .send("POST", "/api/v1/exports", &wish(5, 25))
        .await
        .assert_refused(
            409,
            "the codec changes from h264 to h265 at 2026-01-01T00:00:20Z",
        );
}

/// An export that is done, and what its file of a thousand bytes holds.
async fn done_export(world: &World) -> (String, Vec<u8>) {
    let asked = world.send("POST", "/api/v1/exports", &wish(5, 15)).await;
    let id = asked.json()["id"].as_str().unwrap().to_owned();
    let store = &world.context.store;
    assert!(store.begin_export(&id).unwrap());
    let outcome = ExportOutcome::Done {
        shown_us: NOW_US + 5 * SECOND_US,
        bytes: 1000,
        missing: Vec::new(),
        detail: None,
    };
    assert!(store.end_export(&id, &outcome).unwrap());
    let content: Vec<u8> = (0..1000_u32).map(|n| (n % 251) as u8).collect();
    std::fs::create_dir_all(world.folder.path().join("exports")).unwrap();
    std::fs::write(file_of(world, &id), &content).unwrap();
    (id, content)
}

fn file_of(world: &World, id: &str) -> std::path::PathBuf {
    world.folder.path().join(format!("exports/{id}.mp4"))
}

#[tokio::test]
async fn an_export_that_is_done_says_where_and_until_when() {
    let world = world();
    let (id, _) = done_export(&world).await;
    let path = format!("/api/v1/exports/{id}");
    let done = world.json(&path).await;
    assert_eq!(
        (&done["state"], &done["progress"]),
        (&json!("done"), &json!(1.0))
    );
    assert_eq!(done["url"], format!("{path}/file.mp4"));
    assert_eq!(
        done["expires_unix_us"].as_i64().unwrap() - done["finished_unix_us"].as_i64().unwrap(),
        7 * 86_400 * SECOND_US
    );
    assert_eq!(world.ask("DELETE", &path).await.status, 204);
    let file = file_of(&world, &id);
    assert!(!file.exists(), "the file goes with the export");
}

#[tokio::test]
async fn the_file_of_an_export_is_served_in_parts_under_its_name() {
    let world = world();
    let (id, content) = done_export(&world).await;
    let path = format!("/api/v1/exports/{id}");
    let api = routes(world.context.clone());
    let check = async |method: &str,
                       headers: &[(&str, &str)],
                       status: u16,
                       part: Option<std::ops::Range<usize>>| {
        let mut request = warp::test::request()
            .method(method)
            .path(&format!("{path}/file.mp4"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = Answer::of(request.reply(&api).await);
        assert_eq!(answer.status, status, "{method} {headers:?}");
        if let Some(part) = part {
            let body = if method == "HEAD" { 0..0 } else { part.clone() };
            assert!(
                answer.response.body()[..] == content[body],
                "{method} {headers:?}"
            );
            assert_eq!(
                answer.header("content-length"),
                Some(part.len().to_string().as_str())
            );
            assert_eq!(
                answer.header("content-disposition"),
                Some(
                    "attachment; filename=\"front_2026-01-01_00-00-05Z_2026-01-01_00-00-15Z.mp4\""
                )
            );
            assert_eq!(answer.header("accept-ranges"), Some("bytes"));
            let shown =
                (status == 206).then(|| format!("bytes {}-{}/1000", part.start, part.end - 1));
            assert_eq!(
                answer.header("content-range"),
                shown.as_deref(),
                "{headers:?}"
            );
        }
    };
    let tag = format!("\"{id}\"");
    check("GET", &[], 200, Some(0..1000)).await;
    check("HEAD", &[], 200, Some(0..1000)).await;
    check("HEAD", &[("range", "bytes=0-9")], 200, Some(0..1000)).await;
    check("GET", &[("range", "bytes=0-9")], 206, Some(0..10)).await;
    check("GET", &[("range", "bytes=990-")], 206, Some(990..1000)).await;
    check("GET", &[("range", "bytes=-1")], 206, Some(999..1000)).await;
    check("GET", &[("range", "bytes=-5000")], 206, Some(0..1000)).await;
    check("GET", &[("range", "bytes=0-1,5-6")], 200, Some(0..1000)).await;
    check(
        "GET",
        &[("range", "bytes=0-9"), ("if-range", &tag)],
        206,
        Some(0..10),
    )
    .await;
    check(
        "GET",
        &[("range", "bytes=0-9"), ("if-range", "\"b\"")],
        200,
        Some(0..1000),
    )
    .await;
    check("GET", &[("range", "bytes=1000-")], 416, None).await;
    check("GET", &[("range", "bytes=-0")], 416, None).await;
    check("GET", &[("if-none-match", &tag)], 304, None).await;
}
