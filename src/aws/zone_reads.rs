//! Reads groups of a zone with as few calls as possible.
//!
//! Either each *name* is read with a call of its own, or the pages of the whole zone are read, whichever takes fewer
//! calls. All types of a name are adjacent, so one call reads both A and AAAA. Reads of single names run in parallel,
//! and so do the stretches of a large zone. If both ways take the same number of calls, single names are read. Route 53
//! returns the newest version, including pending changes, and does not promise the same version on all pages.
//!
//! Source: Route 53 API Reference, `ListResourceRecordSets`. A page has at most 300 record sets, and those of one name
//! and type are adjacent. A start of name and type means "from there on", so reading stops at the first record set that
//! differs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use aws_sdk_route53::types::{ResourceRecordSet, RrType};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::errors::call_error;
use super::guard::called;
use super::images::{group_name, image};
use super::session::Session;
use crate::engine::event::FailureClass;
use crate::engine::record::{GroupName, RecordSet};
use crate::engine::units::{DnsName, ZoneId};
use crate::ports::{AROUND_TYPES, CallError, Urgency};

const LIST: &str = "ListResourceRecordSets";
/// The most record sets on a page. Source: Route 53 API Reference, `ListResourceRecordSets`.
pub(super) const ZONE_PAGE: i32 = 300;
/// The number of record sets on a page for a single name. A weighted group has at most 100 members, and nearly always
/// two.
const NAME_PAGE: i32 = 100;
/// The most pages for a single name. A name with 100 members in each of 20 types would need as many.
const NAME_PAGES_MAX: usize = 20;
/// The most pages of a zone: 300,000 record sets, thirty times the default limit of a zone.
const ZONE_PAGES_MAX: usize = 1_000;
/// The most stretches of a zone that are read in parallel.
const STRETCHES_MAX: usize = 8;
/// The number of pages for which a zone gets one more stretch. Each stretch may cost one additional page.
const STRETCH_PAGES: usize = 4;
/// The most names that are read at the same time.
const SINGLE_READS_MAX: usize = 8;

/// The record sets of each group that was found. A group that does not exist is absent.
pub(super) type FoundGroups = BTreeMap<GroupName, Vec<RecordSet>>;

/// Reads record sets from one zone.
#[derive(Debug, Clone)]
pub(super) struct ZoneReader {
    pub(super) session: Session,
    pub(super) zone: ZoneId,
    pub(super) urgency: Urgency,
}

/// The start of a page. The default is the start of the zone.
#[derive(Debug, Clone, Default, PartialEq)]
struct PageStart {
    name: Option<String>,
    record_type: Option<RrType>,
    identifier: Option<String>,
}

/// One page of record sets, and the start of the next page.
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

    /// Returns the group with which the page starts. `None` if the name or the type is missing.
    fn group(&self) -> Option<GroupName> {
        Some(GroupName {
            name: DnsName::new(self.name.as_deref()?),
            record_type: self.record_type.as_ref()?.as_str().to_owned(),
        })
    }
}

/// Returns true if the zone has fewer pages than there are names to read. Each name needs at least one call.
pub(super) fn whole_zone_is_cheaper(names: usize, record_count: u64) -> bool {
    let page = u64::from(ZONE_PAGE.unsigned_abs());
    let pages = record_count.div_ceil(page).max(1);
    u64::try_from(names).is_ok_and(|names| pages < names)
}

/// Returns the sort key of a name: its labels in reverse order. Route 53 lists a zone in this order.
fn place(name: &DnsName) -> Vec<String> {
    let labels = name.as_str().split('.').rev();
    labels.map(str::to_owned).collect()
}

/// Divides the wanted groups into stretches of the zone, in its order. A zone of `size` record sets gets one stretch
/// for each [`STRETCH_PAGES`] pages, at most [`STRETCHES_MAX`].
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

/// Returns the wanted types of each name.
pub(super) fn types_by_name(wanted: &BTreeSet<GroupName>) -> BTreeMap<DnsName, BTreeSet<String>> {
    let mut names: BTreeMap<DnsName, BTreeSet<String>> = BTreeMap::new();
    for group in wanted {
        let types = names.entry(group.name.clone()).or_default();
        types.insert(group.record_type.clone());
    }
    names
}

impl ZoneReader {
    /// Reads each name with its own call, in parallel. Returns a result for every name.
    pub(super) async fn read_names(
        &self,
        names: BTreeMap<DnsName, BTreeSet<String>>,
    ) -> BTreeMap<DnsName, Result<FoundGroups, CallError>> {
        let slots = Arc::new(Semaphore::new(SINGLE_READS_MAX));
        let mut reads = JoinSet::new();
        let mut read = BTreeMap::new();
        for (name, types) in names {
            // This result stays if the task panics. A name that was not read must not seem to be gone.
            let unread =
                CallError::new(LIST, FailureClass::Transient, "the read ended unexpectedly");
            read.insert(name.clone(), Err(unread));
            let (reader, slots) = (self.clone(), Arc::clone(&slots));
            reads.spawn(async move {
                // The semaphore is never closed. Without a permit, the read would only begin earlier.
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

    /// Reads the record sets of these names that have one of [`AROUND_TYPES`], one call per name, in parallel.
    ///
    /// # Errors
    /// A read fails.
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

    /// Reads all record sets of the zone.
    ///
    /// # Errors
    /// A read fails, or the pages do not end.
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
    ///
    /// # Errors
    /// A read fails, or the pages do not end.
    async fn read_name(
        &self,
        name: &DnsName,
        types: &BTreeSet<String>,
    ) -> Result<FoundGroups, CallError> {
        // If several types are wanted, the start has no type, so the order of types does not matter.
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

    /// Reads the wanted groups from pages of a zone of this size. A large zone is read in parallel stretches, because
    /// 34 pages one after the other would take longer than a round may wait.
    ///
    /// # Errors
    /// A read fails, or the pages do not end.
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
            // If a task panicked, its groups are missing and are read again below.
            if let Ok(read) = finished {
                found.extend(read?);
            }
        }
        // The ends of the stretches depend on the assumed order of names. So a group that no stretch contained is read
        // again before it counts as gone.
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

    /// Reads pages from `cursor` on, until all wanted groups are complete, the sort key `last` is passed, or the zone
    /// ends.
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

    /// Reads one page of at most `max_items` record sets.
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

    /// Returns the failure of a listing whose pages do not end.
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
