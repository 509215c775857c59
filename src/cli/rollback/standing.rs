//! The last reading of a rollback. The line on standard output, the notes on standard error and the exit code all come from it
//! (semantics L6).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::cli::exit::Exit;
use crate::engine::plan::{Account, Group, ZoneRef};
use crate::engine::record::{GroupName, RecordSet};
use crate::engine::state::{Phase, State};
use crate::engine::strays::{Stray, strays};
use crate::engine::units::{WeightPair, ZoneId};
use crate::engine::{lists, preflight};
use crate::ports::{Dns, GroupReadings, Urgency};
use crate::report::holds;

/// Longest time for the reading, whether or not Route 53 answers.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// Longest time to find the zones of cutovers that never started. It is short, because nothing of them has to go back.
const FIND_WITHIN: Duration = Duration::from_secs(5);

/// Time before a reading in which a member is missing is repeated once (semantics M5).
const READ_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// The result of reading a group.
enum GroupFinding {
    /// The group has the weights of the baseline.
    Back,
    /// The group has other weights or lacks a member, in words.
    Elsewhere(String),
    /// The group was not read, and why.
    Unread(String),
}

/// A group with the result of the last reading.
struct GroupSeen {
    group: Group,
    pair: Option<WeightPair>,
    finding: GroupFinding,
}

impl GroupSeen {
    fn is_back(&self) -> bool {
        matches!(self.finding, GroupFinding::Back)
    }

    fn is_elsewhere(&self) -> bool {
        matches!(self.finding, GroupFinding::Elsewhere(_))
    }

    fn is_unread(&self) -> bool {
        matches!(self.finding, GroupFinding::Unread(_))
    }

    /// Returns true if the new side has weight.
    fn has_new_weight(&self) -> bool {
        self.pair.is_some_and(|pair| pair.new.0 > 0)
    }

    fn to_json(&self) -> Value {
        json!({
            "zone": self.group.zone.zone,
            "name": self.group.name.name.to_string(),
            "type": self.group.name.record_type,
            "old_weight": self.pair.map(|pair| pair.old.0),
            "new_weight": self.pair.map(|pair| pair.new.0),
            "back": match self.finding {
                GroupFinding::Back => Some(true),
                GroupFinding::Elsewhere(_) => Some(false),
                GroupFinding::Unread(_) => None,
            },
        })
    }
}

/// A cutover with the result of the last reading.
pub(super) struct CutoverStanding {
    /// The state of the cutover by the journal.
    pub(super) state: State,
    groups: Vec<GroupSeen>,
    strays: Vec<Stray>,
}

/// Reads all groups of these cutovers. If a member is missing, reads once more after [`READ_AGAIN_AFTER`].
pub(super) async fn read(dns: &dyn Dns, states: &[State]) -> Vec<CutoverStanding> {
    let until = Instant::now() + READ_WITHIN;
    let zones = find_zones(dns, states, Instant::now() + FIND_WITHIN).await;
    let standings = read_once(dns, states, &zones, until).await;
    if !standings.iter().any(CutoverStanding::lacks_a_member) {
        return standings;
    }
    tokio::time::sleep(READ_AGAIN_AFTER).await;
    read_once(dns, states, &zones, until).await
}

type FoundZones = BTreeMap<(Account, ZoneRef), Result<ZoneId, String>>;

/// Finds the zones of groups without a baseline, as far as Route 53 answers before `until`.
async fn find_zones(dns: &dyn Dns, states: &[State], until: Instant) -> FoundZones {
    let mut zones = FoundZones::new();
    for state in states.iter().filter(|state| state.baseline.is_none()) {
        for (index, group) in state.plan().records.iter().enumerate() {
            let account = state.plan().account_of_group(index).clone();
            let place = (account, group.zone.clone());
            if zones.contains_key(&place) {
                continue;
            }
            let found = tokio::time::timeout_at(until, dns.find_zone(&place.0, &place.1)).await;
            let found = match found {
                Ok(Ok(zone)) => Ok(zone.id),
                Ok(Err(error)) => Err(error.to_string()),
                Err(_) => Err("no answer in time".to_owned()),
            };
            zones.insert(place, found);
        }
    }
    zones
}

fn zone_of(state: &State, index: usize, zones: &FoundZones) -> Result<ZoneId, String> {
    if let Some(image) = state.baseline.as_ref().and_then(|all| all.get(index)) {
        return Ok(image.zone.clone());
    }
    if let Some(group) = state.plan().records.get(index) {
        let account = state.plan().account_of_group(index).clone();
        if let Some(zone) = zones.get(&(account, group.zone.clone())) {
            return zone.clone();
        }
    }
    Err("its hosted zone is not known".to_owned())
}

