//! Who the tracked faces are: the best pictures of a track decide, not each picture for itself.
//!
//! A face of a track is embedded when the track is new, when this picture of it is clearly better than those
//! before, when it has not been checked for a while, and when it does not look like the face of the picture before
//! any more, as after a cut. A track whose faces are no longer of one person begins anew, and gives nobody's name
//! until it is sure again.

use crate::gallery::Verdict;
use crate::search::{Embedding, dot, normalised};

/// Side of the small picture by which two faces are compared without the model.
const PATCH: usize = 14;
/// Least correlation of two successive pictures of one face.
const SAME_FACE: f32 = 0.5;
/// Least cosine of a new face of a track to those before; below it is another person.
const SAME_PERSON: f32 = 0.15;
/// The same where it does not look like the face of the picture before.
const STILL_SAME_PERSON: f32 = 0.3;
/// How many of the best faces of a track decide.
const SAMPLES: usize = 4;
/// A face this much better than the best is embedded.
const BETTER: f64 = 1.15;
/// Never two faces of a track closer together, unless it looks like another face, nanoseconds.
const REST_NS: u64 = 150_000_000;
/// A track without a name is looked at again after this, nanoseconds; each time after twice as long as before.
const AGAIN_NS: u64 = 250_000_000;
/// The longest of these times, nanoseconds.
const LONGEST_NS: u64 = 4_000_000_000;
/// A track with a name is looked at again so often, nanoseconds.
const CHECK_NS: u64 = 3_000_000_000;
/// After this long without a picture a track is forgotten, nanoseconds.
const FORGET_NS: u64 = 30_000_000_000;
/// The most tracks that are remembered.
const MOST: usize = 256;

/// Who a track is.
#[derive(Debug, Clone, PartialEq)]
pub struct Whose {
    /// Id of the person or stranger.
    pub id: String,
    /// Cosine to the nearest sample.
    pub similarity: f32,
    /// Whether it is somebody without a name.
    pub stranger: bool,
}

/// A small picture of a face, for comparing it with the next.
pub type Patch = Vec<f32>;

/// One face of a picture, before it is compared with anybody.
#[derive(Debug, Clone)]
pub struct Face {
    /// The track it belongs to.
    pub track: u64,
    /// See [`crate::quality::Quality::score`].
    pub score: f64,
    /// Whether it passed the gates.
    pub passes: bool,
    /// See [`patch`].
    pub patch: Patch,
}

/// What to do with a face.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    /// Have the model look at it; `urgent` when nothing may be said of it before.
    Embed {
        /// Whether it may be somebody else than before.
        urgent: bool,
    },
    /// It is this one, as before.
    Known(Whose),
    /// Nothing can be said of it.
    Nothing,
}

#[derive(Debug)]
struct Track {
    id: u64,
    /// The best faces, the best first.
    samples: Vec<(f64, Embedding)>,
    whose: Option<Whose>,
    patch: Patch,
    seen_ns: u64,
    embedded_ns: Option<u64>,
    /// How often the model looked at the person of the track.
    looks: u32,
}

/// All tracks of a stream.
#[derive(Debug, Default)]
pub struct Tracks {
    all: Vec<Track>,
}

/// The small picture of an aligned face's brightness, of mean 0 and length 1.
pub fn patch(luma: &[f32], side: usize) -> Patch {
    // The middle of the face; the corners show the background.
    let from = side / 8;
    let cell = (side - 2 * from) / PATCH;
    let mut small: Patch = Vec::with_capacity(PATCH * PATCH);
    for row in 0..PATCH {
        for column in 0..PATCH {
            let mut sum = 0.0;
            for y in 0..cell {
                let start = (from + row * cell + y) * side + from + column * cell;
                sum += luma
                    .get(start..start + cell)
                    .map_or(0.0, |s| s.iter().sum());
            }
            small.push(sum);
        }
    }
    let mean = small.iter().sum::<f32>() / small.len() as f32;
    small.iter_mut().for_each(|v| *v -= mean);
    normalised(&small).unwrap_or(small)
}

