//! The caches between the callers and Route 53. They decide which side the requests really go to.
//!
//! There is a limited number of caches. Each asks again when the TTL is over, and gets the new side with the
//! probability that the weights give. So the observed share is coarse. A part of the requests uses connections that
//! stay open, and follows later. Another part comes through stragglers: resolvers and runtimes that keep an answer for
//! hours, whatever its TTL is.

use super::chance::Chance;
use super::tracks::TRACKS;
use crate::scenario;

/// The fraction of the open connections that is opened again each minute.
const RECONNECT: f64 = 0.35;

/// The shortest and the longest time for which a straggler keeps an answer, in seconds.
const STRAGGLE: (f64, f64) = (1_800.0, 21_600.0);

/// The number of ordinary caches for each straggler.
const CACHES_PER_STRAGGLER: usize = 2;

/// All caches and open connections between the callers and Route 53.
#[derive(Debug, Clone)]
pub struct ResolverCaches {
    caches: Vec<Cache>,
    /// The caches that keep an answer for longer than its TTL.
    stragglers: Vec<Cache>,
    /// The fraction of the requests that comes through stragglers (0 to 1).
    straggling: f64,
    /// The fraction of the other requests that uses connections that are already open (0 to 1).
    keep_alive: f64,
    /// The new side's share of the open connections, for each track (0 to 1).
    connected: [f64; TRACKS],
    answers: Chance,
}

/// One cache of DNS answers.
#[derive(Debug, Clone)]
struct Cache {
    /// The fraction of the requests that comes through this cache (0 to 1).
    part: f64,
    /// The time for which the cache keeps an answer, in seconds.
    keeps: i64,
    /// The time at which the cache asks again, in seconds since 1970. `None` before the first minute; the cache has an
    /// answer even then.
    asks_at: Option<i64>,
    /// True if the cache answers with the new side, for each track.
    new: [bool; TRACKS],
}

impl ResolverCaches {
    /// Creates caches that have answered with the new side's share `share` (0 to 1) for a long time.
    pub fn new(
        spec: &scenario::Resolvers,
        ttl_secs: i64,
        share: f64,
        population: &mut Chance,
        answers: Chance,
    ) -> Self {
        let count = usize::from(spec.count.max(1));
        let ttl = ttl_secs.max(1);
        let caches = caches(count, share, population, |_| ttl);
        let stragglers = caches_of_stragglers(count, share, population);
        Self {
            caches,
            stragglers,
            straggling: spec.stragglers,
            keep_alive: spec.keep_alive,
            connected: [share; TRACKS],
            answers,
        }
    }

    /// Returns the new side's share of the requests in the minute that begins at `now` (seconds since 1970), for each
    /// track. `shares` are the shares by the weights in force.
    pub fn minute(&mut self, now: i64, shares: &[f64; TRACKS]) -> [f64; TRACKS] {
        let fresh = asked(&mut self.caches, now, shares, &mut self.answers);
        let stuck = asked(&mut self.stragglers, now, shares, &mut self.answers);
        let mut observed = [0.0; TRACKS];
        for track in 0..TRACKS {
            self.connected[track] += RECONNECT * (fresh[track] - self.connected[track]);
            let current =
                (1.0 - self.keep_alive) * fresh[track] + self.keep_alive * self.connected[track];
            observed[track] = (1.0 - self.straggling) * current + self.straggling * stuck[track];
        }
        observed
    }
}

/// Creates the caches that keep an answer for longer than its TTL.
fn caches_of_stragglers(count: usize, share: f64, population: &mut Chance) -> Vec<Cache> {
    let count = count / CACHES_PER_STRAGGLER;
    caches(count, share, population, |chance| {
        whole(STRAGGLE.0 + chance.even() * (STRAGGLE.1 - STRAGGLE.0))
    })
}

