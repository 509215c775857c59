//! The faults of one process, call by call, and its death.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use cutover::sim::fault::Fault;
use fastrand::Rng;
use jiff::SignedDuration;
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::world::locked;

/// Counts of a whole run.
#[derive(Default)]
pub(crate) struct Shared {
    /// Looks at everything, by all processes.
    pub(crate) looks: AtomicU64,
    /// Calls of any port, by all processes.
    pub(crate) calls: AtomicU64,
    /// An invariant is broken: from now on nothing answers, so that the story ends there.
    frozen: AtomicBool,
    stop: Notify,
}

impl Shared {
    /// Returns when an invariant is broken.
    pub(crate) async fn is_broken(&self) {
        self.stop.notified().await;
    }
}

/// The faults of one process. A number N means that one in N calls fails; zero means none.
#[derive(Default)]
pub(crate) struct Troubles {
    /// Calls to Route 53 that fail in any way.
    pub(crate) route53: u32,
    /// Readings of groups with a field that the engine cannot represent, a third member, or a missing one.
    pub(crate) garbage: u32,
    /// Writes that another writer overwrites before they are read back.
    pub(crate) overtaken: u32,
    /// Calls to `CloudWatch` that fail.
    pub(crate) alarms: u32,
    /// Alarms with unusual readings.
    pub(crate) odd_alarms: u32,
    /// Appends that fail: before or after their effect, or by hanging.
    pub(crate) appends: u32,
    /// Reads of the journal that fail.
    pub(crate) reads: u32,
    /// True if nothing can be appended, although everything can be read.
    pub(crate) journal_full: bool,
    /// Every journal call takes this long.
    pub(crate) journal_takes: Duration,
}

struct Inner {
    rng: Rng,
    troubles: Troubles,
    /// True if the journal is lost for good.
    journal_gone: bool,
    offset: SignedDuration,
    dies_at_poll: Option<u64>,
    dies_at_call: Option<u64>,
    abort: Option<AbortHandle>,
    /// When the journal last failed this process.
    journal_failed_at: Option<Instant>,
}

/// One process's luck. Clones are the same.
#[derive(Clone)]
pub(crate) struct Luck {
    pub(crate) number: u32,
    shared: Arc<Shared>,
    inner: Arc<Mutex<Inner>>,
}

/// The outcome of an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Done,
    /// It fails before it has any effect.
    Fails,
    /// It is written, and the reply is lost.
    ReplyLost,
    /// It never answers; it may be written some time later.
    Hangs {
        arrives_after: Option<Duration>,
    },
}

