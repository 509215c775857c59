//! The least IAM policy for plans: what the calls of this room need, by the credentials that they are made with.
//!
//! `tests/iam_policy.rs` compares the policies with the calls of whole runs. `sts:GetCallerIdentity` is not in them, because it
//! needs no permission. Sources: the Service Authorization Reference of each service; Route 53 Developer Guide, "Using IAM policy
//! conditions for fine-grained access control to manage resource record sets".

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};

use crate::engine::account::{Account, COMMERCIAL, number_of_arn};
use crate::engine::jobs::JobHalf;
use crate::engine::notify::Via;
use crate::engine::plan::{AwsSettings, Plan, ZoneRef};
use crate::engine::record::GroupName;
use crate::engine::units::DnsName;

/// The version of the policy language. Source: IAM User Guide, "IAM JSON policy elements: Version".
const LANGUAGE: &str = "2012-10-17";
/// Any resource, and any region or account in an ARN.
const ANY: &str = "*";
/// The condition keys of `ChangeResourceRecordSets`. Each has one value for each change of the batch.
const RECORD_NAMES: &str = "route53:ChangeResourceRecordSetsNormalizedRecordNames";
const RECORD_TYPES: &str = "route53:ChangeResourceRecordSetsRecordTypes";
const RECORD_ACTIONS: &str = "route53:ChangeResourceRecordSetsActions";
/// Steps and reverts write DELETE and CREATE, forced reverts and break-glass files UPSERT.
const WRITTEN: [&str; 3] = ["CREATE", "DELETE", "UPSERT"];
/// The partition keys of a request to DynamoDB.
const LEADING_KEYS: &str = "dynamodb:LeadingKeys";
/// Each value of the request's key is one of these texts. Also true if the request does not have the key.
const ALL_EQUAL: &str = "ForAllValues:StringEquals";
/// The same, with `*` and `?` as wildcards.
const ALL_LIKE: &str = "ForAllValues:StringLike";
/// `false`: the request has the key.
const ABSENT: &str = "Null";
/// The event bus and the schedule group without a name of their own.
const DEFAULT: &str = "default";
const WRITE_WEIGHTS: &str = "WriteWeights";
const PASS_SCHEDULE_ROLES: &str = "PassScheduleRoles";

/// The work that a policy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyRole {
    /// The controller, `run`. It may do everything but create the journal's table.
    Controller,
    /// Commands that read: `preview`, `backtest`, `status`, `history`.
    ReadOnly,
    /// `rollback`, with a journal or from break-glass files. It needs no gates.
    BreakGlass,
    /// The creation of the journal's table.
    Create,
}

impl PolicyRole {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Controller,
        Self::ReadOnly,
        Self::BreakGlass,
        Self::Create,
    ];

    /// The word for it on the command line.
    pub fn label(self) -> &'static str {
        match self {
            Self::Controller => "controller",
            Self::ReadOnly => "read-only",
            Self::BreakGlass => "break-glass",
            Self::Create => "create",
        }
    }

    /// Returns true if the policy depends on plans, and not on the journal alone.
    pub fn needs_plans(self) -> bool {
        match self {
            Self::Controller | Self::ReadOnly | Self::BreakGlass => true,
            Self::Create => false,
        }
    }

    fn writes(self) -> bool {
        match self {
            Self::Controller | Self::BreakGlass => true,
            Self::ReadOnly | Self::Create => false,
        }
    }

    fn reads_gates(self) -> bool {
        match self {
            Self::Controller | Self::ReadOnly => true,
            Self::BreakGlass | Self::Create => false,
        }
    }
}

/// The record names that a policy allows to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyNames {
    /// Those of the plans.
    OfPlans,
    /// All names of the plans' zones: a policy has a size limit, and a fleet may have thousands of names.
    OfZones,
}

/// The table of a journal in DynamoDB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalTable {
    table: String,
    /// Its partition keys begin with this name and a slash.
    journal: String,
    region: Option<String>,
    account: Account,
}

