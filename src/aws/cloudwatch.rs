//! Implements the port `Signals` with `CloudWatch`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_cloudwatch::operation::describe_alarms::DescribeAlarmsOutput;
use aws_sdk_cloudwatch::types::{AlarmType, CompositeAlarm, MetricAlarm, StateValue};
use aws_smithy_types::DateTime;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::alarm_history::HISTORY;
use super::config::{AwsClients, READ_TIMEOUT};
use super::errors::{call_error, endless, no_token, too_late};
use super::guard::called;
use super::sdk_times::our_time;
use crate::engine::account::{Account, number_of_arn};
use crate::engine::event::FailureClass;
use crate::engine::evidence::plan::Query;
use crate::engine::evidence::reading::Readings;
use crate::engine::evidence::wanted::Minutes;
use crate::engine::observation::{AlarmReading, AlarmState, HistoryReading};
use crate::engine::units::AlarmId;
use crate::ports::{AlarmPage, CallError, Signals, Urgency, alarms_within};

const ALARMS: &str = "DescribeAlarms";
/// The most names in a call, and the most alarms on a page. Source: `CloudWatch` API Reference, `DescribeAlarms`.
const NAMES_PER_CALL: usize = 100;
const RECORDS_PER_PAGE: i32 = 100;
/// The most pages of a call. 100 alarms fit on one page, so more pages than this mean that the pages do not end.
const ALARM_PAGES_MAX: usize = 5;
/// The longest time of a whole `alarm_history`, including waits for tokens.
const HISTORY_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest wait of a page for a token. The deadline of the whole reading is shorter and ends it earlier.
const TOKEN_WITHIN: Duration = Duration::from_mins(5);
/// The number of levels to which composite alarms within composite alarms are followed.
const COMPOSITE_LEVELS_MAX: usize = 5;

/// The message if neither the plan nor the environment names a region.
pub(super) const NO_REGION: &str = "no AWS region: set aws.region in the plan or AWS_REGION";

/// Reads alarms and metrics from `CloudWatch`. Clones share clients and budgets.
#[derive(Debug, Clone)]
pub struct CloudWatchSignals {
    pub(super) clients: Arc<AwsClients>,
}

/// The alarms that one call found, by name. An alarm that is absent does not exist.
type PageReadings = Result<BTreeMap<String, FoundAlarm>, CallError>;

impl CloudWatchSignals {
    pub(super) fn new(clients: Arc<AwsClients>) -> Self {
        Self { clients }
    }

    /// Returns the alarm's region, otherwise the environment's. `None` if neither is set.
    pub(super) fn region_of(&self, alarm: &AlarmId) -> Option<String> {
        let own = alarm.region.as_deref();
        own.or(self.clients.region()).map(str::to_owned)
    }

    /// Divides alarms into calls, each with its region. The region is `None` if neither the alarm nor the environment
    /// names one.
    fn pages(&self, wanted: &BTreeSet<AlarmId>) -> Vec<(Option<String>, Vec<AlarmId>)> {
        let mut regions: BTreeMap<Option<String>, Vec<AlarmId>> = BTreeMap::new();
        for alarm in wanted {
            let region = self.region_of(alarm);
            regions.entry(region).or_default().push(alarm.clone());
        }
        let mut pages = Vec::new();
        for (region, mut alarms) in regions {
            // An alarm may be named both with and without its region. Sorting brings the two together, so it is read
            // once.
            alarms.sort_by(|one, other| one.bare_name().cmp(other.bare_name()));
            let chunks = alarms.chunks(NAMES_PER_CALL);
            pages.extend(chunks.map(|page| (region.clone(), page.to_vec())));
        }
        pages
    }

