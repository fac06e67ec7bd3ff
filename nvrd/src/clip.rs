//! `nvrd clip`: a range of recordings as one file, from what is on disk, with the daemon or without it.
//!
//! Nothing is changed but the file that is asked for: the database is only read, and no lock is taken.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use nvr_base::{Clock, Error, RealClock, Result};
use nvr_store::{ExportGap, SegmentRow, Store};

use crate::config::{Config, StorageConfig};
use crate::evidence::Evidence;
use crate::exports::{Made, Range, Workshop, moment};
use crate::storage::{database, identity};

/// A clip that was written.
#[derive(Debug)]
pub(crate) struct Clip {
    range: Range,
    output: PathBuf,
    made: Made,
    /// What of the range is not in it, in the order of time.
    missing: Vec<ExportGap>,
}

/// Writes a clip, and answers what is in it and what is not.
///
/// # Errors
/// When the file is there already, nothing is recorded in the range, or something cannot be read or written.
pub(crate) fn write(config: &Config, range: &Range, output: &Path) -> Result<Clip> {
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    range
        .check(clock.unix_us(), config.export.max_hours)
        .map_err(in_words_of_the_command_line)?;
    if output.exists() {
        return Err(Error::already_exists(format!(
            "{}: is there already: choose another name",
            output.display()
        )));
    }
    let root = &config.storage.path;
    let place = database::place(&config.storage)?;
    let store = Store::open_read_only_at(&place, Arc::clone(&clock))?;
    let folders = Folders::look(&config.storage);
    let rows = range.segments(&store)?;
    let mut missing = range.missing(&store)?;
    let evidence = evidence(&root.join("evidence"), clock)?;
    let workshop = Workshop {
        file_of: &|row| folders.file(row),
        evidence: evidence.as_ref(),
        step: &|_, _| ControlFlow::Continue(()),
    };
    let made = workshop.make(range, &rows, output)?;
    let made = made.ok_or_else(|| Error::internal("the clip was stopped"))?;
    missing.extend(made.lost.iter().cloned());
    missing.sort_by_key(|gap| gap.start_us);
    Ok(Clip {
        range: range.clone(),
        output: output.to_owned(),
        made,
        missing,
    })
}

/// A moment on the command line, microseconds since 1970-01-01 UTC.
///
/// # Errors
/// `InvalidArgument` with the name of the option.
pub(crate) fn moment_of(option: &str, text: &str) -> Result<i64> {
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Ok(moment.as_microsecond());
    }
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=9e11).contains(&seconds) => Ok((seconds * 1e6).round() as i64),
        _ => Err(Error::invalid(format!(
            "{option}: {text:?} is no moment: use 2026-01-31T12:00:00Z, or with an offset such as +01:00, or seconds \
             since 1970-01-01 UTC"
        ))),
    }
}

fn in_words_of_the_command_line(error: Error) -> Error {
    let text = error.to_string();
    Error::invalid(
        text.replace("start_unix", "--from")
            .replace("end_unix", "--to"),
    )
}

impl Clip {
    /// For programs.
    pub(crate) fn json(&self) -> serde_json::Value {
        let missing = self.missing.iter().map(|gap| {
            serde_json::json!({
                "start_unix_us": gap.start_us, "end_unix_us": gap.end_us,
                "reason": gap.reason, "detail": gap.detail,
            })
        });
        serde_json::json!({
            "output": self.output.display().to_string(), "camera": self.range.camera,
            "start_unix_us": self.made.shown_us, "end_unix_us": self.range.end_us,
            "bytes": self.made.bytes, "detail": self.made.detail,
            "missing": missing.collect::<Vec<_>>(),
        })
    }

    /// For people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let (range, made) = (&self.range, &self.made);
        let seconds = |from: i64, to: i64| (to - from) as f64 / 1e6;
        let mut lines = vec![format!(
            "{}: {} from {} to {}, {:.1} s, {:.1} MB",
            self.output.display(),
            range.camera,
            moment(made.shown_us),
            moment(range.end_us),
            seconds(made.shown_us, range.end_us),
            made.bytes as f64 / 1e6
        )];
        lines.extend(self.missing.iter().map(|gap| {
            let detail = gap.detail.as_ref().map(|text| format!(": {text}"));
            format!(
                "missing {} to {}, {:.1} s, {}{}",
                moment(gap.start_us),
                moment(gap.end_us),
                seconds(gap.start_us, gap.end_us),
                gap.reason,
                detail.unwrap_or_default()
            )
        }));
        lines.extend(made.detail.clone());
        lines
    }
}

/// The evidence, where there is a key already: looking makes none.
fn evidence(folder: &Path, clock: Arc<dyn Clock>) -> Result<Option<Evidence>> {
    match folder.join("key.pem").is_file() {
        true => Evidence::open(folder, clock).map(Some),
        false => Ok(None),
    }
}

/// Where the recordings of each storage lie.
struct Folders {
    first: PathBuf,
    by_id: HashMap<String, PathBuf>,
}

impl Folders {
    fn look(config: &StorageConfig) -> Self {
        let more = config.more.iter().map(|more| more.path.clone());
        let roots = std::iter::once(config.path.clone()).chain(more);
        // A folder without an identity, or one that cannot be read, has nothing that a row could mean.
        let known = roots.filter_map(|root| {
            let id = identity::read(&root).ok().flatten()?;
            Some((id, root.join("recordings")))
        });
        Self {
            first: config.path.join("recordings"),
            by_id: known.collect(),
        }
    }

    fn file(&self, row: &SegmentRow) -> Result<PathBuf> {
        let folder = match row.storage.as_str() {
            "" => Some(&self.first),
            id => self.by_id.get(id),
        };
        let folder = folder.ok_or_else(|| {
            Error::unavailable(format!(
                "segment {:?}: its storage {} is not there: mount its disk",
                row.path, row.storage
            ))
        })?;
        let path = Path::new(&row.path);
        let mut parts = path.components();
        match parts.all(|part| matches!(part, Component::Normal(_))) {
            true => Ok(folder.join(path)),
            false => Err(Error::data_loss(format!(
                "segment {:?}: its path leads out of the recordings",
                row.id
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_either_form() {
        let check = |text: &str, expect: Option<i64>| {
            assert_eq!(moment_of("--from", text).ok(), expect, "{text}");
        };
        check("2026-01-01T00:00:00Z", Some(1_767_225_600_000_000));
        check("2026-01-01T01:00:00.25+01:00", Some(1_767_225_600_250_000));
        check("1767225600.5", Some(1_767_225_600_500_000));
        for bad in ["", "yesterday", "2026-01-01", "-5", "NaN", "1e300"] {
            check(bad, None);
        }
        let error = moment_of("--to", "noon").unwrap_err().to_string();
        assert!(error.starts_with("--to: \"noon\""), "{error}");
    }
}
