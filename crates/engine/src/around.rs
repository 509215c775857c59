//! The records around a group's name in DNS: other types of the name, delegations that take it away, other programs
//! that write it, and the effective TTL of its answers (semantics L11, L12).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::lists;
use super::plan::{Group, Plan};
use super::record::{AliasTarget, GroupImage, GroupName, RecordSet};
use super::units::{DnsName, ZoneId};

/// The TTL with which Route 53 answers an alias to an AWS resource, in seconds.
///
/// Source: Route 53 Developer Guide, choosing between alias and non-alias records.
pub const AWS_ALIAS_TTL_SECS: u32 = 60;

/// The largest number of aliases that are followed from one to the next. Longer chains are not used in practice, and
/// each alias costs a read.
pub const ALIASES_MAX: usize = 8;

/// The record types that clients ask for when they connect to a name.
const TWINS: [&str; 4] = ["A", "AAAA", "HTTPS", "SVCB"];

/// The text in the TXT records by which `ExternalDNS` marks the names that it owns.
///
/// Source: `ExternalDNS`, registry of TXT records.
const EXTERNAL_DNS: &str = "heritage=external-dns";

/// The records around the names of one zone, as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Around {
    /// The zone's DNS name.
    pub zone: DnsName,
    /// Record sets of the zone: all record sets of the names that [`names`] returns, and others that came in the same
    /// pages.
    pub records: Vec<RecordSet>,
    /// The account's other hosted zones of the same kind (public or private) whose names end with this zone's name.
    pub longer: Vec<(ZoneId, DnsName)>,
    /// Why the hosted zones could not be listed. `None` if they were listed.
    pub longer_unread: Option<String>,
}

/// The reading of the records around one group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AroundReading {
    /// They were not read yet.
    NotRead,
    /// They were read. All groups of the zone share the reading.
    Read(Arc<Around>),
    /// Route 53 did not answer, or refused.
    Unreadable {
        /// Route 53's message, or the reason why there is none.
        message: String,
        /// The IAM action that was denied. `None` if none was.
        denied: Option<String>,
    },
}

/// The effective TTL of an alias to a record of its own zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasTtl {
    /// The hosted zone of both.
    pub zone: ZoneId,
    /// The name and type of the record that the alias points to.
    pub target: GroupName,
    /// The TTL of the record at the end of the chain of aliases, in seconds. The largest if there are several such
    /// records.
    pub ttl_secs: u32,
}

/// Effective TTLs in seconds, by the zone and the record that an alias points to.
pub type AliasTtls = BTreeMap<(ZoneId, GroupName), u32>;

/// Returns the names that must be read before a group's start: its own name, the names between it and its zone, and the
/// name at which `ExternalDNS` marks it as owned.
pub fn names(group: &GroupName, zone: &DnsName) -> BTreeSet<DnsName> {
    let mut names = between(&group.name, zone);
    names.insert(group.name.clone());
    names.insert(ownership(group));
    names
}

/// Returns the name at which `ExternalDNS` marks a record as owned by default.
fn ownership(group: &GroupName) -> DnsName {
    let kind = group.record_type.to_ascii_lowercase();
    DnsName::new(&format!("{kind}-{}", group.name))
}

/// Returns a name and its parents, without the zone's own name.
fn between(name: &DnsName, zone: &DnsName) -> BTreeSet<DnsName> {
    let mut names = BTreeSet::new();
    let mut name = name.clone();
    while name != *zone && name.is_in_zone(zone) {
        names.insert(name.clone());
        let Some((_, parent)) = name.as_str().split_once('.') else {
            break;
        };
        name = DnsName::new(parent);
    }
    names
}

/// Returns the record of its own zone that an alias points to. `None` for any other record.
fn target_in_zone(record: &RecordSet, zone: &ZoneId) -> Option<GroupName> {
    let alias = record.alias.as_ref()?;
    if alias.zone_id != zone.as_str() {
        return None;
    }
    Some(GroupName {
        name: DnsName::new(&alias.dns_name),
        record_type: record.record_type.clone(),
    })
}

/// Returns the names that aliases of these records point to and that are not among the records. They must be read next.
pub fn unread_targets(records: &[RecordSet], zone: &ZoneId) -> BTreeSet<DnsName> {
    let known: BTreeSet<DnsName> = records.iter().map(name_of).collect();
    let mut unread = BTreeSet::new();
    for record in records {
        if let Some(target) = target_in_zone(record, zone)
            && !known.contains(&target.name)
        {
            unread.insert(target.name);
        }
    }
    unread
}

fn name_of(record: &RecordSet) -> DnsName {
    DnsName::new(&record.name)
}

