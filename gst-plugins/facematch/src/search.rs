//! The most similar of many vectors, by brute force: a pass over bytes, then the exact numbers of what is left.
//!
//! Vectors have length 1, so that their product is the cosine. Each is kept twice: rounded to bytes with a scale
//! of its own, a quarter of the memory that a query must read, and exactly. The rounding moves no cosine by more
//! than a bound that is known for every vector, so that what the first pass leaves out cannot be among the best:
//! the answer is the exact one. The loop over bytes is written so that the compiler makes vector instructions of
//! it on every machine; there is no `unsafe`.

/// Lengths are padded to a multiple of this, so that no vector needs a scalar rest.
const LANES: usize = 32;
/// What rounding errors of the 32-bit sums themselves may add.
const SLACK: f32 = 1e-5;

/// A vector of length 1 that says what a face looks like.
pub type Embedding = Vec<f32>;

/// The vector scaled to length 1; `None` when it has no direction.
pub fn normalised(vector: &[f32]) -> Option<Embedding> {
    let square: f64 = vector.iter().map(|v| f64::from(*v).powi(2)).sum();
    let length = square.sqrt();
    let sane = length.is_finite() && length > 1e-12;
    sane.then(|| {
        vector
            .iter()
            .map(|v| (f64::from(*v) / length) as f32)
            .collect()
    })
}

/// The product of two vectors: the cosine of those of length 1. The rest of a longer one counts for nothing.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    // Sixteen sums side by side: one alone could not be computed in parallel without changing the result.
    let mut sums = [0.0_f32; 16];
    let (a, a_rest) = a.as_chunks::<16>();
    let (b, b_rest) = b.as_chunks::<16>();
    for (a, b) in a.iter().zip(b) {
        for (sum, (a, b)) in sums.iter_mut().zip(a.iter().zip(b)) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// A row that was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hit {
    /// Which row.
    pub row: usize,
    /// Its cosine, -1..1.
    pub similarity: f32,
}

/// Vectors of one length.
#[derive(Debug, Clone, Default)]
pub struct Index {
    dims: usize,
    exact: Vec<f32>,
    bytes: Vec<i8>,
    /// For each row: what a byte is worth.
    scales: Vec<f32>,
    /// For each row: how far rounding moved it.
    errors: Vec<f32>,
}

/// A vector as bytes.
struct Rounded {
    bytes: Vec<i8>,
    scale: f32,
    /// Length of the difference.
    error: f32,
}

impl Rounded {
    fn of(vector: &[f32]) -> Self {
        let largest = vector.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        let scale = (largest / 127.0).max(f32::MIN_POSITIVE);
        let mut bytes: Vec<i8> = vector.iter().map(|v| (v / scale).round() as i8).collect();
        let square: f64 = vector
            .iter()
            .zip(&bytes)
            .map(|(v, b)| f64::from(v - f32::from(*b) * scale).powi(2))
            .sum();
        bytes.resize(vector.len().next_multiple_of(LANES), 0);
        Self {
            bytes,
            scale,
            error: square.sqrt() as f32,
        }
    }
}

impl Index {
    /// For vectors of `dims` numbers.
    pub fn new(dims: usize) -> Self {
        Self {
            dims,
            ..Self::default()
        }
    }

