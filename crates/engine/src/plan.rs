//! The validated plan. `plan_file` makes it from YAML, and the journal stores it.

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

/// A plan that has passed all checks, so that no two of its values contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The cutover's name, unique in the journal.
    pub name: CutoverName,
    /// A description for people. `None` if the plan has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Labels by which commands select cutovers, for example `team: search`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The cutovers that must have completed before this one starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<CutoverName>,
    /// The region and the accounts of AWS calls.
    pub aws: AwsSettings,
    /// The groups that move together, 1 to [`GROUPS_MAX`].
    pub records: Vec<Group>,
    /// The time that resolvers are given after INSYNC. `None` means the largest effective TTL of the groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settle: Option<SignedDuration>,
    /// The steps, with rising shares. The last one is at 100 %.
    pub steps: Vec<Step>,
    /// Everything that is watched.
    pub gates: Gates,
    /// The times at which a step may be taken. `None` means always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<Windows>,
    /// The command and the channels that are notified. `None` if the plan has neither.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Notify>,
    /// The commands and URLs that are called during the cutover.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// The jobs, which move together as one switch. `None` if the plan has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jobs: Option<JobSwitch>,
}

/// The region and the accounts of a plan's AWS calls.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsSettings {
    /// The region of CloudWatch. `None` means the environment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The account of the plan, by the role that is assumed in it.
    #[serde(default, skip_serializing_if = "Account::is_ambient")]
    pub account: Account,
    /// Other accounts in which alarms are read, by their numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<String, Account>,
}

/// A hosted zone as the plan names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ZoneRef {
    /// The zone's name (`example.com`) or its ID (`Z0123456789ABC`).
    pub zone: String,
    /// True for the private and false for the public zone of that name. `None` if there is only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub private: Option<bool>,
}

impl ZoneRef {
    /// Returns the zone's ID. `None` if the plan names the zone by its name.
    pub fn id(&self) -> Option<ZoneId> {
        let bare = self.zone.trim().trim_start_matches("/hostedzone/");
        if ZoneId::is_written_as(bare) {
            return Some(ZoneId::from(bare));
        }
        None
    }
}

/// One group of the plan: a DNS name and type with an old and a new member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// The hosted zone of the group.
    pub zone: ZoneRef,
    /// The DNS name and the record type.
    #[serde(flatten)]
    pub name: GroupName,
    /// The set identifier of the old cluster's record.
    pub old: String,
    /// The set identifier of the new cluster's record.
    pub new: String,
    /// The account of the hosted zone. `None` means the plan's account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
}

/// One rise of the new side's share, with its bake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The new side's share, as the plan has it.
    pub share: Share,
    /// The weights that express this share.
    pub pair: WeightPair,
    /// The time for which all gates must have passed before the next step. Above zero, at most [`BAKE_DAYS_MAX`] days.
    pub bake: SignedDuration,
    /// True if a person must approve this step before it is taken.
    #[serde(default)]
    pub approval: bool,
    /// The reaction if nobody approves the step in time. `None` means that it waits forever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_timeout: Option<ApprovalTimeout>,
}

/// How long a step waits for its approval, and the reaction after that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApprovalTimeout {
    /// The longest wait, counted from the entry that first said that the step waits. A pause does not stop it. Above
    /// zero, at most 90 days.
    pub after: SignedDuration,
    /// The reaction. The first step only holds, because there is nothing to revert.
    pub on_timeout: HoldOrRevert,
}

/// The gates of a plan, and the reactions if they cannot be judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gates {
    /// The alarms that revert the cutover when they are red.
    #[serde(default)]
    pub alarms: Vec<AlarmGate>,
    /// The alarms of the old cluster. A red one means that the old cluster cannot take the traffic back: it holds steps
    /// and prevents an automatic revert.
    #[serde(default)]
    pub fallback_alarms: Vec<AlarmGate>,
    /// The time for which a gate may be Unknown before `on_unknown` applies.
    pub unknown_for: SignedDuration,
    /// The reaction if a gate was Unknown for longer than that.
    pub on_unknown: HoldOrRevert,
    /// The reaction if a gate and a fallback alarm are red at the same time.
    pub both_red: HoldOrRevert,
    /// The gates other than alarms: metrics, requests, the comparison of both sides, and trends.
    #[serde(default, skip_serializing_if = "Measures::is_empty")]
    pub measures: Measures,
}