    /// Reads the alarms of one call. If the call fails or misses the deadline, every reading gives the reason.
    async fn read_alarms_of(
        &self,
        account: &Account,
        region: Option<&str>,
        page: Vec<AlarmId>,
        deadline: Instant,
    ) -> Vec<(AlarmId, AlarmReading)> {
        let read = match region {
            Some(region) => {
                let names = page.iter().map(|alarm| alarm.bare_name().to_owned());
                let mut names: Vec<String> = names.collect();
                names.dedup();
                let reading = self.read_page(account, region, &names);
                let read = tokio::time::timeout_at(deadline, reading).await;
                read.unwrap_or_else(|_| Err(too_late(ALARMS, READ_TIMEOUT)))
            }
            None => Err(CallError::new(ALARMS, FailureClass::Permanent, NO_REGION)),
        };
        let mut readings = Vec::new();
        for alarm in page {
            let reading = match &read {
                Ok(found) => match found.get(alarm.bare_name()) {
                    Some(found) => found.reading_of(&alarm),
                    None => AlarmReading::Missing,
                },
                Err(error) if error.class == FailureClass::Denied => {
                    AlarmReading::Denied(error.to_string())
                }
                // No call was made, so an error with the operation's name would mislead.
                Err(error) if region.is_none() => AlarmReading::Unreadable(error.message.clone()),
                Err(error) => AlarmReading::Unreadable(error.to_string()),
            };
            readings.push((alarm, reading));
        }
        readings
    }

    /// Makes one call of `DescribeAlarms`, with all its pages.
    ///
    /// # Errors
    /// The call fails or gets no token, or the pages do not end.
    async fn read_page(&self, account: &Account, region: &str, names: &[String]) -> PageReadings {
        let client = self.clients.cloudwatch(account, region).await;
        let budgets = self.clients.alarm_budgets(account, region);
        let mut readings = BTreeMap::new();
        let mut next_token = None;
        for _ in 0..ALARM_PAGES_MAX {
            let token = budgets
                .alarms
                .acquire(ALARMS, Urgency::Normal, TOKEN_WITHIN);
            token.await.map_err(|waited| no_token(ALARMS, waited))?;
            // Without types, AWS would return only metric alarms, and a composite alarm would seem to be missing.
            let request = client
                .describe_alarms()
                .set_alarm_names(Some(names.to_vec()))
                .alarm_types(AlarmType::MetricAlarm)
                .alarm_types(AlarmType::CompositeAlarm)
                .max_records(RECORDS_PER_PAGE)
                .set_next_token(next_token);
            let reply = called(request.send()).await;
            let reply = reply.map_err(|error| call_error(ALARMS, &error))?;
            collect(&reply, &mut readings);
            match reply.next_token {
                Some(token) if !token.is_empty() => next_token = Some(token),
                _ => return Ok(readings),
            }
        }
        Err(endless(ALARMS))
    }

    /// Reads the spans of alarms of one region, and of all alarms in the rules of composite ones. Alarms that cannot be
    /// read are left out.
    async fn read_spans(
        &self,
        account: &Account,
        region: &str,
        names: &[String],
    ) -> BTreeMap<String, SignedDuration> {
        let (mut spans, mut rules) = (BTreeMap::new(), BTreeMap::new());
        let mut asked: BTreeSet<String> = BTreeSet::new();
        let mut next: BTreeSet<String> = names.iter().cloned().collect();
        for _ in 0..COMPOSITE_LEVELS_MAX {
            next.retain(|name| asked.insert(name.clone()));
            let wanted: Vec<String> = std::mem::take(&mut next).into_iter().collect();
            for page in wanted.chunks(NAMES_PER_CALL) {
                let definitions = self.read_definitions(account, region, page).await;
                for definition in definitions {
                    match definition {
                        AlarmDefinition::Span(name, span) => drop(spans.insert(name, span)),
                        AlarmDefinition::Rule(name, children) => {
                            next.extend(children.iter().cloned());
                            rules.insert(name, children);
                        }
                    }
                }
            }
            if next.is_empty() {
                break;
            }
        }
        composite_spans(spans, &rules)
    }

