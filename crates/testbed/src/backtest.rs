//! A whole backtest on one thread.

use cutover_engine::backtest::{Backtest, Prepared, Record};
use cutover_engine::plan::PlanSource;
use jiff::SignedDuration;

/// Replays all starts, one after the other.
pub fn backtest(source: &PlanSource, record: &Record, every: SignedDuration) -> Backtest {
    let prepared = Prepared::new(source, record, every);
    let mut runs = Vec::new();
    for start in prepared.starts() {
        runs.push(prepared.replay(start));
    }
    prepared.gather(runs)
}
