//! Tells channels what the journal says, beside the rounds: in order for each stream and channel, at least once, and for
//! ever until it is delivered.
//!
//! How far a channel has been told is a cursor beside the entries. Whoever delivers claims it first, so that two controllers
//! do not both tell everything; a claim that is not renewed runs out, so that nobody who died keeps the others waiting. What
//! was delivered and not noted as such before a process died is delivered again, under the same key.

mod round_trip;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Outside;
use crate::engine::notify::{Channel, Notice};
use crate::engine::units::{ControllerId, CutoverName};

pub(super) use round_trip::CLAIM_FOR;
use round_trip::{Report, RoundTrip};

/// How many messages are on their way to one channel at once, over all streams: a fleet that goes back must not be taken
/// for an attack.
const AT_ONCE_MAX: usize = 4;

/// How many messages of a stream are delivered in one go, before others of the same channel have their turn.
const IN_ONE_GO_MAX: usize = 20;

/// A stream and a channel.
pub(super) type LineKey = (CutoverName, String);

/// The messages of one stream to one channel.
struct Line {
    channel: Channel,
    /// What is not known to be delivered, in order.
    queue: VecDeque<Arc<Notice>>,
    busy: bool,
    /// When it is tried again, where it has to wait.
    again: Option<Instant>,
    /// The last entry that this process has delivered, whatever the journal knows of it.
    told: u64,
    /// Whether this process has tried it.
    tried: bool,
    /// Whether this controller looks after the stream.
    mine: bool,
    /// Whether it waits for another process that delivers, or died while it did.
    claimed: bool,
}

/// All lines.
pub(super) struct Couriers {
    outside: Outside,
    me: ControllerId,
    lines: BTreeMap<LineKey, Line>,
    /// How many more messages may be on their way to each channel.
    doors: BTreeMap<String, Arc<Semaphore>>,
    /// What is on its way. It ends with the controller.
    trips: JoinSet<(LineKey, Report)>,
}

impl Couriers {
    pub(super) fn new(outside: Outside, me: ControllerId) -> Self {
        Self {
            outside,
            me,
            lines: BTreeMap::new(),
            doors: BTreeMap::new(),
            trips: JoinSet::new(),
        }
    }

    /// Queues what channels are to be told.
    pub(super) fn take(&mut self, notices: Vec<(Channel, Arc<Notice>)>) {
        for (channel, notice) in notices {
            let key = (notice.entry.cutover.clone(), channel.id());
            let line = self.lines.entry(key).or_insert_with(|| Line {
                channel: channel.clone(),
                queue: VecDeque::new(),
                busy: false,
                again: None,
                told: 0,
                tried: false,
                mine: false,
                claimed: false,
            });
            line.channel = channel;
            line.queue.push_back(notice);
        }
    }

    /// The streams of which something is to be told.
    pub(super) fn waiting(&self) -> BTreeSet<CutoverName> {
        let waiting = self.lines.iter().filter(|(_, line)| !line.queue.is_empty());
        waiting.map(|((stream, _), _)| stream.clone()).collect()
    }

    /// Starts what may be started. `streams` are those of [`Couriers::waiting`] that this controller looks after, with their
    /// channels as they are now; what was to be told to others is dropped.
    pub(super) fn send(&mut self, streams: &BTreeMap<CutoverName, Vec<String>>) {
        for ((stream, id), line) in &mut self.lines {
            let channels = streams.get(stream);
            line.mine = channels.is_some();
            if channels.is_some_and(|channels| !channels.contains(id)) {
                line.queue.clear();
            }
        }
        let now = Instant::now();
        let due = self.lines.iter().filter(|(_, line)| line.is_due(now));
        let due: Vec<LineKey> = due.map(|(key, _)| key.clone()).collect();
        for key in due {
            self.start(key);
        }
    }

    fn start(&mut self, key: LineKey) {
        let Some(line) = self.lines.get_mut(&key) else {
            return;
        };
        let door = self.doors.entry(key.1.clone());
        let door = Arc::clone(door.or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE_MAX))));
        line.busy = true;
        let trip = RoundTrip {
            outside: self.outside.clone(),
            me: self.me.to_string(),
            key: key.clone(),
            channel: line.channel.clone(),
            notices: line.queue.iter().take(IN_ONE_GO_MAX).cloned().collect(),
            told: line.told,
            // A process that has just been started may have been started because the cause was mended.
            patient: line.tried,
        };
        line.tried = true;
        self.trips.spawn(async move {
            // The door is never closed.
            let _permit = door.acquire_owned().await;
            (key, trip.go().await)
        });
    }

    /// Whether nothing is on its way, and nothing waits for another process that may have died on it.
    pub(super) fn is_idle(&self) -> bool {
        let waits = |line: &Line| line.mine && line.claimed && !line.queue.is_empty();
        self.lines.values().all(|line| !line.busy && !waits(line))
    }

    /// Whether a page has been delivered to every channel that is to get it.
    pub(super) fn has_told(&self, stream: &CutoverName, of: u64) -> bool {
        let lines = self
            .lines
            .range((stream.clone(), String::new())..)
            .take_while(|((other, _), _)| other == stream);
        let waits = |notice: &Arc<Notice>| notice.entry.seq == of;
        !lines
            .into_iter()
            .any(|(_, line)| line.queue.iter().any(waits))
    }

    /// Takes reports and sees to it that what waits is tried again. Returns when something was delivered, or can be tried;
    /// [`Couriers::send`] then goes on.
    pub(super) async fn next(&mut self) {
        let again = self
            .lines
            .values()
            .filter(|line| line.mine && !line.busy && !line.queue.is_empty())
            .filter_map(|line| line.again)
            .min();
        let due = async {
            match again {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            // A trip does not panic, and only the end of the controller cuts one short.
            Some(Ok((key, report))) = self.trips.join_next() => self.note(&key, &report),
            () = due => {}
        }
    }

    fn note(&mut self, key: &LineKey, report: &Report) {
        let Some(line) = self.lines.get_mut(key) else {
            return;
        };
        line.busy = false;
        line.claimed = report.claimed;
        line.told = line.told.max(report.told);
        line.queue.retain(|notice| notice.entry.seq > line.told);
        line.again = report.again_after.map(|wait| Instant::now() + wait);
    }
}

impl Line {
    fn is_due(&self, now: Instant) -> bool {
        self.mine && !self.busy && !self.queue.is_empty() && self.again.is_none_or(|at| at <= now)
    }
}
