//! Scenarios of rehearsals: YAML files beside the plan, read in the same way.

use std::path::Path;

use jiff::SignedDuration;

use super::at::At;
use super::diagnostics::{Finding, PlanFileError, Sink, Span, quote};
use super::faults::{self, FaultError};
use super::fields::{ANY, Lengths, duration, require_in};
use super::raw::DurationText;
use super::raw_scenario::{
    RawCluster, RawMeasure, RawMissing, RawResolvers, RawScenario, RawTraffic, RawWatchSide,
    ScenarioAlarm,
};
use super::shapes::Complaint;
use super::{file_text, keys, load, read, tree};
use crate::reach::regular_file::directory_of;
use crate::scenario::{
    Alarm, Cluster, Evaluation, Measure, Missing, Resolvers, Scenario, ScenarioFault, Side, Traffic,
};

/// Loads a scenario file.
///
/// # Errors
/// The file has mistakes, all of which are named, or cannot be read.
pub fn load_scenario(path: &Path) -> Result<Scenario, PlanFileError> {
    let shown = path.display().to_string();
    let bytes = file_text::read_bytes(path, directory_of(path), &shown)?;
    let text = file_text::decode(bytes, &shown)?;
    parse_scenario(&text, &shown)
}

/// What to write first.
const BEGIN: &str = "write for example `faults: [ new errors 20% at step 3 + 2h ]`";

/// Parses the text of a scenario file; `path` names it in findings.
///
/// # Errors
/// The text has mistakes, all of which are named.
pub fn parse_scenario(text: &str, path: &str) -> Result<Scenario, PlanFileError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut sink = Sink::new(path, text);
    let raw = read_raw(text, &mut sink);
    let scenario = raw.map(|raw| convert(raw, &mut sink));
    let failed = sink.has_errors();
    match scenario {
        Some(scenario) if !failed => Ok(scenario),
        _ => {
            let mut findings = sink.into_findings();
            if findings.is_empty() {
                findings.push(Finding::about_file(path, "the scenario is empty", BEGIN));
            }
            Err(PlanFileError { findings })
        }
    }
}

fn read_raw(text: &str, sink: &mut Sink<'_>) -> Option<RawScenario> {
    let root = tree::read(text, BEGIN, sink)?;
    if let Some(key) = load::other_kind(&root, &load::PLAN_KEYS, &load::SCENARIO_KEYS) {
        let message = "this is a plan, not a scenario of a rehearsal";
        let help = "name it as the plan: `cutover rehearse FILE`; a scenario is for example \
                    `faults: [ new errors 20% at step 3 + 2h ]`";
        sink.error(key, message, help);
        return None;
    }
    read::read(&root, "the scenario", sink)
}

fn convert(raw: RawScenario, sink: &mut Sink<'_>) -> Scenario {
    let alarms = raw.alarms.and_then(|at| at.value).unwrap_or_default();
    let faults = raw.faults.and_then(|at| at.value).unwrap_or_default();
    Scenario {
        traffic: traffic(raw.traffic.and_then(|at| at.value), sink),
        resolvers: resolvers(raw.resolvers.and_then(|at| at.value), sink),
        new: cluster(raw.new.and_then(|at| at.value), sink),
        old: cluster(raw.old.and_then(|at| at.value), sink),
        alarms: alarms
            .into_iter()
            .filter_map(|at| alarm(at.value?, &at.span, sink))
            .collect(),
        faults: faults
            .into_iter()
            .filter_map(|at| fault(&at, sink))
            .collect(),
    }
}

fn fault(line: &At<String>, sink: &mut Sink<'_>) -> Option<ScenarioFault> {
    or_recorded(faults::fault(line.value.as_ref()?), &line.span, sink)
}

/// The value; none after recording the error.
fn or_recorded<T>(read: Result<T, FaultError>, span: &Span, sink: &mut Sink<'_>) -> Option<T> {
    match read {
        Ok(value) => Some(value),
        Err(error) => {
            sink.error(span, error.message, &error.help);
            None
        }
    }
}

/// The value of a leaf, or the default.
fn leaf<T>(
    at: Option<At<String>>,
    default: T,
    read: impl Fn(&str) -> Result<T, FaultError>,
    sink: &mut Sink<'_>,
) -> T {
    let Some(At { span, value }) = at else {
        return default;
    };
    let value = value.and_then(|text| or_recorded(read(&text), &span, sink));
    value.unwrap_or(default)
}

