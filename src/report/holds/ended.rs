//! What is said of a cutover that is over.

use jiff::Timestamp;

use super::{cause, time};
use crate::engine::hold::RevertCause;
use crate::engine::lists;
use crate::engine::strays::Stray;
use crate::engine::units::{CutoverName, Share};
use crate::report::text;

/// Who holds weight beside the baseline, with share and target.
pub fn strays(members: &[Stray]) -> String {
    let named: Vec<String> = members
        .iter()
        .map(|member| {
            format!(
                "{}: `{}` has weight {} of {} ({}) and points to {}",
                member.group,
                member.set_identifier,
                member.weight.0,
                member.of,
                text::share(member.share()),
                member.target
            )
        })
        .collect();
    format!(
        "the weights are back, but members that the baseline did not have still get traffic: {}",
        lists::some(&named, "; ")
    )
}

/// A cutover that went back, and why.
pub(super) fn reverted(
    why: Option<&RevertCause>,
    share: Share,
    at: Timestamp,
    now: Option<Timestamp>,
) -> String {
    match why {
        None => format!("cancelled before the first write, {}", time(at, now)),
        Some(why) => format!(
            "went back from {} on the new side, {}: {}",
            text::share(share),
            time(at, now),
            cause(why)
        ),
    }
}

/// How a cutover that went back is tried again.
pub(super) fn try_again(unresolved: bool, name: &CutoverName) -> String {
    if unresolved {
        return "a write of it is still looked for; it can be tried again some minutes later"
            .to_owned();
    }
    format!("once mended, try it again: `cutover retry {name}`")
}
