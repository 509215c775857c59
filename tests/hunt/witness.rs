//! Sees every entry, write, reading and request of all processes, in the order in which they truly happened, and says what
//! is broken: by the checkers of the invariants, and by laws of its own that only somebody who sees the world can hold.

use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use cutover::engine::check::{Checker, FleetChecker, Violation};
use cutover::engine::event::{Envelope, Event, RevertMode};
use cutover::engine::fleet::{self, Fleet};
use cutover::engine::hold::HaltReason;
use cutover::engine::plan::{AlarmGate, NoData};
use cutover::engine::record::{GroupImage, GroupName, RecordSet};
use cutover::engine::state::{Phase, State};
use cutover::engine::units::{CutoverName, DnsName, WeightPair, ZoneId};
use cutover::journal::MemoryJournal;
use cutover::ports::{ChangeAction, Journal, Position, RecordChange};
use cutover::sim::route53::Route53;
use jiff::{SignedDuration, Timestamp};
use tokio::task::{self, Id};

/// More journal calls than this without any time passing is a hot loop.
const CALLS_AT_ONCE_MAX: u64 = 60_000;

/// A stream that is longer grows without end.
const ENTRIES_MAX: u64 = 4_000;

/// A step may be sent for 15 s (RULES A1); a second more for clocks that differ a little.
const SENT_WITHIN: SignedDuration = SignedDuration::from_secs(16);

/// Reads must have failed for this long before a revert is written blindly (RULES A5).
const BLIND_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// A round decides from readings that are no older than this: reads take up to 5 s, twice, and appends 2 s.
const READINGS_LAST: SignedDuration = SignedDuration::from_secs(25);

/// Clocks that differ by less are not noticed (RULES D3).
const UNNOTICED_JUMP: SignedDuration = SignedDuration::from_secs(61);

/// An entry is written up to this long after it was decided.
const APPENDED_WITHIN: SignedDuration = SignedDuration::from_secs(5);

/// An append that hangs arrives up to this long after it was sent (`Luck::append`).
const ARRIVES_WITHIN: SignedDuration = SignedDuration::from_secs(20);

/// How many readings of a group are remembered for each process.
const READS_KEPT: usize = 12;

/// How many writers of a process are remembered that asked where a stream stands: more than there are zones.
const WRITERS_KEPT: usize = 8;

/// What a process last saw of an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AlarmSeen {
    Green,
    Red,
    NoData,
    Nothing,
}

/// The weights of a group as a process read them, and when; none where they could not be read.
type Sighting = (Timestamp, Option<WeightPair>);

/// Who asked where a stream stands (each zone's writer is a task of its own), and how many entries there were then.
type Asked = (Option<Id>, usize);

/// Sees everything, in order.
#[derive(Default)]
pub(crate) struct Witness {
    pub(crate) broken: Vec<String>,
    /// The entries, with the true time at which they were written.
    pub(crate) entries: Vec<(Timestamp, Envelope)>,
    cutovers: BTreeMap<CutoverName, Track>,
    fleet: Fleet,
    fleet_checker: FleetChecker,
    owners: BTreeMap<ZoneId, BTreeMap<GroupName, (CutoverName, usize)>>,
    reads: BTreeMap<(u32, CutoverName, usize), VecDeque<Sighting>>,
    alarms: BTreeMap<(u32, String), (Timestamp, AlarmSeen)>,
    heads: BTreeMap<(u32, CutoverName), VecDeque<Asked>>,
    births: BTreeMap<u32, Timestamp>,
    writes: usize,
    calls_at: Option<Timestamp>,
    calls: u64,
    /// By how much clocks have jumped without anybody being able to notice, in all.
    pub(crate) jumped: SignedDuration,
}

