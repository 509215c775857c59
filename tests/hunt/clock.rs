//! A process's wall clock, which may be wrong and may jump. It wakes the controller only if there is something new to see.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use cutover::ports::Clock;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::luck::Luck;
use super::world::{World, locked};

/// The looks in a row that see nothing new before the clock waits for a change.
const IDLE_LOOKS: u32 = 1;

/// The longest wait for a change.
const LOOK_AFTER_ALL: Duration = Duration::from_hours(28 * 24);

/// The clock of one process.
pub(crate) struct OwnClock {
    world: World,
    luck: Luck,
    looks: Mutex<Looks>,
}

#[derive(Default)]
struct Looks {
    last: Option<Instant>,
    version: u64,
    idle: u32,
}

impl OwnClock {
    pub(crate) fn new(world: World, luck: Luck) -> Self {
        Self {
            world,
            luck,
            looks: Mutex::default(),
        }
    }

    /// Notes a look, if it is a new one. Returns the version that it saw, if nothing was new for some looks.
    fn note(&self, last: Instant) -> Option<u64> {
        let version = self.world.version.now();
        let mut looks = locked(&self.looks);
        if looks.last != Some(last) {
            let idle = looks.last.is_some() && looks.version == version;
            looks.idle = if idle { looks.idle + 1 } else { 0 };
            (looks.last, looks.version) = (Some(last), version);
        }
        if looks.idle < IDLE_LOOKS {
            return None;
        }
        Some(looks.version)
    }
}

#[async_trait]
impl Clock for OwnClock {
    fn now(&self) -> Timestamp {
        let offset = self.luck.clock_offset();
        let now = self.world.now();
        now.checked_add(offset).unwrap_or(now)
    }

    async fn look_again(&self, last: Instant, interval: Duration) {
        self.luck.count_look();
        if let Some(seen) = self.note(last)
            && !self.luck.is_troubled()
        {
            let changed = self.world.version.moves_on(seen);
            drop(tokio::time::timeout_at(last + LOOK_AFTER_ALL, changed).await);
        }
        let gone = last.elapsed().as_nanos().div_ceil(interval.as_nanos());
        let ticks = u32::try_from(gone.max(1)).unwrap_or(u32::MAX);
        tokio::time::sleep_until(last + interval * ticks).await;
    }
}

/// The jump of a clock: mostly a small one, sometimes weeks.
pub(crate) fn jump(rng: &mut fastrand::Rng) -> SignedDuration {
    let secs = super::plans::magnitude(rng, 1, 30 * 86_400);
    let jump = SignedDuration::from_secs(i64::try_from(secs).expect("a month"));
    if rng.bool() { jump } else { -jump }
}
