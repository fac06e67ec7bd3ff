//! Storage: which folders there are and how they are, how long recordings last, and what a policy would delete.

use nvr_base::Result;
use nvr_store::PageRequest;
use nvr_store::retention::{Deletion, Plan, Situation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use utoipa::ToSchema;

use super::access::Caller;
use super::body::Body;
use super::context::Lane;
use super::error::{ApiError, ApiResult};
use super::query::{List, MAX_LIMIT};
use super::reply::Json;
use crate::config::{Bytes, Days, RetentionConfig, WhenFullConfig};
use crate::retention::{Policy, StorageLimits};

/// Most deletions that a plan lists; it counts them all.
const MAX_LISTED: u64 = 100_000;

/// Where recordings are kept, and how long they last.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StorageStatus {
    /// In the order in which they are used.
    storages: Vec<StorageItem>,
    cameras: Vec<CameraItem>,
    clock: ClockItem,
    deleted: DeletedItem,
}

impl StorageStatus {
    /// How each storage is.
    pub(super) fn into_storages(self) -> Vec<StorageItem> {
        self.storages
    }
}

impl StorageItem {
    /// What recordings take there.
    pub(super) fn recordings_bytes(&self) -> u64 {
        self.recordings_bytes
    }
}

/// A storage folder.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StorageItem {
    /// Its identity, UUID version 7; `null` before it was ever found.
    id: Option<String>,
    /// `first`, or its name in the configuration.
    name: String,
    path: String,
    /// `ready`, `missing`, `foreign`, `failing` or `full`.
    state: String,
    /// What is wrong, and what to do.
    detail: Option<String>,
    /// Whether new recordings go there.
    in_use: bool,
    /// All of its disk.
    total_bytes: Option<u64>,
    /// What is free on its disk.
    free_bytes: Option<u64>,
    /// What recordings take there.
    recordings_bytes: u64,
    segments: u64,
    /// What is deleted already and still to be unlinked.
    garbage_bytes: u64,
    /// What is written to it, bytes a second, over the last ten minutes.
    rate: Option<f64>,
    /// What has to be free before anything is deleted for room.
    wanted_free_bytes: Option<u64>,
    /// Days that it holds at the present rate.
    days_left: Option<f64>,
}

/// How long the recordings of a camera last.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CameraItem {
    camera: String,
    /// What it has in all storages that are there.
    bytes: u64,
    /// What it writes, bytes a second, over the last ten minutes.
    rate: f64,
    /// Days that what it records is kept at the present rate.
    days_left: Option<f64>,
    /// What sets that: `age`, `camera_size`, `storage_size` or `space`.
    limited_by: Option<String>,
}

/// Whether deleting by age believes the wall clock.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClockItem {
    trusted: bool,
    /// Why not.
    reason: Option<String>,
    /// Since when not, by that very clock, microseconds since 1970-01-01 UTC.
    since_unix_us: Option<i64>,
}

/// What was deleted since the start of the program.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeletedItem {
    files: u64,
    bytes: u64,
    /// Attempts to unlink a file that failed; each file is tried again.
    failed: u64,
    /// Rounds that ended with an error.
    failed_rounds: u64,
}

/// Limits of a camera, or of all; what is absent sets no limit.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CameraLimits {
    /// Days that segments without anything in them are kept.
    #[schema(value_type = Option<f64>)]
    continuous_days: Option<Days>,
    /// Days that segments with motion are kept.
    #[schema(value_type = Option<f64>)]
    motion_days: Option<Days>,
    /// Days that segments with another event are kept.
    #[schema(value_type = Option<f64>)]
    event_days: Option<Days>,
    /// Most bytes of a camera; a number, or a text such as `500 GB`.
    #[schema(value_type = Option<u64>)]
    max_bytes: Option<Bytes>,
}

/// Limits of a storage; what is absent sets no limit.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct FolderLimits {
    /// Most bytes of recordings; a number, or a text such as `500 GB`.
    #[schema(value_type = Option<u64>)]
    max_bytes: Option<Bytes>,
    /// What stays free on its disk at least; a number, or a text such as `5 GB`.
    #[schema(value_type = Option<u64>)]
    min_free: Option<Bytes>,
}

