//! Pictures in words, asked over REST, with small servers in the place of language models.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Answer, NOW_US, World};
use crate::outbound::stub::{Asked, Stub, Told};

/// A small JPEG.
fn jpeg() -> Vec<u8> {
    let mut bytes = Vec::new();
    image::RgbImage::from_pixel(64, 48, image::Rgb([90, 120, 30]))
        .write_to(
            &mut std::io::Cursor::new(&mut bytes),
            image::ImageFormat::Jpeg,
        )
        .unwrap();
    bytes
}

fn image() -> Value {
    json!({"image": STANDARD.encode(jpeg())})
}

/// What a model answers that sees a man.
fn a_man(_: &Asked) -> Told {
    let text =
        r#"{"description": "A man at the door.", "confidence": 85, "objects": ["man", "door"]}"#;
    Told::json(
        200,
        &json!({
            "choices": [{"message": {"role": "assistant", "content": text}}],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500},
        }),
    )
}

fn provider(name: &str, stub: &Stub) -> Value {
    json!({
        "name": name, "base_url": stub.url("/v1"), "model": "llava", "api_key": "sk-canary-0815",
        "price_per_1k_input": 0.1, "price_per_1k_output": 0.4,
    })
}

async fn add(world: &World, body: &Value) -> String {
    let made = world.send("POST", "/api/v1/ai/providers", body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let id = made.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(
        made.header("location"),
        Some(format!("/api/v1/ai/providers/{id}").as_str())
    );
    id
}

async fn describe(world: &World, body: &Value) -> Answer {
    world.send("POST", "/api/v1/ai/describe", body).await
}

#[tokio::test]
async fn a_picture_is_described_and_what_it_cost_is_counted() {
    let world = World::new();
    let stub = Stub::start(a_man).await;
    let refused = describe(&world, &image()).await;
    refused.assert_refused(
        409,
        "no AI provider is enabled: add one with POST /api/v1/ai/providers",
    );

    add(&world, &provider("local", &stub)).await;
    let answer = describe(&world, &image()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.json(),
        json!({
            "description": "A man at the door.", "confidence": 85, "objects_detected": ["person", "door"],
            "provider": "local", "tokens_used": 1500, "response_time_ms": 0, "cost_estimate": 0.3,
            "success": true, "error": null,
        })
    );
    let asked = stub.asked().pop().unwrap();
    assert_eq!(
        (asked.method.as_str(), asked.path.as_str()),
        ("POST", "/v1/chat/completions")
    );
    assert_eq!(asked.headers["authorization"], "Bearer sk-canary-0815");
    let body = asked.json();
    assert_eq!(
        (&body["model"], &body["response_format"]),
        (&json!("llava"), &json!({"type": "json_object"}))
    );
    let url = body["messages"][1]["content"][1]["image_url"]["url"]
        .as_str()
        .unwrap();
    let sent = STANDARD
        .decode(url.strip_prefix("data:image/jpeg;base64,").unwrap())
        .unwrap();
    let sent = image::load_from_memory(&sent).unwrap();
    assert_eq!((sent.width(), sent.height()), (64, 48));

    // A data URL, and the file of a form.
    let as_url = json!({"image": format!("data:image/jpeg;base64,{}", STANDARD.encode(jpeg()))});
    assert_eq!(describe(&world, &as_url).await.json()["success"], true);
    for name in ["image", "file"] {
        let answer = send_form(&world, &[(name, Some("a.jpg"), &jpeg())]).await;
        assert_eq!(answer.json()["success"], true, "{}", answer.text());
    }

    let usage = world.json("/api/v1/ai/usage").await;
    let cost = usage["total_cost"].as_f64().unwrap();
    assert!((cost - 4.0 * 0.3).abs() < 1e-9, "{cost}");
    assert_eq!(
        (&usage["total_calls"], &usage["total_tokens"]),
        (&json!(4), &json!(6000))
    );
    assert_eq!(
        (&usage["successful_calls"], &usage["failed_calls"]),
        (&json!(4), &json!(0))
    );
    assert_eq!(
        usage["provider_breakdown"]["local"]["success_rate"],
        json!(100.0)
    );
    for (range, calls) in [
        ("start_date=2026-01-01&end_date=2026-01-01", 4),
        ("start_date=2026-01-01T00:00:00Z", 4),
        ("end_date=2025-12-31", 0),
        ("start_date=2026-01-02", 0),
    ] {
        let usage = world.json(&format!("/api/v1/ai/usage?{range}")).await;
        assert_eq!(usage["total_calls"], json!(calls), "{range}");
    }
    let capabilities = world.json("/api/v1/ai/capabilities").await;
    assert_eq!(
        capabilities["providers"]["local"],
        json!({
            "video": false, "max_video_duration": 0, "max_video_size_mb": 0, "supported_formats": [],
            "max_images": 1, "configured": true,
        })
    );
}

/// Sends parts of a form: name, name of the file if it is one, content.
async fn send_form(world: &World, parts: &[(&str, Option<&str>, &[u8])]) -> Answer {
    let mut body = Vec::new();
    for (name, file, content) in parts {
        let file = file
            .map(|file| format!("; filename=\"{file}\""))
            .unwrap_or_default();
        body.extend(
            format!("--x\r\nContent-Disposition: form-data; name=\"{name}\"{file}\r\n\r\n").bytes(),
        );
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--x--\r\n");
    let request = warp::test::request()
        .method("POST")
        .path("/api/v1/ai/describe")
        .header("content-type", "multipart/form-data; boundary=x")
        .body(body);
    Answer::of(request.reply(&super::routes(world.context.clone())).await)
}

#[tokio::test]
async fn providers_are_asked_in_their_order_until_one_answers() {
    let world = World::new();
    let broken = Stub::start(|_| Told::json(500, &json!({"error": "sk-canary-0815"}))).await;
    let busy = Stub::start(|_| Told::json(429, &json!({})).with("retry-after", "20")).await;
    let strict = Stub::start(|asked| match asked.json().get("response_format") {
        Some(_) => Told::json(400, &json!({"error": {"message": "response_format"}})),
        None => Told::json(
            200,
            &json!({"choices": [{"message": {"content": "A dog in the yard"}}]}),
        ),
    })
    .await;
    let first = add(&world, &provider("broken", &broken)).await;
    add(&world, &provider("busy", &busy)).await;
    let last = add(&world, &provider("strict", &strict)).await;

    for _ in 0..5 {
        let answer = describe(&world, &image()).await.json();
        assert_eq!(
            (
                &answer["provider"],
                &answer["description"],
                &answer["objects_detected"]
            ),
            (
                &json!("strict"),
                &json!("A dog in the yard"),
                &json!(["animal"])
            )
        );
        assert_eq!(
            (&answer["confidence"], &answer["tokens_used"]),
            (&Value::Null, &json!(0))
        );
    }
    // Three failures, or a word of its own, and it is left alone; the others answer all the same.
    assert_eq!((broken.asked().len(), busy.asked().len()), (3, 1));
    let list = world.json("/api/v1/ai/providers").await;
    let paused: Vec<&Value> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| &one["paused_for_s"])
        .collect();
    assert_eq!(paused, [&json!(30), &json!(20), &Value::Null]);
    let usage = world.json("/api/v1/ai/usage").await;
    assert_eq!(usage["provider_breakdown"]["broken"]["calls"], json!(3));
    assert_eq!(
        usage["provider_breakdown"]["broken"]["success_rate"],
        json!(0.0)
    );

    // After its time one call is tried again.
    world.clock.advance(std::time::Duration::from_secs(31));
    describe(&world, &image()).await;
    assert_eq!((broken.asked().len(), busy.asked().len()), (4, 2));

    // The order and the switch are a person's.
    let path = |id: &str| format!("/api/v1/ai/providers/{id}");
    let moved = world
        .send("PUT", &path(&last), &json!({"order": 0}))
        .await
        .json();
    assert_eq!(
        (&moved["order"], &moved["base_url"]),
        (&json!(0), &json!(strict.url("/v1")))
    );
    world
        .send("PUT", &path(&first), &json!({"enabled": false}))
        .await;
    assert_eq!(world.json(&path(&first)).await["order"], json!(1));

    // Where nobody answers, that is the result, and it says why without a word of theirs.
    world
        .send("PUT", &path(&last), &json!({"enabled": false}))
        .await;
    world.clock.advance(std::time::Duration::from_secs(60));
    let answer = describe(&world, &image()).await;
    let text = answer.text();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["success"], false);
    assert_eq!(answer.json()["error"], "busy: HTTP 429: too many requests");
    assert!(!text.contains("canary"));
}

