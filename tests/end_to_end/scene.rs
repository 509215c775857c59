//! The stage of an end-to-end test: a world behind HTTP, a plan, and the program.

use std::collections::BTreeMap;
use std::ops::Deref;

use cutover::engine::observation::AlarmState;
use cutover::engine::plan::Account;
use cutover::engine::record::GroupName;
use cutover::engine::units::{DnsName, ZoneId};
use cutover::ports::ChangeAction;
use cutover::sim::route53::{ChangeBatch, NewZone, StoredRecord};
use jiff::SignedDuration;

use crate::support::program::Program;
use crate::support::server::TestBed;

/// The cutover of most tests.
pub(crate) const NAME: &str = "api";
/// Where its alarms are.
pub(crate) const REGION: &str = "eu-west-1";
/// Its gates.
pub(crate) const GATES: [&str; 2] = ["api-5xx", "api-p99"];
/// Its fallback alarm.
pub(crate) const FALLBACK: &str = "old-unhealthy";
/// The file of its plan.
pub(crate) const PLAN: &str = "plans/api.yaml";
/// Its ladder, with the start.
pub(crate) const LADDER: [(u8, u8); 4] = [(100, 0), (90, 10), (50, 50), (0, 100)];

/// A plan file in the making. Its groups are those of the scene.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) name: String,
    /// Weight, bake, and whether a person must approve.
    pub(crate) steps: Vec<(&'static str, &'static str, bool)>,
    /// Nothing leaves the key out.
    pub(crate) settle: &'static str,
    pub(crate) role_arn: Option<String>,
    pub(crate) gates: Vec<String>,
    pub(crate) fallbacks: Vec<String>,
    /// Zone, name and type.
    pub(crate) records: Vec<(String, String, &'static str)>,
    /// More of the file.
    pub(crate) more: String,
}

impl Default for Plan {
    fn default() -> Self {
        let record = |(zone, name, kind): (&str, &str, _)| (zone.to_owned(), name.to_owned(), kind);
        Self {
            name: NAME.to_owned(),
            steps: vec![
                ("10%", "1s", false),
                ("50%", "1s", false),
                ("100%", "1s", false),
            ],
            settle: "0s",
            role_arn: None,
            gates: GATES.map(str::to_owned).to_vec(),
            fallbacks: vec![FALLBACK.to_owned()],
            records: GROUPS.map(record).to_vec(),
            more: String::new(),
        }
    }
}

impl Plan {
    /// Only the first step's bake differs: it never ends within a test.
    pub(crate) fn resting_at_first_step() -> Self {
        Self {
            steps: vec![
                ("10%", "1h", false),
                ("50%", "1s", false),
                ("100%", "1s", false),
            ],
            ..Self::default()
        }
    }

    pub(crate) fn text(&self) -> String {
        let mut lines = vec!["version: 1".to_owned(), format!("name: {}", self.name)];
        if let Some(role_arn) = &self.role_arn {
            lines.push(format!("aws: {{ role_arn: '{role_arn}' }}"));
        }
        lines.push("records:".to_owned());
        lines.extend(self.records.iter().map(|(zone, name, kind)| {
            format!("  - {{ zone: {zone}, name: {name}, type: {kind}, old: eks, new: ecs }}")
        }));
        if !self.settle.is_empty() {
            lines.push(format!("settle: {}", self.settle));
        }
        lines.push("steps:".to_owned());
        lines.extend(self.steps.iter().map(|(weight, bake, approval)| {
            let approval = if *approval {
                ", approval: required"
            } else {
                ""
            };
            format!("  - {{ weight: {weight}, bake: {bake}{approval} }}")
        }));
        lines.push(format!("gates:\n  alarms: [{}]", self.gates.join(", ")));
        if !self.fallbacks.is_empty() {
            let fallbacks = self.fallbacks.join(", ");
            lines.push(format!("  fallback_alarms: [{fallbacks}]"));
        }
        lines.push(self.more.clone());
        lines.join("\n") + "\n"
    }
}

/// The groups of the scene: an alias pair, and a CNAME in another zone.
pub(crate) const GROUPS: [(&str, &str, &str); 3] = [
    ("example.com", "api.example.com", "A"),
    ("example.com", "api.example.com", "AAAA"),
    ("example.net", "api.example.net", "CNAME"),
];

/// A world with two zones and three green alarms, and the program beside it.
pub(crate) struct Scene {
    // Dropped first: the program must not outlive what it talks to.
    program: Program,
    pub(crate) bed: TestBed,
    zones: BTreeMap<String, ZoneId>,
}

impl Deref for Scene {
    type Target = Program;

    fn deref(&self) -> &Program {
        &self.program
    }
}

impl Scene {
    /// The world, and the plan in its file.
    pub(crate) fn new(plan: &Plan) -> Self {
        let scene = Self::empty();
        for (zone, name, kind) in GROUPS {
            scene.add_group(zone, name, kind);
        }
        for alarm in GATES.into_iter().chain([FALLBACK]) {
            scene.add_alarm(alarm);
        }
        scene.plan(plan);
        scene
    }

