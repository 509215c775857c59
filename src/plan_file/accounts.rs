//! Alarms in other accounts than the plan's: named by their ARN, or read with a role of their own.

use std::collections::BTreeMap;

use crate::engine::account::{Account, number_of_arn};
use crate::engine::plan::AwsSettings;
use crate::engine::units::AlarmId;

use super::diagnostics::{Sink, Span, quote};

/// An alarm as a plan names it.
pub(super) struct NamedAlarm {
    /// Its name, or its ARN.
    pub(super) name: String,
    /// Its own region, or else the plan's.
    pub(super) region: Option<String>,
    /// Its own role.
    pub(super) role_arn: Option<String>,
    /// The external ID that the role requires.
    pub(super) external_id: Option<String>,
}

/// The alarm's identity. The role with which its account is read is kept in the plan's settings.
pub(super) fn alarm_id(
    named: NamedAlarm,
    aws: &mut AwsSettings,
    span: &Span,
    sink: &mut Sink<'_>,
) -> Option<AlarmId> {
    let (mut bare, mut region) = (named.name.as_str(), named.region.clone());
    let mut number = None;
    if let Some((head, name)) = named.name.split_once(":alarm:") {
        let parts: Vec<&str> = head.split(':').collect();
        let ["arn", _, "cloudwatch", place, of_arn] = parts.as_slice() else {
            let message = format!("{} is not the ARN of an alarm", quote(&named.name));
            let help = "write for example `arn:aws:cloudwatch:eu-west-1:111111111111:alarm:api-5xx`, or the alarm's name alone";
            sink.error(span, message, help);
            return None;
        };
        bare = name;
        number = Some((*of_arn).to_owned());
        if !place.is_empty() {
            region = Some((*place).to_owned());
        }
    }
    let of_role = named.role_arn.as_deref().and_then(number_of_arn);
    if named.role_arn.is_none() {
        refuse_lone_external_id(named.external_id.as_deref(), span, sink);
    }
    match (number.as_deref(), of_role) {
        (Some(number), Some(of_role)) if number != of_role => {
            let message = format!(
                "the alarm is in account {number}, but `role_arn` is a role of account {of_role}"
            );
            let help = format!("name a role of account {number}");
            sink.error(span, message, &help);
            return None;
        }
        (Some(_) | None, Some(_) | None) => {}
    }
    let number = of_role.map(str::to_owned).or(number);
    let plans = aws.account.number();
    let of_plan = AlarmId {
        region: region.clone(),
        name: bare.to_owned(),
    };
    let Some(number) = number else {
        return Some(of_plan);
    };
    if Some(number.as_str()) == plans && named.role_arn.is_none() {
        return Some(of_plan);
    }
    if let Some(role_arn) = named.role_arn {
        let account = Account::new(Some(role_arn), named.external_id, region.as_deref());
        let known = aws.others.get(&number);
        if known.is_some_and(|known| *known != account) {
            let message = format!("alarms of account {number} are read with two different roles");
            let help = "give all alarms of one account the same `role_arn` and `external_id`";
            sink.error(span, message, help);
        }
        aws.others.insert(number.clone(), account);
    }
    Some(AlarmId::in_account(&number, region.as_deref(), bare))
}

/// The account of a side's or record's own role; none means the plan's.
pub(super) fn of_role(
    role_arn: Option<String>,
    external_id: Option<String>,
    region: Option<&str>,
    span: &Span,
    sink: &mut Sink<'_>,
) -> Option<Account> {
    if role_arn.is_none() {
        refuse_lone_external_id(external_id.as_deref(), span, sink);
        return None;
    }
    Some(Account::new(role_arn, external_id, region))
}

/// Refuses an external ID without a role.
fn refuse_lone_external_id(external_id: Option<&str>, span: &Span, sink: &mut Sink<'_>) {
    if external_id.is_some() {
        let message = "`external_id` means nothing without `role_arn`";
        sink.error(span, message, "add `role_arn`, or remove `external_id`");
    }
}

/// Reports alarms in another account for which no role is given.
pub(super) fn require_roles<K>(
    alarms: &BTreeMap<AlarmId, (Span, K)>,
    aws: &AwsSettings,
    sink: &mut Sink<'_>,
) {
    for (alarm, (span, _)) in alarms {
        let Some(number) = alarm.account_number() else {
            continue;
        };
        if aws.others.contains_key(number) {
            continue;
        }
        let help = format!(
            "add `role_arn: arn:aws:iam::{number}:role/NAME`, a role of that account that may read alarms"
        );
        if let Some(own) = aws.account.number() {
            let message = format!(
                "the alarm is in account {number}, but the plan's `role_arn` is of account {own}: it cannot be read"
            );
            sink.error(span, message, &help);
        } else {
            let message = format!(
                "the alarm is in account {number}, but has no role: it can be read only if the credentials are of that account"
            );
            sink.warning(span, message, &help);
        }
    }
}