#[tokio::test]
async fn a_key_is_sealed_never_told_and_goes_to_nobody_else() {
    let world = World::new();
    let (stub, other) = (Stub::start(a_man).await, Stub::start(a_man).await);
    let id = add(&world, &provider("local", &stub)).await;
    let path = format!("/api/v1/ai/providers/{id}");
    let stored = world
        .context
        .store
        .ai_provider(&id)
        .unwrap()
        .provider
        .api_key
        .unwrap();
    assert!(crate::vault::Vault::is_sealed(&stored) && !stored.contains("canary"));

    let tested = world.ask("POST", &format!("{path}/test")).await;
    let texts = [
        world.ask("GET", &path).await.text(),
        world.ask("GET", "/api/v1/ai/providers").await.text(),
        world
            .send("PUT", &path, &json!({"model": "m2"}))
            .await
            .text(),
        tested.text(),
    ];
    assert!(
        texts.iter().all(|text| !text.contains("canary")),
        "{texts:?}"
    );
    assert_eq!(tested.json()["success"], true);
    assert_eq!(tested.json()["description"], "A man at the door.");
    assert_eq!(world.json(&path).await["has_api_key"], true);

    // The same place by another path keeps the key; another place does not get it.
    world
        .send("PUT", &path, &json!({"base_url": stub.url("/other")}))
        .await;
    assert_eq!(world.json(&path).await["has_api_key"], true);
    let moved = world
        .send("PUT", &path, &json!({"base_url": other.url("/v1")}))
        .await;
    assert_eq!(moved.json()["has_api_key"], false);
    describe(&world, &image()).await;
    assert!(!other.asked()[0].headers.contains_key("authorization"));
    let keyed = json!({"base_url": stub.url("/v1"), "api_key": "sk-2"});
    assert_eq!(
        world.send("PUT", &path, &keyed).await.json()["has_api_key"],
        true
    );
    let cleared = world.send("PUT", &path, &json!({"api_key": null})).await;
    assert_eq!(cleared.json()["has_api_key"], false);

    assert_eq!(world.ask("DELETE", &path).await.status, 204);
    for gone in [
        world.ask("GET", &path).await,
        world.ask("DELETE", &path).await,
        world.send("PUT", &path, &json!({})).await,
        world.ask("POST", &format!("{path}/test")).await,
    ] {
        gone.assert_refused(404, "no AI provider has the id");
    }
}

