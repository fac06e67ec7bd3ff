//! The two passes over a row: rows of bytes into one, and that one into the values of an output row.
//!
//! The first pass mixes two rows of the picture into fixed point with seven digits after the point, which is
//! contiguous work and cheap. The second pass fetches two neighbours for each output value, mixes them, and turns
//! three such values into colours at once. Together they are exact to a fiftieth of a byte's step.
//!
//! Both exist once, as plain loops; on x86-64 with AVX2 the compiler makes them again for that, and the fetching is
//! written out, because no compiler dares to gather by itself.

use super::picture::Matrix;

/// Digits after the point of a mixed row: 255 << 7 fits into 16 bits with a sign.
const ROW_BITS: u32 = 7;
/// Digits after the point of a share along a row.
const SHARE_BITS: u32 = 14;
/// What a fetched value is multiplied by to become a byte again.
const BACK: f32 = 1.0 / (1 << (ROW_BITS + SHARE_BITS)) as f32;

/// Where the values of an output row come from: two neighbours and their shares, for each.
#[derive(Debug, Default, Clone)]
pub(super) struct Fetch {
    /// Index of the left neighbour.
    at: Vec<u32>,
    /// Share of the left neighbour in the low half, of the right one in the high half.
    shares: Vec<u32>,
}

impl Fetch {
    /// From (index, share of the right neighbour).
    pub(super) fn new(taps: impl Iterator<Item = (usize, f64)>) -> Self {
        let one = 1_u32 << SHARE_BITS;
        let (at, shares) = taps
            .map(|(at, share)| {
                let right = ((share * f64::from(one)).round() as u32).min(one);
                (at as u32, (one - right) | right << 16)
            })
            .unzip();
        Self { at, shares }
    }

    /// Number of values.
    pub(super) fn len(&self) -> usize {
        self.at.len()
    }

    /// The greatest index.
    fn reach(&self) -> usize {
        self.at.iter().copied().max().unwrap_or(0) as usize
    }
}

/// The share of the lower row in 15 bits after the point.
pub(super) fn row_share(share: f64) -> i16 {
    (share * 32768.0).round().min(32767.0) as i16
}

/// Two rows into one; one more value than pixels, so that the last pixel has a right neighbour too.
pub(super) fn mix(upper: &[u8], lower: &[u8], share: i16, out: &mut Vec<i16>) {
    out.resize(upper.len() + 1, 0);
    #[cfg(target_arch = "x86_64")]
    if wide() {
        #[allow(
            unsafe_code,
            reason = "compiled for AVX2, which was asked for in the condition"
        )]
        // SAFETY: `wide` says that this processor has AVX2.
        unsafe {
            avx2::mix(upper, lower, share, out);
        };
        repeat_last(out);
        return;
    }
    mix_plain(upper, lower, share, out);
    repeat_last(out);
}

/// Like [`mix`] for rows of interleaved values, `N` a pixel, into a row each.
pub(super) fn mix_interleaved<const N: usize>(
    upper: &[u8],
    lower: &[u8],
    share: i16,
    out: [&mut Vec<i16>; N],
) {
    let pixels = upper.len() / N;
    let mut out = out;
    for row in &mut out {
        row.resize(pixels + 1, 0);
    }
    let mut rows = out.map(|row| row.as_mut_slice());
    #[cfg(target_arch = "x86_64")]
    if wide() {
        #[allow(
            unsafe_code,
            reason = "compiled for AVX2, which was asked for in the condition"
        )]
        // SAFETY: `wide` says that this processor has AVX2.
        unsafe {
            avx2::mix_interleaved(upper, lower, share, &mut rows);
        };
        rows.into_iter().for_each(repeat_last);
        return;
    }
    mix_interleaved_plain(upper, lower, share, &mut rows);
    rows.into_iter().for_each(repeat_last);
}

fn repeat_last(row: &mut [i16]) {
    if let [.., last, extra] = row {
        *extra = *last;
    }
}

#[inline(always)]
fn mixed(upper: u8, lower: u8, share: i16) -> i16 {
    let (a, b) = (i16::from(upper) << ROW_BITS, i16::from(lower) << ROW_BITS);
    // Rounded product of two fixed point numbers: one instruction where there are vectors.
    a + ((i32::from(b - a) * i32::from(share) + 0x4000) >> 15) as i16
}

