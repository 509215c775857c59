//! The break-glass files: change batches for `aws route53 change-resource-record-sets --change-batch file://…`, so that
//! the way back works without this program.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::controller::batch::Size;
use crate::controller::observe::Seen;
use crate::controller::{Changes, Controller, batch, round};
use crate::engine::decide::{Decision, How, Part};
use crate::engine::event::Event;
use crate::engine::lists;
use crate::engine::observation::{GroupReading, Observation};
use crate::engine::record::RecordSet;
use crate::engine::state::State;
use crate::engine::units::{CutoverName, ZoneId};
use crate::ports::{BreakGlass, ChangeAction, RecordChange, RecordKey};

fn changes<'a>(states: impl IntoIterator<Item = &'a State>) -> Changes {
    let mut zones = Changes::new();
    for state in states {
        for (index, baseline) in state.baseline.iter().flatten().enumerate() {
            let verified = state.verified.as_ref().and_then(|images| images.get(index));
            let image = verified.unwrap_or(baseline).clone();
            let part = Part {
                group: index,
                to: baseline.pair(),
                image,
                how: How::Upsert,
            };
            zones
                .entry(baseline.zone.clone())
                .or_default()
                .push(batch::changes(&part));
        }
    }
    zones
}

/// Returns the files by name. `journal` identifies the journal, and may be empty.
fn written(zones: &Changes, journal: &str) -> BTreeMap<String, String> {
    let begun = if journal.is_empty() {
        String::new()
    } else {
        format!("; journal begun {journal}")
    };
    let comment = format!("cutover break-glass: back to the baseline{begun}");
    let comment: String = comment.chars().take(COMMENT_CHARS_MAX).collect();
    zones
        .iter()
        .flat_map(|(zone, groups)| zone_files(zone, groups, &comment))
        .collect()
}

/// Largest number of characters in the comment of a change batch. Source: Route 53 API Reference, `ChangeBatch`.
const COMMENT_CHARS_MAX: usize = 256;

impl Controller {
    /// Stores the files of all cutovers that are about to start in one go. If each start stored its own, a thousand
    /// starts would write all files a thousand times.
    pub(super) fn break_glass_for_starts(&mut self, names: &[CutoverName], seen: &Seen) {
        let now = self.now();
        // Each cutover is decided as if it were the only one, so more might start than there are free slots. The loop
        // ends at that number.
        let slots = self.book.fleet().free_slots();
        let mut starting: Vec<State> = Vec::new();
        for name in names {
            if starting.len() >= slots {
                break;
            }
            if let Some(seen) = seen.get(name) {
                starting.extend(self.starting(name, seen, now));
            }
        }
        if !starting.is_empty() {
            self.store_break_glass(&starting);
        }
    }

    /// Returns the state that a cutover has once its first step is intended; `None` if it is not about to start.
    fn starting(&self, name: &CutoverName, seen: &Observation, now: Timestamp) -> Option<State> {
        let state = self.book.state(name)?;
        if state.has_started() {
            return None;
        }
        // No cutover starts before all its groups are read, and most waiting cutovers have no group read.
        let mut groups = seen.groups.iter();
        if groups.any(|group| !matches!(group, GroupReading::Read { .. })) {
            return None;
        }
        let decision = round::decide_checked(state, self.book.fleet(), seen, now);
        if !self.starts(name, &decision) {
            return None;
        }
        Some(started(state, &decision))
    }

    /// Stores the break-glass files before the first write of a cutover, if they do not hold it yet. Returns false if
    /// they cannot be written.
    pub(super) fn break_glass_first(&mut self, name: &CutoverName, decision: &Decision) -> bool {
        let Some(state) = self.book.state(name) else {
            return true;
        };
        if self.break_glass_error.is_none() && !self.break_glass_of.contains_key(name) {
            let starting = started(state, decision);
            self.store_break_glass(&[starting]);
        }
        self.break_glass_error.is_none()
    }

    /// Stores the break-glass files if they changed or are missing.
    pub(super) fn keep_break_glass(&mut self) {
        self.store_break_glass(&[]);
    }

