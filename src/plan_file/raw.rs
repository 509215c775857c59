//! The plan file as it is written: the one description of every key.
//!
//! A field of these maps is a key. All that is known of a key stands here: its name, its type, if it is required, its bounds,
//! an example, and its doc comment, which editors and `docs/reference/plan.md` show. The reader (`read`), the JSON Schema
//! (`schema`), and what messages say of keys (`keys`) are made from it. To add a key, add a field here and read it in the
//! conversion of its map.
//!
//! Every key is optional here and every leaf is text, so that reading never stops; `convert` reports missing keys and invalid
//! values. Required keys are marked for the schema. An example is YAML, as a person would write it behind the key.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use super::at::{At, Several};

/// One cutover: which weighted records move, in which steps, watched by which alarms.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "cutover plan")]
pub(super) struct RawPlan {
    /// The version of the plan format: 1.
    #[schemars(required, example = &"1")]
    pub(super) version: Option<At<VersionText>>,
    /// The cutover's name, unique in the journal: lower-case letters, digits and hyphens, at most 64.
    #[schemars(required, example = &"recipe-api")]
    pub(super) name: Option<At<NameText>>,
    /// A text for people. Changing it does not count as a change of the plan.
    #[schemars(example = &"Recipe API, EKS to ECS")]
    pub(super) description: Option<At<String>>,
    /// Labels by which people select cutovers at the command line, for example `team: search`.
    #[schemars(example = &"{ team: search }")]
    pub(super) labels: Option<At<BTreeMap<String, At<String>>>>,
    /// The cutovers that must have completed before this one starts.
    #[schemars(example = &"[ user-api ]")]
    pub(super) after: Option<At<Vec<At<NameText>>>>,
    /// The region and the role for calls of AWS; by default those of the environment, as in every AWS tool.
    #[schemars(example = &"{ region: ap-northeast-1 }")]
    pub(super) aws: Option<At<RawAws>>,
    /// The weighted groups that move together, 1 to 100.
    #[schemars(
        required,
        length(min = 1, max = 100),
        example = &"[ { zone: example.com, name: api.example.com, type: A, old: eks, new: ecs } ]"
    )]
    pub(super) records: Option<At<Vec<At<RawRecord>>>>,
    /// The wait for resolvers after Route 53 has the change everywhere, before the bake clock starts; by default the largest
    /// TTL of the records.
    #[schemars(example = &"2m")]
    pub(super) settle: Option<At<DurationText>>,
    /// The steps: shares that rise and end at 100%.
    #[schemars(
        required,
        length(min = 1, max = 100),
        example = &"[ { weight: 5%, bake: 4h }, { weight: 100%, bake: 1d } ]"
    )]
    pub(super) steps: Option<At<Vec<At<RawStep>>>>,
    /// The alarms and metrics that are watched, and what happens if they cannot be read.
    #[schemars(required, example = &"{ alarms: [ recipe-api-5xx ] }")]
    pub(super) gates: Option<At<RawGates>>,
    /// The times at which a step may be taken; always by default. Bakes and reverts ignore them.
    #[schemars(example = &r#"{ time_zone: Asia/Tokyo, allow: [ "Mon-Fri 10:00-17:00" ] }"#)]
    pub(super) windows: Option<At<RawWindows>>,
    /// The command and the channels that are notified.
    #[schemars(example = &"{ command: [ /usr/local/bin/page, sre ] }")]
    pub(super) notify: Option<At<RawNotify>>,
    /// Your commands and HTTP requests that are called on the way.
    #[schemars(
        length(max = 50),
        example = &"[ { at: before_start, command: [ /usr/local/bin/warm-up ] } ]"
    )]
    pub(super) hooks: Option<At<Vec<At<RawHook>>>>,
    /// Batch jobs and consumers, which move as one switch.
    #[schemars(example = &"{ at: 50%, move: [ { name: nightly, old: { rule: nightly-eks }, new: { rule: nightly-ecs } } ] }")]
    pub(super) jobs: Option<At<RawJobs>>,
}

