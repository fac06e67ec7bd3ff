//! The adapter asked as clients ask it, over real parts and a model that sees a person in every bright picture.

mod cloud;
mod faces;
mod frames;
mod infer;
mod pipeline;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use warp::http::Response;

use super::look::Local;
use super::{Adapter, catalogue, openapi, routes, table};
use crate::api::tests::World;
use crate::config::{AiAdapterConfig, OutboundConfig};
use crate::infer::tests::{brightness, jpeg};
use crate::outbound::Outbound;

/// The adapter beside an API with one camera, `gate`, which sends nothing.
struct Shop {
    world: World,
    context: crate::api::ApiContext,
    adapter: Arc<Adapter>,
    _models: tempfile::TempDir,
}

impl Shop {
    fn new(change: impl FnOnce(&mut AiAdapterConfig, &std::path::Path)) -> Self {
        let models = tempfile::tempdir().unwrap();
        let world = World::new();
        let context = world.context.as_ref().clone();
        Self::over(world, context, models, change)
    }

    fn over(
        world: World,
        context: crate::api::ApiContext,
        models: tempfile::TempDir,
        change: impl FnOnce(&mut AiAdapterConfig, &std::path::Path),
    ) -> Self {
        let mut config = AiAdapterConfig::default();
        change(&mut config, models.path());
        let outbound = OutboundConfig {
            allow: vec!["127.0.0.1".parse().unwrap()],
            ..OutboundConfig::default()
        };
        let outbound = Arc::new(Outbound::new(&outbound).unwrap());
        let adapter = Arc::new(Adapter::new(&config, &context, &outbound));
        Self {
            world,
            context,
            adapter,
            _models: models,
        }
    }

    /// Without a model.
    fn bare() -> Self {
        Self::new(|_, _| ())
    }

    /// With the model; `None` where it cannot run.
    fn seeing() -> Option<Self> {
        let mut runs = true;
        let shop = Self::new(|config, folder| {
            config.detector = brightness(folder);
            runs = config.detector.is_some();
        });
        runs.then_some(shop)
    }

    async fn reply(&self, request: warp::test::RequestBuilder) -> Answer {
        let routes = routes(&self.context, Arc::clone(&self.adapter));
        Answer(request.reply(&routes).await)
    }

    async fn get(&self, path: &str) -> Answer {
        self.reply(warp::test::request().path(path)).await
    }

    async fn post(&self, path: &str, kind: &str, body: impl AsRef<[u8]>) -> Answer {
        let request = warp::test::request().method("POST").path(path);
        let body = body.as_ref();
        let request = request
            .header("content-type", kind)
            .header("content-length", body.len())
            .body(body);
        self.reply(request).await
    }

    async fn infer(&self, body: &Value) -> Answer {
        self.post("/infer", "application/json", body.to_string())
            .await
    }

    /// Leaves a picture of one brightness.
    async fn leave(&self, file: &str, grey: u8) {
        let path = format!("/frames/gate/{file}");
        let answer = self.post(&path, "image/jpeg", jpeg(64, 64, grey)).await;
        assert_eq!(answer.status(), 201, "{}", answer.text());
    }
}

struct Answer(Response<Bytes>);

impl Answer {
    fn status(&self) -> u16 {
        self.0.status().as_u16()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(self.0.body()).into_owned()
    }

    #[track_caller]
    fn json(&self) -> Value {
        assert!(self.status() < 300, "{}", self.text());
        serde_json::from_slice(self.0.body()).unwrap()
    }

    #[track_caller]
    fn assert_refused(&self, status: u16, detail: &str) {
        let body: Value = serde_json::from_slice(self.0.body()).unwrap();
        assert_eq!(self.status(), status, "{detail}: {body}");
        assert_eq!(body["status_code"], status);
        let told = body["detail"].as_str().unwrap();
        assert!(told.contains(detail), "{told:?} has no {detail:?}");
    }
}

fn frame(task: &str, uri: &str) -> Value {
    json!({ "task": task, "input": { "frame": { "uri": uri } } })
}

/// Whether a value has exactly the keys and types that a schema of ours allows.
fn fits(schema: &Value, value: &Value) -> Result<(), String> {
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        Value::Null => return Ok(()),
        kind => vec![kind.clone()],
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let is = |wanted: &Value| *wanted == kind || (*wanted == "number" && kind == "integer");
    if !kinds.iter().any(is) {
        return Err(format!("{value} is no {kinds:?}"));
    }
    if let Value::Array(items) = value {
        let bound = |key: &str| schema[key].as_u64().map(|it| it as usize);
        if bound("minItems").is_some_and(|least| items.len() < least)
            || bound("maxItems").is_some_and(|most| items.len() > most)
        {
            return Err(format!("{value} has too many or too few items"));
        }
        return items.iter().try_for_each(|it| fits(&schema["items"], it));
    }
    let Value::Object(map) = value else {
        return Ok(());
    };
    for wanted in schema["required"].as_array().unwrap() {
        if !map.contains_key(wanted.as_str().unwrap()) {
            return Err(format!("{value} has no {wanted}"));
        }
    }
    map.iter().try_for_each(|(key, value)| {
        let property = schema["properties"].get(key);
        fits(
            property.ok_or(format!("{key} is not in the schema"))?,
            value,
        )
    })
}

