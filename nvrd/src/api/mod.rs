//! The REST API under `/api/v1`: this file is the table of its routes and nothing else.
//!
//! Handlers know neither warp nor GStreamer nor Diesel: they take a caller, what the path names and a typed
//! input, and return a value or an `ApiError`.

pub(crate) mod route;
pub(crate) mod access;
mod guard;
pub(crate) mod context;
pub(crate) mod error;
pub(crate) mod reply;
pub(crate) mod query;
pub(crate) mod body;
mod health;
mod metrics;
mod ssl;
mod system;
mod backup;
mod logs;
mod settings;
mod cameras;
mod snapshot;
mod trigger;
mod events;
mod posted;
mod feed;
mod seat;
mod socket;
mod stream;
mod notifications;
mod recordings;
mod evidence;
mod keeping;
mod storage;
mod exports;
mod stills;
mod coverage;
mod timelapses;
mod headers;
mod auth;
mod mfa;
mod setup;
mod users;
mod keys;
mod audit;
mod upload;
mod ai;
mod ai_providers;
pub(crate) mod faces;
mod protect;
mod file;
mod time;
pub(crate) mod openapi;
mod reference;

use std::convert::Infallible;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use warp::Filter;
use warp::http::{Method, Request};
use warp::reply::Response;

use crate::auth::Need;

pub use context::ApiContext;
pub use feed::follow;

/// Every route of the API, ready to be served or asked in a test; every request gets an answer.
pub fn routes(
    context: Arc<ApiContext>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    table(context).into_filter()
}

/// The same for a listener.
pub fn service(
    context: Arc<ApiContext>,
) -> impl Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send + 'static>
+ Clone
+ Send
+ Sync
+ 'static {
    TowerToHyperService::new(warp::service(routes(context)))
}

/// Pictures in words, and cameras that controllers lend.
#[rustfmt::skip]
fn words_and_loans(table: route::Table) -> route::Table {
    table
        .on(Method::POST, "/api/v1/events/{id}/reanalyse", Need::Operate, ai::reanalyse)
        .on(Method::POST, "/api/v1/events/{id}/reanalyze", Need::Operate, ai::reanalyze)
        .on(Method::POST, "/api/v1/ai/describe", Need::Operate, ai::describe)
        .on(Method::GET, "/api/v1/ai/usage", Need::SeeEvents, ai::usage)
        .alias(Method::GET, "/api/v1/system/ai-usage", Need::SeeEvents, ai::usage)
        .alias(Method::GET, "/api/v1/system/ai-stats", Need::SeeEvents, ai::usage)
        .alias(Method::GET, "/api/v1/system/ai-providers", Need::Manage, ai_providers::list)
        .on(Method::GET, "/api/v1/ai/capabilities", Need::SeeEvents, ai::capabilities)
        .on(Method::GET, "/api/v1/ai/context-metrics", Need::SeeEvents, ai::context_metrics)
        .on(Method::POST, "/api/v1/ai/refine-prompt", Need::Operate, ai::refine_prompt)
        .on(Method::GET, "/api/v1/ai/providers", Need::Manage, ai_providers::list)
        .on(Method::POST, "/api/v1/ai/providers", Need::Manage, ai_providers::create)
        .on(Method::GET, "/api/v1/ai/providers/{id}", Need::Manage, ai_providers::get)
        .on(Method::PUT, "/api/v1/ai/providers/{id}", Need::Manage, ai_providers::change)
        .on(Method::DELETE, "/api/v1/ai/providers/{id}", Need::Manage, ai_providers::delete)
        .on(Method::POST, "/api/v1/ai/providers/{id}/test", Need::Manage, ai_providers::test)
        .on(Method::GET, "/api/v1/protect/controllers", Need::Manage, protect::list)
        .on(Method::POST, "/api/v1/protect/controllers", Need::Manage, protect::create)
        .on(Method::POST, "/api/v1/protect/controllers/test", Need::Manage, protect::test)
        .on(Method::GET, "/api/v1/protect/controllers/{id}", Need::Manage, protect::get)
        .on(Method::PUT, "/api/v1/protect/controllers/{id}", Need::Manage, protect::change)
        .on(Method::DELETE, "/api/v1/protect/controllers/{id}", Need::Manage, protect::delete)
        .on(Method::POST, "/api/v1/protect/controllers/{id}/test", Need::Manage, protect::test_saved)
        .on(Method::POST, "/api/v1/protect/controllers/{id}/connect", Need::Manage, protect::connect)
        .on(Method::POST, "/api/v1/protect/controllers/{id}/disconnect", Need::Manage, protect::disconnect)
        .on(Method::GET, "/api/v1/protect/controllers/{id}/cameras", Need::Manage, protect::cameras)
        .on(Method::POST, "/api/v1/protect/controllers/{id}/cameras/{camera_id}/enable", Need::Manage, protect::enable)
        .on(Method::POST, "/api/v1/protect/controllers/{id}/cameras/{camera_id}/disable", Need::Manage, protect::disable)
}

