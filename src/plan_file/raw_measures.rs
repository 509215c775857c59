//! The gates of a plan file that are judged from metrics, as they are written. The doc comments are what editors show.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::raw::CountText;
use super::raw::DurationText;
use super::raw::RawNoData;
use super::raw::ShareText;
use super::raw::text_leaf;
use super::read::At;

/// Where each side is measured: its load balancer, its service, or metrics of your own.
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
    /// The region of its metrics, where that is not the plan's.
    pub(super) region: Option<At<String>>,
    /// A role to assume in the account of its metrics, where that is not the plan's.
    pub(super) role_arn: Option<At<String>>,
    /// What that role's trust policy asks for as `sts:ExternalId`.
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
    /// A metric of your own that counts those that went wrong.
    pub(super) errors: Option<At<RawMetric>>,
}

/// An Application Load Balancer.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawAlb {
    /// As in its ARN: `app/recipe-ecs/50dc6c495c0c9188`.
    #[schemars(required)]
    pub(super) load_balancer: Option<At<String>>,
    /// As in its ARN: `targetgroup/recipe-ecs/73e2d6bc24d8a067`; without it all that the load balancer serves counts.
    pub(super) target_group: Option<At<String>>,
    /// Whether other services share the load balancer: its own errors (502, 503, 504) then are not counted, for nobody
    /// knows whose they are.
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
    /// The service, and the pods' common name: what Container Insights calls `Service` and `PodName`.
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
    /// What people call it; by default what is measured.
    pub(super) name: Option<At<String>>,
    /// What is measured of both sides: `error_rate`, `p99` (or another percentile), `requests`, `memory`, `cpu`,
    /// `running` or `restarts`.
    pub(super) measure: Option<At<String>>,
    /// A metric of your own, of the new side.
    pub(super) metric: Option<At<RawMetric>>,
    /// The same metric of the old side: what is as bad there is not the new side's doing.
    pub(super) old_metric: Option<At<RawMetric>>,
    /// CloudWatch metric math over `inputs`, for example `100 * FILL(failed, 0) / tried`.
    pub(super) expression: Option<At<String>>,
    /// The metrics of the expression, by what it calls them.
    pub(super) inputs: Option<At<BTreeMap<String, At<RawMetric>>>>,
    /// The same metrics of the old side.
    pub(super) old_inputs: Option<At<BTreeMap<String, At<RawMetric>>>>,
    /// Above it is bad, for example `1%`, `800ms` or `25`.
    pub(super) max: Option<At<BoundText>>,
    /// Below it is bad.
    pub(super) min: Option<At<BoundText>>,
    /// How many datapoints beyond the bound make it fail, out of how many; by default `3 of 5`.
    #[serde(rename = "for")]
    pub(super) points: Option<At<PointsText>>,
    /// How long a datapoint is, and how often it is read; by default 1m, at most 1h.
    pub(super) every: Option<At<DurationText>>,
    /// A rate of errors of fewer requests of the datapoint counts only together with those beside it; by default as many
    /// as three errors are within the bound of: 150 where it is 2%.
    pub(super) min_requests: Option<At<CountText>>,
    /// What no data at all means once traffic has moved; by default `hold`.
    pub(super) no_data: Option<At<RawNoData>>,
    /// How late its datapoints arrive, in whole minutes, for example `8m`; by default they are complete after 2m, at most
    /// 1h.
    pub(super) delay: Option<At<DurationText>>,
}

/// Did the traffic move, and is there enough of it to judge by?
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTrafficGate {
    /// How many requests the new cluster must have had in a step before the step's bake counts; by default 200.
    pub(super) min_requests: Option<At<CountText>>,
    /// How far the observed share may be from the intended one, as a part of it; by default 50%.
    pub(super) share_within: Option<At<ShareText>>,
}

/// Is the new cluster worse than the old one?
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRegression {
    /// How many times the old cluster's rate of errors the new one may have; by default 1.25.
    pub(super) at_most: Option<At<FactorText>>,
    /// The chance, over the whole cutover, that a cluster that is not worse is taken back; by default 0.001.
    pub(super) alpha: Option<At<FactorText>>,
    /// An answer that takes longer counts as an error too, for example `800ms`.
    pub(super) slow_over: Option<At<BoundText>>,
}

/// Something that must not climb without end.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTrend {
    /// What people call it; by default what is measured.
    pub(super) name: Option<At<String>>,
    /// What is measured of the new cluster: `memory`, `cpu`, or another of its presets' measures.
    pub(super) measure: Option<At<String>>,
    /// A metric of your own.
    pub(super) metric: Option<At<RawMetric>>,
    /// CloudWatch metric math over `inputs`.
    pub(super) expression: Option<At<String>>,
    /// The metrics of the expression, by what it calls them.
    pub(super) inputs: Option<At<BTreeMap<String, At<RawMetric>>>>,
    /// Where it ends; for `memory` and `cpu` by default 100%.
    pub(super) limit: Option<At<BoundText>>,
    /// A climb that reaches the limit later than this is let be; by default 7d.
    pub(super) within: Option<At<DurationText>>,
}

text_leaf! {
    /// A number with its unit: `1%`, `800ms`, `1.5s`, or bare.
    #[schemars(transform = super::schema::number)]
    BoundText
}
text_leaf! {
    /// How many datapoints out of how many: `3 of 5`.
    #[schemars(extend("pattern" = r"^[1-9][0-9]? of [1-9][0-9]?$"))]
    PointsText
}
text_leaf! {
    /// A number such as `1.25`.
    #[schemars(transform = super::schema::number)]
    FactorText
}