    /// Numbers of a vector.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.scales.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.scales.is_empty()
    }

    /// Adds a vector of length 1 as the last row; one of another length is not taken.
    pub fn push(&mut self, vector: &[f32]) -> bool {
        if vector.len() != self.dims || self.dims == 0 {
            return false;
        }
        let rounded = Rounded::of(vector);
        self.exact.extend_from_slice(vector);
        self.bytes.extend_from_slice(&rounded.bytes);
        self.scales.push(rounded.scale);
        self.errors.push(rounded.error);
        true
    }

    /// Removes a row; the last one takes its place.
    pub fn swap_remove(&mut self, row: usize) {
        let Some(last) = self.len().checked_sub(1).filter(|last| row <= *last) else {
            return;
        };
        let (dims, padded) = (self.dims, self.dims.next_multiple_of(LANES));
        self.exact.copy_within(last * dims.., row * dims);
        self.exact.truncate(last * dims);
        self.bytes.copy_within(last * padded.., row * padded);
        self.bytes.truncate(last * padded);
        self.scales.swap_remove(row);
        self.errors.swap_remove(row);
    }

    /// A row, `None` past the end.
    pub fn row(&self, row: usize) -> Option<&[f32]> {
        self.exact.get(row * self.dims..(row + 1) * self.dims)
    }

    /// The `count` most similar rows to a vector of length 1, the most similar first; equal ones in their order.
    pub fn nearest(&self, query: &[f32], count: usize) -> Vec<Hit> {
        if query.len() != self.dims || count == 0 || self.is_empty() {
            return Vec::new();
        }
        let query_bytes = Rounded::of(query);
        let rough = self.rough(&query_bytes);
        // |a·b - a'·b'| <= |a - a'| |b| + |a'| |b - b'|, and |a'| <= 1 + |a - a'|.
        let bound =
            |row: usize| self.errors[row] + (1.0 + self.errors[row]) * query_bytes.error + SLACK;
        // What at least `count` rows surely reach.
        let mut sure: Vec<f32> = rough
            .iter()
            .enumerate()
            .map(|(row, score)| score - bound(row))
            .collect();
        let place = count.min(sure.len()) - 1;
        let (_, floor, _) = sure.select_nth_unstable_by(place, |a, b| b.total_cmp(a));
        let floor = *floor;
        let mut hits: Vec<Hit> = rough
            .iter()
            .enumerate()
            .filter(|(row, score)| *score + bound(*row) >= floor)
            .filter_map(|(row, _)| {
                let similarity = dot(query, self.row(row)?);
                Some(Hit { row, similarity })
            })
            .collect();
        hits.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
        hits.truncate(count);
        hits
    }

    /// The cosines as far as bytes tell them.
    fn rough(&self, query: &Rounded) -> Vec<f32> {
        let wide: Vec<i16> = query.bytes.iter().map(|b| i16::from(*b)).collect();
        self.bytes
            .chunks_exact(wide.len())
            .zip(&self.scales)
            .map(|(row, scale)| {
                // At most 127² times the length: 32 bits hold vectors of 100 000 numbers.
                let sum: i32 = wide
                    .iter()
                    .zip(row)
                    .map(|(q, r)| i32::from(*q) * i32::from(*r))
                    .sum();
                sum as f32 * scale * query.scale
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The plain way: every cosine in 64 bits, sorted.
    fn plain(rows: &[Embedding], query: &[f32]) -> Vec<f64> {
        let mut all: Vec<f64> = rows
            .iter()
            .map(|row| {
                row.iter()
                    .zip(query)
                    .map(|(a, b)| f64::from(*a) * f64::from(*b))
                    .sum()
            })
            .collect();
        all.sort_by(|a, b| b.total_cmp(a));
        all
    }

    fn vectors(dims: usize, most: usize) -> impl Strategy<Value = Vec<Embedding>> {
        // Some large numbers among small ones: the worst for bytes.
        let number = prop_oneof![8 => -1.0_f32..1.0, 1 => -40.0_f32..40.0];
        prop::collection::vec(prop::collection::vec(number, dims), 1..most)
            .prop_map(|all| all.iter().filter_map(|v| normalised(v)).collect())
    }

    proptest! {
        #[test]
        fn the_answer_is_the_exact_one(
            (rows, queries) in (1_usize..140).prop_flat_map(|d| (vectors(d, 60), vectors(d, 3))),
            count in 1_usize..12,
        ) {
            prop_assume!(!rows.is_empty() && !queries.is_empty());
            let mut index = Index::new(rows[0].len());
            for row in &rows {
                prop_assert!(index.push(row));
            }
            for query in &queries {
                let hits = index.nearest(query, count);
                prop_assert_eq!(hits.len(), count.min(rows.len()));
                for (hit, expected) in hits.iter().zip(plain(&rows, query)) {
                    prop_assert!((f64::from(hit.similarity) - expected).abs() < 1e-5);
                    let again = dot(query, &rows[hit.row]);
                    prop_assert_eq!(again, hit.similarity);
                }
            }
        }

        #[test]
        fn rows_that_go_are_gone(
            rows in (2_usize..40).prop_flat_map(|d| vectors(d, 30)),
            gone in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
        ) {
            prop_assume!(!rows.is_empty());
            let mut index = Index::new(rows[0].len());
            for row in &rows {
                index.push(row);
            }
            let mut left = rows;
            for at in gone {
                if left.is_empty() {
                    break;
                }
                let at = at.index(left.len());
                index.swap_remove(at);
                left.swap_remove(at);
                prop_assert_eq!(index.len(), left.len());
                for (i, row) in left.iter().enumerate() {
                    prop_assert_eq!(index.row(i), Some(row.as_slice()));
                    prop_assert!((index.nearest(row, 1)[0].similarity - 1.0).abs() < 1e-5);
                }
            }
        }
    }

    #[test]
    fn what_does_not_fit_is_not_taken() {
        let mut index = Index::new(3);
        assert!(!index.push(&[1.0, 0.0]));
        assert!(index.nearest(&[1.0, 0.0, 0.0], 1).is_empty());
        assert!(index.push(&[1.0, 0.0, 0.0]));
        assert!(index.nearest(&[1.0, 0.0], 1).is_empty());
        index.swap_remove(7);
        assert_eq!(index.len(), 1);
        assert!(normalised(&[0.0, 0.0]).is_none());
        assert!(normalised(&[f32::NAN, 1.0]).is_none());
        assert!(normalised(&[f32::INFINITY, 1.0]).is_none());
    }
}
