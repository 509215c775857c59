//! The log: a line for each page.

use super::channels::Channels;
use crate::engine::notify::Notice;

/// Writes a page to the log, as an ERROR with `page=true`.
pub(super) fn deliver(channels: &Channels, notice: &Notice) {
    let entry = &notice.entry;
    let message = (channels.words.line)(notice);
    tracing::error!(
        page = true,
        cutover = %entry.cutover,
        event = notice.kind(),
        seq = entry.seq,
        idempotency_key = %notice.idempotency_key(),
        "{message}"
    );
}
