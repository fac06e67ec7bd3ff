//! Named polygons in a picture (zones and masks) and the one syntax in which they are written.
//!
//! `porch=0.1,0.2 0.5,0.2 0.5,0.9; drive=0.6,0.6 1,0.6 1,1 0.6,1` is two zones; a mask is a polygon without
//! a name, `0,0 0.3,0 0.3,0.1 0,0.1`, and several masks are parted by `;`. Coordinates are shares of the picture.

use crate::BBox;

/// The most polygons one property takes.
pub const MAX_POLYGONS: usize = 64;
/// The most corners one polygon takes.
pub const MAX_CORNERS: usize = 256;

/// A polygon; corners are (x, y) in shares (0..1) of the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Polygon {
    corners: Vec<(f64, f64)>,
}

/// A polygon with a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone {
    /// The name, `[A-Za-z0-9_-]`, at most 64 characters.
    pub name: String,
    /// Where it is.
    pub polygon: Polygon,
}

/// Why a text is not a list of polygons.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolygonError {
    /// A corner is not `x,y` with both between 0 and 1.
    #[error("{0:?} is not a corner: write x,y with both between 0 and 1")]
    Corner(String),
    /// Fewer than three corners, or more than [`MAX_CORNERS`].
    #[error("polygon {0:?} has {1} corners: at least 3 and at most {MAX_CORNERS} are needed")]
    Corners(String, usize),
    /// A zone without a name, or with one that is no name.
    #[error("{0:?} is not a zone: write name=x,y x,y x,y with a name of letters, digits, - and _")]
    Name(String),
    /// Two zones of one name.
    #[error("zone {0:?} is given twice")]
    Twice(String),
    /// More than [`MAX_POLYGONS`].
    #[error("{0} polygons are too many: at most {MAX_POLYGONS}")]
    TooMany(usize),
}

impl Polygon {
    /// A polygon of at least three corners.
    ///
    /// # Errors
    /// When there are too few or too many corners, or one lies outside the picture.
    pub fn new(corners: Vec<(f64, f64)>) -> Result<Self, PolygonError> {
        if !(3..=MAX_CORNERS).contains(&corners.len()) {
            return Err(PolygonError::Corners(String::new(), corners.len()));
        }
        match corners
            .iter()
            .find(|(x, y)| !(0.0..=1.0).contains(x) || !(0.0..=1.0).contains(y))
        {
            Some((x, y)) => Err(PolygonError::Corner(format!("{x},{y}"))),
            None => Ok(Self { corners }),
        }
    }

    fn parse(text: &str) -> Result<Self, PolygonError> {
        let corners = text
            .split_whitespace()
            .map(parse_corner)
            .collect::<Result<Vec<_>, _>>()?;
        let count = corners.len();
        Self::new(corners).map_err(|error| match error {
            PolygonError::Corners(..) => PolygonError::Corners(text.trim().to_owned(), count),
            other => other,
        })
    }

    /// The corners, in order.
    pub fn corners(&self) -> &[(f64, f64)] {
        &self.corners
    }

    /// Whether a point lies inside, by the even-odd rule.
    pub fn contains(&self, x: f64, y: f64) -> bool {
        let mut inside = false;
        let mut previous = self.corners[self.corners.len() - 1];
        for &corner in &self.corners {
            if (corner.1 > y) != (previous.1 > y) {
                let cross =
                    (previous.0 - corner.0) * (y - corner.1) / (previous.1 - corner.1) + corner.0;
                if x < cross {
                    inside = !inside;
                }
            }
            previous = corner;
        }
        inside
    }

    /// Whether the polygon holds some part of a box, told on a grid of 5 by 5 points of it.
    pub fn touches(&self, bbox: BBox) -> bool {
        (0..5).any(|row| {
            (0..5).any(|column| {
                let (fx, fy) = (f64::from(column) / 4.0, f64::from(row) / 4.0);
                self.contains(bbox.x + bbox.w * fx, bbox.y + bbox.h * fy)
            })
        })
    }
}

fn parse_corner(text: &str) -> Result<(f64, f64), PolygonError> {
    let error = || PolygonError::Corner(text.to_owned());
    let (x, y) = text.split_once(',').ok_or_else(error)?;
    let (x, y) = (
        x.trim().parse::<f64>().map_err(|_| error())?,
        y.trim().parse::<f64>().map_err(|_| error())?,
    );
    if (0.0..=1.0).contains(&x) && (0.0..=1.0).contains(&y) {
        Ok((x, y))
    } else {
        Err(error())
    }
}