impl Luck {
    pub(crate) fn new(number: u32, shared: Arc<Shared>, rng: Rng) -> Self {
        let inner = Inner {
            rng,
            troubles: Troubles::default(),
            journal_gone: false,
            offset: SignedDuration::ZERO,
            dies_at_poll: None,
            dies_at_call: None,
            abort: None,
            journal_failed_at: None,
        };
        Self {
            number,
            shared,
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        locked(&self.inner)
    }

    pub(crate) fn dies_with(&self, abort: AbortHandle) {
        self.inner().abort = Some(abort);
    }

    /// Makes it die after this many more polls of its task.
    pub(crate) fn die_at_poll(&self, polls: u64) {
        self.inner().dies_at_poll = Some(polls);
    }

    /// Makes it die at a call, after this many more calls.
    pub(crate) fn die_at_call(&self, calls: u64) {
        self.inner().dies_at_call = Some(calls);
    }

    pub(crate) fn dies_now(&self) -> bool {
        count_down(&mut self.inner().dies_at_poll)
    }

    /// Counts a call, and dies there if it is time.
    pub(crate) async fn call(&self) {
        self.shared.calls.fetch_add(1, Ordering::Relaxed);
        if self.shared.frozen.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let abort = {
            let mut inner = self.inner();
            let dies = count_down(&mut inner.dies_at_call);
            if dies { inner.abort.clone() } else { None }
        };
        if let Some(abort) = abort {
            abort.abort();
            std::future::pending::<()>().await;
        }
    }

    /// Lets nothing answer any process from now on.
    pub(crate) fn freeze(&self) {
        self.shared.frozen.store(true, Ordering::Relaxed);
        self.shared.stop.notify_one();
    }

    pub(crate) fn count_look(&self) {
        self.shared.looks.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn clock_offset(&self) -> SignedDuration {
        self.inner().offset
    }

    pub(crate) fn set_clock_offset(&self, offset: SignedDuration) {
        self.inner().offset = offset;
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Troubles)) {
        change(&mut self.inner().troubles);
    }

    pub(crate) fn lose_journal(&self) {
        self.inner().journal_gone = true;
    }

    pub(crate) fn has_lost_journal(&self) -> bool {
        self.inner().journal_gone
    }

    /// Ends all faults, except a lost journal and a wrong clock.
    pub(crate) fn calm(&self) {
        self.inner().troubles = Troubles::default();
    }

    /// Returns true if the next call may fail.
    pub(crate) fn is_troubled(&self) -> bool {
        let inner = self.inner();
        let Troubles {
            route53,
            garbage,
            overtaken,
            alarms,
            odd_alarms,
            appends,
            reads,
            journal_full,
            journal_takes,
        } = inner.troubles;
        let odds = route53 + garbage + overtaken + alarms + odd_alarms + appends + reads;
        odds > 0 || journal_full || !journal_takes.is_zero()
    }

    fn hit(&self, odds: impl Fn(&Troubles) -> u32) -> bool {
        let mut inner = self.inner();
        let odds = odds(&inner.troubles);
        odds > 0 && inner.rng.u32(0..odds) == 0
    }

    /// The faults of a call to Route 53.
    pub(crate) fn route53(&self, _operation: &str) -> Vec<Fault> {
        if !self.hit(|troubles| troubles.route53) {
            return Vec::new();
        }
        let mut inner = self.inner();
        vec![match inner.rng.u8(0..9) {
            0 => Fault::throttle(),
            1 => Fault::deny(),
            2 => Fault::unavailable(),
            3 => Fault::DropBefore,
            4 | 5 => Fault::LoseReply,
            6 => Fault::error(400, "PriorRequestNotComplete", "not complete"),
            _ => Fault::Delay(Duration::from_millis(inner.rng.u64(1..13_500))),
        }]
    }

    /// The weights that another writer gives a group right after it was written; none if no other does.
    pub(crate) fn overtaken(&self) -> Option<(u8, u8)> {
        if !self.hit(|troubles| troubles.overtaken) {
            return None;
        }
        let kind = self.inner().rng.usize(0..4);
        Some([(100, 0), (90, 92), (77, 7), (0, 100)][kind])
    }

    /// The kind of garbage that a group is read as; none if it is read as it is.
    pub(crate) fn garbage(&self) -> Option<u8> {
        if !self.hit(|troubles| troubles.garbage) {
            return None;
        }
        Some(self.inner().rng.u8(0..4))
    }

    /// The time that a call to `CloudWatch` takes, and whether it fails.
    pub(crate) fn alarms(&self) -> (Duration, bool) {
        if !self.hit(|troubles| troubles.alarms) {
            return (Duration::ZERO, false);
        }
        let mut inner = self.inner();
        let delay = Duration::from_millis(inner.rng.u64(0..7_000));
        (delay, inner.rng.bool())
    }

    /// The kind of an unusual reading of an alarm; none if it is read as it is.
    pub(crate) fn odd_alarm(&self) -> Option<u8> {
        if !self.hit(|troubles| troubles.odd_alarms) {
            return None;
        }
        Some(self.inner().rng.u8(0..4))
    }

    /// Waits for as long as a call to the journal is on its way.
    pub(crate) async fn travel(&self) {
        let takes = {
            let mut inner = self.inner();
            let jitter = Duration::from_millis(inner.rng.u64(0..4));
            inner.troubles.journal_takes + jitter
        };
        if takes.is_zero() {
            tokio::task::yield_now().await;
        } else {
            tokio::time::sleep(takes).await;
        }
    }

    pub(crate) fn append(&self) -> Fate {
        if self.has_lost_journal() || self.inner().troubles.journal_full {
            self.note_journal_failure();
            return Fate::Fails;
        }
        if !self.hit(|troubles| troubles.appends) {
            return Fate::Done;
        }
        self.note_journal_failure();
        let mut inner = self.inner();
        match inner.rng.u8(0..4) {
            0 => Fate::Fails,
            1 | 2 => Fate::ReplyLost,
            _ => {
                let late = Duration::from_millis(inner.rng.u64(0..20_000));
                Fate::Hangs {
                    arrives_after: inner.rng.bool().then_some(late),
                }
            }
        }
    }

    pub(crate) fn read_fails(&self) -> bool {
        let fails = self.has_lost_journal() || self.hit(|troubles| troubles.reads);
        if fails {
            self.note_journal_failure();
        }
        fails
    }

    fn note_journal_failure(&self) {
        self.inner().journal_failed_at = Some(Instant::now());
    }

    /// Returns true if the journal has failed this process within that time, or is so slow that it may seem so.
    pub(crate) fn journal_failed_within(&self, time: Duration) -> bool {
        let inner = self.inner();
        let slow = inner.troubles.journal_takes > Duration::from_millis(900);
        slow || inner
            .journal_failed_at
            .is_some_and(|at| at.elapsed() <= time)
    }
}

fn count_down(left: &mut Option<u64>) -> bool {
    match left {
        Some(0) => true,
        Some(more) => {
            *more -= 1;
            false
        }
        None => false,
    }
}
