//! `nvrd key`: API keys from the command line, beside a running daemon or without one.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use nvr_base::principal::{CameraAccess, Scope};
use nvr_base::{Error, Result};
use nvr_store::{KeyRow, MAX_LIMIT, PageRequest, Store};

use super::identity::{Identity, note};
use super::user::access_of;
use super::{finish, moment, people, say, say_json};
use crate::auth::{NewProgram, add_key};

/// What `nvrd key` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct KeyArguments {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, clap::Subcommand)]
enum KeyCommand {
    /// Make a key, which is printed this once.
    Create {
        /// What it is for.
        #[arg(long)]
        name: String,
        /// read:events, read:cameras, write:cameras or admin, again for each.
        #[arg(long = "scope", value_name = "SCOPE", required = true)]
        scopes: Vec<Scope>,
        /// A camera that it may know of, again for each; all without it.
        #[arg(long = "camera", value_name = "CAMERA")]
        cameras: Vec<String>,
        /// From when on it does not count any more: RFC 3339, or seconds since 1970-01-01 UTC.
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// Requests that it may make in a minute, 1 to 10000.
        #[arg(long, default_value_t = 100)]
        limit: u32,
        #[command(flatten)]
        common: Common,
    },
    /// List the keys.
    List {
        /// List revoked ones too.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Revoke a key for good.
    Revoke {
        /// Its id, or its first letters as they are listed.
        key: String,
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Debug, clap::Args)]
struct Common {
    /// The configuration file.
    #[arg(long, value_name = "FILE", env = "NVRD_CONFIG")]
    config: PathBuf,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// Does it: 0 when it is done, 2 when it could not be.
pub(crate) fn key(arguments: &KeyArguments) -> ExitCode {
    finish(run(arguments, &mut std::io::stdout()).map(|()| true))
}

fn run(arguments: &KeyArguments, out: &mut dyn Write) -> Result<()> {
    match &arguments.command {
        KeyCommand::Create {
            name,
            scopes,
            cameras,
            expires,
            limit,
            common,
        } => {
            let identity = Identity::open(&common.config)?;
            let expires = expires.as_deref().map(|text| moment("--expires", text));
            let program = NewProgram {
                name: name.clone(),
                scopes: scopes.iter().copied().collect(),
                cameras: access_of(cameras),
                per_minute: *limit,
                expires_us: expires.transpose()?,
                created_by: None,
            };
            let (row, key) = add_key(&identity.store, &program)?;
            note(&identity.store, "api-keys.create", &row.id, Some(&row.name));
            if common.json {
                let mut value = json_of(&row);
                value["key"] = key.expose().into();
                return say_json(out, &value);
            }
            say(out, key.expose());
            Ok(())
        }
        KeyCommand::List { all, common } => {
            let identity = Identity::open(&common.config)?;
            list(out, &rows_of(&identity.store, *all)?, common.json)
        }
        KeyCommand::Revoke { key, common } => {
            let identity = Identity::open(&common.config)?;
            let rows = rows_of(&identity.store, false)?;
            let meant = rows
                .iter()
                .filter(|row| row.id == *key || row.prefix == *key);
            let id = match meant.map(|row| &row.id).collect::<Vec<_>>()[..] {
                [id] => id,
                [] => return Err(Error::not_found(format!("no API key is {key:?}"))),
                _ => {
                    return Err(Error::invalid(format!(
                        "{key:?}: more than one key begins so: give its id"
                    )));
                }
            };
            let row = identity.store.revoke_key(id)?;
            note(&identity.store, "api-keys.delete", &row.id, Some(&row.name));
            match common.json {
                true => say_json(out, &json_of(&row))?,
                false => say(out, &format!("{}: revoked", row.name)),
            }
            Ok(())
        }
    }
}

fn rows_of(store: &Store, with_revoked: bool) -> Result<Vec<KeyRow>> {
    let mut rows = Vec::new();
    for page in 1.. {
        let request = PageRequest {
            page,
            limit: MAX_LIMIT,
        };
        let found = store.keys(with_revoked, request)?.items;
        if found.is_empty() {
            break;
        }
        rows.extend(found);
    }
    Ok(rows)
}

fn list(out: &mut dyn Write, rows: &[KeyRow], json: bool) -> Result<()> {
    if json {
        return say_json(out, &rows.iter().map(json_of).collect::<Vec<_>>());
    }
    for row in rows {
        let scopes: Vec<&str> = row.scopes.iter().map(|scope| scope.as_str()).collect();
        let used = row.last_used_us.map_or("never".to_owned(), people);
        let state = match (row.revoked_us, row.expires_us) {
            (Some(at), _) => format!(", revoked {}", people(at)),
            (None, Some(at)) => format!(", until {}", people(at)),
            (None, None) => String::new(),
        };
        let line = format!(
            "{}  {}  {}: {}, {} a minute, {} requests, last {used}{state}",
            row.id,
            row.prefix,
            row.name,
            scopes.join(" "),
            row.per_minute,
            row.uses
        );
        say(out, &line);
    }
    Ok(())
}

fn json_of(row: &KeyRow) -> serde_json::Value {
    serde_json::json!({
        "id": row.id, "name": row.name, "prefix": row.prefix,
        "scopes": row.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>(),
        "cameras": match &row.cameras {
            CameraAccess::All => None,
            CameraAccess::Only(names) => Some(names),
        },
        "rate_limit_per_minute": row.per_minute, "usage_count": row.uses, "last_used_unix_us": row.last_used_us,
        "created_unix_us": row.created_us, "expires_unix_us": row.expires_us, "revoked_unix_us": row.revoked_us,
    })
}