/// Settings of all plans in this directory and below it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "cutover fleet")]
pub(super) struct RawFleet {
    /// The version of the format: 1.
    #[schemars(example = &"1")]
    pub(super) version: Option<At<VersionText>>,
    /// The most cutovers that may be between their first step and their end; by default any number.
    #[schemars(example = &"10")]
    pub(super) max_in_flight: Option<At<CountText>>,
    /// After this many automatic reverts no step is taken until `cutover resume --fleet`; by default any number.
    #[schemars(example = &"1")]
    pub(super) failure_budget: Option<At<CountText>>,
    /// Defaults for all plans: maps are merged, lists and values are replaced by the plan's own.
    #[schemars(example = &"{ settle: 2m }")]
    pub(super) defaults: Option<At<RawDefaults>>,
    /// Days on which no plan with `windows` takes a step, in that plan's time zone; in addition to its own `deny`.
    #[schemars(example = &r#"[ "2026-12-28..2027-01-04" ]"#)]
    pub(super) holidays: Option<At<Vec<At<WindowText>>>>,
    /// Limits for every plan; a plan that breaks one is not loaded.
    #[schemars(example = &"{ first_step_at_most: 5% }")]
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
    #[schemars(schema_with = "gates_in_part")]
    pub(super) gates: Option<At<RawGates>>,
    /// As in a plan.
    pub(super) windows: Option<At<RawWindows>>,
    /// As in a plan.
    pub(super) notify: Option<At<RawNotify>>,
    /// As in a plan.
    #[schemars(length(max = 50))]
    pub(super) hooks: Option<At<Vec<At<RawHook>>>>,
}

/// The gates of a fleet's defaults: as in a plan, but none of the keys is required.
fn gates_in_part(generator: &mut SchemaGenerator) -> Schema {
    let mut gates = RawGates::json_schema(generator);
    gates.remove("required");
    gates
}

/// Limits for every plan.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGuardrails {
    /// The largest share that a first step may give the new cluster.
    #[schemars(example = &"5%")]
    pub(super) first_step_at_most: Option<At<ShareText>>,
    /// The largest rise from one step to the next, in points.
    #[schemars(example = &"50%")]
    pub(super) step_at_most: Option<At<ShareText>>,
    /// The shortest bake of any step.
    #[schemars(example = &"1h")]
    pub(super) bake_at_least: Option<At<DurationText>>,
    /// The least number of alarms.
    #[schemars(example = &"2")]
    pub(super) alarms_at_least: Option<At<CountText>>,
    /// The least number of fallback alarms.
    #[schemars(example = &"1")]
    pub(super) fallback_alarms_at_least: Option<At<CountText>>,
}

/// The region and the role for calls of AWS.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAws {
    /// CloudWatch's region, for example `ap-northeast-1`. Route 53 finds its own endpoint.
    #[schemars(example = &"ap-northeast-1")]
    pub(super) region: Option<At<String>>,
    /// A role to assume, for example `arn:aws:iam::111111111111:role/cutover`.
    #[schemars(example = &"arn:aws:iam::111111111111:role/cutover")]
    pub(super) role_arn: Option<At<String>>,
    /// The `sts:ExternalId` that the role's trust policy requires.
    #[schemars(example = &"cutover-prod")]
    pub(super) external_id: Option<At<String>>,
}

/// One weighted group: two record sets of one name and type.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRecord {
    /// The hosted zone, by name (`example.com`) or by ID (`Z0123456789ABC`).
    #[schemars(required, example = &"example.com")]
    pub(super) zone: Option<At<String>>,
    /// True for the private zone, false for the public one, if both have this name.
    #[schemars(example = &"true")]
    pub(super) private: Option<At<bool>>,
    /// The DNS name.
    #[schemars(required, example = &"api.example.com")]
    pub(super) name: Option<At<String>>,
    /// The record type.
    #[serde(rename = "type")]
    #[schemars(required, example = &"A")]
    pub(super) record_type: Option<At<RecordType>>,
    /// The set identifier of the old cluster's record.
    #[schemars(required, length(min = 1, max = 128), example = &"eks")]
    pub(super) old: Option<At<String>>,
    /// The set identifier of the new cluster's record.
    #[schemars(required, length(min = 1, max = 128), example = &"ecs")]
    pub(super) new: Option<At<String>>,
    /// A role to assume in the hosted zone's account, if that is not the plan's.
    #[schemars(example = &"arn:aws:iam::222222222222:role/zones")]
    pub(super) role_arn: Option<At<String>>,
    /// The `sts:ExternalId` that this role's trust policy requires.
    #[schemars(example = &"cutover-prod")]
    pub(super) external_id: Option<At<String>>,
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

/// One step: the new cluster's share, and how long it bakes there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawStep {
    /// The new cluster's share of the traffic.
    #[schemars(required, example = &"5%")]
    pub(super) weight: Option<At<ShareText>>,
    /// How long all gates must pass before the next step; above zero, at most 90d.
    #[schemars(required, example = &"4h")]
    pub(super) bake: Option<At<DurationText>>,
    /// Requires approval by a person before the step is taken.
    #[schemars(example = &"required", example = &"{ timeout: 2d }")]
    pub(super) approval: Option<At<ApprovalEntry>>,
}