/// Creates caches of different sizes. Some serve a whole internet provider, most serve an office.
fn caches(
    count: usize,
    share: f64,
    population: &mut Chance,
    keeps: impl Fn(&mut Chance) -> i64,
) -> Vec<Cache> {
    let sizes: Vec<f64> = (0..count.max(1))
        .map(|_| 0.3 + population.exponential(1.0))
        .collect();
    let all: f64 = sizes.iter().sum();
    let mut caches = Vec::new();
    for size in sizes {
        let keeps = keeps(population);
        let new = population.even() < share;
        caches.push(Cache {
            part: size / all,
            keeps,
            asks_at: None,
            new: [new; TRACKS],
        });
    }
    caches
}

/// Lets the caches whose answers have expired ask again. Returns the new side's share for each track.
///
/// The number of random draws does not depend on the weights.
fn asked(
    caches: &mut [Cache],
    now: i64,
    shares: &[f64; TRACKS],
    answers: &mut Chance,
) -> [f64; TRACKS] {
    let mut sum = [0.0; TRACKS];
    for cache in caches {
        if cache.asks_at.is_none() {
            // The answer was fetched at a random time before now.
            let gone = answers.even() * f64::from(i32::try_from(cache.keeps).unwrap_or(i32::MAX));
            cache.asks_at = Some(now + whole(gone));
        }
        if cache.asks_at.is_some_and(|at| at <= now) {
            let point = answers.even();
            for (new, share) in cache.new.iter_mut().zip(shares) {
                *new = point < *share;
            }
            cache.asks_at = Some(now + cache.keeps);
        }
        for (sum, new) in sum.iter_mut().zip(cache.new) {
            if new {
                *sum += cache.part;
            }
        }
    }
    sum
}

/// Rounds down to whole seconds.
fn whole(seconds: f64) -> i64 {
    i64::try_from(std::time::Duration::from_secs_f64(seconds.max(0.0)).as_secs())
        .unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60;

    fn population(spec: &scenario::Resolvers, ttl: i64) -> ResolverCaches {
        let mut population = Chance::stream(11, "population");
        let answers = Chance::stream(11, "answers");
        ResolverCaches::new(spec, ttl, 0.0, &mut population, answers)
    }

    /// Returns the observed shares of the minutes after the weights went from 0 to `share`.
    fn after(resolvers: &mut ResolverCaches, share: f64, minutes: i64) -> Vec<f64> {
        (0..minutes)
            .map(|minute| resolvers.minute(minute * MINUTE, &[share; TRACKS])[0])
            .collect()
    }

    #[test]
    fn after_a_step_the_observed_share_converges_within_the_ttl_but_for_stragglers() {
        let spec = scenario::Resolvers {
            count: 2_000,
            stragglers: 0.05,
            keep_alive: 0.0,
        };
        let observed = after(&mut population(&spec, 300), 1.0, 600);
        assert!(observed[0] < 0.3, "{observed:?}");
        assert!(observed[2] > 0.3 && observed[2] < 0.5);
        assert!(observed[5] > 0.94 && observed[5] < 0.97, "{}", observed[5]);
        assert!(observed[60] < 0.99, "the tail is long: {}", observed[60]);
        assert!(observed[370] > 0.999_999);
    }

    #[test]
    fn connections_that_stay_open_follow_later() {
        let spec = scenario::Resolvers {
            count: 500,
            stragglers: 0.0,
            keep_alive: 0.5,
        };
        let observed = after(&mut population(&spec, 60), 1.0, 30);
        assert!(observed[1] > 0.6 && observed[1] < 0.95, "{observed:?}");
        assert!(observed[20] > 0.999);
    }

    /// Returns the standard deviation of the observed share, for this number of caches and a share of 0.3 by the
    /// weights.
    fn spread(count: u16) -> f64 {
        let spec = scenario::Resolvers {
            count,
            stragglers: 0.0,
            keep_alive: 0.0,
        };
        let observed = after(&mut population(&spec, 60), 0.3, 500);
        let squares = observed[2..].iter().map(|share| (share - 0.3).powi(2));
        (squares.sum::<f64>() / 498.0).sqrt()
    }

    #[test]
    fn few_caches_make_the_share_coarse() {
        assert!(spread(10) > 2.0 * spread(200));
        assert!(spread(200) > 0.005);
    }
}
