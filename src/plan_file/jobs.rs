//! The `jobs` of a plan.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use crate::engine::jobs::{JOBS_MAX, Job, JobHalf, JobSwitch, SwitchAt};
use crate::engine::plan::Step;

use super::at::{At, Several};
use super::diagnostics::{Sink, Span, listed, quote};
use super::fields::{ABOVE_ZERO, ANY, Lengths, duration, require_all, require_in, shaped};
use super::hooks::{argv, of_step};
use super::raw::{DurationText, MomentText, RawHalf, RawJob, RawJobs, ShareText};
use super::shapes;

/// The default of `wait`.
const WAIT_DEFAULT: SignedDuration = SignedDuration::from_mins(2);
/// The default of `away`.
const AWAY_DEFAULT: SignedDuration = SignedDuration::from_mins(5);
/// The default of `drain`.
const DRAIN_DEFAULT: SignedDuration = SignedDuration::from_hours(1);

/// The switch of a plan; none after recording what is wrong.
pub(super) fn convert(
    jobs: At<RawJobs>,
    steps: &[Step],
    region: Option<&str>,
    sink: &mut Sink<'_>,
) -> Option<JobSwitch> {
    let (span, raw) = (jobs.span, jobs.value?);
    let given = [("at", raw.at.is_some()), ("move", raw.jobs.is_some())];
    let help = "a switch of jobs is:\n  at: 50%\n  move:\n    - { name: nightly, old: { rule: nightly-eks }, new: { rule: nightly-ecs } }";
    require_all(&given, "`jobs`", help, &span, sink);
    let at = raw.at.and_then(|at| moment(&at, steps, sink));
    let wait = duration_or(WAIT_DEFAULT, raw.wait, "wait", &ABOVE_ZERO, sink);
    let away = duration_or(AWAY_DEFAULT, raw.away, "away", &ANY, sink);
    let drain = duration_or(DRAIN_DEFAULT, raw.drain, "drain", &ABOVE_ZERO, sink);
    let jobs = raw.jobs.map(|jobs| list(jobs, region, sink))?;
    Some(JobSwitch {
        at: at?,
        wait: wait?,
        away: away?,
        drain: drain?,
        jobs,
    })
}

/// The duration of a key, or its default.
fn duration_or(
    default: SignedDuration,
    text: Option<At<DurationText>>,
    key: &str,
    lengths: &Lengths,
    sink: &mut Sink<'_>,
) -> Option<SignedDuration> {
    match text {
        Some(text) => duration::<RawJobs>(&text, key, lengths, sink),
        None => Some(default),
    }
}

fn moment(at: &At<MomentText>, steps: &[Step], sink: &mut Sink<'_>) -> Option<SwitchAt> {
    let text = &at.value.as_ref()?.0;
    if text == "complete" {
        return Some(SwitchAt::Complete);
    }
    if !text.contains('%') {
        let message = format!("{} is not a time at which jobs can move", quote(text));
        let help =
            "write the weight of a step (`at: 50%`), or `at: complete` for after the last bake";
        sink.error(&at.span, message, help);
        return None;
    }
    let share = ShareText(text.clone());
    of_step(&at.span, &share, steps, sink).map(SwitchAt::Step)
}

fn list(jobs: At<Vec<At<RawJob>>>, region: Option<&str>, sink: &mut Sink<'_>) -> Vec<Job> {
    let (span, entries) = (jobs.span, jobs.value.unwrap_or_default());
    if entries.is_empty() {
        let help = "list at least one, or remove `jobs`: `- { name: nightly, old: { rule: nightly-eks }, new: { rule: nightly-ecs } }`";
        sink.error(&span, "no job is listed, so nothing would move", help);
    }
    let (mut names, mut halves) = (BTreeMap::new(), BTreeMap::new());
    let mut converted = Vec::new();
    for At { span, value } in entries {
        let Some(raw) = value else {
            continue;
        };
        let Some(job) = job(raw, &span, sink) else {
            continue;
        };
        if let Some(first) = names.get(&job.name) {
            let message = format!("the job {} is listed twice", quote(&job.name));
            sink.conflict(
                &span,
                message,
                "give each job a name of its own",
                (first, "first listed here"),
            );
        }
        for (half, place) in job.old.iter().chain(&job.new) {
            let half = spelled_out(half, region);
            if let Some(first) = halves.get(&half) {
                let message = "this is named twice, so it would be switched both on and off";
                sink.conflict(
                    place,
                    message,
                    "name each rule, schedule, CronJob or command once, on the side where it runs",
                    (first, "first named here"),
                );
            }
            halves.insert(half, place.clone());
        }
        names.insert(job.name.clone(), span.clone());
        let before = converted.len();
        converted.extend(in_pairs(job));
        if before <= JOBS_MAX && converted.len() > JOBS_MAX {
            let message =
                format!("more than {JOBS_MAX} jobs are listed, each entry of a list counted");
            sink.error(&span, message, "make another plan for the rest");
        }
    }
    converted
}

