//! The REST API under `/api/v1`: this file is the table of its routes and nothing else.
//!
//! Handlers know neither warp nor GStreamer nor Diesel: they take a context, what the path names and a typed
//! input, and return a value or an `ApiError`.

mod route;
mod guard;
mod context;
mod error;
mod reply;
mod query;
mod body;
mod health;
mod cameras;
mod snapshot;
mod trigger;
mod events;
mod recordings;
mod evidence;
mod keeping;
mod storage;
mod exports;
mod stills;
mod coverage;
mod timelapses;
mod file;
mod time;
mod openapi;
mod serve;

use std::convert::Infallible;
use std::sync::Arc;

use warp::Filter;
use warp::http::Method;
use warp::reply::Response;

pub use context::ApiContext;
pub use serve::{Limits, bind, serve, serve_with};

/// Every route of the API, ready to be served or asked in a test; every request gets an answer.
pub fn routes(
    context: Arc<ApiContext>,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static {
    table(context).into_filter()
}

#[rustfmt::skip]
fn table(context: Arc<ApiContext>) -> route::Table {
    route::Table::new(context)
        .on(Method::GET, "/api/v1/system/health", health::get)
        .on(Method::GET, "/api/v1/cameras", cameras::list)
        .on(Method::POST, "/api/v1/cameras", cameras::create)
        .on(Method::POST, "/api/v1/cameras/test", cameras::test)
        .on(Method::GET, "/api/v1/cameras/{name}", cameras::get)
        .on(Method::PUT, "/api/v1/cameras/{name}", cameras::replace)
        .on(Method::PATCH, "/api/v1/cameras/{name}", cameras::change)
        .on(Method::DELETE, "/api/v1/cameras/{name}", cameras::delete)
        .on(Method::POST, "/api/v1/cameras/{name}/start", cameras::start)
        .on(Method::POST, "/api/v1/cameras/{name}/stop", cameras::stop)
        .on(Method::POST, "/api/v1/cameras/{name}/test", cameras::test_saved)
        .on(Method::POST, "/api/v1/cameras/{name}/trigger", trigger::post)
        .on(Method::GET, "/api/v1/cameras/{name}/snapshot.jpg", snapshot::get)
        .on(Method::GET, "/api/v1/cameras/{name}/coverage", coverage::get)
        .on(Method::GET, "/api/v1/events", events::list)
        .on(Method::GET, "/api/v1/events/{id}", events::get)
        .on(Method::DELETE, "/api/v1/events/{id}", events::delete)
        .on(Method::GET, "/api/v1/events/{id}/thumbnail", events::thumbnail)
        .on(Method::GET, "/api/v1/events/{id}/sprite.jpg", stills::event_sprite)
        .on(Method::GET, "/api/v1/events/{id}/sprite.json", stills::event_sprite_cells)
        .on(Method::GET, "/api/v1/recordings/{camera}", recordings::list)
        .on(Method::GET, "/api/v1/recordings/{camera}/frame.jpg", stills::frame)
        .on(Method::GET, "/api/v1/recordings/{camera}/sprite.jpg", stills::sprite)
        .on(Method::GET, "/api/v1/recordings/{camera}/sprite.json", stills::sprite_cells)
        .on(Method::GET, "/api/v1/recordings/{camera}/{segment_id}/file.mp4", recordings::file)
        .on(Method::GET, "/api/v1/recordings/{camera}/{segment_id}/thumbnail.jpg", stills::thumbnail)
        .on(Method::GET, "/api/v1/evidence/{camera}", evidence::head)
        .on(Method::DELETE, "/api/v1/recordings/{camera}", keeping::delete)
        .on(Method::POST, "/api/v1/recordings/{camera}/protect", keeping::protect)
        .on(Method::GET, "/api/v1/storage", storage::get)
        .on(Method::GET, "/api/v1/storage/policy", storage::policy)
        .on(Method::POST, "/api/v1/storage/plan", storage::plan)
        .on(Method::POST, "/api/v1/storage/trust-clock", storage::trust_clock)
        .on(Method::GET, "/api/v1/exports", exports::list)
        .on(Method::POST, "/api/v1/exports", exports::create)
        .on(Method::GET, "/api/v1/exports/{id}", exports::get)
        .on(Method::DELETE, "/api/v1/exports/{id}", exports::delete)
        .on(Method::GET, "/api/v1/exports/{id}/file.mp4", exports::file)
        .on(Method::GET, "/api/v1/timelapses", timelapses::list)
        .on(Method::POST, "/api/v1/timelapses", timelapses::create)
        .on(Method::GET, "/api/v1/timelapses/{id}", timelapses::get)
        .on(Method::DELETE, "/api/v1/timelapses/{id}", timelapses::delete)
        .on(Method::GET, "/api/v1/timelapses/{id}/file.mp4", timelapses::file)
        .on(Method::GET, "/openapi.json", openapi::document)
        .on(Method::GET, "/docs", openapi::docs)
        .on(Method::GET, "/docs/{file}", openapi::docs_file)
}

#[cfg(test)]
mod tests;
