//! 16-bit floats (IEEE 754 binary16) and the usual ones, by their bits.

/// The nearest 16-bit float, ties to even; too large values become infinity.
pub fn from_f32(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = ((bits >> 16) & 0x8000) as u16;
    let rest = bits & 0x7fff_ffff;
    if rest > 0x7f80_0000 {
        return sign | 0x7e00;
    }
    if rest >= 0x4780_0000 {
        return sign | 0x7c00;
    }
    if rest < 0x3880_0000 {
        // Below the least normal number: a fixed point number of 24 digits.
        let magnitude = f32::from_bits(rest) * 16_777_216.0;
        return sign | magnitude.round_ties_even() as u16;
    }
    // Moves the exponent from one bias to the other; a carry out of the fraction is the next exponent.
    let moved = rest - 0x3800_0000;
    let rounded = moved + 0x0fff + ((moved >> 13) & 1);
    sign | (rounded >> 13).min(0x7c00) as u16
}

/// The value of a 16-bit float, exactly.
pub fn to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let rest = u32::from(bits & 0x7fff);
    let value = match rest >> 10 {
        0 => return f32::from_bits(sign | (rest as f32 / 16_777_216.0).to_bits()),
        31 => 0x7f80_0000 | (rest & 0x3ff) << 13,
        _ => (rest << 13) + 0x3800_0000,
    };
    f32::from_bits(sign | value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_survives_the_round_trip() {
        for bits in 0..=u16::MAX {
            let value = to_f32(bits);
            if value.is_nan() {
                assert!(to_f32(from_f32(value)).is_nan());
            } else {
                assert_eq!(from_f32(value), bits, "{value}");
            }
        }
    }

    #[test]
    fn rounds_to_the_nearest() {
        for (value, expect) in [
            (1.0, 0x3c00),
            (-2.0, 0xc000),
            (65504.0, 0x7bff),
            (65519.0, 0x7bff),
            (65520.0, 0x7c00),
            (1e9, 0x7c00),
            (1.0 + 1.0 / 2048.0, 0x3c00),
            (1.0 + 3.0 / 2048.0, 0x3c02),
            (5.960_464_5e-8, 0x0001),
            (1e-9, 0x0000),
        ] {
            assert_eq!(from_f32(value), expect, "{value}");
        }
    }
}