/// A field, a value that it may not have, and what is said of it.
fn wrong_fields() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("name", json!(""), "name: use 1 to 100 bytes"),
        ("name", json!("a\u{0}b"), "name: use 1 to 100 bytes"),
        ("model", json!("x".repeat(101)), "model: use 1 to 100 bytes"),
        (
            "base_url",
            json!("http://127.0.0.2/"),
            "base_url: 127.0.0.2 is a loopback address",
        ),
        (
            "base_url",
            json!("http://2130706434/"),
            "base_url: write the address as 127.0.0.2",
        ),
        (
            "base_url",
            json!("http://169.254.169.254/"),
            "base_url: 169.254.169.254 is the address of a cloud",
        ),
        (
            "base_url",
            json!("file:///etc/passwd"),
            "base_url: file:// is not spoken",
        ),
        (
            "base_url",
            json!("http://u:p@10.0.0.7/"),
            "base_url: credentials do not belong",
        ),
        (
            "base_url",
            json!("http://10.0.0.7/v1?key=1"),
            "base_url: has a query",
        ),
        (
            "base_url",
            json!("http://10.0.0.7/v1/chat/completions"),
            "base_url: leave out /chat/completions",
        ),
        (
            "api_key",
            json!("a\nb"),
            "api_key: use 1 to 1024 visible characters",
        ),
        (
            "api_key",
            json!("schlüssel"),
            "api_key: use 1 to 1024 visible characters",
        ),
        (
            "prompt",
            json!("x".repeat(8001)),
            "prompt: use 1 to 8000 bytes",
        ),
        (
            "timeout_s",
            json!(0),
            "timeout_s: 0 is out of range: use 1 to 300",
        ),
        ("timeout_s", json!("5"), "timeout_s: invalid type"),
        (
            "max_image_px",
            json!(5000),
            "max_image_px: 5000 is out of range",
        ),
        (
            "price_per_1k_input",
            json!(-1),
            "price_per_1k_input: -1 is out of range",
        ),
        (
            "price_per_1k_output",
            json!(1e9),
            "price_per_1k_output: 1000000000 is out of range",
        ),
        ("enabled", json!("yes"), "enabled: invalid type"),
        ("order", json!(-1), "order: invalid value"),
        ("oder", json!(1), "unknown field `oder`"),
    ]
}

