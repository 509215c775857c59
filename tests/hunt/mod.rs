//! The hunt: the real controller over simulated ports, in scenarios drawn from a seed. Calls fail, processes die anywhere,
//! clocks jump, people and other writers interfere. No invariant may break. When the faults stop, every cutover must end, or
//! wait for a person who was paged.
//!
//! `tests/main.rs` plays some seeds, `benches/hunt.rs` plays for hours. A seed plays the same every time.

mod clock;
mod ending;
pub(crate) mod luck;
pub(crate) mod plans;
pub(crate) mod ports;
mod scenario;
mod slots;
mod trouble;
pub(crate) mod witness;
pub(crate) mod world;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use scenario::Scenario;
use tokio::runtime::Builder;
pub(crate) use world::JournalKind;

/// The results of a scenario.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Played {
    /// The cutovers in it.
    pub(crate) cutovers: u64,
    /// The time that they were under way, in seconds, in all.
    pub(crate) cutover_secs: u64,
    /// The rounds of all controllers.
    pub(crate) looks: u64,
    /// The calls of all ports.
    pub(crate) calls: u64,
    /// The entries in the journal.
    pub(crate) entries: u64,
    /// The cutovers that completed, and those that were reverted, before people ended the rest.
    pub(crate) completed: u64,
    pub(crate) reverted: u64,
    /// A digest of the journal.
    pub(crate) digest: u64,
}

/// A broken invariant.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    pub(crate) seed: u64,
    /// Where the journal was.
    pub(crate) journal: JournalKind,
    /// The fewest disturbances that are known to break it.
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
        let journal = match self.journal {
            JournalKind::Memory => "",
            JournalKind::Slots => " --journal slots",
        };
        write!(
            f,
            "    cargo bench --bench hunt -- --seed {} --runs 1{journal}",
            self.seed
        )
    }
}

/// Plays a seed, with a journal of this kind.
///
/// # Errors
/// The broken invariant, with the story of the journal.
pub(crate) fn play(seed: u64, journal: JournalKind) -> Result<Played, Broken> {
    play_some(seed, journal, usize::MAX)
}

/// Plays a seed with at most this many of its disturbances.
fn play_some(seed: u64, journal: JournalKind, disturbances: usize) -> Result<Played, Broken> {
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let played = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async { Scenario::new(seed, journal).play(disturbances).await })
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
        journal,
        disturbances,
        story,
    })
}

/// The failure with the fewest disturbances that a binary search finds.
pub(crate) fn shrink(broken: &Broken) -> Broken {
    let (mut shortest, mut least, mut most) = (broken.clone(), 0, 128);
    while least < most {
        let half = usize::midpoint(least, most);
        match play_some(broken.seed, broken.journal, half) {
            Err(shorter) => (shortest, most) = (shorter, half),
            Ok(_) => least = half + 1,
        }
    }
    shortest
}
