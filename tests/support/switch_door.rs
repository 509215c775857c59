//! The parts of EventBridge, Scheduler and SNS that the program calls: rules and schedules that are on or off, and `Publish`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::cloudwatch_door::Reply;
use super::route53_door::{Incoming, parameters};

/// The text before the operation's name in the header `x-amz-target`.
pub(crate) const RULES_TARGET: &str = "AWSEvents.";
/// The one operation of SNS.
pub(crate) const PUBLISH: &str = "Publish";
const SCHEDULES_PATH: &str = "/schedules/";
/// The bus and the group if a request names none.
const DEFAULT: &str = "default";
/// It never fires within a test.
const EXPRESSION: &str = "cron(0 0 1 1 ? 2199)";

/// Rules by bus and name, and schedules by group and name, as they are read.
#[derive(Default)]
pub(crate) struct Switches {
    rules: BTreeMap<(String, String), Value>,
    schedules: BTreeMap<(String, String), Value>,
}

impl Switches {
    /// Adds a rule of the default bus, which is on.
    pub(crate) fn add_rule(&mut self, name: &str) {
        let rule = json!({ "Name": name, "State": "ENABLED", "ScheduleExpression": EXPRESSION });
        let key = (DEFAULT.to_owned(), name.to_owned());
        self.rules.insert(key, rule);
    }

    /// Adds a schedule of the default group, which is off and starts its target with this role.
    pub(crate) fn add_schedule(&mut self, name: &str, role_arn: &str) {
        let schedule = json!({
            "Name": name,
            "GroupName": DEFAULT,
            "State": "DISABLED",
            "ScheduleExpression": EXPRESSION,
            "FlexibleTimeWindow": { "Mode": "OFF" },
            "Target": { "Arn": "arn:aws:lambda:eu-west-1:111111111111:function:x", "RoleArn": role_arn },
        });
        let key = (DEFAULT.to_owned(), name.to_owned());
        self.schedules.insert(key, schedule);
    }

    /// The states of all rules and schedules, rules first.
    pub(crate) fn states(&self) -> Vec<&str> {
        let all = self.rules.values().chain(self.schedules.values());
        all.filter_map(|one| one["State"].as_str()).collect()
    }
}

/// The operation that a method and a path ask Scheduler for.
pub(crate) fn schedules_operation(method: &str, path: &str) -> Option<&'static str> {
    path.strip_prefix(SCHEDULES_PATH)?;
    match method {
        "GET" => Some("GetSchedule"),
        "PUT" => Some("UpdateSchedule"),
        _ => None,
    }
}

/// The group and the name of the schedule that a request is about.
pub(crate) fn schedule_of(incoming: &Incoming) -> (String, String) {
    let name = incoming.path.strip_prefix(SCHEDULES_PATH);
    let body: Value = serde_json::from_slice(&incoming.body).unwrap_or_default();
    let query = parameters(&incoming.query);
    let asked = query.get("groupName").map(String::as_str);
    let group = asked.or(body["GroupName"].as_str()).unwrap_or(DEFAULT);
    (group.to_owned(), name.unwrap_or_default().to_owned())
}

/// The bus and the name of the rule that a request is about.
pub(crate) fn rule_of(body: &[u8]) -> (String, String) {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let bus = body["EventBusName"].as_str().unwrap_or(DEFAULT);
    let name = body["Name"].as_str().unwrap_or_default();
    (bus.to_owned(), name.to_owned())
}

/// Answers a request about a rule.
pub(crate) fn handle_rules(model: &mut Switches, operation: &str, body: &[u8]) -> Reply {
    let Some(rule) = model.rules.get_mut(&rule_of(body)) else {
        return failure(400, "ResourceNotFoundException", "there is no such rule");
    };
    match operation {
        "DescribeRule" => return reply(200, rule),
        "EnableRule" => rule["State"] = json!("ENABLED"),
        "DisableRule" => rule["State"] = json!("DISABLED"),
        other => return failure(400, "UnknownOperationException", other),
    }
    reply(200, &json!({}))
}

/// Answers a request about a schedule. An update replaces all of it.
pub(crate) fn handle_schedules(model: &mut Switches, incoming: &Incoming) -> Reply {
    let key = schedule_of(incoming);
    let Some(schedule) = model.schedules.get_mut(&key) else {
        return failure(
            404,
            "ResourceNotFoundException",
            "there is no such schedule",
        );
    };
    if incoming.method == "GET" {
        return reply(200, schedule);
    }
    let Ok(mut new) = serde_json::from_slice::<Value>(&incoming.body) else {
        return failure(400, "ValidationException", "the body is no JSON");
    };
    new["Name"] = json!(key.1);
    *schedule = new;
    reply(
        200,
        &json!({ "ScheduleArn": "arn:aws:scheduler:eu-west-1:111111111111:schedule/x" }),
    )
}

/// The answer to `Publish`.
pub(crate) fn published() -> Reply {
    Reply::xml(200, b"<PublishResponse/>".to_vec())
}

/// An error of EventBridge or Scheduler.
pub(crate) fn failure(status: u16, code: &str, message: &str) -> Reply {
    reply(status, &json!({ "__type": code, "message": message }))
}

fn reply(status: u16, body: &Value) -> Reply {
    Reply {
        status,
        headers: vec![("content-type", "application/json".to_owned())],
        body: body.to_string().into_bytes(),
    }
}
