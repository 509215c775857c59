//! Reads groups of a zone in the fewest calls.
//!
//! Either one call per *name* (all its types are adjacent, so one call serves A and AAAA), or pages of the whole zone,
//! whichever needs fewer. Single reads run in parallel, as do stretches of many pages; at equal cost the single reads are
//! preferred. Route 53 returns the newest version, pending changes included, and does not promise one version across pages.
//!
//! Source: Route 53 API Reference, `ListResourceRecordSets`: at most 300 record sets a page, all of one name and type
//! together; a start of name and type means "from there on", so reading stops at the first record set that differs.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use aws_sdk_route53::types::ResourceRecordSet;
use aws_sdk_route53::types::RrType;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::errors::call_error;
use super::guard::called;
use super::images::group_name;
use super::images::image;
use super::session::Session;
use crate::engine::event::FailureClass;
use crate::engine::record::GroupName;
use crate::engine::record::RecordSet;
use crate::engine::units::DnsName;
use crate::engine::units::ZoneId;
use crate::ports::AROUND_TYPES;
use crate::ports::CallError;
use crate::ports::Urgency;

const LIST: &str = "ListResourceRecordSets";
/// The most record sets on a page.
pub(super) const ZONE_PAGE: i32 = 300;
/// A page of a single name: a weighted group has at most 100 members, nearly always two.
const NAME_PAGE: i32 = 100;
/// A name with 100 members in each of 20 types would need as many pages.
const NAME_PAGES_MAX: usize = 20;
/// 300,000 record sets, thirty times what a zone holds by default.
const ZONE_PAGES_MAX: usize = 1_000;
/// The most stretches of a zone that are read in parallel, and the pages of each: every stretch may cost one page more.
const STRETCHES_MAX: usize = 8;
const STRETCH_PAGES: usize = 4;
/// The most single reads at the same time.
const SINGLE_READS_MAX: usize = 8;

/// The record sets of the groups that were found.
pub(super) type FoundGroups = BTreeMap<GroupName, Vec<RecordSet>>;

/// Reads from one zone.
#[derive(Debug, Clone)]
pub(super) struct ZoneReader {
    pub(super) session: Session,
    pub(super) zone: ZoneId,
    pub(super) urgency: Urgency,
}

/// The start of a page.
#[derive(Debug, Clone, Default, PartialEq)]
struct PageStart {
    name: Option<String>,
    record_type: Option<RrType>,
    identifier: Option<String>,
}

struct RecordPage {
    records: Vec<ResourceRecordSet>,
    next: Option<PageStart>,
}

impl PageStart {
    /// Returns true if the page starts with this name.
    fn starts_with(&self, name: &DnsName) -> bool {
        let start = self.name.as_deref().map(DnsName::new);
        start.as_ref() == Some(name)
    }

    fn group(&self) -> Option<GroupName> {
        Some(GroupName {
            name: DnsName::new(self.name.as_deref()?),
            record_type: self.record_type.as_ref()?.as_str().to_owned(),
        })
    }
}

/// Returns true if the zone has fewer pages than there are names, which need at least one call each.
pub(super) fn whole_zone_is_cheaper(names: usize, record_count: u64) -> bool {
    let page = u64::from(ZONE_PAGE.unsigned_abs());
    let pages = record_count.div_ceil(page).max(1);
    u64::try_from(names).is_ok_and(|names| pages < names)
}

/// The sort key of a name in a zone: names are listed by their labels from the right.
fn place(name: &DnsName) -> Vec<String> {
    let labels = name.as_str().split('.').rev();
    labels.map(str::to_owned).collect()
}

/// The wanted groups, divided into stretches of the zone that are worth reading in parallel.
fn stretches_of(wanted: &BTreeSet<GroupName>, size: u64) -> Vec<BTreeSet<GroupName>> {
    let pages = size.div_ceil(u64::from(ZONE_PAGE.unsigned_abs()));
    let pages = usize::try_from(pages).unwrap_or(usize::MAX);
    let count = (pages / STRETCH_PAGES).clamp(1, STRETCHES_MAX);
    let mut names: Vec<(DnsName, BTreeSet<String>)> = types_by_name(wanted).into_iter().collect();
    names.sort_by_cached_key(|(name, _)| place(name));
    let mut stretches = Vec::new();
    for chunk in names.chunks(names.len().div_ceil(count).max(1)) {
        let mut stretch = BTreeSet::new();
        for (name, types) in chunk {
            for record_type in types {
                stretch.insert(GroupName {
                    name: name.clone(),
                    record_type: record_type.clone(),
                });
            }
        }
        stretches.push(stretch);
    }
    stretches
}

