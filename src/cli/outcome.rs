//! The exit code of `run` from the phases of its cutovers (semantics J).

use std::collections::BTreeSet;

use super::exit::Exit;
use crate::engine::hold::HoldReason;
use crate::engine::state::{Phase, State};
use crate::engine::units::CutoverName;

/// Returns the exit code of `run` after every cutover has ended. `None` if one is unfinished or halted, because `run`
/// then goes on. `used` holds the ended cutovers whose names other plans now use (semantics L9).
pub fn of_run<'a>(
    states: impl IntoIterator<Item = &'a State>,
    used: &BTreeSet<CutoverName>,
) -> Option<Exit> {
    let mut exit = Exit::Done;
    for state in states {
        match state.phase {
            Phase::Completed | Phase::Reverted | Phase::Abandoned if used.contains(&state.name) => {
                exit = exit.max(Exit::PreflightRefused);
            }
            Phase::Completed => {}
            Phase::Reverted | Phase::Abandoned => exit = exit.max(Exit::Reverted),
            Phase::Waiting
            | Phase::Shifting
            | Phase::Settling
            | Phase::Baking
            | Phase::Reverting
            | Phase::Halted => return None,
        }
    }
    Some(exit)
}

/// Returns the exit code for damaged cutovers: [`Exit::Halted`] if there is one, because it needs a person as a halted
/// one does (semantics L4).
pub fn of_damaged<'a>(mut damaged: impl Iterator<Item = &'a CutoverName>) -> Exit {
    match damaged.next() {
        Some(_) => Exit::Halted,
        None => Exit::Done,
    }
}

/// Returns the exit code of `run --once`: the gravest one of all cutovers after the round. A red alarm or a shut window
/// before the start is not a refusal. `used` is as in [`of_run`]; `file_refused` is true if a plan file was refused.
pub fn of_round<'a>(
    states: impl IntoIterator<Item = &'a State>,
    used: &BTreeSet<CutoverName>,
    file_refused: bool,
) -> Exit {
    let mut gravest = if file_refused {
        Exit::PlanInvalid
    } else {
        Exit::Done
    };
    for state in states {
        let exit = match state.phase {
            Phase::Halted => Exit::Halted,
            Phase::Reverting => Exit::RevertUnfinished,
            Phase::Completed | Phase::Reverted | Phase::Abandoned if used.contains(&state.name) => {
                Exit::PreflightRefused
            }
            Phase::Reverted | Phase::Abandoned => Exit::Reverted,
            Phase::Waiting if is_refused(&state.held) => Exit::PreflightRefused,
            Phase::Waiting
            | Phase::Shifting
            | Phase::Settling
            | Phase::Baking
            | Phase::Completed => Exit::Done,
        };
        gravest = gravest.max(exit);
    }
    gravest
}

fn is_refused(held: &[HoldReason]) -> bool {
    held.iter().any(|reason| {
        matches!(
            reason,
            HoldReason::Preflight { .. } | HoldReason::Claimed { .. } | HoldReason::Denied { .. }
        )
    })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::engine::event::{Envelope, Event, JOURNAL_VERSION};
    use crate::engine::fold::fold;
    use crate::plan_file;

    const PLAN: &str = "\
version: 1
name: a
records: [ { zone: example.com, name: a.example.com, type: A, old: eks, new: ecs } ]
steps: [ { weight: 100%, bake: 1h } ]
gates: { alarms: [ red ] }
";

    fn state(phase: Phase) -> State {
        let accepted = Envelope {
            cutover: CutoverName::from("a"),
            attempt: 1,
            seq: 1,
            at: Timestamp::UNIX_EPOCH,
            actor: String::new(),
            version: JOURNAL_VERSION,
            event: Event::PlanAccepted {
                source: Box::new(plan_file::parse(PLAN, "a.yaml").unwrap().source),
            },
        };
        let mut state = fold([&accepted]).unwrap().unwrap();
        state.phase = phase;
        state
    }

    fn states(phases: &[Phase]) -> Vec<State> {
        phases.iter().copied().map(state).collect()
    }

    #[test]
    fn a_run_ends_only_when_everything_is_over() {
        fn run(phases: &[Phase]) -> Option<Exit> {
            of_run(&states(phases), &BTreeSet::new())
        }
        assert_eq!(run(&[Phase::Completed]), Some(Exit::Done));
        assert_eq!(
            run(&[Phase::Reverted, Phase::Completed]),
            Some(Exit::Reverted)
        );
        assert_eq!(run(&[Phase::Reverted, Phase::Halted]), None);
        assert_eq!(run(&[Phase::Completed, Phase::Waiting]), None);
    }

    #[test]
    fn a_round_ends_with_the_gravest_thing() {
        fn round(phases: &[Phase], file_refused: bool) -> Exit {
            of_round(&states(phases), &BTreeSet::new(), file_refused)
        }
        assert_eq!(round(&[Phase::Waiting, Phase::Baking], false), Exit::Done);
        assert_eq!(round(&[Phase::Baking], true), Exit::PlanInvalid);
        assert_eq!(round(&[Phase::Reverted], true), Exit::Reverted);
        assert_eq!(
            round(&[Phase::Reverted, Phase::Reverting], false),
            Exit::RevertUnfinished
        );
        assert_eq!(
            round(&[Phase::Reverting, Phase::Halted], false),
            Exit::Halted
        );
        let mut refused = state(Phase::Waiting);
        refused.held = vec![HoldReason::Preflight {
            group: None,
            message: String::new(),
        }];
        assert_eq!(
            of_round([&refused], &BTreeSet::new(), true),
            Exit::PreflightRefused
        );
    }
}
