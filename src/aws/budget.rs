//! Token buckets that limit our calls to AWS and let reverts go first.
//!
//! Route 53 limits the calls of an account in two ways at once: over all calls, and per operation. Each limit is 10
//! calls a second with bursts of 50, shared with the console, Terraform and every other caller. So a call needs a token
//! from two buckets. Steps and reads leave the last tokens, the headroom, to reverts.
//!
//! Source: Route 53 Developer Guide, throttling of API requests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::ports::Urgency;

/// The refill rate of a token bucket, and its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The number of tokens added per second, at least 1.
    pub per_sec: u32,
    /// The most tokens in the bucket, at least 1.
    pub burst: u32,
}

/// The budget of calls: one bucket for all calls and one for each operation. Time is tokio's.
#[derive(Debug)]
pub(super) struct Budget {
    overall: Rate,
    per_operation: Rate,
    /// The number of tokens in each bucket that only reverts may use.
    headroom: u32,
    buckets: Mutex<TokenBuckets>,
    /// The number of reverts that wait for a token. While there are any, normal calls get none.
    reverts_waiting: AtomicU32,
    /// The waiters of each urgency get tokens in the order in which they came: the first one holds the lock and waits
    /// for tokens, and the others wait for the lock.
    revert_turn: tokio::sync::Mutex<()>,
    normal_turn: tokio::sync::Mutex<()>,
}

/// The error if no token came within the time that the caller could wait. It holds that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WaitedTooLong(pub(super) Duration);

#[derive(Debug)]
struct TokenBuckets {
    overall: TokenBucket,
    operations: BTreeMap<&'static str, TokenBucket>,
}

#[derive(Debug, Clone, Copy)]
struct TokenBucket {
    rate: Rate,
    tokens: f64,
    filled_at: Instant,
}

/// Counts a waiting revert until it is dropped. So a revert that no longer waits does not block other calls.
struct Waiting<'a>(&'a AtomicU32);

/// The largest error of rounding when fractions of a token are added.
const ROUNDING: f64 = 1e-6;

impl Budget {
    /// Creates a budget with full buckets. The headroom is kept below the burst, so that normal calls can always get
    /// tokens.
    pub(super) fn new(overall: Rate, per_operation: Rate, headroom: u32) -> Self {
        let least_burst = overall.burst.min(per_operation.burst);
        Self {
            overall,
            per_operation,
            headroom: headroom.min(least_burst.saturating_sub(1)),
            buckets: Mutex::new(TokenBuckets {
                overall: TokenBucket::full(overall),
                operations: BTreeMap::new(),
            }),
            reverts_waiting: AtomicU32::new(0),
            revert_turn: tokio::sync::Mutex::new(()),
            normal_turn: tokio::sync::Mutex::new(()),
        }
    }

    /// Creates a budget for one operation, without headroom.
    pub(super) fn single(rate: Rate) -> Self {
        Self::new(rate, rate, 0)
    }

    /// Waits for a token for one call, at most `wait_at_most`.
    ///
    /// # Errors
    /// No token came within that time.
    pub(super) async fn acquire(
        &self,
        operation: &'static str,
        urgency: Urgency,
        wait_at_most: Duration,
    ) -> Result<(), WaitedTooLong> {
        tokio::time::timeout(wait_at_most, self.take(operation, urgency))
            .await
            .map_err(|_| WaitedTooLong(wait_at_most))
    }

    /// Waits until both buckets have a token, and removes the tokens.
    async fn take(&self, operation: &'static str, urgency: Urgency) {
        let (_waiting, _turn) = match urgency {
            Urgency::Revert => {
                let waiting = Waiting::count(&self.reverts_waiting);
                (Some(waiting), self.revert_turn.lock().await)
            }
            Urgency::Normal => (None, self.normal_turn.lock().await),
        };
        while let Some(wait) = self.try_take(operation, urgency) {
            tokio::time::sleep(wait).await;
        }
    }

    /// Removes a token from both buckets and returns `None`, or returns the time after which to try again.
    fn try_take(&self, operation: &'static str, urgency: Urgency) -> Option<Duration> {
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let TokenBuckets {
            overall,
            operations,
        } = &mut *buckets;
        let own = operations
            .entry(operation)
            .or_insert_with(|| TokenBucket::full(self.per_operation));
        overall.fill(now);
        own.fill(now);
        let (needed, gives_way) = match urgency {
            Urgency::Revert => (1.0, false),
            Urgency::Normal => (
                1.0 + f64::from(self.headroom),
                self.reverts_waiting.load(Ordering::SeqCst) > 0,
            ),
        };
        let wait = overall.wait_for(needed).max(own.wait_for(needed));
        if gives_way {
            return Some(wait.max(self.overall.interval()));
        }
        if wait.is_zero() {
            overall.tokens -= 1.0;
            own.tokens -= 1.0;
            return None;
        }
        Some(wait)
    }
}

