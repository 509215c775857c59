//! All wording: events, holds and states as text and JSON.
