//! The model → the engine's [`Plan`]: all checks of a plan that need no AWS.
//!
//! Nothing here stops at a mistake: each part records its mistakes and returns the rest, so that one run names every
//! mistake of a file.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use crate::engine::account::Account;
use crate::engine::plan::{AlarmGate, AwsSettings, Gates, NoData, Plan};
use crate::engine::units::{AlarmId, CutoverName};

use super::accounts::{self, NamedAlarm};
use super::at::At;
use super::diagnostics::{Sink, Span, quote};
use super::fields::{ABOVE_ZERO, ANY, accept, choice, duration, require_all, require_in, shaped};
use super::raw::{AlarmEntry, RawAws, RawGates, RawNoData, RawPlan, VersionText};
use super::{channels, fleet_keys, hooks, jobs, keys, measures, records, shapes, steps, windows};

/// How long a gate may be Unknown by default.
const UNKNOWN_FOR_DEFAULT: SignedDuration = SignedDuration::from_mins(30);

/// The plan; none after recording what is wrong.
pub(super) fn convert(raw: RawPlan, span: &Span, sink: &mut Sink<'_>) -> Option<Plan> {
    if !version_is_known(raw.version.as_ref(), sink) {
        return None;
    }
    require_keys(&raw, span, sink);
    let name = raw.name.and_then(|name| {
        let (span, name) = (name.span, name.value?.0);
        accept(shapes::cutover_name(&name), &span, sink).then_some(CutoverName::from(name))
    });
    let labels = raw
        .labels
        .map_or_else(BTreeMap::new, |labels| fleet_keys::labels(labels, sink));
    let after = raw.after.map_or_else(Vec::new, |after| {
        fleet_keys::after(after, name.as_ref(), sink)
    });
    let aws = raw.aws.and_then(|aws| aws.value);
    let mut aws = aws.map_or_else(AwsSettings::default, |aws| aws_settings(aws, sink));
    let records = raw
        .records
        .and_then(|records| records::convert(records, sink));
    let settle = raw
        .settle
        .and_then(|settle| duration::<RawPlan>(&settle, "settle", &ANY, sink));
    let steps = raw.steps.and_then(|steps| steps::convert(steps, sink));
    let gates = raw.gates.and_then(|gates| {
        let span = gates.span;
        convert_gates(gates.value?, &span, &mut aws, sink)
    });
    let windows = raw
        .windows
        .and_then(|windows| windows::convert(windows, sink));
    let notify = raw
        .notify
        .and_then(|notify| channels::convert(notify, sink));
    let ladder = steps.as_deref().unwrap_or_default();
    let hooks = raw
        .hooks
        .map_or_else(Vec::new, |hooks| hooks::convert(hooks, ladder, sink));
    let region = aws.region.as_deref();
    let jobs = raw
        .jobs
        .and_then(|jobs| jobs::convert(jobs, ladder, region, sink));
    if sink.has_errors() {
        return None;
    }
    Some(Plan {
        labels,
        after,
        name: name?,
        description: raw.description.and_then(|text| text.value),
        aws,
        records: records?,
        settle,
        steps: steps?,
        gates: gates?,
        windows,
        notify,
        hooks,
        jobs,
    })
}

/// Returns true if this program can read the file at all. If not, all other findings are dropped: the rest may be correct in
/// that version.
pub(super) fn version_is_known(version: Option<&At<VersionText>>, sink: &mut Sink<'_>) -> bool {
    let Some(At {
        span,
        value: Some(VersionText(version)),
    }) = version
    else {
        return true;
    };
    let shown = quote(version);
    if version == "1" {
        true
    } else if version.parse::<f64>().is_ok() {
        sink.forget();
        let message = format!("this cutover does not know version {shown}");
        let help = "write `version: 1`, or use the newer cutover that this plan was written for";
        sink.error(span, message, help);
        false
    } else {
        let message = format!("{shown} is not a version of the plan format");
        sink.error(span, message, "write `version: 1`");
        true
    }
}

/// Reports missing keys that every plan must have.
fn require_keys(raw: &RawPlan, span: &Span, sink: &mut Sink<'_>) {
    let keys = [
        ("version", raw.version.is_some()),
        ("name", raw.name.is_some()),
        ("records", raw.records.is_some()),
        ("steps", raw.steps.is_some()),
        ("gates", raw.gates.is_some()),
    ];
    let missing = keys.iter().filter(|(_, given)| !given);
    let lines: Vec<String> = missing
        .map(|(key, _)| keys::line_of::<RawPlan>(key))
        .collect();
    let help = format!("add, for example:\n{}", lines.join("\n"));
    let start = span.start..span.start;
    require_all(&keys, "the plan", &help, &start, sink);
}