fn parts(text: &str) -> Result<Vec<&str>, PolygonError> {
    let parts: Vec<&str> = text
        .split(';')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .collect();
    if parts.len() > MAX_POLYGONS {
        Err(PolygonError::TooMany(parts.len()))
    } else {
        Ok(parts)
    }
}

/// Polygons without names, parted by `;`. An empty text is an empty list.
///
/// # Errors
/// When a part is no polygon.
pub fn parse_masks(text: &str) -> Result<Vec<Polygon>, PolygonError> {
    parts(text)?.into_iter().map(Polygon::parse).collect()
}

/// Named polygons, parted by `;`. An empty text is an empty list.
///
/// # Errors
/// When a part is no named polygon, or a name comes twice.
pub fn parse_zones(text: &str) -> Result<Vec<Zone>, PolygonError> {
    let mut zones: Vec<Zone> = Vec::new();
    for part in parts(text)? {
        let (name, polygon) = part
            .split_once('=')
            .ok_or_else(|| PolygonError::Name(part.to_owned()))?;
        let name = name.trim();
        let valid = !name.is_empty()
            && name.len() <= 64
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
        if !valid {
            return Err(PolygonError::Name(part.to_owned()));
        }
        if zones.iter().any(|zone| zone.name == name) {
            return Err(PolygonError::Twice(name.to_owned()));
        }
        zones.push(Zone {
            name: name.to_owned(),
            polygon: Polygon::parse(polygon)?,
        });
    }
    Ok(zones)
}

fn corners_text(polygon: &Polygon) -> String {
    polygon
        .corners
        .iter()
        .map(|(x, y)| format!("{x},{y}"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// The text of masks that [`parse_masks`] reads back.
pub fn format_masks(masks: &[Polygon]) -> String {
    masks
        .iter()
        .map(corners_text)
        .collect::<Vec<_>>()
        .join("; ")
}

/// The text of zones that [`parse_zones`] reads back.
pub fn format_zones(zones: &[Zone]) -> String {
    zones
        .iter()
        .map(|zone| format!("{}={}", zone.name, corners_text(&zone.polygon)))
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_the_documentation_shows() {
        let zones =
            parse_zones("porch=0.1,0.2 0.5,0.2 0.5,0.9; drive=0.6,0.6 1,0.6 1,1 0.6,1").unwrap();
        assert_eq!(
            zones.iter().map(|z| z.name.as_str()).collect::<Vec<_>>(),
            ["porch", "drive"]
        );
        assert!(zones[1].polygon.contains(0.8, 0.8));
        assert!(!zones[1].polygon.contains(0.5, 0.8));
        assert!(zones[0].polygon.touches(BBox::clamped(0.3, 0.2, 0.6, 0.3)));
        assert_eq!(parse_masks(" ").unwrap(), []);
    }

    #[test]
    fn says_what_is_wrong() {
        let check = |text: &str, expect: &str| {
            assert_eq!(parse_zones(text).unwrap_err().to_string(), expect);
        };
        check(
            "a=0,0 1,0",
            "polygon \"0,0 1,0\" has 2 corners: at least 3 and at most 256 are needed",
        );
        check(
            "a=0,0 1,0 2,1",
            "\"2,1\" is not a corner: write x,y with both between 0 and 1",
        );
        check(
            "a=0,0 1,0 x",
            "\"x\" is not a corner: write x,y with both between 0 and 1",
        );
        check(
            "0,0 1,0 1,1",
            "\"0,0 1,0 1,1\" is not a zone: write name=x,y x,y x,y with a name of letters, digits, - and _",
        );
        check("a=0,0 1,0 1,1; a=0,0 1,0 1,1", "zone \"a\" is given twice");
        check(
            &"a=0,0 1,0 1,1;".repeat(65),
            "65 polygons are too many: at most 64",
        );
    }

    proptest! {
        #[test]
        fn never_panics(text in ".{0,200}") {
            let zones = parse_zones(&text);
            let masks = parse_masks(&text);
            prop_assert!(zones.is_err() || masks.is_err() || text.chars().all(|c| c == ';' || c.is_whitespace()));
        }

        #[test]
        fn formats_what_it_parses(corners in prop::collection::vec((0f64..=1.0, 0f64..=1.0), 3..20)) {
            let zones = vec![Zone { name: "z".into(), polygon: Polygon::new(corners).unwrap() }];
            prop_assert_eq!(parse_zones(&format_zones(&zones)).unwrap(), zones);
        }
    }
}
