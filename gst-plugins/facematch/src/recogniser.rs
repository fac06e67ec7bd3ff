//! One stream of pictures with faces on them: what is embedded, who it is, and what is worth telling.

use std::sync::Arc;

use crate::align::{self, Chip, Colours, Points, SIDE};
use crate::embedder::{EmbedError, Embedder};
use crate::gallery::{Rule, Verdict};
use crate::known::Known;
use crate::quality::{Gate, Quality, Refused};
use crate::search::Embedding;
use crate::tracks::{self, Face, Plan, Tracks, Whose};

/// A face begins a stranger from this quality on; a poor one would be nobody's.
const STRANGER_SCORE: f64 = 0.3;
/// Which asks for so many good pictures of a track, where there are tracks.
const STRANGER_SAMPLES: usize = 2;

/// What turns upright faces into vectors.
pub trait Embed {
    /// The vector of a face, of length 1.
    ///
    /// # Errors
    /// When the model fails.
    fn embed(&self, chip: &Chip) -> Result<Embedding, EmbedError>;
}

impl Embed for Embedder {
    fn embed(&self, chip: &Chip) -> Result<Embedding, EmbedError> {
        Self::embed(self, chip)
    }
}

/// What may be turned.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// When a face is somebody's.
    pub rule: Rule,
    /// Which faces are compared at all.
    pub gate: Gate,
    /// Whether faces of nobody get an id.
    pub strangers: bool,
    /// The most faces that the model looks at on one picture.
    pub most: usize,
}

/// A face on a picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Its landmarks, pixels of the picture.
    pub landmarks: Points,
    /// Its track, where there is one.
    pub track: Option<u64>,
}

/// Something new about somebody.
#[derive(Debug, Clone, PartialEq)]
pub struct News {
    /// Who.
    pub whose: Whose,
    /// Whether it is a stranger who was not there before.
    pub new: bool,
    /// The track.
    pub track: Option<u64>,
    /// A stranger's sample that was kept.
    pub sample: Option<Embedding>,
}

/// What came of a picture.
#[derive(Debug, Default, PartialEq)]
pub struct Outcome {
    /// Whose each face is.
    pub whose: Vec<Option<Whose>>,
    /// What is worth telling.
    pub news: Vec<News>,
    /// Faces that the model looked at.
    pub embedded: u64,
    /// Faces that were not good enough.
    pub refused: u64,
}

/// A face that was cut out and judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Portrait {
    /// The face, upright.
    pub chip: Chip,
    /// How good it is.
    pub quality: Quality,
    /// The small picture of it.
    pub patch: tracks::Patch,
}

/// Cuts out and judges the face with these landmarks; `None` where they are no face.
pub fn portrait(picture: &dyn Colours, landmarks: &Points) -> Option<Portrait> {
    let chip = align::cut(picture, landmarks)?;
    let luma = chip.luma();
    Some(Portrait {
        quality: Quality::of(landmarks, &luma, chip.reduction)?,
        patch: tracks::patch(&luma, SIDE),
        chip,
    })
}

/// The stream.
#[derive(Debug)]
pub struct Recogniser {
    known: Arc<Known>,
    tracks: Tracks,
}

/// A face with what is known of it so far.
struct Candidate {
    at: usize,
    track: Option<u64>,
    portrait: Portrait,
    verdict: Result<(), Refused>,
    urgent: bool,
}

impl Recogniser {
    /// A stream that compares with these.
    pub fn new(known: Arc<Known>) -> Self {
        Self {
            known,
            tracks: Tracks::default(),
        }
    }

    /// Those it compares with.
    pub fn known(&self) -> &Arc<Known> {
        &self.known
    }

    /// Forgets the tracks: the pictures that come are others.
    pub fn reset(&mut self) {
        self.tracks.reset();
    }

    /// The gallery is another one: nobody keeps a name that is no longer in it.
    pub fn gallery_changed(&mut self) {
        let people = self.known.people();
        self.tracks
            .forget(|whose| !whose.stranger && people.person(&whose.id).is_none());
    }