/// Requires approval by a person before the step is taken; a map sets a timeout.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = super::schema_forms::or_required)]
pub(super) struct ApprovalEntry {
    #[schemars(skip)]
    pub(super) approval: Option<At<RawApproval>>,
    /// How long it waits for its approval; above zero, at most 90d. For an approval
    /// without a limit write `approval: required`.
    #[schemars(required, example = &"2d")]
    pub(super) timeout: Option<At<DurationText>>,
    /// The reaction after that time; by default `hold`, which pages once more.
    #[schemars(example = &"hold")]
    pub(super) on_timeout: Option<At<RawChoice>>,
}

/// The approval of a step.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawApproval {
    /// A person must approve the step before it is taken.
    Required,
}

/// The times at which a step may be taken. `deny` wins; without `allow` the window is always open.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWindows {
    /// The time zone of these times: a name of the IANA database, for example `Asia/Tokyo`.
    #[schemars(required, example = &"Asia/Tokyo")]
    pub(super) time_zone: Option<At<String>>,
    /// The times at which the window is open.
    #[schemars(length(min = 1), example = &r#"[ "Mon-Fri 10:00-17:00" ]"#)]
    pub(super) allow: Option<At<Vec<At<WindowText>>>>,
    /// Exceptions at which it is closed: nights, holidays, the big sale.
    #[schemars(example = &r#"[ "2026-12-28..2027-01-04" ]"#)]
    pub(super) deny: Option<At<Vec<At<WindowText>>>>,
    /// If true, a step is taken only if the window stays open until its bake is over; by default false.
    #[schemars(example = &"true")]
    pub(super) whole_bake: Option<At<bool>>,
}

/// The alarms and metrics that are watched, and what happens if they cannot be read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGates {
    /// CloudWatch alarms, metric or composite, on the new cluster. If one is red, the traffic goes back.
    #[schemars(required, length(min = 1), example = &"[ recipe-api-5xx ]")]
    pub(super) alarms: Option<At<Vec<At<AlarmEntry>>>>,
    /// Alarms on the old cluster: can it take the traffic back? If one is red, hold and page.
    #[schemars(example = &"[ recipe-api-old-unhealthy-hosts ]")]
    pub(super) fallback_alarms: Option<At<Vec<At<AlarmEntry>>>>,
    /// How long a gate may be unreadable before `on_unknown` applies; by default 30m.
    #[schemars(example = &"30m")]
    pub(super) unknown_for: Option<At<DurationText>>,
    /// The reaction after that time; by default `hold`.
    #[schemars(example = &"hold")]
    pub(super) on_unknown: Option<At<RawChoice>>,
    /// The reaction if a gate and a fallback alarm are red at once; by default `hold`.
    #[schemars(example = &"hold")]
    pub(super) both_red: Option<At<RawChoice>>,

    /// The sources of both sides' metrics, for the gates below.
    #[schemars(example = &"{ new: { alb: { load_balancer: app/recipe-ecs/50dc6c495c0c9188 } } }")]
    pub(super) sides: Option<At<RawSides>>,
    /// Metrics with bounds. If one is beyond its bound, the traffic goes back.
    #[schemars(example = &"[ { measure: error_rate, max: 1%, for: 3 of 5 } ]")]
    pub(super) metrics: Option<At<Vec<At<RawMetricGate>>>>,
    /// Did the traffic move, and is there enough of it to judge by? Never takes the traffic back.
    #[schemars(example = &"{ min_requests: 200, share_within: 50% }")]
    pub(super) traffic: Option<At<RawTrafficGate>>,
    /// Is the new cluster worse than the old one? If so, the traffic goes back.
    #[schemars(example = &"{ at_most: 1.25 }")]
    pub(super) regression: Option<At<RawRegression>>,
    /// Series that must not climb to a limit. If one does, the next step is held.
    #[schemars(example = &"[ { measure: memory, limit: 100% } ]")]
    pub(super) trend: Option<At<Vec<At<RawTrend>>>>,
}

/// One alarm: its name, or a map with its name and more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = super::schema_forms::or_bare_text)]
pub(super) struct AlarmEntry {
    /// The alarm's name, exactly as in CloudWatch, or its ARN.
    #[schemars(required, length(min = 1, max = 320), example = &"recipe-api-5xx")]
    pub(super) name: Option<At<String>>,
    /// Its region, if that is not the plan's.
    #[schemars(example = &"us-east-1")]
    pub(super) region: Option<At<String>>,
    /// A role to assume in the alarm's account, if that is not the plan's.
    #[schemars(example = &"arn:aws:iam::222222222222:role/reads")]
    pub(super) role_arn: Option<At<String>>,
    /// The `sts:ExternalId` that this role's trust policy requires.
    #[schemars(example = &"cutover-prod")]
    pub(super) external_id: Option<At<String>>,
    /// The meaning of INSUFFICIENT_DATA once traffic has moved; by default `hold`.
    #[schemars(example = &"pass")]
    pub(super) no_data: Option<At<RawNoData>>,
}

