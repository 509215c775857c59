//! Exit codes: documented, and the same in every version (semantics J).

use std::process::ExitCode;

/// How a command ended, ordered by gravity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: an unexpected error.
    Unexpected,
    /// 2: the command line is wrong, names no cutover or journal that exists, or was not confirmed.
    Usage,
    /// 10: a plan is not valid.
    PlanInvalid,
    /// 11: preflight refused the start.
    PreflightRefused,
    /// 12: the command does not apply in this state; nothing was written.
    DoesNotApply,
    /// 20: reverted or abandoned.
    Reverted,
    /// 21: a revert is not finished.
    RevertUnfinished,
    /// 22: halted; a person is needed.
    Halted,
}

impl Exit {
    /// Returns the exit code of the process.
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