#[inline(always)]
fn mix_plain(upper: &[u8], lower: &[u8], share: i16, out: &mut [i16]) {
    for ((out, a), b) in out.iter_mut().zip(upper).zip(lower) {
        *out = mixed(*a, *b, share);
    }
}

#[inline(always)]
fn mix_interleaved_plain<const N: usize>(
    upper: &[u8],
    lower: &[u8],
    share: i16,
    out: &mut [&mut [i16]; N],
) {
    for (channel, out) in out.iter_mut().enumerate() {
        let pixels = upper.chunks_exact(N).zip(lower.chunks_exact(N));
        for (out, (a, b)) in out.iter_mut().zip(pixels) {
            *out = mixed(a[channel], b[channel], share);
        }
    }
}

/// How three fetched rows become three rows of the tensor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Blend {
    /// Colours out of the fetched values.
    pub(super) matrix: Matrix,
    /// What a colour is multiplied by, and what is added then, for each output row.
    pub(super) normal: [(f32, f32); 3],
}

impl Blend {
    /// The same for values as they are fetched.
    fn scaled(mut self) -> Self {
        for row in &mut self.matrix {
            for factor in &mut row[..3] {
                *factor *= BACK;
            }
        }
        self
    }
}

/// Fills the three output rows from the three mixed ones, each with its own places.
///
/// # Panics
/// When a place lies outside its row, or an output row is shorter than there are places.
pub(super) fn fetch(rows: [&[i16]; 3], places: [&Fetch; 3], blend: &Blend, out: [&mut [f32]; 3]) {
    let count = places[0].len();
    let blend = blend.scaled();
    let mut out = out.map(|row| &mut row[..count]);
    for (row, place) in rows.iter().zip(places) {
        assert!(
            place.len() == count && place.reach() + 1 < row.len().max(1),
            "places lie inside the picture"
        );
    }
    let mut done = 0;
    #[cfg(target_arch = "x86_64")]
    if wide() {
        #[allow(
            unsafe_code,
            reason = "gathers have no safe form; every index was compared with the row above"
        )]
        // SAFETY: `wide` says that this processor has AVX2 and FMA, and the loop above compared every place with
        // the length of its row.
        unsafe {
            done = avx2::fetch(&rows, &places, &blend, &mut out);
        };
    }
    fetch_plain(&rows, &places, &blend, &mut out, done);
}

fn fetch_plain(
    rows: &[&[i16]; 3],
    places: &[&Fetch; 3],
    blend: &Blend,
    out: &mut [&mut [f32]; 3],
    from: usize,
) {
    for i in from..places[0].len() {
        let mut values = [0.0_f32; 3];
        for ((value, row), place) in values.iter_mut().zip(rows).zip(places) {
            let (at, shares) = (place.at[i] as usize, place.shares[i]);
            let (left, right) = ((shares & 0xffff) as i32, (shares >> 16) as i32);
            *value = (i32::from(row[at]) * left + i32::from(row[at + 1]) * right) as f32;
        }
        for ((out, m), (factor, addend)) in out.iter_mut().zip(blend.matrix).zip(blend.normal) {
            let colour = m[0] * values[0] + m[1] * values[1] + m[2] * values[2] + m[3];
            out[i] = colour.clamp(0.0, 255.0) * factor + addend;
        }
    }
}