/// The wanted groups' types by name.
pub(super) fn types_by_name(wanted: &BTreeSet<GroupName>) -> BTreeMap<DnsName, BTreeSet<String>> {
    let mut names: BTreeMap<DnsName, BTreeSet<String>> = BTreeMap::new();
    for group in wanted {
        let types = names.entry(group.name.clone()).or_default();
        types.insert(group.record_type.clone());
    }
    names
}

impl ZoneReader {
    /// Reads each name with a call of its own, in parallel.
    pub(super) async fn read_names(
        &self,
        names: BTreeMap<DnsName, BTreeSet<String>>,
    ) -> BTreeMap<DnsName, Result<FoundGroups, CallError>> {
        let slots = Arc::new(Semaphore::new(SINGLE_READS_MAX));
        let mut reads = JoinSet::new();
        let mut read = BTreeMap::new();
        for (name, types) in names {
            // This stays if the task panics, because a name that was not read is not gone.
            let unread =
                CallError::new(LIST, FailureClass::Transient, "the read ended unexpectedly");
            read.insert(name.clone(), Err(unread));
            let (reader, slots) = (self.clone(), Arc::clone(&slots));
            reads.spawn(async move {
                // The semaphore is never closed; without a slot the read would merely be early.
                let _slot = slots.acquire_owned().await.ok();
                let found = reader.read_name(&name, &types).await;
                (name, found)
            });
        }
        while let Some(finished) = reads.join_next().await {
            if let Ok((name, found)) = finished {
                read.insert(name, found);
            }
        }
        read
    }

    /// Reads every record set of these names, one call per name, in parallel.
    pub(super) async fn read_all_types(
        &self,
        names: &BTreeSet<DnsName>,
    ) -> Result<Vec<RecordSet>, CallError> {
        let types = AROUND_TYPES.map(str::to_owned);
        let types = BTreeSet::from(types);
        let wanted = names.iter().map(|name| (name.clone(), types.clone()));
        let mut records = Vec::new();
        for read in self.read_names(wanted.collect()).await.into_values() {
            records.extend(read?.into_values().flatten());
        }
        Ok(records)
    }

    /// Reads every record set of the zone.
    pub(super) async fn read_whole(&self) -> Result<Vec<RecordSet>, CallError> {
        let mut records = Vec::new();
        let mut cursor = PageStart::default();
        for _ in 0..ZONE_PAGES_MAX {
            let page = self.page(&cursor, ZONE_PAGE).await?;
            records.extend(page.records.iter().map(image));
            match page.next {
                None => return Ok(records),
                Some(next) if next == cursor => return Err(self.stuck()),
                Some(next) => cursor = next,
            }
        }
        Err(self.stuck())
    }