#[tokio::test]
async fn wrong_fields_of_providers_are_named() {
    let world = World::new();
    let base = json!({"name": "a", "base_url": "http://10.0.0.7/v1", "model": "m"});
    let id = add(&world, &base).await;
    let path = format!("/api/v1/ai/providers/{id}");
    for (field, value, says) in wrong_fields() {
        let mut body = base.clone();
        body["name"] = json!("b");
        body[field] = value.clone();
        world
            .send("POST", "/api/v1/ai/providers", &body)
            .await
            .assert_refused(400, says);
        world
            .send("PUT", &path, &json!({field: value}))
            .await
            .assert_refused(400, says);
    }
    world
        .send("POST", "/api/v1/ai/providers", &base)
        .await
        .assert_refused(409, "name: an AI provider is called \"a\"");
    world
        .send(
            "POST",
            "/api/v1/ai/providers",
            &json!({"name": "b", "model": "m"}),
        )
        .await
        .assert_refused(400, "missing field `base_url`");
    assert_eq!(world.json("/api/v1/ai/providers").await["total"], 1);
}

#[tokio::test]
async fn what_is_no_picture_is_refused_before_anybody_is_asked() {
    let world = World::new();
    let stub = Stub::start(a_man).await;
    add(&world, &provider("local", &stub)).await;
    for (body, status, says) in [
        (
            json!({}),
            400,
            "image: give exactly one of image, event_id and camera_id",
        ),
        (
            json!({"image": "AAAA", "event_id": "x"}),
            400,
            "image: give exactly one",
        ),
        (json!({"image": "%%%"}), 400, "image: is no base64"),
        (json!({"image": ""}), 400, "image: is empty"),
        (
            json!({"image": STANDARD.encode("GIF89a....")}),
            400,
            "image: is neither a JPEG nor a PNG",
        ),
        (
            json!({"image": "data:image/svg+xml,<svg/>"}),
            400,
            "image: use a data URL of image/jpeg or image/png",
        ),
        (json!({"image": 5}), 400, "image: invalid type"),
        (json!({"picture": "AAAA"}), 400, "unknown field `picture`"),
        (
            json!({"event_id": "nobody"}),
            404,
            "no event has the id \"nobody\"",
        ),
        (
            json!({"camera_id": "nobody"}),
            404,
            "no camera is called \"nobody\"",
        ),
        (
            json!({"camera_id": "gate"}),
            503,
            "camera \"gate\" has sent no picture yet",
        ),
    ] {
        describe(&world, &body).await.assert_refused(status, says);
    }
    assert!(stub.asked().is_empty());
}