/// How long and how much is kept.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RetentionPolicy {
    /// What holds for every camera.
    retention: CameraLimits,
    /// What holds for single cameras, by name; what it leaves out is as for every camera.
    cameras: BTreeMap<String, CameraLimits>,
    /// By the name of the storage.
    storages: BTreeMap<String, FolderLimits>,
    /// `stop` or `delete_protected`.
    #[schema(value_type = String)]
    when_full: WhenFullConfig,
}

/// What to plan.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PlanRequest {
    /// The policy to try; that of the configuration unless given.
    policy: Option<RetentionPolicy>,
    /// Page of the deletions, counted from 1.
    #[schema(minimum = 1)]
    page: Option<u32>,
    /// Deletions on a page.
    #[schema(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// What a policy would delete now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PlanAnswer {
    /// Segments that would go.
    segments: u64,
    /// Their length together.
    bytes: u64,
    /// By camera and reason.
    deletions: Vec<DeletionSum>,
    /// How long what is recorded would last.
    cameras: Vec<CameraItem>,
    /// Storages that would still have too little room.
    short: Vec<Shortage>,
    clock: ClockItem,
    /// The deletions in their order, the first 100000 of them.
    list: List<DeletionItem>,
}

/// What would go of a camera for one reason.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeletionSum {
    camera: String,
    /// `age`, `camera_size`, `storage_size` or `space`.
    reason: String,
    segments: u64,
    bytes: u64,
    /// Start of the first of them, microseconds since 1970-01-01 UTC.
    first_unix_us: i64,
    /// End of the last of them, microseconds since 1970-01-01 UTC.
    last_unix_us: i64,
}

/// A storage that would have too little room whatever goes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Shortage {
    storage: String,
    bytes: u64,
}

/// A segment that would go.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DeletionItem {
    /// Id of the segment.
    id: String,
    camera: String,
    storage: String,
    /// `continuous`, `motion`, `event` or `protected`.
    tier: String,
    reason: String,
    bytes: u64,
    start_unix_us: i64,
    end_unix_us: i64,
}

/// Which storage folders there are, how they are, and how long recordings last.
#[utoipa::path(get, path = "/api/v1/storage", tag = "storage", operation_id = "storage_status", responses(
    (status = 200, body = StorageStatus, description = "How it is."),
    (status = "default", body = super::error::ErrorBody, description = "Any failure."),
))]
pub(super) async fn get(caller: Caller, []: [String; 0], (): ()) -> ApiResult<Json<StorageStatus>> {
    caller.run(Lane::Read, status).await.map(Json)
}

/// The policy of the configuration file, where it is changed.
#[utoipa::path(get, path = "/api/v1/storage/policy", tag = "storage", operation_id = "storage_policy", responses(
    (status = 200, body = RetentionPolicy, description = "The policy."),
    (status = "default", body = super::error::ErrorBody, description = "Any failure."),
))]
pub(super) async fn policy(
    caller: Caller,
    []: [String; 0],
    (): (),
) -> ApiResult<Json<RetentionPolicy>> {
    Ok(Json(told(&caller.retention.policy())))
}

/// What a policy would delete now, and how long what is recorded would last; nothing is deleted.
#[utoipa::path(post, path = "/api/v1/storage/plan", tag = "storage", operation_id = "storage_plan",
    request_body = PlanRequest,
    responses(
        (status = 200, body = PlanAnswer, description = "What would go."),
        (status = 400, body = super::error::ErrorBody, description = "A field is wrong."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn plan(
    caller: Caller,
    []: [String; 0],
    Body(request): Body<PlanRequest>,
) -> ApiResult<Json<PlanAnswer>> {
    let page = PageRequest {
        page: request.page.unwrap_or(1),
        limit: request.limit.unwrap_or(50),
    };
    if page.page == 0 {
        return Err(ApiError::bad_request(
            "page: 0 is out of range: use 1 or more",
        ));
    }
    if !(1..=MAX_LIMIT).contains(&page.limit) {
        return Err(ApiError::bad_request(format!(
            "limit: {} is out of range: use 1 to {MAX_LIMIT}",
            page.limit
        )));
    }
    let policy = match request.policy {
        None => (*caller.retention.policy()).clone(),
        Some(asked) => taken(asked, &caller)?,
    };
    let planned = caller.run(Lane::Plan, move |caller| planned(caller, &policy, page));
    planned.await.map(Json)
}

/// Says that the wall clock is right, so that recordings are deleted by age again.
#[utoipa::path(post, path = "/api/v1/storage/trust-clock", tag = "storage", operation_id = "storage_trust_clock", responses(
    (status = 200, body = ClockItem, description = "Whether it is believed now; before 2024 it never is."),
    (status = "default", body = super::error::ErrorBody, description = "Any failure."),
))]
pub(super) async fn trust_clock(
    caller: Caller,
    []: [String; 0],
    (): (),
) -> ApiResult<Json<ClockItem>> {
    let clock = caller.run(Lane::Change, |caller| {
        caller.retention.trust_clock()?;
        Ok(clock(caller))
    });
    clock.await.map(Json)
}