fn number(text: &str, (least, most): (f64, f64)) -> Result<f64, FaultError> {
    match text.parse::<f64>() {
        Ok(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(FaultError {
            message: format!("{} is not a number from {least} to {most}", quote(text)),
            help: format!(
                "write for example `{}`",
                f64::midpoint(least, most.min(24.0))
            ),
        }),
    }
}

fn milliseconds(text: &str) -> Result<f64, FaultError> {
    let (number, scale) = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => (number, 1.0),
        (None, Some(number)) => (number, 1000.0),
        (None, None) => ("", 1.0),
    };
    match number.trim().parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number * scale),
        _ => Err(FaultError {
            message: format!("{} is not a response time", quote(text)),
            help: "write for example `250ms` or `1.5s`".to_owned(),
        }),
    }
}

fn traffic(raw: Option<RawTraffic>, sink: &mut Sink<'_>) -> Traffic {
    let default = Traffic::default();
    let Some(raw) = raw else {
        return default;
    };
    Traffic {
        per_minute: leaf(raw.requests, default.per_minute, faults::rate, sink),
        swing: leaf(raw.swing, default.swing, faults::percent, sink),
        peak_hour: leaf(
            raw.peak_hour,
            default.peak_hour,
            |text| number(text, (0.0, 24.0)),
            sink,
        ),
        noise: leaf(raw.noise, default.noise, faults::percent, sink),
        pushes_per_day: leaf(
            raw.pushes_per_day,
            default.pushes_per_day,
            |text| number(text, (0.0, 100.0)),
            sink,
        ),
    }
}

fn resolvers(raw: Option<RawResolvers>, sink: &mut Sink<'_>) -> Resolvers {
    let default = Resolvers::default();
    let Some(raw) = raw else {
        return default;
    };
    Resolvers {
        count: leaf(raw.count, default.count, resolver_count, sink),
        stragglers: leaf(raw.stragglers, default.stragglers, faults::percent, sink),
        keep_alive: leaf(raw.keep_alive, default.keep_alive, faults::percent, sink),
    }
}

fn resolver_count(text: &str) -> Result<u16, FaultError> {
    match text.parse::<u16>() {
        Ok(count) if (1..=10_000).contains(&count) => Ok(count),
        Ok(_) | Err(_) => Err(FaultError {
            message: format!("{} is not a number from 1 to 10000", quote(text)),
            help: "write for example `100`".to_owned(),
        }),
    }
}

fn cluster(raw: Option<RawCluster>, sink: &mut Sink<'_>) -> Cluster {
    let default = Cluster::default();
    let Some(raw) = raw else {
        return default;
    };
    Cluster {
        capacity: leaf(
            raw.capacity,
            None,
            |text| faults::rate(text).map(Some),
            sink,
        ),
        p99_ms: leaf(raw.p99, default.p99_ms, milliseconds, sink),
        errors: leaf(raw.errors, default.errors, faults::percent, sink),
    }
}

fn alarm(raw: ScenarioAlarm, span: &Span, sink: &mut Sink<'_>) -> Option<Alarm> {
    let name = require_in::<ScenarioAlarm, _>(raw.name, "name", "this alarm", span, sink)?.value?;
    let rule = raw.rule.and_then(|at| at.value);
    let measures = raw.measures.as_ref().and_then(|at| at.value);
    let measures = match (measures, raw.above) {
        (Some(RawMeasure::Latency), above) => {
            let above_ms = above.and_then(|at| Some((at.value?, at.span)));
            let above_ms =
                above_ms.and_then(|(text, span)| or_recorded(milliseconds(&text), &span, sink));
            Some(Measure::Latency { above_ms })
        }
        (Some(RawMeasure::Errors), above) => {
            let above = above.and_then(|at| Some((at.value?, at.span)));
            let above =
                above.and_then(|(text, span)| or_recorded(faults::percent(&text), &span, sink));
            Some(Measure::Errors { above })
        }
        (None, Some(At { span, .. })) => {
            let message = "`above` needs `measures`";
            sink.error(
                &span,
                message,
                "add `measures: errors`, or `measures: latency`",
            );
            None
        }
        (None, None) => None,
    };
    let side = raw.watches.and_then(|at| at.value).map(|side| match side {
        RawWatchSide::New => Side::New,
        RawWatchSide::Old => Side::Old,
    });
    let evaluation = evaluation((raw.period, raw.datapoints, raw.missing, raw.delay), sink);
    Some(Alarm {
        name,
        measures,
        side,
        evaluation,
        rule,
    })
}

/// `period`, `datapoints`, `missing` and `delay` of an alarm, as they are written.
type RawEvaluation = (
    Option<At<DurationText>>,
    Option<At<String>>,
    Option<At<RawMissing>>,
    Option<At<DurationText>>,
);

/// The periods that an alarm may have.
const PERIODS: Lengths = Lengths {
    zero: false,
    fits: is_period,
    refusal: not_a_period,
};

