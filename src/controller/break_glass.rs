//! The break-glass files: change batches that `aws route53 change-resource-record-sets --change-batch file://…` takes as
//! they are, so that the way back works without this program.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::controller::batch::Size;
use crate::controller::observe::Seen;
use crate::controller::{Controller, batch, round};
use crate::engine::decide::{Decision, How, Part};
use crate::engine::event::Event;
use crate::engine::lists;
use crate::engine::observation::GroupReading;
use crate::engine::record::RecordSet;
use crate::engine::state::State;
use crate::engine::units::{CutoverName, ZoneId};
use crate::ports::{BreakGlass, ChangeAction, RecordChange, RecordKey};

/// The files for all cutovers between their first write and their end, by name: `ZONEID-01.json`, `-02` …, each within
/// Route 53's limits.
pub fn files<'a>(states: impl IntoIterator<Item = &'a State>) -> BTreeMap<String, String> {
    written(&changes(states), "")
}

/// What the files say: the changes of each zone, by group.
pub(super) type Changes = BTreeMap<ZoneId, Vec<Vec<RecordChange>>>;

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

/// The files, by their names.
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

/// The most characters of a change batch's comment (AWS, `ChangeBatch`).
const COMMENT_CHARS_MAX: usize = 256;

impl Controller {
    /// Stores the files of all that is about to start, in one go: one by one, a thousand starts would write them a
    /// thousand times.
    pub(super) fn break_glass_for_starts(&mut self, names: &[CutoverName], seen: &Seen) {
        let now = self.now();
        let starting = names.iter().filter_map(|name| {
            let state = self.book.state(name).filter(|state| !state.has_started())?;
            let seen = seen.get(name)?;
            // Nobody starts without having read all groups, and most of those that wait have read none.
            if seen
                .groups
                .iter()
                .any(|it| !matches!(it, GroupReading::Read { .. }))
            {
                return None;
            }
            let decision = round::lawful(state, self.book.fleet(), seen, now);
            let starts = self.starts(name, &decision);
            starts.then(|| started(state, &decision))
        });
        // Each is decided as if it were the only one: beyond the free slots none of them starts.
        let slots = self.book.fleet().free_slots();
        let starting: Vec<State> = starting.take(slots).collect();
        if !starting.is_empty() {
            self.store_break_glass(&starting);
        }
    }

    /// Before the first write the break-glass files must already know the cutover. False if they cannot be written.
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

    pub(super) fn keep_break_glass(&mut self) {
        self.store_break_glass(&[]);
    }

    /// Stores the files of all cutovers between first write and end, if they changed.
    fn store_break_glass(&mut self, starting: &[State]) {
        let Some(store) = self.outside.break_glass.clone() else {
            return;
        };
        if !self.caught_up {
            // Before the journal was read nobody seems to be under way, and the files would be lost.
            return;
        }
        let under_way = || {
            let started = |state: &&State| state.has_started() && !state.phase.is_final();
            self.book.states().filter(started).chain(starting)
        };
        let whole = self.break_glass_error.is_none()
            && self.break_glass_stored.is_some()
            && store.are_there();
        // Both in the order of their names.
        let known = self.break_glass_of.iter().map(|(name, seq)| (name, *seq));
        let same = || under_way().map(|state| (&state.name, state.seq)).eq(known);
        if whole && starting.is_empty() && same() {
            return;
        }
        let changes = changes(under_way());
        let made_of = under_way().map(|state| (state.name.clone(), state.seq));
        self.break_glass_of = made_of.collect();
        // Few entries change what the files say, and to write them takes longer than all the rest of a round. After a
        // failure they are stored again, whatever is to be in them: that alone tells that it is over.
        if whole && self.break_glass_stored.as_ref() == Some(&changes) {
            return;
        }
        let kept = self.keep_others(store.as_ref());
        match kept.and_then(|()| store.store(&written(&changes, self.book.born()))) {
            Ok(()) => {
                self.break_glass_stored = Some(changes);
                self.break_glass_error = None;
            }
            Err(error) => {
                tracing::error!("the break-glass files cannot be written: {error}");
                self.break_glass_error = Some(error);
            }
        }
    }

    /// Before this process stores its first files: whatever lies there of cutovers that never wrote by this journal is the
    /// only way back that those have.
    fn keep_others(&self, store: &dyn BreakGlass) -> Result<(), String> {
        if self.break_glass_stored.is_some() {
            return Ok(());
        }
        let wrote = |state: &&State| state.has_started() || state.baseline.is_some();
        let groups = self.book.states().filter(wrote);
        let groups = groups.flat_map(|state| &state.plan().records);
        let known: BTreeSet<RecordKey> = groups
            .flat_map(|group| {
                let members = [&group.old, &group.new];
                members.map(|member| (group.name.clone(), member.clone()))
            })
            .collect();
        let kept = store.keep_others(&known, self.now())?;
        if !kept.is_empty() {
            tracing::warn!(
                page = true,
                "break-glass files of cutovers that this journal does not know are kept as {}: if their journal is \
                 lost, that is their way back: `cutover rollback --from FILE…`",
                lists::some(&kept, ", ")
            );
        }
        Ok(())
    }
}

/// The state as it will be once its first step is intended, as far as the files want to know.
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
        if let Some(last) = batches.last_mut().filter(|_| grown.fits()) {
            last.extend(group.iter().cloned());
            total = grown;
        } else {
            batches.push(group.clone());
            total = size;
        }
    }
    let file = |(index, changes): (usize, &Vec<RecordChange>)| {
        let changes: Vec<Value> = changes.iter().map(change).collect();
        let batch = json!({ "Comment": comment, "Changes": changes });
        (
            format!("{zone}-{:02}.json", index + 1),
            format!("{batch:#}\n"),
        )
    };
    batches.iter().enumerate().map(file).collect()
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
