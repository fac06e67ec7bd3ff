//! `nvrd user`: people from the command line, beside a running daemon or without one.

use std::collections::BTreeSet;
use std::io::{Read as _, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use nvr_base::principal::{CameraAccess, Role};
use nvr_base::{Error, Result, Secret};
use nvr_store::{Store, UserRow};

use super::identity::{Identity, note};
use super::{finish, people, say, say_json};
use crate::auth::{AccountChange, NewAccount, add_user, change_user, find_user, generate_password};

/// Longest password that is read.
const MAX_PASSWORD: u64 = 1024;

/// What `nvrd user` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct UserArguments {
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, clap::Subcommand)]
enum UserCommand {
    /// Add a user; a password is made up and printed unless one is read.
    Add {
        /// Log-in name.
        name: String,
        /// viewer, operator or admin.
        #[arg(long)]
        role: Role,
        /// A camera that they may know of, again for each; all without it.
        #[arg(long = "camera", value_name = "CAMERA")]
        cameras: Vec<String>,
        /// What a person calls them.
        #[arg(long, value_name = "TEXT")]
        display_name: Option<String>,
        /// Address for mail.
        #[arg(long, value_name = "ADDRESS")]
        email: Option<String>,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        common: Common,
    },
    /// List all users.
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Give a user another password, which ends all sessions; made up and printed unless one is read.
    Passwd {
        /// Log-in name.
        name: String,
        /// Read the password from standard input.
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Remove a user.
    Remove(Named),
    /// Keep a user from logging in, and end all sessions.
    Disable(Named),
    /// Let a user log in again.
    Enable(Named),
    /// Take the second factor of a user away, who lost it.
    MfaReset(Named),
}

#[derive(Debug, clap::Args)]
struct Named {
    /// Log-in name.
    name: String,
    #[command(flatten)]
    common: Common,
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
pub(crate) fn user(arguments: &UserArguments) -> ExitCode {
    finish(run(arguments, &mut std::io::stdout()).map(|()| true))
}

fn run(arguments: &UserArguments, out: &mut dyn Write) -> Result<()> {
    match &arguments.command {
        UserCommand::Add {
            name,
            role,
            cameras,
            display_name,
            email,
            password_stdin,
            common,
        } => {
            let identity = Identity::open(&common.config)?;
            let (password, made_up) = password_of(*password_stdin)?;
            let account = NewAccount {
                username: name.clone(),
                password,
                display_name: display_name.clone(),
                email: email.clone(),
                role: *role,
                cameras: access_of(cameras),
                active: true,
                must_change_password: made_up.is_some(),
            };
            let row = add_user(&identity.store, &identity.vault, &account, false)?;
            note(&identity.store, "users.create", &row.name, None);
            told(out, common, &row, "added", made_up.as_ref())
        }
        UserCommand::List { common } => list(out, common),
        UserCommand::Passwd {
            name,
            password_stdin,
            common,
        } => {
            let identity = Identity::open(&common.config)?;
            let before = find_user(&identity.store, name)?;
            let (password, made_up) = password_of(*password_stdin)?;
            let change = AccountChange {
                password: Some(password),
                must_change_password: Some(made_up.is_some()),
                ..AccountChange::default()
            };
            let row = change_user(&identity.store, &identity.vault, &before.id, &change)?;
            note(&identity.store, "users.change", &row.name, Some("password"));
            told(out, common, &row, "has another password", made_up.as_ref())
        }
        UserCommand::Remove(named) => {
            let identity = Identity::open(&named.common.config)?;
            let before = find_user(&identity.store, &named.name)?;
            let row = identity.store.delete_user(&before.id)?;
            note(&identity.store, "users.delete", &row.name, None);
            told(out, &named.common, &row, "removed", None)
        }
        UserCommand::Disable(named) => change(
            out,
            named,
            "disabled",
            AccountChange {
                active: Some(false),
                ..AccountChange::default()
            },
        ),
        UserCommand::Enable(named) => change(
            out,
            named,
            "enabled",
            AccountChange {
                active: Some(true),
                ..AccountChange::default()
            },
        ),
        UserCommand::MfaReset(named) => change(
            out,
            named,
            "logs in without a code",
            AccountChange {
                without_second_factor: true,
                ..AccountChange::default()
            },
        ),
    }
}

fn change(out: &mut dyn Write, named: &Named, done: &str, change: AccountChange) -> Result<()> {
    let identity = Identity::open(&named.common.config)?;
    let before = find_user(&identity.store, &named.name)?;
    let row = change_user(&identity.store, &identity.vault, &before.id, &change)?;
    note(&identity.store, "users.change", &row.name, Some(done));
    told(out, &named.common, &row, done, None)
}

fn list(out: &mut dyn Write, common: &Common) -> Result<()> {
    let identity = Identity::open(&common.config)?;
    let rows = rows_of(&identity.store)?;
    if common.json {
        let rows: Vec<_> = rows.iter().map(json_of).collect();
        return say_json(out, &rows);
    }
    for row in rows {
        let cameras = match &row.cameras {
            CameraAccess::All => "all cameras".to_owned(),
            CameraAccess::Only(names) if names.is_empty() => "no camera".to_owned(),
            CameraAccess::Only(names) => names.iter().cloned().collect::<Vec<_>>().join(","),
        };
        let seen = row.last_login_us.map_or("never".to_owned(), people);
        let state = if row.active { "" } else { ", disabled" };
        let (name, role) = (&row.name, row.role.as_str());
        say(
            out,
            &format!("{name:<20} {role:<8} {cameras}, last log-in {seen}{state}"),
        );
    }
    Ok(())
}

fn rows_of(store: &Store) -> Result<Vec<UserRow>> {
    store.users()
}

fn told(
    out: &mut dyn Write,
    common: &Common,
    row: &UserRow,
    done: &str,
    made_up: Option<&Secret>,
) -> Result<()> {
    if common.json {
        let mut value = json_of(row);
        if let Some(password) = made_up {
            value["password"] = password.expose().into();
        }
        return say_json(out, &value);
    }
    say(out, &format!("{}: {done}", row.name));
    if let Some(password) = made_up {
        say(
            out,
            &format!(
                "password: {} (it must be changed at the first log-in)",
                password.expose()
            ),
        );
    }
    Ok(())
}

fn json_of(row: &UserRow) -> serde_json::Value {
    serde_json::json!({
        "id": row.id, "username": row.name, "display_name": row.display_name, "email": row.email,
        "role": row.role.as_str(), "is_active": row.active, "must_change_password": row.must_change_password,
        "mfa_enabled": row.totp.is_some(), "created_unix_us": row.created_us, "last_login_unix_us": row.last_login_us,
        "cameras": match &row.cameras {
            CameraAccess::All => None,
            CameraAccess::Only(names) => Some(names),
        },
    })
}

pub(super) fn access_of(cameras: &[String]) -> CameraAccess {
    match cameras {
        [] => CameraAccess::All,
        names => CameraAccess::Only(names.iter().cloned().collect::<BTreeSet<_>>()),
    }
}

/// The password, and the same again where it was made up and must be told.
fn password_of(from_input: bool) -> Result<(Secret, Option<Secret>)> {
    if !from_input {
        let password = generate_password();
        return Ok((password.clone(), Some(password)));
    }
    let mut text = String::new();
    std::io::stdin()
        .take(MAX_PASSWORD)
        .read_to_string(&mut text)
        .map_err(|error| Error::invalid(format!("password: it cannot be read: {error}")))?;
    let password = text.trim_end_matches(['\r', '\n']);
    Ok((Secret::new(password), None))
}
