//! One simulated cutover: its groups, their weights in force, and its alarms.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::feed::Feed;
use super::watch::{AlarmWatch, alarms_of};
use crate::route53::Route53;
use crate::scenario::Scenario;
use crate::traffic::TRACKS;
use cutover_engine::observation::AlarmState;
use cutover_engine::plan::Plan;
use cutover_engine::record::GroupName;
use cutover_engine::units::{AlarmId, CutoverName, WeightPair, ZoneId};

/// One simulated cutover, whose service is in [`super::lookahead`].
pub(super) struct SimCutover {
    pub(super) name: CutoverName,
    pub(super) groups: Vec<SimGroup>,
    /// The metrics that the simulated CloudWatch gets for this cutover.
    pub(super) feed: Feed,
    /// All alarms of the plan.
    pub(super) alarms: Vec<AlarmId>,
    /// The metric alarms that are computed from this cutover's traffic, in their first state.
    pub(super) watches: Vec<AlarmWatch>,
    /// The current states of these alarms, by their evaluation. CloudWatch shows them unless a fault changes them.
    pub(super) evaluated: BTreeMap<AlarmId, AlarmState>,
    /// The alarms of the plan that are in ALARM now.
    pub(super) red: BTreeSet<AlarmId>,
    /// The new side's share after each write, in the order in which the writes come into force.
    shares: Vec<WrittenShare>,
    /// The time of the first revert. `None` if there was none.
    reverting_from: Option<Timestamp>,
}

/// A group, its zone, and the identifiers of its two records.
pub(super) struct SimGroup {
    pub(super) zone: ZoneId,
    pub(super) name: GroupName,
    pub(super) old: String,
    pub(super) new: String,
}

/// The new side's share after one write.
#[derive(Debug, Clone, Copy)]
struct WrittenShare {
    /// The time of the write.
    written_at: Timestamp,
    /// The time at which the name servers answer with the weights, in seconds since 1970.
    in_force_at: i64,
    /// The share, 0 to 1, averaged over all groups.
    of_new: f64,
}

impl SimCutover {
    /// Creates the cutover of a plan. `zones` yields the zone of each of the plan's groups.
    ///
    /// An alarm in `watched` belongs to an earlier plan and is not simulated again. The new alarms are added to it.
    pub(super) fn new(
        plan: &Plan,
        zones: &mut impl Iterator<Item = ZoneId>,
        scenario: &Scenario,
        watched: &mut BTreeSet<AlarmId>,
    ) -> Self {
        let mut groups = Vec::new();
        for (group, zone) in plan.records.iter().zip(zones) {
            groups.push(SimGroup {
                zone,
                name: group.name.clone(),
                old: group.old.clone(),
                new: group.new.clone(),
            });
        }
        let watches = watches_of(plan, scenario, watched);
        let states = watches.iter().map(|watch| (watch.id.clone(), watch.state));
        Self {
            name: plan.name.clone(),
            groups,
            feed: Feed::new(plan),
            alarms: alarms_of(plan).map(|(id, _)| id.clone()).collect(),
            evaluated: states.collect(),
            watches,
            red: BTreeSet::new(),
            shares: Vec::new(),
            reverting_from: None,
        }
    }

    /// Recomputes the shares from the weights that were written to the groups.
    pub(super) fn follow(&mut self, model: &Route53) {
        let mut changes: Vec<(i64, Timestamp, usize, f64)> = Vec::new();
        for (index, group) in self.groups.iter().enumerate() {
            for (number, write) in model.weight_writes_of(&group.zone, &group.name).enumerate() {
                let Some(pair) = write.pair(&group.old, &group.new) else {
                    continue;
                };
                let in_force_at = match model.in_sync_at(&write.change) {
                    Some(at) if number > 0 => at.as_second(),
                    // A group's first weights count as in force from the beginning.
                    _ => 0,
                };
                changes.push((in_force_at, write.at, index, share_of(pair)));
            }
        }
        changes.sort_by_key(|(in_force_at, written_at, ..)| (*in_force_at, *written_at));
        let mut now = vec![0.0; self.groups.len()];
        let count = f64::from(u32::try_from(now.len().max(1)).unwrap_or(u32::MAX));
        self.shares.clear();
        for (in_force_at, written_at, index, share) in changes {
            now[index] = share;
            self.shares.push(WrittenShare {
                written_at,
                in_force_at,
                of_new: now.iter().sum::<f64>() / count,
            });
        }
    }

    /// Records the time of the first revert. The weights of the unreverted track stay as they were at that time.
    pub(super) fn reverting_from(&mut self, at: Timestamp) {
        self.reverting_from.get_or_insert(at);
    }

    /// Returns the new side's share for each track, by the weights in force at `second` (since 1970). 0 to 1.
    pub(super) fn shares_at(&self, second: i64) -> [f64; TRACKS] {
        let first = self.shares.first().map_or(0.0, |share| share.of_new);
        let newest_first = self.shares.iter().rev();
        let mut in_force = newest_first.filter(|share| share.in_force_at <= second);
        let Some(newest) = in_force.next() else {
            return [first; TRACKS];
        };
        let unreverted = match self.reverting_from {
            Some(from) if newest.written_at >= from => in_force
                .find(|share| share.written_at < from)
                .map_or(first, |share| share.of_new),
            _ => newest.of_new,
        };
        [newest.of_new, first, unreverted]
    }
}

/// The metric alarms to simulate: those of the plan, and those that only composite alarms of the scenario name.
fn watches_of(
    plan: &Plan,
    scenario: &Scenario,
    watched: &mut BTreeSet<AlarmId>,
) -> Vec<AlarmWatch> {
    let mut wanted: Vec<(AlarmId, bool)> = Vec::new();
    for (id, fallback) in alarms_of(plan) {
        wanted.push((id.clone(), fallback));
    }
    for alarm in &scenario.alarms {
        if !alarms_of(plan).any(|(id, _)| id.name == alarm.name) {
            let (region, name) = (None, alarm.name.clone());
            wanted.push((AlarmId { region, name }, false));
        }
    }
    let mut watches = Vec::new();
    for (id, fallback) in wanted {
        let mut alarms = scenario.alarms.iter();
        let composite = alarms.any(|alarm| alarm.name == id.name && alarm.rule.is_some());
        if !composite && watched.insert(id.clone()) {
            watches.push(AlarmWatch::new(id, fallback, scenario));
        }
    }
    watches
}

/// Returns the new side's share of the replies, 0 to 1. If both weights are 0, Route 53 answers equally with both.
fn share_of(pair: WeightPair) -> f64 {
    let (old, new) = (f64::from(pair.old.0), f64::from(pair.new.0));
    if old + new > 0.0 {
        new / (old + new)
    } else {
        0.5
    }
}
