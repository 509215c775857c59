//! The witness sees every entry, write, reading and request of all processes in their true order, and reports broken
//! invariants. It uses the checkers, and rules of its own that need a view of the whole world.

mod judge;

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use cutover::engine::check::Violation;
use cutover::engine::event::{Envelope, Event};
use cutover::engine::fleet::Fleet;
use cutover::engine::ledger::{Ledger, Took};
use cutover::engine::record::{GroupName, RecordSet};
use cutover::engine::state::{Phase, State};
use cutover::engine::units::{CutoverName, Weight, WeightPair, ZoneId};
use cutover::ports::{Journal, Position};
use cutover::sim::route53::Route53;
use cutover_testbed::check::{Checker, FleetChecker};
use jiff::{SignedDuration, Timestamp};
use tokio::task::{self, Id};

/// More journal calls than this at one moment are a hot loop.
const CALLS_AT_ONCE_MAX: u64 = 60_000;

/// The most entries of a stream; a longer one grows without end.
const ENTRIES_MAX: u64 = 4_000;

/// The largest jump of a clock that is not noticed (semantics D3).
const UNNOTICED_JUMP: SignedDuration = SignedDuration::from_secs(61);

/// The longest time until an append that hangs arrives (`Luck::append`).
const ARRIVES_WITHIN: SignedDuration = SignedDuration::from_secs(20);

/// The readings of a group that are kept for each process.
const READS_KEPT: usize = 12;

/// The writers of a process, which asked for a stream's head, that are kept: more than there are zones.
const WRITERS_KEPT: usize = 8;

/// The state of an alarm as a process last saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AlarmSeen {
    Green,
    Red,
    NoData,
    Nothing,
}

/// The time of a reading and the weights of the group; none if they could not be read.
type Sighting = (Timestamp, Option<WeightPair>);

/// The task that asked for a stream's head (each zone's writer is a task of its own), and the number of entries then.
type Asked = (Option<Id>, usize);

/// The witness.
#[derive(Default)]
pub(crate) struct Witness {
    pub(crate) broken: Vec<String>,
    /// The entries, with the true time at which they were written.
    pub(crate) entries: Vec<(Timestamp, Envelope)>,
    /// The position up to which they were read.
    position: Position,
    cutovers: BTreeMap<CutoverName, Track>,
    ledger: Ledger,
    /// The time at which a process learned that a stream is damaged.
    left_alone: BTreeMap<(u32, CutoverName), Timestamp>,
    fleet_checker: FleetChecker,
    owners: BTreeMap<ZoneId, BTreeMap<GroupName, (CutoverName, usize)>>,
    reads: BTreeMap<(u32, CutoverName, usize), VecDeque<Sighting>>,
    alarms: BTreeMap<(u32, String), (Timestamp, AlarmSeen)>,
    heads: BTreeMap<(u32, CutoverName), VecDeque<Asked>>,
    births: BTreeMap<u32, Timestamp>,
    writes: usize,
    calls_at: Option<Timestamp>,
    calls: u64,
    /// The sum of all jumps of clocks that nobody can notice.
    pub(crate) jumped: SignedDuration,
}

/// The facts about one cutover that are not in its state.
#[derive(Default)]
struct Track {
    checker: Checker,
    /// The last intended write: its time, its process, and its position among all entries.
    intended: Option<(Timestamp, u32, usize)>,
    bake_began: Option<Timestamp>,
    skipped: bool,
    reverts: usize,
    baseline_seen: Option<Timestamp>,
    began: Option<Timestamp>,
    unfinished: SignedDuration,
}

impl Track {
    fn state(&self) -> Option<&State> {
        self.checker.state()
    }
}

/// The number of the process that wrote an entry, if one did.
fn process(actor: &str) -> Option<u32> {
    actor.strip_prefix("controller ctl-")?.parse().ok()
}

/// The weights of a group's two members; none if one is missing.
fn pair_of(members: &[RecordSet]) -> Option<WeightPair> {
    Some(WeightPair {
        old: weight_of(members, "eks")?,
        new: weight_of(members, "ecs")?,
    })
}

fn weight_of(members: &[RecordSet], identifier: &str) -> Option<Weight> {
    let mut members = members.iter();
    let found = members.find(|member| member.set_identifier == identifier)?;
    Some(found.weight)
}