impl Tracks {
    /// What to do with a face at `now_ns` of media time.
    pub fn plan(&mut self, face: &Face, now_ns: u64) -> Plan {
        let Some(track) = self.all.iter_mut().find(|t| t.id == face.track) else {
            if self.all.len() >= MOST {
                let oldest = (0..self.all.len()).min_by_key(|i| self.all[*i].seen_ns);
                oldest.map(|i| self.all.remove(i));
            }
            self.all.push(Track {
                id: face.track,
                samples: Vec::new(),
                whose: None,
                patch: face.patch.clone(),
                seen_ns: now_ns,
                embedded_ns: None,
                looks: 0,
            });
            return match face.passes {
                true => Plan::Embed { urgent: false },
                false => Plan::Nothing,
            };
        };
        let alike = dot(&track.patch, &face.patch) >= SAME_FACE;
        track.seen_ns = track.seen_ns.max(now_ns);
        let since = track.embedded_ns.map(|then| now_ns.saturating_sub(then));
        if !alike {
            // The small picture stays that of the last sure face: until the model has looked, nothing is said.
            return match face.passes {
                true => Plan::Embed { urgent: true },
                false => Plan::Nothing,
            };
        }
        track.patch.clone_from(&face.patch);
        let best = track.samples.first().map_or(0.0, |(score, _)| *score);
        let due = match since {
            None => true,
            Some(ns) if ns < REST_NS => false,
            Some(_) if face.score > best * BETTER => true,
            Some(ns) if track.whose.is_some() => ns >= CHECK_NS,
            Some(ns) => {
                let doubled = AGAIN_NS << track.looks.saturating_sub(1).min(10);
                ns >= doubled.min(LONGEST_NS)
            }
        };
        match &track.whose {
            _ if due && face.passes => Plan::Embed { urgent: false },
            Some(whose) => Plan::Known(whose.clone()),
            None => Plan::Nothing,
        }
    }

    /// Who a face is as far as its track tells, where the model did not come to look.
    pub fn as_before(&self, track: u64) -> Option<Whose> {
        let track = self.all.iter().find(|t| t.id == track)?;
        track.whose.clone()
    }

    /// Takes in what the model says of a face, `urgent` as it was planned; the vector by which the track is to be
    /// judged, and how many good faces it rests on.
    pub fn embedded(
        &mut self,
        face: &Face,
        vector: Embedding,
        urgent: bool,
        now_ns: u64,
    ) -> (Embedding, usize) {
        let Some(track) = self.all.iter_mut().find(|t| t.id == face.track) else {
            return (vector, 1);
        };
        let nearest = track
            .samples
            .iter()
            .map(|(_, sample)| dot(sample, &vector))
            .reduce(f32::max);
        let least = match urgent {
            true => STILL_SAME_PERSON,
            false => SAME_PERSON,
        };
        if nearest.is_some_and(|nearest| nearest < least) {
            track.samples.clear();
            track.whose = None;
            track.looks = 0;
        }
        track.looks = track.looks.saturating_add(1);
        track.patch.clone_from(&face.patch);
        track.embedded_ns = Some(now_ns);
        let at = track
            .samples
            .partition_point(|(score, _)| *score >= face.score);
        track.samples.insert(at, (face.score, vector.clone()));
        track.samples.truncate(SAMPLES);
        let mut sum = vec![0.0; vector.len()];
        for (score, sample) in &track.samples {
            for (sum, value) in sum.iter_mut().zip(sample) {
                *sum += value * (*score as f32).max(1e-3);
            }
        }
        (normalised(&sum).unwrap_or(vector), track.samples.len())
    }

    /// Keeps who a track is. Being unsure does not take back a name that was sure.
    pub fn decided(
        &mut self,
        track: u64,
        verdict: &Verdict,
        stranger: Option<Whose>,
    ) -> Option<Whose> {
        let track = self.all.iter_mut().find(|t| t.id == track)?;
        match verdict {
            Verdict::Match { person, similarity } => {
                track.whose = Some(Whose {
                    id: person.clone(),
                    similarity: *similarity,
                    stranger: false,
                });
            }
            Verdict::Unsure => {}
            Verdict::Nobody => track.whose = stranger,
        }
        track.whose.clone()
    }

    /// Forgets what a name was given to, when somebody is gone from the gallery.
    pub fn forget(&mut self, gone: impl Fn(&Whose) -> bool) {
        for track in &mut self.all {
            if track.whose.as_ref().is_some_and(&gone) {
                track.whose = None;
                track.embedded_ns = None;
            }
        }
    }