/// What is remembered of one cutover besides its state.
#[derive(Default)]
struct Track {
    checker: Checker,
    /// When a write was last intended, by whom, and where that is among all entries.
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

/// What a batch makes of each group, and whether it does so whatever is there.
fn by_group(changes: &[RecordChange]) -> BTreeMap<GroupName, (Vec<RecordSet>, bool)> {
    let mut groups: BTreeMap<GroupName, (Vec<RecordSet>, bool)> = BTreeMap::new();
    for change in changes {
        let group = GroupName {
            name: DnsName::new(&change.record.name),
            record_type: change.record.record_type.clone(),
        };
        let (images, overwrites) = groups.entry(group).or_default();
        match change.action {
            ChangeAction::Delete => {}
            ChangeAction::Create => images.push(change.record.clone()),
            ChangeAction::Upsert => {
                images.push(change.record.clone());
                *overwrites = true;
            }
        }
    }
    groups
}

fn pair_of(members: &[RecordSet]) -> Option<WeightPair> {
    let weight = |identifier: &str| {
        let mut found = members.iter().filter(|it| it.set_identifier == identifier);
        found.next().map(|member| member.weight)
    };
    Some(WeightPair {
        old: weight("eks")?,
        new: weight("ecs")?,
    })
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

    /// All cutovers, as far as they concern each other.
    pub(crate) fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// What is wrong with the fleet at the end.
    pub(crate) fn fleet_finished(&self) -> Vec<Violation> {
        self.fleet_checker.finished()
    }

    pub(crate) fn checkers(&self) -> impl Iterator<Item = (&CutoverName, &Checker)> {
        self.cutovers
            .iter()
            .map(|(name, track)| (name, &track.checker))
    }

    /// How much was seen so far.
    pub(crate) fn seen(&self) -> (usize, usize) {
        (self.writes, self.entries.len())
    }

    /// How long cutovers were under way, all together.
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

    pub(crate) fn see_entries(&mut self, journal: &MemoryJournal, now: Timestamp) {
        let read = u64::try_from(self.entries.len()).expect("a short journal");
        let mut reading = pin!(journal.read_after(Position(read)));
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok((entries, _))) = reading.as_mut().poll(&mut context) else {
            return self
                .broken
                .push("the journal in memory did not answer".to_owned());
        };
        for entry in entries {
            self.take(&entry, now);
            self.entries.push((now, entry));
        }
    }

