//! The gates of a plan file that are judged from metrics, as they are written. Editors show the doc comments.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::raw_values::CountText;
use super::raw_values::DurationText;
use super::raw_values::RawNoData;
use super::raw_values::ShareText;
use super::raw_values::text_leaf;
use super::read::At;

/// The sources of each side's metrics: its load balancer, its service, or metrics of your own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSides {
    /// The new cluster.
    #[schemars(required)]
    pub(super) new: Option<At<RawSide>>,
    /// The old cluster.
    pub(super) old: Option<At<RawSide>>,
    /// How often the counts of both sides are read; by default 1m, at most 1h.
    pub(super) every: Option<At<DurationText>>,
}

/// One side: presets that know the names of the metrics, or the metrics themselves.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSide {
    /// The region of its metrics, if that is not the plan's.
    pub(super) region: Option<At<String>>,
    /// A role to assume in the account of its metrics, if that is not the plan's.
    pub(super) role_arn: Option<At<String>>,
    /// The `sts:ExternalId` that this role's trust policy requires.
    pub(super) external_id: Option<At<String>>,
    /// An Application Load Balancer: requests, errors, response times.
    pub(super) alb: Option<At<RawAlb>>,
    /// A Network Load Balancer: connections for requests, resets for errors.
    pub(super) nlb: Option<At<RawNlb>>,
    /// An ECS service with Container Insights: memory, processor, running tasks.
    pub(super) ecs: Option<At<RawEcs>>,
    /// Pods on EKS with Container Insights: memory, processor, restarts, running pods.
    pub(super) eks: Option<At<RawEks>>,
    /// A metric of your own that counts all requests.
    pub(super) requests: Option<At<RawMetric>>,
    /// A metric of your own that counts failed requests.
    pub(super) errors: Option<At<RawMetric>>,
}

/// An Application Load Balancer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAlb {
    /// As in its ARN: `app/recipe-ecs/50dc6c495c0c9188`.
    #[schemars(required)]
    pub(super) load_balancer: Option<At<String>>,
    /// As in its ARN: `targetgroup/recipe-ecs/73e2d6bc24d8a067`; without it all requests of the load balancer count.
    pub(super) target_group: Option<At<String>>,
    /// True if other services share the load balancer: its own errors (502, 503, 504) are then not counted, because they may
    /// belong to another service.
    pub(super) shared: Option<At<bool>>,
}

/// A Network Load Balancer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNlb {
    /// As in its ARN: `net/recipe-ecs/50dc6c495c0c9188`.
    #[schemars(required)]
    pub(super) load_balancer: Option<At<String>>,
}

/// An ECS service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEcs {
    /// The cluster's name.
    #[schemars(required)]
    pub(super) cluster: Option<At<String>>,
    /// The service's name.
    #[schemars(required)]
    pub(super) service: Option<At<String>>,
}

/// Pods on EKS.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawEks {
    /// The cluster's name.
    #[schemars(required)]
    pub(super) cluster: Option<At<String>>,
    /// Kubernetes' namespace.
    #[schemars(required)]
    pub(super) namespace: Option<At<String>>,
    /// The service, and the pods' common name: `Service` and `PodName` in Container Insights.
    #[schemars(required)]
    pub(super) service: Option<At<String>>,
}

/// A statistic of a metric.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMetric {
    /// The namespace, for example `AWS/ApplicationELB`.
    #[schemars(required)]
    pub(super) namespace: Option<At<String>>,
    /// The metric's name.
    #[schemars(required)]
    pub(super) metric: Option<At<String>>,
    /// All of its dimensions.
    pub(super) dimensions: Option<At<BTreeMap<String, At<String>>>>,
    /// The statistic, for example `Sum`, `Average` or `p99`; by default `Sum`.
    pub(super) stat: Option<At<String>>,
}

/// A metric with a bound: of a side's presets (`measure`), a metric of your own (`metric`), or metric math (`expression`).
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawMetricGate {
    /// Its name, for people; by default the measure or metric.
    pub(super) name: Option<At<String>>,
    /// A measure of both sides: `error_rate`, `p99` (or another percentile), `requests`, `memory`, `cpu`, `running` or
    /// `restarts`.
    pub(super) measure: Option<At<String>>,
    /// A metric of your own, of the new side.
    pub(super) metric: Option<At<RawMetric>>,
    /// The same metric of the old side: if it is as bad there, the new side is not the cause.
    pub(super) old_metric: Option<At<RawMetric>>,
    /// CloudWatch metric math over `inputs`, for example `100 * FILL(failed, 0) / tried`.
    pub(super) expression: Option<At<String>>,
    /// The metrics of the expression, by their names in it.
    pub(super) inputs: Option<At<BTreeMap<String, At<RawMetric>>>>,
    /// The same metrics of the old side.
    pub(super) old_inputs: Option<At<BTreeMap<String, At<RawMetric>>>>,
    /// The upper bound, for example `1%`, `800ms` or `25`.
    pub(super) max: Option<At<BoundText>>,
    /// The lower bound.
    pub(super) min: Option<At<BoundText>>,
    /// How many datapoints must be beyond the bound, out of how many, for the gate to be red; by default `3 of 5`.
    #[serde(rename = "for")]
    pub(super) points: Option<At<PointsText>>,
    /// The length of a datapoint, and the interval at which it is read; by default 1m, at most 1h.
    pub(super) every: Option<At<DurationText>>,
    /// An error rate of fewer requests in a datapoint counts only together with the neighbouring datapoints; by default as
    /// many requests as keep three errors within the bound: 150 if it is 2%.
    pub(super) min_requests: Option<At<CountText>>,
    /// The meaning of no data at all once traffic has moved; by default `hold`.
    pub(super) no_data: Option<At<RawNoData>>,
    /// The delay of its datapoints, in whole minutes, for example `8m`, at most 1h; by default they are complete after 2m.
    pub(super) delay: Option<At<DurationText>>,
}

/// Did the traffic move, and is there enough of it to judge by?
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTrafficGate {
    /// The requests that the new cluster must have had in a step before the step's bake counts; by default 200.
    pub(super) min_requests: Option<At<CountText>>,
    /// How far the observed share may be from the intended one, as a fraction of it; by default 50%.
    pub(super) share_within: Option<At<ShareText>>,
}

/// Is the new cluster worse than the old one?
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRegression {
    /// The new cluster's error rate may be at most this many times the old one's; by default 1.25.
    pub(super) at_most: Option<At<FactorText>>,
    /// The chance, over the whole cutover, of a revert although the new cluster is not worse; by default 0.001.
    pub(super) alpha: Option<At<FactorText>>,
    /// A response that takes longer counts as an error too, for example `800ms`.
    pub(super) slow_over: Option<At<BoundText>>,
}

/// A series that must not climb to a limit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTrend {
    /// Its name, for people; by default the measure or metric.
    pub(super) name: Option<At<String>>,
    /// A measure of the new cluster: `memory`, `cpu`, or another one of its presets.
    pub(super) measure: Option<At<String>>,
    /// A metric of your own.
    pub(super) metric: Option<At<RawMetric>>,
    /// CloudWatch metric math over `inputs`.
    pub(super) expression: Option<At<String>>,
    /// The metrics of the expression, by their names in it.
    pub(super) inputs: Option<At<BTreeMap<String, At<RawMetric>>>>,
    /// The limit; for `memory` and `cpu` by default 100%.
    pub(super) limit: Option<At<BoundText>>,
    /// A climb that reaches the limit later than this is ignored; by default 7d.
    pub(super) within: Option<At<DurationText>>,
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
