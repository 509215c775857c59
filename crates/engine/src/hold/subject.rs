//! The subject of a hold. Two holds are the same if their subjects are equal, whatever their numbers.

use jiff::Timestamp;

use super::{HaltReason, HoldReason};
use crate::drifted::Adoption;
use crate::evidence::gate::{Beyond, GateId, GateKind};
use crate::evidence::number::Number;
use crate::record::GroupName;
use crate::state::phase::Phase;
use crate::units::{DnsName, Weight};

impl HoldReason {
    /// Returns the cause that may hold several cutovers at once: this hold without the details of its cutover. `None`
    /// if a hold of this kind concerns one cutover only, as those about reverts do.
    #[must_use]
    #[expect(
        clippy::too_many_lines,
        reason = "a table: one entry a reason, none left out"
    )]
    pub fn common(&self) -> Option<Self> {
        Some(match self {
            Self::Route53Unreadable { .. } => Self::Route53Unreadable {
                group: GroupName {
                    name: DnsName::new(""),
                    record_type: String::new(),
                },
                message: String::new(),
            },
            Self::PlanChanged { .. } => Self::PlanChanged {
                path: String::new(),
                records: false,
                refused: None,
            },
            Self::PlanUnreadable { .. } => Self::PlanUnreadable {
                path: String::new(),
                message: String::new(),
                gone: false,
            },
            Self::UnknownTooLong { .. } => Self::UnknownTooLong {
                alarm: GateId {
                    gate: GateKind::Alarm,
                    region: None,
                    name: String::new(),
                },
                since: Timestamp::UNIX_EPOCH,
            },
            Self::AlarmRed { .. }
            | Self::FallbackRed { .. }
            | Self::AlarmMissing { .. }
            | Self::Clock { .. }
            | Self::BreakGlass { .. }
            | Self::Denied { .. }
            | Self::FleetUnreadable { .. } => self.subject(),
            Self::JournalDamaged { .. }
            | Self::RevertBlocked { .. }
            | Self::Halted { .. }
            | Self::OthersHoldWeight { .. }
            | Self::JobsBothOff { .. }
            | Self::JobsDrift { .. }
            | Self::JobsStuck { .. }
            | Self::JobsUnread { .. }
            | Self::HookFailed { .. }
            | Self::Drift { .. }
            | Self::AlreadyAtBaseline {}
            | Self::MeasureRed { .. }
            | Self::TrafficElsewhere { .. }
            | Self::Climbing { .. }
            | Self::MeasureNear { .. }
            | Self::TooFewRequests { .. }
            | Self::NeverCompared { .. }
            | Self::FallbackUnknown { .. }
            | Self::NoData { .. }
            | Self::Unknown { .. }
            | Self::Preflight { .. }
            | Self::NameUsed { .. }
            | Self::Claimed { .. }
            | Self::JournalDown { .. }
            | Self::BudgetSpent { .. }
            | Self::SharedFate { .. }
            | Self::Frozen { .. }
            | Self::Dependency { .. }
            | Self::FleetFull { .. }
            | Self::Paused { .. }
            | Self::Approval { .. }
            | Self::ApprovalOverdue { .. }
            | Self::WindowShut { .. }
            | Self::JobsUnseen {}
            | Self::JobsFiring { .. }
            | Self::JobsRunning { .. }
            | Self::JobsMoving { .. }
            | Self::HookRunning { .. }
            | Self::CallsWait {}
            | Self::Shifting { .. }
            | Self::InSyncLate { .. }
            | Self::Settling { .. }
            | Self::Baking { .. }
            | Self::Reverting { .. }
            | Self::Reverted { .. } => return None,
        })
    }

    /// Returns the subject: this hold without its numbers, times and messages.
    #[must_use]
    #[expect(
        clippy::too_many_lines,
        reason = "a table: one entry a reason, none left out"
    )]
    pub fn subject(&self) -> Self {
        let mut subject = self.clone();
        match &mut subject {
            Self::AlarmMissing { since, .. } | Self::NoData { since, .. } => *since = None,
            Self::Unknown { message, since, .. } => (*message, *since) = (String::new(), None),
            Self::UnknownTooLong { since, .. } | Self::ApprovalOverdue { since, .. } => {
                *since = Timestamp::UNIX_EPOCH;
            }
            Self::MeasureRed { beyond, .. } => without_numbers(beyond),
            Self::MeasureNear { beyond, .. } => without_numbers(beyond),
            Self::TooFewRequests {
                requests,
                needed,
                judged_at,
                ..
            } => (*requests, *needed, *judged_at) = (0, None, None),
            Self::NeverCompared { requests, .. } => *requests = 0,
            Self::TrafficElsewhere {
                observed,
                new_requests,
                old_requests,
                ..
            } => (*observed, *new_requests, *old_requests) = (Number::ZERO, 0, 0),
            Self::Climbing {
                value,
                per_hour,
                reaches_at,
                ..
            } => {
                (*value, *per_hour) = (Number::ZERO, Number::ZERO);
                *reaches_at = Timestamp::UNIX_EPOCH;
            }
            Self::Baking {
                until,
                counted_secs,
                ..
            } => (*until, *counted_secs) = (None, 0),
            Self::Settling { until, .. } => *until = None,
            // A window that never opens is another subject than one that opens later.
            Self::WindowShut { opens_at, .. } => {
                *opens_at = opens_at.map(|_| Timestamp::UNIX_EPOCH);
            }
            Self::Reverting { back, .. } => *back = 0,
            Self::Reverted { at, .. } => *at = Timestamp::UNIX_EPOCH,
            Self::JournalDamaged { message, .. }
            | Self::RevertBlocked { message }
            | Self::Route53Unreadable { message, .. }
            | Self::FallbackUnknown { message, .. }
            | Self::JournalDown { message }
            | Self::BreakGlass { message }
            | Self::FleetUnreadable { message }
            | Self::JobsStuck { message, .. }
            | Self::Denied { message, .. }
            | Self::Clock { message } => *message = String::new(),
            Self::HookFailed { tries, message, .. } => {
                (*tries, *message) = (0, String::new());
            }
            Self::OthersHoldWeight { members } => {
                for member in members {
                    (member.weight, member.of) = (Weight(0), 0);
                }
            }
            Self::JobsFiring { until, since } => (*until, *since) = (Timestamp::UNIX_EPOCH, None),
            Self::JobsUnread { message, since, .. } => {
                (*message, *since) = (String::new(), Timestamp::UNIX_EPOCH);
            }
            Self::JobsRunning {
                running,
                since,
                jobs,
                ..
            } => (*running, *since, *jobs) = (0, Timestamp::UNIX_EPOCH, Vec::new()),
            Self::Shifting { message, .. } => *message = None,
            Self::BudgetSpent {
                spent,
                budget,
                since,
                reverted,
                ..
            } => (*spent, *budget, *since, *reverted) = (0, 0, None, Vec::new()),
            Self::SharedFate {
                services,
                named,
                since,
            } => (*services, *named, *since) = (0, Vec::new(), Timestamp::UNIX_EPOCH),
            Self::Dependency {
                phase, step, steps, ..
            } => {
                // All unfinished phases are one subject. An end, or an unknown phase, is another.
                if phase.is_some_and(|phase| !phase.is_final()) {
                    *phase = Some(Phase::Waiting);
                }
                (*step, *steps) = (0, 0);
            }
            Self::FleetFull { in_flight, max } => (*in_flight, *max) = (0, 0),
            Self::Drift {
                found, adoption, ..
            } => (*found, *adoption) = (Vec::new(), Adoption::Refused),
            Self::PlanChanged { refused, .. } => *refused = None,
            Self::Halted {
                reason: HaltReason::Drift { found, .. },
            } => *found = Vec::new(),
            Self::Halted { .. }
            | Self::JobsBothOff { .. }
            | Self::JobsDrift { .. }
            | Self::JobsUnseen {}
            | Self::JobsMoving { .. }
            | Self::HookRunning { .. }
            | Self::CallsWait {}
            | Self::AlreadyAtBaseline {}
            | Self::AlarmRed { .. }
            | Self::FallbackRed { .. }
            | Self::Preflight { .. }
            | Self::NameUsed { .. }
            | Self::Claimed { .. }
            | Self::PlanUnreadable { .. }
            | Self::Frozen { .. }
            | Self::Paused { .. }
            | Self::Approval { .. }
            | Self::InSyncLate { .. } => {}
        }
        subject
    }
}

/// Removes the numbers from the datapoints beyond a bound. The bound and the unit stay.
fn without_numbers(beyond: &mut Beyond) {
    (beyond.value, beyond.points, beyond.of, beyond.old) = (Number::ZERO, 0, 0, None);
}
