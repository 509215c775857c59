//! The plan file as it is written: the serde model, from which the JSON Schema is made too.
//!
//! Every key is optional here and every leaf is text, so that reading never stops; `convert` reports missing keys and
//! invalid values. Required keys are marked for the schema. Editors show the doc comments of this file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::raw_beside::RawHook;
use super::raw_beside::RawJobs;
use super::raw_measures::RawMetricGate;
use super::raw_measures::RawRegression;
use super::raw_measures::RawSides;
use super::raw_measures::RawTrafficGate;
use super::raw_measures::RawTrend;
use super::raw_values::CountText;
use super::raw_values::DurationText;
use super::raw_values::NameText;
use super::raw_values::RawChoice;
use super::raw_values::RawNoData;
use super::raw_values::ShareText;
use super::raw_values::VersionText;
use super::raw_values::WindowText;
use super::read::At;
use super::read::Several;

/// One cutover: which weighted records move, in which steps, watched by which alarms.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "cutover plan")]
pub(super) struct RawPlan {
    /// The version of the plan format: 1.
    #[schemars(required)]
    pub(super) version: Option<At<VersionText>>,
    /// The cutover's name, unique in the journal: lower-case letters, digits and hyphens, at most 64.
    #[schemars(required)]
    pub(super) name: Option<At<NameText>>,
    /// A text for people. Changing it does not count as a change of the plan.
    pub(super) description: Option<At<String>>,
    /// Labels by which people select cutovers at the command line, for example `team: search`.
    pub(super) labels: Option<At<BTreeMap<String, At<String>>>>,
    /// The cutovers that must have completed before this one starts.
    pub(super) after: Option<At<Vec<At<NameText>>>>,
    /// The region and the role for calls of AWS; by default those of the environment, as in every AWS tool.
    pub(super) aws: Option<At<RawAws>>,
    /// The weighted groups that move together, 1 to 100.
    #[schemars(required, length(min = 1, max = 100))]
    pub(super) records: Option<At<Vec<At<RawRecord>>>>,
    /// The wait for resolvers after Route 53 has the change everywhere, before the bake clock starts; by default the largest
    /// TTL of the records.
    pub(super) settle: Option<At<DurationText>>,
    /// The steps: shares that rise and end at 100%.
    #[schemars(required, length(min = 1, max = 100))]
    pub(super) steps: Option<At<Vec<At<RawStep>>>>,
    /// The alarms and metrics that are watched, and what happens if they cannot be read.
    #[schemars(required)]
    pub(super) gates: Option<At<RawGates>>,
    /// The times at which a step may be taken; always by default. Bakes and reverts ignore them.
    pub(super) windows: Option<At<RawWindows>>,
    /// The command and the channels that are notified.
    pub(super) notify: Option<At<RawNotify>>,
    /// Your commands and HTTP requests that are called on the way.
    #[schemars(length(max = 50))]
    pub(super) hooks: Option<At<Vec<At<RawHook>>>>,
    /// Batch jobs and consumers, which move as one switch.
    pub(super) jobs: Option<At<RawJobs>>,
}

/// Settings of all plans in this directory and below it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "cutover fleet")]
pub(super) struct RawFleet {
    /// The version of the format: 1.
    pub(super) version: Option<At<VersionText>>,
    /// The most cutovers that may be between their first step and their end; by default any number.
    pub(super) max_in_flight: Option<At<CountText>>,
    /// After this many automatic reverts no step is taken until `cutover resume --fleet`; by default any number.
    pub(super) failure_budget: Option<At<CountText>>,
    /// Defaults for all plans: maps are merged, lists and values are replaced by the plan's own.
    pub(super) defaults: Option<At<RawDefaults>>,
    /// Days on which no plan with `windows` takes a step, in that plan's time zone; in addition to its own `deny`.
    pub(super) holidays: Option<At<Vec<At<WindowText>>>>,
    /// Limits for every plan; a plan that breaks one is not loaded.
    pub(super) guardrails: Option<At<RawGuardrails>>,
}