async fn read_once(
    dns: &dyn Dns,
    states: &[State],
    zones: &FoundZones,
    until: Instant,
) -> Vec<CutoverStanding> {
    let mut wanted: BTreeMap<(Account, ZoneId), BTreeSet<GroupName>> = BTreeMap::new();
    for state in states {
        for (index, group) in state.plan().records.iter().enumerate() {
            if let Ok(zone) = zone_of(state, index, zones) {
                let place = (state.plan().account_of_group(index).clone(), zone);
                wanted.entry(place).or_default().insert(group.name.clone());
            }
        }
    }
    let mut readings: BTreeMap<(Account, ZoneId), GroupReadings> = BTreeMap::new();
    for ((account, zone), names) in wanted {
        let reading = dns.read_groups(&account, &zone, &names, Urgency::Revert);
        if let Ok(read) = tokio::time::timeout_at(until, reading).await {
            readings.insert((account, zone), read);
        }
    }
    let mut standings = Vec::new();
    for state in states {
        standings.push(CutoverStanding::of(state, zones, &readings));
    }
    standings
}

impl CutoverStanding {
    fn of(
        state: &State,
        zones: &FoundZones,
        readings: &BTreeMap<(Account, ZoneId), GroupReadings>,
    ) -> Self {
        let mut standing = Self {
            state: state.clone(),
            groups: Vec::new(),
            strays: Vec::new(),
        };
        for (index, group) in state.plan().records.iter().enumerate() {
            let zone = zone_of(state, index, zones);
            let read = zone.and_then(|zone| {
                let account = state.plan().account_of_group(index).clone();
                let place = (account, zone.clone());
                let answer = readings.get(&place).and_then(|all| all.get(&group.name));
                match answer {
                    Some(Ok(members)) => Ok((zone, members.clone())),
                    Some(Err(error)) => Err(error.to_string()),
                    None => Err("no answer in time".to_owned()),
                }
            });
            standing.take(index, group, read);
        }
        standing
    }

    fn take(
        &mut self,
        index: usize,
        group: &Group,
        read: Result<(ZoneId, Vec<RecordSet>), String>,
    ) {
        let mut seen = GroupSeen {
            group: group.clone(),
            pair: None,
            finding: GroupFinding::Back,
        };
        let baseline = self.state.baseline.as_ref().and_then(|all| all.get(index));
        match read {
            Err(why) => seen.finding = GroupFinding::Unread(why),
            Ok((zone, members)) => match preflight::image_of(group, &zone, &members) {
                None => seen.finding = GroupFinding::Elsewhere(missing(group, &members)),
                Some(image) => {
                    let pair = image.pair();
                    seen.pair = Some(pair);
                    // Without a baseline, "back" means where a start would begin: no weight on the new side.
                    let is_back = match baseline {
                        Some(baseline) => pair == baseline.pair(),
                        None => pair.new.0 == 0,
                    };
                    if !is_back {
                        seen.finding = GroupFinding::Elsewhere(match baseline {
                            Some(baseline) => {
                                let wanted = baseline.pair();
                                format!("its weights are {pair} (old/new), not {wanted}")
                            }
                            None => format!("its weights are {pair} (old/new)"),
                        });
                    }
                    if let Some(baseline) = baseline {
                        self.strays.extend(strays(&group.name, baseline, &image));
                    }
                }
            },
        }
        self.groups.push(seen);
    }

    fn lacks_a_member(&self) -> bool {
        let mut groups = self.groups.iter();
        groups.any(|seen| seen.pair.is_none() && seen.is_elsewhere())
    }

    fn any_unread(&self) -> bool {
        self.groups.iter().any(GroupSeen::is_unread)
    }

    /// Returns the number of groups at the baseline, and the number of all groups.
    pub(super) fn back(&self) -> (usize, usize) {
        let back = self.groups.iter().filter(|seen| seen.is_back());
        (back.count(), self.groups.len())
    }

    /// Returns true if at least one group is at the baseline.
    pub(super) fn has_a_part_back(&self) -> bool {
        self.back().0 > 0
    }

    /// Returns true if every group is at the baseline and no other member holds weight.
    pub(super) fn is_back(&self) -> bool {
        let (back, all) = self.back();
        back == all && self.strays.is_empty()
    }

    /// Returns the members outside the baseline that hold weight; `None` if not all groups were read.
    pub(super) fn known_strays(&self) -> Option<&[Stray]> {
        if self.any_unread() {
            return None;
        }
        Some(&self.strays)
    }

    /// Returns what was found in every group that is not back, one line each.
    pub(super) fn found(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for seen in &self.groups {
            let name = &seen.group.name;
            match &seen.finding {
                GroupFinding::Back => {}
                GroupFinding::Elsewhere(why) => lines.push(format!("{name} is not back: {why}")),
                GroupFinding::Unread(why) => {
                    lines.push(format!("{name} cannot be read back: {why}"));
                }
            }
        }
        if !self.strays.is_empty() {
            lines.push(holds::strays(&self.strays));
        }
        lines
    }

