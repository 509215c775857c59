//! Delivers notices to channels, in parallel to the rounds: in order for each stream and channel, at least once, and
//! tried until it works.
//!
//! A cursor in the journal says how far a channel has been told of a stream. A controller claims the cursor before it
//! delivers, so that two controllers do not both deliver everything. A claim that is not renewed runs out, so that a
//! process that died does not block the others. A message that was delivered but not noted before the process died is
//! delivered again, under the same key.
//!
//! If many cutovers page for one cause, a channel gets one message for all of them: the first one goes out at once and
//! names all that wait then, and those that follow within [`TOGETHER_WITHIN`] are the next message.

mod leg;
mod round_trip;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::outside::Outside;
use crate::engine::hold::HoldReason;
use crate::engine::notify::{Channel, Notice, Via};
use crate::engine::units::{ControllerId, CutoverName};

use leg::{Load, QueueKey, Report, ToldEntries, backoff};
pub(super) use round_trip::CLAIM_FOR;
use round_trip::DeliveryRun;

/// The most messages that are sent to one channel at once, over all streams: a fleet that reverts must not look like an
/// attack.
const AT_ONCE_MAX: usize = 4;

/// The most messages of a stream that are delivered in one run, before other streams of the same channel have their
/// turn.
const IN_ONE_RUN_MAX: usize = 20;

/// The longest pause before a journal that did not answer is asked again.
const JOURNAL_AGAIN_WITHIN: Duration = Duration::from_mins(1);

/// How long pages for one cause are collected for a channel after the last message about this cause.
const TOGETHER_WITHIN: Duration = Duration::from_secs(10);

/// The most streams in one run, and so the most entries that one message tells of: their keys fit into every service's
/// limit.
const TOGETHER_MAX: usize = 500;

/// A channel, and the causes of a page that other cutovers may have too.
type SharedCause = (String, Vec<HoldReason>);

/// The end of a run: the cause of its message if other cutovers may have it too, and how far each stream came.
type RunEnd = (Option<SharedCause>, Vec<(QueueKey, Report)>);

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
    /// This process has tried it.
    tried: bool,
    /// This controller looks after the stream.
    mine: bool,
    /// It waits for another process that delivers, or that died during a delivery.
    claimed: bool,
    /// A message was not delivered: urgent ones go before it.
    fails: bool,
    /// How often in a row the journal did not answer.
    journal_failures: u32,
}

/// The queues of all channels.
pub(super) struct ChannelQueues {
    outside: Outside,
    me: ControllerId,
    queues: BTreeMap<QueueKey, ChannelQueue>,
    /// The free places for messages to each channel.
    limits: BTreeMap<String, Arc<Semaphore>>,
    /// The time of the last message about each cause.
    told_at: BTreeMap<SharedCause, Instant>,
    /// Nothing is collected any longer: this controller ends.
    hurries: bool,
    /// Delivery runs under way. They end with the controller.
    runs: JoinSet<RunEnd>,
}

impl ChannelQueues {
    pub(super) fn new(outside: Outside, me: ControllerId) -> Self {
        Self {
            outside,
            me,
            queues: BTreeMap::new(),
            limits: BTreeMap::new(),
            told_at: BTreeMap::new(),
            hurries: false,
            runs: JoinSet::new(),
        }
    }

    /// Queues notices.
    pub(super) fn take(&mut self, notices: Vec<(Channel, Arc<Notice>)>) {
        for (channel, notice) in notices {
            let key = (notice.entry.cutover.clone(), channel.id());
            let queue = self.queues.entry(key);
            let queue = queue.or_insert_with(|| ChannelQueue::new(channel.clone()));
            queue.channel = channel;
            queue.take(notice);
        }
    }

