//! The hunt: the real controller over simulated ports, in scenarios drawn from a seed. Faults at every call, processes that
//! die anywhere, clocks that jump, people and strangers who interfere. No invariant may break; and when the faults stop,
//! everything must come to an end or wait for somebody who knows.
//!
//! `tests/main.rs` plays some seeds, `benches/hunt.rs` plays for hours. A seed plays the same every time.

mod clock;
pub(crate) mod doors;
mod ending;
pub(crate) mod luck;
pub(crate) mod plans;
mod scenario;
mod trouble;
pub(crate) mod witness;
pub(crate) mod world;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use scenario::Scenario;
use tokio::runtime::Builder;

/// What a scenario came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Played {
    /// Cutovers in it.
    pub(crate) cutovers: u64,
    /// How long they were under way, all together, in seconds.
    pub(crate) cutover_secs: u64,
    /// Looks at everything, by all controllers.
    pub(crate) looks: u64,
    /// Calls of all ports.
    pub(crate) calls: u64,
    /// Entries in the journal.
    pub(crate) entries: u64,
    /// How many completed, and how many were taken back, before anybody tidied up.
    pub(crate) completed: u64,
    pub(crate) reverted: u64,
    /// The same for equal journals.
    pub(crate) digest: u64,
}

/// Something is broken.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    pub(crate) seed: u64,
    /// How many disturbances it takes, as far as was tried.
    pub(crate) disturbances: usize,
    pub(crate) story: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.story)?;
        writeln!(
            f,
            "seed {}, {} disturbances; to replay it:",
            self.seed, self.disturbances
        )?;
        write!(
            f,
            "    cargo bench --bench hunt -- --seed {} --runs 1",
            self.seed
        )
    }
}

/// Plays a seed.
///
/// # Errors
/// What was broken, with the story of the journal.
pub(crate) fn play(seed: u64) -> Result<Played, Broken> {
    play_some(seed, usize::MAX)
}

/// Plays a seed with at most so many of its disturbances.
fn play_some(seed: u64, disturbances: usize) -> Result<Played, Broken> {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let played = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async { Scenario::new(seed).play(disturbances).await })
    }));
    let story = match played {
        Ok(Ok(played)) => return Ok(played),
        Ok(Err(story)) => story,
        Err(panic) => {
            let words = panic.downcast_ref::<String>().cloned();
            words.unwrap_or_else(|| "it panicked".to_owned())
        }
    };
    Err(Broken {
        seed,
        disturbances,
        story,
    })
}

/// The same failure with fewer disturbances, if there is one: by halves, then one by one.
pub(crate) fn shrink(broken: &Broken) -> Broken {
    let (mut shortest, mut least, mut most) = (broken.clone(), 0, 128);
    while least < most {
        let half = usize::midpoint(least, most);
        match play_some(broken.seed, half) {
            Err(shorter) => (shortest, most) = (shorter, half),
            Ok(_) => least = half + 1,
        }
    }
    shortest
}