fn clock(caller: &Caller) -> ClockItem {
    let doubt = caller.retention.clock_doubt();
    ClockItem {
        trusted: doubt.is_none(),
        since_unix_us: doubt.as_ref().map(|(_, since)| *since),
        reason: doubt.map(|(reason, _)| reason),
    }
}

pub(super) fn status(caller: &Caller) -> Result<StorageStatus> {
    // Under the policy as it is, of which the retention has done nearly all: what is left costs little.
    let mut none = |_: Deletion<'_>| ControlFlow::Break(());
    let (situation, plan) = caller
        .retention
        .preview(&caller.retention.policy(), &mut none)?;
    let held = caller.store.held()?;
    let pending = caller.store.pending_garbage()?;
    let in_use = caller
        .storage
        .in_use()
        .map(|volume| volume.root().to_owned());
    let storages = caller.storage.volumes().iter().map(|volume| {
        let id = volume.id();
        let own = held.iter().filter(|held| Some(held.storage.as_str()) == id);
        let outlook = plan
            .places
            .iter()
            .find(|place| Some(place.storage.as_str()) == id);
        let garbage = pending
            .iter()
            .find(|pending| Some(pending.storage.as_str()) == id);
        let condition = volume.condition();
        let space = volume.space().filter(|_| condition.is_present());
        StorageItem {
            id: id.map(str::to_owned),
            name: volume.name().to_owned(),
            path: volume.root().display().to_string(),
            state: condition.as_str().to_owned(),
            detail: condition.detail().map(str::to_owned),
            in_use: in_use.as_deref() == Some(volume.root()),
            total_bytes: space.map(|space| space.total_bytes),
            free_bytes: space.map(|space| space.free_bytes),
            recordings_bytes: own.clone().map(|held| held.bytes.cast_unsigned()).sum(),
            segments: own.map(|held| held.segments.cast_unsigned()).sum(),
            garbage_bytes: garbage.map_or(0, |pending| pending.bytes),
            rate: outlook.map(|outlook| outlook.rate),
            wanted_free_bytes: outlook.map(|outlook| outlook.wanted_bytes),
            days_left: outlook.and_then(|outlook| outlook.days),
        }
    });
    let counters = caller.retention.counters();
    Ok(StorageStatus {
        storages: storages.collect(),
        cameras: cameras_of(&situation, &plan),
        clock: clock(caller),
        deleted: DeletedItem {
            files: counters.deleted_files,
            bytes: counters.deleted_bytes,
            failed: counters.failed,
            failed_rounds: counters.failed_rounds,
        },
    })
}

fn cameras_of(situation: &Situation, plan: &Plan) -> Vec<CameraItem> {
    let cameras = situation.cameras.iter().zip(&plan.cameras);
    cameras
        .map(|(camera, lasting)| CameraItem {
            camera: camera.name.clone(),
            bytes: camera.held.iter().map(|(_, bytes)| bytes).sum(),
            rate: camera.rate,
            days_left: lasting.days,
            limited_by: lasting.by.map(|by| by.as_str().to_owned()),
        })
        .collect()
}

