//! A service whose traffic is split between two sides.

use std::f64::consts::TAU;
use std::fmt;

use cutover_engine::evidence::sequential::TrafficMinute;
use fastrand::Rng;
use jiff::Timestamp;

/// Three days.
pub(crate) const MINUTES: usize = 3 * DAY;
const DAY: usize = 24 * 60;

/// How errors come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bursts {
    /// The variance of their number over its mean.
    pub(crate) size: f64,
    /// For so long the rate of errors stays as it was drawn.
    pub(crate) minutes: usize,
}

impl fmt::Display for Bursts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self { size, .. } if *size <= 1.0 => f.write_str("alone"),
            Self { size, minutes: 1 } => write!(f, "in bursts of {size}"),
            Self { size, minutes } => write!(f, "in bursts of {size} over {minutes} min"),
        }
    }
}

/// What is wrong with the new side.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trouble {
    /// Nothing.
    None,
    /// It fails so many times as often, from this minute on.
    Worse { times: f64, from: usize },
}

/// One service.
pub(crate) struct Service {
    rng: Rng,
    rate: f64,
    shares: [f64; 3],
    bursts: Bursts,
    trouble: Trouble,
    minute: usize,
    /// The factors that the rates of errors of new and old have until `drawn_until`.
    factors: [f64; 2],
    drawn_until: usize,
}

/// The share of requests that fail where nothing is wrong.
const FAILING: f64 = 0.001;

/// The new side's share of the traffic on each day of a service that is worse.
pub(crate) const STEADY: [f64; 3] = [0.1; 3];

/// The same of a service that is well: it takes a step each day.
pub(crate) const LADDER: [f64; 3] = [0.01, 0.1, 0.5];

impl Service {
    pub(crate) fn new(seed: u64, rate: f64, bursts: Bursts, trouble: Trouble) -> Self {
        Self {
            rng: Rng::with_seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ rate.to_bits()),
            rate,
            shares: match trouble {
                Trouble::None => LADDER,
                Trouble::Worse { .. } => STEADY,
            },
            bursts,
            trouble,
            minute: 0,
            factors: [1.0; 2],
            drawn_until: 0,
        }
    }

    /// The day before, with all traffic on the old side.
    pub(crate) fn day_before(&mut self) -> Vec<TrafficMinute> {
        (0..DAY).map(|_| self.minute(0.0)).collect()
    }

    /// The next minute of the three days.
    pub(crate) fn next_minute(&mut self) -> TrafficMinute {
        let day = (self.minute / DAY).clamp(1, 3) - 1;
        self.minute(self.shares[day])
    }

    fn minute(&mut self, share: f64) -> TrafficMinute {
        let minute = self.minute;
        self.minute += 1;
        let day = f64::from(u32::try_from(minute % DAY).expect("within a day")) / 1440.0;
        let traffic = self.rate * (1.0 + 0.6 * (TAU * day).sin());
        let mut failing = [FAILING; 2];
        if let Trouble::Worse { times, from } = self.trouble
            && minute >= DAY + from
        {
            failing[0] *= times;
        }
        let traffic = [traffic * share, traffic * (1.0 - share)];
        if minute >= self.drawn_until {
            self.drawn_until = minute + self.bursts.minutes;
            let span = f64::from(u32::try_from(self.bursts.minutes).expect("few"));
            self.factors = [0, 1].map(|side| {
                let mean = traffic[side] * failing[side] * span;
                gamma_factor(&mut self.rng, mean, self.bursts.size)
            });
        }
        let [new, old] = [0, 1].map(|side| {
            let requests = poisson(&mut self.rng, traffic[side]);
            let mean = traffic[side] * failing[side] * self.factors[side];
            let errors = poisson(&mut self.rng, mean);
            (requests.max(errors), errors)
        });
        TrafficMinute {
            minute: Timestamp::from_second(
                1_800_000_000 + 60 * i64::try_from(minute).expect("few"),
            )
            .expect("a time"),
            new_requests: new.0,
            new_errors: new.1,
            old_requests: old.0,
            old_errors: old.1,
        }
    }
}

/// What to multiply a mean by, so that Poisson numbers around it have `size` times its variance: gamma-distributed with
/// mean 1 and shape `mean / (size − 1)`.
fn gamma_factor(rng: &mut Rng, mean: f64, size: f64) -> f64 {
    if size <= 1.0 || mean <= 0.0 {
        return 1.0;
    }
    let shape = mean / (size - 1.0);
    gamma(rng, shape) / shape
}

/// Marsaglia and Tsang, *A simple method for generating gamma variables*, ACM TOMS 26 (2000).
fn gamma(rng: &mut Rng, shape: f64) -> f64 {
    if shape < 1.0 {
        let boost = rng.f64().max(f64::MIN_POSITIVE).powf(1.0 / shape);
        return gamma(rng, shape + 1.0) * boost;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(rng);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && rng.f64().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

fn normal(rng: &mut Rng) -> f64 {
    (-2.0 * (1.0 - rng.f64()).ln()).sqrt() * (TAU * rng.f64()).cos()
}

/// Above this mean a Poisson number is as good as a normal one.
const POISSON_EXACT_MAX: f64 = 30.0;

fn poisson(rng: &mut Rng, mean: f64) -> u64 {
    if mean > POISSON_EXACT_MAX {
        let number = mean + mean.sqrt() * normal(rng);
        return format!("{:.0}", number.max(0.0))
            .parse()
            .expect("a whole number");
    }
    let point = rng.f64();
    let mut chance = (-mean).exp();
    let (mut sum, mut count) = (chance, 0_u32);
    while point > sum && count < 500 {
        count += 1;
        chance *= mean / f64::from(count);
        sum += chance;
    }
    u64::from(count)
}
