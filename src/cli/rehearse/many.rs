//! Rehearsals with many seeds, on all processor cores.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::Result;

use super::play::Play;
use super::progress::ProgressLine;
use crate::cli::context::Context;
use crate::report::rehearsal::runs;
use crate::report::rehearsal::runs::Runs;

/// Rehearses with each seed and counts the outcomes. The same seeds give the same counts, whatever the number of cores.
///
/// # Errors
/// A rehearsal failed, or standard error is closed.
pub(super) fn play(
    context: &mut Context<'_>,
    play: &Play,
    seeds: RangeInclusive<u64>,
) -> Result<Runs> {
    let all = seeds.clone().count();
    let workers = thread::available_parallelism()
        .map_or(1, usize::from)
        .min(all);
    let left = Mutex::new(seeds);
    let (done, finished) = mpsc::channel();
    let mut progress = ProgressLine::new(context);
    let mut counted = BTreeMap::new();
    thread::scope(|scope| -> Result<()> {
        for _ in 0..workers {
            let (done, left) = (done.clone(), &left);
            scope.spawn(move || {
                while let Some(seed) = next_seed(left) {
                    let result = play.film(seed).map(|film| runs::count(&film));
                    // The receiver is gone if a rehearsal has failed.
                    if done.send((seed, result)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        let finished = finished;
        for (seed, result) in &finished {
            counted.insert(seed, result?);
            let words = format!("{} of {all} runs", counted.len());
            progress.say(context, &words)?;
        }
        Ok(())
    })?;
    progress.end(context)?;
    let mut runs = Runs {
        faulty: !play.scenario.faults.is_empty(),
        ..Runs::default()
    };
    for counted in counted.into_values() {
        runs.add(counted);
    }
    Ok(runs)
}

fn next_seed(left: &Mutex<RangeInclusive<u64>>) -> Option<u64> {
    let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
    left.next()
}