    /// Looks at a picture of `now_ns` media time.
    ///
    /// # Errors
    /// When the model fails, which it will again with the next face.
    pub fn look(
        &mut self,
        config: &Config,
        embed: &dyn Embed,
        picture: &dyn Colours,
        found: &[Found],
        now_ns: u64,
    ) -> Result<Outcome, EmbedError> {
        let mut outcome = Outcome {
            whose: vec![None; found.len()],
            ..Outcome::default()
        };
        self.tracks.sweep(now_ns);
        let mut wanted: Vec<Candidate> = Vec::new();
        for (at, found) in found.iter().enumerate() {
            let Some(portrait) = portrait(picture, &found.landmarks) else {
                continue;
            };
            let verdict = portrait.quality.pass(&config.gate);
            outcome.refused += u64::from(verdict.is_err());
            let passes = verdict.is_ok();
            let plan = match found.track {
                Some(track) => self.tracks.plan(&face(track, &portrait, passes), now_ns),
                None if passes => Plan::Embed { urgent: true },
                None => Plan::Nothing,
            };
            match plan {
                Plan::Known(whose) => outcome.whose[at] = Some(whose),
                Plan::Nothing => {}
                Plan::Embed { urgent } => wanted.push(Candidate {
                    at,
                    track: found.track,
                    portrait,
                    verdict,
                    urgent,
                }),
            }
        }
        // Where there is no time for all, the best faces first.
        wanted.sort_by(|a, b| {
            let score = |c: &Candidate| c.portrait.quality.score();
            score(b).total_cmp(&score(a))
        });
        for (n, candidate) in wanted.into_iter().enumerate() {
            let at = candidate.at;
            outcome.whose[at] = if n < config.most {
                outcome.embedded += 1;
                self.decide(config, embed, candidate, now_ns, &mut outcome.news)?
            } else if candidate.urgent {
                None
            } else {
                candidate
                    .track
                    .and_then(|track| self.tracks.as_before(track))
            };
        }
        one_face_each(&mut outcome.whose);
        Ok(outcome)
    }

    fn decide(
        &mut self,
        config: &Config,
        embed: &dyn Embed,
        candidate: Candidate,
        now_ns: u64,
        news: &mut Vec<News>,
    ) -> Result<Option<Whose>, EmbedError> {
        let Candidate {
            track,
            portrait,
            verdict,
            urgent,
            ..
        } = candidate;
        let vector = embed.embed(&portrait.chip)?;
        let score = portrait.quality.score();
        let before = track.and_then(|track| self.tracks.as_before(track));
        let (vector, samples) = match track {
            Some(track) => {
                let face = face(track, &portrait, verdict.is_ok());
                self.tracks.embedded(&face, vector, urgent, now_ns)
            }
            // Nobody will come back with a second picture of it.
            None => (vector, STRANGER_SAMPLES),
        };
        let verdict = self.known.people().verdict(&vector, config.rule);
        let mut stranger = None;
        let (mut new, mut sample) = (false, None);
        if verdict == Verdict::Nobody && config.strangers {
            let may_begin = score >= STRANGER_SCORE && samples >= STRANGER_SAMPLES;
            let met = self.known.strangers().meet(
                &vector,
                self.known.model(),
                // Two poor faces are nearer to each other than to anybody's photo.
                config.rule.threshold + 2.0 * config.rule.margin,
                may_begin,
            );
            if let Some(met) = met {
                (new, sample) = (met.new, met.kept.then_some(vector));
                stranger = Some(Whose {
                    id: met.id,
                    similarity: met.similarity,
                    stranger: true,
                });
            }
        }
        let whose = match track {
            Some(track) => self.tracks.decided(track, &verdict, stranger),
            None => match verdict {
                Verdict::Match { person, similarity } => Some(Whose {
                    id: person,
                    similarity,
                    stranger: false,
                }),
                Verdict::Unsure => None,
                Verdict::Nobody => stranger,
            },
        };
        if let Some(whose) = &whose
            && (sample.is_some() || before.as_ref().map(|b| &b.id) != Some(&whose.id))
        {
            news.push(News {
                whose: whose.clone(),
                new,
                track,
                sample,
            });
        }
        Ok(whose)
    }
}

fn face(track: u64, portrait: &Portrait, passes: bool) -> Face {
    Face {
        track,
        score: portrait.quality.score(),
        passes,
        patch: portrait.patch.clone(),
    }
}

/// Nobody is on a picture twice: of two faces of one person the less similar one is somebody else's.
fn one_face_each(whose: &mut [Option<Whose>]) {
    for at in 0..whose.len() {
        let beaten = whose[at].as_ref().is_some_and(|this| {
            whose.iter().enumerate().any(|(i, other)| {
                other.as_ref().is_some_and(|other| {
                    i != at
                        && other.id == this.id
                        && (other.similarity > this.similarity
                            || other.similarity == this.similarity && i < at)
                })
            })
        });
        if beaten {
            whose[at] = None;
        }
    }
}

#[cfg(test)]
#[path = "recogniser_tests.rs"]
mod tests;