/// The sources of each side's metrics: its load balancer, its service, or metrics of your own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSides {
    /// The new cluster.
    #[schemars(required, example = &"{ alb: { load_balancer: app/recipe-ecs/50dc6c495c0c9188 } }")]
    pub(super) new: Option<At<RawSide>>,
    /// The old cluster.
    #[schemars(example = &"{ alb: { load_balancer: app/recipe-eks/1dc6c495c0c91881 } }")]
    pub(super) old: Option<At<RawSide>>,
    /// How often the counts of both sides are read; by default 1m, at most 1h.
    #[schemars(example = &"5m")]
    pub(super) every: Option<At<DurationText>>,
}

/// One side: presets that know the names of the metrics, or the metrics themselves.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSide {
    /// The region of its metrics, if that is not the plan's.
    #[schemars(example = &"ap-northeast-1")]
    pub(super) region: Option<At<String>>,
    /// A role to assume in the account of its metrics, if that is not the plan's.
    #[schemars(example = &"arn:aws:iam::222222222222:role/reads")]
    pub(super) role_arn: Option<At<String>>,
    /// The `sts:ExternalId` that this role's trust policy requires.
    #[schemars(example = &"cutover-prod")]
    pub(super) external_id: Option<At<String>>,
    /// An Application Load Balancer: requests, errors, response times.
    #[schemars(example = &"{ load_balancer: app/recipe-ecs/50dc6c495c0c9188 }")]
    pub(super) alb: Option<At<RawAlb>>,
    /// A Network Load Balancer: connections for requests, resets for errors.
    #[schemars(example = &"{ load_balancer: net/recipe-ecs/50dc6c495c0c9188 }")]
    pub(super) nlb: Option<At<RawNlb>>,
    /// An ECS service with Container Insights: memory, processor, running tasks.
    #[schemars(example = &"{ cluster: recipe, service: api }")]
    pub(super) ecs: Option<At<RawEcs>>,
    /// Pods on EKS with Container Insights: memory, processor, restarts, running pods.
    #[schemars(example = &"{ cluster: recipe, namespace: default, service: api }")]
    pub(super) eks: Option<At<RawEks>>,
    /// A metric of your own that counts all requests.
    #[schemars(example = &"{ namespace: Recipe, metric: Tried }")]
    pub(super) requests: Option<At<RawMetric>>,
    /// A metric of your own that counts failed requests.
    #[schemars(example = &"{ namespace: Recipe, metric: Failed }")]
    pub(super) errors: Option<At<RawMetric>>,
}

/// An Application Load Balancer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAlb {
    /// As in its ARN: `app/recipe-ecs/50dc6c495c0c9188`.
    #[schemars(required, example = &"app/recipe-ecs/50dc6c495c0c9188")]
    pub(super) load_balancer: Option<At<String>>,
    /// As in its ARN: `targetgroup/recipe-ecs/73e2d6bc24d8a067`; without it all requests of the load balancer count.
    #[schemars(example = &"targetgroup/recipe-ecs/73e2d6bc24d8a067")]
    pub(super) target_group: Option<At<String>>,
    /// True if other services share the load balancer: its own errors (502, 503, 504) are then not counted, because they may
    /// belong to another service.
    #[schemars(example = &"true")]
    pub(super) shared: Option<At<bool>>,
}

/// A Network Load Balancer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNlb {
    /// As in its ARN: `net/recipe-ecs/50dc6c495c0c9188`.
    #[schemars(required, example = &"net/recipe-ecs/50dc6c495c0c9188")]
    pub(super) load_balancer: Option<At<String>>,
}

/// An ECS service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEcs {
    /// The cluster's name.
    #[schemars(required, example = &"recipe")]
    pub(super) cluster: Option<At<String>>,
    /// The service's name.
    #[schemars(required, example = &"api")]
    pub(super) service: Option<At<String>>,
}

/// Pods on EKS.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEks {
    /// The cluster's name.
    #[schemars(required, example = &"recipe")]
    pub(super) cluster: Option<At<String>>,
    /// Kubernetes' namespace.
    #[schemars(required, example = &"default")]
    pub(super) namespace: Option<At<String>>,
    /// The service, and the pods' common name: `Service` and `PodName` in Container Insights.
    #[schemars(required, example = &"api")]
    pub(super) service: Option<At<String>>,
}

/// A statistic of a metric.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMetric {
    /// The namespace, for example `AWS/ApplicationELB`.
    #[schemars(required, example = &"AWS/ApplicationELB")]
    pub(super) namespace: Option<At<String>>,
    /// The metric's name.
    #[schemars(required, example = &"RequestCount")]
    pub(super) metric: Option<At<String>>,
    /// All of its dimensions.
    #[schemars(example = &"{ Cluster: ecs }")]
    pub(super) dimensions: Option<At<BTreeMap<String, At<String>>>>,
    /// The statistic, for example `Sum`, `Average` or `p99`; by default `Sum`.
    #[schemars(example = &"Sum")]
    pub(super) stat: Option<At<String>>,
}