/// A job as it is written: each side may be a list.
struct Listed {
    name: String,
    old: Vec<(JobHalf, Span)>,
    new: Vec<(JobHalf, Span)>,
}

/// The job in the engine's form: one half per side, and one more job for each further entry of a list.
fn in_pairs(listed: Listed) -> Vec<Job> {
    let mut old = listed.old.into_iter().map(|(half, _)| half);
    let mut new = listed.new.into_iter().map(|(half, _)| half);
    let mut jobs = Vec::new();
    loop {
        let (old, new) = (old.next(), new.next());
        if old.is_none() && new.is_none() {
            return jobs;
        }
        let name = match jobs.len() {
            0 => listed.name.clone(),
            before => format!("{} ({})", listed.name, before + 1),
        };
        jobs.push(Job { name, old, new });
    }
}

/// A half with its defaults filled in and without keys that do not identify the job, so that equal jobs compare equal.
fn spelled_out(half: &JobHalf, plans: Option<&str>) -> JobHalf {
    let of_plan = plans.map(str::to_owned);
    match half.clone() {
        JobHalf::Rule {
            name, bus, region, ..
        } => JobHalf::Rule {
            name,
            bus: Some(bare_name_or_default(bus.as_deref())),
            region: region.or(of_plan),
            running: None,
        },
        JobHalf::Schedule {
            name,
            group,
            region,
            ..
        } => JobHalf::Schedule {
            name,
            group: Some(bare_name_or_default(group.as_deref())),
            region: region.or(of_plan),
            running: None,
        },
        half @ (JobHalf::CronJob { .. } | JobHalf::Command { .. }) => half,
    }
}

/// The name of a bus or group, which is `default` if none is written. A bus may be written as its ARN.
fn bare_name_or_default(text: Option<&str>) -> String {
    let text = text.unwrap_or("default");
    let name = text.split_once(":event-bus/").map(|(_, name)| name);
    name.unwrap_or(text).to_owned()
}

fn job(raw: RawJob, span: &Span, sink: &mut Sink<'_>) -> Option<Listed> {
    let help =
        "a job is `{ name: nightly, old: { rule: nightly-eks }, new: { schedule: nightly-ecs } }`";
    require_all(
        &[("name", raw.name.is_some())],
        "this job",
        help,
        span,
        sink,
    );
    if raw.old.is_none() && raw.new.is_none() {
        let message = "this job has neither `old` nor `new`, so nothing would be switched";
        sink.error(span, message, help);
        return None;
    }
    let name = raw.name.and_then(|name| {
        let text = name.value?;
        if text.trim().is_empty() {
            sink.error(
                &name.span,
                "the name of the job is empty",
                "write `name: nightly-report`",
            );
        }
        Some(text)
    });
    let old = side(raw.old, "old", sink);
    let new = side(raw.new, "new", sink);
    Some(Listed {
        name: name?,
        old: old?,
        new: new?,
    })
}

/// The entries of one side; empty if the job has none there.
fn side(
    several: Option<At<Several<RawHalf>>>,
    key: &str,
    sink: &mut Sink<'_>,
) -> Option<Vec<(JobHalf, Span)>> {
    let Some(At { span, value }) = several else {
        return Some(Vec::new());
    };
    let Several(entries) = value?;
    if entries.is_empty() {
        let message = format!("`{key}` lists nothing");
        sink.error(&span, message, "list at least one, or remove the key");
        return None;
    }
    let mut halves = Vec::new();
    for entry in entries {
        halves.push((half(entry.value?, &entry.span, sink)?, entry.span));
    }
    Some(halves)
}

/// The keys that go with each kind.
const KINDS: [(&str, &[&str]); 4] = [
    ("rule", &["bus", "region", "running"]),
    ("schedule", &["group", "region", "running"]),
    ("cron_job", &["namespace", "context"]),
    ("state", &["off", "on", "running", "detach"]),
];

