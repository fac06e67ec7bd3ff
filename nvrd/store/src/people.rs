//! People who have a name and the faces they are known by, until they are forgotten without a trace.
//!
//! Only who may operate the system sees and changes them; to anybody else there is nobody.

use diesel::prelude::*;
use nvr_base::principal::{Role, Scope};
use nvr_base::{Error, Principal, Result};

use crate::conn::{Conn, Store};
use crate::dialect;
use crate::failure::{Failure, from_query};
use crate::page::{Page, PageRequest};
use crate::schema::{event_descriptions, events, faces, notifications, people};

/// Most faces that are kept of all people together.
pub const MAX_FACES: i64 = 200_000;

/// What is said about a person.
#[derive(Clone, PartialEq, Eq)]
pub struct NewPerson {
    /// Unique; what events carry.
    pub id: String,
    /// For people to read.
    pub name: String,
    /// `employee`, `visitor`, `watchlist`, `vip`, or a word of one's own.
    pub category: String,
    /// A JSON object of one's own.
    pub metadata: String,
}

// By hand: debug output ends in logs, and a name is nobody else's business.
impl std::fmt::Debug for NewPerson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewPerson")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A person as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonRow {
    /// What was said.
    pub person: NewPerson,
    /// How many faces are kept.
    pub faces: u64,
    /// When they were enrolled, microseconds since 1970-01-01 UTC.
    pub created_us: i64,
    /// When anything of them was last changed, microseconds since 1970-01-01 UTC.
    pub updated_us: i64,
}

/// A face to keep.
#[derive(Clone, PartialEq, Eq)]
pub struct NewFace {
    /// UUID (version 7) in text; the photo is kept under it.
    pub id: String,
    /// Where it is from: `photo`, `event`, `live`, `stranger`.
    pub source: String,
    /// Name of the photo's file, where one is kept.
    pub photo: Option<String>,
    /// Five points on the photo, as JSON.
    pub landmarks: Option<String>,
    /// Hash of the model.
    pub model: String,
    /// The vector, as text.
    pub vector: String,
}

impl std::fmt::Debug for NewFace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewFace")
            .field("id", &self.id)
            .field("source", &self.source)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// A face as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaceRow {
    /// The face.
    pub face: NewFace,
    /// Whose it is: a person's id, or a stranger's.
    pub owner: String,
    /// Whether the owner is a stranger.
    pub stranger: bool,
    /// Since when it is kept, microseconds since 1970-01-01 UTC.
    pub created_us: i64,
}

/// What is left to remove of somebody who is forgotten.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// Files of photos.
    pub photos: Vec<String>,
    /// Events that were theirs; their thumbnails show them.
    pub events: Vec<String>,
}

/// # Errors
/// `NotFound` for who may not operate the system.
pub(crate) fn may(principal: &Principal) -> Result<()> {
    match principal.may(Role::Operator, Scope::WriteCameras) {
        true => Ok(()),
        // As cameras are that one may not see.
        false => Err(Error::not_found("there is nobody that you may see")),
    }
}

fn unknown(id: &str) -> Error {
    Error::not_found(format!("Person {id} not found"))
}

impl Store {
    /// Keeps a face of a person, who is made or whose name, category and metadata are changed; with `instead` the
    /// faces that were kept go. The photos of those that went.
    ///
    /// # Errors
    /// `NotFound` for who may not, `ResourceExhausted` when there are [`MAX_FACES`].
    pub fn enrol(
        &self,
        principal: &Principal,
        person: &NewPerson,
        face: &NewFace,
        instead: bool,
    ) -> Result<Vec<String>> {
        may(principal)?;
        let now_us = self.now_us();
        self.write(|conn| {
            dialect::delete_for_good(conn)?;
            put(conn, person, now_us)?;
            let mut gone = Vec::new();
            if instead {
                gone = photos(conn, &person.id)?;
                diesel::delete(faces::table.filter(faces::person_id.eq(&person.id)))
                    .execute(conn)?;
            }
            let count: i64 = faces::table.count().get_result(conn)?;
            if count >= MAX_FACES {
                return Err(Error::exhausted(format!("{MAX_FACES} faces are kept already")).into());
            }
            diesel::insert_into(faces::table)
                .values(&Record::new(face, Some(&person.id), None, now_us))
                .execute(conn)?;
            Ok(gone)
        })
    }

