//! The secrets of this process, which plans name as `${NAME}` or `file:/path`.

use std::sync::Arc;

use anyhow::Result;

use super::error::Expected;
use super::plans::FoundPlans;
use super::variables::variable;
use crate::engine::notify::Notify;
use crate::notify::resolve;
use crate::reach::secrets::Environment;

/// Checks that all secrets of the channels of valid plans exist. If a cutover is unfinished (`under_way`), only logs what is
/// missing: a missing secret is no reason to leave traffic unwatched.
///
/// # Errors
/// A secret is missing, and no cutover is unfinished.
pub fn require(found: &FoundPlans, under_way: bool) -> Result<()> {
    let mut missing = Vec::new();
    for checked in &found.checked {
        if let Some(plan) = &checked.plan
            && let Some(notify) = &plan.notify
            && checked.ok
        {
            missing.extend(missing_of(plan.name.as_str(), notify));
        }
    }
    if let Some((path, settings)) = &found.fleet
        && let Some(notify) = &settings.notify
    {
        missing.extend(missing_of(&path.display().to_string(), notify));
    }
    let Some(first) = missing.first() else {
        return Ok(());
    };
    if under_way {
        for why in &missing {
            tracing::error!(page = true, "a channel cannot be used: {why}");
        }
        return Ok(());
    }
    let more = match missing.len() {
        1 => String::new(),
        count => format!(" (and {} more)", count - 1),
    };
    let hint = "set it where the controller is started, or remove the channel; `cutover notify-test PATH` tests all channels";
    Err(Expected::usage(format!("{first}{more}"), Some(hint)).into())
}

/// Returns one line for each missing secret of these channels. `whose` names the plan or the fleet file that has them.
fn missing_of(whose: &str, notify: &Notify) -> Vec<String> {
    let environment: Environment = Arc::new(variable);
    let mut missing = Vec::new();
    for channel in &notify.channels {
        let service = channel.via.service();
        for secret in channel.via.secrets() {
            if let Err(why) = resolve(secret, &environment) {
                missing.push(format!("{whose}: {service}: {why}"));
            }
        }
    }
    missing
}
