//! Calls that read alarms and their history, in pages.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::Region;
use super::alarm::{
    AlarmDefinition, AlarmSource, HISTORY_KEPT, HistoryItem, HistoryKind, StoredAlarm,
};
use super::error::{ApiError, check_count, page_size};
use super::metrics::MetricKey;
use super::state::{bad_state, parse_state};

/// The most names in one `DescribeAlarms`. Source: API Reference.
pub const ALARM_NAMES_MAX: usize = 100;
/// The number of alarms on a page of `DescribeAlarms` if the caller gives no `MaxRecords`. Source: API Reference.
pub const DESCRIBE_PAGE: usize = 50;
/// The number of items on a page of `DescribeAlarmHistory` if the caller gives no `MaxRecords`.
const HISTORY_PAGE: usize = 100;

/// A `DescribeAlarms` request as it was sent. An empty list and `None` mean no restriction unless a field says
/// otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DescribeAlarms {
    /// `AlarmNames`, at most 100.
    pub names: Vec<String>,
    /// `AlarmNamePrefix`. Excludes `AlarmNames`.
    pub prefix: Option<String>,
    /// `AlarmTypes`: `MetricAlarm`, `CompositeAlarm`. If empty, only metric alarms are returned.
    pub types: Vec<String>,
    /// `StateValue`, for example `ALARM`.
    pub state: Option<String>,
    /// `ActionPrefix`: how one of the alarm's actions must begin.
    pub action_prefix: Option<String>,
    /// `MaxRecords`: 1 to 100. `None` means 50.
    pub max_records: Option<i64>,
    /// `NextToken` of the page before. `None` asks for the first page.
    pub next_token: Option<String>,
}

/// A `DescribeAlarmHistory` request as it was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DescribeHistory {
    /// `AlarmName`. `None` means all alarms.
    pub name: Option<String>,
    /// `AlarmTypes`: `MetricAlarm`, `CompositeAlarm`. If empty, only metric alarms are returned.
    pub types: Vec<String>,
    /// `HistoryItemType`: `StateUpdate`, `ConfigurationUpdate` or `Action`. `None` means every type.
    pub kind: Option<String>,
    /// `StartDate`, inclusive. `None` means no limit.
    pub start: Option<Timestamp>,
    /// `EndDate`, inclusive. `None` means no limit.
    pub end: Option<Timestamp>,
    /// `MaxRecords`: 1 to 100. `None` means 100.
    pub max_records: Option<i64>,
    /// `NextToken` of the page before. `None` asks for the first page.
    pub next_token: Option<String>,
    /// True if `ScanBy` is `TimestampAscending`. False means newest first, the default.
    pub ascending: bool,
}

/// One page of a reply.
#[derive(Debug, Clone, PartialEq)]
pub struct ResultPage<T> {
    /// The items on this page.
    pub items: Vec<T>,
    /// The token of the next page. `None` on the last page.
    pub next_token: Option<String>,
}

/// Returns two flags: whether metric alarms are wanted, and whether composite ones are.
///
/// # Errors
/// A type is unknown.
fn wanted_kinds(types: &[String]) -> Result<(bool, bool), ApiError> {
    let mut kinds = (types.is_empty(), false);
    for kind in types {
        match kind.as_str() {
            "MetricAlarm" => kinds.0 = true,
            "CompositeAlarm" => kinds.1 = true,
            other => {
                return Err(ApiError::validation(format!(
                    "Value '{other}' at 'alarmTypes' failed to satisfy constraint: \
                     [CompositeAlarm, MetricAlarm]"
                )));
            }
        }
    }
    Ok(kinds)
}

impl DescribeAlarms {
    /// Returns true if the alarm's name, and one of its actions, begin with the prefixes that were asked for.
    fn matches(&self, alarm: &StoredAlarm) -> bool {
        if let Some(prefix) = &self.prefix
            && !alarm.name.starts_with(prefix)
        {
            return false;
        }
        let Some(prefix) = &self.action_prefix else {
            return true;
        };
        let actions = [
            &alarm.alarm_actions,
            &alarm.ok_actions,
            &alarm.insufficient_data_actions,
        ];
        let mut actions = actions.into_iter().flatten();
        actions.any(|action| action.starts_with(prefix))
    }
}

