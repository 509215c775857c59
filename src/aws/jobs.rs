//! Reads and switches EventBridge rules and schedules of EventBridge Scheduler.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::config::AwsClients;
use super::errors::presentable;
use super::signed::{Body, Call, Signed};
use crate::engine::event::FailureClass;
use crate::engine::jobs::{Firing, HalfLook, JobHalf};
use crate::engine::plan::AwsSettings;
use crate::ports::{CallError, Clock, Jobs};

/// The fields of a `GetSchedule` reply that `UpdateSchedule` does not accept. All other fields are written back as they
/// were read, even unknown ones, because `UpdateSchedule` resets missing fields to their defaults. Source: EventBridge
/// Scheduler API Reference, `UpdateSchedule`.
const NOT_WRITTEN_BACK: [&str; 4] = ["Arn", "CreationDate", "LastModificationDate", "Name"];

/// Switches jobs that are EventBridge rules or schedules. Other kinds of jobs are an error.
#[derive(Clone)]
pub struct EventJobs {
    signed: Signed,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for EventJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventJobs").finish_non_exhaustive()
    }
}

impl EventJobs {
    pub(super) fn new(clients: Arc<AwsClients>, clock: Arc<dyn Clock>) -> Self {
        Self {
            signed: Signed::new(clients, Arc::clone(&clock)),
            clock,
        }
    }

    /// Calls EventBridge. `target` is the operation with its service, for the header `X-Amz-Target`.
    async fn events(
        &self,
        aws: &AwsSettings,
        region: Option<&String>,
        operation: &'static str,
        target: &'static str,
        body: Value,
    ) -> Result<Value, CallError> {
        let region = region.or(aws.region.as_ref()).map(String::as_str);
        let call = Call {
            operation,
            service: "events",
            method: "POST",
            path: "/",
            target: Some(target),
            body: Body::Json(body),
        };
        self.signed.call(&aws.account, region, call).await
    }

    /// Calls EventBridge Scheduler.
    async fn schedules(
        &self,
        aws: &AwsSettings,
        region: Option<&String>,
        operation: &'static str,
        method: &'static str,
        path: &str,
        body: Value,
    ) -> Result<Value, CallError> {
        let region = region.or(aws.region.as_ref()).map(String::as_str);
        let call = Call {
            operation,
            service: "scheduler",
            method,
            path,
            target: None,
            body: Body::Json(body),
        };
        self.signed.call(&aws.account, region, call).await
    }

    /// Reads a schedule.
    async fn get_schedule(
        &self,
        aws: &AwsSettings,
        region: Option<&String>,
        name: &str,
        group: Option<&String>,
    ) -> Result<Value, CallError> {
        let group = group.map_or("default", String::as_str);
        let path = format!("/schedules/{name}?groupName={group}");
        let read = self.schedules(aws, region, "GetSchedule", "GET", &path, Value::Null);
        read.await
    }
}

#[async_trait]
impl Jobs for EventJobs {
    async fn look(&self, aws: &AwsSettings, half: &JobHalf) -> Result<HalfLook, CallError> {
        match half {
            JobHalf::Rule {
                name, bus, region, ..
            } => {
                let body = rule(name, bus.as_ref());
                let target = "AWSEvents.DescribeRule";
                let read = self.events(aws, region.as_ref(), "DescribeRule", target, body);
                rule_look(&read.await?, self.clock.now())
            }
            JobHalf::Schedule {
                name,
                group,
                region,
                ..
            } => {
                let read = self.get_schedule(aws, region.as_ref(), name, group.as_ref());
                schedule_look(&read.await?, self.clock.now())
            }
            JobHalf::CronJob { .. } | JobHalf::Command { .. } => Err(not_ours()),
        }
    }

