//! Exit codes: documented, and constant over versions (DESIGN section 9, semantics J).

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: an error that nobody expected.
    Unexpected,
    /// 2: the command line is wrong, names no cutover or journal that exists, or was not confirmed.
    Usage,
    /// 10: a plan is not valid.
    PlanInvalid,
    /// 11: preflight refuses the start.
    PreflightRefused,
    /// 12: the command does not apply in this state; nothing was written.
    DoesNotApply,
    /// 20: reverted.
    Reverted,
    /// 21: a revert is not finished.
    RevertUnfinished,
    /// 22: halted; a person is needed.
    Halted,
}

impl Exit {
    /// The number that the process ends with.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Unexpected => 1,
            Self::Usage => 2,
            Self::PlanInvalid => 10,
            Self::PreflightRefused => 11,
            Self::DoesNotApply => 12,
            Self::Reverted => 20,
            Self::RevertUnfinished => 21,
            Self::Halted => 22,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
