//! What the element owes a gate upstream: a word on every key frame that comes alone, and when the scene is quiet.
//!
//! Key frames that come alone are judged by their own model. Those without motion also keep the full-rate background
//! warm; one with motion is held back, because the gate sends it again in its place among all the others.

use nvr_contract::gate::{GateState, SceneChange};

use super::detector::Config;
use super::grid::Luma;
use super::keyframe::KeyModel;

/// Nanoseconds between the pictures by which the model of key frames follows a scene that is decoded whole.
const LESSON: u64 = 400_000_000;

/// What is to be done with a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// It is one of many: look at it.
    Look,
    /// It comes alone, and nothing moves: let the background follow it, and say nothing moves.
    Follow,
    /// It must not go on: it comes again.
    Hold,
}

/// The element's side of the talk with a gate; without one it does nothing.
#[derive(Debug, Default)]
pub struct Watch {
    gate: Option<GateState>,
    model: Option<KeyModel>,
    /// A picture was held back, and what was announced with it has not come yet.
    holding: bool,
    /// What the gate was told last of a scene that is decoded whole.
    told_busy: bool,
    lesson_ns: Option<u64>,
    news: Vec<SceneChange>,
}

impl Watch {
    /// Whether a gate listens that has to be told by this and not by each change of motion.
    pub fn is_on(&self) -> bool {
        self.gate.is_some_and(|gate| gate.replays)
    }

    /// What the gate says comes from here on.
    pub fn hear(&mut self, state: GateState) {
        self.gate = Some(state);
        self.holding = false;
        self.told_busy = false;
        self.lesson_ns = None;
    }

    /// The background is to be learned anew.
    pub fn reset(&mut self) {
        self.model = None;
    }

    /// The next picture is the first after a jump.
    pub fn interrupt(&mut self) {
        self.holding = false;
        self.lesson_ns = None;
    }

    /// Masks or zones are others.
    pub fn redraw(&mut self, config: &Config) {
        if let Some(model) = &mut self.model {
            model.redraw(config);
        }
    }

    /// What is to be told to the gate.
    pub fn take_news(&mut self) -> Vec<SceneChange> {
        std::mem::take(&mut self.news)
    }

    /// What is to be done with a picture.
    pub fn plan(&mut self, luma: Luma<'_>, pts_ns: u64, config: &Config) -> Plan {
        if !self.gate.is_some_and(|gate| gate.replays && gate.keys_only) {
            return Plan::Look;
        }
        if self.holding {
            return Plan::Hold;
        }
        let known = self.model.as_mut().filter(|model| model.fits(luma));
        let moving = known.is_none_or(|model| model.look(luma, config.sensitivity));
        self.tell(moving, pts_ns);
        self.holding = moving;
        match moving {
            true => Plan::Hold,
            false => Plan::Follow,
        }
    }

    /// A picture among many was looked at: whether anything moves, or moved in the time that motion is held, and
    /// whether the background is still learned.
    pub fn looked(
        &mut self,
        luma: Luma<'_>,
        pts_ns: u64,
        (moving, learning): (bool, bool),
        config: &Config,
    ) {
        if !self.is_on() || self.gate.is_some_and(|gate| gate.keys_only) {
            return;
        }
        let due = self
            .lesson_ns
            .is_none_or(|last| pts_ns.abs_diff(last) >= LESSON);
        if !moving && due {
            self.lesson_ns = Some(pts_ns);
            match &mut self.model {
                Some(model) if model.fits(luma) => model.learn(luma),
                model => *model = Some(KeyModel::new(luma, config)),
            }
        }
        let ready = self
            .model
            .as_ref()
            .is_some_and(|m| m.fits(luma) && m.is_ready());
        let busy = moving || learning || !ready;
        // What nobody was told yet counts as told: the gate is open, and opens when it does not know.
        if busy != self.told_busy {
            self.told_busy = busy;
            self.tell(busy, pts_ns);
        }
    }

    fn tell(&mut self, moving: bool, pts_ns: u64) {
        self.news.push(SceneChange { moving, pts_ns });
    }
}
