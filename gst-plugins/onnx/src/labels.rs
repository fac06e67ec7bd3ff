//! The 80 object names of the COCO data set, in the order in which detectors are trained on them.

/// What `labels = "coco80"` stands for.
pub const COCO80: [&str; 80] = [
    "person",
    "bicycle",
    "car",
    "motorcycle",
    "airplane",
    "bus",
    "train",
    "truck",
    "boat",
    "traffic light",
    "fire hydrant",
    "stop sign",
    "parking meter",
    "bench",
    "bird",
    "cat",
    "dog",
    "horse",
    "sheep",
    "cow",
    "elephant",
    "bear",
    "zebra",
    "giraffe",
    "backpack",
    "umbrella",
    "handbag",
    "tie",
    "suitcase",
    "frisbee",
    "skis",
    "snowboard",
    "sports ball",
    "kite",
    "baseball bat",
    "baseball glove",
    "skateboard",
    "surfboard",
    "tennis racket",
    "bottle",
    "wine glass",
    "cup",
    "fork",
    "knife",
    "spoon",
    "bowl",
    "banana",
    "apple",
    "sandwich",
    "orange",
    "broccoli",
    "carrot",
    "hot dog",
    "pizza",
    "donut",
    "cake",
    "chair",
    "couch",
    "potted plant",
    "bed",
    "dining table",
    "toilet",
    "tv",
    "laptop",
    "mouse",
    "remote",
    "keyboard",
    "cell phone",
    "microwave",
    "oven",
    "toaster",
    "sink",
    "refrigerator",
    "book",
    "clock",
    "vase",
    "scissors",
    "teddy bear",
    "hair drier",
    "toothbrush",
];

/// Which classes of `labels` a comma list names; `None` when the list is empty, which means all.
///
/// The second value holds the names that the model does not know.
pub fn filter(list: &str, labels: &[String]) -> (Option<Vec<bool>>, Vec<String>) {
    let names: Vec<&str> = list
        .split(',')
        .map(str::trim)
        .filter(|n| !n.is_empty())
        .collect();
    if names.is_empty() {
        return (None, Vec::new());
    }
    let mask = labels.iter().map(|l| names.contains(&l.as_str())).collect();
    let unknown = names
        .into_iter()
        .filter(|n| !labels.iter().any(|l| l == n))
        .map(str::to_owned)
        .collect();
    (Some(mask), unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_names_classes_and_reports_strangers() {
        let labels = ["person", "car", "traffic light"].map(str::to_owned);
        assert_eq!(filter("", &labels), (None, vec![]));
        assert_eq!(filter(" , ,", &labels), (None, vec![]));
        assert_eq!(
            filter("traffic light, person,dragon", &labels),
            (Some(vec![true, false, true]), vec!["dragon".to_owned()])
        );
    }
}
