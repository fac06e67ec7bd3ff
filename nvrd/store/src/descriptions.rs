//! What a language model said about events, the newest answer of each.

use std::collections::HashMap;

use diesel::prelude::*;
use nvr_base::{Error, Result};

use crate::conn::{Conn, Store};
use crate::failure::Failure;
use crate::schema::{event_descriptions, events};

/// An answer that is to be kept with its event.
#[derive(Debug, Clone, PartialEq)]
pub struct NewDescription {
    /// What is seen, in words.
    pub description: String,
    /// Name of the provider.
    pub provider: String,
    /// Name of the model.
    pub model: String,
    /// How sure it is, 0 to 100.
    pub confidence: Option<u8>,
    /// What it named: `person`, `vehicle`, …
    pub objects: Vec<String>,
    /// Tokens that went in and came out.
    pub tokens: u64,
    /// What they cost, in the currency of the provider's prices.
    pub cost: f64,
    /// How long the answer took, milliseconds.
    pub response_time_ms: u64,
}

/// What is kept of an event's answers.
#[derive(Debug, Clone, PartialEq)]
pub struct EventDescription {
    /// Id of the event.
    pub event_id: String,
    /// The newest answer.
    pub answer: NewDescription,
    /// When it came, microseconds since 1970-01-01 UTC.
    pub created_us: i64,
    /// How often the event was described, this answer included; every one after the first is a re-analysis.
    pub count: u32,
}

/// An event's description beside what the camera's own analysis said.
#[derive(Debug, Clone, PartialEq)]
pub struct DescriptionSample {
    /// What is kept of the answers.
    pub described: EventDescription,
    /// Name of the camera.
    pub camera: String,
    /// Kind of the event.
    pub kind: String,
    /// Label of the event.
    pub label: Option<String>,
}

impl Store {
    /// Keeps an answer with its event, in place of an earlier one.
    ///
    /// # Errors
    /// `NotFound` if there is no such event, `InvalidArgument` for a cost that is not finite.
    pub fn describe_event(
        &self,
        event_id: &str,
        answer: &NewDescription,
    ) -> Result<EventDescription> {
        let created_us = self.now_us();
        self.write(|conn| {
            let known: i64 = events::table.find(event_id).count().get_result(conn)?;
            if known == 0 {
                let unknown = format!("no event has the id {event_id:?}");
                return Err(Error::not_found(unknown).into());
            }
            put(conn, event_id, answer, created_us)
        })
    }

    /// What is kept for these events, by their ids; one that was never described is absent.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn event_descriptions(&self, ids: &[String]) -> Result<HashMap<String, EventDescription>> {
        self.read(|conn| {
            let mut found = HashMap::new();
            // As many as one question may hold.
            for part in ids.chunks(1000) {
                let part: Vec<&str> = part.iter().map(String::as_str).collect();
                for record in find(conn, &part)? {
                    found.insert(record.event_id.clone(), record.into_row()?);
                }
            }
            Ok(found)
        })
    }

    /// The newest descriptions, of one camera or of all, each beside its event; at most `limit`.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn recent_descriptions(
        &self,
        camera: Option<&str>,
        limit: u32,
    ) -> Result<Vec<DescriptionSample>> {
        self.read(|conn| {
            let mut query = event_descriptions::table
                .inner_join(events::table)
                .select((
                    Record::as_select(),
                    events::camera,
                    events::kind,
                    events::label,
                ))
                .order((
                    event_descriptions::created_us.desc(),
                    event_descriptions::event_id.desc(),
                ))
                .limit(i64::from(limit.min(crate::page::MAX_LIMIT)))
                .into_boxed();
            if let Some(camera) = camera {
                query = query.filter(events::camera.eq(camera.to_owned()));
            }
            let rows: Vec<(Record, String, String, Option<String>)> = query.load(conn)?;
            rows.into_iter()
                .map(|(record, camera, kind, label)| {
                    Ok(DescriptionSample {
                        described: record.into_row()?,
                        camera,
                        kind,
                        label,
                    })
                })
                .collect()
        })
    }
}

#[derive(Queryable, Selectable, Insertable, AsChangeset, Debug)]
#[diesel(table_name = event_descriptions, primary_key(event_id), treat_none_as_null = true)]
struct Record {
    event_id: String,
    description: String,
    provider: String,
    model: String,
    confidence: Option<i64>,
    objects_json: String,
    tokens: i64,
    cost: f64,
    response_time_ms: i64,
    created_us: i64,
    count: i64,
}

impl Record {
    fn into_row(self) -> Result<EventDescription, Failure> {
        let objects = serde_json::from_str(&self.objects_json).map_err(|error| {
            Error::data_loss(format!(
                "event {:?}: the stored objects are no list",
                self.event_id
            ))
            .with_source(error)
        })?;
        Ok(EventDescription {
            answer: NewDescription {
                description: self.description,
                provider: self.provider,
                model: self.model,
                confidence: self.confidence.and_then(|value| u8::try_from(value).ok()),
                objects,
                tokens: self.tokens.cast_unsigned(),
                cost: self.cost,
                response_time_ms: self.response_time_ms.cast_unsigned(),
            },
            event_id: self.event_id,
            created_us: self.created_us,
            count: u32::try_from(self.count).unwrap_or(u32::MAX),
        })
    }
}

/// Keeps an answer with an event that is there, in place of an earlier one.
pub(crate) fn put(
    conn: &mut Conn,
    event_id: &str,
    answer: &NewDescription,
    created_us: i64,
) -> Result<EventDescription, Failure> {
    if !answer.cost.is_finite() {
        return Err(Error::invalid("cost is not a number").into());
    }
    let before = find(conn, &[event_id])?.pop();
    let record = Record {
        event_id: event_id.to_owned(),
        description: answer.description.clone(),
        provider: answer.provider.clone(),
        model: answer.model.clone(),
        confidence: answer.confidence.map(i64::from),
        objects_json: serde_json::to_string(&answer.objects)
            .expect("a list of texts always serialises"),
        tokens: answer.tokens.cast_signed(),
        cost: answer.cost,
        response_time_ms: answer.response_time_ms.cast_signed(),
        created_us,
        count: before.map_or(1, |before| before.count.saturating_add(1)),
    };
    let changed = diesel::update(event_descriptions::table.find(event_id))
        .set(&record)
        .execute(conn)?;
    if changed == 0 {
        diesel::insert_into(event_descriptions::table)
            .values(&record)
            .execute(conn)?;
    }
    record.into_row()
}

fn find(conn: &mut Conn, ids: &[&str]) -> QueryResult<Vec<Record>> {
    event_descriptions::table
        .filter(event_descriptions::event_id.eq_any(ids))
        .select(Record::as_select())
        .load(conn)
}