    /// Returns the exit code of a rollback of this cutover, from what was read.
    pub(super) fn exit(&self) -> Exit {
        match self.state.phase {
            Phase::Completed if self.is_back() => Exit::Done,
            Phase::Completed => Exit::DoesNotApply,
            // The cutover never started, so there is nothing to go back to. A person is needed only if the new side has
            // weight.
            Phase::Reverted if self.state.baseline.is_none() => {
                if self.groups.iter().any(GroupSeen::has_new_weight) {
                    Exit::Halted
                } else {
                    Exit::Done
                }
            }
            Phase::Reverted | Phase::Abandoned => {
                if self.groups.iter().any(GroupSeen::is_elsewhere) {
                    Exit::Halted
                } else if self.any_unread() {
                    Exit::RevertUnfinished
                } else if self.strays.is_empty() {
                    Exit::Done
                } else {
                    Exit::Halted
                }
            }
            Phase::Halted if self.state.rollback.is_none() => Exit::Halted,
            Phase::Waiting
            | Phase::Shifting
            | Phase::Settling
            | Phase::Baking
            | Phase::Reverting
            | Phase::Halted => Exit::RevertUnfinished,
        }
    }

    /// Returns true if every group was read at the baseline, no other member holds weight, and the revert has not
    /// ended. Then only the calls of jobs and hooks are missing.
    pub(super) fn lacks_only_calls(&self) -> bool {
        let (back, all) = self.back();
        self.state.phase == Phase::Reverting && all > 0 && back == all && self.strays.is_empty()
    }

    /// Returns the line of the result; `None` if the cutover has not ended, or has completed and is not at its
    /// baseline.
    pub(super) fn line(&self) -> Option<String> {
        let name = &self.state.name;
        let (back, all) = self.back();
        let exit = self.exit();
        let known = self.state.baseline.is_some();
        let how = if !self.state.phase.is_final() || exit == Exit::DoesNotApply {
            return None;
        } else if exit == Exit::Done && known {
            "at the baseline, read back".to_owned()
        } else if exit == Exit::Done {
            "cancelled; it had not started, and nothing was written to Route 53".to_owned()
        } else if !known {
            format!(
                "cancelled; it had not started, and nothing was written to Route 53; but the new side has a share of the \
                 traffic ({}), and the journal has no baseline to go back to: set the weights in Route 53 by hand",
                self.pairs()
            )
        } else if exit == Exit::RevertUnfinished {
            format!(
                "not known to be at the baseline: only {back} of {all} groups were read there; run this again"
            )
        } else if back == all {
            holds::strays(&self.strays)
        } else if self.state.phase == Phase::Abandoned {
            format!(
                "it was abandoned, and {back} of {all} groups are at the baseline ({}); nothing was written: set the weights in \
                 Route 53 by hand",
                self.pairs()
            )
        } else {
            format!(
                "not at the baseline: only {back} of {all} groups are ({}); check the records, then write the baseline over \
                 them: `cutover rollback {name} --force`",
                self.pairs()
            )
        };
        Some(format!("{name}: {how}"))
    }

    /// Returns the weights of the groups as read, without duplicates.
    fn pairs(&self) -> String {
        let pairs = self.groups.iter().filter_map(|seen| seen.pair);
        let pairs: BTreeSet<String> = pairs.map(|pair| pair.to_string()).collect();
        if pairs.is_empty() {
            return "a member is missing".to_owned();
        }
        let pairs: Vec<String> = pairs.into_iter().collect();
        format!("weights {} (old/new)", lists::some(&pairs, ", "))
    }

    /// Returns the JSON result for this cutover.
    pub(super) fn to_json(&self) -> Value {
        let records: Vec<Value> = self.groups.iter().map(GroupSeen::to_json).collect();
        let back = if self.any_unread() {
            None
        } else {
            Some(self.is_back())
        };
        json!({
            "name": self.state.name,
            "phase": self.state.phase.label(),
            "back": back,
            "records": records,
            "others": self.strays,
        })
    }
}

