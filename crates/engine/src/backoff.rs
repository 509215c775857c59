//! Waits that double with each failure.

use jiff::SignedDuration;

/// How long to wait after failures: the first wait, then twice as long each time, up to the longest.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The wait after the first failure; positive.
    pub first: SignedDuration,
    /// The longest wait.
    pub longest: SignedDuration,
}

impl Backoff {
    /// The waits between two tries of a revert, a switch of jobs or a hook: 1, 2, 4 … 60 s (semantics E3).
    pub const TRIES: Self = Self {
        first: SignedDuration::from_secs(1),
        longest: SignedDuration::from_secs(60),
    };

    /// Returns the wait after this many failures in a row. None counts as one.
    pub fn after(self, failures: u32) -> SignedDuration {
        // More doublings would not fit, and are longer than any `longest`.
        let doublings = failures.saturating_sub(1).min(30);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_the_first_to_the_longest() {
        let waits =
            [0, 1, 2, 3, 6, 7, u32::MAX].map(|failures| Backoff::TRIES.after(failures).as_secs());
        assert_eq!(waits, [1, 1, 2, 4, 32, 60, 60]);
    }
}
