//! The tensor that a model takes, in the type and layout that it wants, reused from picture to picture.

use super::geometry::Geometry;
use crate::facts::{Channels, InputSpec, Layout};
use crate::half;
use crate::io::Element;

/// The values of a tensor, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// 32-bit floats.
    F32(Vec<f32>),
    /// 16-bit floats, as their bits.
    F16(Vec<u16>),
    /// Bytes.
    U8(Vec<u8>),
}

impl Values {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(v) => v.len(),
            Self::F16(v) => v.len(),
            Self::U8(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As many zeros, of the type that an input takes.
    pub fn zeros(element: Element, count: usize) -> Self {
        match element {
            Element::F16 => Self::F16(vec![0; count]),
            Element::U8 => Self::U8(vec![0; count]),
            _ => Self::F32(vec![0.0; count]),
        }
    }

    /// Adds others behind; false, and nothing is added, when they are of another type.
    pub(crate) fn append(&mut self, others: &Self) -> bool {
        match (self, others) {
            (Self::F32(a), Self::F32(b)) => a.extend_from_slice(b),
            (Self::F16(a), Self::F16(b)) => a.extend_from_slice(b),
            (Self::U8(a), Self::U8(b)) => a.extend_from_slice(b),
            _ => return false,
        }
        true
    }

    fn set(&mut self, at: usize, value: f32) {
        match self {
            Self::F32(v) => v[at] = value,
            Self::F16(v) => v[at] = half::from_f32(value),
            // `as` saturates, which is the clipping that is wanted here.
            Self::U8(v) => v[at] = value.round() as u8,
        }
    }
}

/// The tensor of one picture, `[1, channels, height, width]` or `[1, height, width, channels]`.
#[derive(Debug)]
pub struct InputTensor {
    /// The values.
    pub values: Values,
    /// For which geometry the surround is filled already.
    padded: Option<Geometry>,
}

impl Default for InputTensor {
    fn default() -> Self {
        Self {
            values: Values::F32(Vec::new()),
            padded: None,
        }
    }
}

impl From<Values> for InputTensor {
    /// A tensor that was filled elsewhere.
    fn from(values: Values) -> Self {
        Self {
            values,
            padded: None,
        }
    }
}

impl InputTensor {
    /// The values, where they are 32-bit floats; empty otherwise.
    pub fn floats(&self) -> &[f32] {
        match &self.values {
            Values::F32(v) => v,
            Values::F16(_) | Values::U8(_) => &[],
        }
    }

    /// Makes it fit `spec` and fills what lies around the picture, unless that was done.
    pub(super) fn surround(&mut self, spec: &InputSpec, geometry: Geometry) {
        let count = spec.channels.count() * spec.width * spec.height;
        let right_type = match self.values {
            Values::F16(_) => spec.element == Element::F16,
            Values::U8(_) => spec.element == Element::U8,
            Values::F32(_) => !matches!(spec.element, Element::F16 | Element::U8),
        };
        let fits = right_type && self.values.len() == count;
        if fits && self.padded.is_some_and(|p| p.same_place(&geometry)) {
            return;
        }
        if !fits {
            self.values = Values::zeros(spec.element, count);
        }
        for at in 0..spec.width * spec.height {
            for channel in 0..spec.channels.count() {
                let (factor, addend) = spec.normal(channel);
                let place = spec.place(channel, at);
                self.values.set(place, spec.pad * factor + addend);
            }
        }
        self.padded = Some(geometry);
    }

    /// The three planes, where that is how the tensor is made.
    pub(super) fn planes(&mut self, spec: &InputSpec) -> Option<[&mut [f32]; 3]> {
        if spec.layout != Layout::Nchw || spec.channels == Channels::Gray {
            return None;
        }
        let Values::F32(values) = &mut self.values else {
            return None;
        };
        let mut planes = values.chunks_exact_mut(spec.width * spec.height);
        Some([planes.next()?, planes.next()?, planes.next()?])
    }

    /// Puts rows of values into it, from pixel `start` on.
    pub(super) fn store(&mut self, spec: &InputSpec, start: usize, rows: [&[f32]; 3]) {
        for (channel, row) in rows.iter().take(spec.channels.count()).enumerate() {
            for (i, value) in row.iter().enumerate() {
                self.values.set(spec.place(channel, start + i), *value);
            }
        }
    }
}