/// Returns the time for which resolvers keep a record's answers, in seconds: its TTL, or the effective TTL of its
/// alias.
pub fn ttl_secs(record: &RecordSet, known: &AliasTtls) -> u32 {
    match (&record.alias, record.ttl) {
        (None, Some(ttl)) => ttl,
        (Some(alias), _) => {
            let target = key(alias, &record.record_type);
            known.get(&target).copied().unwrap_or(AWS_ALIAS_TTL_SECS)
        }
        (None, None) => AWS_ALIAS_TTL_SECS,
    }
}

/// Returns the time for which resolvers keep answers of either member, in seconds.
pub fn group_ttl_secs(image: &GroupImage, known: &AliasTtls) -> u32 {
    ttl_secs(&image.old, known).max(ttl_secs(&image.new, known))
}

/// Returns the key of an alias's target among the effective TTLs.
fn key(alias: &AliasTarget, record_type: &str) -> (ZoneId, GroupName) {
    let target = GroupName {
        name: DnsName::new(&alias.dns_name),
        record_type: record_type.to_owned(),
    };
    (ZoneId::from(alias.zone_id.as_str()), target)
}

/// Returns true if a member is an alias to a record of its own zone whose effective TTL is not known.
pub fn lacks_ttl(image: &GroupImage, known: &AliasTtls) -> bool {
    for member in [&image.old, &image.new] {
        if let Some(target) = target_in_zone(member, &image.zone)
            && !known.contains_key(&(image.zone.clone(), target))
        {
            return true;
        }
    }
    false
}

/// Returns the effective TTLs of a group's aliases to records of its own zone. `records` are the records that they lead
/// to.
pub fn alias_ttls(image: &GroupImage, records: &[RecordSet]) -> AliasTtls {
    let mut ttls = AliasTtls::new();
    for member in [&image.old, &image.new] {
        if let Some(target) = target_in_zone(member, &image.zone) {
            let ttl = end_ttl(&target, &image.zone, records);
            ttls.insert((image.zone.clone(), target), ttl);
        }
    }
    ttls
}

/// Returns the largest TTL of the records at the end of a chain of aliases, in seconds. Loops and missing records are
/// ignored.
fn end_ttl(target: &GroupName, zone: &ZoneId, records: &[RecordSet]) -> u32 {
    let mut longest = None;
    let mut met = BTreeSet::new();
    let mut next = vec![target.clone()];
    while let Some(target) = next.pop() {
        if !met.insert(target.clone()) || met.len() > ALIASES_MAX {
            continue;
        }
        for record in records.iter().filter(|record| record.is_of(&target)) {
            match target_in_zone(record, zone) {
                Some(further) => next.push(further),
                None => longest = longest.max(Some(ttl_secs(record, &AliasTtls::new()))),
            }
        }
    }
    longest.unwrap_or(AWS_ALIAS_TTL_SECS)
}

/// Returns why the start is refused. Empty if nothing around the group makes its weights ineffective, in whole or in
/// part.
pub(super) fn refusals(
    plan: &Plan,
    group: &Group,
    image: &GroupImage,
    around: &Around,
) -> Vec<String> {
    let mut messages = Vec::new();
    messages.extend(taken_away(group, around));
    for twin in twins(plan, group, around) {
        if side(&twin, image) == Some(TwinSide::New) {
            messages.push(format!(
                "its {} record leads to the new side only ({}), so clients that ask for it are already there; add {} records \
                 of both sides to the plan, or delete that record until the cutover has completed",
                twin.record_type,
                shown(&twin.live),
                twin.record_type
            ));
        }
    }
    messages
}

/// Returns why this zone does not answer for the group's name: a longer hosted zone, or a delegation. `None` if it
/// does.
fn taken_away(group: &Group, around: &Around) -> Option<String> {
    let longer = around.longer.iter();
    let longest = longer
        .filter(|(_, zone)| group.name.name.is_in_zone(zone))
        .max_by_key(|(_, zone)| zone.as_str().len());
    if let Some((id, zone)) = longest {
        return Some(format!(
            "hosted zone {zone} ({id}) answers for it, not {}, so weights written here have no effect; write `zone: {zone}` \
             in the plan",
            around.zone
        ));
    }
    let path = between(&group.name.name, &around.zone);
    let delegation = around
        .records
        .iter()
        .find(|record| record.record_type == "NS" && path.contains(&name_of(record)))?;
    let child = name_of(delegation);
    Some(format!(
        "NS records delegate {child} to other name servers ({}), so weights written in {} have no effect; name the hosted \
         zone of {child} in the plan",
        lists::some(&delegation.values, ", "),
        around.zone
    ))
}

