//! A validated plan: what `plan_file` makes of the YAML, and what the journal keeps.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

pub use super::account::Account;
use super::evidence::gate::{GateId, GateKind};
use super::evidence::plan::{Measures, Query};
use super::hooks::Hook;
use super::jobs::JobSwitch;
use super::record::GroupName;
use super::units::{AlarmId, CutoverName, Share, WeightPair};
use super::window::Windows;
pub use crate::engine::notify::Notify;

/// A plan that has passed all checks. Nothing in it can contradict itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The cutover's name.
    pub name: CutoverName,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What people select it by, for example `team: search`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The cutovers that must have completed before this one starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<CutoverName>,
    /// Where and as whom AWS is called.
    pub aws: AwsSettings,
    /// The weighted groups that move together, 1 to 100.
    pub records: Vec<Group>,
    /// How long resolvers are given after INSYNC; none means the largest TTL of the groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<SignedDuration>,
    /// The steps, rising, the last one at 100 %.
    pub steps: Vec<Step>,
    /// What is watched.
    pub gates: Gates,
    /// When a step may be taken; none means always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<Windows>,
    /// Who is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// What is called on the way.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// The batch jobs that move as one switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<JobSwitch>,
}

/// Where and as whom AWS is called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsSettings {
    /// CloudWatch's region; none means the environment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The account, by the role that is assumed in it.
    #[serde(default, skip_serializing_if = "Account::is_ambient")]
    pub account: Account,
    /// Other accounts in which alarms are read, by their numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<String, Account>,
}

/// How the plan names its hosted zone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ZoneRef {
    /// A zone's name (`example.com`) or its identifier (`Z0123456789ABC`).
    pub zone: String,
    /// Which one where a public and a private zone share the name; none where there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<bool>,
}

/// One weighted group: a name and type whose two members share the traffic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The hosted zone.
    pub zone: ZoneRef,
    /// Name and type.
    #[serde(flatten)]
    pub name: GroupName,
    /// The old cluster's set identifier.
    pub old: String,
    /// The new cluster's set identifier.
    pub new: String,
    /// The account that the hosted zone is in, where that is not the plan's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
}

/// One step of the ladder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The new side's share, as written.
    pub share: Share,
    /// The weights that express it.
    pub pair: WeightPair,
    /// How long the gates must have passed before the next step. Above zero, at most 90 days.
    pub bake: SignedDuration,
    /// Whether a person must approve this step before it is taken.
    #[serde(default)]
    pub approval: bool,
    /// What happens when nobody approves in time; none means that it waits for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_timeout: Option<ApprovalTimeout>,
}

/// How long a step waits for its approval, and what happens then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalTimeout {
    /// Counted from the entry that first said that the step waits; pauses do not stop it. Above zero, at most 90 days.
    pub after: SignedDuration,
    /// What happens then. The first step has nothing to take back, and only holds.
    pub on_timeout: HoldOrRevert,
}

/// What is watched, and what is done when it cannot be seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gates {
    /// Red means revert.
    #[serde(default)]
    pub alarms: Vec<AlarmGate>,
    /// Can the old cluster take the traffic back? Red means hold, and no automatic revert.
    #[serde(default)]
    pub fallback_alarms: Vec<AlarmGate>,
    /// How long a gate may be Unknown before `on_unknown` applies.
    pub unknown_for: SignedDuration,
    /// What happens then.
    pub on_unknown: HoldOrRevert,
    /// What happens when a gate and a fallback alarm are red at once.
    pub both_red: HoldOrRevert,
    /// What is watched besides alarms.
    #[serde(default, skip_serializing_if = "Measures::is_empty")]
    pub measures: Measures,
}

/// One alarm that is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmGate {
    /// Which alarm.
    #[serde(flatten)]
    pub id: AlarmId,
    /// What INSUFFICIENT_DATA means after the first write.
    #[serde(default)]
    pub no_data: NoData,
}

/// What INSUFFICIENT_DATA means after the first write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoData {
    /// Unknown: nothing advances.
    #[default]
    Hold,
    /// The plan's author knows that this alarm has no data when all is well.
    Pass,
}