/// A metric with a bound: of a side's presets (`measure`), a metric of your own (`metric`), or metric math (`expression`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMetricGate {
    /// Its name, for people; by default the measure or metric.
    #[schemars(example = &"checkout failures")]
    pub(super) name: Option<At<String>>,
    /// A measure of both sides: `error_rate`, `p99` (or another percentile), `requests`, `memory`, `cpu`, `running` or
    /// `restarts`.
    #[schemars(example = &"error_rate")]
    pub(super) measure: Option<At<String>>,
    /// A metric of your own, of the new side.
    #[schemars(example = &"{ namespace: Recipe, metric: QueueDepth, stat: Maximum }")]
    pub(super) metric: Option<At<RawMetric>>,
    /// The same metric of the old side: if it is as bad there, the new side is not the cause.
    #[schemars(example = &"{ namespace: Recipe, metric: OldQueueDepth, stat: Maximum }")]
    pub(super) old_metric: Option<At<RawMetric>>,
    /// CloudWatch metric math over `inputs`, for example `100 * FILL(failed, 0) / tried`.
    #[schemars(example = &"100 * FILL(failed, 0) / tried")]
    pub(super) expression: Option<At<String>>,
    /// The metrics of the expression, by their names in it.
    #[schemars(example = &"{ failed: { namespace: Recipe, metric: Failed } }")]
    pub(super) inputs: Option<At<BTreeMap<String, At<RawMetric>>>>,
    /// The same metrics of the old side.
    #[schemars(example = &"{ failed: { namespace: Recipe, metric: OldFailed } }")]
    pub(super) old_inputs: Option<At<BTreeMap<String, At<RawMetric>>>>,
    /// The upper bound, for example `1%`, `800ms` or `25`.
    #[schemars(example = &"1%")]
    pub(super) max: Option<At<BoundText>>,
    /// The lower bound.
    #[schemars(example = &"2")]
    pub(super) min: Option<At<BoundText>>,
    /// How many datapoints must be beyond the bound, out of how many, for the gate to be red; by default `3 of 5`.
    #[serde(rename = "for")]
    #[schemars(example = &"3 of 5")]
    pub(super) points: Option<At<PointsText>>,
    /// The length of a datapoint, and the interval at which it is read; by default 1m, at most 1h.
    #[schemars(example = &"5m")]
    pub(super) every: Option<At<DurationText>>,
    /// An error rate of fewer requests in a datapoint counts only together with the neighbouring datapoints; by default as
    /// many requests as keep three errors within the bound: 150 if it is 2%.
    #[schemars(example = &"200")]
    pub(super) min_requests: Option<At<CountText>>,
    /// The meaning of no data at all once traffic has moved; by default `hold`.
    #[schemars(example = &"pass")]
    pub(super) no_data: Option<At<RawNoData>>,
    /// The delay of its datapoints, in whole minutes, for example `8m`, at most 1h; by default they are complete after 2m.
    #[schemars(example = &"8m")]
    pub(super) delay: Option<At<DurationText>>,
}

/// Did the traffic move, and is there enough of it to judge by?
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTrafficGate {
    /// The requests that the new cluster must have had in a step before the step's bake counts; by default 200.
    #[schemars(example = &"200")]
    pub(super) min_requests: Option<At<CountText>>,
    /// How far the observed share may be from the intended one, as a fraction of it; by default 50%.
    #[schemars(example = &"50%")]
    pub(super) share_within: Option<At<ShareText>>,
}

/// Is the new cluster worse than the old one?
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRegression {
    /// The new cluster's error rate may be at most this many times the old one's; by default 1.25.
    #[schemars(example = &"1.25")]
    pub(super) at_most: Option<At<FactorText>>,
    /// The chance, over the whole cutover, of a revert although the new cluster is not worse; by default 0.001.
    #[schemars(example = &"0.001")]
    pub(super) alpha: Option<At<FactorText>>,
    /// A response that takes longer counts as an error too, for example `800ms`.
    #[schemars(example = &"800ms")]
    pub(super) slow_over: Option<At<BoundText>>,
}

