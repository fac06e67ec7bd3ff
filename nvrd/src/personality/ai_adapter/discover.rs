//! What the adapter can do: health, capabilities, tasks, schemas and who does them.

use std::sync::Arc;

use nvr_base::principal::Actor;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::{IntoParams, ToSchema};

use super::Adapter;
use super::catalogue::{Provider, Task, tasks as all_tasks};
use crate::api::access::Caller;
use crate::api::error::{ApiError, ApiResult, ErrorBody};
use crate::api::query::Query;
use crate::api::reply::Json;
use crate::infer::{Eye, Status};

/// The machine that the models run on.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Hardware {
    /// Model of the processor.
    cpu: Option<String>,
    /// Cores that the daemon may use.
    cores: usize,
    /// Memory, gibibytes.
    ram_gb: Option<f64>,
    /// Always `null`: models run on the processor.
    gpu: Option<String>,
}

impl Hardware {
    /// Reads what the kernel tells.
    pub(super) fn of_this_machine() -> Self {
        let value = |file: &str, key: &str| {
            let text = std::fs::read_to_string(file).ok()?;
            let line = text.lines().find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let kibibytes = value("/proc/meminfo", "MemTotal")
            .and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
        Self {
            cpu: value("/proc/cpuinfo", "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            ram_gb: kibibytes.map(|it| (it / 1024.0 / 1024.0 * 10.0).round() / 10.0),
            gpu: None,
        }
    }
}

/// Whether the adapter answers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `ok`, or `degraded` where a model that is configured cannot be used.
    status: &'static str,
    /// Seconds since the start.
    uptime_seconds: u64,
    /// Models that are open.
    active_adapters: usize,
    /// The machine; absent for who has not said who it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    system_hardware: Option<Hardware>,
    /// Each model; absent for who has not said who it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    adapter_details: Option<Map<String, Value>>,
}

/// Says whether the adapter answers, and how its models are.
#[utoipa::path(get, path = "/health", tag = "discovery", operation_id = "health", responses(
    (status = 200, body = Health, description = "It answers."),
    (status = "default", body = ErrorBody, description = "Any other failure."),
))]
pub(super) async fn health(
    adapter: Arc<Adapter>,
    caller: Caller,
    []: [String; 0],
    (): (),
) -> ApiResult<Json<Health>> {
    let eyes = [
        (Provider::Detector, &adapter.analysis.detector),
        (Provider::Faces, &adapter.analysis.faces),
    ];
    let eyes: Vec<(Provider, &Eye)> = eyes
        .into_iter()
        .filter_map(|(provider, eye)| Some((provider, eye.as_ref()?)))
        .collect();
    let mut details = Map::new();
    for (provider, eye) in &eyes {
        let (status, reason) = match eye.status() {
            Status::Closed => ("loading", None),
            Status::Open(_) => ("healthy", None),
            Status::Failed(why) => ("error", Some(why)),
        };
        details.insert(
            provider.name().to_owned(),
            json!({
                "status": status,
                "model_loaded": matches!(eye.status(), Status::Open(_)),
                "model_info": model_info(*provider, Some(eye)),
                "reason": reason,
            }),
        );
    }
    let failed = |(_, eye): &(_, &Eye)| matches!(eye.status(), Status::Failed(_));
    let open = |(_, eye): &&(_, &Eye)| matches!(eye.status(), Status::Open(_));
    let known = caller.principal().actor != Actor::Anonymous;
    Ok(Json(Health {
        status: if eyes.iter().any(failed) {
            "degraded"
        } else {
            "ok"
        },
        uptime_seconds: (adapter.clock.monotonic() - adapter.started).as_secs(),
        active_adapters: eyes.iter().filter(open).count(),
        system_hardware: known.then(|| adapter.hardware.clone()),
        adapter_details: known.then_some(details),
    }))
}

/// What can be done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Capabilities {
    /// Names of tasks.
    tasks: Vec<&'static str>,
}

/// Lists the tasks that can be done now.
#[utoipa::path(get, path = "/capabilities", tag = "discovery", operation_id = "capabilities", responses(
    (status = 200, body = Capabilities, description = "The tasks."),
    (status = "default", body = ErrorBody, description = "Any other failure."),
))]
pub(super) async fn capabilities(
    adapter: Arc<Adapter>,
    _: Caller,
    []: [String; 0],
    (): (),
) -> ApiResult<Json<Capabilities>> {
    let tasks = available(&adapter);
    Ok(Json(Capabilities { tasks }))
}

/// Every task, and whether it can be done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tasks {
    /// By name: `name`, `description`, `adapter`, `enabled`, `model_loaded`, `reason` (why it is not enabled),
    /// `schema` (as `/schema` tells it) and `model_info`.
    tasks: Map<String, Value>,
    /// How many they are.
    count: usize,
}

/// Describes every task, also those that cannot be done now, with the reason.
#[utoipa::path(get, path = "/tasks", tag = "discovery", operation_id = "tasks", responses(
    (status = 200, body = Tasks, description = "The tasks."),
    (status = "default", body = ErrorBody, description = "Any other failure."),
))]
pub(super) async fn tasks(
    adapter: Arc<Adapter>,
    _: Caller,
    []: [String; 0],
    (): (),
) -> ApiResult<Json<Tasks>> {
    let mut tasks = Map::new();
    for task in all_tasks() {
        let eye = eye_for(&adapter, task.provider);
        let reason = unavailable(&adapter, task.provider);
        tasks.insert(
            task.name.to_owned(),
            json!({
                "name": task.name,
                "description": task.description,
                "adapter": task.provider.name(),
                "enabled": reason.is_none(),
                "model_loaded": eye.is_some_and(|eye| matches!(eye.status(), Status::Open(_))),
                "reason": reason,
                "schema": task.schema(),
                "model_info": model_info(task.provider, eye),
            }),
        );
    }
    let count = tasks.len();
    Ok(Json(Tasks { tasks, count }))
}