impl Rate {
    /// Returns the time in which one token is added.
    fn interval(self) -> Duration {
        Duration::from_secs(1) / self.per_sec.max(1)
    }
}

impl TokenBucket {
    fn full(rate: Rate) -> Self {
        Self {
            rate,
            tokens: f64::from(rate.burst.max(1)),
            filled_at: Instant::now(),
        }
    }

    /// Adds the tokens since the last refill.
    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        let filled = self.tokens + passed * f64::from(self.rate.per_sec.max(1));
        self.tokens = filled.min(f64::from(self.rate.burst.max(1)));
        self.filled_at = now;
    }

    /// Returns the time until there are `needed` tokens; zero if there are. It is a millisecond longer than computed,
    /// because tokio sleeps in whole milliseconds.
    fn wait_for(&self, needed: f64) -> Duration {
        let missing = needed - self.tokens;
        if missing <= ROUNDING {
            return Duration::ZERO;
        }
        let wait = Duration::from_secs_f64(missing / f64::from(self.rate.per_sec.max(1)));
        wait + Duration::from_millis(1)
    }
}

impl<'a> Waiting<'a> {
    fn count(counter: &'a AtomicU32) -> Self {
        counter.fetch_add(1, Ordering::SeqCst);
        Self(counter)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const TEN: Rate = Rate {
        per_sec: 10,
        burst: 50,
    };
    const LONG: Duration = Duration::from_mins(10);

    async fn take_many(budget: &Budget, urgency: Urgency, count: usize) -> Duration {
        let start = Instant::now();
        for _ in 0..count {
            budget.acquire("List", urgency, LONG).await.unwrap();
        }
        start.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_the_rest_comes_at_the_rate() {
        let budget = Budget::new(TEN, TEN, 0);
        assert_eq!(
            take_many(&budget, Urgency::Normal, 50).await,
            Duration::ZERO
        );
        let rest = take_many(&budget, Urgency::Normal, 20).await.as_secs_f64();
        assert!((2.0..2.1).contains(&rest), "{rest}");
    }

    #[tokio::test(start_paused = true)]
    async fn normal_calls_leave_the_headroom_to_reverts() {
        let budget = Budget::new(TEN, TEN, 20);
        assert_eq!(
            take_many(&budget, Urgency::Normal, 30).await,
            Duration::ZERO
        );
        let refused = budget
            .acquire("List", Urgency::Normal, Duration::from_millis(50))
            .await;
        assert_eq!(refused, Err(WaitedTooLong(Duration::from_millis(50))));
        let reverts = take_many(&budget, Urgency::Revert, 20).await;
        assert_eq!(reverts, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_revert_goes_before_normal_calls_that_came_first() {
        let budget = Arc::new(Budget::new(TEN, TEN, 0));
        take_many(&budget, Urgency::Normal, 50).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut calls = tokio::task::JoinSet::new();
        for urgency in [Urgency::Normal, Urgency::Normal, Urgency::Revert] {
            let (budget, order) = (Arc::clone(&budget), Arc::clone(&order));
            calls.spawn(async move {
                budget.acquire("List", urgency, LONG).await.unwrap();
                order.lock().unwrap().push(urgency);
            });
            tokio::task::yield_now().await;
        }
        while calls.join_next().await.is_some() {}
        assert_eq!(order.lock().unwrap()[0], Urgency::Revert);
    }

    #[tokio::test(start_paused = true)]
    async fn each_operation_has_its_own_bucket_below_the_common_one() {
        let one = Rate {
            per_sec: 1,
            burst: 1,
        };
        let budget = Budget::new(TEN, one, 0);
        budget.acquire("List", Urgency::Normal, LONG).await.unwrap();
        let other = budget
            .acquire("Change", Urgency::Normal, Duration::ZERO)
            .await;
        assert_eq!(other, Ok(()));
        let short = Duration::from_millis(500);
        let again = budget.acquire("List", Urgency::Normal, short).await;
        assert_eq!(again, Err(WaitedTooLong(short)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_revert_that_gave_up_no_longer_holds_normal_calls() {
        let one = Rate {
            per_sec: 1,
            burst: 1,
        };
        let budget = Budget::single(one);
        budget.acquire("List", Urgency::Normal, LONG).await.unwrap();
        let short = Duration::from_millis(100);
        assert!(
            budget
                .acquire("List", Urgency::Revert, short)
                .await
                .is_err()
        );
        let start = Instant::now();
        budget.acquire("List", Urgency::Normal, LONG).await.unwrap();
        assert!(start.elapsed() < Duration::from_secs(1));
    }
}