impl JournalTable {
    /// Returns a journal in a table. `region` and `role_arn` are those of its URL, if it names them.
    ///
    /// # Errors
    /// The role is not the ARN of one role.
    pub fn new(
        table: &str,
        journal: &str,
        region: Option<String>,
        role_arn: Option<String>,
    ) -> Result<Self, String> {
        if let Some(arn) = &role_arn
            && !is_role(arn)
        {
            return Err(format!("`{arn}` is not the ARN of an IAM role"));
        }
        Ok(Self {
            table: table.to_owned(),
            journal: journal.to_owned(),
            account: Account::new(role_arn, None, region.as_deref()),
            region,
        })
    }

    fn statements(&self, role: PolicyRole) -> Vec<Statement> {
        let arn = format!(
            "arn:{}:dynamodb:{}:{}:table/{}",
            self.account.partition_name(),
            self.region.as_deref().unwrap_or(ANY),
            self.account.number().unwrap_or(ANY),
            self.table
        );
        let items: &[&str] = match role {
            PolicyRole::Controller | PolicyRole::BreakGlass => &[
                "dynamodb:DeleteItem",
                "dynamodb:GetItem",
                "dynamodb:PutItem",
                "dynamodb:Query",
            ],
            PolicyRole::ReadOnly => &["dynamodb:GetItem", "dynamodb:Query"],
            PolicyRole::Create => {
                let actions = [
                    "dynamodb:CreateTable",
                    "dynamodb:DescribeContinuousBackups",
                    "dynamodb:DescribeTable",
                    "dynamodb:GetItem",
                    "dynamodb:PutItem",
                    "dynamodb:TagResource",
                    "dynamodb:UpdateContinuousBackups",
                ];
                return vec![Statement::new("CreateJournal", &actions, [arn])];
            }
        };
        // Each of these calls names a partition key, so that `Null` has nothing to guard.
        let keys = OneOrMany::of([format!("{}/*", self.journal)]);
        let mut journal = Statement::new("UseJournal", items, [arn.clone()]);
        journal.require(ALL_LIKE, LEADING_KEYS, keys);
        let table = Statement::new("DescribeJournal", &["dynamodb:DescribeTable"], [arn]);
        vec![journal, table]
    }
}

/// Returns true for the ARN of one role. It becomes part of a policy, so it has no wildcard.
fn is_role(arn: &str) -> bool {
    arn.starts_with("arn:")
        && arn.contains(":role/")
        && number_of_arn(arn).is_some()
        && !arn.contains(['*', '?'])
}

/// An IAM policy that only allows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Policy {
    version: &'static str,
    statement: Vec<Statement>,
}

impl Policy {
    /// Returns true if it allows to pass any role to Scheduler, because plans do not say which roles schedules have.
    pub fn passes_any_role(&self) -> bool {
        self.statement
            .iter()
            .any(|statement| statement.sid == PASS_SCHEDULE_ROLES)
    }

    /// Returns true if an ARN in it is open to every region or account, because neither plan nor URL names one.
    pub fn allows_any_place(&self) -> bool {
        let mut resources = self
            .statement
            .iter()
            .flat_map(|statement| &statement.resource.0);
        resources.any(|arn| arn.split(':').skip(3).take(2).any(|part| part == ANY))
    }
}

type PolicyConditions = BTreeMap<&'static str, BTreeMap<&'static str, OneOrMany>>;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    sid: String,
    effect: &'static str,
    action: OneOrMany,
    resource: OneOrMany,
    #[serde(skip_serializing_if = "PolicyConditions::is_empty")]
    condition: PolicyConditions,
}

impl Statement {
    fn new(sid: &str, actions: &[&str], resources: impl IntoIterator<Item = String>) -> Self {
        Self {
            sid: sid.to_owned(),
            effect: "Allow",
            action: OneOrMany::of(actions.iter().copied()),
            resource: OneOrMany::of(resources),
            condition: PolicyConditions::new(),
        }
    }

    fn require(&mut self, operator: &'static str, key: &'static str, values: OneOrMany) {
        let keys = self.condition.entry(operator).or_default();
        keys.insert(key, values);
    }