/// Which task is asked about.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct SchemaQuery {
    /// Name of a task; all of them unless given.
    task: Option<String>,
}

/// Tells exactly which keys a task answers with.
///
/// `response_fields` describes them one by one, `schema` is the same as JSON Schema. Without `task` the answer is
/// `{"schemas": {…}}`, with all of them by name.
#[utoipa::path(get, path = "/schema", tag = "discovery", operation_id = "schema", params(SchemaQuery), responses(
    (status = 200, body = serde_json::Value, description = "The schema, or all of them."),
    (status = 400, body = ErrorBody, description = "There is no such task."),
    (status = "default", body = ErrorBody, description = "Any other failure."),
))]
pub(super) async fn schema(
    _: Arc<Adapter>,
    _: Caller,
    []: [String; 0],
    Query(query): Query<SchemaQuery>,
) -> ApiResult<Json<Value>> {
    let tasks = all_tasks();
    let Some(name) = query.task else {
        let all: Map<String, Value> = tasks
            .iter()
            .map(|task| (task.name.to_owned(), task.schema()))
            .collect();
        return Ok(Json(json!({ "schemas": all })));
    };
    match tasks.iter().find(|task| task.name == name) {
        Some(task) => Ok(Json(task.schema())),
        None => {
            let names: Vec<&str> = tasks.iter().map(|task| task.name).collect();
            Err(ApiError::bad_request(format!(
                "Unknown task: '{name}'. Available tasks: {}",
                quoted(&names)
            )))
        }
    }
}

/// Who does tasks.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Adapters {
    /// Names of those that can do something now.
    adapters: Vec<&'static str>,
}

/// Lists who does tasks: a model here, or an endpoint elsewhere.
#[utoipa::path(get, path = "/adapters", tag = "discovery", operation_id = "adapters", responses(
    (status = 200, body = Adapters, description = "Their names."),
    (status = "default", body = ErrorBody, description = "Any other failure."),
))]
pub(super) async fn adapters(
    adapter: Arc<Adapter>,
    _: Caller,
    []: [String; 0],
    (): (),
) -> ApiResult<Json<Adapters>> {
    let all = [
        Provider::Detector,
        Provider::Faces,
        Provider::FaceMatch,
        Provider::Cloud,
    ];
    let there = all
        .into_iter()
        .filter(|provider| unavailable(&adapter, *provider).is_none())
        .map(Provider::name);
    Ok(Json(Adapters {
        adapters: there.collect(),
    }))
}

/// The tasks that can be done, as far as that is known.
pub(super) fn available(adapter: &Adapter) -> Vec<&'static str> {
    let can = |task: &Task| unavailable(adapter, task.provider).is_none();
    all_tasks()
        .iter()
        .filter(|task| can(task))
        .map(|task| task.name)
        .collect()
}

/// Names as the upstream program lists them.
pub(super) fn quoted(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    format!("[{}]", quoted.join(", "))
}

/// What to do where no model is configured.
pub(super) fn no_model(provider: Provider) -> &'static str {
    match provider {
        Provider::Faces => {
            "no model is configured: set personality.ai_adapter.faces to an ONNX model that detects faces"
        }
        _ => {
            "no model is configured: set personality.ai_adapter.detector to an ONNX model that detects objects"
        }
    }
}

fn eye_for(adapter: &Adapter, provider: Provider) -> Option<&Eye> {
    match provider {
        Provider::Detector => adapter.analysis.detector.as_ref(),
        Provider::Faces => adapter.analysis.faces.as_ref(),
        Provider::FaceMatch | Provider::Cloud => None,
    }
}

/// Why somebody can do nothing now; `None` where it can.
fn unavailable(adapter: &Adapter, provider: Provider) -> Option<String> {
    match provider {
        Provider::Detector | Provider::Faces => match eye_for(adapter, provider).map(Eye::status) {
            None => Some(no_model(provider).to_owned()),
            Some(Status::Failed(why)) => Some(why),
            Some(Status::Closed | Status::Open(_)) => None,
        },
        Provider::FaceMatch => adapter.matcher.missing(),
        Provider::Cloud => super::cloud::unavailable(adapter),
    }
}

fn model_info(provider: Provider, eye: Option<&Eye>) -> Value {
    let tasks: Vec<&str> = all_tasks()
        .iter()
        .filter(|task| task.provider == provider)
        .map(|task| task.name)
        .collect();
    let Some(eye) = eye else {
        let device = (provider == Provider::Cloud).then_some("cloud");
        return json!({ "model": null, "framework": null, "device": device, "tasks": tasks });
    };
    let mut info = json!({
        "model": eye.name(),
        "framework": "onnx",
        "device": "cpu",
        "tasks": tasks,
    });
    if let Status::Open(model) = eye.status() {
        info["hash"] = model.hash.into();
        info["input_px"] = json!(model.input_px);
        info["labels"] = json!(model.labels);
        info["licence"] = Some(model.licence).filter(|it| !it.is_empty()).into();
    }
    info
}