/// Whether the processor has AVX2 and FMA; asked once, by the standard library.
#[cfg(target_arch = "x86_64")]
fn wide() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    //! The same for eight values at a time.
    #![allow(
        unsafe_code,
        reason = "loads, stores and gathers of vectors take pointers; the callers checked what they point at"
    )]

    use std::arch::x86_64::{
        __m256, __m256i, _mm256_cvtepi32_ps, _mm256_fmadd_ps, _mm256_i32gather_epi32,
        _mm256_loadu_si256, _mm256_madd_epi16, _mm256_max_ps, _mm256_min_ps, _mm256_set1_ps,
        _mm256_setzero_ps, _mm256_storeu_ps,
    };

    use super::{Blend, Fetch};

    /// Values a vector.
    const LANES: usize = 8;

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn mix(upper: &[u8], lower: &[u8], share: i16, out: &mut [i16]) {
        super::mix_plain(upper, lower, share, out);
    }

    #[target_feature(enable = "avx2,fma")]
    pub(super) fn mix_interleaved<const N: usize>(
        upper: &[u8],
        lower: &[u8],
        share: i16,
        out: &mut [&mut [i16]; N],
    ) {
        super::mix_interleaved_plain(upper, lower, share, out);
    }

    /// Eight fetched values from place `i` on.
    ///
    /// # Safety
    /// `i + 8` places exist, and each of them and its right neighbour lie in the row.
    #[target_feature(enable = "avx2,fma")]
    unsafe fn eight(row: &[i16], place: &Fetch, i: usize) -> __m256 {
        // SAFETY: by the contract of this function. Two neighbours of 16 bits are the 32 bits that one lane of the
        // gather reads, at a distance of two bytes for each index.
        unsafe {
            let at = _mm256_loadu_si256(place.at.as_ptr().add(i).cast::<__m256i>());
            let shares = _mm256_loadu_si256(place.shares.as_ptr().add(i).cast::<__m256i>());
            let pairs = _mm256_i32gather_epi32::<2>(row.as_ptr().cast::<i32>(), at);
            _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, shares))
        }
    }

    /// As many values as whole vectors hold; how many that were.
    ///
    /// # Safety
    /// Every place and its right neighbour lie in their row, and the output rows are as long as there are places.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn fetch(
        rows: &[&[i16]; 3],
        places: &[&Fetch; 3],
        blend: &Blend,
        out: &mut [&mut [f32]; 3],
    ) -> usize {
        let whole = places[0].len() / LANES * LANES;
        let matrix = blend.matrix.map(|row| row.map(|v| _mm256_set1_ps(v)));
        let normal = blend
            .normal
            .map(|(f, a)| (_mm256_set1_ps(f), _mm256_set1_ps(a)));
        let (black, white) = (_mm256_setzero_ps(), _mm256_set1_ps(255.0));
        for i in (0..whole).step_by(LANES) {
            // SAFETY: by the contract of this function; `i` leaves room for a whole vector.
            let values: [__m256; 3] =
                std::array::from_fn(|c| unsafe { eight(rows[c], places[c], i) });
            for c in 0..3 {
                let m = matrix[c];
                let colour = _mm256_fmadd_ps(m[0], values[0], m[3]);
                let colour = _mm256_fmadd_ps(m[1], values[1], colour);
                let colour = _mm256_fmadd_ps(m[2], values[2], colour);
                let colour = _mm256_min_ps(_mm256_max_ps(colour, black), white);
                let value = _mm256_fmadd_ps(colour, normal[c].0, normal[c].1);
                // SAFETY: the output rows are as long as there are places.
                unsafe { _mm256_storeu_ps(out[c].as_mut_ptr().add(i), value) };
            }
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn vectors_and_plain_loops_agree(
            pixels in prop::collection::vec(any::<(u8, u8)>(), 1..90),
            share in 0_i16..=32767,
            taps in prop::collection::vec((0.0_f64..1.0, 0.0_f64..=1.0), 1..60),
            factors in prop::array::uniform3(-2.0_f32..2.0),
        ) {
            let (upper, lower): (Vec<u8>, Vec<u8>) = pixels.iter().copied().unzip();
            let mut row = Vec::new();
            mix(&upper, &lower, share, &mut row);
            let mut plain = vec![0; upper.len() + 1];
            mix_plain(&upper, &lower, share, &mut plain);
            prop_assert_eq!(&row[..upper.len()], &plain[..upper.len()]);
            prop_assert_eq!(row[upper.len()], row[upper.len() - 1]);

            let place = Fetch::new(taps.iter().map(|(at, s)| ((at * upper.len() as f64) as usize, *s)));
            let blend = Blend {
                matrix: factors.map(|f| [f, 0.5 * f, -f, 20.0]),
                normal: [(1.0, 0.0), (0.5, -1.0), (0.01, 3.0)],
            };
            let mut got = [(); 3].map(|()| vec![0.0; place.len()]);
            let mut expect = got.clone();
            let [a, b, c] = &mut got;
            fetch([&row; 3], [&place; 3], &blend, [a, b, c]);
            let [a, b, c] = &mut expect;
            fetch_plain(&[&row; 3], &[&place; 3], &blend.scaled(), &mut [a, b, c], 0);
            for (g, e) in got.iter().flatten().zip(expect.iter().flatten()) {
                prop_assert!((g - e).abs() < 1e-3, "{} {}", g, e);
            }
        }
    }
}