    /// As [`Self::require`], and the request must have the key.
    fn require_present(&mut self, operator: &'static str, key: &'static str, values: OneOrMany) {
        self.require(operator, key, values);
        self.require(ABSENT, key, OneOrMany::of(["false"]));
    }
}

/// Texts without an order. One alone is written as a text, several as a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct OneOrMany(BTreeSet<String>);

impl OneOrMany {
    fn of<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self(texts.into_iter().map(Into::into).collect())
    }
}

impl Serialize for OneOrMany {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let (1, Some(only)) = (self.0.len(), self.0.first()) {
            return serializer.serialize_str(only);
        }
        self.0.serialize(serializer)
    }
}

/// Returns the least policy for each set of credentials: by the ARN of the role that is assumed, or none for the environment's
/// own credentials. The latter also allow to assume the roles.
pub fn policies(
    plans: &[&Plan],
    journal: Option<&JournalTable>,
    role: PolicyRole,
    names: PolicyNames,
) -> BTreeMap<Option<String>, Policy> {
    let mut needs = NeedsByRole::default();
    if role.needs_plans() {
        for plan in plans {
            needs.add_plan(plan, role);
        }
    }
    if let Some(table) = journal {
        needs.of(&table.account).table = Some(table.clone());
    }
    let roles: BTreeSet<String> = needs.0.keys().flatten().cloned().collect();
    if !roles.is_empty() {
        needs.of(&Account::default()).roles = roles;
    }
    let mut policies = BTreeMap::new();
    for (holder, needs) in needs.0 {
        let policy = Policy {
            version: LANGUAGE,
            statement: needs.statements(role, names),
        };
        policies.insert(holder, policy);
    }
    policies
}

/// What is called with which credentials.
#[derive(Debug, Default)]
struct NeedsByRole(BTreeMap<Option<String>, Needs>);

/// What is called with one set of credentials.
#[derive(Debug, Default)]
struct Needs {
    /// The partition, if a region or a role names it.
    partition: Option<String>,
    /// The groups that are written, by zone.
    zones: BTreeMap<PolicyZone, BTreeSet<GroupName>>,
    alarms: bool,
    metrics: bool,
    /// ARNs of rules, schedules and topics.
    rules: BTreeSet<String>,
    schedules: BTreeSet<String>,
    topics: BTreeSet<String>,
    /// The roles that the schedules may have, as a pattern for ARNs.
    schedule_roles: BTreeSet<String>,
    /// The roles that are assumed.
    roles: BTreeSet<String>,
    table: Option<JournalTable>,
}

/// A hosted zone, as plans name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum PolicyZone {
    Id(String),
    Name(DnsName),
}

impl PolicyZone {
    fn of(zone: &ZoneRef) -> Self {
        match zone.id() {
            Some(id) => Self::Id(id.as_str().to_owned()),
            None => Self::Name(DnsName::new(&zone.zone)),
        }
    }
}

impl NeedsByRole {
    fn of(&mut self, account: &Account) -> &mut Needs {
        let needs = self.0.entry(account.role_arn.clone()).or_default();
        if needs.partition.is_none() {
            needs.partition.clone_from(&account.partition);
        }
        needs
    }

    fn add_plan(&mut self, plan: &Plan, role: PolicyRole) {
        for (index, group) in plan.records.iter().enumerate() {
            let needs = self.of(plan.account_of_group(index));
            let groups = needs.zones.entry(PolicyZone::of(&group.zone)).or_default();
            groups.insert(group.name.clone());
        }
        if role.reads_gates() {
            for gate in plan.alarms() {
                self.of(plan.account_of(&gate.id)).alarms = true;
            }
            for (query, _) in plan.gates.measures.queries() {
                self.of(plan.account_of_series(query)).metrics = true;
            }
        }
        if role.writes() {
            self.add_jobs(plan);
            self.add_topics(plan);
        }
    }