/// Keys of a plan that may be common to many.
#[expect(
    dead_code,
    reason = "read to find mistakes in it; the plan that it is merged into is what counts"
)]
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDefaults {
    /// As in a plan.
    pub(super) labels: Option<At<BTreeMap<String, At<String>>>>,
    /// As in a plan.
    pub(super) aws: Option<At<RawAws>>,
    /// As in a plan.
    pub(super) settle: Option<At<DurationText>>,
    /// As in a plan.
    pub(super) steps: Option<At<Vec<At<RawStep>>>>,
    /// As in a plan; a part of it is enough.
    #[schemars(with = "Option<GatesInPart>")]
    pub(super) gates: Option<At<RawGates>>,
    /// As in a plan.
    pub(super) windows: Option<At<RawWindows>>,
    /// As in a plan.
    pub(super) notify: Option<At<RawNotify>>,
    /// As in a plan.
    #[schemars(length(max = 50))]
    pub(super) hooks: Option<At<Vec<At<RawHook>>>>,
}

/// The keys of `gates`, none of them required.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the schema is made of it")]
struct GatesInPart {
    alarms: Option<Vec<AlarmEntry>>,
    fallback_alarms: Option<Vec<AlarmEntry>>,
    unknown_for: Option<DurationText>,
    on_unknown: Option<RawChoice>,
    both_red: Option<RawChoice>,
    sides: Option<RawSides>,
    metrics: Option<Vec<RawMetricGate>>,
    traffic: Option<RawTrafficGate>,
    regression: Option<RawRegression>,
    trend: Option<Vec<RawTrend>>,
}

/// Limits for every plan.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGuardrails {
    /// The largest share that a first step may give the new cluster.
    pub(super) first_step_at_most: Option<At<ShareText>>,
    /// The largest rise from one step to the next, in points.
    pub(super) step_at_most: Option<At<ShareText>>,
    /// The shortest bake of any step.
    pub(super) bake_at_least: Option<At<DurationText>>,
    /// The least number of alarms.
    pub(super) alarms_at_least: Option<At<CountText>>,
    /// The least number of fallback alarms.
    pub(super) fallback_alarms_at_least: Option<At<CountText>>,
}

/// The region and the role for calls of AWS.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAws {
    /// CloudWatch's region, for example `ap-northeast-1`. Route 53 finds its own endpoint.
    pub(super) region: Option<At<String>>,
    /// A role to assume, for example `arn:aws:iam::111111111111:role/cutover`.
    pub(super) role_arn: Option<At<String>>,
    /// The `sts:ExternalId` that the role's trust policy requires.
    pub(super) external_id: Option<At<String>>,
}

/// One weighted group: two record sets of one name and type.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRecord {
    /// The hosted zone, by name (`example.com`) or by ID (`Z0123456789ABC`).
    #[schemars(required)]
    pub(super) zone: Option<At<String>>,
    /// True for the private zone, false for the public one, if both have this name.
    pub(super) private: Option<At<bool>>,
    /// The DNS name.
    #[schemars(required)]
    pub(super) name: Option<At<String>>,
    /// The record type.
    #[serde(rename = "type")]
    #[schemars(required)]
    pub(super) record_type: Option<At<RecordType>>,
    /// The set identifier of the old cluster's record.
    #[schemars(required, length(min = 1, max = 128))]
    pub(super) old: Option<At<String>>,
    /// The set identifier of the new cluster's record.
    #[schemars(required, length(min = 1, max = 128))]
    pub(super) new: Option<At<String>>,
    /// A role to assume in the hosted zone's account, if that is not the plan's.
    pub(super) role_arn: Option<At<String>>,
    /// The `sts:ExternalId` that this role's trust policy requires.
    pub(super) external_id: Option<At<String>>,
}