    /// Sends everything at once from now on, because this controller ends.
    pub(super) fn hurry(&mut self) {
        self.hurries = true;
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
        self.told_at.retain(|_, at| *at + TOGETHER_WITHIN > now);
        let mut log = Vec::new();
        let mut together: BTreeMap<SharedCause, Vec<QueueKey>> = BTreeMap::new();
        for key in self.due(now) {
            let Some(queue) = self.queues.get(&key) else {
                continue;
            };
            if let Some(causes) = queue.shared_causes() {
                let shared = (key.1.clone(), causes.to_vec());
                together.entry(shared).or_default().push(key);
            } else if queue.channel.via == (Via::Log {}) {
                // A line of the log is no message, so many need only one note in the journal.
                log.push(key);
            } else {
                self.start(&[key], None);
            }
        }
        for keys in log.chunks(TOGETHER_MAX) {
            self.start(keys, None);
        }
        for (shared, mut keys) in together {
            // Those that wait for their next try join a message that is sent in any case.
            keys.extend(self.waiting_for(&shared, &keys));
            keys.sort();
            for keys in keys.chunks(TOGETHER_MAX) {
                self.start(keys, Some(&shared));
            }
            self.told_at.insert(shared, now);
        }
    }

    /// The queues that have something to send now.
    fn due(&self, now: Instant) -> Vec<QueueKey> {
        let mut due = Vec::new();
        for (key, queue) in &self.queues {
            let at = self.due_at(&key.1, queue);
            if queue.is_ready() && at.is_none_or(|at| at <= now) {
                due.push(key.clone());
            }
        }
        due
    }

    /// The time at which a queue has something to send; `None` for now.
    fn due_at(&self, channel: &str, queue: &ChannelQueue) -> Option<Instant> {
        let Some(causes) = queue.shared_causes() else {
            return queue.again;
        };
        if self.hurries {
            return queue.again;
        }
        let told_at = self.told_at.get(&(channel.to_owned(), causes.to_vec()));
        queue.again.max(told_at.map(|at| *at + TOGETHER_WITHIN))
    }

    /// The queues beside `keys`, which are sorted, whose next notice pages for this cause.
    fn waiting_for(&self, (channel, causes): &SharedCause, keys: &[QueueKey]) -> Vec<QueueKey> {
        let mut waiting = Vec::new();
        for (key, queue) in &self.queues {
            let same = key.1 == *channel && queue.shared_causes() == Some(causes.as_slice());
            if same && queue.is_ready() && keys.binary_search(key).is_err() {
                waiting.push(key.clone());
            }
        }
        waiting
    }

    /// Starts a run over the queues of one channel. With a cause, their next notices are one message.
    fn start(&mut self, keys: &[QueueKey], shared: Option<&SharedCause>) {
        let mut loads = Vec::new();
        let mut channel = None;
        for key in keys {
            let Some(queue) = self.queues.get_mut(key) else {
                continue;
            };
            loads.push(queue.load(key));
            queue.busy = true;
            queue.tried = true;
            channel.get_or_insert_with(|| queue.channel.clone());
        }
        let Some(channel) = channel else {
            return;
        };
        let limit = self.limits.entry(channel.id());
        let limit = Arc::clone(limit.or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE_MAX))));
        let run = DeliveryRun {
            outside: self.outside.clone(),
            me: self.me.to_string(),
            channel,
            together: shared.is_some(),
        };
        let shared = shared.cloned();
        self.runs.spawn(async move {
            // The semaphore is never closed.
            let _permit = limit.acquire_owned().await;
            (shared, run.go(loads).await)
        });
    }

    /// Returns true if no run is under way, and no notice waits for another process that may have died.
    pub(super) fn is_idle(&self) -> bool {
        let mut queues = self.queues.values();
        !queues.any(|queue| queue.busy || queue.waits_for_another())
    }

    /// The channels to which this controller still owes a page, or the end of one. The log is none of them: it needs
    /// nobody's help.
    pub(super) fn owed(&self) -> BTreeSet<&str> {
        let mut owed = BTreeSet::new();
        for ((_, id), queue) in &self.queues {
            let logs = queue.channel.via == Via::Log {};
            if queue.mine && !logs && queue.waiting.iter().any(|notice| notice.is_urgent()) {
                owed.insert(id.as_str());
            }
        }
        owed
    }

    /// Takes the report of a run, or waits for the next try. Returns when a run has ended or a try is due;
    /// [`ChannelQueues::send`] then goes on.
    pub(super) async fn next(&mut self) {
        let mut again: Option<Instant> = None;
        for (key, queue) in &self.queues {
            if queue.is_ready() {
                again = again.into_iter().chain(self.due_at(&key.1, queue)).min();
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
            Some(Ok((shared, reports))) = self.runs.join_next() => {
                if let Some(shared) = shared
                    && reports.iter().any(|(_, report)| report.fails)
                {
                    // Nobody was told, so that nothing is to be collected.
                    self.told_at.remove(&shared);
                }
                for (key, report) in reports {
                    if let Some(queue) = self.queues.get_mut(&key) {
                        queue.note(&report);
                    }
                }
            }
            () = due => {}
        }
    }
}

