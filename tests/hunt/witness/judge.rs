//! The witness's judgement of entries and writes: their process must have seen the facts that allow them.

use std::collections::{BTreeMap, VecDeque};

use cutover::engine::event::{Envelope, Event, RevertMode};
use cutover::engine::hold::HaltReason;
use cutover::engine::plan::{AlarmGate, NoData};
use cutover::engine::record::{GroupImage, GroupName, RecordSet};
use cutover::engine::state::{Phase, State};
use cutover::engine::units::{CutoverName, DnsName, WeightPair, ZoneId};
use cutover::ports::{ChangeAction, RecordChange};
use jiff::{SignedDuration, Timestamp};
use tokio::task;

use super::{AlarmSeen, UNNOTICED_JUMP, Witness, pair_of, process};

/// A step may be sent for 15 s (semantics A1); one second more because clocks differ a little.
const SENT_WITHIN: SignedDuration = SignedDuration::from_secs(16);

/// Reads must have failed for this long before a revert is written blindly (semantics A5).
const BLIND_AFTER: SignedDuration = SignedDuration::from_secs(10);

/// A round decides from readings that are no older than this: reads take up to 5 s, twice, and appends 2 s.
const READINGS_LAST: SignedDuration = SignedDuration::from_secs(25);

/// The longest time from a decision until its entry is written.
const APPENDED_WITHIN: SignedDuration = SignedDuration::from_secs(5);

impl Witness {
    /// Judges an entry by the facts that its writer really saw.
    pub(super) fn judge(&mut self, entry: &Envelope, now: Timestamp) {
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
                | Event::WeightChangeAbandoned { .. }
                | Event::WeightsVerified { .. }
                | Event::BaselineSeen { at: Some(_) }
                | Event::Reverted { cancelled: false }
                | Event::StepCompleted { .. }
                | Event::Completed { .. }
        );
        if !telling {
            return;
        }
        let Some(number) = process(&entry.actor) else {
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
            Event::WeightChangeAbandoned { moved, .. } if state.phase == Phase::Shifting => {
                self.was_unchanged(&state, number, moved, now);
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
            Event::Completed { .. } => self.advances_seeing(&state, number, now),
            _ => {}
        }
    }

    /// For each group of an abandoned write: it was moved, another writer changed it, or the process read it unchanged (I14).
    fn was_unchanged(
        &mut self,
        state: &State,
        number: u32,
        moved: &BTreeMap<usize, GroupImage>,
        now: Timestamp,
    ) {
        let since = self.cutovers[&state.name].intended.map(|(at, _, _)| at);
        let targets = state.write.as_ref().map(|write| write.targets.clone());
        for target in targets.into_iter().flatten() {
            let index = target.group;
            let drifted = state
                .drift
                .as_ref()
                .is_some_and(|drift| drift.contains_key(&index));
            if drifted || moved.contains_key(&index) {
                continue;
            }
            let before = Some(target.from.pair());
            let reads = self.reads.get(&(number, state.name.clone(), index));
            let was = reads.is_some_and(|reads| {
                reads
                    .iter()
                    .any(|(at, read)| Some(*at) >= since && *read == before)
            });
            self.claim(was, now, || {
                format!(
                    "{}: group {index} is called untouched at {before:?}, unread by ctl-{number}",
                    state.name
                )
            });
        }
    }

    /// The process really read every group with these weights after `since`.
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
            let was = reads.is_some_and(|reads| {
                let mut reads = reads.iter();
                reads.any(|(at, read)| Some(*at) >= since && *read == Some(*pair))
            });
            self.claim(was, now, || {
                format!(
                    "{}: group {index} is {what} at {pair}, unread by ctl-{number}",
                    state.name
                )
            });
        }
    }

    /// The state of each gate that the process last saw allows it to go on, by semantics C alone.
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

    /// A step is taken within its window, by true time with a tolerance for unnoticed jumps of clocks.
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

    /// A bake lasts as long as the plan says by true time, even if clocks jump.
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

    /// Judges a batch that a process sends; `blind` is true if its journal has failed it recently.
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
            self.is_left_alone(&name, number, now);
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

    /// I15: a process that knows that a stream is damaged sends nothing for its cutover, except what was already on its way.
    fn is_left_alone(&mut self, name: &CutoverName, number: u32, now: Timestamp) {
        let since = self.left_alone.get(&(number, name.clone())).copied();
        let under_way = since.is_none_or(|since| now.duration_since(since) <= READINGS_LAST);
        self.claim(under_way, now, || {
            format!(
                "{name}: ctl-{number} writes, and knows since {since:?} that its stream is damaged"
            )
        });
    }

    /// Notes a revert by a process that has lost its journal for good. The processes with the journal never learn of it (one of
    /// them may have completed the cutover in between), so for them another writer made the change.
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

    /// A group is overwritten only by force or blindly (semantics A5).
    fn may_overwrite(&mut self, state: &State, number: u32, index: usize, now: Timestamp) {
        let revert = state.revert.as_ref().map(|revert| revert.mode);
        let rollback = state.rollback.as_ref().map(|rollback| rollback.mode);
        let by_force = [revert, rollback].contains(&Some(RevertMode::Force));
        let reads = self.reads.get(&(number, state.name.clone(), index));
        let last = reads.and_then(VecDeque::back).map(|(at, _)| *at);
        let last = last.or(self.births.get(&number).copied()).unwrap_or(now);
        let unseen = now.duration_since(last) + self.jumped >= BLIND_AFTER;
        self.claim(by_force || unseen, now, || {
            format!("{}: group {index} is overwritten, read {last}", state.name)
        });
    }

    /// A step was journaled by the process that sends it, in time, and the stream's head was unchanged since (semantics A1).
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
        let by_owner = match intended {
            Some(write) if write.1 == number => Some(write),
            Some(_) | None => None,
        };
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
}

/// The members that a batch writes in each group, and whether it overwrites them whatever they are.
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

fn baseline(state: &State) -> Vec<WeightPair> {
    let images = state.baseline.iter().flatten();
    images.map(GroupImage::pair).collect()
}
