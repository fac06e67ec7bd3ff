//! What models call things, in the few words that ArgusAI's clients know.

/// Labels of common models by ArgusAI's word for them.
const OBJECTS: &[(&str, &[&str])] = &[
    ("person", &["person", "face", "pedestrian"]),
    (
        "vehicle",
        &[
            "vehicle",
            "car",
            "truck",
            "bus",
            "motorcycle",
            "bicycle",
            "train",
            "boat",
            "airplane",
            "plate",
        ],
    ),
    (
        "animal",
        &[
            "animal", "dog", "cat", "bird", "horse", "sheep", "cow", "elephant", "bear", "zebra",
            "giraffe",
        ],
    ),
    (
        "package",
        &["package", "parcel", "suitcase", "backpack", "handbag"],
    ),
];

/// ArgusAI's word for what an event is about; `None` for what is no object, like motion.
pub(super) fn object_of(kind: &str, label: Option<&str>) -> Option<&'static str> {
    let known = |word: &str| {
        OBJECTS
            .iter()
            .find(|(_, labels)| labels.contains(&word))
            .map(|(object, _)| *object)
    };
    match label.and_then(known).or_else(|| known(kind)) {
        Some(object) => Some(object),
        None => (kind == "object").then_some("unknown"),
    }
}

/// The labels and kinds that ArgusAI's word for an object stands for; any other word stands for itself.
pub(super) fn labels_of(object: &str) -> Vec<String> {
    let found = OBJECTS.iter().find(|(word, _)| *word == object);
    match found {
        Some((_, labels)) => labels.iter().map(|label| (*label).to_owned()).collect(),
        None => vec![object.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_become_the_few_words() {
        let check = |kind: &str, label: Option<&str>, expect: Option<&str>| {
            assert_eq!(object_of(kind, label), expect, "{kind} {label:?}");
        };
        check("object", Some("person"), Some("person"));
        check("object", Some("bus"), Some("vehicle"));
        check("object", Some("teapot"), Some("unknown"));
        check("object", None, Some("unknown"));
        check("face", None, Some("person"));
        check("motion", None, None);
        check("system", Some("disk_full"), None);
        assert_eq!(labels_of("motion"), ["motion"]);
        assert!(labels_of("vehicle").contains(&"truck".to_owned()));
    }
}
