//! The scenario of a rehearsal as it is written. Its attributes mean the same as in `raw`; the examples are for messages.

use schemars::JsonSchema;
use serde::Deserialize;

use super::at::At;
use super::raw::DurationText;

/// A scenario as it is written. Everything is optional.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawScenario {
    #[schemars(example = &"{ requests: 1200/min, swing: 30% }")]
    pub(super) traffic: Option<At<RawTraffic>>,
    #[schemars(example = &"{ count: 40, stragglers: 3% }")]
    pub(super) resolvers: Option<At<RawResolvers>>,
    #[schemars(example = &"{ p99: 250ms, errors: 0.2% }")]
    pub(super) new: Option<At<RawCluster>>,
    #[schemars(example = &"{ p99: 250ms, errors: 0.2% }")]
    pub(super) old: Option<At<RawCluster>>,
    #[schemars(example = &"[ { name: slow, measures: latency, above: 800ms } ]")]
    pub(super) alarms: Option<At<Vec<At<ScenarioAlarm>>>>,
    #[schemars(example = &"[ new errors 20% at step 3 + 2h ]")]
    pub(super) faults: Option<At<Vec<At<String>>>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTraffic {
    #[schemars(example = &"1200/min")]
    pub(super) requests: Option<At<String>>,
    #[schemars(example = &"30%")]
    pub(super) swing: Option<At<String>>,
    #[schemars(example = &"14")]
    pub(super) peak_hour: Option<At<String>>,
    #[schemars(example = &"10%")]
    pub(super) noise: Option<At<String>>,
    #[schemars(example = &"2")]
    pub(super) pushes_per_day: Option<At<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawResolvers {
    #[schemars(example = &"40")]
    pub(super) count: Option<At<String>>,
    #[schemars(example = &"3%")]
    pub(super) stragglers: Option<At<String>>,
    #[schemars(example = &"20%")]
    pub(super) keep_alive: Option<At<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCluster {
    #[schemars(example = &"5000/min")]
    pub(super) capacity: Option<At<String>>,
    #[schemars(example = &"250ms")]
    pub(super) p99: Option<At<String>>,
    #[schemars(example = &"0.2%")]
    pub(super) errors: Option<At<String>>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ScenarioAlarm {
    #[schemars(example = &"recipe-api-5xx")]
    pub(super) name: Option<At<String>>,
    #[schemars(example = &"errors")]
    pub(super) measures: Option<At<RawMeasure>>,
    #[schemars(example = &"1%")]
    pub(super) above: Option<At<String>>,
    #[schemars(example = &"new")]
    pub(super) watches: Option<At<RawWatchSide>>,
    #[schemars(example = &"5m")]
    pub(super) period: Option<At<DurationText>>,
    #[schemars(example = &"2 of 3")]
    pub(super) datapoints: Option<At<String>>,
    #[schemars(example = &"missing")]
    pub(super) missing: Option<At<RawMissing>>,
    #[schemars(example = &"2m")]
    pub(super) delay: Option<At<DurationText>>,
    #[schemars(example = &"ALARM(slow)")]
    pub(super) rule: Option<At<String>>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawMeasure {
    Errors,
    Latency,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawWatchSide {
    New,
    Old,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum RawMissing {
    Missing,
    Breaching,
    NotBreaching,
    Ignore,
}