/// Describes the members that are missing.
fn missing(group: &Group, members: &[RecordSet]) -> String {
    if members.is_empty() {
        return "it has no weighted records".to_owned();
    }
    let mut gone = Vec::new();
    for identifier in [&group.old, &group.new] {
        let mut members = members.iter();
        if !members.any(|member| member.set_identifier == *identifier) {
            gone.push(format!("`{identifier}`"));
        }
    }
    format!("its member {} is missing", gone.join(" and "))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::engine::event::{Envelope, Event, JOURNAL_VERSION};
    use crate::engine::fold::fold;
    use crate::engine::record::GroupImage;
    use crate::engine::units::{CutoverName, Weight};
    use crate::plan_file;

    const PLAN: &str = "\
version: 1
name: a
records: [ { zone: example.com, name: a.example.com, type: A, old: eks, new: ecs } ]
steps: [ { weight: 100%, bake: 1h } ]
gates: { alarms: [ red ] }
";

    fn member(identifier: &str, weight: u8) -> RecordSet {
        RecordSet {
            name: "a.example.com.".to_owned(),
            record_type: "A".to_owned(),
            set_identifier: identifier.to_owned(),
            weight: Weight(weight),
            ttl: Some(60),
            values: vec!["192.0.2.1".to_owned()],
            alias: None,
            health_check_id: None,
            unsupported: Vec::new(),
        }
    }

    fn zone() -> ZoneId {
        ZoneId::from("Z1")
    }

    /// Returns a cutover in this phase, with the baseline 100/0 if `known`.
    fn state(phase: Phase, known: bool) -> State {
        let accepted = Envelope {
            cutover: CutoverName::from("a"),
            attempt: 1,
            seq: 1,
            at: Timestamp::UNIX_EPOCH,
            actor: String::new(),
            version: JOURNAL_VERSION,
            event: Event::PlanAccepted {
                source: Box::new(plan_file::parse(PLAN, "a.yaml").unwrap().source),
            },
        };
        let mut state = fold([&accepted]).unwrap().unwrap();
        state.phase = phase;
        let image = GroupImage {
            zone: zone(),
            old: member("eks", 100),
            new: member("ecs", 0),
            others: Vec::new(),
        };
        state.baseline = known.then(|| vec![image]);
        state
    }

    fn found(state: &State, read: Result<Vec<RecordSet>, String>) -> CutoverStanding {
        let mut standing = CutoverStanding {
            state: state.clone(),
            groups: Vec::new(),
            strays: Vec::new(),
        };
        let group = state.plan().records[0].clone();
        standing.take(0, &group, read.map(|members| (zone(), members)));
        standing
    }

    fn pair(old: u8, new: u8) -> Vec<RecordSet> {
        vec![member("eks", old), member("ecs", new)]
    }

    #[test]
    fn back_is_said_only_of_what_was_read_there() {
        for (phase, known, read, exit, said) in [
            (
                Phase::Reverted,
                true,
                Ok(pair(100, 0)),
                Exit::Done,
                "at the baseline, read back",
            ),
            (
                Phase::Reverted,
                true,
                Ok(pair(0, 100)),
                Exit::Halted,
                "--force",
            ),
            (
                Phase::Reverted,
                true,
                Ok(Vec::new()),
                Exit::Halted,
                "not at the baseline",
            ),
            (
                Phase::Reverted,
                true,
                Err("no answer".to_owned()),
                Exit::RevertUnfinished,
                "not known",
            ),
            (
                Phase::Reverted,
                false,
                Ok(pair(100, 0)),
                Exit::Done,
                "cancelled",
            ),
            (
                Phase::Reverted,
                false,
                Ok(pair(0, 100)),
                Exit::Halted,
                "by hand",
            ),
            (
                Phase::Reverted,
                false,
                Err("no answer".to_owned()),
                Exit::Done,
                "cancelled",
            ),
            (
                Phase::Completed,
                true,
                Ok(pair(100, 0)),
                Exit::Done,
                "at the baseline, read back",
            ),
        ] {
            let standing = found(&state(phase, known), read);
            assert_eq!(standing.exit(), exit, "{phase:?} {said}");
            let line = standing.line().unwrap();
            assert!(line.contains(said), "{line}");
            let claims = line.contains("at the baseline, read back");
            assert_eq!(claims, exit == Exit::Done && known, "{line}");
        }
        let completed = found(&state(Phase::Completed, true), Ok(pair(0, 100)));
        assert_eq!(completed.exit(), Exit::DoesNotApply);
        let going = found(&state(Phase::Reverting, true), Ok(pair(100, 0)));
        assert_eq!(going.exit(), Exit::RevertUnfinished);
    }

    #[test]
    fn a_member_beside_the_baseline_needs_a_person_and_is_named() {
        let members = vec![
            member("eks", 100),
            member("ecs", 0),
            member("cluster-old", 75),
            member("cluster-new", 25),
        ];
        let standing = found(&state(Phase::Reverted, true), Ok(members));
        assert_eq!(standing.exit(), Exit::Halted);
        let line = standing.line().unwrap();
        for part in ["`cluster-new`", "25 of 200", "12.5%", "192.0.2.1", "37.5%"] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert_eq!(standing.to_json()["others"][1]["weight"], 25);
    }
}
