//! Whether a cutover may start, judged from what Route 53 holds (semantics B2, DESIGN section 7).

use super::around::{self, Around, AroundReading};
use super::drifted::{other_policy, target, unweighted};
use super::hold::HoldReason;
use super::lists;
use super::observation::{GroupReading, Observation};
use super::plan::{Group, Plan};
use super::record::{GroupImage, RecordSet};
use super::state::State;
use super::units::{WeightPair, ZoneId};

/// The images of all groups, or every reason why the start is refused.
///
/// # Errors
/// The refusals; groups that were not read or not readable are among them.
pub fn images(
    state: &State,
    observation: &Observation,
) -> Result<Vec<GroupImage>, Vec<HoldReason>> {
    let as_is = observation.baseline_as_is.is_some();
    let mut problems = claims(state.plan(), observation);
    let mut found = Vec::new();
    let mut looked = true;
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
                        looked = false;
                        problems.extend(reason);
                    }
                }
                found.push(image);
            }
        }
    }
    problems.extend(twice(state.plan(), &found));
    let complete = found.len() == state.plan().records.len();
    if problems.is_empty() && complete && looked {
        Ok(found)
    } else {
        Err(problems)
    }
}

/// What stands around a group; none where nobody looks (a process that never starts anything).
///
/// # Errors
/// Why it is not known: not read yet (no reason), denied (a reason of its own), or not readable.
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
            message: format!("what stands beside it: {message}"),
        })),
    }
}

/// Picks the two members of a group out of what was read.
///
/// # Errors
/// Why there is no image: not read (no reason), not readable, or a member is missing.
pub fn read_image(group: &Group, reading: &GroupReading) -> Result<GroupImage, Option<HoldReason>> {
    let refuse = |message: String| {
        Some(HoldReason::Preflight {
            group: Some(group.name.clone()),
            message,
        })
    };
    match reading {
        // What is denied is a reason of its own.
        GroupReading::NotRead
        | GroupReading::Unreadable {
            denied: Some(_), ..
        } => Err(None),
        GroupReading::Unreadable {
            message,
            permanent: true,
            ..
        } => Err(refuse(message.clone())),
        GroupReading::Unreadable { message, .. } => Err(Some(HoldReason::Route53Unreadable {
            group: group.name.clone(),
            message: message.clone(),
        })),
        // What was read for a plan that has changed since says nothing about the new one's records.
        GroupReading::Read { members, .. } if members.iter().any(|it| !it.is_of(&group.name)) => {
            Err(None)
        }
        GroupReading::Read { zone, members, .. } => {
            image_of(group, zone, members).ok_or_else(|| refuse(missing(group, members)))
        }
    }
}

/// The group's image, or none where one of its two members is not there.
pub fn image_of(group: &Group, zone: &ZoneId, members: &[RecordSet]) -> Option<GroupImage> {
    let find = |identifier: &str| {
        members
            .iter()
            .find(|member| member.set_identifier == identifier)
    };
    let (old, new) = (find(&group.old)?, find(&group.new)?);
    let is_other = |member: &&RecordSet| {
        member.set_identifier != group.old && member.set_identifier != group.new
    };
    Some(GroupImage {
        zone: zone.clone(),
        old: old.clone(),
        new: new.clone(),
        others: members.iter().filter(is_other).cloned().collect(),
    })
}

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
    let there: Vec<String> = members
        .iter()
        .map(|member| match member.set_identifier.as_str() {
            "" => "a record without a set identifier".to_owned(),
            identifier => format!("`{identifier}`"),
        })
        .collect();
    format!(
        "needs members `{}` and `{}`, but holds {}; correct `old` and `new` in the plan, or the records",
        group.old,
        group.new,
        lists::some(&there, ", ")
    )
}

fn claims(plan: &Plan, observation: &Observation) -> Vec<HoldReason> {
    let claim = |(index, by): &(usize, super::units::CutoverName)| {
        let group = plan.records.get(*index)?.name.clone();
        Some(HoldReason::Claimed {
            group,
            by: by.clone(),
        })
    };
    observation.claimed.iter().filter_map(claim).collect()
}

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
    messages
        .into_iter()
        .map(|message| HoldReason::Preflight {
            group: Some(group.name.clone()),
            message,
        })
        .collect()
}

fn weights_refused(
    plan: &Plan,
    pair: WeightPair,
    baseline: Option<&GroupImage>,
    as_is: bool,
) -> Option<String> {
    if pair.sum() == 0 {
        return Some(format!(
            "the weights are {pair} (old/new): Route 53 then answers with either side; set them to 100/0"
        ));
    }
    if pair.old.0 == 0 {
        return Some(format!(
            "the weights are {pair} (old/new): all traffic is on the new side already; if `old` and `new` are swapped in \
             the plan, swap them, else there is nothing to cut over"
        ));
    }
    if let Some(baseline) = baseline {
        let wanted = baseline.pair();
        return (pair != wanted).then(|| {
            format!(
                "the weights are {pair} (old/new), but the baseline of the first attempt is {wanted}; \
                 put them back, or begin a cutover with another name"
            )
        });
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
    (!first.gives_new_more_than(pair)).then(|| {
        format!("the weights are {pair} (old/new): not below the first step's {first}; raise the first step")
    })
}

/// Two entries of the plan that turn out to be one group.
fn twice(plan: &Plan, images: &[GroupImage]) -> Vec<HoldReason> {
    let same = |first: usize, second: usize| {
        let (Some(left), Some(right)) = (plan.records.get(first), plan.records.get(second)) else {
            return None;
        };
        let (Some(here), Some(there)) = (images.get(first), images.get(second)) else {
            return None;
        };
        (left.name == right.name && here.zone == there.zone).then(|| HoldReason::Preflight {
            group: Some(right.name.clone()),
            message: format!(
                "is in the plan twice (zone {}); remove one entry",
                there.zone
            ),
        })
    };
    (0..images.len())
        .flat_map(|second| (0..second).filter_map(move |first| same(first, second)))
        .collect()
}
