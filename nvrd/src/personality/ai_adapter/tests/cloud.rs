//! Models elsewhere, played by a server of the test.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Shop, fits};
use crate::config::CloudConfig;
use crate::outbound::stub::{Asked, Stub, Told};

/// An adapter whose models elsewhere are a server of the test.
fn with_cloud(stub: &Stub, token: Option<&str>) -> Shop {
    Shop::new(|config, folder| {
        let token_file = token.map(|token| {
            let path = folder.join("token");
            std::fs::write(&path, format!("{token}\n")).unwrap();
            path
        });
        config.cloud = Some(CloudConfig {
            endpoint: stub.url("/hf/").parse().unwrap(),
            token_file,
            timeout_s: 5,
        });
    })
}

fn elsewhere(task: &str, input_data: Value) -> Value {
    json!({ "task": task, "input_data": input_data })
}

/// Task, model, what the model answers, and what is told.
const SHAPES: &[(&str, &str, &str, &str)] = &[
    (
        "object_detection_detr",
        "facebook/detr-resnet-50",
        r#"[{"label":"cat","score":0.9,"box":{"xmin":10,"ymin":20,"xmax":110,"ymax":60}},
            {"label":"couch","score":0.7,"box":{"xmin":0,"ymin":0,"xmax":5,"ymax":5}}]"#,
        r#"{"count":2,"confidence":0.8,"detections":[
            {"label":"cat","confidence":0.9,"bbox":[10,20,100,40]},
            {"label":"couch","confidence":0.7,"bbox":[0,0,5,5]}]}"#,
    ),
    (
        "image_classification",
        "google/vit",
        r#"[{"label":"dog","score":0.2},{"label":"cat","score":0.8}]"#,
        r#"{"top_label":"cat","top_confidence":0.8,"classifications":[
            {"label":"cat","confidence":0.8},{"label":"dog","confidence":0.2}]}"#,
    ),
    (
        "image-classification",
        "google/raw",
        r#"[{"label":"dog","score":0.2}]"#,
        r#"[{"label":"dog","score":0.2}]"#,
    ),
    (
        "scene_description",
        "blip",
        r#"[{"generated_text":"a cat on a couch"}]"#,
        r#"{"caption":"a cat on a couch"}"#,
    ),
];

fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

#[tokio::test]
async fn models_elsewhere_are_asked_in_the_shape_of_hugging_face() {
    let stub = Stub::start(|asked| {
        let model = asked.path.strip_prefix("/hf/models/").unwrap();
        let (.., answer, _) = SHAPES.iter().find(|(_, it, ..)| *it == model).unwrap();
        Told::json(200, &value(answer))
    })
    .await;
    let shop = with_cloud(&stub, Some("server-token"));
    shop.leave("x.jpg", 255).await;
    let schemas = shop.get("/schema").await.json()["schemas"].clone();
    for (task, model, _, result) in SHAPES {
        let picture = json!({ "image": "opennvr://camera_0/x.jpg" });
        let asked = elsewhere(task, json!({ "model_name": model, "inputs": picture }));
        let mut told = shop.infer(&asked).await.json();
        if let Some(schema) = schemas.get(task) {
            fits(&schema["schema"], &told).unwrap();
        }
        let map = told.as_object_mut().unwrap();
        assert!(map.remove("latency_ms").is_some());
        let now = json!("2026-01-01T00:00:00Z");
        assert_eq!(map.remove("executed_at"), Some(now));
        let expect = json!({ "task": task, "model_name": model, "result": value(result), "status": "success" });
        assert_eq!(told, expect);
        let last = stub.asked().pop().unwrap();
        assert_eq!(last.method, "POST");
        assert_eq!(last.headers["content-type"], "image/jpeg");
        assert_eq!(last.headers["authorization"], "Bearer server-token");
        assert!(last.body.starts_with(&[0xff, 0xd8]));
    }
    let capable = shop.get("/capabilities").await.json();
    let expect = [
        "object_detection_detr",
        "image_classification",
        "scene_description",
    ];
    assert_eq!(capable, json!({ "tasks": expect }));
}

#[tokio::test]
async fn texts_and_parameters_go_as_json() {
    let stub = Stub::start(|asked| Told::json(200, &asked.json())).await;
    let shop = with_cloud(&stub, Some("server-token"));
    shop.leave("x.jpg", 255).await;
    let asked = json!({ "model_name": "echo", "inputs": "Hello", "parameters": { "top_k": 1 }, "api_token": "own" });
    let told = shop
        .infer(&elsewhere("text-generation", asked))
        .await
        .json();
    let expect = json!({ "inputs": "Hello", "parameters": { "top_k": 1 } });
    assert_eq!(told["result"], expect);
    let picture = "opennvr://gate/x.jpg";
    let asked =
        json!({ "model_name": "echo", "inputs": picture, "parameters": { "threshold": 0.5 } });
    let told = shop
        .infer(&elsewhere("object-detection", asked))
        .await
        .json();
    assert_eq!(told["result"]["parameters"]["threshold"], 0.5);
    let sent = told["result"]["inputs"].as_str().unwrap();
    assert!(STANDARD.decode(sent).unwrap().starts_with(&[0xff, 0xd8]));
    // The server's token goes before the client's.
    let tokens = stub.asked();
    let server = |asked: &Asked| asked.headers["authorization"] == "Bearer server-token";
    assert!(tokens.len() == 2 && tokens.iter().all(server));
}

