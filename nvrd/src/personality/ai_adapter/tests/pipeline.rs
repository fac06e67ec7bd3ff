//! Several tasks on one picture.

use serde_json::{Value, json};

use super::Shop;

#[tokio::test]
async fn several_tasks_look_at_one_picture() {
    let Some(shop) = Shop::seeing() else { return };
    shop.leave("x.jpg", 255).await;
    let run = async |steps: Value, data: Value| {
        let body = json!({ "steps": steps, "data": data });
        shop.post("/pipeline/run", "application/json", body.to_string())
            .await
    };
    let data = json!({ "frame": { "uri": "opennvr://frames/gate/x.jpg" } });
    let done = run(json!(["person_counting", "object_detection"]), data.clone())
        .await
        .json();
    assert_eq!(done["status"], "success");
    assert_eq!(done["results"]["person_counting"]["count"], 1);
    assert_eq!(
        done["results"]["object_detection"]["detections"][0]["label"],
        "person"
    );
    let done = run(
        json!(["person_counting", "face_recognition", "object_detection"]),
        data.clone(),
    )
    .await
    .json();
    assert_eq!(
        (&done["status"], &done["failed_at"]),
        (&json!("error"), &json!("face_recognition"))
    );
    assert_eq!(done["partial_results"]["person_counting"]["count"], 1);
    assert!(done["partial_results"].get("object_detection").is_none());
    let mut labelled = data.clone();
    labelled["labels"] = json!(["cat"]);
    for (steps, data, status, detail) in [
        (json!([]), data.clone(), 400, "steps: 0 tasks are given"),
        (
            json!(["cook"]),
            data.clone(),
            400,
            "steps[0]: Unsupported or disabled task: 'cook'",
        ),
        (
            json!(["person_counting", "person_counting"]),
            data.clone(),
            400,
            "steps[1]: 'person_counting' is given twice",
        ),
        (
            json!(["person_counting"]),
            labelled,
            400,
            "data.labels: is for object_detection",
        ),
        (
            json!(["person_counting"]),
            json!({}),
            400,
            "Missing 'data.frame' field",
        ),
        (
            json!(["person_counting"]),
            json!({ "frame": { "uri": "x" } }),
            400,
            "Invalid frame URI",
        ),
        (
            json!(["person_counting"]),
            json!({ "frame": { "uri": "opennvr://x/y.jpg" } }),
            404,
            "Frame not found",
        ),
        (
            json!("person_counting"),
            data.clone(),
            400,
            "steps: invalid type",
        ),
    ] {
        run(steps, data).await.assert_refused(status, detail);
    }
}
