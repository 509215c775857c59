//! Checks of the records in Route 53 before a start (semantics B2, L12).

use super::around::{self, Around, AroundReading};
use super::drifted::{other_policy, target, unweighted};
use super::hold::HoldReason;
use super::lists;
use super::observation::{GroupReading, Observation};
use super::plan::{Group, Plan};
use super::record::{GroupImage, RecordSet};
use super::state::State;
use super::units::{WeightPair, ZoneId};

/// Returns the images of all groups, in the plan's order, if the start is not refused.
///
/// # Errors
/// All reasons why the start is refused, and all groups that cannot be read. The list may be empty if groups were not
/// read yet.
pub fn images(
    state: &State,
    observation: &Observation,
) -> Result<Vec<GroupImage>, Vec<HoldReason>> {
    let as_is = observation.baseline_as_is.is_some();
    let mut problems = claims(state.plan(), observation);
    let mut found = Vec::new();
    let mut around_read = true;
    for (index, group) in state.plan().records.iter().enumerate() {
        let baseline = state.baseline.as_ref().and_then(|images| images.get(index));
        match observation
            .groups
            .get(index)
            .map(|reading| read_image(group, reading))
        {
            None => {}
            Some(Err(reason)) => problems.extend(reason),
            Some(Ok(image)) => {
                match around_of(group, index, observation) {
                    Ok(around) => {
                        let seen = (group, &image, around);
                        problems.extend(refusals(state.plan(), seen, baseline, as_is));
                    }
                    Err(reason) => {
                        around_read = false;
                        problems.extend(reason);
                    }
                }
                found.push((group, image));
            }
        }
    }
    problems.extend(twice(&found));
    let complete = found.len() == state.plan().records.len();
    if problems.is_empty() && complete && around_read {
        Ok(found.into_iter().map(|(_, image)| image).collect())
    } else {
        Err(problems)
    }
}

/// Returns the records around a group. `None` in a process that never starts cutovers, and so does not read them.
///
/// # Errors
/// The hold, if they cannot be read. `None` if they were not read yet, or if the call was denied, which is a hold of
/// its own.
fn around_of<'a>(
    group: &Group,
    index: usize,
    observation: &'a Observation,
) -> Result<Option<&'a Around>, Option<HoldReason>> {
    match observation.around.get(index) {
        None => Ok(None),
        Some(AroundReading::Read(around)) => Ok(Some(around.as_ref())),
        Some(
            AroundReading::NotRead
            | AroundReading::Unreadable {
                denied: Some(_), ..
            },
        ) => Err(None),
        Some(AroundReading::Unreadable {
            message,
            denied: None,
        }) => Err(Some(HoldReason::Route53Unreadable {
            group: group.name.clone(),
            message: format!("its surroundings: {message}"),
        })),
    }
}

/// Returns the image of a group from its reading.
///
/// # Errors
/// The hold, if the group cannot be read or a member is missing. `None` if the group was not read, if the call was
/// denied (a hold of its own), or if the records are those of an earlier plan.
pub fn read_image(group: &Group, reading: &GroupReading) -> Result<GroupImage, Option<HoldReason>> {
    match reading {
        // A denied call is a hold of its own.
        GroupReading::NotRead
        | GroupReading::Unreadable {
            denied: Some(_), ..
        } => Err(None),
        GroupReading::Unreadable {
            message,
            permanent: true,
            ..
        } => Err(Some(refusal(group, message.clone()))),
        GroupReading::Unreadable { message, .. } => Err(Some(HoldReason::Route53Unreadable {
            group: group.name.clone(),
            message: message.clone(),
        })),
        // The records were read for an earlier version of the plan.
        GroupReading::Read { members, .. } if members.iter().any(|it| !it.is_of(&group.name)) => {
            Err(None)
        }
        GroupReading::Read { zone, members, .. } => match image_of(group, zone, members) {
            Some(image) => Ok(image),
            None => Err(Some(refusal(group, missing(group, members)))),
        },
    }
}

/// Returns a hold that refuses the start because of one group.
fn refusal(group: &Group, message: String) -> HoldReason {
    HoldReason::Preflight {
        group: Some(group.name.clone()),
        message,
    }
}

/// Returns the image of a group from all its records. `None` if the old or the new member is missing.
pub fn image_of(group: &Group, zone: &ZoneId, members: &[RecordSet]) -> Option<GroupImage> {
    let (old, new) = (member(members, &group.old)?, member(members, &group.new)?);
    let mut others = Vec::new();
    for member in members {
        if member.set_identifier != group.old && member.set_identifier != group.new {
            others.push(member.clone());
        }
    }
    Some(GroupImage {
        zone: zone.clone(),
        old: old.clone(),
        new: new.clone(),
        others,
    })
}

fn member<'a>(members: &'a [RecordSet], identifier: &str) -> Option<&'a RecordSet> {
    members
        .iter()
        .find(|member| member.set_identifier == identifier)
}

