//! The family of a model, by the names and shapes of its inputs and outputs and by its notes.

use super::{Family, STRIDES, STRIDES4, cells, cells_up};
use crate::decode::{distance, lists, yunet};
use crate::io::{ModelIo, Outlet};

/// The most boxes that models hand out which suppress by themselves; fewer than any grid has cells.
const MOST_QUERIES: usize = 1000;

impl Family {
    /// The family of a model whose input is `width` by `height` pixels, `None` when it looks like none.
    pub fn recognise(io: &ModelIo, width: usize, height: usize) -> Option<Self> {
        by_names(io)
            .or_else(|| by_levels(io, width, height))
            .or_else(|| by_rows(io, width, height))
    }
}

fn by_names(io: &ModelIo) -> Option<Family> {
    let has = |names: &[&str]| names.iter().all(|name| io.output(name).is_some());
    if has(&yunet::NAMES) {
        return Some(Family::Yunet);
    }
    if has(&["logits", "pred_boxes"]) {
        return Some(Family::Detr);
    }
    if has(&["det_boxes", "det_scores", "det_classes"]) {
        return Some(Family::EfficientNms);
    }
    if io.input("orig_target_sizes").is_some() && has(&["labels", "boxes", "scores"]) {
        return Some(Family::Rtdetr);
    }
    if io.input("scale_factor").is_some() && io.outputs.iter().any(|o| ends(o, 6)) {
        return Some(Family::PicodetNms);
    }
    if lists::SSD_NAMES
        .iter()
        .any(|names| names.iter().all(|n| lists::named(&io.outputs, n).is_some()))
    {
        return Some(Family::Ssd);
    }
    let two = |name: &str, last: usize| {
        io.output(name)
            .is_some_and(|o| o.shape.len() == 3 && ends(o, last))
    };
    (io.outputs.len() == 2 && two("scores", 2) && two("boxes", 4)).then_some(Family::Ultraface)
}

/// Whether the last dimension is this one.
fn ends(outlet: &Outlet, size: usize) -> bool {
    let last = outlet.shape.len().checked_sub(1);
    last.and_then(|at| outlet.dimension(at)) == Some(size)
}

/// Families with several outputs of the same kind, one a level.
fn by_levels(io: &ModelIo, width: usize, height: usize) -> Option<Family> {
    let count = |last: usize| io.outputs.iter().filter(|o| ends(o, last)).count();
    let levels = STRIDES.len();
    let all = io.outputs.len();
    if count(1) == levels && count(4) == levels && matches!(all - 2 * levels, 0 | 3) {
        let points = if all == 3 * levels { levels } else { 0 };
        return (count(10) == points).then_some(Family::Scrfd);
    }
    let boxes = 4 * distance::BINS;
    for strides in [&STRIDES4[..], &STRIDES] {
        let fits = |o: &Outlet| {
            o.shape.len() == 3
                && o.dimension(1)
                    .is_none_or(|n| strides.iter().any(|s| n == cells_up(width, height, &[*s])))
        };
        if all == 2 * strides.len() && count(boxes) >= strides.len() && io.outputs.iter().all(fits)
        {
            return Some(Family::Picodet);
        }
    }
    None
}

/// Families with one output of a row or a column a box; further outputs are those of older exports, for training.
fn by_rows(io: &ModelIo, width: usize, height: usize) -> Option<Family> {
    let output = io.outputs.first()?;
    let size = |at: usize| output.dimension(at);
    let one_level = |n: usize| n > 0 && n == cells(width, height, &STRIDES);
    match output.shape.len() {
        3 => {
            let (rows, columns) = (size(1), size(2));
            if let (Some(rows), Some(columns)) = (rows, columns) {
                return by_matrix(rows, columns, width, height, one_level);
            }
            // Open shapes: the notes of the maker count the classes.
            let classes = io.note("names").and_then(crate::io::class_names)?.len();
            match (rows, columns) {
                (Some(rows), None) if rows == 4 + classes => Some(Family::Yolov8),
                (None, Some(columns)) if columns == 5 + classes => Some(Family::Yolov5),
                (None, Some(6)) => Some(Family::Yolov10),
                _ => None,
            }
        }
        2 if size(1) == Some(7) => Some(Family::Yolov7Nms),
        2 if io.note("task") == Some("classify") => Some(Family::Classification),
        _ => None,
    }
}

fn by_matrix(
    rows: usize,
    columns: usize,
    width: usize,
    height: usize,
    one_level: impl Fn(usize) -> bool,
) -> Option<Family> {
    let boxes = 4 * distance::BINS;
    let three = |strides: &[usize]| 3 * cells(width, height, strides);
    let is = |n: usize| n > 0 && rows == n;
    if is(cells_up(width, height, &STRIDES4)) && columns > boxes {
        // A YOLOX has no fourth level.
        return Some(Family::Nanodet);
    }
    // The usual 80 classes and their distributions; a YOLOX of 107 classes is the rarer thing.
    if is(cells_up(width, height, &STRIDES)) && columns == 80 + boxes {
        return Some(Family::Nanodet);
    }
    if one_level(rows) && columns > 5 {
        return Some(Family::Yolox);
    }
    if (is(three(&STRIDES)) || is(three(&STRIDES4))) && columns > 5 {
        return Some(Family::Yolov5);
    }
    let columns_are_cells =
        one_level(columns) || columns > 0 && columns == cells(width, height, &STRIDES4);
    if columns_are_cells && rows > 4 {
        return Some(Family::Yolov8);
    }
    match columns {
        6 if (1..=MOST_QUERIES).contains(&rows) => Some(Family::Yolov10),
        7.. if (1..=MOST_QUERIES).contains(&rows) => Some(Family::RtdetrRows),
        _ => None,
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
