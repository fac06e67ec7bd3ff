//! What is said of a picture as a whole: its classes, a vector, or a line of text.

use super::{Activation, ShapeError, Tensor, argmax};

/// The classes of a picture, the likeliest first, at most `limit`.
///
/// # Errors
/// When there is not one output of one row.
pub fn classes(
    outputs: &[Tensor<'_>],
    activation: Activation,
    limit: usize,
) -> Result<Vec<(usize, f32)>, ShapeError> {
    let row = row(outputs, "[1, classes]")?;
    let sum: f32 = row.iter().sum();
    // Many exports end with a softmax already, and a second one would flatten what the first made.
    let is_share = row.iter().all(|v| (0.0..=1.0).contains(v)) && (sum - 1.0).abs() < 1e-2;
    let most = row.iter().copied().fold(f32::MIN, f32::max);
    let total: f32 = row.iter().map(|v| (v - most).exp()).sum();
    let score = |v: f32| match activation {
        Activation::Softmax if !is_share => (v - most).exp() / total,
        Activation::Sigmoid => super::sigmoid(v),
        Activation::Softmax | Activation::None => v,
    };
    let mut all: Vec<(usize, f32)> = row
        .iter()
        .enumerate()
        .filter(|(_, v)| !v.is_nan())
        .map(|(class, v)| (class, score(*v)))
        .collect();
    all.sort_by(|a, b| b.1.total_cmp(&a.1));
    all.truncate(limit);
    Ok(all)
}

/// The vector of a picture, of length 1; as it is when it has no length.
///
/// # Errors
/// When there is not one output of one row.
pub fn vector(outputs: &[Tensor<'_>]) -> Result<Vec<f32>, ShapeError> {
    let row = row(outputs, "[1, dimensions]")?;
    let length = row.iter().map(|v| v * v).sum::<f32>().sqrt();
    let factor = if length > 0.0 { 1.0 / length } else { 1.0 };
    Ok(row.iter().map(|v| v * factor).collect())
}

/// A line of text and how sure each of its characters is on average (0..1), by the greedy reading of a
/// connectionist temporal classifier (Graves and others, 2006): of equal neighbours one counts, and class 0 is blank.
///
/// Class `i` is character `i - 1` of `alphabet`; `[1, T, C]` or `[T, 1, C]`.
///
/// # Errors
/// When the only output has another shape.
pub fn text(outputs: &[Tensor<'_>], alphabet: &[String]) -> Result<(String, f32), ShapeError> {
    let output = Tensor::first(outputs)?;
    let classes = match *output.shape {
        [1, steps, classes] | [steps, 1, classes]
            if classes > 1 && steps.checked_mul(classes) == Some(output.data.len()) =>
        {
            classes
        }
        _ => return Err(output.shape_error("[1, steps, classes]".to_owned())),
    };
    let (mut text, mut last, mut sum, mut count) = (String::new(), 0, 0.0, 0_u16);
    for step in output.data.chunks_exact(classes) {
        let Some((class, most)) = argmax(step.iter().copied()) else {
            continue;
        };
        if class != last && class != 0 {
            // Logits or shares: only logits leave 0..1.
            let is_share = step.iter().all(|v| (0.0..=1.0).contains(v));
            let sure = if is_share {
                most
            } else {
                1.0 / step.iter().map(|v| (v - most).exp()).sum::<f32>()
            };
            if let Some(character) = alphabet.get(class - 1) {
                text.push_str(character);
                sum += sure;
                count = count.saturating_add(1);
            }
        }
        last = class;
    }
    let sure = if count > 0 {
        sum / f32::from(count)
    } else {
        0.0
    };
    Ok((text, sure))
}

fn row<'a>(outputs: &[Tensor<'a>], expected: &str) -> Result<&'a [f32], ShapeError> {
    let output = Tensor::first(outputs)?;
    let flat = output.shape.iter().filter(|d| **d != 1).count() <= 1;
    if flat && !output.data.is_empty() && output.shape.first() == Some(&1) {
        Ok(output.data)
    } else {
        Err(output.shape_error(expected.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor<'a>(shape: &'a [usize], data: &'a [f32]) -> [Tensor<'a>; 1] {
        [Tensor {
            name: "out",
            shape,
            data,
        }]
    }

    #[test]
    fn classes_are_shares_whatever_the_export_ends_with() {
        let shares = [0.1, 0.7, 0.2];
        let found = classes(&tensor(&[1, 3], &shares), Activation::Softmax, 2).unwrap();
        assert_eq!(found, [(1, 0.7), (2, 0.2)]);
        let logits = shares.map(|s: f32| s.ln() + 3.0);
        let found = classes(&tensor(&[1, 3], &logits), Activation::Softmax, 1).unwrap();
        assert!(found[0].0 == 1 && (found[0].1 - 0.7).abs() < 1e-5);
        assert!(classes(&tensor(&[3, 1], &shares), Activation::None, 1).is_err());
    }

    #[test]
    fn vectors_have_length_one() {
        assert_eq!(
            vector(&tensor(&[1, 2, 1, 1], &[3.0, 4.0])).unwrap(),
            [0.6, 0.8]
        );
        assert_eq!(vector(&tensor(&[1, 2], &[0.0, 0.0])).unwrap(), [0.0, 0.0]);
    }

    #[test]
    fn repeated_characters_need_a_blank_between() {
        let alphabet: Vec<String> = ["A", "7"].map(str::to_owned).to_vec();
        // A A blank A 7 7 blank
        let steps = [1, 1, 0, 1, 2, 2, 0];
        let data: Vec<f32> = steps
            .iter()
            .flat_map(|s| (0..3).map(move |c| if c == *s { 0.8 } else { 0.1 }))
            .collect();
        for shape in [[1, 7, 3], [7, 1, 3]] {
            let (read, sure) = text(&tensor(&shape, &data), &alphabet).unwrap();
            assert_eq!(read, "AA7");
            assert!((sure - 0.8).abs() < 1e-6);
        }
        assert!(text(&tensor(&[7, 3], &data), &alphabet).is_err());
    }
}
