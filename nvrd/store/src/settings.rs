//! What people set: values as JSON by key, of whose meaning the store knows nothing.

use std::collections::BTreeMap;

use diesel::prelude::*;
use nvr_base::Result;

use crate::conn::Store;
use crate::schema::settings;

#[derive(Insertable)]
#[diesel(table_name = settings)]
struct Record<'a> {
    key: &'a str,
    value_json: &'a str,
    updated_us: i64,
}

impl Store {
    /// Everything that is set: JSON texts by key.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn settings(&self) -> Result<BTreeMap<String, String>> {
        self.read(|conn| {
            let rows: Vec<(String, String)> = settings::table
                .select((settings::key, settings::value_json))
                .load(conn)?;
            Ok(rows.into_iter().collect())
        })
    }

    /// Sets values, all or none; `None` goes back to the default.
    ///
    /// # Errors
    /// Only those of the database.
    pub fn set_settings(&self, changes: &BTreeMap<String, Option<String>>) -> Result<()> {
        let updated_us = self.now_us();
        self.write(|conn| {
            for (key, value) in changes {
                let row = settings::table.find(key);
                let Some(value_json) = value else {
                    diesel::delete(row).execute(conn)?;
                    continue;
                };
                let change = (
                    settings::value_json.eq(value_json),
                    settings::updated_us.eq(updated_us),
                );
                if diesel::update(row).set(change).execute(conn)? == 0 {
                    diesel::insert_into(settings::table)
                        .values(&Record {
                            key,
                            value_json,
                            updated_us,
                        })
                        .execute(conn)?;
                }
            }
            Ok(())
        })
    }
}
