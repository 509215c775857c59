//! Token buckets that limit the calls of an account.

use std::collections::BTreeMap;

use jiff::Timestamp;

use cutover_engine::plan::Account;

/// The size of a token bucket, and the rate at which it refills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallRate {
    /// The size of the bucket: the most calls at once.
    pub burst: u32,
    /// The refill rate, in thousandths of a call each second.
    pub refill_milli_per_sec: u32,
}

impl CallRate {
    /// Returns a bucket of `burst` calls that refills with `per_sec` calls each second.
    pub const fn per_second(burst: u32, per_sec: u32) -> Self {
        Self {
            burst,
            refill_milli_per_sec: per_sec * 1_000,
        }
    }
}

/// The quotas of Route 53's API. Each operation has a bucket, and the account has one for all operations. A call needs
/// a token from both.
///
/// Source: Developer Guide, "Throttling of API requests", as of July 2026.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quotas {
    /// The quota of all operations of an account together.
    pub overall: CallRate,
    /// The quota of each operation that has none in `own`.
    pub each: CallRate,
    /// The quotas of single operations, by operation.
    pub own: BTreeMap<String, CallRate>,
}

impl Default for Quotas {
    fn default() -> Self {
        let own = [
            ("CreateHealthCheck", 50, 500),
            ("CreateHostedZone", 40, 2_000),
            ("DeleteHostedZone", 40, 5_000),
            ("GetHealthCheckStatus", 4, 1_000),
        ];
        let own = own.map(|(operation, burst, refill_milli_per_sec)| {
            let rate = CallRate {
                burst,
                refill_milli_per_sec,
            };
            (operation.to_owned(), rate)
        });
        Self {
            overall: CallRate::per_second(50, 10),
            each: CallRate::per_second(50, 10),
            own: own.into_iter().collect(),
        }
    }
}

/// The state of one bucket.
#[derive(Debug, Clone)]
struct QuotaBucket {
    /// The tokens in the bucket, in thousandths of a call.
    milli_tokens: i64,
    /// The time of the last refill.
    filled_at: Timestamp,
}

/// The buckets of all accounts, by operation. The operation is `None` for the bucket of all operations.
#[derive(Debug, Clone, Default)]
pub(super) struct QuotaBuckets {
    buckets: BTreeMap<(Account, Option<String>), QuotaBucket>,
}

/// The tokens that one call needs, in thousandths.
const CALL: i64 = 1_000;

impl QuotaBuckets {
    /// Removes one token from both buckets and returns true. If one of them is empty, removes none and returns false.
    pub(super) fn admit(
        &mut self,
        quotas: &Quotas,
        account: &Account,
        operation: &str,
        now: Timestamp,
    ) -> bool {
        let own = *quotas.own.get(operation).unwrap_or(&quotas.each);
        let keys = [
            ((account.clone(), None), quotas.overall),
            ((account.clone(), Some(operation.to_owned())), own),
        ];
        let mut admitted = true;
        for (key, rate) in &keys {
            let full = i64::from(rate.burst) * CALL;
            let bucket = self.buckets.entry(key.clone()).or_insert(QuotaBucket {
                milli_tokens: full,
                filled_at: now,
            });
            bucket.fill(*rate, now);
            admitted &= bucket.milli_tokens >= CALL;
        }
        if admitted {
            for (key, _) in keys {
                if let Some(bucket) = self.buckets.get_mut(&key) {
                    bucket.milli_tokens -= CALL;
                }
            }
        }
        admitted
    }
}

impl QuotaBucket {
    /// Adds the tokens since the last refill. If the clock stands still or goes back, adds none.
    fn fill(&mut self, rate: CallRate, now: Timestamp) {
        let elapsed = now.as_millisecond() - self.filled_at.as_millisecond();
        if elapsed <= 0 {
            return;
        }
        let added = elapsed.saturating_mul(i64::from(rate.refill_milli_per_sec)) / 1_000;
        if added == 0 {
            return;
        }
        let full = i64::from(rate.burst) * CALL;
        self.milli_tokens = self.milli_tokens.saturating_add(added).min(full);
        self.filled_at = now;
    }
}