    /// Changes what is said about a person.
    ///
    /// # Errors
    /// `NotFound` if there is none, and for who may not.
    pub fn change_person(&self, principal: &Principal, person: &NewPerson) -> Result<PersonRow> {
        may(principal)?;
        let now_us = self.now_us();
        self.write(|conn| {
            find(conn, &person.id)?;
            put(conn, person, now_us)?;
            find(conn, &person.id)
        })
    }

    /// The person with that id.
    ///
    /// # Errors
    /// `NotFound` if there is none, and for who may not.
    pub fn person(&self, principal: &Principal, id: &str) -> Result<PersonRow> {
        may(principal)?;
        self.read(|conn| find(conn, id))
    }

    /// A page of all people, or those of a category, by id.
    ///
    /// # Errors
    /// `InvalidArgument` for a page that cannot be, `NotFound` for who may not.
    pub fn people(
        &self,
        principal: &Principal,
        category: Option<&str>,
        page: PageRequest,
    ) -> Result<Page<PersonRow>> {
        may(principal)?;
        let (limit, offset) = page.window()?;
        self.read(|conn| {
            let wanted = || {
                let all = people::table.into_boxed();
                match category {
                    Some(category) => all.filter(people::category.eq(category.to_owned())),
                    None => all,
                }
            };
            let records: Vec<PersonRecord> = wanted()
                .order(people::id)
                .limit(limit)
                .offset(offset)
                .select(PersonRecord::as_select())
                .load(conn)?;
            let total: i64 = wanted().count().get_result(conn)?;
            let items: Result<Vec<PersonRow>, Failure> =
                records.into_iter().map(|it| counted(conn, it)).collect();
            Ok(Page {
                items: items?,
                total: total.cast_unsigned(),
            })
        })
    }

    /// Everybody, and every face of people and strangers: for whoever compares them.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn all_faces(&self) -> Result<(Vec<NewPerson>, Vec<FaceRow>)> {
        self.read(|conn| {
            let everybody: Vec<PersonRecord> = people::table
                .order(people::id)
                .select(PersonRecord::as_select())
                .load(conn)?;
            let records: Vec<Record> = faces::table
                .order(faces::id)
                .select(Record::as_select())
                .load(conn)?;
            Ok((
                everybody
                    .into_iter()
                    .map(PersonRecord::into_person)
                    .collect(),
                records.into_iter().filter_map(Record::into_row).collect(),
            ))
        })
    }

    /// The faces of a person, the oldest first.
    ///
    /// # Errors
    /// `NotFound` if there is no such person, and for who may not.
    pub fn faces_of(&self, principal: &Principal, person: &str) -> Result<Vec<FaceRow>> {
        may(principal)?;
        self.read(|conn| {
            find(conn, person)?;
            let records: Vec<Record> = faces::table
                .filter(faces::person_id.eq(person))
                .order(faces::id)
                .select(Record::as_select())
                .load(conn)?;
            Ok(records.into_iter().filter_map(Record::into_row).collect())
        })
    }

    /// Puts the vector that another model made in the place of a face's old one; `false` if the face has gone.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn replace_vector(&self, face: &str, model: &str, vector: &str) -> Result<bool> {
        self.write(|conn| {
            let changed = diesel::update(faces::table.find(face))
                .set((faces::model.eq(model), faces::vector.eq(vector)))
                .execute(conn)?;
            Ok(changed > 0)
        })
    }

    /// Forgets a person: the rows, the vectors, the name in every event, and what was said of those events. What
    /// lies in files is for the caller to remove.
    ///
    /// # Errors
    /// `NotFound` if there is none, and for who may not.
    pub fn forget_person(&self, principal: &Principal, id: &str) -> Result<Forgotten> {
        may(principal)?;
        let forgotten = self.write(|conn| {
            dialect::delete_for_good(conn)?;
            find(conn, id)?;
            let photos = photos(conn, id)?;
            let events = forget_identity(conn, id)?;
            diesel::delete(faces::table.filter(faces::person_id.eq(id))).execute(conn)?;
            diesel::delete(people::table.find(id)).execute(conn)?;
            Ok(Forgotten { photos, events })
        })?;
        self.empty_log()?;
        Ok(forgotten)
    }

    pub(crate) fn empty_log(&self) -> Result<()> {
        let place = self.place();
        self.alone(|conn| dialect::empty_log(conn).map_err(|error| from_query(place, error)))
    }
}