/// One step: the new cluster's share, and how long it bakes there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStep {
    /// The new cluster's share of the traffic.
    #[schemars(required)]
    pub(super) weight: Option<At<ShareText>>,
    /// How long all gates must pass before the next step; above zero, at most 90d.
    #[schemars(required)]
    pub(super) bake: Option<At<DurationText>>,
    /// Requires approval by a person before the step is taken.
    pub(super) approval: Option<At<ApprovalEntry>>,
}

/// The times at which a step may be taken. `deny` wins; without `allow` the window is always open.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWindows {
    /// The time zone of these times: a name of the IANA database, for example `Asia/Tokyo`.
    #[schemars(required)]
    pub(super) time_zone: Option<At<String>>,
    /// The times at which the window is open.
    #[schemars(length(min = 1))]
    pub(super) allow: Option<At<Vec<At<WindowText>>>>,
    /// Exceptions at which it is closed: nights, holidays, the big sale.
    pub(super) deny: Option<At<Vec<At<WindowText>>>>,
    /// If true, a step is taken only if the window stays open until its bake is over; by default false.
    pub(super) whole_bake: Option<At<bool>>,
}

/// The alarms and metrics that are watched, and what happens if they cannot be read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGates {
    /// CloudWatch alarms, metric or composite, on the new cluster. If one is red, the traffic goes back.
    #[schemars(required, length(min = 1))]
    pub(super) alarms: Option<At<Vec<At<AlarmEntry>>>>,
    /// Alarms on the old cluster: can it take the traffic back? If one is red, hold and page.
    pub(super) fallback_alarms: Option<At<Vec<At<AlarmEntry>>>>,
    /// How long a gate may be unreadable before `on_unknown` applies; by default 30m.
    pub(super) unknown_for: Option<At<DurationText>>,
    /// The reaction after that time; by default `hold`.
    pub(super) on_unknown: Option<At<RawChoice>>,
    /// The reaction if a gate and a fallback alarm are red at once; by default `hold`.
    pub(super) both_red: Option<At<RawChoice>>,

    /// The sources of both sides' metrics, for the gates below.
    pub(super) sides: Option<At<RawSides>>,
    /// Metrics with bounds. If one is beyond its bound, the traffic goes back.
    pub(super) metrics: Option<At<Vec<At<RawMetricGate>>>>,
    /// Did the traffic move, and is there enough of it to judge by? Never takes the traffic back.
    pub(super) traffic: Option<At<RawTrafficGate>>,
    /// Is the new cluster worse than the old one? If so, the traffic goes back.
    pub(super) regression: Option<At<RawRegression>>,
    /// Series that must not climb to a limit. If one does, the next step is held.
    pub(super) trend: Option<At<Vec<At<RawTrend>>>>,
}

/// One alarm: its name, or a map with its name and more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = super::schema_forms::or_bare_text)]
pub(super) struct AlarmEntry {
    /// The alarm's name, exactly as in CloudWatch, or its ARN.
    #[schemars(required, length(min = 1, max = 320))]
    pub(super) name: Option<At<String>>,
    /// Its region, if that is not the plan's.
    pub(super) region: Option<At<String>>,
    /// A role to assume in the alarm's account, if that is not the plan's.
    pub(super) role_arn: Option<At<String>>,
    /// The `sts:ExternalId` that this role's trust policy requires.
    pub(super) external_id: Option<At<String>>,
    /// The meaning of INSUFFICIENT_DATA once traffic has moved; by default `hold`.
    pub(super) no_data: Option<At<RawNoData>>,
}

/// The command and the channels that are notified. Channels get journal entries in order, each at least once.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNotify {
    /// A program and its arguments (no shell); it gets each page as JSON on standard input.
    #[schemars(length(min = 1))]
    pub(super) command: Option<At<Vec<At<String>>>>,
    /// Slack, by an incoming webhook or by a bot's token; one, or a list.
    pub(super) slack: Option<At<Several<RawSlack>>>,
    /// Amazon SNS topics; one, or a list.
    pub(super) sns: Option<At<Several<RawSns>>>,
    /// URLs that get a CloudEvent as JSON by POST; one, or a list.
    pub(super) webhook: Option<At<Several<RawWebhook>>>,
}

