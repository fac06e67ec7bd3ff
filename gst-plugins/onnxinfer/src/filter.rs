//! Which of the found objects are kept: by label, by a threshold for each label, by size, and by place.

use nvr_contract::BBox;
use nvr_contract::polygon::Zone;
use nvr_onnx::labels;

/// The last place inside the picture.
const INSIDE: f64 = 1.0 - 1e-6;

/// What the user wants, as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Wish {
    /// Comma list of labels; all, when empty.
    pub labels: String,
    /// Least score, 0..1.
    pub threshold: f64,
    /// Least scores of some labels: `person=0.5, car=0.3`.
    pub thresholds: String,
    /// Least area, as a share of the picture.
    pub min_area: f64,
    /// Greatest area, as a share of the picture.
    pub max_area: f64,
    /// Only objects whose foot stands in one of these; all, when there is none.
    pub zones: Vec<Zone>,
}

/// The same for the classes of one model.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Least score by class.
    least: Vec<f64>,
    /// Least score of all.
    pub threshold: f64,
    /// The classes that are looked for; all when absent.
    pub classes: Option<Vec<bool>>,
    area: (f64, f64),
    zones: Vec<Zone>,
}

/// Reads `label=score` pairs, parted by commas.
///
/// # Errors
/// One sentence that names the pair that is wrong.
pub fn parse_thresholds(list: &str) -> Result<Vec<(String, f64)>, String> {
    list.split(',')
        .map(str::trim)
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let wrong =
                || format!("`{pair}` is no threshold: write label=score with a score of 0..1");
            let (label, score) = pair.split_once('=').ok_or_else(wrong)?;
            let score: f64 = score.trim().parse().map_err(|_| wrong())?;
            if (0.0..=1.0).contains(&score) {
                Ok((label.trim().to_owned(), score))
            } else {
                Err(wrong())
            }
        })
        .collect()
}

impl Filter {
    /// For a model with these labels; also what of the wish the model does not know.
    pub fn new(wish: &Wish, known: &[String]) -> (Self, Vec<String>) {
        let (classes, mut unknown) = labels::filter(&wish.labels, known);
        let mut least = vec![wish.threshold; known.len()];
        // What is no threshold was refused when it was set.
        for (label, score) in parse_thresholds(&wish.thresholds).unwrap_or_default() {
            match known.iter().position(|l| *l == label) {
                Some(class) => least[class] = score,
                None => unknown.push(label),
            }
        }
        let looked_for = |class: &usize| classes.as_ref().is_none_or(|mask| mask[*class]);
        let threshold = (0..known.len())
            .filter(looked_for)
            .map(|class| least[class])
            .fold(1.0, f64::min);
        let filter = Self {
            threshold: if known.is_empty() {
                wish.threshold
            } else {
                threshold
            },
            least,
            classes,
            area: (wish.min_area, wish.max_area),
            zones: wish.zones.clone(),
        };
        (filter, unknown)
    }

    /// Whether an object is kept.
    pub fn keeps(&self, class: usize, score: f64, bbox: BBox) -> bool {
        // A float that was a score in the model may be a hair off here.
        let least = self.least.get(class).copied().unwrap_or(self.threshold) - 1e-6;
        let area = bbox.area();
        let (x, y) = bbox.foot();
        let (x, y) = (x.clamp(0.0, INSIDE), y.clamp(0.0, INSIDE));
        score >= least
            && (self.area.0..=self.area.1).contains(&area)
            && (self.zones.is_empty() || self.zones.iter().any(|z| z.polygon.contains(x, y)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nvr_contract::polygon::parse_zones;

    fn wish() -> Wish {
        Wish {
            labels: String::new(),
            threshold: 0.4,
            thresholds: String::new(),
            min_area: 0.0,
            max_area: 1.0,
            zones: Vec::new(),
        }
    }

    #[test]
    fn each_label_has_its_threshold() {
        let known = ["person", "car"].map(str::to_owned);
        let wish = Wish {
            thresholds: "car=0.7, person=0.2,cat=0.1".to_owned(),
            ..wish()
        };
        let (filter, unknown) = Filter::new(&wish, &known);
        assert_eq!(unknown, ["cat"]);
        assert!((filter.threshold - 0.2).abs() < 1e-9);
        let b = BBox::clamped(0.1, 0.1, 0.1, 0.1);
        assert!(filter.keeps(0, 0.2, b) && !filter.keeps(0, 0.19, b));
        assert!(filter.keeps(1, 0.7, b) && !filter.keeps(1, 0.6, b));
        // What is not looked for does not lower the threshold of the model.
        let only = Wish {
            labels: "car".to_owned(),
            ..wish
        };
        assert!((Filter::new(&only, &known).0.threshold - 0.7).abs() < 1e-9);
        for wrong in ["person", "person=x", "person=1.5", "=", "person=NaN"] {
            assert!(
                parse_thresholds(wrong).unwrap_err().contains(wrong),
                "{wrong}"
            );
        }
    }

    #[test]
    fn size_and_place_count() {
        let (filter, _) = Filter::new(
            &Wish {
                min_area: 0.01,
                max_area: 0.25,
                zones: parse_zones("low=0,0.5 1,0.5 1,1 0,1").unwrap(),
                ..wish()
            },
            &[],
        );
        let keeps = |x, y, w, h| filter.keeps(3, 0.9, BBox::clamped(x, y, w, h));
        assert!(keeps(0.1, 0.4, 0.2, 0.2));
        assert!(!keeps(0.1, 0.1, 0.2, 0.2), "its foot is above the zone");
        assert!(!keeps(0.1, 0.6, 0.05, 0.05), "too small");
        assert!(!keeps(0.0, 0.3, 0.9, 0.7), "too large");
        assert!(keeps(0.1, 0.8, 0.2, 0.2), "cut off by the lower edge");
    }
}
