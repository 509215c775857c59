//! EventBridge rules and schedules of EventBridge Scheduler, as switches.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use serde_json::json;

use super::config::AwsClients;
use super::signed::Body;
use super::signed::Call;
use super::signed::Signed;
use crate::engine::event::FailureClass;
use crate::engine::jobs::Firing;
use crate::engine::jobs::HalfLook;
use crate::engine::jobs::JobHalf;
use crate::engine::plan::AwsSettings;
use crate::ports::CallError;
use crate::ports::Clock;
use crate::ports::Jobs;

/// What an answer of `GetSchedule` has that `UpdateSchedule` does not take. Everything else is written back as it was
/// read, unknown fields too: `UpdateSchedule` resets what it is not told to its default. Source: EventBridge Scheduler
/// API Reference, `UpdateSchedule`.
const NOT_WRITTEN_BACK: [&str; 4] = ["Arn", "CreationDate", "LastModificationDate", "Name"];

/// Rules and schedules.
#[derive(Clone)]
pub struct EventJobs {
    signed: Signed,
}

impl fmt::Debug for EventJobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventJobs").finish_non_exhaustive()
    }
}

impl EventJobs {
    pub(super) fn new(clients: Arc<AwsClients>, clock: Arc<dyn Clock>) -> Self {
        Self {
            signed: Signed::new(clients, clock),
        }
    }

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
                rule_look(&read.await?)
            }
            JobHalf::Schedule {
                name,
                group,
                region,
                ..
            } => {
                let read = self.get_schedule(aws, region.as_ref(), name, group.as_ref());
                schedule_look(&read.await?)
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
                    // A read that fails has changed nothing.
                    .map_err(|mut error| {
                        if error.class == FailureClass::Transient {
                            error.class = FailureClass::Throttled;
                        }
                        error
                    })?;
                let body = with_state(read, on, group.as_ref())?;
                let path = format!("/schedules/{name}");
                let operation = "UpdateSchedule";
                let done = self.schedules(aws, region.as_ref(), operation, "PUT", &path, body);
                done.await.map(drop)
            }
            JobHalf::CronJob { .. } | JobHalf::Command { .. } => Err(not_ours()),
        }
    }
}

fn not_ours() -> CallError {
    CallError::new("Jobs", FailureClass::Permanent, "that job is not AWS's")
}

fn rule(name: &str, bus: Option<&String>) -> Value {
    match bus {
        Some(bus) => json!({ "Name": name, "EventBusName": bus }),
        None => json!({ "Name": name }),
    }
}

fn strange(operation: &'static str) -> CallError {
    let message = "the answer has no state that is known";
    CallError::new(operation, FailureClass::Permanent, message)
}

fn rule_look(read: &Value) -> Result<HalfLook, CallError> {
    let state = read["State"].as_str().unwrap_or_default();
    let unfit = match (state, read["ManagedBy"].as_str()) {
        (_, Some(owner)) => Some(format!("it belongs to {owner}, which switches it itself")),
        ("ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS", None) => Some(
            "its state is ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS, which EnableRule would not bring back"
                .to_owned(),
        ),
        (_, None) => None,
    };
    let on = match state {
        "DISABLED" => false,
        state if state.starts_with("ENABLED") => true,
        _ => return Err(strange("DescribeRule")),
    };
    Ok(HalfLook {
        on,
        unfit,
        running: None,
        firing: firing(&read["ScheduleExpression"], &Value::Null),
    })
}

fn schedule_look(read: &Value) -> Result<HalfLook, CallError> {
    let on = match read["State"].as_str() {
        // Without it a schedule is enabled. Source: EventBridge Scheduler API Reference, `State`.
        Some("ENABLED") | None if read.is_object() => true,
        Some("DISABLED") => false,
        Some(_) | None => return Err(strange("GetSchedule")),
    };
    let zone = &read["ScheduleExpressionTimezone"];
    Ok(HalfLook {
        on,
        unfit: None,
        running: None,
        firing: firing(&read["ScheduleExpression"], zone),
    })
}

fn firing(expression: &Value, zone: &Value) -> Option<Firing> {
    Some(Firing {
        expression: expression.as_str()?.to_owned(),
        zone: zone.as_str().map(str::to_owned),
        catch_up: None,
    })
}

/// The schedule as it was read, with another state.
fn with_state(read: Value, on: bool, group: Option<&String>) -> Result<Value, CallError> {
    let Value::Object(mut fields) = read else {
        return Err(strange("GetSchedule"));
    };
    for key in NOT_WRITTEN_BACK {
        fields.remove(key);
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
        let written = with_state(read.clone(), false, None).unwrap();
        for (key, value) in read.as_object().unwrap() {
            match key.as_str() {
                "State" => assert_eq!(written[key], "DISABLED"),
                key if NOT_WRITTEN_BACK.contains(&key) => assert!(written.get(key).is_none()),
                key => assert_eq!(&written[key], value, "{key}"),
            }
        }
    }

    #[test]
    fn a_rule_that_cannot_be_switched_back_is_refused() {
        let look = |read: Value| rule_look(&read);
        assert!(look(json!({ "State": "DISABLED" })).is_ok_and(|look| !look.on));
        let all = look(json!({ "State": "ENABLED_WITH_ALL_CLOUDTRAIL_MANAGEMENT_EVENTS" }));
        assert!(all.is_ok_and(|look| look.on && look.unfit.is_some()));
        let managed = json!({ "State": "ENABLED", "ManagedBy": "ecs.amazonaws.com" });
        assert!(look(managed).is_ok_and(|look| look.unfit.is_some()));
        assert!(look(json!({})).is_err());
    }
}