impl Region {
    /// Runs `DescribeAlarms`: alarms in the order of their names. Unknown names are left out, without an error.
    ///
    /// # Errors
    /// There are more than 100 names, names together with a prefix, an unknown type or state, a page size out of range,
    /// or a token that this service did not issue.
    pub fn describe_alarms(
        &self,
        ask: &DescribeAlarms,
    ) -> Result<ResultPage<StoredAlarm>, ApiError> {
        check_count("alarmNames", ask.names.len(), ALARM_NAMES_MAX)?;
        if ask.prefix.is_some() && !ask.names.is_empty() {
            return Err(ApiError::validation(
                "AlarmNamePrefix and AlarmNames must not both be specified.",
            ));
        }
        let size = page_size(ask.max_records, DESCRIBE_PAGE)?;
        let (metric, composite) = wanted_kinds(&ask.types)?;
        let state = match ask.state.as_deref() {
            None => None,
            Some(text) => Some(parse_state(text).ok_or_else(|| bad_state(text))?),
        };
        let after = match ask.next_token.as_deref() {
            None => None,
            Some(token) => Some(
                token
                    .strip_prefix("alarms/")
                    .ok_or_else(ApiError::bad_token)?,
            ),
        };
        let candidates: Vec<&StoredAlarm> = if ask.names.is_empty() {
            self.alarms.values().collect()
        } else {
            let names: BTreeSet<&String> = ask.names.iter().collect();
            names
                .into_iter()
                .filter_map(|name| self.alarms.get(name))
                .collect()
        };
        let mut items: Vec<StoredAlarm> = Vec::new();
        for alarm in candidates {
            let of_kind = if alarm.is_composite() {
                composite
            } else {
                metric
            };
            let wanted = of_kind
                && state.is_none_or(|state| alarm.state == state)
                && after.is_none_or(|after| alarm.name.as_str() > after)
                && ask.matches(alarm);
            if !wanted {
                continue;
            }
            if items.len() == size {
                let next_token = items.last().map(|last| format!("alarms/{}", last.name));
                return Ok(ResultPage { items, next_token });
            }
            items.push(alarm.clone());
        }
        Ok(ResultPage {
            items,
            next_token: None,
        })
    }

    /// Runs `DescribeAlarmHistory`: newest first unless the request says otherwise. The history outlives its alarm.
    ///
    /// # Errors
    /// The page size is out of range, a type is unknown, or this service did not issue the token.
    pub fn describe_history(
        &self,
        ask: &DescribeHistory,
        now: Timestamp,
    ) -> Result<ResultPage<HistoryItem>, ApiError> {
        let size = page_size(ask.max_records, HISTORY_PAGE)?;
        let (metric, composite) = wanted_kinds(&ask.types)?;
        let kind = match ask.kind.as_deref() {
            None => None,
            Some("StateUpdate") => Some(HistoryKind::StateUpdate),
            Some("ConfigurationUpdate") => Some(HistoryKind::ConfigurationUpdate),
            // Actions are not modelled, so the history has no items of this type.
            Some("Action") => {
                return Ok(ResultPage {
                    items: Vec::new(),
                    next_token: None,
                });
            }
            Some(other) => {
                return Err(ApiError::validation(format!(
                    "Value '{other}' at 'historyItemType' failed to satisfy constraint"
                )));
            }
        };
        let skip = match ask.next_token.as_deref() {
            None => 0,
            Some(token) => token
                .strip_prefix("history/")
                .and_then(|number| number.parse().ok())
                .ok_or_else(ApiError::bad_token)?,
        };
        let histories: Vec<_> = match &ask.name {
            Some(name) => self.history.get(name).into_iter().collect(),
            None => self.history.values().collect(),
        };
        let mut found: Vec<&HistoryItem> = Vec::new();
        for item in histories.into_iter().flatten() {
            let of_kind = if item.composite { composite } else { metric };
            if of_kind
                && kind.is_none_or(|kind| item.kind == kind)
                && ask.start.is_none_or(|start| item.at >= start)
                && ask.end.is_none_or(|end| item.at <= end)
                && now.duration_since(item.at) <= HISTORY_KEPT
            {
                found.push(item);
            }
        }
        found.sort_by_key(|item| item.at);
        if !ask.ascending {
            found.reverse();
        }
        let page = found.iter().skip(skip).take(size);
        let items: Vec<HistoryItem> = page.map(|item| (*item).clone()).collect();
        let next = skip + items.len();
        let next_token = if next < found.len() {
            Some(format!("history/{next}"))
        } else {
            None
        };
        Ok(ResultPage { items, next_token })
    }

    /// Runs `DescribeAlarmsForMetric`: the alarms on exactly this metric, all dimensions equal. Alarms on expressions
    /// are not returned. A statistic or period of `None` matches every alarm.
    pub fn alarms_for_metric(
        &self,
        metric: &MetricKey,
        statistic: Option<&str>,
        period_secs: Option<i64>,
    ) -> Vec<StoredAlarm> {
        let mut found = Vec::new();
        for alarm in self.alarms.values() {
            let AlarmDefinition::Metric(definition) = &alarm.definition else {
                continue;
            };
            let AlarmSource::Metric(stat) = &definition.watched else {
                continue;
            };
            if stat.metric == *metric
                && statistic.is_none_or(|wanted| stat.statistic_text == wanted)
                && period_secs.is_none_or(|wanted| stat.period_secs == wanted)
            {
                found.push(alarm.clone());
            }
        }
        found
    }
}