    fn add_jobs(&mut self, plan: &Plan) {
        let Some(switch) = &plan.jobs else {
            return;
        };
        let account = &plan.aws.account;
        for (_, half) in switch.halves() {
            match half {
                JobHalf::Rule {
                    name, bus, region, ..
                } => {
                    let arn = rule_arn(&plan.aws, region.as_deref(), bus.as_deref(), name);
                    self.of(account).rules.insert(arn);
                }
                JobHalf::Schedule {
                    name,
                    group,
                    region,
                    ..
                } => {
                    let place = place(&plan.aws, "scheduler", region.as_deref());
                    let group = group.as_deref().unwrap_or(DEFAULT);
                    let number = account.number().unwrap_or(ANY);
                    let role = format!("arn:{}:iam::{number}:role/*", account.partition_name());
                    let needs = self.of(account);
                    needs
                        .schedules
                        .insert(format!("{place}:schedule/{group}/{name}"));
                    needs.schedule_roles.insert(role);
                }
                // `kubectl` and commands have credentials of their own.
                JobHalf::CronJob { .. } | JobHalf::Command { .. } => {}
            }
        }
    }

    fn add_topics(&mut self, plan: &Plan) {
        let Some(notify) = &plan.notify else {
            return;
        };
        for channel in &notify.channels {
            match &channel.via {
                // Topics are called with the environment's own credentials (`sns.rs`).
                Via::Sns { topic_arn } => {
                    let needs = self.of(&Account::default());
                    needs.topics.insert(topic_arn.clone());
                }
                Via::Log {}
                | Via::Command { .. }
                | Via::SlackWebhook { .. }
                | Via::SlackThread { .. }
                | Via::Webhook { .. } => {}
            }
        }
    }
}

/// The beginning of an ARN in the plan's account: partition, service, region and account.
fn place(aws: &AwsSettings, service: &str, region: Option<&str>) -> String {
    let region = region.or(aws.region.as_deref()).unwrap_or(ANY);
    let number = aws.account.number().unwrap_or(ANY);
    let partition = aws.account.partition_name();
    format!("arn:{partition}:{service}:{region}:{number}")
}

/// The ARN of a rule. Its bus may be written as an ARN, too.
fn rule_arn(aws: &AwsSettings, region: Option<&str>, bus: Option<&str>, name: &str) -> String {
    let (place, bus) = match bus.and_then(|bus| bus.split_once(":event-bus/")) {
        Some((place, bus)) => (place.to_owned(), bus),
        None => (place(aws, "events", region), bus.unwrap_or(DEFAULT)),
    };
    if bus == DEFAULT {
        format!("{place}:rule/{name}")
    } else {
        format!("{place}:rule/{bus}/{name}")
    }
}

impl Needs {
    fn statements(&self, role: PolicyRole, names: PolicyNames) -> Vec<Statement> {
        let mut all = self.for_records(role, names);
        if self.alarms {
            // A narrower resource would hide composite alarms. Source: CloudWatch API Reference, `DescribeAlarms` and
            // `DescribeAlarmHistory`.
            let actions = [
                "cloudwatch:DescribeAlarmHistory",
                "cloudwatch:DescribeAlarms",
            ];
            all.push(Statement::new("ReadAlarms", &actions, [ANY.to_owned()]));
        }
        if self.metrics {
            // It has no resources.
            let actions = ["cloudwatch:GetMetricData"];
            all.push(Statement::new("ReadMetrics", &actions, [ANY.to_owned()]));
        }
        all.extend(self.for_jobs());
        if !self.topics.is_empty() {
            let topics = self.topics.iter().cloned();
            all.push(Statement::new("Publish", &["sns:Publish"], topics));
        }
        if let Some(table) = &self.table {
            all.extend(table.statements(role));
        }
        if !self.roles.is_empty() {
            let roles = self.roles.iter().cloned();
            all.push(Statement::new("AssumeRoles", &["sts:AssumeRole"], roles));
        }
        all
    }

