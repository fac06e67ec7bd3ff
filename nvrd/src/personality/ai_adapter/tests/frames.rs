//! Frames that are left, fetched and removed.

use serde_json::json;

use super::Shop;
use crate::infer::tests::jpeg;

#[tokio::test]
async fn frames_are_left_listed_fetched_and_removed() {
    let shop = Shop::bare();
    let none = shop.get("/frames/gate").await.json();
    assert_eq!(none, json!({ "frames": [], "count": 0 }));
    let white = jpeg(64, 64, 255);
    let answer = shop
        .post("/frames/camera_0/person.jpg", "image/jpeg", &white)
        .await;
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.0.headers()["location"], "/frames/gate/person.jpg");
    assert_eq!(answer.json()["uri"], "opennvr://frames/gate/person.jpg");
    let got = shop.get("/frames/gate/person.jpg").await;
    assert_eq!(got.0.body().as_ref(), white);
    assert_eq!(shop.get("/frames/gate").await.json()["count"], 1);
    let delete = |path: &str| warp::test::request().method("DELETE").path(path);
    let gone = shop.reply(delete("/frames/gate/person.jpg")).await;
    assert_eq!(gone.status(), 204);
    shop.reply(delete("/frames/gate/person.jpg"))
        .await
        .assert_refused(404, "Frame not found");
    shop.get("/frames/gate/person.jpg")
        .await
        .assert_refused(404, "Frame not found");
    shop.get("/frames/nobody")
        .await
        .assert_refused(404, "Frame not found");
    shop.get("/frames/gate/latest.jpg")
        .await
        .assert_refused(503, "no picture yet");
}

/// Uploads that are refused: name, type, body, status, and what they are told; `JPEG` is a picture.
const WRONG: &[(&str, &str, &str, u16, &str)] = &[
    (
        "latest.jpg",
        "image/jpeg",
        "JPEG",
        400,
        "choose another name",
    ),
    (
        "x_annotated.jpg",
        "image/jpeg",
        "JPEG",
        400,
        "choose another name",
    ),
    ("..%2fx.jpg", "image/jpeg", "JPEG", 400, "Invalid frame URI"),
    ("x.png", "image/jpeg", "JPEG", 400, "Invalid frame URI"),
    ("x.jpg", "image/jpeg", "", 400, "body: it is empty"),
    ("x.jpg", "image/jpeg", "hello", 400, "it is no JPEG"),
    ("x.jpg", "application/json", "{}", 415, "Content-Type"),
    ("x.jpg", "image/gif", "JPEG", 415, "Content-Type"),
];

#[tokio::test]
async fn what_is_no_frame_is_not_kept() {
    let shop = Shop::bare();
    let white = jpeg(64, 64, 255);
    for (file, kind, body, status, detail) in WRONG {
        let body = match *body {
            "JPEG" => white.as_slice(),
            body => body.as_bytes(),
        };
        let path = format!("/frames/gate/{file}");
        let answer = shop.post(&path, kind, body).await;
        answer.assert_refused(*status, detail);
    }
    let path = "/frames/gate/x.jpg";
    let half = shop.post(path, "image/jpeg", &white[..40]).await;
    half.assert_refused(400, "Invalid image");
    let path = "/frames/nobody/x.jpg";
    let nobody = shop.post(path, "image/jpeg", white).await;
    nobody.assert_refused(404, "Frame not found");
    assert_eq!(shop.get("/frames/gate").await.json()["count"], 0);
    assert!(!shop.world.context.storage.frames().exists());
}
