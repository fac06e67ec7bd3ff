//! Recordings over REST: what covers a time, and files in parts.

use serde_json::{Value, json};

use super::{Answer, NOW_US, SECOND_US, World, routes};

const NOW: i64 = NOW_US / SECOND_US;

#[tokio::test]
async fn a_range_has_its_segments_and_its_gaps() {
    let world = World::new();
    let id = world.add_segment(0, b"0123456789", Some("abc"));
    world.add_segment(10, b"x", None);
    world.add_segment(60, b"x", None);
    let store = &world.context.store;
    store
        .add_gap(
            "front",
            "source_lost",
            NOW_US + 20 * SECOND_US,
            Some(NOW_US + 60 * SECOND_US),
            Some("no route"),
        )
        .unwrap();
    store
        .open_gap("front", "disk_full", NOW_US + 70 * SECOND_US, None)
        .unwrap();

    let path = |from: i64, to: i64| {
        format!(
            "/api/v1/cameras/front/recordings?start_unix={}&end_unix={}",
            NOW + from,
            NOW + to
        )
    };
    let found = world.json(&path(0, 100)).await;
    assert_eq!(
        found["items"][0],
        json!({
            "id": id, "start_unix_us": NOW_US, "end_unix_us": NOW_US + 10 * SECOND_US, "duration_s": 10.0,
            "frames": 250, "bytes": 10, "codec": "h264", "width": 1920, "height": 1080, "blake3": "abc",
            "discont": false, "storage": world.context.storage.first().id().unwrap(), "protected": false,
            "audio": null, "url": format!("/api/v1/recordings/front/{id}/file.mp4"),
            "thumbnail_url": format!("/api/v1/recordings/front/{id}/thumbnail.jpg"),
            "camera_id": "front", "start": "2026-01-01T00:00:00Z", "end": "2026-01-01T00:00:10Z",
            "start_unix": NOW as f64, "end_unix": NOW as f64 + 10.0, "duration": 10.0, "file": "0.mp4", "size": 10,
            "playback_url": format!("/api/v1/recordings/front/{id}/file.mp4"),
        })
    );
    // OpenNVR's clients read the files alone, as a list.
    let chunks = path(0, 100).replace("cameras/front/recordings", "recordings/front");
    assert_eq!(world.json(&chunks).await, found["items"]);
    let first = world.ask("GET", &format!("{chunks}&limit=1")).await;
    let next = first.header("x-next-start-unix").unwrap();
    assert!(next.parse::<f64>().unwrap() >= NOW as f64 + 10.0, "{next}");
    assert_eq!(found["items"].as_array().unwrap().len(), 3);
    assert_eq!(
        (&found["gaps"][0]["reason"], &found["gaps"][0]["detail"]),
        (&json!("source_lost"), &json!("no route"))
    );
    assert_eq!(
        (
            &found["gaps"][1]["reason"],
            &found["gaps"][1]["end_unix_us"]
        ),
        (&json!("disk_full"), &Value::Null)
    );
    assert_eq!(found["next_start_unix"], Value::Null);

    // Ranges include their start and exclude their end.
    assert_eq!(
        world.json(&path(9, 10)).await["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(
        world.json(&path(10, 11)).await["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    assert_eq!(world.json(&path(30, 40)).await["items"], json!([]));
    // The clock stands where the first segment begins: the day before it has nothing.
    assert_eq!(
        world.json("/api/v1/cameras/front/recordings").await["items"],
        json!([])
    );
    assert_eq!(
        world.json("/api/v1/cameras/gate/recordings").await["items"],
        json!([])
    );
}

#[tokio::test]
async fn a_full_answer_says_where_to_go_on() {
    let world = World::new();
    for second in 0..7 {
        world.add_segment(second * 10, b"x", None);
    }
    let (mut start, mut got) = (NOW as f64, Vec::new());
    for expect in [3, 3, 1] {
        let path = format!(
            "/api/v1/cameras/front/recordings?start_unix={start}&end_unix={}&limit=3",
            NOW + 1000
        );
        let found = world.json(&path).await;
        let items = found["items"].as_array().unwrap();
        assert_eq!(items.len(), expect);
        got.extend(
            items
                .iter()
                .map(|item| (item["start_unix_us"].as_i64().unwrap() - NOW_US) / SECOND_US),
        );
        start = found["next_start_unix"].as_f64().unwrap_or(0.0);
    }
    assert_eq!(got, [0, 10, 20, 30, 40, 50, 60]);
    assert_eq!(start, 0.0, "the last answer is not full");
}

#[tokio::test]
async fn files_come_whole_or_in_parts() {
    let world = World::new();
    let api = routes(world.context.clone());
    // More than one chunk, and not a whole number of them.
    let content: Vec<u8> = (0..700_001_u32).map(|n| (n % 251) as u8).collect();
    let id = world.add_segment(0, &content, Some("f00d"));
    let path = format!("/api/v1/recordings/front/{id}/file.mp4");
    let check = async |headers: &[(&str, &str)], status: u16, range: std::ops::Range<usize>| {
        let mut request = warp::test::request().path(&path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = Answer::of(request.reply(&api).await);
        assert_eq!(answer.status, status, "{headers:?}");
        assert!(
            answer.response.body()[..] == content[range.clone()],
            "{headers:?}"
        );
        assert_eq!(
            answer.header("content-length"),
            Some(range.len().to_string().as_str()),
            "{headers:?}"
        );
        assert_eq!(
            (answer.header("etag"), answer.header("accept-ranges")),
            (Some("\"f00d\""), Some("bytes"))
        );
        assert_eq!(answer.header("content-type"), Some("video/mp4"));
        let shown =
            (status == 206).then(|| format!("bytes {}-{}/700001", range.start, range.end - 1));
        assert_eq!(
            answer.header("content-range"),
            shown.as_deref(),
            "{headers:?}"
        );
    };
    check(&[], 200, 0..700_001).await;
    check(&[("range", "bytes=0-0")], 206, 0..1).await;
    check(&[("range", "bytes=262143-600000")], 206, 262_143..600_001).await;
    check(&[("range", "bytes=700000-")], 206, 700_000..700_001).await;
    check(&[("range", "bytes=-5")], 206, 699_996..700_001).await;
    check(&[("range", "bytes=0-9,20-29")], 200, 0..700_001).await;
    check(
        &[("range", "bytes=0-9"), ("if-range", "\"f00d\"")],
        206,
        0..10,
    )
    .await;
    check(
        &[("range", "bytes=0-9"), ("if-range", "\"other\"")],
        200,
        0..700_001,
    )
    .await;
    check(
        &[
            ("range", "bytes=0-9"),
            ("if-range", "Thu, 01 Jan 2026 00:00:00 GMT"),
        ],
        200,
        0..700_001,
    )
    .await;
}

#[tokio::test]
async fn what_the_client_has_or_cannot_have_is_not_sent() {
    let world = World::new();
    let api = routes(world.context.clone());
    let id = world.add_segment(0, &[7; 700_001], Some("f00d"));
    let path = format!("/api/v1/recordings/front/{id}/file.mp4");
    let behind = warp::test::request()
        .path(&path)
        .header("range", "bytes=700001-")
        .reply(&api)
        .await;
    let behind = Answer::of(behind);
    behind.assert_refused(416, "700001 bytes");
    assert_eq!(behind.header("content-range"), Some("bytes */700001"));
    let known = warp::test::request()
        .path(&path)
        .header("if-none-match", "W/\"f00d\"")
        .reply(&api)
        .await;
    assert_eq!((known.status().as_u16(), known.body().len()), (304, 0));
    let head = world.ask("HEAD", &path).await;
    assert_eq!(
        (
            head.status,
            head.response.body().len(),
            head.header("content-length")
        ),
        (200, 0, Some("700001"))
    );
}

#[tokio::test]
async fn a_file_is_found_only_by_its_row() {
    let world = World::new();
    let id = world.add_segment(0, b"x", None);
    let path = format!("/api/v1/recordings/front/{id}/file.mp4");
    assert_eq!(
        world.ask("GET", &path).await.header("etag"),
        Some(format!("\"{id}\"").as_str())
    );
    let other = format!("/api/v1/recordings/gate/{id}/file.mp4");
    world
        .ask("GET", &other)
        .await
        .assert_refused(404, "has no segment with the id");
    std::fs::remove_file(world.folder.path().join("recordings/front/0.mp4")).unwrap();
    world
        .ask("GET", &path)
        .await
        .assert_refused(404, "the file has gone");
}