    /// Reads the definitions of up to [`NAMES_PER_CALL`] alarms of one region. Alarms that cannot be read are left out.
    async fn read_definitions(
        &self,
        account: &Account,
        region: &str,
        names: &[String],
    ) -> Vec<AlarmDefinition> {
        let client = self.clients.cloudwatch(account, region).await;
        let budgets = self.clients.alarm_budgets(account, region);
        let token = budgets
            .alarms
            .acquire(ALARMS, Urgency::Normal, READ_TIMEOUT);
        if token.await.is_err() {
            return Vec::new();
        }
        let request = client
            .describe_alarms()
            .set_alarm_names(Some(names.to_vec()))
            .alarm_types(AlarmType::MetricAlarm)
            .alarm_types(AlarmType::CompositeAlarm)
            .max_records(RECORDS_PER_PAGE);
        let Ok(reply) = called(request.send()).await else {
            return Vec::new();
        };
        let mut definitions = Vec::new();
        for alarm in reply.metric_alarms() {
            if let (Some(name), Some(span)) = (alarm.alarm_name(), span_of(alarm)) {
                definitions.push(AlarmDefinition::Span(name.to_owned(), span));
            }
        }
        for alarm in reply.composite_alarms() {
            if let (Some(name), Some(rule)) = (alarm.alarm_name(), alarm.alarm_rule()) {
                definitions.push(AlarmDefinition::Rule(name.to_owned(), children_of(rule)));
            }
        }
        definitions
    }
}

#[async_trait]
impl Signals for CloudWatchSignals {
    async fn read_alarms_by_page(
        &self,
        account: &Account,
        wanted: &BTreeSet<AlarmId>,
        told: &UnboundedSender<AlarmPage>,
    ) {
        let deadline = Instant::now() + alarms_within(wanted.len());
        let mut reads = JoinSet::new();
        for (region, page) in self.pages(wanted) {
            let (signals, account, told) = (self.clone(), account.clone(), told.clone());
            reads.spawn(async move {
                let reading = signals.read_alarms_of(&account, region.as_deref(), page, deadline);
                let page = reading.await;
                // If the receiver is gone, the readings are no longer needed.
                drop(told.send((account, page)));
            });
        }
        while reads.join_next().await.is_some() {}
    }

    async fn alarm_history(
        &self,
        account: &Account,
        alarm: &AlarmId,
        since: Timestamp,
    ) -> HistoryReading {
        let reading = async {
            let Some(region) = self.region_of(alarm) else {
                return HistoryReading::Unreadable(NO_REGION.to_owned());
            };
            match self
                .clients
                .read_history(account, &region, alarm.bare_name(), since)
                .await
            {
                Ok(entered) => HistoryReading::EnteredAlarm(entered),
                Err(error) if error.class == FailureClass::Denied => {
                    HistoryReading::Denied(error.to_string())
                }
                Err(error) => HistoryReading::Unreadable(error.to_string()),
            }
        };
        tokio::time::timeout(HISTORY_TIMEOUT, reading)
            .await
            .unwrap_or_else(|_| {
                HistoryReading::Unreadable(too_late(HISTORY, HISTORY_TIMEOUT).to_string())
            })
    }

    async fn read_series(&self, account: &Account, wanted: &BTreeMap<Query, Minutes>) -> Readings {
        self.series(account, wanted).await
    }

    async fn alarm_spans(
        &self,
        account: &Account,
        wanted: &BTreeSet<AlarmId>,
    ) -> BTreeMap<AlarmId, SignedDuration> {
        let mut regions: BTreeMap<String, Vec<&AlarmId>> = BTreeMap::new();
        for alarm in wanted {
            if let Some(region) = self.region_of(alarm) {
                regions.entry(region).or_default().push(alarm);
            }
        }
        let mut spans = BTreeMap::new();
        for (region, alarms) in regions {
            for page in alarms.chunks(NAMES_PER_CALL) {
                let names = page.iter().map(|alarm| alarm.bare_name().to_owned());
                let names: Vec<String> = names.collect();
                let read = self.read_spans(account, &region, &names).await;
                for alarm in page {
                    if let Some(span) = read.get(alarm.bare_name()) {
                        spans.insert((*alarm).clone(), *span);
                    }
                }
            }
        }
        spans
    }