    fn take(&mut self, entry: &Envelope, now: Timestamp) {
        let mut broken = self.fleet_checker.entry(entry);
        if fleet::is_fleet(&entry.cutover) {
            self.fleet.take(entry);
        } else {
            self.judge(entry, now);
            let track = self.cutovers.entry(entry.cutover.clone()).or_default();
            let before = track.state().map(|state| state.phase);
            broken.extend(track.checker.entry(entry));
            if let Some(after) = track.checker.state() {
                self.fleet.note(entry, before, after);
            }
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

    /// Remembers what later entries are judged by.
    fn note(&mut self, entry: &Envelope, now: Timestamp) {
        let place = self.entries.len();
        let Some(track) = self.cutovers.get_mut(&entry.cutover) else {
            return;
        };
        match &entry.event {
            Event::WeightChangeIntended { .. } | Event::ChangeLost { .. } => {
                track.intended = process(&entry.actor).map(|number| (now, number, place));
            }
            Event::BakeStarted { .. } | Event::RetryRequested { .. } => {
                // It counts from the reading that it was decided by, however late a hung append arrives.
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

    /// Judges an entry by what its writer really saw.
    fn judge(&mut self, entry: &Envelope, now: Timestamp) {
        let name = &entry.cutover;
        if let Event::Halted {
            reason: HaltReason::Invariant { message },
        } = &entry.event
        {
            self.broken
                .push(format!("{now} {name}: it stopped itself: {message}"));
        }
        let telling = matches!(
            &entry.event,
            Event::WeightChangeIntended { .. }
                | Event::WeightsVerified { .. }
                | Event::BaselineSeen { at: Some(_) }
                | Event::Reverted { cancelled: false }
                | Event::StepCompleted { .. }
                | Event::Completed {}
        );
        let Some(number) = process(&entry.actor).filter(|_| telling) else {
            return;
        };
        let Some(state) = self.state(name).cloned() else {
            return;
        };
        match &entry.event {
            Event::WeightChangeIntended { step, .. } => {
                self.advances_seeing(&state, number, now);
                self.rises_in_its_window(&state, *step, now);
            }
            Event::WeightsVerified { images, .. } => {
                let since = self.cutovers[name].intended.map(|(at, _, _)| at);
                let pairs: Vec<_> = images.iter().map(GroupImage::pair).collect();
                self.was_read(&state, number, since, &pairs, now, "verified");
            }
            Event::BaselineSeen { at: Some(_) } => {
                let pairs = baseline(&state);
                self.was_read(&state, number, None, &pairs, now, "seen at the baseline");
            }
            Event::Reverted { cancelled: false } => {
                let since = self.cutovers[name].baseline_seen;
                let pairs = baseline(&state);
                self.was_read(
                    &state,
                    number,
                    since,
                    &pairs,
                    now,
                    "read for the second time",
                );
            }
            Event::StepCompleted { step } => {
                self.advances_seeing(&state, number, now);
                self.has_baked(&state, *step, now);
            }
            Event::Completed {} => self.advances_seeing(&state, number, now),
            _ => {}
        }
    }

    /// Every group was really read so by that process, after `since`.
    fn was_read(
        &mut self,
        state: &State,
        number: u32,
        since: Option<Timestamp>,
        pairs: &[WeightPair],
        now: Timestamp,
        what: &str,
    ) {
        for (index, pair) in pairs.iter().enumerate() {
            let reads = self.reads.get(&(number, state.name.clone(), index));
            let fits = |(at, read): &(Timestamp, Option<WeightPair>)| {
                Some(*at) >= since && *read == Some(*pair)
            };
            let was = reads.is_some_and(|reads| reads.iter().any(fits));
            self.claim(was, now, || {
                format!(
                    "{}: group {index} is {what} at {pair}, unread by ctl-{number}",
                    state.name
                )
            });
        }
    }

    /// What the process last saw of each gate allows it to go on, by the words of RULES C alone.
    fn advances_seeing(&mut self, state: &State, number: u32, now: Timestamp) {
        let gates = state.plan().gates.alarms.clone();
        for AlarmGate { id, no_data } in gates {
            let seen = self.alarms.get(&(number, id.name.clone())).copied();
            let fresh = seen.is_some_and(|(at, _)| now.duration_since(at) <= READINGS_LAST);
            let well = match seen.map(|(_, seen)| seen) {
                Some(AlarmSeen::Green) => true,
                Some(AlarmSeen::NoData) => !state.has_started() || no_data == NoData::Pass,
                Some(AlarmSeen::Red) => state.ignored.contains(&id),
                Some(AlarmSeen::Nothing) | None => false,
            };
            self.claim(fresh && well, now, || {
                format!(
                    "{}: it goes on, and ctl-{number} last saw {id} as {seen:?}",
                    state.name
                )
            });
        }
    }

    /// By true time, and by what the wall shows then: whoever cannot tell the time to a minute takes no step.
    fn rises_in_its_window(&mut self, state: &State, step: u16, now: Timestamp) {
        let Some(windows) = &state.plan().windows else {
            return;
        };
        let goes_on = state.phase == Phase::Shifting && step == state.step;
        let off = self.jumped.min(UNNOTICED_JUMP) + SENT_WITHIN;
        let open = [now - off, now, now + off]
            .iter()
            .any(|at| windows.is_open(*at));
        self.claim(goes_on || open, now, || {
            format!("{}: step {step} is taken outside its window", state.name)
        });
    }

    /// A bake is as long as the plan says by true time, however clocks jump.
    fn has_baked(&mut self, state: &State, step: u16, now: Timestamp) {
        let track = &self.cutovers[&state.name];
        let began = track.bake_began;
        let wanted = state.plan().step(step).map(|step| step.bake);
        let took = began.map(|began| now.duration_since(began) + self.jumped + APPENDED_WITHIN);
        let whole = track.skipped || took >= wanted;
        self.claim(whole, now, || {
            format!(
                "{}: step {step} baked for {took:?} of {wanted:?}",
                state.name
            )
        });
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

    /// A process asks where a stream stands, and is about to be told.
    pub(crate) fn asked_head(&mut self, number: u32, stream: &CutoverName) {
        let asked = (task::try_id(), self.entries.len());
        let all = self.heads.entry((number, stream.clone())).or_default();
        all.retain(|(writer, _)| *writer != asked.0);
        all.push_back(asked);
        if all.len() > WRITERS_KEPT {
            all.pop_front();
        }
    }

    /// A process sends a batch. `blind` if its journal has failed it lately.
    pub(crate) fn sent(
        &mut self,
        number: u32,
        zone: &ZoneId,
        changes: &[RecordChange],
        now: Timestamp,
        blind: bool,
    ) {
        for (group, (images, overwrites)) in by_group(changes) {
            let owner = self.owner(zone, &group);
            let Some((name, index)) = owner else {
                self.claim(false, now, || {
                    format!("{group} is nobody's, and was written")
                });
                continue;
            };
            let Some(state) = self.state(&name).cloned() else {
                self.claim(false, now, || {
                    format!("{name} is not known, and was written")
                });
                continue;
            };
            let pair = pair_of(&images);
            if overwrites {
                self.may_overwrite(&state, number, index, now);
            }
            if pair.is_some() && pair == baseline(&state).get(index).copied() {
                let journaled = self.cutovers[&name].reverts > 0;
                self.claim(journaled || blind, now, || {
                    format!("{name}: group {index} is sent back, and no entry says so")
                });
            } else {
                self.may_step(&state, number, (index, pair), now);
            }
        }
    }

    /// A process took these back whose journal is gone for good. Nobody will ever tell those who have the journal: another
    /// may have completed it meanwhile, and to them it is a stranger's change.
    pub(crate) fn untold(&mut self, zone: &ZoneId, changes: &[RecordChange]) {
        for (group, (images, _)) in by_group(changes) {
            let owner = self.owner(zone, &group).zip(pair_of(&images));
            let Some(((name, index), pair)) = owner else {
                continue;
            };
            if let Some(track) = self.cutovers.get_mut(&name) {
                track.checker.changed_by_others(index, pair);
            }
        }
    }

    /// Only by force or blindly (RULES A5).
    fn may_overwrite(&mut self, state: &State, number: u32, index: usize, now: Timestamp) {
        let forced = |mode: RevertMode| mode == RevertMode::Force;
        let by_force = state
            .revert
            .as_ref()
            .is_some_and(|revert| forced(revert.mode))
            || state
                .rollback
                .as_ref()
                .is_some_and(|rollback| forced(rollback.mode));
        let reads = self.reads.get(&(number, state.name.clone(), index));
        let last = reads.and_then(VecDeque::back).map(|(at, _)| *at);
        let last = last.or(self.births.get(&number).copied()).unwrap_or(now);
        let unseen = now.duration_since(last) + self.jumped >= BLIND_AFTER;
        self.claim(by_force || unseen, now, || {
            format!("{}: group {index} is overwritten, read {last}", state.name)
        });
    }

    /// A step is journaled, its owner's, in time, and sent after the head was read and found unchanged (RULES A1).
    fn may_step(
        &mut self,
        state: &State,
        number: u32,
        (index, pair): (usize, Option<WeightPair>),
        now: Timestamp,
    ) {
        let name = &state.name;
        let meant = state.write.as_ref().is_some_and(|write| {
            let mut targets = write.targets.iter();
            targets.any(|target| target.group == index && Some(target.to) == pair)
        });
        let verified = state.verified.as_ref().and_then(|images| images.get(index));
        let again = state.resubmission.is_some() && verified.map(GroupImage::pair) == pair;
        let intended = self.cutovers[name].intended;
        let by_owner = intended.filter(|(_, owner, _)| *owner == number);
        let in_time = by_owner.is_some_and(|(at, _, _)| now.duration_since(at) <= SENT_WITHIN);
        self.claim((meant || again) && in_time, now, || {
            format!("{name}: ctl-{number} sends group {index} to {pair:?}; intended: {intended:?}")
        });
        let Some((_, _, place)) = by_owner else {
            return;
        };
        let writer = task::try_id();
        let asked = self.heads.get(&(number, name.clone())).into_iter();
        let head = asked.flatten().find(|(by, _)| *by == writer);
        let head = head.map_or(0, |(_, place)| *place);
        let between = self.entries.get(place + 1..head).unwrap_or_default();
        let stranger = between
            .iter()
            .find(|(_, entry)| entry.cutover == *name && process(&entry.actor) != Some(number));
        let moved = stranger.map(|(_, entry)| entry.seq);
        self.claim(head > place && moved.is_none(), now, || {
            format!("{name}: ctl-{number} sends a step unfenced (#{moved:?} came between)")
        });
    }

    /// A clock jumps. Small jumps are not noticed, and large ones for a moment.
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
        let line = |(at, entry): &(Timestamp, Envelope)| {
            let event = serde_json::to_string(&entry.event).expect("an event is JSON");
            let short: String = event.chars().take(260).collect();
            let Envelope {
                cutover,
                seq,
                actor,
                ..
            } = entry;
            format!("{at} ({}) {cutover} #{seq} {actor} {short}", entry.at)
        };
        let from = self.entries.len().saturating_sub(last);
        let lines: Vec<String> = self.entries[from..].iter().map(line).collect();
        lines.join("\n")
    }

    /// Everything that was journaled, as one text: equal for equal runs.
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

fn baseline(state: &State) -> Vec<WeightPair> {
    let images = state.baseline.iter().flatten();
    images.map(GroupImage::pair).collect()
}
