//! Changes of the whole picture that no fit of light explains: infrared, a flash that saturates, another view.

use super::grid::Grid;

/// Columns and rows of tiles by which it is told how far a change spreads.
const TILES: (usize, usize) = (8, 6);
/// A tile takes part when this share of its cells does.
const TILE_SHARE: f32 = 0.2;
/// An upheaval begins where the share of changed cells grows by this ...
const SURGE: f32 = 0.12;
/// ... in about so many seconds, ...
const SUDDEN: f32 = 0.2;
/// ... over at least this share of the tiles: what comes close to the camera covers one side of the picture.
const SPREAD: f32 = 0.3;
/// Pictures farther apart than this, in seconds, show no surge: things have time to come.
const SPARSE: f32 = 0.25;
/// It is over when the share of changed cells is this near to what it was before: lightning.
const NEAR: f32 = 0.06;
/// The picture is taken for the new background when it has kept still for this many seconds.
const QUIET: f32 = 0.25;
/// At most this share of the changed cells changes while it is still.
const STILL: f32 = 0.1;
/// Seconds after which it is no upheaval, but motion everywhere.
const LONGEST: f32 = 1.5;

/// What an upheaval asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: there is none, or it is over.
    Go,
    /// To wait: what the picture shows says nothing.
    Wait,
    /// To take the picture for the new background.
    Adopt,
}

/// Follows whether one goes on.
#[derive(Debug, Default)]
pub struct Upheaval {
    /// Share of changed cells in the last pictures.
    usual: f32,
    /// Share before it, seconds since, and seconds for which the picture has kept still.
    open: Option<(f32, f32, f32)>,
}

impl Upheaval {
    /// Takes in a picture: the changed cells, their share of all cells, the share of them that changes from picture to
    /// picture, and the seconds since the one before.
    pub fn see(
        &mut self,
        grid: Grid,
        changed: &[u32],
        share: f32,
        active: impl FnOnce() -> f32,
        dt: f32,
    ) -> Verdict {
        let before = self.usual;
        self.usual = share.min(before + (share - before) * (1.0 - (-dt / SUDDEN).exp()));
        let Some((before, since, quiet)) = self.open else {
            if share - before > SURGE && dt < SPARSE && spread(grid, changed) > SPREAD {
                self.open = Some((before, 0.0, 0.0));
                return Verdict::Wait;
            }
            return Verdict::Go;
        };
        let since = since + dt;
        let quiet = if active() < STILL { quiet + dt } else { 0.0 };
        self.open = Some((before, since, quiet));
        if share < before + NEAR || since > LONGEST {
            self.open = None;
            return Verdict::Go;
        }
        if quiet >= QUIET {
            *self = Self::default();
            return Verdict::Adopt;
        }
        Verdict::Wait
    }

    /// Forgets it.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// Share of the tiles that take part.
fn spread(grid: Grid, changed: &[u32]) -> f32 {
    let mut counts = [0.0f32; TILES.0 * TILES.1];
    for &cell in changed {
        let (col, row) = grid.position(cell as usize);
        counts[row * TILES.1 / grid.rows * TILES.0 + col * TILES.0 / grid.cols] += 1.0;
    }
    let cells = grid.len() as f32 / counts.len() as f32;
    let part = counts.iter().filter(|&&count| count > TILE_SHARE * cells);
    part.count() as f32 / counts.len() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid {
        cell: 4,
        cols: 80,
        rows: 60,
    };

    /// What pictures of (changed share of each row, active share) ask for: `.` go, `w` wait, `A` adopt.
    fn check(pictures: &[(f32, f32)], dt: f32, expect: &str) {
        let mut upheaval = Upheaval::default();
        let words: String = pictures
            .iter()
            .map(|&(share, active)| {
                let cells = |row: u32| {
                    (0..(80.0 * share) as u32).map(move |col| row * 80 + (col * 37) % 80)
                };
                let changed: Vec<u32> = (0..60).flat_map(cells).collect();
                match upheaval.see(GRID, &changed, share, || active, dt) {
                    Verdict::Go => '.',
                    Verdict::Wait => 'w',
                    Verdict::Adopt => 'A',
                }
            })
            .collect();
        assert_eq!(words, expect);
    }

    #[test]
    fn lightning_passes_and_infrared_stays() {
        check(
            &[(0.0, 0.0), (0.6, 1.0), (0.6, 0.0), (0.05, 1.0), (0.0, 0.0)],
            0.066,
            ".ww..",
        );
        let mut infrared = vec![(0.0, 0.0)];
        infrared.extend([(0.7, 1.0); 3]);
        infrared.extend([(0.7, 0.02); 4]);
        infrared.push((0.0, 0.0));
        check(&infrared, 0.066, ".wwwwwwA.");
    }

    #[test]
    fn motion_everywhere_is_no_upheaval_for_long() {
        let mut moving = vec![(0.0, 0.0)];
        moving.extend([(0.5, 0.8); 12]);
        check(&moving, 0.2, ".wwwwwwww....");
        check(
            &[
                (0.0, 0.0),
                (0.05, 1.0),
                (0.1, 1.0),
                (0.14, 1.0),
                (0.17, 1.0),
            ],
            0.066,
            ".....",
        );
        check(&[(0.0, 0.0), (0.5, 1.0)], 2.0, "..");
    }

    #[test]
    fn what_comes_close_covers_one_side() {
        let mut upheaval = Upheaval::default();
        let changed: Vec<u32> = (0..60).flat_map(|row| row * 80..row * 80 + 20).collect();
        upheaval.see(GRID, &[], 0.0, || 0.0, 0.066);
        assert_eq!(
            upheaval.see(GRID, &changed, 0.25, || 1.0, 0.066),
            Verdict::Go
        );
    }
}
