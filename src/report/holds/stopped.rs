//! Why it stopped, and why it went back.

use super::ZONE;
use crate::engine::drifted::Astray;
use crate::engine::hold::{HaltReason, RevertCause};
use crate::engine::units::CutoverName;
use crate::report::{drifted, evidence, text};

/// Why the cutover `name` is halted and what a person can do, in one line.
pub fn halt(reason: &HaltReason, name: &CutoverName) -> String {
    let remedy = halt_remedy(reason, name, ZONE);
    format!("{}; {remedy}", halt_fact(reason))
}

/// Why a cutover is halted.
pub(in crate::report) fn halt_fact(reason: &HaltReason) -> String {
    match reason {
        HaltReason::BothRed { gate, fallback } if gate == fallback => format!(
            "halted: {} is beyond its bound on both sides, so going back would not help",
            evidence::gate(gate)
        ),
        HaltReason::BothRed { gate, fallback } => format!(
            "halted: {} and fallback alarm {fallback} are both red, so neither cluster is known to be good",
            evidence::gate(gate)
        ),
        HaltReason::Drift { groups, found } => {
            let over = if found.iter().all(Astray::yields_to_force) {
                "and going back would overwrite that"
            } else {
                "and going back cannot be written beside that"
            };
            format!(
                "halted: somebody else changed {}, {over}",
                drifted::changed(groups, found)
            )
        }
        HaltReason::StepFailed { message, .. } => format!(
            "halted: a step failed ({message}) and a red fallback alarm forbids taking it back"
        ),
        HaltReason::Invariant { message } => {
            format!("halted: an invariant of this program does not hold ({message})")
        }
    }
}

/// What a person can do about a halt.
pub(super) fn halt_remedy(reason: &HaltReason, name: &CutoverName, zone: &str) -> String {
    match reason {
        HaltReason::BothRed { .. } => {
            format!("take the traffic back anyway: `cutover rollback {name}`")
        }
        HaltReason::Drift { found, .. } => format!(
            "look at it, then {}",
            drifted::back_or_leave(found, name.as_str(), zone)
        ),
        HaltReason::StepFailed {
            verified: false, ..
        } => format!("take what was written back: `cutover rollback {name}`"),
        HaltReason::StepFailed { verified: true, .. } => {
            format!("`cutover rollback {name}`, or once mended `cutover retry {name}`")
        }
        HaltReason::Invariant { .. } => format!(
            "gates stay armed; `cutover rollback {name}`, and please report it with `cutover history {name}`"
        ),
    }
}

/// Why the traffic is taken back, in one line.
pub fn cause(cause: &RevertCause) -> String {
    match cause {
        RevertCause::AlarmRed { alarm } => format!("alarm {alarm} is red"),
        RevertCause::AlarmFlapped { alarm, at } => format!(
            "alarm {alarm} was red between two readings, at {}",
            text::second(*at)
        ),
        RevertCause::UnknownTooLong { alarm, since } => format!(
            "{} could not be judged since {}, and the plan says to revert then",
            evidence::gate(alarm),
            text::second(*since)
        ),
        RevertCause::MeasureBeyond { gate, beyond } => {
            format!("{} is {}", evidence::gate(gate), evidence::beyond(beyond))
        }
        RevertCause::Worse { judgement, .. } => {
            format!("the new side is worse than the old one: {judgement}")
        }
        RevertCause::StepFailed { message } => format!("the step failed: {message}"),
        RevertCause::ApprovalTimeout { step, since } => format!(
            "nobody approved step {step}, which waited since {}, and the plan says to revert then",
            text::second(*since)
        ),
        RevertCause::HookFailed { hook, message } => {
            format!("{hook} failed ({message}), and the plan says to revert then")
        }
        RevertCause::Operator { actor, reason } => match reason {
            Some(reason) => format!("{actor} asked for it: {}", text::reason(reason)),
            None => format!("{actor} asked for it"),
        },
        RevertCause::LateWrite {} => "a write of ours landed after the revert had ended".to_owned(),
    }
}
