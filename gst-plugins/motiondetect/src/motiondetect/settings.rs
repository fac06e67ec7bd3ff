//! What the properties say, and the detector's configuration that follows from it.

use nvr_contract::polygon::{PolygonError, parse_masks, parse_zones};

use super::detector::Config;

/// Values of the properties.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Whether pictures are looked at.
    pub enabled: bool,
    /// Whether what the detector sees is drawn into the picture.
    pub debug_overlay: bool,
    /// The text of `masks` that is in force.
    pub masks: String,
    /// The text of `zones` that is in force.
    pub zones: String,
    /// Everything else, and the polygons of both texts.
    pub config: Config,
    /// Texts that were refused, by property, until they are replaced: the element does not start with one.
    pub refused: Vec<(Area, String)>,
}

/// A property that holds polygons.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Area {
    /// `masks`.
    Masks,
    /// `zones`.
    Zones,
}

impl Area {
    /// The name of the property.
    pub fn property(self) -> &'static str {
        match self {
            Self::Masks => "masks",
            Self::Zones => "zones",
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            enabled: true,
            debug_overlay: false,
            masks: String::new(),
            zones: String::new(),
            config: Config::default(),
            refused: Vec::new(),
        }
    }
}

impl Settings {
    /// Takes over the text of `masks` or `zones`.
    ///
    /// # Errors
    /// When the text does not parse: one sentence that names the property; the old value stays.
    pub fn set_area(&mut self, area: Area, text: &str) -> Result<(), String> {
        self.refused.retain(|(other, _)| *other != area);
        let taken = match area {
            Area::Masks => parse_masks(text).map(|masks| {
                self.config.masks = masks;
                text.clone_into(&mut self.masks);
            }),
            Area::Zones => parse_zones(text).map(|zones| {
                self.config.zones = zones;
                text.clone_into(&mut self.zones);
            }),
        };
        taken.map_err(|error: PolygonError| {
            let message = format!("Property {}: {error}; correct the text.", area.property());
            self.refused.push((area, message.clone()));
            message
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_text_leaves_the_old_value() {
        let mut settings = Settings::default();
        settings.set_area(Area::Zones, "a=0,0 1,0 1,1").unwrap();
        let error = settings.set_area(Area::Zones, "nonsense").unwrap_err();
        assert!(
            error.starts_with("Property zones: \"nonsense\" is not a zone"),
            "{error}"
        );
        assert_eq!(settings.zones, "a=0,0 1,0 1,1");
        assert_eq!(settings.config.zones.len(), 1);
        assert_eq!(settings.refused.len(), 1);
        settings.set_area(Area::Zones, "").unwrap();
        assert!(settings.refused.is_empty());
        assert!(settings.config.zones.is_empty());
    }
}
