//! Random numbers in streams. Each kind of event has its own stream, so an additional draw in one does not change
//! others.

use fastrand::Rng;

/// One stream of random numbers. The same seed and name give the same numbers.
#[derive(Debug, Clone)]
pub struct Chance(Rng);

/// The mean above which a Poisson distribution is drawn as a normal one, which is close enough.
const POISSON_EXACT_MAX: f64 = 30.0;

impl Chance {
    /// Returns the stream with this name in the world with this seed.
    pub fn stream(seed: u64, name: &str) -> Self {
        // FNV-1a over the name, starting from the seed; the generator scrambles it further.
        let mut hash = seed ^ 0xcbf2_9ce4_8422_2325;
        for byte in name.bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        hash = (hash ^ (hash >> 31)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Self(Rng::with_seed(hash ^ (hash >> 29)))
    }

    /// Draws a number between 0 and 1, uniformly distributed. Uses one random number.
    pub fn even(&mut self) -> f64 {
        self.0.f64()
    }

    /// Draws a normally distributed number with mean 0 and standard deviation 1. Uses two random numbers.
    pub fn normal(&mut self) -> f64 {
        let (radius, angle) = (self.even(), self.even());
        (-2.0 * (1.0 - radius).ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    }

    /// Draws an exponentially distributed number with this mean. Uses one random number.
    pub fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.even()).ln()
    }

    /// Draws a Poisson-distributed count with this mean. Uses two random numbers.
    pub fn poisson(&mut self, mean: f64) -> f64 {
        if mean > POISSON_EXACT_MAX {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0);
        }
        let (point, _) = (self.even(), self.even());
        let mut chance = (-mean.max(0.0)).exp();
        let (mut sum, mut count) = (chance, 0.0);
        while point > sum && count < 200.0 {
            count += 1.0;
            chance *= mean / count;
            sum += chance;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(seed: u64, name: &str) -> u64 {
        Chance::stream(seed, name).even().to_bits()
    }

    fn mean(draw: impl FnMut() -> f64) -> f64 {
        std::iter::repeat_with(draw).take(20_000).sum::<f64>() / 20_000.0
    }

    #[test]
    fn draws_have_the_mean_that_they_are_asked_for() {
        let mut chance = Chance::stream(1, "a");
        for wanted in [0.05, 3.0, 100.0] {
            let found = mean(|| chance.poisson(wanted));
            assert!(
                (found - wanted).abs() < 0.05 * wanted + 0.01,
                "{wanted}: {found}"
            );
        }
        assert!(mean(|| chance.normal()).abs() < 0.03);
        assert!((mean(|| chance.exponential(4.0)) - 4.0).abs() < 0.2);
    }

    #[test]
    fn streams_of_one_seed_differ_by_their_names() {
        assert_ne!(first(1, "a"), first(1, "b"));
        assert_ne!(first(1, "a"), first(2, "a"));
        assert_eq!(first(1, "a"), first(1, "a"));
    }
}