    async fn turn(
        &self,
        aws: &AwsSettings,
        half: &JobHalf,
        on: bool,
        _key: &str,
    ) -> Result<(), CallError> {
        match half {
            JobHalf::Rule {
                name, bus, region, ..
            } => {
                let (operation, target) = if on {
                    ("EnableRule", "AWSEvents.EnableRule")
                } else {
                    ("DisableRule", "AWSEvents.DisableRule")
                };
                let body = rule(name, bus.as_ref());
                let done = self.events(aws, region.as_ref(), operation, target, body);
                done.await.map(drop)
            }
            JobHalf::Schedule {
                name,
                group,
                region,
                ..
            } => {
                let read = self
                    .get_schedule(aws, region.as_ref(), name, group.as_ref())
                    .await
                    // A failed read has changed nothing. As `Transient` it would look like a write with an unknown
                    // outcome.
                    .map_err(|mut error| {
                        if error.class == FailureClass::Transient {
                            error.class = FailureClass::Throttled;
                        }
                        error
                    })?;
                let body = with_state(read, on, group.as_ref(), self.clock.now())?;
                let path = format!("/schedules/{name}");
                let operation = "UpdateSchedule";
                let done = self.schedules(aws, region.as_ref(), operation, "PUT", &path, body);
                done.await.map(drop)
            }
            JobHalf::CronJob { .. } | JobHalf::Command { .. } => Err(not_ours()),
        }
    }
}

/// Returns the error of a job that is neither a rule nor a schedule.
fn not_ours() -> CallError {
    let message = "the job is neither a rule nor a schedule";
    CallError::new("Jobs", FailureClass::Permanent, message)
}

/// Returns the parameters that identify a rule.
fn rule(name: &str, bus: Option<&String>) -> Value {
    match bus {
        Some(bus) => json!({ "Name": name, "EventBusName": bus }),
        None => json!({ "Name": name }),
    }
}

/// Returns the error of a reply without a known state.
fn unknown_state(operation: &'static str) -> CallError {
    let message = "the answer has no known state";
    CallError::new(operation, FailureClass::Permanent, message)
}

/// The most characters of a schedule expression. Longer texts cannot come from AWS and are cut (semantics M8). A cut
/// expression cannot be read.
///
/// The sources of these three limits are the EventBridge Scheduler API Reference, `ScheduleExpression` (256) and
/// `ScheduleExpressionTimezone` (50), and the EventBridge API Reference, `ManagedBy` (128).
const EXPRESSION_CHARS_MAX: usize = 256;
/// The most characters of a schedule's time zone.
const ZONE_CHARS_MAX: usize = 50;
/// The most characters of the name of the service that manages a rule.
const OWNER_CHARS_MAX: usize = 128;

/// Cuts a text to `chars_max` characters.
fn within(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).collect()
}

/// Reads the state of a rule from a reply of `DescribeRule`.
fn rule_look(read: &Value, now: Timestamp) -> Result<HalfLook, CallError> {
    let state = read["State"].as_str().unwrap_or_default();
    let unfit = match (state, read["ManagedBy"].as_str()) {
        (_, Some(owner)) => {
            let owner = within(owner, OWNER_CHARS_MAX);
            Some(format!("{owner} manages it and switches it itself"))
        }
        ("ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS", None) => Some(
            "its state is ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS, which EnableRule would not restore"
                .to_owned(),
        ),
        (_, None) => None,
    };
    let on = match state {
        "DISABLED" => false,
        state if state.starts_with("ENABLED") => true,
        _ => return Err(unknown_state("DescribeRule")),
    };
    let firing = firing(&read["ScheduleExpression"]);
    Ok(HalfLook {
        on,
        unfit,
        over: over(firing.as_ref(), now),
        running: None,
        firing,
    })
}

/// Reads the state of a schedule from a reply of `GetSchedule`.
fn schedule_look(read: &Value, now: Timestamp) -> Result<HalfLook, CallError> {
    let on = match read["State"].as_str() {
        // A schedule without a state is enabled. Source: EventBridge Scheduler API Reference, `State`.
        Some("ENABLED") | None if read.is_object() => true,
        Some("DISABLED") => false,
        Some(_) | None => return Err(unknown_state("GetSchedule")),
    };
    let zone = read["ScheduleExpressionTimezone"].as_str();
    // The schedule runs at any time within this window. Source: EventBridge Scheduler API Reference,
    // `FlexibleTimeWindow`.
    let window = &read["FlexibleTimeWindow"];
    let minutes = if window["Mode"] == "FLEXIBLE" {
        window["MaximumWindowInMinutes"].as_u64().unwrap_or(0)
    } else {
        0
    };
    let minutes = u32::try_from(minutes).unwrap_or(u32::MAX);
    let firing = firing(&read["ScheduleExpression"]).map(|firing| Firing {
        zone: zone.map(|zone| within(zone, ZONE_CHARS_MAX)),
        spread: SignedDuration::from_mins(i64::from(minutes)),
        ..firing
    });
    let ended = match time_of(&read["EndDate"]) {
        Some(end) if end <= now => Some(format!(
            "its EndDate {} is past, so it never fires again: give it a later EndDate, or remove it from the plan",
            end.strftime("%Y-%m-%d %H:%M UTC")
        )),
        Some(_) | None => None,
    };
    Ok(HalfLook {
        on,
        unfit: None,
        over: ended.or_else(|| over(firing.as_ref(), now)),
        running: None,
        firing,
    })
}