    fn for_jobs(&self) -> Vec<Statement> {
        let mut all = Vec::new();
        if !self.rules.is_empty() {
            let actions = [
                "events:DescribeRule",
                "events:DisableRule",
                "events:EnableRule",
            ];
            let rules = self.rules.iter().cloned();
            all.push(Statement::new("SwitchRules", &actions, rules));
        }
        if !self.schedules.is_empty() {
            let actions = ["scheduler:GetSchedule", "scheduler:UpdateSchedule"];
            let schedules = self.schedules.iter().cloned();
            all.push(Statement::new("SwitchSchedules", &actions, schedules));
            // `UpdateSchedule` writes the whole schedule back, and with it the role of its target.
            let roles = self.schedule_roles.iter().cloned();
            let mut pass = Statement::new(PASS_SCHEDULE_ROLES, &["iam:PassRole"], roles);
            let service = OneOrMany::of(["scheduler.amazonaws.com"]);
            pass.require("StringEquals", "iam:PassedToService", service);
            all.push(pass);
        }
        all
    }

    fn for_records(&self, role: PolicyRole, names: PolicyNames) -> Vec<Statement> {
        if self.zones.is_empty() {
            return Vec::new();
        }
        let mut all = Vec::new();
        if role.writes() {
            all = self.writes(names);
        }
        let mut zones = BTreeSet::new();
        let mut any_by_name = false;
        for zone in self.zones.keys() {
            match zone {
                PolicyZone::Id(id) => {
                    zones.insert(self.route53_arn("hostedzone", id));
                }
                PolicyZone::Name(_) => any_by_name = true,
            }
        }
        if any_by_name {
            // The ID of a zone that is named by its name is only known when it is looked up.
            zones = BTreeSet::from([self.route53_arn("hostedzone", ANY)]);
        }
        let actions = ["route53:GetHostedZone", "route53:ListResourceRecordSets"];
        all.push(Statement::new("ReadZones", &actions, zones));
        // Before a start, zones below the cutover's are looked for by name, too. A rollback needs no such look.
        if any_by_name || role != PolicyRole::BreakGlass {
            let actions = ["route53:ListHostedZonesByName"];
            all.push(Statement::new("FindZones", &actions, [ANY.to_owned()]));
        }
        let changes = self.route53_arn("change", ANY);
        all.push(Statement::new(
            "FollowChanges",
            &["route53:GetChange"],
            [changes],
        ));
        all
    }

    fn route53_arn(&self, kind: &str, id: &str) -> String {
        let partition = self.partition.as_deref().unwrap_or(COMMERCIAL);
        format!("arn:{partition}:route53:::{kind}/{id}")
    }

    /// The statements for `ChangeResourceRecordSets`. IAM compares a whole batch with one statement, and a batch may hold groups
    /// of all plans of a zone. So all groups of a zone are in one statement, however plans name the zone.
    fn writes(&self, names: PolicyNames) -> Vec<Statement> {
        let mut all = Vec::new();
        // Zones by name all have the same resource. Those with the same types share a statement, which allows no more: a zone
        // holds only names that end with its own.
        let mut by_types: BTreeMap<BTreeSet<String>, BTreeSet<String>> = BTreeMap::new();
        for (zone, groups) in &self.zones {
            match zone {
                PolicyZone::Id(id) => {
                    let allowed = match names {
                        PolicyNames::OfPlans => names_of(groups),
                        // The name of the zone is not known, and all of its names are allowed.
                        PolicyNames::OfZones => BTreeSet::new(),
                    };
                    let resource = self.route53_arn("hostedzone", id);
                    all.push(write(resource, types_of(groups), allowed, names));
                }
                PolicyZone::Name(name) => {
                    let mut groups = groups.clone();
                    groups.extend(self.groups_by_id_in(name));
                    let allowed = by_types.entry(types_of(&groups)).or_default();
                    match names {
                        PolicyNames::OfPlans => allowed.extend(names_of(&groups)),
                        PolicyNames::OfZones => {
                            let name = normalised(name);
                            allowed.insert(format!("*.{name}"));
                            allowed.insert(name);
                        }
                    }
                }
            }
        }
        for (types, allowed) in by_types {
            let resource = self.route53_arn("hostedzone", ANY);
            all.push(write(resource, types, allowed, names));
        }
        if all.len() > 1 {
            for (number, statement) in (1..).zip(&mut all) {
                statement.sid = format!("{WRITE_WEIGHTS}{number}");
            }
        }
        all
    }