/// Returns the warnings about records around a group, for people.
pub fn warnings(plan: &Plan, group: &Group, image: &GroupImage, around: &Around) -> Vec<String> {
    let mut warnings = Vec::new();
    let name = &group.name;
    for twin in twins(plan, group, around) {
        if side(&twin, image) == Some(TwinSide::New) {
            continue;
        }
        warnings.push(format!(
            "{name}: the plan leaves out the name's {kind} record ({}), so clients that ask for {kind} do not move; list it \
             in `records` if it is to move too",
            shown(&twin.live),
            kind = twin.record_type,
        ));
    }
    warnings.extend(owners(group, around));
    if let Some(target) = one_target(image) {
        warnings.push(format!(
            "{name}: `{}` and `{}` both point to {target}, so the weights move no traffic; correct one of them",
            group.old, group.new
        ));
    }
    if let Some(why) = &around.longer_unread {
        warnings.push(format!(
            "{name}: cannot check if a longer hosted zone than {} answers for it: {why}",
            around.zone
        ));
    }
    warnings
}

/// Returns the target of both members, for people. `None` if they have different targets.
fn one_target(image: &GroupImage) -> Option<String> {
    let (old, new) = (targets(&image.old), targets(&image.new));
    if old.is_empty() || old != new {
        return None;
    }
    Some(lists::some(&Vec::from_iter(old), ", "))
}

/// Returns a warning if `ExternalDNS` owns a group's records.
fn owners(group: &Group, around: &Around) -> Option<String> {
    let mut records = around.records.iter();
    let record = records.find(|record| owns(record, &group.name, around))?;
    Some(format!(
        "{}: ExternalDNS owns it ({} TXT says {}) and may overwrite its weights and targets; exclude this name from \
         ExternalDNS until the cutover has completed",
        group.name,
        name_of(record),
        record.values.join(" ")
    ))
}

/// Returns true if a record marks this group as owned by `ExternalDNS`: at the name itself, with the type before the
/// name, or with a configured prefix.
fn owns(record: &RecordSet, group: &GroupName, around: &Around) -> bool {
    let marks = record
        .values
        .iter()
        .any(|value| value.contains(EXTERNAL_DNS));
    if record.record_type != "TXT" || !marks {
        return false;
    }
    let owner = name_of(record);
    if owner == group.name || owner == ownership(group) {
        return true;
    }
    let Some(prefix) = owner.as_str().strip_suffix(group.name.as_str()) else {
        return false;
    };
    if !prefix.ends_with(['-', '_', '.']) {
        return false;
    }
    // `my-api` also ends with `api`. Then the mark belongs to that other record, whose type may stand before the name.
    let mut others = BTreeSet::new();
    for kind in ["a-", "aaaa-", "cname-"] {
        others.extend(owner.as_str().strip_prefix(kind).map(DnsName::new));
    }
    others.remove(&group.name);
    others.insert(owner);
    !around
        .records
        .iter()
        .any(|it| it.record_type != "TXT" && others.contains(&name_of(it)))
}

/// Records of a type that the plan does not move, at a name that it does move.
struct Twin {
    record_type: String,
    /// The records that Route 53 answers with.
    live: Vec<RecordSet>,
}

/// Returns the twins of a group's name that the plan leaves out. Empty unless `group` is the plan's first group of that
/// name, so that each twin is reported once.
fn twins(plan: &Plan, group: &Group, around: &Around) -> Vec<Twin> {
    let mut planned = Vec::new();
    for other in &plan.records {
        if other.name.name == group.name.name && other.zone == group.zone {
            planned.push(&other.name);
        }
    }
    if planned.first().is_some_and(|first| **first != group.name) {
        return Vec::new();
    }
    let mut twins = Vec::new();
    for record_type in TWINS {
        if planned.iter().any(|name| name.record_type == record_type) {
            continue;
        }
        let name = GroupName {
            name: group.name.name.clone(),
            record_type: record_type.to_owned(),
        };
        let live = live_records(&name, around);
        if !live.is_empty() {
            twins.push(Twin {
                record_type: record_type.to_owned(),
                live,
            });
        }
    }
    twins
}

/// Returns the records of a name that Route 53 answers with. Records that only lead to the name itself are left out.
fn live_records(name: &GroupName, around: &Around) -> Vec<RecordSet> {
    let mut members = Vec::new();
    for record in &around.records {
        if record.is_of(name) && !leads_nowhere(record) {
            members.push(record.clone());
        }
    }
    // If all members have weight 0, Route 53 answers with each of them equally often.
    if members.iter().any(|member| member.weight.0 > 0) {
        members.retain(|member| member.weight.0 > 0);
    }
    members
}

/// Returns true if a record only describes how to connect to the name's own addresses, which move with the name.
fn leads_nowhere(record: &RecordSet) -> bool {
    let by_value = matches!(record.record_type.as_str(), "HTTPS" | "SVCB");
    by_value && record.alias.is_none() && targets(record).is_empty()
}

/// The side that a twin belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TwinSide {
    Old,
    New,
}