/// Returns when a job with this schedule expression runs. `None` if it has no expression.
fn firing(expression: &Value) -> Option<Firing> {
    Some(Firing {
        expression: within(expression.as_str()?, EXPRESSION_CHARS_MAX),
        zone: None,
        spread: SignedDuration::ZERO,
        catch_up: None,
    })
}

/// Returns the reason why a job never runs again by its schedule. `None` if it may run again or has no schedule.
fn over(firing: Option<&Firing>, now: Timestamp) -> Option<String> {
    let firing = firing?;
    if !firing.is_over(now) {
        return None;
    }
    let expression = presentable(&firing.expression);
    Some(format!(
        "its time {expression} is past, so it never fires again: give it a future time, or remove it from the plan"
    ))
}

/// Reads a time as Scheduler writes it: seconds since 1970, with a fraction. Rounds down to the second. `None` if it is
/// not a time.
fn time_of(value: &Value) -> Option<Timestamp> {
    let number = value.as_number()?.to_string();
    let seconds = number.parse::<f64>().ok()?;
    let span = SignedDuration::try_from_secs_f64(seconds.floor()).ok()?;
    Timestamp::from_duration(span).ok()
}

/// Returns the parameters that write a schedule back with another state. A past `StartDate` is left out:
/// `UpdateSchedule` refuses one that is more than five minutes in the past, and a schedule that has started needs none.
fn with_state(
    read: Value,
    on: bool,
    group: Option<&String>,
    now: Timestamp,
) -> Result<Value, CallError> {
    let Value::Object(mut fields) = read else {
        return Err(unknown_state("GetSchedule"));
    };
    for key in NOT_WRITTEN_BACK {
        fields.remove(key);
    }
    if time_of(&fields.get("StartDate").cloned().unwrap_or_default()).is_some_and(|at| at <= now) {
        fields.remove("StartDate");
    }
    let state = if on { "ENABLED" } else { "DISABLED" };
    fields.insert("State".to_owned(), Value::from(state));
    if let Some(group) = group {
        fields.insert("GroupName".to_owned(), Value::from(group.as_str()));
    }
    Ok(Value::Object(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_a_schedule_is_written_back_but_those_that_aws_sets() {
        let read = json!({
            "Arn": "arn:aws:scheduler:eu-west-1:1:schedule/default/nightly", "Name": "nightly",
            "CreationDate": 1.7e9, "LastModificationDate": 1.7e9, "GroupName": "default",
            "State": "ENABLED", "ScheduleExpression": "cron(0 3 * * ? *)",
            "ScheduleExpressionTimezone": "Asia/Tokyo", "EndDate": 1.8e9, "KmsKeyArn": "arn:k",
            "FlexibleTimeWindow": { "Mode": "FLEXIBLE", "MaximumWindowInMinutes": 5 },
            "ActionAfterCompletion": "NONE", "Target": { "Arn": "a", "RoleArn": "r", "Input": "{}" },
            "OfAYearToCome": [1, { "x": null }],
        });
        let now = Timestamp::from_second(1_750_000_000).unwrap();
        let written = with_state(read.clone(), false, None, now).unwrap();
        for (key, value) in read.as_object().unwrap() {
            match key.as_str() {
                "State" => assert_eq!(written[key], "DISABLED"),
                key if NOT_WRITTEN_BACK.contains(&key) => assert!(written.get(key).is_none()),
                key => assert_eq!(&written[key], value, "{key}"),
            }
        }
    }

    #[test]
    fn a_schedule_may_start_as_late_as_its_window_says() {
        let look = |window: Value| {
            let read = json!({
                "State": "ENABLED", "ScheduleExpression": "cron(0 3 * * ? *)", "FlexibleTimeWindow": window,
            });
            let now = Timestamp::from_second(1_750_000_000).unwrap();
            schedule_look(&read, now).unwrap().firing.unwrap().spread
        };
        let flexible = json!({ "Mode": "FLEXIBLE", "MaximumWindowInMinutes": 30 });
        assert_eq!(look(flexible), SignedDuration::from_mins(30));
        assert_eq!(look(json!({ "Mode": "OFF" })), SignedDuration::ZERO);
    }

    #[test]
    fn a_start_date_that_is_past_is_left_out() {
        let now = Timestamp::from_second(1_750_000_000).unwrap();
        let read = |at: Value| json!({ "State": "ENABLED", "StartDate": at, "ScheduleExpression": "rate(1 hour)" });
        for past in [json!(1.7e9), json!(1_700_000_000), json!(1_749_999_999.5)] {
            let written = with_state(read(past), false, None, now).unwrap();
            assert!(written.get("StartDate").is_none(), "{written}");
        }
        let written = with_state(read(json!(1.8e9)), false, None, now).unwrap();
        assert_eq!(written["StartDate"], json!(1.8e9));
    }

    #[test]
    fn what_never_fires_again_says_so() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let over = |expression: &str, zone: &str, end: Value| {
            let read = json!({
                "State": "DISABLED", "ScheduleExpression": expression, "ScheduleExpressionTimezone": zone, "EndDate": end,
            });
            schedule_look(&read, now).unwrap().over
        };
        let none = Value::Null;
        let past = over("cron(0 3 * * ? *)", "UTC", json!(1.7e9)).unwrap();
        assert!(past.contains("EndDate 2023-11-14"), "{past}");
        assert_eq!(over("cron(0 3 * * ? *)", "UTC", json!(1.9e9)), None);
        assert!(over("at(2026-11-21T09:00:00)", "UTC", none.clone()).is_some());
        assert_eq!(
            over("at(2026-11-21T09:00:00)", "America/New_York", none.clone()),
            None
        );
        assert!(over("cron(0 3 * * ? 2020)", "UTC", none.clone()).is_some());
        assert_eq!(over("rate(5 minutes)", "UTC", none), None);
        let rule =
            json!({ "State": "DISABLED", "ScheduleExpression": "cron(0 3 1 1 ? 2024-2026)" });
        assert!(rule_look(&rule, now).unwrap().over.is_some());
    }

    #[test]
    fn texts_that_are_longer_than_any_of_aws_are_not_kept_whole() {
        let (now, long) = (
            Timestamp::from_second(1_750_000_000).unwrap(),
            "x".repeat(100_000),
        );
        let rule = json!({ "State": "ENABLED", "ManagedBy": long, "ScheduleExpression": long });
        let look = rule_look(&rule, now).unwrap();
        assert!(look.unfit.unwrap().len() < 200);
        assert_eq!(look.firing.unwrap().expression.len(), 256);
        let schedule = json!({ "ScheduleExpression": long, "ScheduleExpressionTimezone": long });
        let firing = schedule_look(&schedule, now).unwrap().firing.unwrap();
        assert_eq!(
            (firing.expression.len(), firing.zone.unwrap().len()),
            (256, 50)
        );
    }

    #[test]
    fn a_rule_that_cannot_be_switched_back_is_refused() {
        let now = Timestamp::from_second(1_750_000_000).unwrap();
        let look = |read: Value| rule_look(&read, now);
        assert!(look(json!({ "State": "DISABLED" })).is_ok_and(|look| !look.on));
        let all = look(json!({ "State": "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS" }));
        assert!(all.is_ok_and(|look| look.on && look.unfit.is_some()));
        let managed = json!({ "State": "ENABLED", "ManagedBy": "ecs.amazonaws.com" });
        assert!(look(managed).is_ok_and(|look| look.unfit.is_some()));
        assert!(look(json!({})).is_err());
    }
}
