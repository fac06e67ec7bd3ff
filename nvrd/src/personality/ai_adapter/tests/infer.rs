//! `POST /infer` with pictures that have a person and pictures that have none, and with what is wrong.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::{Shop, fits, frame};
use crate::infer::tests::{huge_png, jpeg};

#[tokio::test]
async fn bright_pictures_have_a_person() {
    let Some(shop) = Shop::seeing() else { return };
    shop.leave("white.jpg", 255).await;
    shop.leave("black.jpg", 0).await;
    let capable = json!({ "tasks": ["person_detection", "person_counting", "object_detection"] });
    assert_eq!(shop.get("/capabilities").await.json(), capable);
    let schemas = shop.get("/schema").await.json()["schemas"].clone();
    for (task, empty) in [
        (
            "person_detection",
            json!({ "label": "person", "confidence": 0.0, "bbox": [0, 0, 0, 0] }),
        ),
        (
            "person_counting",
            json!({ "task": "person_counting", "count": 0, "confidence": 0.0, "detections": [] }),
        ),
        (
            "object_detection",
            json!({ "task": "object_detection", "count": 0, "confidence": 0.0, "detections": [], "model_id": "bright" }),
        ),
    ] {
        // By its name, by a number, and with the long form.
        for uri in [
            "opennvr://gate/white.jpg",
            "opennvr://frames/camera_0/white.jpg",
        ] {
            let seen = shop.infer(&frame(task, uri)).await.json();
            fits(&schemas[task]["schema"], &seen).unwrap();
            assert_eq!(seen["camera"], "gate");
            let bbox = match task {
                "person_detection" => &seen["bbox"],
                _ => &seen["detections"][0]["bbox"],
            };
            assert_eq!(*bbox, json!([16, 24, 32, 16]), "{seen}");
            let drawn = format!("opennvr://frames/gate/{task}_annotated.jpg");
            assert_eq!(seen["annotated_image_uri"], drawn);
            let picture = shop.get(&drawn.replace("opennvr:/", "")).await;
            assert_eq!(picture.status(), 200);
            assert_eq!(picture.0.headers()["content-type"], "image/jpeg");
            assert!(picture.0.body().starts_with(&[0xff, 0xd8]));
        }
        let mut seen = shop
            .infer(&frame(task, "opennvr://gate/black.jpg"))
            .await
            .json();
        fits(&schemas[task]["schema"], &seen).unwrap();
        let map = seen.as_object_mut().unwrap();
        assert!(map.remove("executed_at").is_some() && map.remove("latency_ms").is_some());
        assert_eq!(map.remove("camera"), Some(json!("gate")));
        assert_eq!(seen, empty);
    }
}

