//! The validated plan, which `plan_file` makes from the YAML and the journal keeps.

pub(crate) mod reaction;

pub use reaction::HoldOrRevert;

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

pub use super::account::Account;
use super::evidence::gate::GateId;
use super::evidence::plan::{Measures, Query};
use super::hooks::{Hook, HookId};
use super::jobs::JobSwitch;
use super::record::GroupName;
use super::units::{AlarmId, CutoverName, Share, WeightPair, ZoneId};
use super::window::Windows;
pub use crate::notify::channel::Notify;

/// A plan that has passed all checks. Nothing in it can contradict itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The cutover's name.
    pub name: CutoverName,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Labels to select it by, for example `team: search`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The cutovers that must have completed before this one starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<CutoverName>,
    /// The region and the accounts in which AWS is called.
    pub aws: AwsSettings,
    /// The weighted groups that move together, 1 to 100.
    pub records: Vec<Group>,
    /// The time given to resolvers after INSYNC; none means the largest TTL of the groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<SignedDuration>,
    /// The steps, rising, the last one at 100 %.
    pub steps: Vec<Step>,
    /// The gates.
    pub gates: Gates,
    /// The windows in which a step may be taken; none means always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<Windows>,
    /// The command and the channels that are notified.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// The hooks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// The batch jobs that move as one switch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<JobSwitch>,
}

/// The region and the accounts in which AWS is called.
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

/// The hosted zone as the plan names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ZoneRef {
    /// A zone's name (`example.com`) or its identifier (`Z0123456789ABC`).
    pub zone: String,
    /// True for the private and false for the public zone of that name; none if there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<bool>,
}

impl ZoneRef {
    /// The zone's ID, if the plan names it by that.
    pub fn id(&self) -> Option<ZoneId> {
        let bare = self.zone.trim().trim_start_matches("/hostedzone/");
        if ZoneId::is_written_as(bare) {
            return Some(ZoneId::from(bare));
        }
        None
    }
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
    /// The account that the hosted zone is in, if that is not the plan's.
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
    /// The time for which the gates must have passed before the next step. Above zero, at most 90 days.
    pub bake: SignedDuration,
    /// True if a person must approve this step before it is taken.
    #[serde(default)]
    pub approval: bool,
    /// The reaction if nobody approves in time; none means that it waits forever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_timeout: Option<ApprovalTimeout>,
}

/// The time for which a step waits for its approval, and the reaction after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalTimeout {
    /// Counted from the entry that first said that the step waits; pauses do not stop it. Above zero, at most 90 days.
    pub after: SignedDuration,
    /// The reaction. The first step has nothing to revert, and only holds.
    pub on_timeout: HoldOrRevert,
}

/// The gates, and the reaction if they cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gates {
    /// Red means revert.
    #[serde(default)]
    pub alarms: Vec<AlarmGate>,
    /// Red means that the old cluster cannot take the traffic back: hold, and no automatic revert.
    #[serde(default)]
    pub fallback_alarms: Vec<AlarmGate>,
    /// The time for which a gate may be Unknown before `on_unknown` applies.
    pub unknown_for: SignedDuration,
    /// The reaction then.
    pub on_unknown: HoldOrRevert,
    /// The reaction if a gate and a fallback alarm are red at once.
    pub both_red: HoldOrRevert,
    /// The gates other than alarms.
    #[serde(default, skip_serializing_if = "Measures::is_empty")]
    pub measures: Measures,
}

/// One alarm that is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmGate {
    /// The alarm.
    #[serde(flatten)]
    pub id: AlarmId,
    /// The meaning of INSUFFICIENT_DATA after the first write.
    #[serde(default)]
    pub no_data: NoData,
}

/// The meaning of INSUFFICIENT_DATA after the first write.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoData {
    /// Unknown: nothing advances.
    #[default]
    Hold,
    /// Pass: the plan's author knows that this alarm has no data when all is well.
    Pass,
}

/// A plan with its file's path and text, as the journal keeps it.
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
    /// Returns true if there is a gate, or a fallback alarm, of this name.
    pub fn has(&self, gate: &GateId) -> bool {
        let mut alarms = self.alarms.iter().chain(&self.fallback_alarms);
        let measured = self.measures.gates();
        alarms.any(|alarm| *gate == alarm.id) || measured.iter().any(|it| it.id() == *gate)
    }
}

impl Plan {
    /// The step with this 1-based number.
    pub fn step(&self, number: u16) -> Option<&Step> {
        let index = usize::from(number).checked_sub(1)?;
        self.steps.get(index)
    }

    /// The hook that a call is of.
    pub fn hook(&self, id: HookId) -> Option<&Hook> {
        let index = usize::try_from(id.index).ok()?.checked_sub(1)?;
        self.hooks.get(index)
    }

    /// The number of steps.
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
        if self.records.len() != other.records.len() {
            return false;
        }
        for (one, another) in self.records.iter().zip(&other.records) {
            let same = (&one.zone, &one.name) == (&another.zone, &another.name)
                && (&one.old, &one.new) == (&another.old, &another.new);
            if !same {
                return false;
            }
        }
        true
    }

    /// The account that a group's hosted zone is in. The plan's own for a group that the plan does not have.
    pub fn account_of_group(&self, index: usize) -> &Account {
        match self.records.get(index) {
            Some(group) => group.account.as_ref().unwrap_or(&self.aws.account),
            None => &self.aws.account,
        }
    }

    /// The account that an alarm is read in.
    pub fn account_of(&self, alarm: &AlarmId) -> &Account {
        let Some(number) = alarm.account_number() else {
            return &self.aws.account;
        };
        self.aws.others.get(number).unwrap_or(&self.aws.account)
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
