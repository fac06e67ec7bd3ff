//! Vector instructions: which of them the processor has, the loops of the model compiled for them, and the one kernel
//! that is written by hand. Every level computes the same bits; the plain one is the reference.
#![allow(
    unsafe_code,
    reason = "instructions that only some processors have are called after the processor was asked"
)]

/// Bytes of a row that the kernels take at once.
pub const GROUP: usize = 32;

/// Which vector instructions are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// None but those that every processor of the kind has.
    Plain,
    /// AVX2, on x86-64.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// NEON, on arm64.
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl Default for Level {
    /// The best that this processor has.
    fn default() -> Self {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            return Self::Avx2;
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            return Self::Neon;
        }
        Self::Plain
    }
}

impl Level {
    /// Does work whose loops are compiled for the level; the same bits come out, because no operation is fused or reordered.
    #[inline(always)]
    pub fn run<R>(self, work: impl FnOnce() -> R) -> R {
        match self {
            // NEON belongs to every arm64 processor that Rust compiles for: plain loops use it.
            #[cfg(target_arch = "aarch64")]
            Self::Neon => work(),
            Self::Plain => work(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => {
                #[target_feature(enable = "avx2")]
                fn with_avx2<R>(work: impl FnOnce() -> R) -> R {
                    work()
                }
                // SAFETY: `Default` makes this level only where the processor has AVX2, and nothing else makes it.
                unsafe { with_avx2(work) }
            }
        }
    }

    /// Writes the sum over four rows of each four neighbours, times `scale`: one value for each four bytes of a row.
    /// What a row or `out` has beyond that is left alone. The rows that are read next lie `ahead` bytes farther.
    pub fn quads(self, rows: [&[u8]; 4], ahead: usize, scale: f32, out: &mut [f32]) {
        let whole = rows.iter().map(|row| row.len() / 4).min().unwrap_or(0);
        let whole = whole.min(out.len()) / (GROUP / 4) * (GROUP / 4);
        let (out, rest) = out.split_at_mut(whole);
        quads_plainly(rows.map(|row| &row[4 * whole..]), scale, rest);
        let rows = rows.map(|row| &row[..4 * whole]);
        match self {
            Self::Plain => quads_plainly(rows, scale, out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            Self::Avx2 => unsafe { avx2::quads(rows, ahead, scale, out) },
            #[cfg(target_arch = "aarch64")]
            // SAFETY: `Default` makes this level only where the processor has NEON, and nothing else makes it.
            Self::Neon => unsafe { neon::quads(rows, scale, out) },
        }
    }
}

/// The reference of the kernels.
fn quads_plainly(rows: [&[u8]; 4], scale: f32, out: &mut [f32]) {
    let fours = rows.map(|row| row.as_chunks::<4>().0);
    let sum = |four: &[u8; 4]| four.iter().map(|&p| u32::from(p)).sum::<u32>();
    let cells = out
        .iter_mut()
        .zip(fours[0])
        .zip(fours[1])
        .zip(fours[2])
        .zip(fours[3]);
    for ((((out, a), b), c), d) in cells {
        *out = (sum(a) + sum(b) + sum(c) + sum(d)) as f32 * scale;
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::GROUP;
    use std::arch::x86_64::{
        __m256i, _MM_HINT_T0, _mm_prefetch, _mm256_add_epi16, _mm256_cvtepi32_ps,
        _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_mul_ps,
        _mm256_set1_epi8, _mm256_set1_epi16, _mm256_set1_ps, _mm256_storeu_ps,
    };

    /// [`super::quads_plainly`], 32 bytes at once.
    #[target_feature(enable = "avx2")]
    pub fn quads(rows: [&[u8]; 4], ahead: usize, scale: f32, out: &mut [f32]) {
        let groups = rows.map(|row| row.as_chunks::<GROUP>().0);
        let (ones8, ones16) = (_mm256_set1_epi8(1), _mm256_set1_epi16(1));
        let scale = _mm256_set1_ps(scale);
        let cells = out
            .as_chunks_mut::<{ GROUP / 4 }>()
            .0
            .iter_mut()
            .zip(groups[0])
            .zip(groups[1])
            .zip(groups[2])
            .zip(groups[3]);
        for ((((out, a), b), c), d) in cells {
            // Pairs of neighbours: at most 4 * 2 * 255, which sixteen bits hold.
            let [a, b, c, d] = [a, b, c, d].map(|row| {
                // Rows are too short for the processor to foresee the next ones: unasked for, they are waited for.
                _mm_prefetch::<_MM_HINT_T0>(row.as_ptr().wrapping_add(ahead).cast());
                // SAFETY: reads the 32 bytes of the group; no alignment is asked for.
                let bytes = unsafe { _mm256_loadu_si256(row.as_ptr().cast::<__m256i>()) };
                _mm256_maddubs_epi16(bytes, ones8)
            });
            let pairs = _mm256_add_epi16(_mm256_add_epi16(a, b), _mm256_add_epi16(c, d));
            let fours = _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, ones16));
            // SAFETY: writes the eight floats of the chunk; no alignment is asked for.
            unsafe { _mm256_storeu_ps(out.as_mut_ptr(), _mm256_mul_ps(fours, scale)) };
        }
    }
}

#[cfg(target_arch = "aarch64")]
mod neon {
    use super::GROUP;
    use std::arch::aarch64::{
        vcvtq_f32_u32, vld1q_u8, vmulq_n_f32, vpadalq_u8, vpaddlq_u8, vpaddlq_u16, vst1q_f32,
    };

    /// [`super::quads_plainly`], 16 bytes at once.
    #[target_feature(enable = "neon")]
    pub fn quads(rows: [&[u8]; 4], scale: f32, out: &mut [f32]) {
        let groups = rows.map(|row| row.as_chunks::<{ GROUP / 2 }>().0);
        let cells = out
            .as_chunks_mut::<{ GROUP / 8 }>()
            .0
            .iter_mut()
            .zip(groups[0])
            .zip(groups[1])
            .zip(groups[2])
            .zip(groups[3]);
        for ((((out, a), b), c), d) in cells {
            // SAFETY: each reads the 16 bytes of its group.
            let [a, b, c, d] = [a, b, c, d].map(|row| unsafe { vld1q_u8(row.as_ptr()) });
            // Pairs of neighbours: at most 4 * 2 * 255, which sixteen bits hold.
            let pairs = vpadalq_u8(vpadalq_u8(vpadalq_u8(vpaddlq_u8(a), b), c), d);
            let fours = vmulq_n_f32(vcvtq_f32_u32(vpaddlq_u16(pairs)), scale);
            // SAFETY: writes the four floats of the chunk.
            unsafe { vst1q_f32(out.as_mut_ptr(), fours) };
        }
    }
}
