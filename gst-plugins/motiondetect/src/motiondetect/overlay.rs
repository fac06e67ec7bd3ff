//! What the detector sees, drawn into the picture: for a person who wants to know why.
//!
//! Foreground cells are dotted, cells that keep their background because of motion near them are dotted darkly, zones
//! and masks are outlined, regions are framed, and the background lies small in the lower right corner.

use nvr_contract::BBox;
use nvr_contract::polygon::Polygon;

use super::detector::View;

/// White and black of the range that cameras send.
const LIGHT: u8 = 235;
const DARK: u8 = 16;
/// Grey of the outlines of masks.
const MASK: u8 = 90;

/// A luma plane to draw into.
#[derive(Debug)]
pub struct Paper<'a> {
    /// The bytes of the plane.
    pub data: &'a mut [u8],
    /// Bytes from one row to the next.
    pub stride: usize,
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
}

impl Paper<'_> {
    /// Sets a pixel; what lies outside is left out.
    fn dot(&mut self, x: usize, y: usize, grey: u8) {
        if x < self.width
            && y < self.height
            && let Some(pixel) = self.data.get_mut(y * self.stride + x)
        {
            *pixel = grey;
        }
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), grey: u8) {
        let place = |(x, y): (f64, f64)| {
            let end = |size: usize| (size - 1) as f64;
            (x * end(self.width), y * end(self.height))
        };
        let (from, to) = (place(from), place(to));
        let steps = (to.0 - from.0)
            .abs()
            .max((to.1 - from.1).abs())
            .ceil()
            .max(1.0);
        for step in 0..=steps as usize {
            let share = step as f64 / steps;
            let at = |a: f64, b: f64| (a + share * (b - a)).round() as usize;
            self.dot(at(from.0, to.0), at(from.1, to.1), grey);
        }
    }

    fn outline(&mut self, polygon: &Polygon, grey: u8) {
        let corners = polygon.corners();
        let next = corners.iter().cycle().skip(1);
        for (&from, &to) in corners.iter().zip(next) {
            self.line(from, to, grey);
        }
    }

    fn frame(&mut self, bbox: BBox) {
        for (inset, grey) in [(0, LIGHT), (1, DARK)] {
            let by = |size: usize| f64::from(inset) / size as f64;
            let (dx, dy) = (by(self.width), by(self.height));
            let (x0, y0) = (bbox.x + dx, bbox.y + dy);
            let (x1, y1) = (bbox.x + bbox.w - dx, bbox.y + bbox.h - dy);
            for (from, to) in [
                ((x0, y0), (x1, y0)),
                ((x1, y0), (x1, y1)),
                ((x1, y1), (x0, y1)),
                ((x0, y1), (x0, y0)),
            ] {
                self.line(from, to, grey);
            }
        }
    }
}

/// Draws what the detector saw in the picture, and the boxes of what moves.
pub fn draw(paper: &mut Paper<'_>, view: &View<'_>, boxes: impl Iterator<Item = BBox>) {
    let grid = view.grid;
    for k in 0..grid.len() {
        let (col, row) = grid.position(k);
        let (x, y) = (col * grid.cell, row * grid.cell);
        let grey = match (view.weak[k], view.frozen[k]) {
            (0, 0) => continue,
            (0, _) => DARK,
            _ => LIGHT,
        };
        paper.dot(x + grid.cell / 2, y + grid.cell / 2, grey);
    }
    for mask in view.masks {
        paper.outline(mask, MASK);
    }
    for zone in view.zones {
        paper.outline(&zone.polygon, LIGHT);
    }
    boxes.for_each(|bbox| paper.frame(bbox));
    // A pixel a cell, or less where that would hide more than a quarter of each side.
    let every = (4 * grid.cols)
        .div_ceil(paper.width)
        .max((4 * grid.rows).div_ceil(paper.height));
    let (cols, rows) = (grid.cols / every, grid.rows / every);
    let (left, top) = (paper.width - cols, paper.height - rows);
    for row in 0..rows {
        for col in 0..cols {
            let grey = view.base[row * every * grid.cols + col * every];
            paper.dot(left + col, top + row, grey.clamp(0.0, 255.0) as u8);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::motiondetect::grid::Grid;
    use nvr_contract::polygon::{parse_masks, parse_zones};

    #[test]
    fn everything_shows_and_nothing_lies_outside() {
        let grid = Grid {
            cell: 4,
            cols: 16,
            rows: 12,
        };
        let (mut weak, mut frozen) = (vec![0; 192], vec![0; 192]);
        (weak[3 * 16 + 2], frozen[3 * 16 + 3]) = (1, 1);
        let masks = parse_masks("0.5,0 1,0 1,0.2").unwrap();
        let zones = parse_zones("a=0,0 0.2,0 0.2,1 0,1").unwrap();
        let view = View {
            grid,
            weak: &weak,
            frozen: &frozen,
            base: &[200.0; 192],
            masks: &masks,
            zones: &zones,
        };
        // Rows are longer than the picture, and the last one is not.
        let (width, height, stride) = (64, 48, 70);
        let mut data = vec![100; stride * (height - 1) + width];
        let mut paper = Paper {
            data: &mut data,
            stride,
            width,
            height,
        };
        let boxes = [
            BBox::clamped(0.3, 0.3, 0.2, 0.2),
            BBox::clamped(0.9, 0.0, 0.1, 1.0),
        ];
        draw(&mut paper, &view, boxes.into_iter());
        let at = |x: usize, y: usize| data[y * stride + x];
        assert_eq!((at(10, 14), at(14, 14)), (LIGHT, DARK), "cells");
        assert_eq!(at(0, 20), LIGHT, "zone");
        assert_eq!(at(40, 0), MASK, "mask");
        assert_eq!(at(25, 14), LIGHT, "box");
        assert_eq!(at(63, 47), 200, "background");
        assert_eq!(at(40, 30), 100, "nothing");
        let padding =
            (0..height - 1).flat_map(|y| data[y * stride + width..(y + 1) * stride].iter());
        assert!(padding.into_iter().all(|&p| p == 100), "padding");
    }

    #[test]
    fn the_smallest_picture_is_drawn_into() {
        let grid = Grid::for_picture(16, 16);
        let cells = vec![1; grid.padded_len()];
        let view = View {
            grid,
            weak: &cells,
            frozen: &cells,
            base: &vec![50.0; grid.padded_len()],
            masks: &[],
            zones: &[],
        };
        let mut data = vec![0; 256];
        let mut paper = Paper {
            data: &mut data,
            stride: 16,
            width: 16,
            height: 16,
        };
        draw(
            &mut paper,
            &view,
            std::iter::once(BBox::clamped(0.0, 0.0, 1.0, 1.0)),
        );
        assert!(data.contains(&LIGHT));
    }
}