fn is_period(length: SignedDuration) -> bool {
    length.as_secs() % 60 == 0 && length <= SignedDuration::from_hours(24)
}

fn not_a_period(key: &str) -> Complaint {
    (
        format!("`{key}` must be whole minutes, at most a day"),
        format!(
            "write for example `{}`",
            keys::line_of::<ScenarioAlarm>(key)
        ),
    )
}

/// The evaluation of an alarm.
fn evaluation(
    (period, datapoints, missing, delay): RawEvaluation,
    sink: &mut Sink<'_>,
) -> Evaluation {
    let mut evaluation = Evaluation::default();
    if let Some(period) = period
        && let Some(length) = duration::<ScenarioAlarm>(&period, "period", &PERIODS, sink)
    {
        evaluation.period_mins = u32::try_from(length.as_mins()).unwrap_or(u32::MAX);
    }
    if let Some(At { span, value }) = datapoints
        && let Some(text) = value
    {
        match m_of_n(&text) {
            Ok((datapoints, out_of)) => {
                (evaluation.datapoints, evaluation.out_of) = (datapoints, out_of);
            }
            Err((message, help)) => sink.error(&span, message, &help),
        }
    }
    let missing = missing.and_then(|at| at.value);
    evaluation.missing = missing.map_or(evaluation.missing, |missing| match missing {
        RawMissing::Missing => Missing::Missing,
        RawMissing::Breaching => Missing::Breaching,
        RawMissing::NotBreaching => Missing::NotBreaching,
        RawMissing::Ignore => Missing::Ignore,
    });
    let delay = delay.and_then(|at| duration::<ScenarioAlarm>(&at, "delay", &ANY, sink));
    evaluation.delay = delay.unwrap_or(evaluation.delay);
    evaluation
}

/// `3 of 5`.
fn m_of_n(text: &str) -> Result<(u32, u32), Complaint> {
    if let Some((m, n)) = text.split_once("of")
        && let (Ok(m), Ok(n)) = (m.trim().parse::<u32>(), n.trim().parse::<u32>())
        && (1..=n).contains(&m)
        && n <= 100
    {
        return Ok((m, n));
    }
    let message = format!("{} is not M of N datapoints", quote(text));
    Err((message, "write for example `datapoints: 3 of 5`".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_read_whole() {
        let text = "\
traffic: { requests: 1200/min, swing: 30%, pushes_per_day: 2 }
resolvers: { count: 40, stragglers: 3% }
new: { capacity: 5000/min, p99: 1.5s, errors: 0.2% }
alarms:
  - { name: slow, measures: latency, above: 800ms, period: 5m, datapoints: 2 of 3, missing: missing, delay: 2m }
  - { name: any, rule: ALARM(slow) }
faults: [ new errors 20% at step 3 + 2h, cloudwatch down 40m at step 1 ]
";
        let scenario = parse_scenario(text, "s.yaml").unwrap();
        assert!((scenario.traffic.per_minute - 1200.0).abs() < 1e-9);
        assert_eq!(scenario.resolvers.count, 40);
        assert_eq!(scenario.new.capacity, Some(5000.0));
        assert!((scenario.new.p99_ms - 1500.0).abs() < 1e-9);
        assert_eq!(scenario.old, Cluster::default());
        let slow = &scenario.alarms[0];
        let above_ms = Some(800.0);
        assert_eq!(slow.measures, Some(Measure::Latency { above_ms }));
        let evaluation = Evaluation {
            period_mins: 5,
            datapoints: 2,
            out_of: 3,
            missing: Missing::Missing,
            delay: SignedDuration::from_secs(120),
        };
        assert_eq!(slow.evaluation, evaluation);
        assert_eq!(scenario.alarms[1].rule.as_deref(), Some("ALARM(slow)"));
        assert_eq!(scenario.faults.len(), 2);
    }

    #[test]
    fn every_mistake_of_a_scenario_is_named_with_its_place() {
        let text = "\
trafic: { requests: 1200 }
new: { capacity: lots, p99: 250 }
alarms: [ { measures: errors }, { name: a, datapoints: 5 of 3 } ]
faults: [ new erors 20% ]
";
        let error = parse_scenario(text, "s.yaml").unwrap_err();
        let rendered = error.render(false);
        for said in [
            "did you mean `traffic`?",
            "`lots` is not a number of requests",
            "`250` is not a response time",
            "this alarm has no `name`",
            "`5 of 3` is not M of N datapoints",
            "did you mean `errors`?",
        ] {
            assert!(rendered.contains(said), "{said}:\n{rendered}");
        }
    }
}
