//! An entry as news: the notice about it, and the channels that get the notice.

use super::channel::Channel;
use super::notice::{Notice, Standing};
use super::topics::{follow_ups, fresh, topics};
use crate::event::Envelope;
use crate::hold::HoldReason;
use crate::paged::Paged;
use crate::state::State;

/// The changes by an entry to the holds and pages of its cutover.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct News {
    /// Holds that are new.
    fresh: Vec<HoldReason>,
    /// Holds that are back so soon that they do not page again.
    again: Vec<HoldReason>,
    /// Pages that are over.
    settles: Vec<Paged>,
    /// The causes of a page, if other cutovers may have all of them too.
    causes: Vec<HoldReason>,
}

impl News {
    /// The changes by an entry of a cutover; `before` is its state before the entry.
    pub fn of(before: Option<&State>, entry: &Envelope) -> Self {
        let mut news = Self {
            fresh: fresh(before, entry),
            ..Self::default()
        };
        if let Some(before) = before {
            news.again = before.pages_again(entry);
            news.settles = before.settles(entry);
            news.causes = before.common_causes(entry);
        }
        news
    }

    /// The changes by an entry of the fleet, which ends these pages.
    pub fn of_fleet(settles: Vec<Paged>) -> Self {
        Self {
            settles,
            ..Self::default()
        }
    }

    /// The notice about an entry, and those of `channels` that get it. `pages` is true if by the fold the entry pages;
    /// `standing` is the state of its cutover after it.
    pub fn notice(
        self,
        entry: &Envelope,
        pages: bool,
        standing: Option<Standing>,
        mut channels: Vec<Channel>,
    ) -> (Notice, Vec<Channel>) {
        let mut topics = topics(&self.fresh, entry, pages);
        topics.extend(follow_ups(entry, &self.settles, &self.again));
        let notice = Notice {
            entry: entry.clone(),
            pages,
            settles: self.settles,
            causes: self.causes,
            others: Vec::new(),
            standing,
            test: false,
        };
        channels.retain(|channel| channel.gets(&notice, &topics));
        (notice, channels)
    }
}
