//! Faces that come again and have no name yet, until they get one or are forgotten.

use diesel::prelude::*;
use nvr_base::{Error, Principal, Result};

use crate::conn::{Conn, Store};
use crate::dialect;
use crate::failure::Failure;
use crate::page::{Page, PageRequest};
use crate::people::{self, Forgotten, NewFace, NewPerson, Record};
use crate::schema::{events, faces, strangers};

/// The most strangers that are kept; who was not seen for the longest time is forgotten first.
const MAX_STRANGERS: i64 = 5000;

/// A stranger was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSighting {
    /// Id of the stranger.
    pub id: String,
    /// Name of the camera.
    pub camera: String,
    /// When, microseconds since 1970-01-01 UTC.
    pub at_us: i64,
    /// The face, where it is worth keeping.
    pub face: Option<NewFace>,
}

/// A stranger.
#[derive(Queryable, Selectable, Insertable, Debug, Clone, PartialEq, Eq)]
#[diesel(table_name = strangers)]
pub struct StrangerRow {
    /// `stranger-…`; what events carry.
    pub id: String,
    /// Name of the camera that saw them last.
    pub camera: String,
    /// When they were first seen, microseconds since 1970-01-01 UTC.
    pub first_us: i64,
    /// When they were last seen, microseconds since 1970-01-01 UTC.
    pub last_us: i64,
    /// How often they came.
    pub sightings: i64,
}

impl Store {
    /// Notes that a stranger was met.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn met_stranger(&self, met: &NewSighting) -> Result<()> {
        let now_us = self.now_us();
        self.write(|conn| {
            let known = find(conn, &met.id)?;
            match known {
                Some(known) => {
                    diesel::update(strangers::table.find(&met.id))
                        .set((
                            strangers::camera.eq(&met.camera),
                            strangers::last_us.eq(known.last_us.max(met.at_us)),
                            strangers::sightings.eq(known.sightings.saturating_add(1)),
                        ))
                        .execute(conn)?;
                }
                // Whose face was not kept is not begun: nobody could find them again.
                None if met.face.is_none() => return Ok(()),
                None => {
                    make_room(conn)?;
                    diesel::insert_into(strangers::table)
                        .values(&StrangerRow {
                            id: met.id.clone(),
                            camera: met.camera.clone(),
                            first_us: met.at_us,
                            last_us: met.at_us,
                            sightings: 1,
                        })
                        .execute(conn)?;
                }
            }
            if let Some(face) = &met.face {
                diesel::insert_into(faces::table)
                    .values(&Record::new(face, None, Some(&met.id), now_us))
                    .execute(conn)?;
            }
            Ok(())
        })
    }

    /// A page of the strangers, the last seen first.
    ///
    /// # Errors
    /// `InvalidArgument` for a page that cannot be, `NotFound` for who may not.
    pub fn strangers(&self, principal: &Principal, page: PageRequest) -> Result<Page<StrangerRow>> {
        people::may(principal)?;
        let (limit, offset) = page.window()?;
        self.read(|conn| {
            let items = strangers::table
                .order((strangers::last_us.desc(), strangers::id))
                .limit(limit)
                .offset(offset)
                .select(StrangerRow::as_select())
                .load(conn)?;
            let total: i64 = strangers::table.count().get_result(conn)?;
            Ok(Page {
                items,
                total: total.cast_unsigned(),
            })
        })
    }

    /// Gives a stranger a name: the faces become the person's, and so do the events. How many events there were.
    ///
    /// # Errors
    /// `NotFound` if there is no such stranger, and for who may not.
    pub fn name_stranger(
        &self,
        principal: &Principal,
        id: &str,
        person: &NewPerson,
    ) -> Result<u64> {
        people::may(principal)?;
        let now_us = self.now_us();
        self.write(|conn| {
            find(conn, id)?.ok_or_else(|| unknown(id))?;
            people::put(conn, person, now_us)?;
            diesel::update(faces::table.filter(faces::stranger_id.eq(id)))
                .set((
                    faces::person_id.eq(&person.id),
                    faces::stranger_id.eq(None::<String>),
                ))
                .execute(conn)?;
            let theirs = diesel::update(events::table.filter(events::identity.eq(id)))
                .set(events::identity.eq(&person.id))
                .execute(conn)?;
            diesel::delete(strangers::table.find(id)).execute(conn)?;
            Ok(theirs as u64)
        })
    }

    /// Forgets a stranger: the rows, the vectors, the id in every event.
    ///
    /// # Errors
    /// `NotFound` if there is none, and for who may not.
    pub fn forget_stranger(&self, principal: &Principal, id: &str) -> Result<Forgotten> {
        people::may(principal)?;
        let forgotten = self.write(|conn| {
            dialect::delete_for_good(conn)?;
            find(conn, id)?.ok_or_else(|| unknown(id))?;
            let events = people::forget_identity(conn, id)?;
            remove(conn, id)?;
            Ok(Forgotten {
                photos: Vec::new(),
                events,
            })
        })?;
        self.empty_log()?;
        Ok(forgotten)
    }
}

fn unknown(id: &str) -> Error {
    Error::not_found(format!("there is no stranger {id:?}"))
}

fn find(conn: &mut Conn, id: &str) -> Result<Option<StrangerRow>, Failure> {
    Ok(strangers::table
        .find(id)
        .select(StrangerRow::as_select())
        .first(conn)
        .optional()?)
}

fn remove(conn: &mut Conn, id: &str) -> Result<(), Failure> {
    diesel::delete(faces::table.filter(faces::stranger_id.eq(id))).execute(conn)?;
    diesel::delete(strangers::table.find(id)).execute(conn)?;
    Ok(())
}

fn make_room(conn: &mut Conn) -> Result<(), Failure> {
    let count: i64 = strangers::table.count().get_result(conn)?;
    if count >= MAX_STRANGERS {
        let oldest: Option<String> = strangers::table
            .order((strangers::last_us, strangers::id))
            .select(strangers::id)
            .first(conn)
            .optional()?;
        if let Some(oldest) = oldest {
            remove(conn, &oldest)?;
        }
    }
    Ok(())
}