#[tokio::test]
async fn forms_and_bodies_are_bounded_and_of_one_kind() {
    let world = World::new();
    let stub = Stub::start(a_man).await;
    add(&world, &provider("local", &stub)).await;
    let form = send_form(&world, &[("image", Some("a"), b"hello")]).await;
    form.assert_refused(400, "image: is neither a JPEG nor a PNG");
    let form = send_form(
        &world,
        &[("image", Some("a"), &jpeg()), ("file", Some("b"), &jpeg())],
    )
    .await;
    form.assert_refused(400, "image: given twice");
    let form = send_form(
        &world,
        &[("image", Some("a"), &jpeg()), ("event_id", None, b"e")],
    )
    .await;
    form.assert_refused(400, "image: give exactly one");
    let form = send_form(&world, &[("nonsense", None, b"e")]).await;
    form.assert_refused(400, "unknown field `nonsense`");
    let other = warp::test::request()
        .method("POST")
        .path("/api/v1/ai/describe")
        .header("content-type", "text/plain")
        .body("{}");
    let other = Answer::of(other.reply(&super::routes(world.context.clone())).await);
    other.assert_refused(
        415,
        "Content-Type: use application/json or multipart/form-data",
    );
    let large = warp::test::request()
        .method("POST")
        .path("/api/v1/ai/describe")
        .header("content-type", "application/json")
        .body(vec![b' '; (17 << 20) + 1]);
    let large = Answer::of(large.reply(&super::routes(world.context.clone())).await);
    large.assert_refused(413, "the body is larger than");
    assert!(stub.asked().is_empty());
    for (query, says) in [
        (
            "start_date=yesterday",
            "start_date: \"yesterday\" is no day",
        ),
        ("end_date=2026-13-01", "end_date: "),
        (
            "start_date=2026-02-01&end_date=2026-01-01",
            "start_date: is after end_date",
        ),
        ("from=1", "unknown parameter `from`"),
    ] {
        world
            .ask("GET", &format!("/api/v1/ai/usage?{query}"))
            .await
            .assert_refused(400, says);
    }
}

