//! Time-lapses: key frames at even distances as a film, made slowly beside everything else.

mod jobs;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nvr_base::{Error, Result};
use nvr_media::stills::{Film, Recording};
use nvr_store::NewTimelapse;

pub use jobs::Timelapses;

use crate::stills::{Pick, Stills};

/// Most pictures of a film: over thirteen minutes at 25 a second.
pub const MAX_PICTURES: u64 = 20_000;
/// Shortest distance between two moments, microseconds.
const MIN_INTERVAL_US: i64 = 100_000;
/// Longest pause after a picture.
const MAX_REST: Duration = Duration::from_secs(1);

/// A film that is on disk, not yet synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// Its pictures.
    pub pictures: u64,
    /// Moments at which nothing is recorded.
    pub absent: u64,
    /// Moments whose picture could not be read or decoded.
    pub damaged: u64,
    /// When its first picture was shown, microseconds since 1970-01-01 UTC.
    pub shown_us: i64,
}

impl Made {
    /// What is not in it, in one sentence, if anything.
    pub fn detail(&self) -> Option<String> {
        let part = |count: u64, what: &str| (count > 0).then(|| format!("{count} {what}"));
        let parts: Vec<String> = [
            part(self.absent, "of its moments are not recorded"),
            part(self.damaged, "could not be decoded"),
        ]
        .into_iter()
        .flatten()
        .collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

/// Whether a wish makes sense.
///
/// # Errors
/// `InvalidArgument` that names the field.
fn check(wish: &NewTimelapse, now_us: i64) -> Result<()> {
    if wish.start_us >= wish.end_us {
        return Err(Error::invalid("start_unix: is not before end_unix"));
    }
    if wish.end_us > now_us {
        return Err(Error::invalid("end_unix: lies in the future"));
    }
    if wish.interval_us < MIN_INTERVAL_US {
        return Err(Error::invalid("interval_s: use 0.1 or more"));
    }
    if !(1..=60).contains(&wish.fps) {
        return Err(Error::invalid(format!(
            "fps: {} is out of range: use 1 to 60",
            wish.fps
        )));
    }
    if let Some(height) = wish.height.filter(|height| !(16..=4320).contains(height)) {
        return Err(Error::invalid(format!(
            "height: {height} is out of range: use 16 to 4320"
        )));
    }
    let count = count(wish);
    if count > MAX_PICTURES {
        let least = wish.end_us.abs_diff(wish.start_us).div_ceil(MAX_PICTURES);
        return Err(Error::invalid(format!(
            "interval_s: gives {count} pictures, and {MAX_PICTURES} are the most: use {:.3} or more",
            least.div_ceil(1000) as f64 / 1000.0
        )));
    }
    Ok(())
}

/// How many moments a wish has.
fn count(wish: &NewTimelapse) -> u64 {
    let length = wish.end_us.abs_diff(wish.start_us);
    length.div_ceil(wish.interval_us.unsigned_abs().max(1))
}

fn moments(wish: &NewTimelapse) -> impl Iterator<Item = i64> {
    let at = |number: u64| {
        let into = wish.interval_us.saturating_mul(number.cast_signed());
        wish.start_us.saturating_add(into)
    };
    (0..count(wish).min(MAX_PICTURES)).map(at)
}

/// What a film will be made of.
#[derive(Debug)]
pub struct Plan {
    picks: Vec<Pick>,
    absent: u64,
    size: (u32, u32),
    fps: u32,
}

impl Plan {
    /// Chooses the pictures; nothing is decoded.
    ///
    /// # Errors
    /// `NotFound` when nothing of the stretch is recorded.
    pub fn of(stills: &Stills, wish: &NewTimelapse) -> Result<Self> {
        let found = stills.picks(&wish.camera, moments(wish))?;
        let count = found.len();
        let picks: Vec<Pick> = found.into_iter().flatten().collect();
        let Some(first) = picks.first() else {
            return Err(Error::not_found(format!(
                "nothing of camera {:?} is recorded at any moment of the time-lapse",
                wish.camera
            )));
        };
        let size = film_size(first.size, wish.height);
        Ok(Self {
            absent: (count - picks.len()) as u64,
            picks,
            size,
            fps: wish.fps,
        })
    }

    /// About the room that making it takes, bytes: the film, and once more while its index is put in front.
    pub fn bytes(&self) -> u64 {
        let (width, height) = self.size;
        // Measured with street and yard pictures: a quarter of a bit a pixel.
        let picture = u64::from(width) * u64::from(height) / 32;
        2 * (self.picks.len() as u64) * picture
    }

    /// Makes the film; `None` when `step`, which is told the pictures that are done and all there will be, stopped it.
    ///
    /// It works at most half of the time, so that recording and analysis come first. What it leaves when it fails or
    /// is stopped is for the caller to remove: the file and [`beside`].
    ///
    /// # Errors
    /// `DataLoss` when no picture can be decoded, `FailedPrecondition` without an encoder, `ResourceExhausted` on a
    /// full disk.
    pub fn make(
        &self,
        to: &Path,
        step: &dyn Fn(u64, u64) -> ControlFlow<()>,
    ) -> Result<Option<Made>> {
        let all = self.picks.len() as u64;
        let mut film = Film::begin(to, self.size, self.fps)?;
        let (mut done, mut stopped, mut shown_us) = (0, step(0, all).is_break(), None);
        for group in self.picks.chunk_by(|a, b| a.path == b.path) {
            if stopped {
                return Ok(None);
            }
            let mut broken = None;
            let mut begun = Instant::now();
            let before = film.pictures();
            let each = |offset_ns: i64, sample| {
                // One key frame may stand for several moments.
                for pick in group.iter().filter(|pick| pick.offset_ns == offset_ns) {
                    if let Err(error) = film.push(&sample) {
                        broken = Some(error);
                        return Err(Error::internal("the film ends"));
                    }
                    shown_us.get_or_insert(pick.unix_us);
                }
                std::thread::sleep(begun.elapsed().min(MAX_REST));
                begun = Instant::now();
                stopped = step(film.pictures(), all).is_break();
                match stopped {
                    true => Err(Error::internal("the film is stopped")),
                    false => Ok(()),
                }
            };
            let decoded = whole_keys(group, each);
            if let Some(error) = broken {
                return Err(error);
            }
            if let (Err(error), false) = (decoded, stopped) {
                tracing::info!(%error, segment.path = %group[0].path.display(), "pictures of a time-lapse are left out");
            }
            done += film.pictures() - before;
        }
        let Some(shown_us) = shown_us.filter(|_| !stopped) else {
            return match stopped {
                true => Ok(None),
                false => Err(Error::data_loss("none of its pictures could be decoded")),
            };
        };
        film.finish()?;
        Ok(Some(Made {
            pictures: done,
            absent: self.absent,
            damaged: all - done,
            shown_us,
        }))
    }
}

/// What the muxer keeps beside a film that is being made.
pub fn beside(film: &Path) -> PathBuf {
    Film::beside(film)
}

fn whole_keys(
    group: &[Pick],
    each: impl FnMut(i64, nvr_media::stills::Picture) -> Result<()>,
) -> Result<()> {
    let wanted: Vec<i64> = group.iter().map(|pick| pick.offset_ns).collect();
    Recording::open(&group[0].path)?.whole_keys(&wanted, each)
}

/// The size of a film: that of its first picture, not higher than asked for, both sides even as the encoder needs them.
fn film_size((width, height): (u32, u32), most: Option<u32>) -> (u32, u32) {
    let (width, height) = (u64::from(width.max(1)), u64::from(height.max(1)));
    let shown = u64::from(most.unwrap_or(u32::MAX)).min(height);
    let even = |side: u64| {
        u32::try_from(side.next_multiple_of(2))
            .unwrap_or(u32::MAX)
            .max(16)
    };
    (even(width * shown / height), even(shown))
}

#[cfg(test)]
mod tests;