#[tokio::test]
async fn every_route_is_in_the_document_and_the_other_way_round() {
    let shop = Shop::bare();
    let table = table(&shop.world.context, Arc::clone(&shop.adapter));
    let routes: BTreeSet<(String, String)> = table
        .rows()
        .iter()
        .map(|(method, path, _)| (method.as_str().to_lowercase(), (*path).to_owned()))
        .collect();
    assert_eq!(
        routes.len(),
        table.rows().len(),
        "a route stands there twice"
    );
    let document: Value = serde_json::from_str(openapi::text()).unwrap();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            described.insert((method.clone(), path.clone()));
        }
    }
    assert_eq!(routes, described);
    assert_eq!(shop.get("/openapi.json").await.json(), document);
    assert_eq!(shop.get("/docs/index.html").await.status(), 200);
}

#[tokio::test]
async fn without_a_model_everything_says_why() {
    let shop = Shop::bare();
    let health = shop.get("/health").await.json();
    assert_eq!(health["status"], "ok");
    assert_eq!(health["active_adapters"], 0);
    assert_eq!(
        shop.get("/capabilities").await.json(),
        json!({ "tasks": [] })
    );
    assert_eq!(
        shop.get("/adapters").await.json(),
        json!({ "adapters": [] })
    );
    let tasks = shop.get("/tasks").await.json();
    let all = tasks["tasks"].as_object().unwrap();
    assert_eq!(tasks["count"], all.len());
    for (name, task) in all {
        assert_eq!(task["enabled"], false, "{name}");
        assert!(!task["reason"].as_str().unwrap().is_empty(), "{name}");
        assert_eq!(task["schema"]["task"], name.as_str());
    }
    shop.leave("x.jpg", 255).await;
    for task in Local::ALL {
        let asked = frame(task.name(), "opennvr://gate/x.jpg");
        let answer = shop.infer(&asked).await;
        answer.assert_refused(503, "set personality.ai_adapter.");
    }
    let refused = "set faces.embedder";
    for task in faces::TASKS {
        let asked = frame(task, "opennvr://gate/x.jpg");
        shop.infer(&asked).await.assert_refused(503, refused);
    }
    let none = json!({});
    shop.post("/faces/register", "application/json", none.to_string())
        .await
        .assert_refused(503, refused);
    for path in [
        "/faces/list",
        "/faces/list?category=watchlist",
        "/faces/emp_001",
    ] {
        shop.get(path).await.assert_refused(503, refused);
    }
}

#[tokio::test]
async fn a_model_that_is_not_there_makes_it_degraded() {
    let shop = Shop::new(|config, folder| config.detector = Some(folder.join("gone.onnx")));
    let health = shop.get("/health").await.json();
    assert_eq!(health["adapter_details"]["detector"]["status"], "loading");
    shop.adapter.analysis.warm_up();
    let health = shop.get("/health").await.json();
    assert_eq!(health["status"], "degraded");
    assert_eq!(health["adapter_details"]["detector"]["status"], "error");
    assert_eq!(
        shop.get("/capabilities").await.json(),
        json!({ "tasks": [] })
    );
}

#[tokio::test]
async fn schemas_describe_their_own_examples() {
    let shop = Shop::bare();
    let schemas = shop.get("/schema").await.json()["schemas"].clone();
    assert_eq!(schemas.as_object().unwrap().len(), catalogue::tasks().len());
    for (name, told) in schemas.as_object().unwrap() {
        fits(&told["schema"], &told["example_response"]).unwrap();
        let one = shop.get(&format!("/schema?task={name}")).await.json();
        assert_eq!(one, *told);
        let fields = told["response_fields"].as_object().unwrap();
        let properties = told["schema"]["properties"].as_object().unwrap();
        assert!(fields.keys().eq(properties.keys()), "{name}");
    }
    let unknown = shop.get("/schema?task=x%27").await;
    unknown.assert_refused(
        400,
        "Unknown task: 'x''. Available tasks: ['person_detection', ",
    );
    shop.get("/schema?tusk=x").await.assert_refused(400, "tusk");
}
