//! Alarm states in the API's words.

use cutover_engine::observation::AlarmState;

use super::error::ApiError;

/// Returns the API's name of a state.
pub fn state_text(state: AlarmState) -> &'static str {
    match state {
        AlarmState::Ok => "OK",
        AlarmState::Alarm => "ALARM",
        AlarmState::InsufficientData => "INSUFFICIENT_DATA",
    }
}

/// Reads the API's name of a state. `None` if it is unknown.
pub fn parse_state(text: &str) -> Option<AlarmState> {
    [
        AlarmState::Ok,
        AlarmState::Alarm,
        AlarmState::InsufficientData,
    ]
    .into_iter()
    .find(|state| state_text(*state) == text)
}

/// Returns the error of an unknown state.
pub(super) fn bad_state(text: &str) -> ApiError {
    ApiError::validation(format!(
        "1 validation error detected: Value '{text}' at 'stateValue' failed to satisfy constraint: \
         Member must satisfy enum value set: [INSUFFICIENT_DATA, ALARM, OK]"
    ))
}
