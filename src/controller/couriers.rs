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
use round_trip::{Report, RoundTrip, Told};

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
    /// What this process knows to be delivered or passed over, whatever the journal knows of it.
    told: Told,
    /// The entries that the service never took.
    skipped: BTreeSet<u64>,
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
    /// The pages that some channel wants and that are not journaled as delivered.
    pages: BTreeSet<(CutoverName, u64)>,
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
            pages: BTreeSet::new(),
            trips: JoinSet::new(),
        }
    }

    /// Notes that some channel wants a page.
    pub(super) fn expect(&mut self, stream: &CutoverName, seq: u64) {
        self.pages.insert((stream.clone(), seq));
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
                told: Told::default(),
                skipped: BTreeSet::new(),
                tried: false,
                mine: false,
                claimed: false,
            });
            line.channel = channel;
            if notice.is_urgent() {
                // It waits for nothing that failed before it.
                line.again = None;
            }
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
        let (notices, left_behind) = line.load();
        let trip = RoundTrip {
            outside: self.outside.clone(),
            me: self.me.to_string(),
            key: key.clone(),
            channel: line.channel.clone(),
            notices,
            left_behind,
            told: line.told.clone(),
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

    /// The channels that this controller still owes a page, or the end of one.
    pub(super) fn owed(&self) -> BTreeSet<&str> {
        let mut owed = BTreeSet::new();
        for ((_, channel), line) in &self.lines {
            if line.mine && line.queue.iter().any(|notice| notice.is_urgent()) {
                owed.insert(channel.as_str());
            }
        }
        owed
    }

    /// Whether any channel wants a page that was taken.
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
        for ((other, channel), line) in &self.lines {
            if other == stream && line.skipped.contains(seq) {
                skipped.push(channel.clone());
            }
        }
        skipped
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
            Some(Ok((key, report))) = self.trips.join_next() => self.note(&key, report),
            () = due => {}
        }
    }

    fn note(&mut self, key: &LineKey, report: Report) {
        let Some(line) = self.lines.get_mut(key) else {
            return;
        };
        line.busy = false;
        line.claimed = report.claimed;
        line.told.absorb(&report.told);
        line.skipped.extend(report.skipped);
        let told = &line.told;
        line.queue.retain(|notice| !told.has(notice.entry.seq));
        line.again = report.again_after.map(|wait| Instant::now() + wait);
    }
}

impl Line {
    /// What a trip takes along, in order: the first of the queue, and what is urgent in the rest. With it the first entry that
    /// is left behind.
    fn load(&self) -> (Vec<Arc<Notice>>, Option<u64>) {
        let mut load = Vec::new();
        let mut left_behind = None;
        let mut urgent = 0;
        for (index, notice) in self.queue.iter().enumerate() {
            if index < IN_ONE_GO_MAX {
                load.push(Arc::clone(notice));
            } else if notice.is_urgent() && urgent < IN_ONE_GO_MAX {
                urgent += 1;
                load.push(Arc::clone(notice));
            } else if left_behind.is_none() {
                left_behind = Some(notice.entry.seq);
            }
        }
        (load, left_behind)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.mine && !self.busy && !self.queue.is_empty() && self.again.is_none_or(|at| at <= now)
    }
}