    /// Forgets tracks that are long gone.
    pub fn sweep(&mut self, now_ns: u64) {
        self.all
            .retain(|t| now_ns.saturating_sub(t.seen_ns) <= FORGET_NS);
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        self.all.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn face(score: f64, looks: usize) -> Face {
        let mut patch = vec![0.0; PATCH * PATCH];
        patch[looks] = 1.0;
        Face {
            track: 7,
            score,
            passes: true,
            patch,
        }
    }

    fn matched(person: &str) -> Verdict {
        Verdict::Match {
            person: person.to_owned(),
            similarity: 0.7,
        }
    }

    const EMBED: Plan = Plan::Embed { urgent: false };

    /// A track of one person who was recognised at once.
    fn named() -> Tracks {
        let mut tracks = Tracks::default();
        assert_eq!(tracks.plan(&face(0.5, 0), 0), EMBED);
        tracks.embedded(&face(0.5, 0), vec![1.0, 0.0], false, 0);
        tracks.decided(7, &matched("ann"), None);
        tracks
    }

    #[test]
    fn a_track_is_looked_at_when_it_pays() {
        let mut tracks = named();
        let known = |plan: Plan| matches!(plan, Plan::Known(w) if w.id == "ann" && !w.stranger);
        assert!(known(tracks.plan(&face(0.5, 0), 40 * MS)));
        // Better, but too soon; better, and not too soon; worse.
        assert!(known(tracks.plan(&face(0.9, 0), 80 * MS)));
        assert_eq!(tracks.plan(&face(0.9, 0), 200 * MS), EMBED);
        assert!(known(tracks.plan(&face(0.55, 0), 200 * MS)));
        // A check after a while, only with a face that passes.
        assert_eq!(tracks.plan(&face(0.5, 0), 3000 * MS), EMBED);
        let poor = Face {
            passes: false,
            ..face(0.1, 0)
        };
        assert!(known(tracks.plan(&poor, 3000 * MS)));
        // Nobody's is looked at again soon, and then more and more seldom.
        let mut tracks = Tracks::default();
        tracks.plan(&face(0.5, 0), 0);
        let mut looked = vec![0];
        tracks.embedded(&face(0.5, 0), vec![1.0, 0.0], false, 0);
        for ms in 1..12_000 {
            if tracks.plan(&face(0.5, 0), ms * MS) == EMBED {
                looked.push(ms);
                tracks.embedded(&face(0.5, 0), vec![1.0, 0.0], false, ms * MS);
            }
        }
        assert_eq!(looked, [0, 250, 750, 1750, 3750, 7750, 11_750]);
    }

    #[test]
    fn a_face_that_looks_otherwise_has_no_name_until_the_model_looked() {
        let mut tracks = named();
        let poor = Face {
            passes: false,
            ..face(0.1, 5)
        };
        assert_eq!(tracks.plan(&poor, 40 * MS), Plan::Nothing);
        assert_eq!(
            tracks.plan(&face(0.4, 5), 80 * MS),
            Plan::Embed { urgent: true }
        );
        // Another person: the samples of the first one count no more.
        let (vector, count) = tracks.embedded(&face(0.4, 5), vec![0.0, 1.0], true, 80 * MS);
        assert_eq!((vector, count), (vec![0.0, 1.0], 1));
        assert_eq!(tracks.as_before(7), None);
        assert_eq!(tracks.decided(7, &Verdict::Unsure, None), None);
        // The same person again, only turned.
        let mut tracks = named();
        tracks.plan(&face(0.4, 5), 80 * MS);
        let turned = normalised(&[0.6, 0.8]).unwrap();
        let (vector, count) = tracks.embedded(&face(0.4, 5), turned, true, 80 * MS);
        assert!(
            count == 2 && vector[0] > 0.8 && vector[1] > 0.3,
            "{vector:?}"
        );
        assert_eq!(tracks.decided(7, &Verdict::Unsure, None).unwrap().id, "ann");
    }

    #[test]
    fn the_best_faces_decide() {
        let mut tracks = Tracks::default();
        tracks.plan(&face(0.1, 0), 0);
        for (i, score) in [0.1, 0.9, 0.2, 0.8, 0.7, 0.6].into_iter().enumerate() {
            let vector = if score > 0.5 {
                vec![1.0, 0.0]
            } else {
                vec![0.6, 0.8]
            };
            let (mean, count) = tracks.embedded(&face(score, 0), vector, false, i as u64);
            assert_eq!(count, (i + 1).min(SAMPLES));
            if i == 5 {
                assert!(mean[0] > 0.999, "{mean:?}");
            }
        }
    }

    #[test]
    fn tracks_are_bounded_and_forgotten() {
        let mut tracks = named();
        for track in 100..100 + 2 * MOST as u64 {
            tracks.plan(
                &Face {
                    track,
                    ..face(0.5, 0)
                },
                track * MS,
            );
        }
        assert_eq!(tracks.all.len(), MOST);
        assert_eq!(tracks.as_before(7), None);
        tracks.sweep(FORGET_NS + 1000 * MS);
        assert!(tracks.all.is_empty());
        let mut tracks = named();
        tracks.forget(|whose| whose.id == "ann");
        assert_eq!(tracks.plan(&face(0.5, 0), 40 * MS), EMBED);
    }

    #[test]
    fn patches_tell_faces_apart_and_not_their_brightness() {
        let picture = |gain: f32, phase: usize| -> Vec<f32> {
            (0..112 * 112)
                .map(|i| {
                    let (x, y) = (i % 112 + phase, i / 112);
                    30.0 + gain * (((x / 16).pow(3) * 37 + (y / 16).pow(2) * 91) % 97) as f32
                })
                .collect()
        };
        let base = patch(&picture(1.0, 0), 112);
        assert!(dot(&base, &patch(&picture(0.5, 0), 112)) > 0.999);
        assert!(dot(&base, &patch(&picture(1.0, 2), 112)) > 0.7);
        assert!(dot(&base, &patch(&picture(1.0, 48), 112)) < 0.5);
    }
}