fn half(raw: RawHalf, span: &Span, sink: &mut Sink<'_>) -> Option<JobHalf> {
    let commands = raw.off.is_some() || raw.on.is_some() || raw.state.is_some();
    let given = [
        ("rule", raw.rule.is_some()),
        ("schedule", raw.schedule.is_some()),
        ("cron_job", raw.cron_job.is_some()),
        ("state", commands),
    ];
    let kinds: Vec<&str> = given
        .iter()
        .filter(|(_, given)| *given)
        .map(|(kind, _)| *kind)
        .collect();
    let [kind] = kinds.as_slice() else {
        let message = if kinds.is_empty() {
            "nothing says how this job is switched".to_owned()
        } else {
            format!(
                "this job is switched in two ways: {}",
                listed(&kinds, "and")
            )
        };
        let help = "write one of `rule: NAME`, `schedule: NAME`, `cron_job: NAME`, or the commands `off`, `on` and `state`";
        sink.error(span, message, help);
        return None;
    };
    refuse_other_keys(kind, &raw, sink);
    let running = raw
        .running
        .as_ref()
        .map(|argv_of| argv(argv_of, "running", sink));
    let blind = raw.running.is_none() && *kind != "cron_job";
    if blind {
        sink.warning(
            span,
            "this job has no `running`, so the switch waits only for `wait`, not for work that still runs",
            "add `running: [ … ]`, a command that prints how many run",
        );
    }
    let running = match running {
        Some(running) => Some(running?),
        None => None,
    };
    match *kind {
        "rule" => Some(JobHalf::Rule {
            name: named(raw.rule?, sink)?,
            bus: raw.bus.and_then(|bus| named(bus, sink)),
            region: shaped(raw.region, shapes::region, sink),
            running,
        }),
        "schedule" => Some(JobHalf::Schedule {
            name: named(raw.schedule?, sink)?,
            group: raw.group.and_then(|group| named(group, sink)),
            region: shaped(raw.region, shapes::region, sink),
            running,
        }),
        "cron_job" => Some(JobHalf::CronJob {
            name: named(raw.cron_job?, sink)?,
            namespace: raw.namespace.and_then(|namespace| named(namespace, sink)),
            context: raw.context.and_then(|context| context.value),
        }),
        _ => commands_of(raw, span, running, sink),
    }
}

fn commands_of(
    raw: RawHalf,
    span: &Span,
    running: Option<Vec<String>>,
    sink: &mut Sink<'_>,
) -> Option<JobHalf> {
    let place = "this job";
    let off = require_in::<RawHalf, _>(raw.off, "off", place, span, sink);
    let on = require_in::<RawHalf, _>(raw.on, "on", place, span, sink);
    let state = require_in::<RawHalf, _>(raw.state, "state", place, span, sink);
    let off = argv(&off?, "off", sink);
    let on = argv(&on?, "on", sink);
    let state = argv(&state?, "state", sink);
    let detach = raw.detach.and_then(|detach| detach.value);
    Some(JobHalf::Command {
        off: off?,
        on: on?,
        state: state?,
        running,
        detach: detach.unwrap_or(false),
    })
}

/// Refuses keys of a half that do not belong to its kind.
fn refuse_other_keys(kind: &str, raw: &RawHalf, sink: &mut Sink<'_>) {
    let mine = KINDS.iter().find(|(known, _)| *known == kind);
    let mine = mine.map_or(&[][..], |(_, keys)| *keys);
    let given = [
        ("bus", raw.bus.as_ref().map(|at| &at.span)),
        ("group", raw.group.as_ref().map(|at| &at.span)),
        ("region", raw.region.as_ref().map(|at| &at.span)),
        ("namespace", raw.namespace.as_ref().map(|at| &at.span)),
        ("context", raw.context.as_ref().map(|at| &at.span)),
        ("running", raw.running.as_ref().map(|at| &at.span)),
        ("detach", raw.detach.as_ref().map(|at| &at.span)),
    ];
    for (key, span) in given {
        if let Some(span) = span
            && !mine.contains(&key)
        {
            let kind = if kind == "state" { "commands" } else { kind };
            let message = format!("`{key}` means nothing beside `{kind}`");
            sink.error(span, message, "remove it");
        }
    }
}

/// A name without blanks, as in AWS and Kubernetes.
fn named(at: At<String>, sink: &mut Sink<'_>) -> Option<String> {
    let text = at.value?;
    let fits = text
        .chars()
        .all(|letter| letter.is_ascii_alphanumeric() || "-_./:".contains(letter));
    if text.is_empty() || text.starts_with('-') || !fits {
        let message = format!("{} is not a name", quote(&text));
        let help = "names have letters, digits, `-`, `_` and `.`";
        sink.error(&at.span, message, help);
        return None;
    }
    Some(text)
}
