//! From a picture to a face of somebody: exactly one, good enough, or a clear word why not.

use crate::align::Colours;
use crate::embedder::EmbedError;
use crate::file::GalleryError;
use crate::known::Known;
use crate::quality::{Gate, Refused};
use crate::recogniser::{Embed, Found, portrait};

/// Why a picture is not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No face.
    #[error("there is no face on it")]
    NoFace,
    /// More than one.
    #[error("there are {0} faces on it: use one with exactly one")]
    Several(usize),
    /// The landmarks are no face.
    #[error("the face has no usable landmarks")]
    NoLandmarks,
    /// Too small, too blurred, or turned away.
    #[error(transparent)]
    Poor(#[from] Refused),
    /// The model failed.
    #[error(transparent)]
    Model(#[from] EmbedError),
    /// The gallery takes nothing.
    #[error(transparent)]
    Gallery(#[from] GalleryError),
}

/// Adds the only face of a picture to a person of the gallery's file.
///
/// # Errors
/// Why not.
pub fn one(
    known: &Known,
    embed: &dyn Embed,
    gate: &Gate,
    person: &str,
    picture: &dyn Colours,
    found: &[Found],
) -> Result<(), Refusal> {
    let face = match found {
        [] => return Err(Refusal::NoFace),
        [face] => face,
        several => return Err(Refusal::Several(several.len())),
    };
    let portrait = portrait(picture, &face.landmarks).ok_or(Refusal::NoLandmarks)?;
    portrait.quality.pass(gate)?;
    let vector = embed.embed(&portrait.chip)?;
    known.enrol(person, &vector)?;
    Ok(())
}

/// How enrolling went so far.
#[derive(Debug, Default)]
pub struct Enrolment {
    enrolled: u64,
    last: Option<String>,
}

impl Enrolment {
    /// Takes in what came of a picture; the reason why not, when it is another one than that of the last picture.
    pub fn note(&mut self, tried: Result<(), Refusal>) -> Option<String> {
        match tried {
            Ok(()) => {
                self.enrolled += 1;
                self.last = None;
                None
            }
            Err(refusal) => {
                let why = refusal.to_string();
                let news = self.last.as_ref() != Some(&why);
                self.last = Some(why.clone());
                news.then_some(why)
            }
        }
    }

    /// Why nobody was enrolled, `None` where somebody was.
    pub fn nobody(&self) -> Option<String> {
        let why = || {
            self.last
                .clone()
                .unwrap_or_else(|| "no picture came".to_owned())
        };
        (self.enrolled == 0).then(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_reason_is_told_once() {
        let mut enrolment = Enrolment::default();
        assert_eq!(enrolment.nobody().as_deref(), Some("no picture came"));
        assert!(enrolment.note(Err(Refusal::NoFace)).is_some());
        assert!(enrolment.note(Err(Refusal::NoFace)).is_none());
        let several = enrolment.note(Err(Refusal::Several(3))).unwrap();
        assert!(several.contains("3 faces"), "{several}");
        assert_eq!(enrolment.nobody(), Some(several));
        assert!(enrolment.note(Ok(())).is_none());
        assert_eq!(enrolment.nobody(), None);
    }
}
