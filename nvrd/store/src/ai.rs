//! Who describes pictures, and what that cost so far.

use diesel::prelude::*;
use nvr_base::{Error, Result};

use crate::conn::{Conn, Store};
use crate::failure::Failure;
use crate::schema::{ai_providers, ai_usage};

/// Most providers that are kept.
pub const MAX_AI_PROVIDERS: usize = 16;
/// Days of usage that are kept: ten years.
const USAGE_DAYS: i64 = 3660;
/// Names of providers that one day counts; more go under [`OTHERS`].
const NAMES_OF_A_DAY: i64 = 64;
/// Where the calls of a day with too many names are counted.
const OTHERS: &str = "others";
/// A day in microseconds.
const DAY_US: i64 = 86_400_000_000;

/// What a person says about a provider.
#[derive(Clone, PartialEq)]
pub struct NewAiProvider {
    /// Unique.
    pub name: String,
    /// Where its API begins: `https://…/v1`.
    pub base_url: String,
    /// Name of the model.
    pub model: String,
    /// Key of its API, sealed by whoever calls.
    pub api_key: Option<String>,
    /// What the model is asked, in place of the usual words.
    pub prompt: Option<String>,
    /// Whether it is asked at all.
    pub enabled: bool,
    /// How long an answer may take, seconds.
    pub timeout_s: u32,
    /// Longest side of the pictures that it is sent, pixels.
    pub max_image_px: u32,
    /// Price of 1000 tokens that go in.
    pub price_in: f64,
    /// Price of 1000 tokens that come out.
    pub price_out: f64,
}

/// A provider as it is stored.
#[derive(Clone, PartialEq)]
pub struct AiProviderRow {
    /// UUID (version 7) in text.
    pub id: String,
    /// What was said about it.
    pub provider: NewAiProvider,
    /// Its place in the order in which they are asked, from 0.
    pub rank: u32,
    /// When it was made, microseconds since 1970-01-01 UTC.
    pub created_us: i64,
    /// When it was last changed, microseconds since 1970-01-01 UTC.
    pub updated_us: i64,
}

// By hand: debug output ends in logs, and addresses and keys do not belong there.
impl std::fmt::Debug for NewAiProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewAiProvider")
            .field("name", &self.name)
            .field("model", &self.model)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for AiProviderRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AiProviderRow")
            .field("id", &self.id)
            .field("rank", &self.rank)
            .field("provider", &self.provider)
            .finish_non_exhaustive()
    }
}

/// One call of a provider, or the sum of a day of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AiUsage {
    /// Days since 1970-01-01 UTC.
    pub day: i64,
    /// Name of the provider.
    pub provider: String,
    /// How often it was asked.
    pub calls: u64,
    /// How often it answered.
    pub successes: u64,
    /// Tokens in and out.
    pub tokens: u64,
    /// What they cost.
    pub cost: f64,
    /// How long the calls took together, milliseconds.
    pub duration_ms: u64,
}

