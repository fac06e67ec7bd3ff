//! `nvrd verify`: are recordings, or is an exported file, what was recorded.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nvr_base::{Error, ErrorKind, Result, Slug};

use super::{finish, moment, must_exist, people, progress, say, say_json, size};
use crate::config::Config;
use crate::evidence::{self, Place, PublicKey, Report, Wanted};
use crate::storage::identity;

/// What `nvrd verify` is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArguments {
    /// An exported file to check, with nothing but the public key.
    #[arg(value_name = "FILE", requires = "key", conflicts_with_all = ["config", "camera", "from", "to", "head"])]
    file: Option<PathBuf>,
    /// The configuration file, to check the recordings themselves.
    #[arg(long, value_name = "FILE", env = "NVRD_CONFIG")]
    config: Option<PathBuf>,
    /// The public key in PEM; the one of the storage unless given.
    #[arg(long, value_name = "PEM")]
    key: Option<PathBuf>,
    /// Only this camera.
    #[arg(long, value_name = "NAME")]
    camera: Option<String>,
    /// Only files that end after this: seconds since 1970 or like 2026-11-20T10:00:00Z. The chain is checked whole.
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    from: Option<String>,
    /// Only files that begin before this.
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    to: Option<String>,
    /// The head of the camera's chain as it was kept elsewhere; shows an end that was cut off.
    #[arg(long, value_name = "NUMBER:LINK", requires = "camera")]
    head: Option<String>,
    /// Print one JSON object a camera instead of text.
    #[arg(long)]
    json: bool,
}

/// Runs the check: 0 when everything is what was recorded, 1 when not, 2 when it could not be found out.
pub(crate) fn verify(arguments: &VerifyArguments) -> ExitCode {
    let out = &mut std::io::stdout();
    // `NVRD_CONFIG` may be set: a file that is named goes before it.
    finish(match (&arguments.file, &arguments.config) {
        (Some(file), _) => export(file, arguments, out),
        (None, Some(config)) => recordings(config, arguments, out),
        (None, None) => Err(Error::invalid(
            "give --config FILE to check recordings, or an exported FILE and --key PEM",
        )),
    })
}

fn export(file: &Path, arguments: &VerifyArguments, out: &mut dyn Write) -> Result<bool> {
    let key = arguments
        .key
        .as_deref()
        .ok_or_else(|| Error::invalid("--key: is missing"))?;
    let key = PublicKey::read(key)?;
    let checked = evidence::check(file, &key)?;
    let whole = checked.problems.is_empty();
    if arguments.json {
        let value = serde_json::json!({
            "file": file, "whole": whole, "problems": checked.problems, "proof": checked.proof,
        });
        say_json(out, &value)?;
        return Ok(whole);
    }
    let name = file.display();
    for problem in &checked.problems {
        say(out, &format!("{name}: {problem}"));
    }
    if let (true, Some(proof)) = (whole, checked.proof) {
        say(
            out,
            &format!(
                "{name}: whole and signed: camera {}, {} to {}, from {} segments, made {}",
                proof.camera,
                people(proof.start_unix_us),
                people(proof.end_unix_us),
                proof.sources.len(),
                people(proof.made_unix_us)
            ),
        );
    }
    Ok(whole)
}

fn recordings(config: &Path, arguments: &VerifyArguments, out: &mut dyn Write) -> Result<bool> {
    let config = Config::load(config)?;
    must_exist(&config.storage.path)?;
    let places = places(&config)?;
    let folder = config.storage.path.join("evidence");
    let own = folder.join("public.pem");
    let key =
        PublicKey::read(arguments.key.as_deref().unwrap_or(&own)).map_err(|error| {
            match error.kind() {
                ErrorKind::NotFound => Error::precondition(format!(
                    "{error}: nothing was recorded with a chain yet, or the key was taken away"
                )),
                _ => error,
            }
        })?;
    let time = |key: &str, text: &Option<String>, other: i64| match text {
        Some(text) => moment(key, text),
        None => Ok(other),
    };
    let wanted = Wanted {
        evidence: &folder,
        places: &places,
        key: &key,
        range: time("--from", &arguments.from, i64::MIN)?..time("--to", &arguments.to, i64::MAX)?,
        head: arguments.head.as_deref().map(head_of).transpose()?,
        running: evidence::is_running(&config.storage.path)?,
    };
    let cameras = match &arguments.camera {
        Some(camera) => vec![known(camera, &wanted)?],
        None => evidence::cameras(&folder, &places)?,
    };
    let mut altered = 0;
    for camera in &cameras {
        let (mut tell_progress, mut files, mut bytes) = (progress(camera), 0, 0);
        let report = evidence::verify(camera, &wanted, &mut |length| {
            files += 1;
            bytes += length;
            tell_progress(files, bytes);
        })?;
        altered += usize::from(!report.is_whole());
        if arguments.json {
            say_json(out, &report)?;
        } else {
            tell(&report, out);
        }
    }
    if !arguments.json {
        let all = cameras.len();
        say(
            out,
            &match altered {
                0 => format!("{all} cameras: everything is what was recorded"),
                _ => format!("{altered} of {all} cameras: not everything is what was recorded"),
            },
        );
    }
    Ok(altered == 0)
}

/// The storages of a configuration, without a look at the database; one whose disk is not there has no identity.
fn places(config: &Config) -> Result<Vec<Place>> {
    let more = config.storage.more.iter().map(|more| &more.path);
    let mut places = Vec::new();
    for root in std::iter::once(&config.storage.path).chain(more) {
        if let Some(id) = identity::read(root)? {
            places.push(Place {
                id,
                recordings: root.join("recordings"),
            });
        } else if places.is_empty() {
            // From before folders had identities.
            places.push(Place {
                id: String::new(),
                recordings: root.join("recordings"),
            });
        }
    }
    Ok(places)
}

fn known(camera: &str, wanted: &Wanted<'_>) -> Result<String> {
    let name: Slug = camera.parse()?;
    if !evidence::cameras(wanted.evidence, wanted.places)?.contains(&name.to_string()) {
        return Err(Error::not_found(format!(
            "--camera: nothing is recorded of {camera:?}"
        )));
    }
    Ok(name.to_string())
}

fn head_of(text: &str) -> Result<(u64, String)> {
    let parts = text.split_once(':');
    let parts = parts.and_then(|(seq, link)| Some((seq.parse().ok()?, link.to_owned())));
    parts.filter(|(_, link)| link.len() == 64).ok_or_else(|| {
        Error::invalid(format!(
            "--head: {text:?} is no head: give NUMBER:LINK, as GET /api/v1/evidence/<camera> says them"
        ))
    })
}

fn tell(report: &Report, out: &mut dyn Write) {
    let camera = &report.camera;
    for (fault, count) in &report.counts {
        let first = report
            .findings
            .iter()
            .find(|finding| finding.fault == *fault);
        let first = first.map_or("", |finding| finding.text.as_str());
        let more = match count - 1 {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        say(out, &format!("{camera}: {}: {first}{more}", fault.as_str()));
    }
    let mut line = format!(
        "{camera}: {} entries, {} files with {} compared, {} deleted since",
        report.entries,
        report.compared,
        size(report.compared_bytes),
        report.deleted
    );
    for (count, what) in [
        (report.found_later, "found after a crash"),
        (report.without_hash, "compared by length alone"),
        (report.being_recorded, "being recorded"),
    ] {
        if count > 0 {
            line.push_str(&format!(", {count} {what}"));
        }
    }
    if let Some((seq, link)) = &report.head {
        line.push_str(&format!("; head {seq}:{link}"));
    }
    say(out, &line);
}
