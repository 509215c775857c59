//! IAM, as far as the policies that the program prints need it: what a call asks for, and whether a policy allows that.

use std::collections::{BTreeMap, BTreeSet};

use cutover::ports::ChangeAction;
use serde_json::Value;

use super::route53_door::parameters;
use super::route53_records::read_batch;
use super::server::Call;
use super::switch_door::{rule_of, schedule_of};
use super::xml::Element;

/// The account that the server stands for.
const ACCOUNT: &str = "111111111111";

/// What IAM is asked for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Authorization {
    /// For example `route53:GetChange`.
    pub(crate) action: String,
    /// The ARN of the resource; `*` if the action has none, or needs all.
    pub(crate) resource: String,
    /// The condition keys of the request.
    pub(crate) keys: BTreeMap<String, BTreeSet<String>>,
}

impl Authorization {
    pub(crate) fn new(action: &str, resource: &str) -> Self {
        Self {
            action: action.to_owned(),
            resource: resource.to_owned(),
            keys: BTreeMap::new(),
        }
    }

    /// Adds a value of a condition key.
    #[must_use]
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        let values = self.keys.entry(key.to_owned()).or_default();
        values.insert(value.to_owned());
        self
    }
}

/// What IAM is asked for a call; empty if the call needs no permission.
pub(crate) fn asked(call: &Call) -> Vec<Authorization> {
    let operation = call.operation.as_str();
    let action = format!("{}:{operation}", service(call.service));
    let place = format!("{}:{ACCOUNT}", call.signer.region);
    match (call.service, operation) {
        ("route53", "ChangeResourceRecordSets") => vec![change(call)],
        ("route53", "ListHostedZonesByName") | ("monitoring", _) => {
            // Alarms are asked for with composite ones, which need every resource.
            vec![Authorization::new(&action, "*")]
        }
        ("route53", "GetChange") => vec![Authorization::new(&action, &route53_arn(call, "change"))],
        ("route53", "GetHostedZone" | "ListResourceRecordSets") => {
            vec![Authorization::new(
                &action,
                &route53_arn(call, "hostedzone"),
            )]
        }
        ("sts", "GetCallerIdentity") => Vec::new(),
        ("sts", "AssumeRole") => vec![Authorization::new(&action, &form(call, "RoleArn"))],
        ("sns", "Publish") => vec![Authorization::new(&action, &form(call, "TopicArn"))],
        ("events", _) => {
            let (bus, name) = rule_of(&call.request.body);
            let path = if bus == "default" {
                name
            } else {
                format!("{bus}/{name}")
            };
            let arn = format!("arn:aws:events:{place}:rule/{path}");
            vec![Authorization::new(&action, &arn)]
        }
        ("scheduler", _) => {
            let (group, name) = schedule_of(&call.request);
            let arn = format!("arn:aws:scheduler:{place}:schedule/{group}/{name}");
            let mut all = vec![Authorization::new(&action, &arn)];
            let body: Value = serde_json::from_slice(&call.request.body).unwrap_or_default();
            if let Some(role) = body["Target"]["RoleArn"].as_str() {
                let pass = Authorization::new("iam:PassRole", role);
                all.push(pass.with("iam:PassedToService", "scheduler.amazonaws.com"));
            }
            all
        }
        (service, other) => panic!("nobody knows what {service}:{other} asks IAM for"),
    }
}

/// The service as IAM names it.
fn service(of: &str) -> &str {
    match of {
        "monitoring" => "cloudwatch",
        other => other,
    }
}

/// The ARN of what the path names: `/2013-04-01/KIND/ID/…`.
fn route53_arn(call: &Call, kind: &str) -> String {
    let mut parts = call.request.path.split('/').filter(|part| !part.is_empty());
    let id = parts.nth(2).unwrap_or_default();
    format!("arn:aws:route53:::{kind}/{id}")
}

fn form(call: &Call, field: &str) -> String {
    let body = String::from_utf8_lossy(&call.request.body);
    let mut fields = parameters(&body);
    fields.remove(field).unwrap_or_default()
}