    /// Reads the wanted types of one name.
    async fn read_name(
        &self,
        name: &DnsName,
        types: &BTreeSet<String>,
    ) -> Result<FoundGroups, CallError> {
        // With several types the start has no type, so that the order of types does not matter.
        let only = match types.first() {
            Some(only) if types.len() == 1 => Some(RrType::from(only.as_str())),
            _ => None,
        };
        let mut cursor = PageStart {
            name: Some(format!("{name}.")),
            record_type: only.clone(),
            identifier: None,
        };
        let mut found = FoundGroups::new();
        for _ in 0..NAME_PAGES_MAX {
            let page = self.page(&cursor, NAME_PAGE).await?;
            for record in &page.records {
                let group = group_name(record);
                let differs = only.as_ref().is_some_and(|only| record.r#type != *only);
                if group.name != *name || differs {
                    return Ok(found);
                }
                if types.contains(&group.record_type) {
                    found.entry(group).or_default().push(image(record));
                }
            }
            match page.next {
                Some(next) if next.starts_with(name) && next != cursor => cursor = next,
                Some(next) if next == cursor => return Err(self.stuck()),
                _ => return Ok(found),
            }
        }
        Err(self.stuck())
    }

    /// Reads the wanted groups from pages of a zone of this size. A large zone is read in parallel stretches: 34 pages one
    /// after the other would take longer than a round may wait.
    pub(super) async fn read_zone(
        &self,
        wanted: &BTreeSet<GroupName>,
        size: u64,
    ) -> Result<FoundGroups, CallError> {
        let stretches = stretches_of(wanted, size);
        if stretches.len() <= 1 {
            return self.read_pages(PageStart::default(), wanted, None).await;
        }
        let mut reads = JoinSet::new();
        for stretch in stretches {
            let reader = self.clone();
            reads.spawn(async move { reader.read_stretch(&stretch).await });
        }
        let mut found = FoundGroups::new();
        while let Some(finished) = reads.join_next().await {
            // If the task panicked, its groups are missing, and are read again below.
            if let Ok(read) = finished {
                found.extend(read?);
            }
        }
        // The end of a stretch depends on the order of names. A group that no stretch contained is read by itself before it
        // counts as gone.
        let mut missing = BTreeSet::new();
        for group in wanted {
            if !found.contains_key(group) {
                missing.insert(group.clone());
            }
        }
        let names = types_by_name(&missing);
        if whole_zone_is_cheaper(names.len(), size) {
            let read = self.read_pages(PageStart::default(), &missing, None).await;
            found.extend(read?);
        } else {
            for read in self.read_names(names).await.into_values() {
                found.extend(read?);
            }
        }
        Ok(found)
    }

    /// Reads pages from the first wanted name to the last.
    async fn read_stretch(&self, wanted: &BTreeSet<GroupName>) -> Result<FoundGroups, CallError> {
        let first = wanted.iter().min_by_key(|group| place(&group.name));
        let last = wanted.iter().map(|group| place(&group.name)).max();
        let start = PageStart {
            name: first.map(|group| format!("{}.", group.name)),
            ..PageStart::default()
        };
        self.read_pages(start, wanted, last).await
    }

    /// Reads pages until all wanted groups are found or the place `last` is passed.
    async fn read_pages(
        &self,
        mut cursor: PageStart,
        wanted: &BTreeSet<GroupName>,
        last: Option<Vec<String>>,
    ) -> Result<FoundGroups, CallError> {
        let mut found = FoundGroups::new();
        for _ in 0..ZONE_PAGES_MAX {
            let page = self.page(&cursor, ZONE_PAGE).await?;
            for record in &page.records {
                let group = group_name(record);
                if wanted.contains(&group) {
                    found.entry(group).or_default().push(image(record));
                }
            }
            let Some(next) = page.next else {
                return Ok(found);
            };
            let goes_on = next.group().is_none_or(|group| wanted.contains(&group));
            let passed = last.as_ref().zip(next.group());
            let passed = passed.is_some_and(|(last, group)| place(&group.name) > *last);
            if passed || (found.len() == wanted.len() && !goes_on) {
                return Ok(found);
            }
            if next == cursor {
                return Err(self.stuck());
            }
            cursor = next;
        }
        Err(self.stuck())
    }

    async fn page(&self, start: &PageStart, max_items: i32) -> Result<RecordPage, CallError> {
        self.session.token(LIST, self.urgency).await?;
        let request = self
            .session
            .client
            .list_resource_record_sets()
            .hosted_zone_id(self.zone.as_str())
            .set_start_record_name(start.name.clone())
            .set_start_record_type(start.record_type.clone())
            .set_start_record_identifier(start.identifier.clone())
            .max_items(max_items);
        let reply = called(request.send()).await;
        let reply = reply.map_err(|error| call_error(LIST, &error))?;
        let next = reply.is_truncated.then(|| PageStart {
            name: reply.next_record_name.clone(),
            record_type: reply.next_record_type.clone(),
            identifier: reply.next_record_identifier.clone(),
        });
        Ok(RecordPage {
            records: reply.resource_record_sets,
            next,
        })
    }

    fn stuck(&self) -> CallError {
        let message = format!("the pages of hosted zone {} do not end", self.zone);
        CallError::new(LIST, FailureClass::Transient, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_zone_is_read_in_stretches_that_cover_it() {
        let group = |number: usize| GroupName {
            name: DnsName::new(&format!("svc{number}.example.com")),
            record_type: "CNAME".to_owned(),
        };
        let wanted: BTreeSet<GroupName> = (0..5_000).map(group).collect();
        let stretches = stretches_of(&wanted, 10_000);
        assert_eq!(stretches.len(), 8);
        let all: BTreeSet<GroupName> = stretches.into_iter().flatten().collect();
        assert_eq!(all, wanted);
        assert_eq!(stretches_of(&wanted, 2_000).len(), 1);
    }

    #[test]
    fn the_whole_zone_is_read_where_that_needs_fewer_calls() {
        assert!(!whole_zone_is_cheaper(1, 2));
        assert!(whole_zone_is_cheaper(2, 300));
        assert!(!whole_zone_is_cheaper(2, 301));
        assert!(whole_zone_is_cheaper(35, 10_000));
        assert!(!whole_zone_is_cheaper(34, 10_000));
    }
}