/// Returns the side that all answers of a twin come from. `None` if they come from both, or from neither.
fn side(twin: &Twin, image: &GroupImage) -> Option<TwinSide> {
    let first = side_of(twin.live.first()?, image)?;
    for record in &twin.live {
        if side_of(record, image) != Some(first) {
            return None;
        }
    }
    Some(first)
}

/// Returns the side that a record belongs to, by its targets or else by its set identifier. `None` if neither decides
/// it.
fn side_of(record: &RecordSet, image: &GroupImage) -> Option<TwinSide> {
    let mine = targets(record);
    let (old, new) = (targets(&image.old), targets(&image.new));
    let (is_old, is_new) = (!mine.is_disjoint(&old), !mine.is_disjoint(&new));
    if is_old != is_new {
        return Some(if is_new { TwinSide::New } else { TwinSide::Old });
    }
    if is_old {
        return None;
    }
    let identifier = record.set_identifier.as_str();
    if identifier == image.new.set_identifier {
        Some(TwinSide::New)
    } else if identifier == image.old.set_identifier {
        Some(TwinSide::Old)
    } else {
        None
    }
}

/// Returns the targets of a record, in a form in which equal targets are equal texts.
fn targets(record: &RecordSet) -> BTreeSet<String> {
    if let Some(alias) = &record.alias {
        return BTreeSet::from([plain(&alias.dns_name)]);
    }
    let mut targets = BTreeSet::new();
    for value in &record.values {
        if matches!(record.record_type.as_str(), "HTTPS" | "SVCB") {
            targets.extend(service_targets(value));
        } else {
            targets.insert(plain(value));
        }
    }
    targets
}

/// Returns the name and the addresses in the value of an HTTPS or SVCB record, such as `1 target. alpn=h2
/// ipv4hint=192.0.2.1,192.0.2.2`. A target of `.` means the name itself and is left out.
fn service_targets(value: &str) -> Vec<String> {
    let mut words = value.split_whitespace().skip(1);
    let mut targets = Vec::new();
    if let Some(target) = words.next()
        && target != "."
    {
        targets.push(plain(target));
    }
    for word in words {
        if let Some((key, addresses)) = word.split_once('=')
            && matches!(key, "ipv4hint" | "ipv6hint")
        {
            let addresses = addresses.trim_matches('"').split(',');
            targets.extend(addresses.map(plain));
        }
    }
    targets
}

/// Returns a name without its trailing dot and without `dualstack.`, which leads to the same load balancer with or
/// without it.
fn plain(name: &str) -> String {
    let name = DnsName::new(name);
    let name = name.as_str();
    name.strip_prefix("dualstack.").unwrap_or(name).to_owned()
}

/// Returns the targets of records, for people.
fn shown(records: &[RecordSet]) -> String {
    let mut places = BTreeSet::new();
    for record in records {
        match &record.alias {
            Some(alias) => drop(places.insert(plain(&alias.dns_name))),
            None => places.extend(record.values.iter().cloned()),
        }
    }
    lists::some(&Vec::from_iter(places), ", ")
}

/// Returns a message with the remedy if resolvers keep the two members' answers for different times. `None` if not.
pub(super) fn ttls_differ(image: &GroupImage, around: Option<&Around>) -> Option<String> {
    let known = match around {
        Some(around) => alias_ttls(image, &around.records),
        None => AliasTtls::new(),
    };
    let (old, new) = (ttl_secs(&image.old, &known), ttl_secs(&image.new, &known));
    if old == new {
        return None;
    }
    if image.old.alias.is_none() && image.new.alias.is_none() {
        return Some("the members' TTLs differ; give all members of the group one TTL".to_owned());
    }
    // An alias has no TTL of its own that could be set. Its target has one, unless the target belongs to AWS.
    let (member, ttl, wanted) = match (is_fixed(&image.old, image), is_fixed(&image.new, image)) {
        (true, _) => (&image.new, new, old),
        (_, true) => (&image.old, old, new),
        _ if image.old.alias.is_some() => (&image.new, new, old),
        _ => (&image.old, old, new),
    };
    let set = match target_in_zone(member, &image.zone) {
        Some(target) => format!(
            "the TTL of {target}, to which `{}` points,",
            member.set_identifier
        ),
        None => format!("the TTL of `{}`", member.set_identifier),
    };
    Some(format!(
        "resolvers keep answers of `{}` for {old} s and those of `{}` for {new} s, so the share would differ from the weights; \
         set {set} to {wanted} (it is {ttl})",
        image.old.set_identifier, image.new.set_identifier
    ))
}

/// Returns true if nobody can set the TTL of a member, because it is an alias to an AWS resource.
fn is_fixed(member: &RecordSet, image: &GroupImage) -> bool {
    member.alias.is_some() && target_in_zone(member, &image.zone).is_none()
}