impl ChannelQueue {
    fn new(channel: Channel) -> Self {
        Self {
            channel,
            waiting: VecDeque::new(),
            busy: false,
            again: None,
            told: ToldEntries::default(),
            tried: false,
            mine: false,
            claimed: false,
            fails: false,
            journal_failures: 0,
        }
    }

    /// Queues a notice.
    fn take(&mut self, notice: Arc<Notice>) {
        if notice.is_urgent() {
            // An urgent notice does not wait for one that failed before it.
            self.again = None;
        }
        // The journal now has an entry that was told before, or another one in its place.
        let seq = notice.entry.seq;
        let known = self.waiting.iter_mut().find(|known| known.entry.seq == seq);
        match known {
            Some(known) => *known = notice,
            None => self.waiting.push_back(notice),
        }
    }

    /// Takes the report of a run.
    fn note(&mut self, report: &Report) {
        self.busy = false;
        self.claimed = report.claimed;
        self.fails = report.fails;
        self.told.absorb(&report.told);
        let told = &self.told;
        self.waiting.retain(|notice| !told.has(notice.entry.seq));
        let mut wait = report.again_after;
        if report.journal_down {
            let asks_again_after = backoff(self.journal_failures, None);
            wait = wait.max(Some(asks_again_after.min(JOURNAL_AGAIN_WITHIN)));
            self.journal_failures = self.journal_failures.saturating_add(1);
        } else {
            self.journal_failures = 0;
        }
        self.again = wait.map(|wait| Instant::now() + wait);
    }

    /// The next notice: the first; while that fails, the first urgent one.
    fn next_up(&self) -> Option<&Arc<Notice>> {
        let mut waiting = self.waiting.iter();
        if self.fails
            && let Some(urgent) = waiting.find(|notice| notice.is_urgent())
        {
            return Some(urgent);
        }
        self.waiting.front()
    }

    /// The causes of the next notice, if it pages for what other cutovers may have too.
    fn shared_causes(&self) -> Option<&[HoldReason]> {
        let causes = self.next_up()?.causes.as_slice();
        (!causes.is_empty()).then_some(causes)
    }

    /// The notices for a run, in order: the first of the queue, and the urgent ones of the rest. A notice that can be
    /// told together with others is a run of its own, and none overtakes it.
    fn load(&self, key: &QueueKey) -> Load {
        let mut load = Load {
            key: key.clone(),
            notices: Vec::new(),
            left_behind: None,
            told: self.told.clone(),
            // A new process may have been started because the cause of earlier failures was fixed.
            patient: self.tried,
        };
        let alone = match self.next_up() {
            Some(next) if !next.causes.is_empty() => Some(next.entry.seq),
            Some(_) | None => None,
        };
        let (mut taken, mut urgent, mut ended) = (0, 0, false);
        for notice in &self.waiting {
            ended |= alone.is_none() && !notice.causes.is_empty();
            let takes = match alone {
                Some(seq) => notice.entry.seq == seq,
                None if ended => false,
                None if taken < IN_ONE_RUN_MAX => true,
                None => notice.is_urgent() && urgent < IN_ONE_RUN_MAX,
            };
            if takes {
                urgent += usize::from(taken >= IN_ONE_RUN_MAX);
                taken += 1;
                load.notices.push(Arc::clone(notice));
            } else if load.left_behind.is_none() {
                load.left_behind = Some(notice.entry.seq);
            }
        }
        load
    }

    /// Returns true if this controller has notices to deliver here and no run is under way.
    fn is_ready(&self) -> bool {
        self.mine && !self.busy && !self.waiting.is_empty()
    }

    /// Returns true if a notice waits for another process that delivers, or that died during a delivery.
    fn waits_for_another(&self) -> bool {
        self.mine && self.claimed && !self.waiting.is_empty()
    }
}
