//! Which detector family a model belongs to, told by the names and shapes of its inputs and outputs alone.

use serde::Deserialize;

/// The strides of the three pyramid levels that all known families share, in input pixels.
pub const STRIDES: [usize; 3] = [8, 16, 32];

/// An input or output of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlet {
    /// Its name.
    pub name: String,
    /// Its dimensions, -1 where the model leaves one open; empty when it is not a tensor.
    pub shape: Vec<i64>,
    /// Whether it holds 32-bit floats.
    pub is_f32: bool,
}

/// The inputs and outputs of a model, in the model's order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelIo {
    /// What it takes.
    pub inputs: Vec<Outlet>,
    /// What it gives.
    pub outputs: Vec<Outlet>,
}

/// How the outputs of a model are turned into boxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// One output `[1, N, 5 + C]`: offsets to a grid cell, objectness, class scores.
    Yolox,
    /// Twelve outputs `cls_8` to `kps_32`: faces with five landmarks.
    Yunet,
    /// One output `[1, 4 + C, N]`: boxes in input pixels and class scores.
    Yolov8,
}

/// How many cells the three grids over an input of `width` by `height` pixels have together.
pub fn cells(width: usize, height: usize) -> usize {
    STRIDES.iter().fold(0, |sum, s| {
        (width / s).saturating_mul(height / s).saturating_add(sum)
    })
}

impl Family {
    /// The family of a model whose input is `width` by `height` pixels, `None` when it looks like none.
    pub fn recognise(io: &ModelIo, width: usize, height: usize) -> Option<Self> {
        if super::decode::yunet::NAMES
            .iter()
            .all(|name| io.outputs.iter().any(|o| o.name == *name))
        {
            return Some(Self::Yunet);
        }
        let [output] = io.outputs.as_slice() else {
            return None;
        };
        let n = i64::try_from(cells(width, height))
            .ok()
            .filter(|n| *n > 0)?;
        match *output.shape.as_slice() {
            [1 | -1, rows, columns] if rows == n && columns > 5 => Some(Self::Yolox),
            [1 | -1, rows, columns] if columns == n && rows > 4 => Some(Self::Yolov8),
            _ => None,
        }
    }

    /// How many classes the outputs tell apart, `None` when their shapes leave it open.
    pub fn classes(self, io: &ModelIo) -> Option<usize> {
        let dimension = |i: usize| {
            let size = *io.outputs.first()?.shape.get(i)?;
            usize::try_from(size).ok()
        };
        match self {
            Self::Yolox => dimension(2)?.checked_sub(5),
            Self::Yunet => Some(1),
            Self::Yolov8 => dimension(1)?.checked_sub(4),
        }
    }
}

impl ModelIo {
    /// The shapes in one line, for error messages: what a person needs to write the facts by hand.
    pub fn summary(&self) -> String {
        let list = |outlets: &[Outlet]| {
            let all: Vec<String> = outlets
                .iter()
                .take(16)
                .map(|o| format!("{} {:?}", o.name, o.shape))
                .collect();
            all.join(", ")
        };
        format!(
            "inputs: {}; outputs: {}",
            list(&self.inputs),
            list(&self.outputs)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io(outputs: &[(&str, &[i64])]) -> ModelIo {
        ModelIo {
            inputs: vec![],
            outputs: outputs
                .iter()
                .map(|(name, shape)| Outlet {
                    name: (*name).to_owned(),
                    shape: shape.to_vec(),
                    is_f32: true,
                })
                .collect(),
        }
    }

    #[track_caller]
    fn check(outputs: &[(&str, &[i64])], expect: Option<(Family, Option<usize>)>) {
        let io = io(outputs);
        let found = Family::recognise(&io, 416, 416).map(|f| (f, f.classes(&io)));
        assert_eq!(found, expect, "{outputs:?}");
    }

    #[test]
    fn families_are_told_by_their_shapes() {
        check(
            &[("output", &[1, 3549, 85])],
            Some((Family::Yolox, Some(80))),
        );
        check(&[("o", &[-1, 3549, 6])], Some((Family::Yolox, Some(1))));
        check(
            &[("output0", &[1, 84, 3549])],
            Some((Family::Yolov8, Some(80))),
        );
        let yunet: Vec<(&str, &[i64])> = crate::decode::yunet::NAMES
            .iter()
            .rev()
            .map(|n| (*n, [1, -1, -1].as_slice()))
            .collect();
        check(&yunet, Some((Family::Yunet, Some(1))));
        // Three anchors a cell: an older family that this element does not speak.
        check(&[("output", &[1, 10647, 85])], None);
        check(&[("output", &[1, 3549, 5])], None);
        check(&[("embedding", &[-1, 128])], None);
        check(&[("a", &[1, 3549, 85]), ("b", &[1])], None);
        check(&[], None);
    }
}
