//! One cutover as the stage sees it: its groups and their weights in force, and its alarms.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::feed::Feed;
use super::watch::{Watch, alarms_of};
use crate::engine::observation::AlarmState;
use crate::engine::plan::Plan;
use crate::engine::record::GroupName;
use crate::engine::units::{AlarmId, CutoverName, WeightPair, ZoneId};
use crate::scenario::Scenario;
use crate::sim::route53::Route53;
use crate::sim::traffic::TRACKS;

/// One cutover.
pub(super) struct Cast {
    pub(super) name: CutoverName,
    pub(super) groups: Vec<Member>,
    /// What CloudWatch is told of it.
    pub(super) feed: Feed,
    /// All alarms of its plan.
    pub(super) alarms: Vec<AlarmId>,
    /// The metric alarms that this cutover's traffic feeds, as at the beginning.
    pub(super) watches: Vec<Watch>,
    /// Their states by their evaluation, as far as they can be seen.
    pub(super) evaluated: BTreeMap<AlarmId, AlarmState>,
    /// Which alarms of the plan are in ALARM.
    pub(super) red: BTreeSet<AlarmId>,
    /// The new side's share by the weights, oldest first.
    shares: Vec<Share>,
    reverting_from: Option<Timestamp>,
}

/// A group and its zone.
pub(super) struct Member {
    pub(super) zone: ZoneId,
    pub(super) name: GroupName,
    pub(super) old: String,
    pub(super) new: String,
}

/// The new side's share from one change on.
#[derive(Debug, Clone, Copy)]
struct Share {
    written_at: Timestamp,
    in_force_at: i64,
    of_new: f64,
}

impl Cast {
    /// The cutover of a plan, whose groups lie in the next of `zones`. An alarm that an earlier plan has is left to that.
    pub(super) fn new(
        plan: &Plan,
        zones: &mut impl Iterator<Item = ZoneId>,
        scenario: &Scenario,
        watched: &mut BTreeSet<AlarmId>,
    ) -> Self {
        let group = |(group, zone): (&crate::engine::plan::Group, ZoneId)| Member {
            zone,
            name: group.name.clone(),
            old: group.old.clone(),
            new: group.new.clone(),
        };
        let composite = |name: &str| {
            let mut said = scenario.alarms.iter();
            said.any(|alarm| alarm.name == name && alarm.rule.is_some())
        };
        let of_plan: Vec<(AlarmId, bool)> = alarms_of(plan)
            .map(|(id, fallback)| (id.clone(), fallback))
            .collect();
        let named = |name: &str| of_plan.iter().any(|(id, _)| id.name == name);
        // What composite alarms are made of need not be in a plan.
        let parts = scenario.alarms.iter().filter(|alarm| !named(&alarm.name));
        let parts = parts.map(|alarm| {
            let (region, name) = (None, alarm.name.clone());
            (AlarmId { region, name }, false)
        });
        let watches: Vec<Watch> = of_plan
            .iter()
            .cloned()
            .chain(parts)
            .filter(|(id, _)| !composite(&id.name) && watched.insert(id.clone()))
            .map(|(id, fallback)| Watch::new(id, fallback, scenario))
            .collect();
        Self {
            name: plan.name.clone(),
            groups: plan.records.iter().zip(zones).map(group).collect(),
            feed: Feed::new(plan),
            alarms: of_plan.into_iter().map(|(id, _)| id).collect(),
            evaluated: watches
                .iter()
                .map(|watch| (watch.id.clone(), watch.state))
                .collect(),
            watches,
            red: BTreeSet::new(),
            shares: Vec::new(),
            reverting_from: None,
        }
    }

    /// Follows what was written to its groups.
    pub(super) fn follow(&mut self, model: &Route53) {
        let mut changes: Vec<(i64, Timestamp, usize, f64)> = Vec::new();
        for (index, group) in self.groups.iter().enumerate() {
            for (number, write) in model.weight_writes_of(&group.zone, &group.name).enumerate() {
                let Some(pair) = write.pair(&group.old, &group.new) else {
                    continue;
                };
                // A group's first weights have always been there.
                let in_force_at = model.in_sync_at(&write.change).map(Timestamp::as_second);
                let in_force_at = in_force_at.filter(|_| number > 0).unwrap_or(0);
                changes.push((in_force_at, write.at, index, share_of(pair)));
            }
        }
        changes.sort_by_key(|(in_force_at, written_at, ..)| (*in_force_at, *written_at));
        let mut now = vec![0.0; self.groups.len()];
        let count = f64::from(u32::try_from(now.len().max(1)).unwrap_or(u32::MAX));
        self.shares.clear();
        for (in_force_at, written_at, index, share) in changes {
            now[index] = share;
            self.shares.push(Share {
                written_at,
                in_force_at,
                of_new: now.iter().sum::<f64>() / count,
            });
        }
    }

    /// Keeps the weights of the world in which nobody takes the traffic back.
    pub(super) fn reverting_from(&mut self, at: Timestamp) {
        self.reverting_from.get_or_insert(at);
    }

    /// The new side's share by the weights in force at this second, for each track.
    pub(super) fn shares_at(&self, second: i64) -> [f64; TRACKS] {
        let mut in_force = self.shares.iter().rev();
        let mut in_force = in_force
            .by_ref()
            .filter(|share| share.in_force_at <= second);
        let first = self.shares.first().map_or(0.0, |share| share.of_new);
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

/// The new side's share of the answers. Where both weights are 0 Route 53 answers with both.
fn share_of(pair: WeightPair) -> f64 {
    let (old, new) = (f64::from(pair.old.0), f64::from(pair.new.0));
    if old + new > 0.0 {
        new / (old + new)
    } else {
        0.5
    }
}