/// One alarm that is watched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmGate {
    /// The name and region of the alarm.
    #[serde(flatten)]
    pub id: AlarmId,
    /// The meaning of INSUFFICIENT_DATA after the first write.
    #[serde(default)]
    pub no_data: NoData,
}

/// The meaning of INSUFFICIENT_DATA after the first write (semantics C2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoData {
    /// It counts as Unknown: no step is taken.
    #[default]
    Hold,
    /// It counts as Pass. The plan's author knows that this alarm has no data when all is well.
    Pass,
}

/// A plan with the path and text of its file, as the journal stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanSource {
    /// The plan that was parsed from the file.
    pub plan: Plan,
    /// The absolute path of the file.
    pub path: String,
    /// The SHA-256 of the parsed plan, in hexadecimal. Comments, the order of keys, `description` and `notify` do not
    /// change it.
    pub digest: String,
    /// The file's text, for people who need it after the file is gone.
    pub text: String,
}

/// The largest number of groups of a cutover (semantics A7). The batch that moves them must fit Route 53's limits.
pub const GROUPS_MAX: usize = 100;

/// The longest bake, in days.
pub const BAKE_DAYS_MAX: i64 = 90;

impl Gates {
    /// Returns true if the plan has this gate or fallback alarm.
    pub fn has(&self, gate: &GateId) -> bool {
        let mut alarms = self.alarms.iter().chain(&self.fallback_alarms);
        let measured = self.measures.gates();
        alarms.any(|alarm| *gate == alarm.id) || measured.iter().any(|it| it.id() == *gate)
    }
}

impl Plan {
    /// Returns the step with this number, from 1. `None` if the plan has no such step.
    pub fn step(&self, number: u16) -> Option<&Step> {
        let index = usize::from(number).checked_sub(1)?;
        self.steps.get(index)
    }

    /// Returns the hook of a call. `None` if the plan no longer has it.
    pub fn hook(&self, id: HookId) -> Option<&Hook> {
        let index = usize::try_from(id.index).ok()?.checked_sub(1)?;
        self.hooks.get(index)
    }

    /// Returns the number of steps.
    pub fn step_count(&self) -> u16 {
        u16::try_from(self.steps.len()).unwrap_or(u16::MAX)
    }

    /// Returns the number of the step with this share, from 1. `None` if the plan has no such step.
    pub fn step_of(&self, share: Share) -> Option<u16> {
        let index = self.steps.iter().position(|step| step.share == share)?;
        u16::try_from(index + 1).ok()
    }

    /// Returns true if both plans move the same groups. The accounts may differ, because a role may be replaced while a
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

    /// Returns the account of a group's hosted zone. For an index that the plan does not have, the plan's own account.
    pub fn account_of_group(&self, index: usize) -> &Account {
        match self.records.get(index) {
            Some(group) => group.account.as_ref().unwrap_or(&self.aws.account),
            None => &self.aws.account,
        }
    }

    /// Returns the account in which an alarm is read.
    pub fn account_of(&self, alarm: &AlarmId) -> &Account {
        let Some(number) = alarm.account_number() else {
            return &self.aws.account;
        };
        self.aws.others.get(number).unwrap_or(&self.aws.account)
    }

    /// Returns the account in which a series is read.
    pub fn account_of_series<'a>(&'a self, query: &'a Query) -> &'a Account {
        query.account.as_ref().unwrap_or(&self.aws.account)
    }

    /// Returns all alarms that are watched, grouped by the account in which they are read.
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

    /// Returns all alarms that are watched: first the gates, then the fallback alarms.
    pub fn alarms(&self) -> impl Iterator<Item = &AlarmGate> {
        self.gates.alarms.iter().chain(&self.gates.fallback_alarms)
    }
}