/// A channel of Slack; as a text, its incoming webhook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = super::schema_forms::or_bare_text)]
pub(super) struct RawSlack {
    /// A reference to the URL of an incoming webhook: `${NAME}` or `file:/path`.
    pub(super) webhook: Option<At<String>>,
    /// Instead of a webhook, a reference to a bot's token: each attempt is one message that is kept up to date, and entries are
    /// its replies.
    pub(super) token: Option<At<String>>,
    /// The channel that the bot writes to, by ID or name.
    pub(super) channel: Option<At<String>>,
    /// The address of Slack's API; by default `https://slack.com/api`.
    pub(super) api: Option<At<String>>,
    /// The notifications that it gets: `page` (the default), `info`, or kinds of events and holds.
    pub(super) on: Option<At<Several<String>>>,
    /// Kinds that it does not get.
    pub(super) except: Option<At<Several<String>>>,
}

/// A topic of Amazon SNS; as a text, its ARN.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = super::schema_forms::or_bare_text)]
pub(super) struct RawSns {
    /// The topic. Its own region is called.
    #[schemars(required)]
    pub(super) topic_arn: Option<At<String>>,
    /// The notifications that it gets: `page` (the default), `info`, or kinds of events and holds.
    pub(super) on: Option<At<Several<String>>>,
    /// Kinds that it does not get.
    pub(super) except: Option<At<Several<String>>>,
}

/// A URL that gets CloudEvents; as a text, the URL alone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = super::schema_forms::or_bare_text)]
pub(super) struct RawWebhook {
    /// The URL, or a reference to it if it is secret: `${NAME}` or `file:/path`.
    #[schemars(required)]
    pub(super) url: Option<At<String>>,
    /// A reference to the secret that signs requests (HMAC-SHA-256, as in Standard Webhooks).
    pub(super) secret: Option<At<String>>,
    /// The notifications that it gets: `page` (the default), `info`, or kinds of events and holds.
    pub(super) on: Option<At<Several<String>>>,
    /// Kinds that it does not get.
    pub(super) except: Option<At<Several<String>>>,
}

/// Requires approval by a person before the step is taken; a map sets a timeout.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = super::schema_forms::or_required)]
pub(super) struct ApprovalEntry {
    #[schemars(skip)]
    pub(super) approval: Option<At<RawApproval>>,
    /// How long it waits for its approval; above zero, at most 90d. By default without limit.
    #[schemars(required)]
    pub(super) timeout: Option<At<DurationText>>,
    /// The reaction after that time; by default `hold`, which pages once more.
    pub(super) on_timeout: Option<At<RawChoice>>,
}

/// The approval of a step.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawApproval {
    /// A person must approve the step before it is taken.
    Required,
}

/// The record types that may be weighted: all of Route 53's except NS and SOA.
///
/// Source: Route 53 API Reference, `ResourceRecordSet$Type`; Developer Guide, weighted routing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[rustfmt::skip]
pub(super) enum RecordType {
    A, Aaaa, Caa, Cname, Ds, Https, Mx, Naptr, Ptr, Spf, Srv, Sshfp, Svcb, Tlsa, Txt,
}

impl RecordType {
    /// The type as Route 53 writes it.
    #[rustfmt::skip]
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::A => "A", Self::Aaaa => "AAAA", Self::Caa => "CAA", Self::Cname => "CNAME",
            Self::Ds => "DS", Self::Https => "HTTPS", Self::Mx => "MX", Self::Naptr => "NAPTR",
            Self::Ptr => "PTR", Self::Spf => "SPF", Self::Srv => "SRV", Self::Sshfp => "SSHFP",
            Self::Svcb => "SVCB", Self::Tlsa => "TLSA", Self::Txt => "TXT",
        }
    }
}
