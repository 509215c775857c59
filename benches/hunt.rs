//! Plays the hunt (`tests/hunt/`) for hours: one scenario after another until the time is over or something breaks.
//! Prints a summary every 500 scenarios. Scenario number N has the first seed plus N.
//!
//! ```sh
//! cargo bench --bench hunt -- --seconds 3600 --jobs 2
//! cargo bench --bench hunt -- --seed 7 --runs 1
//! ```

#[path = "../tests/hunt/mod.rs"]
mod hunt;
#[path = "shared/processor.rs"]
mod processor;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use hunt::{Broken, JournalKind, Played};
use mimalloc::MiMalloc;
use processor::processor_time;

/// A round allocates many small strings and maps. This allocator needs about two thirds of the time for them.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Plays scenarios of the real controller in a simulated world until an invariant breaks.
#[derive(Parser)]
struct Arguments {
    /// The first seed; the others follow it. Drawn if it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Largest number of scenarios.
    #[arg(long, default_value_t = u64::MAX)]
    runs: u64,
    /// Longest time, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Number of threads.
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Where the journal is: in memory, or in a shared table whose every call may fail.
    #[arg(long, value_enum, default_value_t = JournalPlace::Memory)]
    journal: JournalPlace,
    /// Go on after a failure, and only count it.
    #[arg(long)]
    keep_going: bool,
    /// Set by cargo, and ignored.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The values of `--journal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum JournalPlace {
    Memory,
    Slots,
}

impl JournalPlace {
    fn kind(self) -> JournalKind {
        match self {
            Self::Memory => JournalKind::Memory,
            Self::Slots => JournalKind::Slots,
        }
    }
}

const SECS_A_WEEK: f64 = 7.0 * 86_400.0;

fn say(words: &str) {
    writeln!(std::io::stdout(), "{words}").unwrap_or_default();
}

#[derive(Default)]
struct Total {
    runs: u64,
    played: Played,
    broken: Vec<Broken>,
}

impl Total {
    fn add(&mut self, played: &Played) {
        self.runs += 1;
        let sum = &mut self.played;
        sum.cutovers += played.cutovers;
        sum.cutover_secs += played.cutover_secs;
        sum.looks += played.looks;
        sum.calls += played.calls;
        sum.entries += played.entries;
        sum.completed += played.completed;
        sum.reverted += played.reverted;
    }

    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "numbers for people"
    )]
    fn words(&self, took: Duration, jobs: usize) -> String {
        let played = &self.played;
        let weeks = played.cutover_secs as f64 / SECS_A_WEEK;
        let (busy, of) = match processor_time("self") {
            Some(busy) if !busy.is_zero() => (busy.as_secs_f64(), "of processor time"),
            Some(_) | None => (took.as_secs_f64() * jobs as f64, "and thread"),
        };
        let a_second = |number: f64| number / busy;
        format!(
            "{} scenarios, {} cutovers ({} completed, {} reverted), {weeks:.0} cutover-weeks, {} looks, {} calls, \
             {} entries in {:.1} s; a second {of}: {:.0} cutover-weeks, {:.0} scenarios, {:.0} cutovers, \
             {:.0} looks, {:.0} calls",
            self.runs,
            played.cutovers,
            played.completed,
            played.reverted,
            played.looks,
            played.calls,
            played.entries,
            took.as_secs_f64(),
            a_second(weeks),
            a_second(self.runs as f64),
            a_second(played.cutovers as f64),
            a_second(played.looks as f64),
            a_second(played.calls as f64),
        )
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "measures how long it really takes"
)]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let first = arguments.seed.unwrap_or_else(|| fastrand::u64(..1 << 48));
    let began = Instant::now();
    say(&format!("the first seed is {first}"));
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let total = Mutex::new(Total::default());
    let work = || {
        while !stop.load(Ordering::Relaxed) && began.elapsed().as_secs() < arguments.seconds {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= arguments.runs {
                break;
            }
            let played = hunt::play(first.wrapping_add(number), arguments.journal.kind());
            let mut total = total.lock().expect("nobody panics with it");
            match played {
                Ok(played) => total.add(&played),
                Err(broken) => {
                    total.broken.push(broken);
                    stop.store(!arguments.keep_going, Ordering::Relaxed);
                }
            }
            if total.runs > 0 && total.runs.is_multiple_of(500) {
                say(&total.words(began.elapsed(), arguments.jobs));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs {
            scope.spawn(work);
        }
    });
    let took = began.elapsed();
    let total = total.into_inner().expect("nobody panics with it");
    say(&total.words(took, arguments.jobs));
    for broken in &total.broken {
        let last = broken.story.lines().last().unwrap_or_default();
        say(&format!("seed {}: {last}", broken.seed));
    }
    match total.broken.into_iter().next() {
        None => ExitCode::SUCCESS,
        Some(broken) => {
            say(&broken.to_string());
            say("-- the same with fewer disturbances");
            say(&hunt::shrink(&broken).to_string());
            ExitCode::FAILURE
        }
    }
}