    /// The two zones, without records and alarms.
    pub(crate) fn empty() -> Self {
        let bed = TestBed::start();
        let zones = ["example.com", "example.net"].map(|name| {
            let new = NewZone {
                name: name.to_owned(),
                caller_reference: name.to_owned(),
                ..NewZone::default()
            };
            let made = bed.world().route53.create_zone(new, bed.now());
            (name.to_owned(), made.expect("a zone").0)
        });
        Self {
            program: Program::new(bed.endpoint()),
            bed,
            zones: zones.into(),
        }
    }

    /// Writes a plan to its file.
    pub(crate) fn plan(&self, plan: &Plan) {
        self.write(&format!("plans/{}.yaml", plan.name), &plan.text());
    }

    /// A weighted group at 100 and 0: aliases for addresses, or else a value.
    pub(crate) fn add_group(&self, zone: &str, name: &str, kind: &str) {
        let members = [("eks", 100), ("ecs", 0)].map(|(identifier, weight)| {
            let target = format!("{identifier}.example.org.");
            let record = match kind {
                "CNAME" => StoredRecord::weighted(name, kind, identifier, weight, &target),
                _ => StoredRecord::weighted_alias(name, kind, identifier, weight, &target),
            };
            (ChangeAction::Create, record)
        });
        let (zone, now) = (self.zone(zone), self.bed.now());
        let batch = ChangeBatch::of(members);
        let model = &mut self.bed.world().route53;
        let made = model.change(&Account::default(), zone, &batch, now);
        made.expect("a valid group");
    }

    /// An alarm that has been green for an hour.
    pub(crate) fn add_alarm(&self, name: &str) {
        let at = self.bed.now() - SignedDuration::from_hours(1);
        let model = &mut self.bed.world().cloudwatch;
        model.set_state(REGION, name, AlarmState::Ok, at);
    }

    /// Puts an alarm into a state, now.
    pub(crate) fn set_alarm(&self, name: &str, state: AlarmState) {
        let now = self.bed.now();
        let model = &mut self.bed.world().cloudwatch;
        model.set_state(REGION, name, state, now);
    }

    /// Turns an alarm red.
    pub(crate) fn red(&self, name: &str) {
        self.set_alarm(name, AlarmState::Alarm);
    }

    /// Turns an alarm green.
    pub(crate) fn green(&self, name: &str) {
        self.set_alarm(name, AlarmState::Ok);
    }

    pub(crate) fn zone(&self, name: &str) -> &ZoneId {
        self.zones.get(name).expect("a zone of the scene")
    }

    /// All weights that a group ever had, the first ones included, as old and new.
    pub(crate) fn weights(&self, zone: &str, name: &str, kind: &str) -> Vec<(u8, u8)> {
        let world = self.bed.world();
        let group = group_name(name, kind);
        let writes = world.route53.weight_writes_of(self.zone(zone), &group);
        writes
            .filter_map(|write| {
                let pair = write.pair("eks", "ecs")?;
                Some((pair.old.0, pair.new.0))
            })
            .collect()
    }

    /// All weights that each group of the scene ever had.
    pub(crate) fn all_weights(&self) -> [Vec<(u8, u8)>; 3] {
        GROUPS.map(|(zone, name, kind)| self.weights(zone, name, kind))
    }

    /// Checks all weights that each group of the scene ever had.
    pub(crate) fn assert_weights(&self, expected: &[(u8, u8)]) {
        for (zone, name, kind) in GROUPS {
            let written = self.weights(zone, name, kind);
            let everything = || self.everything(NAME);
            assert_eq!(written, expected, "{name} {kind}\n{}", everything());
        }
    }

    /// All record sets, as they are now.
    pub(crate) fn images(&self) -> Vec<StoredRecord> {
        let world = self.bed.world();
        let zones = self.zones.values().map(|id| {
            let zone = world.route53.zone(&Account::default(), id);
            let zone = zone.expect("a zone of the scene");
            zone.records().cloned().collect::<Vec<_>>()
        });
        zones.flatten().collect()
    }

    /// Sets both weights of the CNAME group at once, as somebody else would.
    pub(crate) fn foreign_weights(&self, old: u8, new: u8) {
        let (zone, name, kind) = GROUPS[2];
        let now = self.bed.now();
        let world = &mut self.bed.world().route53;
        let stored = world.zone(&Account::default(), self.zone(zone));
        let members = stored
            .expect("a zone of the scene")
            .group(&group_name(name, kind));
        let changes: Vec<_> = members
            .into_iter()
            .map(|member| {
                let is_old = member.set_identifier.as_deref() == Some("eks");
                let record = StoredRecord {
                    weight: Some(i64::from(if is_old { old } else { new })),
                    ..member.clone()
                };
                (ChangeAction::Upsert, record)
            })
            .collect();
        let changed = world.foreign_change(self.zone(zone), &ChangeBatch::of(changes), now);
        changed.expect("a valid batch");
    }

    /// The weights of the CNAME group that were ever there.
    pub(crate) fn cname_weights(&self) -> Vec<(u8, u8)> {
        let (zone, name, kind) = GROUPS[2];
        self.weights(zone, name, kind)
    }

    /// How often an operation was called.
    pub(crate) fn calls(&self, operation: &str) -> usize {
        self.bed.counts().get(operation).copied().unwrap_or(0)
    }
}

pub(crate) fn group_name(name: &str, kind: &str) -> GroupName {
    GroupName {
        name: DnsName::new(name),
        record_type: kind.to_owned(),
    }
}
