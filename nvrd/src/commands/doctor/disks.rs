//! The storage folders, the secrets in them and the database, looked at beside a running daemon or without one.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use nvr_base::{Clock, RealClock, Result};
use nvr_store::Store;

use super::{Findings, sentence};
use crate::config::Config;
use crate::evidence;
use crate::retention::Policy;
use crate::storage::{database, identity};

/// Kinds of file systems that lose what is on them, or that others may take away, by their magic numbers.
const ODD: [(i64, &str); 4] = [
    (
        0x0102_1994,
        "tmpfs: it is memory, and gone with the next start of the machine",
    ),
    (0x6969, "NFS: when the network stalls, recording does"),
    (0xff53_4d42, "CIFS: when the network stalls, recording does"),
    (0xfe53_4d42, "SMB: when the network stalls, recording does"),
];
/// Files that only the daemon's user may read.
const SECRETS: [&str; 3] = ["keys/vault.key", "keys/tokens.key", "evidence/key.pem"];

/// Every folder; says whether a daemon holds the first.
pub(super) fn storages(config: &Config, findings: &mut Findings) -> Result<bool> {
    let first = &config.storage.path;
    let more = config.storage.more.iter().map(|more| {
        let name = more.name.clone();
        (name.unwrap_or_else(|| more.default_name()), &more.path)
    });
    let policy = Policy::of(config);
    for (name, path) in std::iter::once(("first".to_owned(), first)).chain(more) {
        folder(&name, path, &policy, findings);
    }
    secrets(first, findings);
    let running = match first.exists() {
        true => evidence::is_running(first)?,
        false => false,
    };
    let told = match running {
        true => "it runs on this storage",
        false => "none runs on this storage",
    };
    findings.ok("daemon", told);
    Ok(running)
}

fn folder(name: &str, path: &Path, policy: &Policy, findings: &mut Findings) {
    let subject = format!("storage {name}");
    let shown = path.display();
    let Ok(found) = std::fs::metadata(path) else {
        let above = path.ancestors().find(|above| above.exists());
        match above.filter(|_| name == "first").map(writable) {
            Some(true) => findings.ok(
                &subject,
                format!("{shown}: not there yet, the first start makes it"),
            ),
            _ => findings.problem(
                &subject,
                format!("{shown}: there is no such folder"),
                "mount its disk, or make the folder one that nvrd may write to",
            ),
        }
        return;
    };
    if !found.is_dir() || !writable(path) {
        findings.problem(
            &subject,
            format!("{shown}: no folder that this user may write to"),
            "give it to the user that nvrd runs as: chown nvrd:nvrd",
        );
        return;
    }
    if let Err(error) = identity::read(path) {
        findings.problem(
            &subject,
            sentence(&error),
            "restore the identity file from a backup",
        );
    }
    let Ok(space) = rustix::fs::statvfs(path) else {
        findings.warning(
            &subject,
            format!("{shown}: the system does not tell its room"),
            "see df",
        );
        return;
    };
    let (free, total) = (
        space.f_bavail * space.f_frsize,
        space.f_blocks * space.f_frsize,
    );
    let wanted = policy.storage(name).min_free_of(total);
    let room = format!(
        "{shown}: {} of {} free",
        super::super::size(free),
        super::super::size(total)
    );
    if free < wanted {
        findings.warning(
            &subject,
            format!("{room}, less than the {} that stay free", super::super::size(wanted)),
            "make room: the oldest recordings go until there is some, and recording stops where none may go",
        );
    } else {
        findings.ok(&subject, room);
    }
    if let Ok(kind) = rustix::fs::statfs(path)
        && let Some((_, what)) = ODD.iter().find(|(magic, _)| *magic == kind.f_type)
    {
        findings.warning(&subject, *what, "use a disk of this machine");
    }
}

/// Whether this user may write there; nothing is written.
fn writable(folder: &Path) -> bool {
    rustix::fs::access(
        folder,
        rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
    )
    .is_ok()
}

fn secrets(first: &Path, findings: &mut Findings) {
    let open: Vec<String> = SECRETS
        .into_iter()
        .map(|name| first.join(name))
        .filter(|file| std::fs::metadata(file).is_ok_and(|it| it.mode() & 0o077 != 0))
        .map(|file| file.display().to_string())
        .collect();
    if !open.is_empty() {
        findings.problem(
            "secrets",
            format!("others may read {}", open.join(", ")),
            "chmod 600 them, and think about who may have read them",
        );
    }
}

/// The index: that it can be read, is whole, and is one of this program.
pub(super) fn database(config: &Config, findings: &mut Findings) {
    let subject = "database";
    let place = match database::place(&config.storage) {
        Ok(place) => place,
        Err(error) => {
            findings.problem(subject, sentence(&error), "put the configuration right");
            return;
        }
    };
    if place.file().is_some_and(|file| !file.exists()) {
        findings.ok(
            subject,
            format!("{place}: not there yet, the first start makes it"),
        );
        return;
    }
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    let health = Store::open_read_only_at(&place, clock).and_then(|store| store.health());
    match health {
        Ok(health) if health.problems.is_empty() => findings.ok(
            subject,
            format!(
                "{place}: whole, {}, {} segments, {} events",
                super::super::size(health.file_bytes),
                health.segments,
                health.events
            ),
        ),
        Ok(health) => findings.problem(
            subject,
            format!("{place}: damaged: {}", health.problems.join("; ")),
            "stop the daemon, keep a copy, and run `nvrd rebuild`",
        ),
        Err(error) => findings.problem(
            subject,
            sentence(&error),
            "see what the sentence says; `nvrd rebuild` makes the index anew from the files",
        ),
    }
}