/// A series that must not climb to a limit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTrend {
    /// Its name, for people; by default the measure or metric.
    #[schemars(example = &"queue depth")]
    pub(super) name: Option<At<String>>,
    /// A measure of the new cluster: `memory`, `cpu`, or another one of its presets.
    #[schemars(example = &"memory")]
    pub(super) measure: Option<At<String>>,
    /// A metric of your own.
    #[schemars(example = &"{ namespace: Recipe, metric: QueueDepth, stat: Maximum }")]
    pub(super) metric: Option<At<RawMetric>>,
    /// CloudWatch metric math over `inputs`.
    #[schemars(example = &"100 * FILL(failed, 0) / tried")]
    pub(super) expression: Option<At<String>>,
    /// The metrics of the expression, by their names in it.
    #[schemars(example = &"{ failed: { namespace: Recipe, metric: Failed } }")]
    pub(super) inputs: Option<At<BTreeMap<String, At<RawMetric>>>>,
    /// The limit; for `memory` and `cpu` by default 100%.
    #[schemars(example = &"100%")]
    pub(super) limit: Option<At<BoundText>>,
    /// A climb that reaches the limit later than this is ignored; by default 7d.
    #[schemars(example = &"7d")]
    pub(super) within: Option<At<DurationText>>,
}

/// The command and the channels that are notified. Channels get journal entries in order, each at least once.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNotify {
    /// A program and its arguments (no shell); it gets each page as JSON on standard input.
    #[schemars(length(min = 1), example = &"[ /usr/local/bin/page, sre ]")]
    pub(super) command: Option<At<Vec<At<String>>>>,
    /// Slack, by an incoming webhook or by a bot's token; one, or a list.
    #[schemars(example = &r#""${SLACK_WEBHOOK}""#)]
    pub(super) slack: Option<At<Several<RawSlack>>>,
    /// Amazon SNS topics; one, or a list.
    #[schemars(example = &"arn:aws:sns:eu-west-1:111111111111:cutovers")]
    pub(super) sns: Option<At<Several<RawSns>>>,
    /// URLs that get a CloudEvent as JSON by POST; one, or a list.
    #[schemars(example = &"https://hooks.example.com/cutover")]
    pub(super) webhook: Option<At<Several<RawWebhook>>>,
}

/// A channel of Slack; as a text, its incoming webhook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = super::schema_forms::or_bare_text)]
pub(super) struct RawSlack {
    /// A reference to the URL of an incoming webhook: `${NAME}` or `file:/path`.
    #[schemars(example = &r#""${SLACK_WEBHOOK}""#)]
    pub(super) webhook: Option<At<String>>,
    /// Instead of a webhook, a reference to a bot's token: each attempt is one message that is kept up to date, and entries are
    /// its replies.
    #[schemars(example = &r#""${SLACK_TOKEN}""#)]
    pub(super) token: Option<At<String>>,
    /// The channel that the bot writes to, by ID or name.
    #[schemars(example = &"\"#deploys\"")]
    pub(super) channel: Option<At<String>>,
    /// The address of Slack's API; by default `https://slack.com/api`.
    #[schemars(example = &"https://slack.com/api")]
    pub(super) api: Option<At<String>>,
    /// The notifications that it gets: `page` (the default), `info`, or kinds of events and holds.
    #[schemars(example = &"[ page, completed ]")]
    pub(super) on: Option<At<Several<String>>>,
    /// Kinds that it does not get.
    #[schemars(example = &"approval")]
    pub(super) except: Option<At<Several<String>>>,
}

/// A topic of Amazon SNS; as a text, its ARN.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = super::schema_forms::or_bare_text)]
pub(super) struct RawSns {
    /// The topic. Its own region is called.
    #[schemars(required, example = &"arn:aws:sns:eu-west-1:111111111111:cutovers")]
    pub(super) topic_arn: Option<At<String>>,
    /// The notifications that it gets: `page` (the default), `info`, or kinds of events and holds.
    #[schemars(example = &"[ page, completed ]")]
    pub(super) on: Option<At<Several<String>>>,
    /// Kinds that it does not get.
    #[schemars(example = &"approval")]
    pub(super) except: Option<At<Several<String>>>,
}

/// A URL that gets CloudEvents; as a text, the URL alone.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(transform = super::schema_forms::or_bare_text)]
pub(super) struct RawWebhook {
    /// The URL, or a reference to it if it is secret: `${NAME}` or `file:/path`.
    #[schemars(required, example = &"https://deploys.example.com/cutover")]
    pub(super) url: Option<At<String>>,
    /// A reference to the secret that signs requests (HMAC-SHA-256, as in Standard Webhooks).
    #[schemars(example = &r#""${WEBHOOK_SECRET}""#)]
    pub(super) secret: Option<At<String>>,
    /// The notifications that it gets: `page` (the default), `info`, or kinds of events and holds.
    #[schemars(example = &"[ page, completed ]")]
    pub(super) on: Option<At<Several<String>>>,
    /// Kinds that it does not get.
    #[schemars(example = &"approval")]
    pub(super) except: Option<At<Several<String>>>,
}

