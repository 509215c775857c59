//! Delivers notices to channels, in parallel to the rounds: in order for each stream and channel, at least once, and
//! tried until it works.
//!
//! A cursor in the journal says how far a channel has been told of a stream. A controller claims the cursor before it
//! delivers, so that two controllers do not both deliver everything. A claim that is not renewed runs out, so that a
//! process that died does not block the others. A message that was delivered but not noted before the process died is
//! delivered again, under the same key.

mod round_trip;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::outside::Outside;
use crate::engine::notify::{Channel, Notice};
use crate::engine::units::{ControllerId, CutoverName};

pub(super) use round_trip::CLAIM_FOR;
use round_trip::{DeliveryRun, QueueKey, Report, ToldEntries};

/// The most messages that are sent to one channel at once, over all streams: a fleet that reverts must not look like an
/// attack.
const AT_ONCE_MAX: usize = 4;

/// The most messages of a stream that are delivered in one run, before other streams of the same channel have their
/// turn.
const IN_ONE_RUN_MAX: usize = 20;

/// The messages of one stream to one channel.
struct ChannelQueue {
    channel: Channel,
    /// The notices that are not known to be delivered, in order.
    waiting: VecDeque<Arc<Notice>>,
    busy: bool,
    /// The time of the next try, if it must wait.
    again: Option<Instant>,
    /// The entries that this process knows to be delivered or skipped, whatever the journal says.
    told: ToldEntries,
    /// The entries that the service never took.
    skipped: BTreeSet<u64>,
    /// This process has tried it.
    tried: bool,
    /// This controller looks after the stream.
    mine: bool,
    /// It waits for another process that delivers, or that died during a delivery.
    claimed: bool,
}

impl ChannelQueue {
    fn new(channel: Channel) -> Self {
        Self {
            channel,
            waiting: VecDeque::new(),
            busy: false,
            again: None,
            told: ToldEntries::default(),
            skipped: BTreeSet::new(),
            tried: false,
            mine: false,
            claimed: false,
        }
    }
}

/// The queues of all channels.
pub(super) struct ChannelQueues {
    outside: Outside,
    me: ControllerId,
    queues: BTreeMap<QueueKey, ChannelQueue>,
    /// The free places for messages to each channel.
    limits: BTreeMap<String, Arc<Semaphore>>,
    /// The pages that a channel wants and that are not journaled as delivered.
    pages: BTreeSet<(CutoverName, u64)>,
    /// Delivery runs under way. They end with the controller.
    runs: JoinSet<(QueueKey, Report)>,
}

impl ChannelQueues {
    pub(super) fn new(outside: Outside, me: ControllerId) -> Self {
        Self {
            outside,
            me,
            queues: BTreeMap::new(),
            limits: BTreeMap::new(),
            pages: BTreeSet::new(),
            runs: JoinSet::new(),
        }
    }

    /// Notes that a channel wants a page.
    pub(super) fn expect(&mut self, stream: &CutoverName, seq: u64) {
        self.pages.insert((stream.clone(), seq));
    }

    /// Queues notices.
    pub(super) fn take(&mut self, notices: Vec<(Channel, Arc<Notice>)>) {
        for (channel, notice) in notices {
            let key = (notice.entry.cutover.clone(), channel.id());
            let queue = self.queues.entry(key);
            let queue = queue.or_insert_with(|| ChannelQueue::new(channel.clone()));
            queue.channel = channel;
            if notice.is_urgent() {
                // An urgent notice does not wait for one that failed before it.
                queue.again = None;
            }
            queue.waiting.push_back(notice);
        }
    }

    /// The streams with notices that wait.
    pub(super) fn waiting(&self) -> BTreeSet<CutoverName> {
        let mut streams = BTreeSet::new();
        for ((stream, _), queue) in &self.queues {
            if !queue.waiting.is_empty() {
                streams.insert(stream.clone());
            }
        }
        streams
    }

    /// Starts the runs that are due. `streams` are those of [`ChannelQueues::waiting`] that this controller looks after,
    /// with their channels as they are now; notices for other channels are dropped.
    pub(super) fn send(&mut self, streams: &BTreeMap<CutoverName, Vec<String>>) {
        for ((stream, id), queue) in &mut self.queues {
            let channels = streams.get(stream);
            queue.mine = channels.is_some();
            if channels.is_some_and(|channels| !channels.contains(id)) {
                queue.waiting.clear();
            }
        }
        let now = Instant::now();
        let mut due: Vec<QueueKey> = Vec::new();
        for (key, queue) in &self.queues {
            if queue.is_due(now) {
                due.push(key.clone());
            }
        }
        for key in due {
            self.start(key);
        }
    }