    async fn credentials_expire_at(&self) -> Option<Timestamp> {
        self.clients.credentials_expire_at().await
    }

    fn clock_skew(&self) -> Option<SignedDuration> {
        self.clients.cloudwatch_dates.skew()
    }
}

/// The part of an alarm's definition that decides its span: the time that its evaluation looks back.
enum AlarmDefinition {
    /// A metric alarm's name and span.
    Span(String, SignedDuration),
    /// A composite alarm's name, and the names of the alarms in its rule.
    Rule(String, BTreeSet<String>),
}

/// Returns the names of the alarms in a composite alarm's rule, for example `ALARM("a") AND NOT OK(arn:…:alarm:b)`.
///
/// Source: `CloudWatch` API Reference, `PutCompositeAlarm`, `AlarmRule`.
fn children_of(rule: &str) -> BTreeSet<String> {
    let mut children = BTreeSet::new();
    let mut rest = rule;
    while let Some((before, after)) = rest.split_once('(') {
        rest = after;
        let word = before.trim_end();
        let asks = ["ALARM", "OK", "INSUFFICIENT_DATA"];
        if !asks.iter().any(|state| word.ends_with(state)) {
            continue;
        }
        let after = after.trim_start();
        let child = match after.chars().next() {
            Some(quote @ ('"' | '\'')) => after[1..].split_once(quote),
            Some(_) | None => after.split_once(')'),
        };
        let Some((child, left)) = child else {
            break;
        };
        let name = child.rsplit_once(":alarm:").map_or(child, |(_, name)| name);
        children.insert(name.trim().to_owned());
        rest = left;
    }
    children
}

/// Adds the spans of composite alarms to those of metric alarms. A composite alarm is as slow as the slowest alarm in
/// its rule.
fn composite_spans(
    mut spans: BTreeMap<String, SignedDuration>,
    rules: &BTreeMap<String, BTreeSet<String>>,
) -> BTreeMap<String, SignedDuration> {
    // Each pass computes one more level of composite alarms. The limit ends the loop if alarms name each other in a
    // circle.
    for _ in 0..COMPOSITE_LEVELS_MAX {
        let before = spans.clone();
        for (name, children) in rules {
            let slowest = children.iter().filter_map(|child| before.get(child)).max();
            if let Some(slowest) = slowest {
                spans.insert(name.clone(), *slowest);
            }
        }
        if spans == before {
            break;
        }
    }
    spans
}

/// Returns the span of a metric alarm: its period times its evaluation periods. For a metric math expression the
/// longest period counts. `None` if a number is missing.
fn span_of(alarm: &MetricAlarm) -> Option<SignedDuration> {
    let of_metrics = alarm
        .metrics()
        .iter()
        .filter_map(|query| query.metric_stat()?.period().or(query.period()))
        .max();
    let period = alarm.period().or(of_metrics)?;
    let secs = i64::from(period).checked_mul(i64::from(alarm.evaluation_periods()?))?;
    Some(SignedDuration::from_secs(secs))
}

/// An alarm that a reply contains.
struct FoundAlarm {
    reading: AlarmReading,
    arn: Option<String>,
}

impl FoundAlarm {
    /// Returns the reading of the wanted alarm. If the found alarm is in another account, it is not the wanted one, and
    /// the reading says so.
    fn reading_of(&self, wanted: &AlarmId) -> AlarmReading {
        let here = self.arn.as_deref().and_then(number_of_arn);
        match (wanted.account_number(), here) {
            (Some(wanted), Some(here)) if wanted != here => AlarmReading::Unreadable(format!(
                "the alarm is in account {wanted}, but was looked for in account {here}: give the alarm `role_arn`, a role of account {wanted}"
            )),
            (Some(_) | None, Some(_) | None) => self.reading.clone(),
        }
    }
}