impl Witness {
    pub(crate) fn owns(
        &mut self,
        name: &CutoverName,
        index: usize,
        zone: &ZoneId,
        group: &GroupName,
    ) {
        self.cutovers.entry(name.clone()).or_default();
        let owner = (name.clone(), index);
        let groups = self.owners.entry(zone.clone()).or_default();
        groups.insert(group.clone(), owner);
    }

    pub(crate) fn born(&mut self, number: u32, now: Timestamp) {
        self.births.insert(number, now);
    }

    pub(crate) fn state(&self, name: &CutoverName) -> Option<&State> {
        self.cutovers.get(name)?.state()
    }

    /// The fleet: the part of all cutovers that concerns the others.
    pub(crate) fn fleet(&self) -> &Fleet {
        self.ledger.fleet()
    }

    /// The violations of the fleet at the end.
    pub(crate) fn fleet_finished(&self) -> Vec<Violation> {
        self.fleet_checker.finished()
    }

    pub(crate) fn checkers(&self) -> impl Iterator<Item = (&CutoverName, &Checker)> {
        self.cutovers
            .iter()
            .map(|(name, track)| (name, &track.checker))
    }

    /// The numbers of writes and entries seen so far.
    pub(crate) fn seen(&self) -> (usize, usize) {
        (self.writes, self.entries.len())
    }

    /// The time that cutovers were under way, in all.
    pub(crate) fn unfinished(&self) -> SignedDuration {
        let times = self.cutovers.values().map(|track| track.unfinished);
        times.fold(SignedDuration::ZERO, |sum, time| sum + time)
    }

    fn owner(&self, zone: &ZoneId, group: &GroupName) -> Option<(CutoverName, usize)> {
        self.owners.get(zone)?.get(group).cloned()
    }

    fn claim(&mut self, holds: bool, at: Timestamp, message: impl FnOnce() -> String) {
        if !holds {
            self.broken.push(format!("{at} {}", message()));
        }
    }

    pub(crate) fn see_writes(&mut self, route53: &Route53) {
        let writes = route53.weight_writes();
        for write in writes.get(self.writes..).unwrap_or_default() {
            let Some((name, index)) = self.owner(&write.zone, &write.group) else {
                continue;
            };
            let Some(track) = self.cutovers.get_mut(&name) else {
                continue;
            };
            match write.pair("eks", "ecs") {
                Some(pair) if write.foreign => track.checker.changed_by_others(index, pair),
                Some(pair) => {
                    for violation in track.checker.applied(index, pair) {
                        let message = format!("{} {name}: {violation}", write.at);
                        self.broken.push(message);
                    }
                }
                None => {}
            }
        }
        self.writes = writes.len();
    }

