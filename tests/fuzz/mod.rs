//! Fuzzing: seeded mutations of all input from outside. For every input, the program must answer without a panic, a hang or
//! running out of memory, and must write no weight that no rule explains.
//!
//! `tests/fuzz_seeds.rs` plays some seeds; `benches/fuzz.rs` plays for hours, and watches time and memory as well. A seed is
//! one input, the same every time.

mod adapters;
mod controllers;
mod files;
mod journals;
mod mutate;
mod plans;
mod services;
mod wire;

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

use fastrand::Rng;

/// The kind of input that is mutated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Room {
    /// Plan files, and everything made from a plan: reports, its form in the journal, sometimes a rehearsal.
    Plans,
    /// `fleet.yaml`, and plans below it.
    Fleets,
    /// Scenarios, and faults of the command line.
    Scenarios,
    /// Break-glass files: kept, replaced, and read for `rollback --from`.
    BreakGlass,
    /// Records of `backtest --from`.
    Records,
    /// Entries of the journal: read, folded, checked and reported.
    Entries,
    /// `SQLite` files with such entries, or with broken bytes.
    Databases,
    /// Words of the command line: names, times, durations.
    Words,
    /// Replies of Route 53 and STS, through the SDK.
    Route53,
    /// Replies of `CloudWatch`, through the SDK.
    CloudWatch,
    /// Replies of `EventBridge`, Scheduler, SNS, Slack, webhooks and hooks, over the loopback.
    Services,
    /// A running controller that gets tampered replies.
    Controllers,
}

impl Room {
    /// All rooms.
    pub(crate) const ALL: [Self; 12] = [
        Self::Plans,
        Self::Fleets,
        Self::Scenarios,
        Self::BreakGlass,
        Self::Records,
        Self::Entries,
        Self::Databases,
        Self::Words,
        Self::Route53,
        Self::CloudWatch,
        Self::Services,
        Self::Controllers,
    ];

    /// Its part of 1,000 inputs: parsers get many, slow rooms get few.
    fn share(self) -> u32 {
        match self {
            Self::Plans => 300,
            Self::Entries => 260,
            Self::Scenarios => 120,
            Self::BreakGlass => 80,
            Self::Records => 60,
            Self::Fleets | Self::Route53 | Self::CloudWatch => 45,
            Self::Words => 20,
            Self::Databases | Self::Services => 10,
            Self::Controllers => 5,
        }
    }

    fn drawn(rng: &mut Rng) -> Self {
        let mut left = rng.u32(0..1_000);
        for room in Self::ALL {
            if left < room.share() {
                return room;
            }
            left -= room.share();
        }
        Self::Plans
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plans => "plans",
            Self::Fleets => "fleets",
            Self::Scenarios => "scenarios",
            Self::BreakGlass => "break-glass",
            Self::Records => "records",
            Self::Entries => "entries",
            Self::Databases => "databases",
            Self::Words => "words",
            Self::Route53 => "route53",
            Self::CloudWatch => "cloudwatch",
            Self::Services => "services",
            Self::Controllers => "controllers",
        }
    }
}

impl fmt::Display for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Room {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let mut rooms = Self::ALL.into_iter();
        rooms.find(|room| room.name() == name).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("there is no such room; there are {names}")
        })
    }
}

/// A failure that an input causes.
#[derive(Debug, Clone)]
pub(crate) struct Find {
    pub(crate) seed: u64,
    pub(crate) room: Room,
    /// The failure.
    pub(crate) what: String,
    /// The input, or the way it was made.
    pub(crate) input: String,
}

/// The most of an input that is printed.
const SHOWN_BYTES_MAX: usize = 4_000;

impl fmt::Display for Find {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.input.floor_char_boundary(SHOWN_BYTES_MAX);
        writeln!(f, "-- the input ({} bytes)", self.input.len())?;
        writeln!(
            f,
            "{}",
            self.input[..end]
                .escape_debug()
                .to_string()
                .replace("\\n", "\n")
        )?;
        writeln!(f, "-- found\n{}", self.what)?;
        writeln!(f, "seed {} of {}; to replay it:", self.seed, self.room)?;
        write!(
            f,
            "    cargo bench --bench fuzz -- --seed {} --runs 1 --room {}",
            self.seed, self.room
        )
    }
}

/// One input under way.
pub(crate) struct Play {
    pub(crate) rng: Rng,
    /// The input as people see it.
    pub(crate) input: String,
}

/// The room of a seed, if no other room is asked for.
pub(crate) fn room_of(seed: u64) -> Room {
    Room::drawn(&mut Rng::with_seed(seed))
}

/// Plays a seed in its own room, or in the given one.
///
/// # Errors
/// The failure, with the input.
pub(crate) fn play(seed: u64, room: Option<Room>) -> Result<(), Find> {
    let (room, mut play) = begin(seed, room);
    let played = catch_unwind(AssertUnwindSafe(|| enter(room, &mut play)));
    let what = match played {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(what)) => what,
        Err(panic) => format!("it panicked: {}", words_of(panic.as_ref())),
    };
    Err(Find {
        seed,
        room,
        what,
        input: play.input,
    })
}

/// The input of a seed, as people see it.
pub(crate) fn input_of(seed: u64, room: Room) -> String {
    let (room, mut play) = begin(seed, Some(room));
    // Only the input is wanted, not the outcome.
    drop(catch_unwind(AssertUnwindSafe(|| enter(room, &mut play))));
    play.input
}

fn begin(seed: u64, room: Option<Room>) -> (Room, Play) {
    let mut rng = Rng::with_seed(seed);
    let drawn = Room::drawn(&mut rng);
    let input = String::new();
    (room.unwrap_or(drawn), Play { rng, input })
}

fn enter(room: Room, play: &mut Play) -> Result<(), String> {
    match room {
        Room::Plans => plans::plan(play),
        Room::Fleets => plans::fleet(play),
        Room::Scenarios => plans::scenario(play),
        Room::BreakGlass => files::break_glass(play),
        Room::Records => {
            files::record(play);
            Ok(())
        }
        Room::Entries => journals::entries(play),
        Room::Databases => journals::database(play),
        Room::Words => files::words(play),
        Room::Route53 => adapters::route53(play),
        Room::CloudWatch => adapters::cloudwatch(play),
        Room::Services => services::services(play),
        Room::Controllers => controllers::controller(play),
    }
}

/// The message of a panic.
fn words_of(panic: &(dyn Any + Send)) -> String {
    if let Some(words) = panic.downcast_ref::<String>() {
        return words.clone();
    }
    let words = panic.downcast_ref::<&str>();
    words.map_or("without a message", |words| *words).to_owned()
}
