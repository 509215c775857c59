//! One integration binary of the engine: a file a subject.

mod calendars;
mod properties;
mod rules;
