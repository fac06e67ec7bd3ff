//! Events: a filtered list, the latest, one, its thumbnail, and its removal.

mod view;
mod filter;
mod words;
pub(super) mod report;

use std::collections::BTreeMap;

use nvr_base::{Error, ErrorKind, Result};
use nvr_store::{EventRow, EventState};

use super::access::Caller;
use super::context::Lane;
use super::error::ApiResult;
use super::file::Conditions;
use super::query::Query;
use super::reply::{Json, NoContent};
use super::stills::Jpeg;
use filter::{EventQuery, LatestQuery};
use view::EventList;

pub(super) use view::{Beside, Event, event_of};

/// Events, newest start first.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", operation_id = "list_events", params(EventQuery), responses(
    (status = 200, body = EventList, description = "A page of them."),
    (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn list(
    caller: Caller,
    []: [String; 0],
    Query(query): Query<EventQuery>,
) -> ApiResult<Json<EventList>> {
    let (filter, page) = query.wanted()?;
    let list = caller.run(Lane::Read, move |caller| {
        let found = caller.store.events(caller.principal(), &filter, page)?;
        let items = events_of(caller, found.items)?;
        Ok(EventList::new(items, found.total, page))
    });
    list.await.map(Json)
}

/// The latest events, newest start first.
#[utoipa::path(get, path = "/api/v1/events/latest", tag = "events", operation_id = "latest_events", params(LatestQuery), responses(
    (status = 200, body = EventList, description = "The first page of all events."),
    (status = 400, body = super::error::ErrorBody, description = "A parameter is wrong."),
    (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
))]
pub(super) async fn latest(
    caller: Caller,
    []: [String; 0],
    Query(query): Query<LatestQuery>,
) -> ApiResult<Json<EventList>> {
    let (filter, page) = query.wanted()?;
    let list = caller.run(Lane::Read, move |caller| {
        let found = caller.store.events(caller.principal(), &filter, page)?;
        let items = events_of(caller, found.items)?;
        Ok(EventList::new(items, found.total, page))
    });
    list.await.map(Json)
}

/// One event.
#[utoipa::path(get, path = "/api/v1/events/{id}", tag = "events", operation_id = "get_event",
    params(("id" = String, Path, description = "Id of the event.")),
    responses(
        (status = 200, body = Event, description = "The event."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such event."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn get(caller: Caller, [id]: [String; 1], (): ()) -> ApiResult<Json<Event>> {
    let event = caller.run(Lane::Read, move |caller| shown(caller, &id));
    event.await.map(Json)
}

/// An event that the caller may know of.
pub(super) fn shown(caller: &Caller, id: &str) -> Result<Event> {
    let row = caller.store.event(caller.principal(), id)?;
    let beside = beside(caller, std::slice::from_ref(&row))?;
    Ok(event_of(row, &beside))
}

/// Removes an event that is over, and its thumbnail; the recording stays.
#[utoipa::path(delete, path = "/api/v1/events/{id}", tag = "events", operation_id = "delete_event",
    params(("id" = String, Path, description = "Id of the event.")),
    responses(
        (status = 204, description = "It has gone."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such event."),
        (status = 409, body = super::error::ErrorBody, description = "It still goes on."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn delete(caller: Caller, [id]: [String; 1], (): ()) -> ApiResult<NoContent> {
    let done = caller.run(Lane::Change, move |caller| {
        if caller.store.event(caller.principal(), &id)?.state == EventState::Open {
            // The next thing the camera says about it would bring it back.
            return Err(Error::precondition(format!(
                "event {id:?} still goes on: delete it when it is over"
            )));
        }
        caller.store.delete_event(caller.principal(), &id)?;
        remove_thumbnail(caller, &id)
    });
    done.await.map(|()| NoContent)
}

/// The JPEG of an event: the best picture that was seen, else one out of the recording.
#[utoipa::path(get, path = "/api/v1/events/{id}/thumbnail", tag = "events", operation_id = "event_thumbnail",
    params(("id" = String, Path, description = "Id of the event.")),
    responses(
        (status = 200, body = super::reply::Binary, content_type = "image/jpeg", description = "The picture."),
        (status = 304, description = "The client has it: `If-None-Match` names its ETag."),
        (status = 404, body = super::error::ErrorBody, description = "There is no such event, or no picture was kept and nothing of it is recorded."),
        (status = "default", body = super::error::ErrorBody, description = "Any other failure."),
    ))]
pub(super) async fn thumbnail(
    caller: Caller,
    [id]: [String; 1],
    conditions: Conditions,
) -> ApiResult<Jpeg> {
    let (event, kept) = caller
        .run(Lane::Read, move |caller| {
            let kept = caller.stills.kept_of_event(&id)?;
            Ok((caller.store.event(caller.principal(), &id)?, kept))
        })
        .await?;
    let jpeg = match kept {
        Some(jpeg) => jpeg,
        None => {
            let make = move |caller: &Caller| caller.stills.thumbnail_of_event(&event);
            caller.run(Lane::Still, make).await?
        }
    };
    // An event that goes on may get a better picture.
    Ok(Jpeg::of_content(jpeg, &conditions))
}

pub(super) fn remove_thumbnail(caller: &Caller, id: &str) -> Result<()> {
    caller.stills.forget_event(id);
    let Some(path) = caller.storage.thumbnail(id) else {
        return Ok(());
    };
    match std::fs::remove_file(&path).map_err(|error| Error::io(&path, error)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What cameras are called, by the name in paths.
fn titles(caller: &Caller) -> Result<BTreeMap<String, String>> {
    let views = caller.cameras.list(caller.principal())?;
    let named = views.into_iter().map(|view| view.input);
    Ok(named
        .map(|input| (input.name.clone(), input.title.unwrap_or(input.name)))
        .collect())
}

/// What stands beside these rows.
fn beside(caller: &Caller, rows: &[EventRow]) -> Result<Beside> {
    let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
    Ok(Beside {
        titles: titles(caller)?,
        described: caller.store.event_descriptions(&ids)?,
    })
}

/// Events as clients see them.
pub(super) fn events_of(caller: &Caller, rows: Vec<EventRow>) -> Result<Vec<Event>> {
    let beside = beside(caller, &rows)?;
    Ok(rows.into_iter().map(|row| event_of(row, &beside)).collect())
}