    pub(crate) fn see_entries(&mut self, journal: &dyn Journal, now: Timestamp) {
        let mut reading = pin!(journal.read_after(self.position));
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok((entries, position))) = reading.as_mut().poll(&mut context) else {
            return self
                .broken
                .push("the journal in memory did not answer".to_owned());
        };
        self.position = position;
        for entry in entries {
            self.take(&entry, now);
            self.entries.push((now, entry));
        }
    }

    fn take(&mut self, entry: &Envelope, now: Timestamp) {
        let mut broken = self.fleet_checker.entry(entry);
        // An entry that damages a stream, and all entries after it, do not change the cutover's state.
        if matches!(self.ledger.take(entry), Took::Folded { .. }) {
            self.judge(entry, now);
            let track = self.cutovers.entry(entry.cutover.clone()).or_default();
            broken.extend(track.checker.entry(entry));
            self.note(entry, now);
        }
        for violation in broken {
            let message = format!("{now} {} #{}: {violation}", entry.cutover, entry.seq);
            self.broken.push(message);
        }
        self.claim(entry.seq <= ENTRIES_MAX, now, || {
            format!("{} grows without end", entry.cutover)
        });
    }

    /// Keeps the facts that later entries are judged by.
    fn note(&mut self, entry: &Envelope, now: Timestamp) {
        let place = self.entries.len();
        let Some(track) = self.cutovers.get_mut(&entry.cutover) else {
            return;
        };
        match &entry.event {
            // It writes nothing, so readings since the write before it count.
            Event::WeightChangeIntended { targets, .. } if targets.is_empty() => {}
            Event::WeightChangeIntended { .. } | Event::ChangeLost { .. } => {
                track.intended = process(&entry.actor).map(|number| (now, number, place));
            }
            Event::BakeStarted { .. } | Event::RetryRequested { .. } => {
                // The bake counts from the reading that it was decided by, even if a hung append arrives late.
                let decided_at = entry.at.clamp(now - ARRIVES_WITHIN, now);
                (track.bake_began, track.skipped) = (Some(decided_at), false);
            }
            Event::BakeSkipDecided { skipped: true, .. } => track.skipped = true,
            Event::RevertIntended { .. } | Event::RevertPerformedUnjournaled { .. } => {
                track.reverts += 1;
                track.baseline_seen = None;
            }
            Event::BaselineSeen { at } => track.baseline_seen = at.map(|_| now),
            _ => {}
        }
        let active = track.state().is_some_and(|state| {
            state.has_started() && !state.phase.is_final() && state.phase != Phase::Halted
        });
        match (active, track.began) {
            (true, None) => track.began = Some(now),
            (false, Some(began)) => {
                track.unfinished += now.duration_since(began);
                track.began = None;
            }
            _ => {}
        }
    }

    pub(crate) fn read(
        &mut self,
        number: u32,
        zone: &ZoneId,
        group: &GroupName,
        members: &[RecordSet],
        now: Timestamp,
    ) {
        let Some((name, index)) = self.owner(zone, group) else {
            return;
        };
        let reads = self.reads.entry((number, name, index)).or_default();
        reads.push_back((now, pair_of(members)));
        if reads.len() > READS_KEPT {
            reads.pop_front();
        }
    }

    pub(crate) fn saw_alarm(&mut self, number: u32, alarm: &str, seen: AlarmSeen, now: Timestamp) {
        match self.alarms.get_mut(&(number, alarm.to_owned())) {
            Some(last) => *last = (now, seen),
            None => drop(self.alarms.insert((number, alarm.to_owned()), (now, seen))),
        }
    }

    /// Notes that a process has read the journal to its end.
    pub(crate) fn has_read(&mut self, number: u32, now: Timestamp) {
        let damaged: Vec<CutoverName> = self.damaged().cloned().collect();
        for name in damaged {
            self.left_alone.entry((number, name)).or_insert(now);
        }
    }

    /// The cutovers whose streams are damaged.
    pub(crate) fn damaged(&self) -> impl Iterator<Item = &CutoverName> {
        self.ledger.fleet().damaged().map(|(name, _)| name)
    }

    /// Notes that a process gets the head of a stream.
    pub(crate) fn asked_head(&mut self, number: u32, stream: &CutoverName) {
        let asked = (task::try_id(), self.entries.len());
        let all = self.heads.entry((number, stream.clone())).or_default();
        all.retain(|(writer, _)| *writer != asked.0);
        all.push_back(asked);
        if all.len() > WRITERS_KEPT {
            all.pop_front();
        }
    }

    /// Notes a jump of a clock. Small jumps are not noticed; large ones are noticed after a moment.
    pub(crate) fn jumps(&mut self, jump: SignedDuration) {
        self.jumped += jump.abs().min(UNNOTICED_JUMP);
    }

    /// Counts a call to the journal; false if something is broken.
    pub(crate) fn goes_on(&mut self, now: Timestamp) -> bool {
        if self.calls_at != Some(now) {
            (self.calls_at, self.calls) = (Some(now), 0);
        }
        self.calls += 1;
        if self.calls == CALLS_AT_ONCE_MAX {
            self.broken.push(format!("{now} a hot loop"));
        }
        self.broken.is_empty()
    }

    /// The last entries, for failures.
    pub(crate) fn story(&self, last: usize) -> String {
        let from = self.entries.len().saturating_sub(last);
        let mut lines = Vec::new();
        for (at, entry) in &self.entries[from..] {
            let event = serde_json::to_string(&entry.event).expect("an event is JSON");
            let short: String = event.chars().take(260).collect();
            let Envelope {
                cutover,
                seq,
                actor,
                ..
            } = entry;
            let decided_at = entry.at;
            lines.push(format!(
                "{at} ({decided_at}) {cutover} #{seq} {actor} {short}"
            ));
        }
        lines.join("\n")
    }

    /// A digest of the journal, with the times: equal for equal runs.
    pub(crate) fn digest(&self) -> u64 {
        use std::hash::{Hash, Hasher};
        let mut hasher = std::hash::DefaultHasher::new();
        for (at, entry) in &self.entries {
            at.hash(&mut hasher);
            let text = serde_json::to_string(entry).expect("an entry is JSON");
            text.hash(&mut hasher);
        }
        hasher.finish()
    }
}