impl Store {
    /// All providers, in the order in which they are asked.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn ai_providers(&self) -> Result<Vec<AiProviderRow>> {
        self.read(|conn| Ok(all(conn)?.into_iter().map(AiProviderRow::from).collect()))
    }

    /// The provider with that id.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn ai_provider(&self, id: &str) -> Result<AiProviderRow> {
        self.read(|conn| Ok(existing(conn, id)?.into()))
    }

    /// Adds a provider, the last to be asked unless `rank` says where.
    ///
    /// # Errors
    /// `AlreadyExists` if the name is taken, `ResourceExhausted` when there are [`MAX_AI_PROVIDERS`].
    pub fn insert_ai_provider(
        &self,
        provider: &NewAiProvider,
        rank: Option<u32>,
    ) -> Result<AiProviderRow> {
        let (id, now_us) = (self.new_id(), self.now_us());
        self.write(|conn| {
            let before = all(conn)?;
            if before.len() >= MAX_AI_PROVIDERS {
                return Err(Error::exhausted(format!(
                    "there are {MAX_AI_PROVIDERS} providers already"
                ))
                .into());
            }
            free_name(&before, &provider.name, None)?;
            let record = Record::new(&id, provider, before.len() as i64, now_us, now_us);
            diesel::insert_into(ai_providers::table)
                .values(&record)
                .execute(conn)?;
            place(conn, &id, rank)?;
            Ok(existing(conn, &id)?.into())
        })
    }

    /// Replaces all that is said about a provider, and moves it where `rank` says.
    ///
    /// # Errors
    /// `NotFound` if there is none, `AlreadyExists` if the name is another's.
    pub fn update_ai_provider(
        &self,
        id: &str,
        provider: &NewAiProvider,
        rank: Option<u32>,
    ) -> Result<AiProviderRow> {
        let now_us = self.now_us();
        self.write(|conn| {
            let before = existing(conn, id)?;
            free_name(&all(conn)?, &provider.name, Some(id))?;
            let record = Record::new(id, provider, before.rank, before.created_us, now_us);
            diesel::update(ai_providers::table.find(id))
                .set(&record)
                .execute(conn)?;
            if rank.is_some() {
                place(conn, id, rank)?;
            }
            Ok(existing(conn, id)?.into())
        })
    }

    /// Forgets a provider; what it cost stays counted.
    ///
    /// # Errors
    /// `NotFound` if there is none.
    pub fn delete_ai_provider(&self, id: &str) -> Result<()> {
        self.write(|conn| {
            if diesel::delete(ai_providers::table.find(id)).execute(conn)? == 0 {
                return Err(unknown(id).into());
            }
            Ok(close_ranks(conn)?)
        })
    }

    /// Counts one call of a provider, made now.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn count_ai_call(&self, call: &AiUsage) -> Result<()> {
        let day = self.now_us().div_euclid(DAY_US);
        self.write(|conn| {
            let today = ai_usage::table.filter(ai_usage::day.eq(day));
            let known: i64 = today
                .filter(ai_usage::provider.eq(&call.provider))
                .count()
                .get_result(conn)?;
            let names: i64 = today.count().get_result(conn)?;
            let provider = match known == 0 && names >= NAMES_OF_A_DAY {
                true => OTHERS,
                false => call.provider.as_str(),
            };
            let changed = diesel::update(ai_usage::table.find((day, provider)))
                .set((
                    ai_usage::calls.eq(ai_usage::calls + call.calls.cast_signed()),
                    ai_usage::successes.eq(ai_usage::successes + call.successes.cast_signed()),
                    ai_usage::tokens.eq(ai_usage::tokens + call.tokens.cast_signed()),
                    ai_usage::cost.eq(ai_usage::cost + call.cost),
                    ai_usage::duration_ms
                        .eq(ai_usage::duration_ms + call.duration_ms.cast_signed()),
                ))
                .execute(conn)?;
            if changed == 0 {
                diesel::insert_into(ai_usage::table)
                    .values((
                        ai_usage::day.eq(day),
                        ai_usage::provider.eq(provider),
                        ai_usage::calls.eq(call.calls.cast_signed()),
                        ai_usage::successes.eq(call.successes.cast_signed()),
                        ai_usage::tokens.eq(call.tokens.cast_signed()),
                        ai_usage::cost.eq(call.cost),
                        ai_usage::duration_ms.eq(call.duration_ms.cast_signed()),
                    ))
                    .execute(conn)?;
                // Only a new day or a new name makes the table grow.
                diesel::delete(ai_usage::table.filter(ai_usage::day.lt(day - USAGE_DAYS)))
                    .execute(conn)?;
            }
            Ok(())
        })
    }

    /// What was asked from day `from` up to and including day `to`, summed up by provider, by name; days since
    /// 1970-01-01 UTC.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn ai_usage(&self, from: i64, to: i64) -> Result<Vec<AiUsage>> {
        let rows: Vec<UsageRecord> = self.read(|conn| {
            Ok(ai_usage::table
                .filter(ai_usage::day.between(from, to))
                .order((ai_usage::provider, ai_usage::day))
                .select(UsageRecord::as_select())
                .load(conn)?)
        })?;
        let mut sums: Vec<AiUsage> = Vec::new();
        for row in rows {
            if sums.last().is_none_or(|last| last.provider != row.provider) {
                sums.push(AiUsage {
                    day: row.day,
                    provider: row.provider.clone(),
                    ..AiUsage::default()
                });
            }
            let sum = sums.last_mut().expect("one was just put there");
            sum.calls += row.calls.cast_unsigned();
            sum.successes += row.successes.cast_unsigned();
            sum.tokens += row.tokens.cast_unsigned();
            sum.cost += row.cost;
            sum.duration_ms += row.duration_ms.cast_unsigned();
        }
        Ok(sums)
    }
}