fn change(call: &Call) -> Authorization {
    let body = String::from_utf8_lossy(&call.request.body);
    let document = Element::parse(&body).expect("a document");
    let batch = read_batch(&document).expect("a batch");
    let arn = route53_arn(call, "hostedzone");
    let mut asked = Authorization::new("route53:ChangeResourceRecordSets", &arn);
    for change in &batch.changes {
        let action = match change.action {
            ChangeAction::Create => "CREATE",
            ChangeAction::Delete => "DELETE",
            ChangeAction::Upsert => "UPSERT",
        };
        let name = change.record.name.to_ascii_lowercase();
        asked = asked
            .with(RECORD_NAMES, name.trim_end_matches('.'))
            .with(RECORD_TYPES, &change.record.record_type)
            .with(RECORD_ACTIONS, action);
    }
    asked
}

/// The condition keys of a change.
pub(crate) const RECORD_NAMES: &str = "route53:ChangeResourceRecordSetsNormalizedRecordNames";
pub(crate) const RECORD_TYPES: &str = "route53:ChangeResourceRecordSetsRecordTypes";
pub(crate) const RECORD_ACTIONS: &str = "route53:ChangeResourceRecordSetsActions";

/// Whether a policy allows it. The policy must have nothing but statements that allow, and conditions that are known here.
pub(crate) fn allows(policy: &Value, asked: &Authorization) -> bool {
    let statements = policy["Statement"].as_array().expect("statements");
    statements.iter().any(|statement| {
        assert_eq!(statement["Effect"], "Allow");
        fits(&statement["Action"], &asked.action)
            && fits(&statement["Resource"], &asked.resource)
            && holds(&statement["Condition"], asked)
    })
}

/// The texts of an element: one, or a list.
pub(crate) fn texts(element: &Value) -> Vec<&str> {
    match element {
        Value::String(text) => vec![text],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        other => panic!("neither a text nor a list: {other}"),
    }
}

fn fits(patterns: &Value, text: &str) -> bool {
    fits_one(&texts(patterns), text)
}

fn fits_one(patterns: &[&str], text: &str) -> bool {
    let mut patterns = patterns.iter();
    patterns.any(|pattern| is_like(pattern.as_bytes(), text.as_bytes()))
}

/// Whether all conditions of a statement hold.
fn holds(conditions: &Value, asked: &Authorization) -> bool {
    let Some(operators) = conditions.as_object() else {
        assert!(conditions.is_null(), "{conditions}");
        return true;
    };
    for (operator, keys) in operators {
        for (key, wanted) in keys.as_object().expect("keys") {
            if !is_met(operator, &texts(wanted), asked.keys.get(key)) {
                return false;
            }
        }
    }
    true
}

/// Whether one condition holds for the values of its key; none if the request does not have the key.
fn is_met(operator: &str, wanted: &[&str], values: Option<&BTreeSet<String>>) -> bool {
    if operator == "Null" {
        return wanted == [if values.is_none() { "true" } else { "false" }];
    }
    let mut values = values.into_iter().flatten();
    match operator {
        "StringEquals" => values.any(|value| wanted.contains(&value.as_str())),
        // Both are true of a request without the key.
        "ForAllValues:StringEquals" => values.all(|value| wanted.contains(&value.as_str())),
        "ForAllValues:StringLike" => values.all(|value| fits_one(wanted, value)),
        other => panic!("the condition operator {other} is not known"),
    }
}

/// Whether a text is like a pattern, in which `*` stands for any text and `?` for any character.
fn is_like(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), None) => is_like(rest, text),
        (Some((b'*', rest)), Some((_, tail))) => is_like(rest, text) || is_like(pattern, tail),
        (None, Some(_)) | (Some(_), None) => false,
        (Some((wanted, rest)), Some((found, tail))) => {
            (*wanted == b'?' || wanted == found) && is_like(rest, tail)
        }
    }
}