/// People, by their faces.
#[rustfmt::skip]
fn people(table: route::Table) -> route::Table {
    table
        .on(Method::GET, "/api/v1/faces", Need::Operate, faces::list)
        .on(Method::POST, "/api/v1/faces", Need::Operate, faces::create)
        .on(Method::POST, "/api/v1/faces/search", Need::Operate, faces::search)
        .on(Method::GET, "/api/v1/faces/{person_id}", Need::Operate, faces::get)
        .on(Method::PATCH, "/api/v1/faces/{person_id}", Need::Operate, faces::change)
        .on(Method::DELETE, "/api/v1/faces/{person_id}", Need::Operate, faces::delete)
        .on(Method::GET, "/api/v1/faces/{person_id}/photos/{face_id}", Need::Operate, faces::photo)
        .on(Method::GET, "/api/v1/strangers", Need::Operate, faces::strangers)
        .on(Method::POST, "/api/v1/strangers/{id}/name", Need::Operate, faces::name_stranger)
        .on(Method::DELETE, "/api/v1/strangers/{id}", Need::Operate, faces::forget_stranger)
}

#[rustfmt::skip]
#[expect(clippy::too_many_lines, reason = "it is a table")]
fn table(context: Arc<ApiContext>) -> route::Table {
    people(words_and_loans(route::Table::new(context)))
        .on(Method::GET, "/api/v1/system/health", Need::Public, health::get)
        .alias(Method::GET, "/health", Need::Public, health::get)
        .on(Method::GET, "/metrics", Need::Measure, metrics::get)
        .alias(Method::GET, "/api/v1/metrics", Need::Measure, metrics::get)
        .on(Method::GET, "/api/v1/system/ssl-status", Need::SeeCameras, ssl::get)
        .on(Method::GET, "/api/v1/system/storage", Need::Manage, system::storage)
        .on(Method::GET, "/api/v1/system/retention", Need::Manage, system::retention)
        .on(Method::PUT, "/api/v1/system/retention", Need::Manage, system::update_retention)
        .on(Method::PATCH, "/api/v1/system/retention", Need::Manage, system::change_retention)
        .on(Method::GET, "/api/v1/system/backup", Need::Manage, backup::list)
        .alias(Method::GET, "/api/v1/system/backup/list", Need::Manage, backup::list)
        .on(Method::POST, "/api/v1/system/backup", Need::Manage, backup::make)
        .on(Method::DELETE, "/api/v1/system/backup/{name}", Need::Manage, backup::delete)
        .on(Method::GET, "/api/v1/system/settings", Need::Manage, settings::get)
        .on(Method::PUT, "/api/v1/system/settings", Need::Manage, settings::update)
        .on(Method::POST, "/api/v1/system/settings/diff", Need::Manage, settings::diff)
        .on(Method::POST, "/api/v1/system/reload", Need::Manage, settings::reload)
        .on(Method::GET, "/api/v1/logs", Need::Manage, logs::list)
        .on(Method::GET, "/api/v1/cameras", Need::SeeCameras, cameras::list)
        .on(Method::POST, "/api/v1/cameras", Need::Manage, cameras::create)
        .on(Method::POST, "/api/v1/cameras/test", Need::Manage, cameras::test)
        .on(Method::GET, "/api/v1/cameras/{camera}", Need::SeeCameras, cameras::get)
        .on(Method::PUT, "/api/v1/cameras/{camera}", Need::Manage, cameras::replace)
        .on(Method::PATCH, "/api/v1/cameras/{camera}", Need::Manage, cameras::change)
        .on(Method::DELETE, "/api/v1/cameras/{camera}", Need::Manage, cameras::delete)
        .on(Method::POST, "/api/v1/cameras/{camera}/start", Need::Operate, cameras::start)
        .on(Method::POST, "/api/v1/cameras/{camera}/stop", Need::Operate, cameras::stop)
        .on(Method::POST, "/api/v1/cameras/{camera}/test", Need::Operate, cameras::test_saved)
        .on(Method::POST, "/api/v1/cameras/{camera}/trigger", Need::Operate, trigger::post)
        .on(Method::GET, "/api/v1/cameras/{camera}/snapshot.jpg", Need::SeeCameras, snapshot::get)
        .on(Method::GET, "/api/v1/cameras/{camera}/coverage", Need::SeeCameras, coverage::get)
        .on(Method::GET, "/api/v1/events", Need::SeeEvents, events::list)
        .on(Method::GET, "/api/v1/events/latest", Need::SeeEvents, events::latest)
        .on(Method::GET, "/api/v1/events/stats", Need::SeeEvents, events::report::stats)
        .alias(Method::GET, "/api/v1/events/stats/aggregate", Need::SeeEvents, events::report::stats)
        .on(Method::GET, "/api/v1/events/export", Need::SeeEvents, events::report::export)
        .on(Method::POST, "/api/v1/events", Need::Operate, posted::create)
        .on(Method::POST, "/api/v1/events/ws-ticket", Need::SeeEvents, socket::ticket)
        .on(Method::GET, "/api/v1/events/{id}", Need::SeeEvents, events::get)
        .on(Method::DELETE, "/api/v1/events/{id}", Need::Operate, events::delete)
        .on(Method::GET, "/api/v1/events/{id}/thumbnail", Need::SeeEvents, events::thumbnail)
        .alias(Method::GET, "/api/v1/events/{id}/evidence", Need::SeeEvents, events::thumbnail)
        .on(Method::GET, "/api/v1/events/{id}/sprite.jpg", Need::SeeEvents, stills::event_sprite)
        .on(Method::GET, "/api/v1/events/{id}/sprite.json", Need::SeeEvents, stills::event_sprite_cells)
        .on(Method::GET, "/api/v1/recordings/{camera}", Need::SeeEvents, recordings::chunks)
        .on(Method::GET, "/api/v1/cameras/{camera}/recordings", Need::SeeEvents, recordings::list)
        .on(Method::GET, "/api/v1/recordings/{camera}/frame.jpg", Need::SeeEvents, stills::frame)
        .on(Method::GET, "/api/v1/recordings/{camera}/sprite.jpg", Need::SeeEvents, stills::sprite)
        .on(Method::GET, "/api/v1/recordings/{camera}/sprite.json", Need::SeeEvents, stills::sprite_cells)
        .on(Method::GET, "/api/v1/recordings/{camera}/{segment_id}/file.mp4", Need::SeeEvents, recordings::file)
        .on(Method::GET, "/api/v1/recordings/{camera}/{segment_id}/thumbnail.jpg", Need::SeeEvents, stills::thumbnail)
        .on(Method::GET, "/api/v1/evidence/{camera}", Need::SeeEvents, evidence::head)
        .on(Method::DELETE, "/api/v1/recordings/{camera}", Need::Manage, keeping::delete)
        .on(Method::POST, "/api/v1/recordings/{camera}/protect", Need::Operate, keeping::protect)
        .on(Method::GET, "/api/v1/storage", Need::Manage, storage::get)
        .on(Method::GET, "/api/v1/storage/policy", Need::Manage, storage::policy)
        .on(Method::POST, "/api/v1/storage/plan", Need::Manage, storage::plan)
        .on(Method::POST, "/api/v1/storage/trust-clock", Need::Manage, storage::trust_clock)
        .on(Method::GET, "/api/v1/exports", Need::SeeEvents, exports::list)
        .on(Method::POST, "/api/v1/exports", Need::Operate, exports::create)
        .on(Method::GET, "/api/v1/exports/{id}", Need::SeeEvents, exports::get)
        .on(Method::DELETE, "/api/v1/exports/{id}", Need::Operate, exports::delete)
        .on(Method::GET, "/api/v1/exports/{id}/file.mp4", Need::SeeEvents, exports::file)
        .on(Method::GET, "/api/v1/timelapses", Need::SeeEvents, timelapses::list)
        .on(Method::POST, "/api/v1/timelapses", Need::Operate, timelapses::create)
        .on(Method::GET, "/api/v1/timelapses/{id}", Need::SeeEvents, timelapses::get)
        .on(Method::DELETE, "/api/v1/timelapses/{id}", Need::Operate, timelapses::delete)
        .on(Method::GET, "/api/v1/timelapses/{id}/file.mp4", Need::SeeEvents, timelapses::file)
        .on(Method::GET, "/ws", Need::Public, socket::open)
        .alias(Method::GET, "/api/v1/ws", Need::Public, socket::open)
        .on(Method::GET, "/api/v1/stream", Need::Public, stream::open)
        .on(Method::GET, "/api/v1/notifications", Need::SeeEvents, notifications::list)
        .on(Method::DELETE, "/api/v1/notifications", Need::SeeEvents, notifications::delete_all)
        .on(Method::PATCH, "/api/v1/notifications/mark-all-read", Need::SeeEvents, notifications::read_all)
        .on(Method::PATCH, "/api/v1/notifications/{id}/read", Need::SeeEvents, notifications::read)
        .on(Method::DELETE, "/api/v1/notifications/{id}", Need::SeeEvents, notifications::delete)
        .on(Method::POST, "/api/v1/auth/login", Need::Public, auth::log_in)
        .on(Method::POST, "/api/v1/auth/login-json", Need::Public, auth::log_in_json)
        .on(Method::POST, "/api/v1/auth/session", Need::Public, auth::open_session)
        .on(Method::DELETE, "/api/v1/auth/session", Need::Person, auth::close_session)
        .on(Method::POST, "/api/v1/auth/refresh", Need::Public, auth::refresh)
        .on(Method::POST, "/api/v1/auth/logout", Need::Person, auth::log_out)
        .on(Method::GET, "/api/v1/auth/me", Need::Person, auth::me)
        .on(Method::GET, "/api/v1/auth/sessions", Need::Person, auth::sessions)
        .on(Method::DELETE, "/api/v1/auth/sessions/{id}", Need::Person, auth::end_session)
        .on(Method::POST, "/api/v1/auth/change-password", Need::Person, auth::change_password)
        .on(Method::GET, "/api/v1/auth/setup-status", Need::Public, auth::setup_status)
        .on(Method::POST, "/api/v1/auth/first-time-setup", Need::Public, setup::first)
        .on(Method::POST, "/api/v1/setup", Need::Public, setup::alias)
        .on(Method::GET, "/setup", Need::Public, setup::page)
        .on(Method::POST, "/setup", Need::Public, setup::submit)
        .on(Method::POST, "/api/v1/auth/mfa/setup", Need::Person, mfa::setup)
        .on(Method::POST, "/api/v1/auth/mfa/verify", Need::Person, mfa::verify)
        .on(Method::POST, "/api/v1/auth/mfa/disable", Need::Person, mfa::disable)
        .on(Method::GET, "/api/v1/users", Need::Manage, users::list)
        .on(Method::POST, "/api/v1/users", Need::Manage, users::create)
        .on(Method::GET, "/api/v1/users/{id}", Need::Manage, users::get)
        .on(Method::PUT, "/api/v1/users/{id}", Need::Manage, users::change)
        .on(Method::DELETE, "/api/v1/users/{id}", Need::Manage, users::delete)
        .on(Method::GET, "/api/v1/api-keys", Need::Manage, keys::list)
        .on(Method::POST, "/api/v1/api-keys", Need::Manage, keys::create)
        .on(Method::GET, "/api/v1/api-keys/{id}", Need::Manage, keys::get)
        .on(Method::DELETE, "/api/v1/api-keys/{id}", Need::Manage, keys::revoke)
        .on(Method::GET, "/api/v1/api-keys/{id}/usage", Need::Manage, keys::usage)
        .on(Method::GET, "/api/v1/audit-logs", Need::Manage, audit::list)
        .on(Method::GET, "/openapi.json", Need::Public, openapi::document)
        .on(Method::GET, "/docs", Need::Public, openapi::docs)
        .on(Method::GET, "/redoc", Need::Public, reference::page)
        .on(Method::GET, "/docs/{file}", Need::Public, openapi::docs_file)
}

#[cfg(test)]
pub(crate) mod tests;