fn planned(caller: &Caller, policy: &Policy, page: PageRequest) -> Result<PlanAnswer> {
    let first = u64::from(page.page - 1) * u64::from(page.limit);
    let wanted = first..first.saturating_add(u64::from(page.limit)).min(MAX_LISTED);
    let (mut segments, mut bytes) = (0, 0);
    let mut sums: BTreeMap<(String, &'static str), DeletionSum> = BTreeMap::new();
    let mut items = Vec::new();
    let mut each = |deletion: Deletion<'_>| {
        let (item, reason) = (&deletion.item, deletion.reason.as_str());
        let sum = sums
            .entry((deletion.camera.to_owned(), reason))
            .or_insert_with(|| DeletionSum {
                camera: deletion.camera.to_owned(),
                reason: reason.to_owned(),
                segments: 0,
                bytes: 0,
                first_unix_us: item.start_us,
                last_unix_us: item.end_us,
            });
        sum.segments += 1;
        sum.bytes += item.bytes;
        sum.first_unix_us = sum.first_unix_us.min(item.start_us);
        sum.last_unix_us = sum.last_unix_us.max(item.end_us);
        if wanted.contains(&segments) {
            items.push(DeletionItem {
                id: item.id.clone(),
                camera: deletion.camera.to_owned(),
                storage: deletion.storage.to_owned(),
                tier: deletion.class.as_str().to_owned(),
                reason: reason.to_owned(),
                bytes: item.bytes,
                start_unix_us: item.start_us,
                end_unix_us: item.end_us,
            });
        }
        segments += 1;
        bytes += item.bytes;
        ControlFlow::Continue(())
    };
    let (situation, plan) = caller.retention.preview(policy, &mut each)?;
    let short = plan.places.iter().filter(|place| place.short_bytes > 0);
    Ok(PlanAnswer {
        segments,
        bytes,
        deletions: sums.into_values().collect(),
        cameras: cameras_of(&situation, &plan),
        short: short
            .map(|place| Shortage {
                storage: place.storage.clone(),
                bytes: place.short_bytes,
            })
            .collect(),
        clock: clock(caller),
        list: List::new(items, segments.min(MAX_LISTED), page),
    })
}

fn told(policy: &Policy) -> RetentionPolicy {
    let limits = |config: &RetentionConfig| CameraLimits {
        continuous_days: config.continuous_days,
        motion_days: config.motion_days,
        event_days: config.event_days,
        max_bytes: config.max_bytes,
    };
    let cameras = policy.cameras.iter();
    let storages = policy.storages.iter().map(|(name, storage)| {
        let limits = FolderLimits {
            max_bytes: storage.max_bytes,
            min_free: storage.min_free,
        };
        (name.clone(), limits)
    });
    RetentionPolicy {
        retention: limits(&policy.general),
        cameras: cameras
            .map(|(name, own)| (name.clone(), limits(own)))
            .collect(),
        storages: storages.collect(),
        when_full: policy.when_full,
    }
}

fn taken(asked: RetentionPolicy, caller: &Caller) -> ApiResult<Policy> {
    let volumes = caller.storage.volumes();
    let unknown = asked
        .storages
        .keys()
        .find(|name| volumes.iter().all(|volume| volume.name() != name.as_str()));
    if let Some(name) = unknown {
        let names: Vec<&str> = volumes.iter().map(|volume| volume.name()).collect();
        return Err(ApiError::bad_request(format!(
            "policy.storages: no storage is called {name:?}: use {}",
            names.join(", ")
        )));
    }
    let limits = |limits: CameraLimits| RetentionConfig {
        continuous_days: limits.continuous_days,
        motion_days: limits.motion_days,
        event_days: limits.event_days,
        max_bytes: limits.max_bytes,
    };
    let storages = asked.storages.into_iter().map(|(name, storage)| {
        let limits = StorageLimits {
            max_bytes: storage.max_bytes,
            min_free: storage.min_free,
        };
        (name, limits)
    });
    let cameras = asked.cameras.into_iter();
    Ok(Policy {
        general: limits(asked.retention),
        cameras: cameras.map(|(name, own)| (name, limits(own))).collect(),
        storages: storages.collect(),
        when_full: asked.when_full,
    })
}