    /// The groups of zones that are named by ID and that this zone may hold: it may be one of them.
    fn groups_by_id_in(&self, zone: &DnsName) -> BTreeSet<GroupName> {
        let mut found = BTreeSet::new();
        for (other, groups) in &self.zones {
            if matches!(other, PolicyZone::Name(_)) {
                continue;
            }
            for group in groups {
                if group.name.is_in_zone(zone) {
                    found.insert(group.clone());
                }
            }
        }
        found
    }
}

fn write(
    resource: String,
    types: BTreeSet<String>,
    allowed: BTreeSet<String>,
    names: PolicyNames,
) -> Statement {
    let actions = ["route53:ChangeResourceRecordSets"];
    let mut statement = Statement::new(WRITE_WEIGHTS, &actions, [resource]);
    statement.require_present(ALL_EQUAL, RECORD_ACTIONS, OneOrMany::of(WRITTEN));
    statement.require_present(ALL_EQUAL, RECORD_TYPES, OneOrMany(types));
    if !allowed.is_empty() {
        let operator = match names {
            PolicyNames::OfPlans => ALL_EQUAL,
            PolicyNames::OfZones => ALL_LIKE,
        };
        statement.require_present(operator, RECORD_NAMES, OneOrMany(allowed));
    }
    statement
}

fn names_of(groups: &BTreeSet<GroupName>) -> BTreeSet<String> {
    groups.iter().map(|group| normalised(&group.name)).collect()
}

fn types_of(groups: &BTreeSet<GroupName>) -> BTreeSet<String> {
    let types = groups.iter().map(|group| group.record_type.clone());
    types.collect()
}

/// A name as Route 53's condition keys have it: lower case, without the trailing dot, and with octal escapes for everything but
/// `a-z0-9-_.`. Escapes that the plan wrote are kept.
fn normalised(name: &DnsName) -> String {
    let mut text = String::new();
    for byte in name.as_str().bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'\\' => text.push(char::from(byte)),
            other => {
                let escape = format!("\\{other:03o}");
                text.push_str(&escape);
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_route_53_normalises_them() {
        for (written, wanted) in [
            ("API.example.com.", "api.example.com"),
            ("*.example.com", "\\052.example.com"),
            ("\\052.example.com", "\\052.example.com"),
            ("_tcp.a-b.example.com", "_tcp.a-b.example.com"),
            ("a@b.example.com", "a\\100b.example.com"),
            ("a\\100b.example.com", "a\\100b.example.com"),
        ] {
            assert_eq!(normalised(&DnsName::new(written)), wanted, "{written}");
        }
    }

    #[test]
    fn rules_are_named_by_bus_account_and_region_as_far_as_they_are_known() {
        let known = AwsSettings {
            region: Some("cn-north-1".to_owned()),
            account: cutover_testbed::plan::role("arn:aws-cn:iam::111111111111:role/cutover"),
            ..AwsSettings::default()
        };
        let unknown = AwsSettings::default();
        let bus = "arn:aws:events:eu-west-1:222222222222:event-bus/orders";
        for (aws, region, bus, wanted) in [
            (&unknown, None, None, "arn:aws:events:*:*:rule/nightly"),
            (
                &known,
                None,
                Some("default"),
                "arn:aws-cn:events:cn-north-1:111111111111:rule/nightly",
            ),
            (
                &known,
                Some("cn-northwest-1"),
                Some("orders"),
                "arn:aws-cn:events:cn-northwest-1:111111111111:rule/orders/nightly",
            ),
            (
                &unknown,
                None,
                Some(bus),
                "arn:aws:events:eu-west-1:222222222222:rule/orders/nightly",
            ),
        ] {
            assert_eq!(rule_arn(aws, region, bus, "nightly"), wanted);
        }
    }

    #[test]
    fn a_role_that_would_open_the_policy_is_refused() {
        for role in ["*", "arn:aws:iam::111111111111:role/*"] {
            let table = JournalTable::new("table", "main", None, Some(role.to_owned()));
            assert!(table.is_err(), "{role}");
        }
    }
}