/// Takes an identity out of all events, with what was said of them; the events.
pub(crate) fn forget_identity(conn: &mut Conn, id: &str) -> Result<Vec<String>, Failure> {
    let theirs: Vec<String> = events::table
        .filter(events::identity.eq(id))
        .select(events::id)
        .load(conn)?;
    for event in &theirs {
        diesel::delete(notifications::table.filter(notifications::event_id.eq(event)))
            .execute(conn)?;
        diesel::delete(event_descriptions::table.filter(event_descriptions::event_id.eq(event)))
            .execute(conn)?;
    }
    diesel::update(events::table.filter(events::identity.eq(id)))
        .set((
            events::identity.eq(None::<String>),
            events::similarity.eq(None::<f64>),
        ))
        .execute(conn)?;
    Ok(theirs)
}

/// Makes a person, or changes what is said about one.
pub(crate) fn put(conn: &mut Conn, person: &NewPerson, now_us: i64) -> Result<(), Failure> {
    let changed = diesel::update(people::table.find(&person.id))
        .set((
            people::name.eq(&person.name),
            people::category.eq(&person.category),
            people::metadata.eq(&person.metadata),
            people::updated_us.eq(now_us),
        ))
        .execute(conn)?;
    if changed == 0 {
        diesel::insert_into(people::table)
            .values(&PersonRecord {
                id: person.id.clone(),
                name: person.name.clone(),
                category: person.category.clone(),
                metadata: person.metadata.clone(),
                created_us: now_us,
                updated_us: now_us,
            })
            .execute(conn)?;
    }
    Ok(())
}

fn photos(conn: &mut Conn, person: &str) -> Result<Vec<String>, Failure> {
    let photos: Vec<Option<String>> = faces::table
        .filter(faces::person_id.eq(person))
        .select(faces::photo)
        .load(conn)?;
    Ok(photos.into_iter().flatten().collect())
}

fn find(conn: &mut Conn, id: &str) -> Result<PersonRow, Failure> {
    let record = people::table
        .find(id)
        .select(PersonRecord::as_select())
        .first(conn)
        .optional()?
        .ok_or_else(|| unknown(id))?;
    counted(conn, record)
}

fn counted(conn: &mut Conn, record: PersonRecord) -> Result<PersonRow, Failure> {
    let count: i64 = faces::table
        .filter(faces::person_id.eq(&record.id))
        .count()
        .get_result(conn)?;
    Ok(PersonRow {
        faces: count.cast_unsigned(),
        created_us: record.created_us,
        updated_us: record.updated_us,
        person: record.into_person(),
    })
}

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = people)]
struct PersonRecord {
    id: String,
    name: String,
    category: String,
    metadata: String,
    created_us: i64,
    updated_us: i64,
}

impl PersonRecord {
    fn into_person(self) -> NewPerson {
        NewPerson {
            id: self.id,
            name: self.name,
            category: self.category,
            metadata: self.metadata,
        }
    }
}

/// A row of `faces`.
#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = faces)]
pub(crate) struct Record {
    id: String,
    person_id: Option<String>,
    stranger_id: Option<String>,
    source: String,
    photo: Option<String>,
    landmarks: Option<String>,
    model: String,
    vector: String,
    created_us: i64,
}

impl Record {
    /// The row of a face of a person or of a stranger.
    pub(crate) fn new(
        face: &NewFace,
        person: Option<&str>,
        stranger: Option<&str>,
        created_us: i64,
    ) -> Self {
        let face = face.clone();
        Self {
            id: face.id,
            person_id: person.map(str::to_owned),
            stranger_id: stranger.map(str::to_owned),
            source: face.source,
            photo: face.photo,
            landmarks: face.landmarks,
            model: face.model,
            vector: face.vector,
            created_us,
        }
    }

    fn into_row(self) -> Option<FaceRow> {
        let stranger = self.person_id.is_none();
        Some(FaceRow {
            owner: self.person_id.or(self.stranger_id)?,
            stranger,
            created_us: self.created_us,
            face: NewFace {
                id: self.id,
                source: self.source,
                photo: self.photo,
                landmarks: self.landmarks,
                model: self.model,
                vector: self.vector,
            },
        })
    }
}
