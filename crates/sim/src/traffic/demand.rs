//! The number of requests: a daily curve, the shape of the week, noise, and push notifications.

use super::chance::Chance;
use crate::scenario::Traffic;

/// The length of a minute in seconds.
pub const MINUTE: i64 = 60;

/// The traffic of Saturday and Sunday, as a fraction of a weekday's.
const WEEKEND: f64 = 0.8;

/// The smallest and the largest factor by which a push notification multiplies the requests.
const PUSH: (f64, f64) = (10.0, 30.0);

/// The fraction of a push notification's spike that is left after each further minute.
const FADE: f64 = 0.55;

/// The number of minutes in a day.
const DAY: f64 = 1440.0;

/// The number of requests to one service over time.
#[derive(Debug, Clone)]
pub struct Demand {
    traffic: Traffic,
    noise: Chance,
    pushes: Chance,
    /// The additional requests because of a push notification, as a multiple of the usual requests.
    spike: f64,
}

impl Demand {
    /// Creates the requests of this traffic. `noise` and `pushes` are their random numbers.
    pub fn new(traffic: &Traffic, noise: Chance, pushes: Chance) -> Self {
        Self {
            traffic: traffic.clone(),
            noise,
            pushes,
            spike: 0.0,
        }
    }

    /// Returns the number of requests in the minute that begins at `from` (seconds since 1970). Minutes must be asked
    /// for in order.
    pub fn minute(&mut self, from: i64) -> f64 {
        let (sent, size) = (self.pushes.even(), self.pushes.even());
        self.spike *= FADE;
        if sent < self.traffic.pushes_per_day / DAY {
            // All requests of a push come within seconds, so the whole spike is in this minute.
            self.spike = PUSH.0 + size * (PUSH.1 - PUSH.0) - 1.0;
        }
        let noise = (1.0 + self.traffic.noise * self.noise.normal()).max(0.0);
        self.usual(from) * (1.0 + self.spike) * noise
    }

    /// Returns the number of requests in a minute without noise and pushes.
    fn usual(&self, from: i64) -> f64 {
        let minutes = from.div_euclid(MINUTE);
        let of_day = u32::try_from(minutes.rem_euclid(1440)).map_or(0.0, f64::from);
        // 1 January 1970 was a Thursday, so days 2 and 3 were a weekend.
        let day = minutes.div_euclid(1440).rem_euclid(7);
        let week = if day == 2 || day == 3 { WEEKEND } else { 1.0 };
        let from_peak = (of_day / 60.0 - self.traffic.peak_hour) / 24.0;
        let curve = 1.0 + self.traffic.swing * (std::f64::consts::TAU * from_peak).cos();
        self.traffic.per_minute * curve * week
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(traffic: &Traffic) -> Vec<f64> {
        let [noise, pushes] = ["noise", "pushes"].map(|name| Chance::stream(1, name));
        let mut demand = Demand::new(traffic, noise, pushes);
        (0..20_160)
            .map(|minute| demand.minute(minute * MINUTE))
            .collect()
    }

    fn quiet() -> Traffic {
        Traffic {
            pushes_per_day: 0.0,
            noise: 0.0,
            ..Traffic::default()
        }
    }

    #[test]
    fn the_day_has_its_peak_and_the_weekend_is_quieter() {
        let minutes = demand(&quiet());
        assert!((minutes[12 * 60] - 900.0).abs() < 1.0);
        assert!((minutes[0] - 300.0).abs() < 1.0);
        let saturday = 2 * 1440 + 12 * 60;
        assert!((minutes[saturday] - 720.0).abs() < 1.0);
    }

    #[test]
    fn a_push_brings_ten_to_thirty_times_the_requests_within_its_minute() {
        let traffic = Traffic {
            pushes_per_day: 1.0,
            ..quiet()
        };
        let (pushed, usual) = (demand(&traffic), demand(&quiet()));
        let times: Vec<f64> = pushed.iter().zip(&usual).map(|(a, b)| a / b).collect();
        let spikes = times
            .windows(2)
            .filter(|pair| pair[1] > 9.9 && pair[0] < 2.0);
        assert!((5..30).contains(&spikes.count()));
        assert!(times.iter().all(|times| *times < 30.1));
        let calm = times.iter().filter(|times| **times < 1.05).count();
        assert!(calm > 19_000, "{calm}");
    }
}