/// Adds the alarms of a reply to `readings`.
fn collect(reply: &DescribeAlarmsOutput, readings: &mut BTreeMap<String, FoundAlarm>) {
    for alarm in reply.metric_alarms() {
        let reading = metric_reading(alarm);
        let arn = alarm.alarm_arn().map(str::to_owned);
        if let Some(name) = alarm.alarm_name() {
            readings.insert(name.to_owned(), FoundAlarm { reading, arn });
        }
    }
    for alarm in reply.composite_alarms() {
        let reading = composite_reading(alarm);
        let arn = alarm.alarm_arn().map(str::to_owned);
        if let Some(name) = alarm.alarm_name() {
            readings.insert(name.to_owned(), FoundAlarm { reading, arn });
        }
    }
}

fn metric_reading(alarm: &MetricAlarm) -> AlarmReading {
    let evaluation = alarm.evaluation_state.as_ref();
    found(
        alarm.state_value.as_ref(),
        alarm
            .state_transitioned_timestamp
            .or(alarm.state_updated_timestamp),
        evaluation.map(|state| state.as_str().to_owned()),
    )
}

fn composite_reading(alarm: &CompositeAlarm) -> AlarmReading {
    let changed_at = alarm
        .state_transitioned_timestamp
        .or(alarm.state_updated_timestamp);
    found(alarm.state_value.as_ref(), changed_at, None)
}

/// Returns the reading of an alarm with this state. A missing or unknown state is unreadable.
fn found(
    state: Option<&StateValue>,
    changed_at: Option<DateTime>,
    evaluation: Option<String>,
) -> AlarmReading {
    let state = match state {
        Some(StateValue::Ok) => AlarmState::Ok,
        Some(StateValue::Alarm) => AlarmState::Alarm,
        Some(StateValue::InsufficientData) => AlarmState::InsufficientData,
        Some(other) => return AlarmReading::Unreadable(format!("unknown alarm state {other}")),
        None => return AlarmReading::Unreadable("the alarm has no state".to_owned()),
    };
    AlarmReading::Found {
        state,
        transitioned_at: changed_at.as_ref().and_then(our_time),
        evaluation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rules_children_are_found_in_every_form() {
        let rule = "ALARM(\"a (1)\") AND (NOT OK(b) OR INSUFFICIENT_DATA('c')) AND TRUE AND \
                    ALARM(arn:aws:cloudwatch:eu-central-1:123456789012:alarm:d)";
        let expected = ["a (1)", "b", "c", "d"].map(str::to_owned);
        assert_eq!(children_of(rule), BTreeSet::from(expected));
        assert!(children_of("TRUE").is_empty());
    }

    #[test]
    fn a_composite_alarm_is_as_slow_as_its_slowest_child_through_all_levels() {
        let minutes = SignedDuration::from_mins;
        let spans = [("a", 5), ("b", 60)];
        let spans = spans.map(|(name, mins)| (name.to_owned(), minutes(mins)));
        let rule = |name: &str, children: &[&str]| {
            let children = children.iter().map(|child| (*child).to_owned());
            (name.to_owned(), children.collect())
        };
        let rules = [rule("top", &["a", "middle"]), rule("middle", &["b", "top"])];
        let spans = composite_spans(spans.into(), &rules.into());
        assert_eq!(spans["top"], minutes(60));
        assert_eq!(spans["middle"], minutes(60));
    }

    #[test]
    fn the_transition_counts_before_the_update() {
        let alarm = MetricAlarm::builder()
            .state_value(StateValue::Ok)
            .state_updated_timestamp(DateTime::from_secs(200))
            .state_transitioned_timestamp(DateTime::from_secs(100));
        let AlarmReading::Found {
            transitioned_at, ..
        } = metric_reading(&alarm.build())
        else {
            panic!("found");
        };
        assert_eq!(transitioned_at, Timestamp::from_second(100).ok());
    }
}