    fn start(&mut self, key: QueueKey) {
        let Some(queue) = self.queues.get_mut(&key) else {
            return;
        };
        let limit = self.limits.entry(key.1.clone());
        let limit = Arc::clone(limit.or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE_MAX))));
        queue.busy = true;
        let (notices, left_behind) = queue.load();
        let run = DeliveryRun {
            outside: self.outside.clone(),
            me: self.me.to_string(),
            key: key.clone(),
            channel: queue.channel.clone(),
            notices,
            left_behind,
            told: queue.told.clone(),
            // A new process may have been started because the cause of earlier failures was fixed.
            patient: queue.tried,
        };
        queue.tried = true;
        self.runs.spawn(async move {
            // The semaphore is never closed.
            let _permit = limit.acquire_owned().await;
            (key, run.go().await)
        });
    }

    /// Returns true if no run is under way, and no notice waits for another process that may have died.
    pub(super) fn is_idle(&self) -> bool {
        let mut queues = self.queues.values();
        !queues.any(|queue| queue.busy || queue.waits_for_another())
    }

    /// The channels to which this controller still owes a page, or the end of one.
    pub(super) fn owed(&self) -> BTreeSet<&str> {
        let mut owed = BTreeSet::new();
        for ((_, channel), queue) in &self.queues {
            if queue.mine && queue.waiting.iter().any(|notice| notice.is_urgent()) {
                owed.insert(channel.as_str());
            }
        }
        owed
    }

    /// Returns true if a channel wants a page that was queued.
    pub(super) fn wants(&self, page: &(CutoverName, u64)) -> bool {
        self.pages.contains(page)
    }

    /// Forgets a page that the journal knows to be delivered.
    pub(super) fn forget(&mut self, page: &(CutoverName, u64)) {
        self.pages.remove(page);
    }

    /// The channels that never took an entry.
    pub(super) fn skipped(&self, (stream, seq): &(CutoverName, u64)) -> Vec<String> {
        let mut skipped = Vec::new();
        for ((other, channel), queue) in &self.queues {
            if other == stream && queue.skipped.contains(seq) {
                skipped.push(channel.clone());
            }
        }
        skipped
    }

    /// Returns true if a page has been delivered to every channel that is to get it.
    pub(super) fn has_told(&self, stream: &CutoverName, of: u64) -> bool {
        for ((other, _), queue) in self.queues.range((stream.clone(), String::new())..) {
            if other != stream {
                break;
            }
            if queue.waiting.iter().any(|notice| notice.entry.seq == of) {
                return false;
            }
        }
        true
    }

    /// Takes the report of a run, or waits for the next try. Returns when a run has ended or a try is due;
    /// [`ChannelQueues::send`] then goes on.
    pub(super) async fn next(&mut self) {
        let mut again: Option<Instant> = None;
        for queue in self.queues.values() {
            if queue.is_ready() {
                again = again.into_iter().chain(queue.again).min();
            }
        }
        let due = async {
            match again {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // A run does not panic, and only the end of the controller cuts one short.
            Some(Ok((key, report))) = self.runs.join_next() => self.note(&key, report),
            () = due => {}
        }
    }

    fn note(&mut self, key: &QueueKey, report: Report) {
        let Some(queue) = self.queues.get_mut(key) else {
            return;
        };
        queue.busy = false;
        queue.claimed = report.claimed;
        queue.told.absorb(&report.told);
        queue.skipped.extend(report.skipped);
        let told = &queue.told;
        queue.waiting.retain(|notice| !told.has(notice.entry.seq));
        queue.again = report.again_after.map(|wait| Instant::now() + wait);
    }
}

impl ChannelQueue {
    /// The notices for a run, in order: the first of the queue, and the urgent ones of the rest. With them the first
    /// entry that is left behind.
    fn load(&self) -> (Vec<Arc<Notice>>, Option<u64>) {
        let mut load = Vec::new();
        let mut left_behind = None;
        let mut urgent = 0;
        for (index, notice) in self.waiting.iter().enumerate() {
            if index < IN_ONE_RUN_MAX {
                load.push(Arc::clone(notice));
            } else if notice.is_urgent() && urgent < IN_ONE_RUN_MAX {
                urgent += 1;
                load.push(Arc::clone(notice));
            } else if left_behind.is_none() {
                left_behind = Some(notice.entry.seq);
            }
        }
        (load, left_behind)
    }

    /// Returns true if this controller has notices to deliver here and no run is under way.
    fn is_ready(&self) -> bool {
        self.mine && !self.busy && !self.waiting.is_empty()
    }

    fn is_due(&self, now: Instant) -> bool {
        self.is_ready() && self.again.is_none_or(|at| at <= now)
    }

    /// Returns true if a notice waits for another process that delivers, or that died during a delivery.
    fn waits_for_another(&self) -> bool {
        self.mine && self.claimed && !self.waiting.is_empty()
    }
}