/// Model, inputs, and why it fails.
const FAILURES: &[(&str, &str, &str)] = &[
    (
        "loading",
        "opennvr://gate/x.jpg",
        "the endpoint answered 503: Model is loading",
    ),
    ("text", "opennvr://gate/x.jpg", "something else than JSON"),
    (
        "strange",
        "opennvr://gate/x.jpg",
        "in a shape that is not one of this task",
    ),
    ("away", "opennvr://gate/x.jpg", ""),
    ("endless", "opennvr://gate/x.jpg", ""),
    ("m", "opennvr://gate/gone.jpg", "Frame not found"),
    ("m", "opennvr://frames/../gone.jpg", "Invalid frame URI"),
    ("m", "http://169.254.169.254/latest.jpg", "are not fetched"),
    (
        "m",
        "data:text/html;base64,aGk=",
        "inputs.image: use a data URL",
    ),
    ("m", "data:image/jpeg;base64,aGk=", "Invalid image"),
];

#[tokio::test]
async fn what_fails_elsewhere_is_an_answer() {
    let stub = Stub::start(|asked| {
        let told = |body: &[u8], endless| Told {
            status: 200,
            body: body.to_vec(),
            endless,
            ..Told::default()
        };
        match asked.path.as_str() {
            "/hf/models/text" => told(b"hello", false),
            "/hf/models/strange" => told(br#"{"x":1}"#, false),
            "/hf/models/away" => Told::moved(307, "http://169.254.169.254/latest"),
            "/hf/models/endless" => told(b"", true),
            _ => Told::json(503, &json!({ "error": "Model is loading" })),
        }
    })
    .await;
    let shop = with_cloud(&stub, None);
    shop.leave("x.jpg", 255).await;
    for (model, inputs, why) in FAILURES {
        let asked = json!({ "model_name": model, "inputs": inputs, "api_token": "hf_hunter2" });
        let asked = elsewhere("object_detection_detr", asked);
        let answer = shop.infer(&asked).await;
        let told = answer.json();
        assert_eq!(told["status"], "failed");
        assert_eq!(told["result"], Value::Null);
        let error = told["error"].as_str().unwrap();
        assert!(
            !error.is_empty() && error.contains(why),
            "{error:?} has no {why:?}"
        );
        assert!(!answer.text().contains("hunter2"));
    }
    let asked = stub.asked();
    assert_eq!(asked.len(), 5);
    let bearer = "Bearer hf_hunter2";
    assert!(asked.iter().all(|it| it.headers["authorization"] == bearer));
}

/// What is wrong with a request, and what it is told.
const WRONG: &[(&str, &str, &str)] = &[
    (
        "cook",
        r#"{"model_name":"a/b","inputs":"x"}"#,
        "Unsupported cloud task: 'cook'. Available tasks: ['image-classification'",
    ),
    (
        "object-detection",
        r#"{"inputs":"x"}"#,
        "model_name is required",
    ),
    (
        "object-detection",
        r#"{"model_name":"a/b"}"#,
        "inputs are required",
    ),
    (
        "object-detection",
        r#"{"model_name":"../../admin","inputs":"x"}"#,
        "Invalid model_name format",
    ),
    (
        "object-detection",
        r#"{"model_name":"a/..","inputs":"x"}"#,
        "Invalid model_name format",
    ),
    (
        "object-detection",
        r#"{"model_name":"a/b/c","inputs":"x"}"#,
        "Invalid model_name format",
    ),
    (
        "object-detection",
        r#"{"model_name":"a?x=1","inputs":"x"}"#,
        "Invalid model_name format",
    ),
    (
        "object-detection",
        r#"{"model":"x"}"#,
        "unknown field `model`",
    ),
];

#[tokio::test]
async fn what_is_wrong_is_no_answer() {
    let shop = Shop::bare();
    for (task, input, detail) in WRONG {
        let answer = shop.infer(&elsewhere(task, value(input))).await;
        answer.assert_refused(400, detail);
    }
    let mut both = elsewhere(
        "object_detection",
        json!({ "model_name": "a/b", "inputs": "x" }),
    );
    both["input"] = json!({});
    let both = shop.infer(&both).await;
    both.assert_refused(400, "input_data: ");
    let nowhere = json!({ "model_name": "a/b", "inputs": "opennvr://gate/x.jpg" });
    let told = shop
        .infer(&elsewhere("object_detection_detr", nowhere))
        .await
        .json();
    assert_eq!(told["status"], "failed");
    assert!(
        told["error"]
            .as_str()
            .unwrap()
            .starts_with("no endpoint is configured")
    );
}