#[tokio::test]
async fn pictures_come_along_in_three_ways() {
    let Some(shop) = Shop::seeing() else { return };
    let white = jpeg(64, 64, 255);
    let encoded = STANDARD.encode(&white);
    for image in [encoded.clone(), format!("data:image/jpeg;base64,{encoded}")] {
        let asked = json!({ "task": "person_counting", "input": { "image": image } });
        let seen = shop.infer(&asked).await.json();
        assert_eq!(seen["count"], 1);
        assert_eq!(seen["detections"][0]["track_id"], 1);
        assert!(seen.get("camera").is_none() && seen.get("annotated_image_uri").is_none());
    }
    let part = |name: &str, text: &str| {
        format!("--b\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{text}\r\n")
            .into_bytes()
    };
    let file = |bytes: &[u8]| {
        let mut part =
            b"--b\r\ncontent-disposition: form-data; name=\"frame\"; filename=\"f.jpg\"\r\n\r\n"
                .to_vec();
        part.extend(bytes);
        part.extend(b"\r\n");
        part
    };
    let send = async |parts: &[Vec<u8>]| {
        let body = [parts.concat(), b"--b--\r\n".to_vec()].concat();
        shop.post("/infer", "multipart/form-data; boundary=b", body)
            .await
    };
    let counting = part("task", "person_counting");
    let seen = send(&[counting.clone(), file(&white)]).await.json();
    assert_eq!(seen["count"], 1);
    let params = part(
        "params",
        r#"{"task":"object_detection","labels":["cat"],"threshold":0.2}"#,
    );
    let seen = send(&[file(&white), params]).await.json();
    assert_eq!(
        (&seen["task"], &seen["count"]),
        (&json!("object_detection"), &json!(0))
    );
    let refused = async |parts: &[Vec<u8>], detail: &str| {
        send(parts).await.assert_refused(400, detail);
    };
    refused(&[file(&white)], "Missing 'task' field").await;
    refused(std::slice::from_ref(&counting), "Missing 'frame' field").await;
    refused(&[counting.clone(), file(b"GIF89a")], "Invalid image").await;
    refused(
        &[counting.clone(), counting.clone(), file(&white)],
        "task: given twice",
    )
    .await;
    refused(
        &[counting.clone(), file(&white), part("params", "{")],
        "params: body: ",
    )
    .await;
    refused(
        &[
            counting.clone(),
            file(&white),
            part("params", r#"{"threshold":"x"}"#),
        ],
        "params: threshold: ",
    )
    .await;
    refused(
        &[counting.clone(), file(&white), part("colour", "red")],
        "colour: unknown field",
    )
    .await;
    shop.post("/infer", "multipart/form-data", "")
        .await
        .assert_refused(400, "boundary");
}

/// Bodies that are refused, with what they are told.
const WRONG: &[(&str, u16, &str)] = &[
    (r#"{}"#, 400, "Missing 'task' field"),
    (r#"{"task":""}"#, 400, "Missing 'task' field"),
    (r#"{"task":5}"#, 400, "task: invalid type"),
    (
        r#"{"task":"person_counting"}"#,
        400,
        "Missing 'input' field",
    ),
    (
        r#"{"task":"person_counting","inputs":{}}"#,
        400,
        "unknown field `inputs`",
    ),
    (
        r#"{"task":"cook","input":{}}"#,
        400,
        "Unsupported or disabled task: 'cook'. Available tasks: ['person_detection'",
    ),
    (
        r#"{"task":"image_classification","input":{}}"#,
        400,
        "Missing 'input_data' field",
    ),
    (
        r#"{"task":"object_detection","input":{"image":"IMAGE","labels":["dragon"]}}"#,
        400,
        "labels: the model does not know \"dragon\"",
    ),
    ("{", 400, "body: "),
    ("[]", 400, "body: use a JSON object"),
];

/// Inputs of `person_counting` that are refused, with what they are told.
const WRONG_INPUTS: &[(&str, u16, &str)] = &[
    (r#"{}"#, 400, "Missing 'input.frame' field"),
    (r#"{"frame":{}}"#, 400, "input.frame: missing field `uri`"),
    (
        r#"{"frame":{"uri":"file:///etc/passwd"}}"#,
        400,
        "Invalid frame URI",
    ),
    (
        r#"{"frame":{"uri":"opennvr://frames/gate/../../nvrd.db"}}"#,
        400,
        "Invalid frame URI",
    ),
    (
        r#"{"frame":{"uri":"opennvr://frames/gate/gone.jpg"}}"#,
        404,
        "Frame not found",
    ),
    (
        r#"{"frame":{"uri":"opennvr://frames/nobody/latest.jpg"}}"#,
        404,
        "Frame not found",
    ),
    (
        r#"{"frame":{"uri":"opennvr://frames/camera_7/latest.jpg"}}"#,
        404,
        "Frame not found",
    ),
    (
        r#"{"frame":{"uri":"opennvr://gate/latest.jpg"}}"#,
        503,
        "has sent no picture yet",
    ),
    (
        r#"{"frame":{"uri":"opennvr://gate/x.jpg"},"image":"aGk="}"#,
        400,
        "input.image: give a frame or an image",
    ),
    (
        r#"{"frame1":{"uri":"opennvr://gate/x.jpg"}}"#,
        400,
        "input.frame1: is for face_verify",
    ),
    (r#"{"image":"aGk="}"#, 400, "Invalid image"),
    (
        r#"{"image":"/etc/passwd"}"#,
        400,
        "input.image: Invalid image",
    ),
    (
        r#"{"image":"HUGE"}"#,
        400,
        "30000 x 30000 pixels are too many",
    ),
    (
        r#"{"image":"IMAGE","threshold":0}"#,
        400,
        "input.threshold: 0 is out of range",
    ),
    (
        r#"{"image":"IMAGE","threshold":1.5}"#,
        400,
        "input.threshold: 1.5 is out of range",
    ),
    (
        r#"{"image":"IMAGE","threshold":null,"labels":["cat"]}"#,
        400,
        "input.labels: is for object_detection",
    ),
];

#[tokio::test]
async fn wrong_requests_are_told_what_is_wrong() {
    let Some(shop) = Shop::seeing() else { return };
    let image = STANDARD.encode(jpeg(64, 64, 255));
    let huge = STANDARD.encode(huge_png(30_000, 30_000));
    let send = async |body: String, status: u16, detail: &str| {
        let body = body.replace("IMAGE", &image).replace("HUGE", &huge);
        let answer = shop.post("/infer", "application/json", body).await;
        answer.assert_refused(status, detail);
    };
    for (body, status, detail) in WRONG {
        send((*body).to_owned(), *status, detail).await;
    }
    for (input, status, detail) in WRONG_INPUTS {
        let body = format!(r#"{{"task":"person_counting","input":{input}}}"#);
        send(body, *status, detail).await;
    }
    let deep = format!(r#"{{"input_data":{{"inputs":{}"#, "[".repeat(100_000));
    send(deep, 400, "recursion limit").await;
}

#[tokio::test]
async fn bodies_of_other_kinds_and_sizes_are_refused() {
    let shop = Shop::bare();
    let send = async |kind: &str, body: &str| shop.post("/infer", kind, body).await;
    let other = send("text/plain", "{}").await;
    other.assert_refused(415, "Content-Type");
    let picture = send("image/jpeg", "x").await;
    picture.assert_refused(415, "Content-Type");
    let request = || warp::test::request().method("POST").path("/infer");
    let large = request().header("content-length", (16 << 20) + 1);
    let large = shop.reply(large).await;
    large.assert_refused(413, "larger than 16777216");
    let foreign = request().header("origin", "https://evil.example");
    shop.reply(foreign).await.assert_refused(403, "Origin");
}
