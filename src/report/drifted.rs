//! The words for drift, and for what an abandoned cutover leaves.

use super::text;
use crate::engine::drifted::{Adoption, Astray, Found, SetWeight};
use crate::engine::event::{AdoptedEnd, LeftBehind};
use crate::engine::lists::some;
use crate::engine::record::GroupName;

/// Describes drift: the groups, with the expected and found weights if they are known.
pub(super) fn drift(groups: &[GroupName], found: &[Astray]) -> String {
    if found.is_empty() {
        let groups: Vec<String> = groups.iter().map(GroupName::to_string).collect();
        return format!("{} drifted", some(&groups, ", "));
    }
    let mut shown = Vec::new();
    for one in found {
        shown.push(format!("{} drifted: {}", one.group, difference(one)));
    }
    some(&shown, "; ")
}

/// Describes one group that drifted: what was expected, and what was found.
pub fn astray(astray: &Astray) -> String {
    format!("{}: {}", astray.group, difference(astray))
}

/// Returns the difference in the form `expected 75/25 (old/new), found 75/77`.
fn difference(astray: &Astray) -> String {
    let Astray {
        expected, found, ..
    } = astray;
    let there = match found {
        Found::Both { weights, changed } if changed.is_empty() => weights.to_string(),
        Found::Both { weights, changed } if weights == expected => {
            format!("the same weights, but another {}", some(changed, ", "))
        }
        Found::Both { weights, changed } => {
            format!("{weights}, and another {}", some(changed, ", "))
        }
        Found::Gone { missing, there, .. } => {
            format!("{} gone, {}", in_backticks(missing), members(there))
        }
        Found::Unweighted { policy, target, .. } if policy == "simple" => {
            format!("a simple record (no weights) that leads to {target}")
        }
        Found::Unweighted { policy, target, .. } => {
            format!("a record of another routing policy ({policy}) that leads to {target}")
        }
    };
    format!("expected {expected} (old/new), found {there}")
}

/// Returns the names in backticks, joined by "and".
fn in_backticks(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    some(&names, " and ")
}

fn members(there: &[SetWeight]) -> String {
    if there.is_empty() {
        return "no record left".to_owned();
    }
    let mut all = Vec::new();
    for record in there {
        all.push(format!(
            "`{}` with weight {}",
            record.set_identifier, record.weight.0
        ));
    }
    some(&all, ", ")
}

/// Returns what a person can do about drift of an unfinished cutover that is not going back.
pub(super) fn remedy(found: &[Astray], adoption: Adoption, name: &str, zone: &str) -> String {
    let mut ways = Vec::new();
    match adoption {
        Adoption::GoesOn => ways.push(format!(
            "restore the records by hand, or accept them as they are: `cutover adopt-drift {name} --reason …`"
        )),
        Adoption::Completes => ways.push(format!(
            "only the new side is left: complete the cutover as it is, with no way back: `cutover adopt-drift {name} \
             --reason …`"
        )),
        Adoption::Refused => {}
    }
    ways.push(back_or_leave(found, name, zone));
    if ways.len() == 1 {
        return format!("restore the records by hand, or {}", ways.concat());
    }
    ways.join(", or ")
}

/// Returns how to roll everything back over the drift, and how to end the cutover as it is.
pub(super) fn back_or_leave(found: &[Astray], name: &str, zone: &str) -> String {
    let leave =
        format!("end the cutover here and write nothing: `cutover abandon {name} --reason …`");
    for astray in found {
        if let Found::Unweighted { policy, .. } = &astray.found {
            let what = if policy == "simple" {
                "simple"
            } else {
                "other"
            };
            return format!(
                "{leave} (no weighted record can be written beside the {what} record: `cutover rollback {name} --force` \
                 works only after that record is deleted: {})",
                deletion(zone, &astray.group)
            );
        }
    }
    let back = match recreates(found).as_slice() {
        [] => format!("roll everything back: `cutover rollback {name} --force`"),
        gone => format!(
            "roll everything back: `cutover rollback {name} --force` {}",
            some(gone, "; ")
        ),
    };
    format!("{back}, or {leave}")
}

/// Returns the command that deletes a record beside which no weighted record can be written. Until the weighted records
/// exist again, the name has no answer.
pub fn deletion(zone: &str, group: &GroupName) -> String {
    // Route 53 lists an asterisk as its octal code.
    let name = group.name.as_str().replace('*', "\\052");
    let kind = &group.record_type;
    let found = format!(
        "aws route53 list-resource-record-sets --hosted-zone-id {zone} --output json --query \"{{Changes: \
         ResourceRecordSets[?Name=='{name}.' && Type=='{kind}'].{{Action: 'DELETE', ResourceRecordSet: @}}}}\""
    );
    format!(
        "`aws route53 change-resource-record-sets --hosted-zone-id {zone} --change-batch \"$({found})\"`"
    )
}

/// Returns a line for each group with missing records: the records that a forced rollback would create again, and where
/// the traffic then goes. Empty if no record is missing.
pub fn recreates(found: &[Astray]) -> Vec<String> {
    let mut all = Vec::new();
    for astray in found {
        if let Found::Gone {
            missing,
            force_leads_to,
            ..
        } = &astray.found
        {
            let group = &astray.group;
            all.push(format!(
                "creates {} of {group} again; all traffic of {group} then goes to {force_leads_to}",
                in_backticks(missing)
            ));
        }
    }
    all
}

/// Describes a cutover that a person completed as it was found.
pub(super) fn completed(adopted: &AdoptedEnd) -> String {
    let found: Vec<String> = adopted.found.iter().map(astray).collect();
    format!(
        "completed as found, with no way back: {} ({})",
        text::reason(&adopted.reason),
        some(&found, "; ")
    )
}

/// Describes a cutover that a person abandoned.
pub(super) fn abandoned(reason: &str, left: &[LeftBehind]) -> String {
    let left: Vec<String> = left.iter().map(behind).collect();
    let left = if left.is_empty() {
        "nothing of it is left in Route 53".to_owned()
    } else {
        format!("left as it is: {}", some(&left, "; "))
    };
    let reason = text::reason(reason);
    format!("abandoned, nothing more is written: {reason}; {left}")
}

/// Describes one thing that an abandoned cutover leaves.
fn behind(left: &LeftBehind) -> String {
    match left {
        LeftBehind::Weights { group, weights } => format!("{group} at {weights} (old/new)"),
        LeftBehind::Changed { astray: found } => astray(found),
        LeftBehind::Write { step, until } => format!(
            "a write of step {step} that may still land until {}",
            text::second(*until)
        ),
        LeftBehind::Revert {} => {
            "the unfinished revert, one of whose writes may still land within a minute".to_owned()
        }
        LeftBehind::Jobs { jobs, on } => {
            let place = match on {
                Some(side) => format!("on the {side} side"),
                None => "between the sides".to_owned(),
            };
            format!("{} {place}", jobs_named(jobs))
        }
        LeftBehind::Hook { hook } => format!("{hook}, called but not answered"),
    }
}

/// Returns the jobs with a noun: `job nightly-bill`, or `jobs a, b`.
pub(super) fn jobs_named(jobs: &[String]) -> String {
    let noun = if jobs.len() == 1 { "job" } else { "jobs" };
    format!("{noun} {}", some(jobs, ", "))
}