    /// Stores the files of all cutovers between their first write and their end, and of those in `starting`, if the
    /// files changed or are missing.
    fn store_break_glass(&mut self, starting: &[State]) {
        let Some(store) = self.outside.break_glass.clone() else {
            return;
        };
        if !self.caught_up {
            // Before the journal is read, no cutover seems to be under way, and the files would be removed.
            return;
        }
        let mut under_way: Vec<&State> = Vec::new();
        for state in self.book.states() {
            if state.has_started() && !state.phase.is_final() {
                under_way.push(state);
            }
        }
        under_way.extend(starting);
        let whole = self.break_glass_error.is_none()
            && self.break_glass_stored.is_some()
            && store.are_there();
        let mut made_of = BTreeMap::new();
        for state in &under_way {
            made_of.insert(state.name.clone(), state.seq);
        }
        if whole && starting.is_empty() && made_of == self.break_glass_of {
            return;
        }
        let changes = changes(under_way);
        self.break_glass_of = made_of;
        // Few entries change the files, and writing them takes longer than the rest of a round. After a failure they
        // are stored again even if unchanged: only a write shows that the failure is over.
        if whole && self.break_glass_stored.as_ref() == Some(&changes) {
            return;
        }
        let kept = self.keep_others(store.as_ref());
        match kept.and_then(|()| store.store(&written(&changes, self.book.journal_id()))) {
            Ok(()) => {
                self.break_glass_stored = Some(changes);
                self.break_glass_error = None;
            }
            Err(error) => {
                tracing::error!(
                    "the break-glass files cannot be written, no cutover starts: {error}"
                );
                self.break_glass_error = Some(error);
            }
        }
    }

    /// Renames files of cutovers that this journal has never written, before this process stores its first files. They
    /// are the only way back that those cutovers have.
    fn keep_others(&self, store: &dyn BreakGlass) -> Result<(), String> {
        if self.break_glass_stored.is_some() {
            return Ok(());
        }
        let mut known: BTreeSet<RecordKey> = BTreeSet::new();
        for state in self.book.states() {
            if !state.has_started() && state.baseline.is_none() {
                continue;
            }
            for group in &state.plan().records {
                known.insert((group.name.clone(), group.old.clone()));
                known.insert((group.name.clone(), group.new.clone()));
            }
        }
        let kept = store.keep_others(&known, self.now())?;
        if !kept.is_empty() {
            tracing::error!(
                page = true,
                "break-glass files of cutovers that this journal does not know are kept as {}; if their journal is \
                 lost, roll them back with `cutover rollback --from FILE…`",
                lists::some(&kept, ", ")
            );
        }
        Ok(())
    }
}

/// Returns the state after its first step is intended, with the fields that the files need.
fn started(state: &State, decision: &Decision) -> State {
    let mut starting = state.clone();
    for event in &decision.events {
        if let Event::WeightChangeIntended {
            targets, baseline, ..
        } = event
        {
            let images = targets.iter().map(|target| target.from.clone()).collect();
            starting.baseline = starting.baseline.or_else(|| baseline.clone());
            starting.verified = Some(images);
        }
    }
    starting
}

fn zone_files(zone: &ZoneId, groups: &[Vec<RecordChange>], comment: &str) -> Vec<(String, String)> {
    let (mut batches, mut total): (Vec<Vec<RecordChange>>, Size) = (Vec::new(), Size::default());
    for group in groups {
        let size = batch::size(group);
        let grown = total.plus(size);
        match batches.last_mut() {
            Some(last) if grown.fits() => {
                last.extend(group.iter().cloned());
                total = grown;
            }
            Some(_) | None => {
                batches.push(group.clone());
                total = size;
            }
        }
    }
    let mut files = Vec::new();
    for (index, changes) in batches.iter().enumerate() {
        let changes: Vec<Value> = changes.iter().map(change).collect();
        let batch = json!({ "Comment": comment, "Changes": changes });
        let name = format!("{zone}-{:02}.json", index + 1);
        files.push((name, format!("{batch:#}\n")));
    }
    files
}

fn change(change: &RecordChange) -> Value {
    let action = match change.action {
        ChangeAction::Create => "CREATE",
        ChangeAction::Delete => "DELETE",
        ChangeAction::Upsert => "UPSERT",
    };
    json!({ "Action": action, "ResourceRecordSet": record_set(&change.record) })
}

fn record_set(record: &RecordSet) -> Value {
    let mut set = json!({
        "Name": record.name,
        "Type": record.record_type,
        "SetIdentifier": record.set_identifier,
        "Weight": record.weight.0,
    });
    if let Some(ttl) = record.ttl {
        set["TTL"] = json!(ttl);
    }
    if !record.values.is_empty() {
        let values: Vec<Value> = record
            .values
            .iter()
            .map(|value| json!({ "Value": value }))
            .collect();
        set["ResourceRecords"] = json!(values);
    }
    if let Some(alias) = &record.alias {
        set["AliasTarget"] = json!({
            "HostedZoneId": alias.zone_id,
            "DNSName": alias.dns_name,
            "EvaluateTargetHealth": alias.evaluate_target_health,
        });
    }
    if let Some(check) = &record.health_check_id {
        set["HealthCheckId"] = json!(check);
    }
    set
}