/// A command or an HTTP request of yours that is called at a point of the cutover. It is called at least once, always with
/// the same idempotency key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHook {
    /// The point at which it is called.
    #[schemars(required, example = &"before_step")]
    pub(super) at: Option<At<RawPoint>>,
    /// The step at which it is called, by its weight; every step by default.
    #[schemars(example = &"50%")]
    pub(super) step: Option<At<ShareText>>,
    /// A program and its arguments (no shell); it gets the event as JSON on standard input.
    #[schemars(length(min = 1), example = &"[ /usr/local/bin/warm-up ]")]
    pub(super) command: Option<At<Vec<At<String>>>>,
    /// An HTTP request: POST, with the event as JSON.
    #[schemars(example = &"{ url: https://deploys.example.com/cutover }")]
    pub(super) http: Option<At<RawHttp>>,
    /// How long one try may take; by default 30s, at most 10m.
    #[schemars(example = &"30s")]
    pub(super) timeout: Option<At<DurationText>>,
    /// How often it is retried after a failure; by default 2, at most 10.
    #[schemars(example = &"2")]
    pub(super) retries: Option<At<NumberText>>,
    /// The reaction if all tries fail, before and after steps; by default `hold`, which pages a person.
    #[schemars(example = &"hold")]
    pub(super) on_failure: Option<At<RawChoice>>,
    /// If true, processes that the command started in the background go on; by default they are ended with it.
    #[schemars(example = &"true")]
    pub(super) detach: Option<At<bool>>,
}

/// The point at which a hook is called.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawPoint {
    /// Before the first write.
    BeforeStart,
    /// Before a step's weights are written.
    BeforeStep,
    /// After a step's bake.
    AfterStep,
    /// When a revert begins; the revert does not wait for it.
    BeforeRevert,
    /// When all weights are back.
    AfterRevert,
    /// After the last bake.
    Completed,
}

/// An HTTP request. `${NAME}` stands for an environment variable, `${file:PATH}` for a file's content.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHttp {
    /// The address, for example `https://deploys.example.com/hooks/cutover`.
    #[schemars(required, example = &"https://deploys.example.com/cutover")]
    pub(super) url: Option<At<String>>,
    /// Headers, for example `authorization: "Bearer ${DEPLOYS_TOKEN}"`.
    #[schemars(example = &r#"{ authorization: "Bearer ${DEPLOYS_TOKEN}" }"#)]
    pub(super) headers: Option<At<BTreeMap<String, At<String>>>>,
}

/// Batch jobs and consumers that move as one switch: first the old side is switched off, then the new side on, never both on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawJobs {
    /// The time at which they move: with the step of this weight, before its bake; or `complete`, after the last bake.
    #[schemars(required, example = &"50%")]
    pub(super) at: Option<At<MomentText>>,
    /// The shortest time for which both sides are off; by default 2m.
    #[schemars(example = &"2m")]
    pub(super) wait: Option<At<DurationText>>,
    /// The least distance from a firing time at which the switch begins; by default 5m.
    #[schemars(example = &"5m")]
    pub(super) away: Option<At<DurationText>>,
    /// How long work may still run on the old side before a person is paged; by default 1h.
    #[schemars(example = &"1h")]
    pub(super) drain: Option<At<DurationText>>,
    /// The jobs.
    #[serde(rename = "move")]
    #[schemars(
        required,
        length(min = 1, max = 50),
        example = &"[ { name: nightly, old: { rule: nightly-eks }, new: { rule: nightly-ecs } } ]"
    )]
    pub(super) jobs: Option<At<Vec<At<RawJob>>>>,
}

/// One job: the same work on two sides, or work that runs on one of them only.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawJob {
    /// Its name, for people.
    #[schemars(required, length(min = 1, max = 128), example = &"nightly-report")]
    pub(super) name: Option<At<String>>,
    /// How it is switched on the old cluster; a list if there are several. Without it, the job begins with the cutover.
    #[schemars(example = &"{ rule: nightly-eks }")]
    pub(super) old: Option<At<Several<RawHalf>>>,
    /// How it is switched on the new cluster; a list if there are several. Without it, the job ends with the cutover.
    #[schemars(example = &"{ rule: nightly-ecs }")]
    pub(super) new: Option<At<Several<RawHalf>>>,
}

