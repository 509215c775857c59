//! Random numbers for simulations in tests. The same seed gives the same numbers.

/// A stream of random numbers.
///
/// Source: Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators* (OOPSLA 2014), `SplitMix64`.
pub struct Luck(u64);

impl Luck {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Draws a number between 0 and 1, uniformly distributed, both ends excluded.
    pub fn even(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        let high = u32::try_from(mixed >> 32).expect("32 bits");
        (f64::from(high) + 0.5) / 4_294_967_296.0
    }

    /// Draws a normally distributed number with mean 0 and standard deviation 1.
    pub fn normal(&mut self) -> f64 {
        let size = (-2.0 * self.even().ln()).sqrt();
        size * (std::f64::consts::TAU * self.even()).cos()
    }

    /// Draws a Poisson-distributed number. For a mean above 50 it is a rounded normal number.
    pub fn poisson(&mut self, mean: f64) -> f64 {
        if mean > 50.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let least = (-mean).exp();
        let (mut count, mut product) = (0.0, self.even());
        while product > least {
            product *= self.even();
            count += 1.0;
        }
        count
    }
}