#[tokio::test]
async fn an_event_is_described_again_and_the_next_answer_knows() {
    let world = World::new();
    let stub = Stub::start(a_man).await;
    let id = world.add_event(0, |_| ());
    let thumbnail = world.context.storage.thumbnail(&id).unwrap();
    std::fs::create_dir_all(thumbnail.parent().unwrap()).unwrap();
    std::fs::write(thumbnail, jpeg()).unwrap();
    let path = format!("/api/v1/events/{id}/reanalyse");
    world
        .ask("POST", &path)
        .await
        .assert_refused(409, "no AI provider is enabled");
    add(&world, &provider("local", &stub)).await;

    let first = world.ask("POST", &path).await;
    assert_eq!(first.status, 200, "{}", first.text());
    let before = world.json(&format!("/api/v1/events/{id}")).await;
    assert_eq!(first.json(), before);
    let expect = json!({
        "description": "A man at the door.", "ai_confidence": 85, "provider_used": "local", "tokens_used": 1500,
        "ai_cost": 0.3, "ai_response_time_ms": 0, "analysis_mode": "single_frame",
        "reanalyzed_at": null, "reanalysis_count": 0, "camera_id": "front",
    });
    for (name, value) in expect.as_object().unwrap() {
        assert_eq!(&before[name], value, "{name}");
    }
    let other = format!("/api/v1/events/{id}/reanalyze");
    let second = world
        .send("POST", &other, &json!({"analysis_mode": "single_frame"}))
        .await;
    assert_eq!(second.json()["reanalysis_count"], 1, "{}", second.text());
    let kept = world
        .context
        .store
        .event_descriptions(std::slice::from_ref(&id))
        .unwrap();
    assert_eq!((kept[&id].count, kept[&id].created_us), (2, NOW_US));

    // The first time nothing was known of the camera, the second time the first answer.
    let text = |at: usize| stub.asked()[at].json()["messages"][1]["content"][0]["text"].to_string();
    assert!(!text(0).contains("Seen before") && text(1).contains("A man at the door."));
    // An answer that is not kept leaves what is known as it is: the next one finds it in memory.
    for _ in 0..2 {
        describe(&world, &json!({"event_id": id})).await;
    }
    let metrics = world.json("/api/v1/ai/context-metrics").await;
    assert_eq!(
        metrics,
        json!({
            "cache_hit_rate": 0.25, "total_requests": 4, "cache_hits": 1, "cache_misses": 3, "timeouts": 0,
            "cache_ttl_seconds": 60, "timeout_threshold_ms": 1000, "cache_size": 1,
        })
    );

    world
        .send("POST", &path, &json!({"analysis_mode": "video_native"}))
        .await
        .assert_refused(400, "analysis_mode: \"video_native\" is not possible");
    world
        .ask("POST", "/api/v1/events/nobody/reanalyse")
        .await
        .assert_refused(404, "no event has the id");
    let bare = world.add_event(60, |_| ());
    let bare = world
        .ask("POST", &format!("/api/v1/events/{bare}/reanalyse"))
        .await;
    assert_eq!(bare.status, 404, "{}", bare.text());
}

#[tokio::test]
async fn better_words_rest_on_what_was_described_before() {
    let world = World::new();
    let stub = Stub::start(a_man).await;
    let nobody = json!({"current_prompt": "Describe it."});
    let nobody = world
        .send("POST", "/api/v1/ai/refine-prompt", &nobody)
        .await;
    nobody.assert_refused(409, "no AI provider is enabled");
    add(&world, &provider("local", &stub)).await;
    for (label, description) in [("person", "A man at the door."), ("car", "A cat sleeps.")] {
        let id = world.add_event(0, |event| event.label = Some(label.to_owned()));
        let answer = nvr_store::NewDescription {
            description: description.to_owned(),
            provider: "local".to_owned(),
            model: "m".to_owned(),
            confidence: None,
            objects: vec!["person".to_owned()],
            tokens: 1,
            cost: 0.0,
            response_time_ms: 1,
        };
        world.context.store.describe_event(&id, &answer).unwrap();
    }
    let calls = stub.asked().len();
    let refined = world
        .send(
            "POST",
            "/api/v1/ai/refine-prompt",
            &json!({"current_prompt": "Describe it."}),
        )
        .await;
    let refined = refined.json();
    assert_eq!(
        (&refined["feedback_analyzed"], &refined["positive_examples"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(
        (&refined["negative_examples"], &refined["provider_used"]),
        (&json!(1), &json!("local"))
    );
    assert_eq!(stub.asked().len(), calls + 1);
    let question = stub.asked()[calls].json()["messages"][1]["content"][0]["text"].to_string();
    assert!(question.contains("Describe it.") && question.contains("A man at the door."));
    for (body, says) in [
        (json!({}), "missing field `current_prompt`"),
        (json!({"current_prompt": " "}), "current_prompt: use 1 to"),
        (
            json!({"current_prompt": "x", "max_feedback_samples": 0}),
            "max_feedback_samples: 0 is out of range",
        ),
        (
            json!({"current_prompt": "x", "max_feedback_samples": 101}),
            "max_feedback_samples: 101",
        ),
        (
            json!({"current_prompt": "x", "feedback": true}),
            "unknown field `feedback`",
        ),
    ] {
        world
            .send("POST", "/api/v1/ai/refine-prompt", &body)
            .await
            .assert_refused(400, says);
    }
}