/// Returns why a group without both members is refused, and the remedy.
fn missing(group: &Group, members: &[RecordSet]) -> String {
    if let Some((record, policy)) = members.iter().find_map(unweighted) {
        return format!(
            "has {} that leads to {}; cutover moves weighted records only: replace it with two weighted records with the \
             set identifiers `{}` (weight 100) and `{}` (weight 0), in one change",
            if policy == "simple" {
                "a simple record (no weights)".to_owned()
            } else {
                format!("a record of another routing policy ({policy})")
            },
            target(record),
            group.old,
            group.new
        );
    }
    if members.is_empty() {
        return format!(
            "there is no record set {}; create two weighted records with the set identifiers `{}` and `{}`",
            group.name, group.old, group.new
        );
    }
    let mut there = Vec::new();
    for member in members {
        there.push(match member.set_identifier.as_str() {
            "" => "a record without a set identifier".to_owned(),
            identifier => format!("`{identifier}`"),
        });
    }
    let holds = format!(
        "needs members `{}` and `{}`, but holds {}",
        group.old,
        group.new,
        lists::some(&there, ", ")
    );
    match in_other_case(&group.old, &group.new, members) {
        Some((key, identifier)) => format!(
            "{holds}; set identifiers are case-sensitive: write `{key}: {identifier}` in the plan"
        ),
        None => format!("{holds}; correct `old` and `new` in the plan, or the records"),
    }
}

/// The key of the plan, `old` or `new`, that names a member in another case than Route 53, and the member's identifier there.
pub fn in_other_case<'m>(
    old: &str,
    new: &str,
    members: &'m [RecordSet],
) -> Option<(&'static str, &'m str)> {
    for (key, written) in [("old", old), ("new", new)] {
        if member(members, written).is_some() {
            continue;
        }
        for other in members {
            let identifier = other.set_identifier.as_str();
            let is_named = identifier == old || identifier == new;
            if !is_named && identifier.eq_ignore_ascii_case(written) {
                return Some((key, identifier));
            }
        }
    }
    None
}

/// Returns a hold for each group that another unfinished cutover moves.
fn claims(plan: &Plan, observation: &Observation) -> Vec<HoldReason> {
    let mut claims = Vec::new();
    for (index, by) in &observation.claimed {
        if let Some(group) = plan.records.get(*index) {
            claims.push(HoldReason::Claimed {
                group: group.name.clone(),
                by: by.clone(),
            });
        }
    }
    claims
}

/// Returns a hold for everything about one group that prevents the start. `as_is` is true with `--baseline-as-is`.
fn refusals(
    plan: &Plan,
    (group, image, around): (&Group, &GroupImage, Option<&Around>),
    baseline: Option<&GroupImage>,
    as_is: bool,
) -> Vec<HoldReason> {
    let mut messages = Vec::new();
    for member in [&image.old, &image.new] {
        if !member.unsupported.is_empty() {
            messages.push(format!(
                "`{}` has {}, which cutover cannot write back; it only moves plain weighted records",
                member.set_identifier,
                lists::some(&member.unsupported, ", ")
            ));
        }
    }
    for other in image.others.iter().filter(|other| other.weight.0 > 0) {
        messages.push(format!(
            "a third member, `{}`, has weight {}; set it to 0 or delete it",
            other.set_identifier, other.weight.0
        ));
    }
    messages.extend(around::ttls_differ(image, around));
    if let Some(around) = around {
        messages.extend(around::refusals(plan, group, image, around));
    }
    let weighted = [&image.old, &image.new]
        .iter()
        .all(|it| other_policy(it).is_none());
    if weighted {
        messages.extend(weights_refused(plan, image.pair(), baseline, as_is));
    }
    let mut refusals = Vec::new();
    for message in messages {
        refusals.push(refusal(group, message));
    }
    refusals
}

/// Returns why a group's weights prevent the start, and the remedy. `None` if they do not (semantics B2).
fn weights_refused(
    plan: &Plan,
    pair: WeightPair,
    baseline: Option<&GroupImage>,
    as_is: bool,
) -> Option<String> {
    if pair.sum() == 0 {
        return Some(format!(
            "the weights are {pair} (old/new), so Route 53 splits the traffic evenly; set them to 100/0"
        ));
    }
    if pair.old.0 == 0 {
        return Some(format!(
            "the weights are {pair} (old/new): all traffic is on the new side already; if `old` and `new` are mixed up in \
             the plan, swap them; otherwise there is nothing to cut over"
        ));
    }
    if let Some(baseline) = baseline {
        let wanted = baseline.pair();
        if pair == wanted {
            return None;
        }
        return Some(format!(
            "the weights are {pair} (old/new), but the baseline of the first attempt is {wanted}; \
             put them back, or begin a cutover with another name"
        ));
    }
    if pair.new.0 == 0 {
        return None;
    }
    let first = plan.steps.first()?.pair;
    if !as_is {
        return Some(format!(
            "the weights are {pair} (old/new): the new side already has a share; set it to 0, or start with \
             `run --baseline-as-is --reason …` to revert to these weights"
        ));
    }
    if first.gives_new_more_than(pair) {
        return None;
    }
    Some(format!(
        "the weights are {pair} (old/new): not below the first step's {first}; raise the first step"
    ))
}

/// Returns a refusal for each entry of the plan that is the same group as an earlier entry. Only groups that were read
/// are compared.
fn twice(found: &[(&Group, GroupImage)]) -> Vec<HoldReason> {
    let mut refusals = Vec::new();
    for (index, (group, image)) in found.iter().enumerate() {
        for (earlier, its_image) in &found[..index] {
            if earlier.name == group.name && its_image.zone == image.zone {
                let message = format!(
                    "is in the plan twice (zone {}); remove one entry",
                    image.zone
                );
                refusals.push(refusal(group, message));
            }
        }
    }
    refusals
}
