//! Converts floating point to integers and back. Sums are stored in integers, because these do not depend on the order
//! of the terms.

/// The largest size of a number. Larger ones are cut off; no measured number comes near it.
const LARGEST: f64 = 4.0e18;

/// Returns the nearest integer. NaN becomes 0, and numbers that are too large are cut off.
pub(super) fn rounded(number: f64) -> i64 {
    let size = number.abs().round();
    if size.is_nan() || size < 1.0 {
        return 0;
    }
    let bits = size.min(LARGEST).to_bits();
    // IEEE 754 binary64: 11 bits of exponent, biased by 1023, over 52 bits of mantissa with a hidden first bit.
    let mantissa = (bits & ((1 << 52) - 1)) + (1 << 52);
    let exponent = (bits >> 52) & 0x7ff;
    let units = if exponent >= 1075 {
        mantissa << (exponent - 1075)
    } else {
        mantissa >> (1075 - exponent)
    };
    let units = i64::try_from(units).unwrap_or(i64::MAX);
    if number.is_sign_negative() {
        -units
    } else {
        units
    }
}

/// Returns the nearest integer that is not negative.
pub(in crate::evidence) fn natural(number: f64) -> u64 {
    u64::try_from(rounded(number)).unwrap_or(0)
}

/// Returns the number in floating point, exact to 53 bits.
pub(in crate::evidence) fn float(number: u64) -> f64 {
    let halves = [number >> 32, number & 0xffff_ffff];
    let [high, low] = halves.map(|half| f64::from(u32::try_from(half).unwrap_or(u32::MAX)));
    high * 4_294_967_296.0 + low
}

/// Returns the number in floating point, exact to 53 bits.
pub(super) fn signed(number: i64) -> f64 {
    let size = float(number.unsigned_abs());
    if number.is_negative() { -size } else { size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_to_the_nearest() {
        for (number, wanted) in [
            (0.0, 0),
            (0.49, 0),
            (0.5, 1),
            (-1.5, -2),
            (1e6 + 0.25, 1_000_000),
            (9_007_199_254_740_993.0, 9_007_199_254_740_992),
            (1e300, 4_000_000_000_000_000_000),
            (f64::NEG_INFINITY, -4_000_000_000_000_000_000),
            (f64::NAN, 0),
        ] {
            assert_eq!(rounded(number), wanted, "{number}");
        }
        assert_eq!(natural(-3.0), 0);
    }

    #[test]
    fn integers_come_back_as_they_were() {
        for number in [0, 1, 4_294_967_296, 9_007_199_254_740_991] {
            assert_eq!(natural(float(number)), number);
        }
        assert!(signed(-5) < -4.9);
    }
}