fn aws_settings(raw: RawAws, sink: &mut Sink<'_>) -> AwsSettings {
    let region = shaped(raw.region, shapes::region, sink);
    let role_arn = shaped(raw.role_arn, shapes::role_arn, sink);
    let external_id = shaped(raw.external_id, shapes::external_id, sink);
    let account = Account::new(role_arn, external_id, region.as_deref());
    AwsSettings {
        region,
        account,
        others: BTreeMap::new(),
    }
}

fn convert_gates(
    mut raw: RawGates,
    span: &Span,
    aws: &mut AwsSettings,
    sink: &mut Sink<'_>,
) -> Option<Gates> {
    let measures = measures::convert(&mut raw, aws.region.as_deref(), sink);
    let mut seen = BTreeMap::new();
    match &raw.alarms {
        None => no_alarms(span, sink),
        Some(At {
            span,
            value: Some(alarms),
        }) if alarms.is_empty() => no_alarms(span, sink),
        Some(_) => {}
    }
    let alarms = raw.alarms.map_or_else(Vec::new, |alarms| {
        convert_alarms(alarms, "alarms", aws, &mut seen, sink)
    });
    let fallback_alarms = raw.fallback_alarms.map_or_else(Vec::new, |alarms| {
        convert_alarms(alarms, "fallback_alarms", aws, &mut seen, sink)
    });
    accounts::require_roles(&seen, aws, sink);
    let unknown_for = raw
        .unknown_for
        .map_or(Some(UNKNOWN_FOR_DEFAULT), |unknown_for| {
            duration::<RawGates>(&unknown_for, "unknown_for", &ABOVE_ZERO, sink)
        });
    Some(Gates {
        alarms,
        fallback_alarms,
        unknown_for: unknown_for?,
        on_unknown: choice(raw.on_unknown),
        both_red: choice(raw.both_red),
        measures: measures?,
    })
}

fn no_alarms(span: &Span, sink: &mut Sink<'_>) {
    sink.error(
        span,
        "no alarm is watched, so nothing would ever take the traffic back",
        "list at least one alarm of the new cluster: `alarms: [ recipe-api-5xx ]`",
    );
}

/// The place where an alarm was first listed, and its key.
type SeenAlarms = BTreeMap<AlarmId, (Span, &'static str)>;

fn convert_alarms(
    alarms: At<Vec<At<AlarmEntry>>>,
    key: &'static str,
    aws: &mut AwsSettings,
    seen: &mut SeenAlarms,
    sink: &mut Sink<'_>,
) -> Vec<AlarmGate> {
    let mut gates = Vec::new();
    for entry in alarms.value.unwrap_or_default() {
        let span = entry.span;
        let Some(gate) = entry
            .value
            .and_then(|raw| convert_alarm(raw, &span, aws, sink))
        else {
            continue;
        };
        let shown = quote(&gate.id.to_string());
        match seen.get(&gate.id) {
            None => {
                seen.insert(gate.id.clone(), (span, key));
            }
            Some((first, first_key)) if *first_key == key => {
                let message = format!("the alarm {shown} is listed twice");
                let (help, here) = ("remove one of the two", "first listed here");
                sink.conflict(&span, message, help, (first, here));
            }
            Some((first, first_key)) => {
                let message = format!("the alarm {shown} is both a gate and a fallback alarm");
                let help = "an alarm watches the new cluster (`alarms`) or the old one (`fallback_alarms`), never both";
                let here = format!("listed under `{first_key}` here");
                sink.conflict(&span, message, help, (first, &here));
            }
        }
        gates.push(gate);
    }
    gates
}

fn convert_alarm(
    raw: AlarmEntry,
    span: &Span,
    aws: &mut AwsSettings,
    sink: &mut Sink<'_>,
) -> Option<AlarmGate> {
    let name = require_in::<AlarmEntry, _>(raw.name, "name", "this alarm", span, sink)
        .and_then(|name| shaped(Some(name), shapes::alarm_name, sink));
    let role_arn = shaped(raw.role_arn, shapes::role_arn, sink);
    let external_id = shaped(raw.external_id, shapes::external_id, sink);
    let own_region = shaped(raw.region, shapes::region, sink);
    let no_data = match raw.no_data.and_then(|no_data| no_data.value) {
        Some(RawNoData::Pass) => NoData::Pass,
        Some(RawNoData::Hold) | None => NoData::Hold,
    };
    let named = NamedAlarm {
        name: name?,
        region: own_region.or_else(|| aws.region.clone()),
        role_arn,
        external_id,
    };
    let id = accounts::alarm_id(named, aws, span, sink)?;
    Some(AlarmGate { id, no_data })
}