#[derive(Queryable, Selectable, Insertable, AsChangeset)]
#[diesel(table_name = ai_providers, treat_none_as_null = true)]
struct Record {
    id: String,
    name: String,
    base_url: String,
    model: String,
    api_key: Option<String>,
    prompt: Option<String>,
    rank: i64,
    enabled: bool,
    timeout_s: i64,
    max_image_px: i64,
    price_in: f64,
    price_out: f64,
    created_us: i64,
    updated_us: i64,
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = ai_usage)]
struct UsageRecord {
    day: i64,
    provider: String,
    calls: i64,
    successes: i64,
    tokens: i64,
    cost: f64,
    duration_ms: i64,
}

impl Record {
    fn new(id: &str, provider: &NewAiProvider, rank: i64, created_us: i64, now_us: i64) -> Self {
        let provider = provider.clone();
        Self {
            id: id.to_owned(),
            name: provider.name,
            base_url: provider.base_url,
            model: provider.model,
            api_key: provider.api_key,
            prompt: provider.prompt,
            rank,
            enabled: provider.enabled,
            timeout_s: provider.timeout_s.into(),
            max_image_px: provider.max_image_px.into(),
            price_in: provider.price_in,
            price_out: provider.price_out,
            created_us,
            updated_us: now_us,
        }
    }
}

impl From<Record> for AiProviderRow {
    fn from(record: Record) -> Self {
        let number = |value: i64| u32::try_from(value).unwrap_or_default();
        Self {
            id: record.id,
            rank: number(record.rank),
            created_us: record.created_us,
            updated_us: record.updated_us,
            provider: NewAiProvider {
                name: record.name,
                base_url: record.base_url,
                model: record.model,
                api_key: record.api_key,
                prompt: record.prompt,
                enabled: record.enabled,
                timeout_s: number(record.timeout_s),
                max_image_px: number(record.max_image_px),
                price_in: record.price_in,
                price_out: record.price_out,
            },
        }
    }
}

fn all(conn: &mut Conn) -> QueryResult<Vec<Record>> {
    ai_providers::table
        .order((ai_providers::rank, ai_providers::id))
        .select(Record::as_select())
        .load(conn)
}

fn existing(conn: &mut Conn, id: &str) -> Result<Record, Failure> {
    ai_providers::table
        .find(id)
        .select(Record::as_select())
        .first(conn)
        .optional()?
        .ok_or_else(|| unknown(id).into())
}

fn unknown(id: &str) -> Error {
    Error::not_found(format!("no AI provider has the id {id:?}"))
}

fn free_name(all: &[Record], name: &str, except: Option<&str>) -> Result<()> {
    let taken = |other: &&Record| other.name == name && Some(other.id.as_str()) != except;
    match all.iter().find(taken) {
        None => Ok(()),
        Some(_) => Err(Error::already_exists(format!(
            "name: an AI provider is called {name:?} already"
        ))),
    }
}

/// Moves one to a place in the order, the last one unless it is said, and counts all from 0 again.
fn place(conn: &mut Conn, id: &str, rank: Option<u32>) -> QueryResult<()> {
    let mut ids: Vec<String> = all(conn)?.into_iter().map(|record| record.id).collect();
    ids.retain(|other| other != id);
    let at = rank.map_or(ids.len(), |rank| (rank as usize).min(ids.len()));
    ids.insert(at, id.to_owned());
    number(conn, &ids)
}

fn close_ranks(conn: &mut Conn) -> QueryResult<()> {
    let ids: Vec<String> = all(conn)?.into_iter().map(|record| record.id).collect();
    number(conn, &ids)
}

fn number(conn: &mut Conn, ids: &[String]) -> QueryResult<()> {
    for (rank, id) in ids.iter().enumerate() {
        diesel::update(ai_providers::table.find(id))
            .set(ai_providers::rank.eq(rank as i64))
            .execute(conn)?;
    }
    Ok(())
}