/// The two answers to a question that a plan may settle in advance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldOrRevert {
    /// Hold, and page a person.
    Hold,
    /// Take the traffic back.
    Revert,
}

/// A plan together with where it came from; what the journal keeps of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanSource {
    /// The validated plan.
    pub plan: Plan,
    /// The absolute path of the file.
    pub path: String,
    /// SHA-256 over the parsed plan, hexadecimal. Comments, key order, `description` and `notify` do not count.
    pub digest: String,
    /// The file's text, for people who need it after the file is gone.
    pub text: String,
}

/// The most groups that a cutover may have (semantics A7): the batch that moves them must fit Route 53's limits.
pub const GROUPS_MAX: usize = 100;

/// The longest bake, in days.
pub const BAKE_DAYS_MAX: i64 = 90;

impl Gates {
    /// Whether there is a gate, or a fallback alarm, of this name.
    pub fn has(&self, gate: &GateId) -> bool {
        let mut alarms = self.alarms.iter().chain(&self.fallback_alarms);
        let measures = &self.measures;
        match gate.gate {
            GateKind::Alarm => alarms.any(|alarm| *gate == alarm.id),
            GateKind::Metric => measures.metrics.iter().any(|it| it.id() == *gate),
            GateKind::Traffic => measures.traffic.is_some(),
            GateKind::Regression => measures.regression.is_some(),
            GateKind::Trend => measures.trends.iter().any(|it| it.id() == *gate),
        }
    }
}

impl Plan {
    /// The step with this 1-based number.
    pub fn step(&self, number: u16) -> Option<&Step> {
        usize::from(number)
            .checked_sub(1)
            .and_then(|index| self.steps.get(index))
    }

    /// How many steps there are.
    pub fn step_count(&self) -> u16 {
        u16::try_from(self.steps.len()).unwrap_or(u16::MAX)
    }

    /// The number of the step with this share.
    pub fn step_of(&self, share: Share) -> Option<u16> {
        let index = self.steps.iter().position(|step| step.share == share)?;
        u16::try_from(index + 1).ok()
    }

    /// Returns true if both plans move the same groups. The roles that reach them may differ: a role may be replaced while a
    /// cutover is under way.
    pub fn moves_the_groups_of(&self, other: &Self) -> bool {
        let same = |(one, another): (&Group, &Group)| {
            (&one.zone, &one.name) == (&another.zone, &another.name)
                && (&one.old, &one.new) == (&another.old, &another.new)
        };
        let pairs = self.records.iter().zip(&other.records);
        self.records.len() == other.records.len() && pairs.into_iter().all(same)
    }

    /// The account that a group's hosted zone is in. The plan's own for a group that the plan does not have.
    pub fn account_of_group(&self, index: usize) -> &Account {
        let group = self.records.get(index);
        let other = group.and_then(|group| group.account.as_ref());
        other.unwrap_or(&self.aws.account)
    }

    /// The account that an alarm is read in.
    pub fn account_of(&self, alarm: &AlarmId) -> &Account {
        let other = alarm.account_number();
        let other = other.and_then(|number| self.aws.others.get(number));
        other.unwrap_or(&self.aws.account)
    }

    /// The account that a series is read in.
    pub fn account_of_series<'a>(&'a self, query: &'a Query) -> &'a Account {
        query.account.as_ref().unwrap_or(&self.aws.account)
    }

    /// All alarms that are watched, by the account that they are read in.
    pub fn alarms_by_account(&self) -> BTreeMap<Account, BTreeSet<AlarmId>> {
        let mut by_account: BTreeMap<Account, BTreeSet<AlarmId>> = BTreeMap::new();
        for gate in self.alarms() {
            let account = self.account_of(&gate.id).clone();
            by_account
                .entry(account)
                .or_default()
                .insert(gate.id.clone());
        }
        by_account
    }

    /// All alarms that are watched, gates first.
    pub fn alarms(&self) -> impl Iterator<Item = &AlarmGate> {
        self.gates.alarms.iter().chain(&self.gates.fallback_alarms)
    }
}