/// How a job is switched on one side: `rule`, `schedule`, `cron_job`, or the commands `off`, `on` and `state`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHalf {
    /// An EventBridge rule, by name.
    #[schemars(length(min = 1, max = 64), example = &"nightly-report")]
    pub(super) rule: Option<At<String>>,
    /// The rule's event bus; by default `default`.
    #[schemars(example = &"default")]
    pub(super) bus: Option<At<String>>,
    /// A schedule of EventBridge Scheduler, by name.
    #[schemars(length(min = 1, max = 64), example = &"nightly-report")]
    pub(super) schedule: Option<At<String>>,
    /// The schedule's group; by default `default`.
    #[schemars(example = &"default")]
    pub(super) group: Option<At<String>>,
    /// The region of the rule or schedule; by default the plan's.
    #[schemars(example = &"ap-northeast-1")]
    pub(super) region: Option<At<String>>,
    /// A Kubernetes CronJob, by name, switched with `kubectl`. It must have `startingDeadlineSeconds`.
    #[schemars(length(min = 1, max = 253), example = &"nightly-report")]
    pub(super) cron_job: Option<At<String>>,
    /// The CronJob's namespace; by default the context's.
    #[schemars(example = &"batch")]
    pub(super) namespace: Option<At<String>>,
    /// The context of the kubeconfig; by default the current one.
    #[schemars(example = &"recipe-eks")]
    pub(super) context: Option<At<String>>,
    /// A command that switches it off. It may be called again if the job is already off.
    #[schemars(length(min = 1), example = &"[ /usr/local/bin/consumers, stop, orders ]")]
    pub(super) off: Option<At<Vec<At<String>>>>,
    /// A command that switches it on. It may be called again if the job is already on.
    #[schemars(length(min = 1), example = &"[ /usr/local/bin/consumers, start, orders ]")]
    pub(super) on: Option<At<Vec<At<String>>>>,
    /// A command that prints `on` or `off`.
    #[schemars(length(min = 1), example = &"[ /usr/local/bin/consumers, state, orders ]")]
    pub(super) state: Option<At<Vec<At<String>>>>,
    /// A command that prints the number of runs that are still going on.
    #[schemars(length(min = 1), example = &"[ /usr/local/bin/consumers, running, orders ]")]
    pub(super) running: Option<At<Vec<At<String>>>>,
    /// If true, processes that `off` and `on` started in the background go on; by default they are ended with them.
    #[schemars(example = &"true")]
    pub(super) detach: Option<At<bool>>,
}

/// Hold and page a person, or revert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawChoice {
    /// Hold, and page a person.
    Hold,
    /// Take the traffic back.
    Revert,
}

/// The meaning of INSUFFICIENT_DATA.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawNoData {
    /// No step is taken.
    Hold,
    /// This alarm has no data if all is well.
    Pass,
}

/// Defines a text of the file with a type of its own, and its pattern for the schema.
macro_rules! text_leaf {
    ($(#[$attribute:meta])* $name:ident) => {
        #[derive(Debug, Deserialize, JsonSchema)]
        #[schemars(inline)]
        $(#[$attribute])*
        pub(super) struct $name(pub(super) String);
    };
}
text_leaf! {
    /// A duration such as `90s`, `4h` or `1d 12h`; a day is 24 hours.
    #[schemars(extend("pattern" = super::durations::PATTERN))]
    DurationText
}

text_leaf! {
    /// Days, a time of day, or both: `Mon-Fri 10:00-17:00`, `Sat,Sun`, `2026-12-28..2027-01-04`, `22:00-02:00`. A range
    /// over midnight belongs to its first day; a range of dates includes both its days.
    #[schemars(extend("minLength" = 3))]
    WindowText
}

text_leaf! {
    /// A share such as `5%` or `0.5%`.
    #[schemars(extend("pattern" = r"^(100(\.0{1,6})?|[0-9]{1,2}(\.[0-9]{1,6})?) ?%$"))]
    ShareText
}

text_leaf! {
    /// Lower-case letters, digits and hyphens, a letter or digit first and last.
    #[schemars(extend("maxLength" = 64, "pattern" = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    NameText
}

text_leaf! {
    /// A whole number of at least 1.
    #[schemars(transform = super::schema_forms::count)]
    CountText
}

text_leaf! {
    /// The version of the plan format.
    #[schemars(transform = super::schema_forms::version)]
    VersionText
}

text_leaf! {
    /// A number with its unit: `1%`, `800ms`, `1.5s`, or bare.
    #[schemars(transform = super::schema_forms::number)]
    BoundText
}

text_leaf! {
    /// M of N datapoints: `3 of 5`.
    #[schemars(extend("pattern" = r"^[1-9][0-9]? of [1-9][0-9]?$"))]
    PointsText
}

text_leaf! {
    /// A number such as `1.25`.
    #[schemars(transform = super::schema_forms::number)]
    FactorText
}

text_leaf! {
    /// A step's weight, or `complete`.
    #[schemars(extend("pattern" = r"^(complete|(100(\.0{1,6})?|[0-9]{1,2}(\.[0-9]{1,6})?) ?%)$"))]
    MomentText
}

text_leaf! {
    /// A whole number.
    #[schemars(transform = super::schema_forms::count_or_zero)]
    NumberText
}
