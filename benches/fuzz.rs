//! Plays the fuzz room (`tests/fuzz/`) for hours: one input after another until the time is over. A find is a broken
//! claim of a room, a panic anywhere in the program, an input that takes more than 5 s or 256 MiB, or the death of the
//! process. Input number N has the first seed plus N.
//!
//! ```sh
//! cargo bench --bench fuzz -- --seconds 3600
//! cargo bench --bench fuzz -- --seed 7 --runs 1 --room plans
//! ```
//!
//! A process of its own plays the inputs. This one watches it, and survives its crashes and hangs.

#[path = "../tests/fuzz/mod.rs"]
mod fuzz;
#[path = "../tests/hunt/mod.rs"]
#[expect(dead_code, reason = "the hunt's own runs use the rest")]
mod hunt;
#[path = "shared/processor.rs"]
mod processor;
#[path = "../tests/support/mod.rs"]
#[expect(dead_code, reason = "the tests use the rest")]
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use fuzz::{Find, Room};
use peak_alloc::PeakAlloc;
use processor::processor_time;

/// Counts allocated bytes, so that the memory of each input is known.
#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Longest processor time of an input; a longer one is a hang. A build without optimisation gets 25 s, because it is
/// about ten times slower and shares its machine with all other checks.
const HANGS_AFTER: Duration = Duration::from_secs(if cfg!(debug_assertions) { 25 } else { 5 });

/// Longest real time of an input; a longer one is a hang, even if the input uses no processor time.
const WAITS_AT_MOST: Duration = Duration::from_secs(if cfg!(debug_assertions) { 60 } else { 30 });

/// Largest memory that an input may allocate: 256 MiB.
const BYTES_MAX: usize = 256 << 20;

/// Time between two checks of the player by the watcher.
const LOOK: Duration = Duration::from_millis(250);

/// Time between two lines of progress.
const SAY: Duration = Duration::from_mins(1);

/// Number of finds that are printed in full. Later ones are only counted.
const TOLD_MAX: usize = 20;

/// Plays inputs until one of them breaks something.
#[derive(Parser)]
struct Arguments {
    /// The first seed; the others follow it. Drawn if it is not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Largest number of inputs.
    #[arg(long, default_value_t = u64::MAX)]
    runs: u64,
    /// Longest time, in seconds.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Play only this room.
    #[arg(long)]
    room: Option<Room>,
    /// Go on after a find, and only count it.
    #[arg(long)]
    keep_going: bool,
    /// Print the input even if nothing is found.
    #[arg(long)]
    show: bool,
    /// Play, and write the seed of each input to this file. Set by the watcher.
    #[arg(long, hide = true)]
    notes: Option<PathBuf>,
    /// Set by cargo, and ignored.
    #[arg(long, hide = true)]
    bench: bool,
}

fn say(words: &str) {
    writeln!(std::io::stdout(), "{words}").unwrap_or_default();
}

/// Panics in the program's own code. They are collected because a panic may end a task whose result nobody reads.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn listen_to_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or("", |place| place.file());
        // A panic of a test's own code is reported where it is caught. An SDK may panic if its call then fails.
        if place.starts_with("src/") || place.starts_with("crates/") {
            PANICS
                .lock()
                .expect("nobody panics with it")
                .push(panic.to_string());
        }
    }));
}

#[expect(
    clippy::disallowed_methods,
    reason = "measures how long it really takes"
)]
fn now() -> Instant {
    Instant::now()
}

/// Plays one input. Returns its room and how long it took, or a find.
fn play(seed: u64, room: Option<Room>) -> Result<(Room, Duration), Find> {
    let played_in = room.unwrap_or_else(|| fuzz::room_of(seed));
    let found = |what: String| Find {
        seed,
        room: played_in,
        what,
        input: fuzz::input_of(seed, played_in),
    };
    let (began, busy) = (now(), processor_time("self").unwrap_or_default());
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    fuzz::play(seed, room)?;
    let took = began.elapsed();
    let bytes = ALLOCATOR.peak_usage().saturating_sub(before);
    if bytes > BYTES_MAX {
        return Err(found(format!("it took {} MiB", bytes >> 20)));
    }
    if took > HANGS_AFTER {
        let busy = processor_time("self")
            .unwrap_or_default()
            .saturating_sub(busy);
        if busy > HANGS_AFTER || took > WAITS_AT_MOST {
            return Err(found(format!(
                "it took {took:?}, {busy:?} of them the processor's"
            )));
        }
    }
    let panics = std::mem::take(&mut *PANICS.lock().expect("nobody panics with it"));
    match panics.first() {
        None => Ok((played_in, took)),
        Some(panic) => Err(found(format!("something panicked: {panic}"))),
    }
}

/// Counts the inputs played, by room.
#[derive(Default)]
struct Total {
    /// For each room: the number of inputs, their total time, and the longest time of one.
    rooms: BTreeMap<Room, (u64, Duration, Duration)>,
}

impl Total {
    fn add(&mut self, room: Room, took: Duration) {
        let (inputs, all, longest) = self.rooms.entry(room).or_default();
        *inputs += 1;
        *all += took;
        *longest = (*longest).max(took);
    }

    fn words(&self, took: Duration) -> String {
        let inputs: u64 = self.rooms.values().map(|(inputs, ..)| inputs).sum();
        let mut words = format!("{inputs} inputs in {:.0} s", took.as_secs_f64());
        for (room, (inputs, all, longest)) in &self.rooms {
            let all = all.as_secs_f64();
            write!(
                words,
                "; {room} {inputs} in {all:.0} s, the longest {longest:.1?}"
            )
            .unwrap_or_default();
        }
        words
    }
}

/// Plays inputs, and writes the seed of each to the file `notes` before it is played.
fn work(arguments: &Arguments, notes: &Path) -> ExitCode {
    listen_to_panics();
    let notes = File::options()
        .write(true)
        .open(notes)
        .expect("the watcher has made it");
    let first = arguments.seed.expect("the watcher gives it");
    let (began, mut said, mut total, mut finds) = (now(), now(), Total::default(), 0_usize);
    for number in 0..arguments.runs {
        if began.elapsed().as_secs() >= arguments.seconds {
            break;
        }
        let seed = first.wrapping_add(number);
        notes
            .write_all_at(&seed.to_le_bytes(), 0)
            .expect("a disk with some room");
        match play(seed, arguments.room) {
            Ok((room, took)) => total.add(room, took),
            Err(find) => {
                finds += 1;
                PANICS.lock().expect("nobody panics with it").clear();
                if finds <= TOLD_MAX {
                    say(&find.to_string());
                }
                if !arguments.keep_going {
                    break;
                }
            }
        }
        if arguments.show {
            say(&fuzz::input_of(
                seed,
                arguments.room.unwrap_or_else(|| fuzz::room_of(seed)),
            ));
        }
        if said.elapsed() > SAY {
            said = now();
            say(&format!(
                "{}; {finds} finds; at seed {seed}",
                total.words(began.elapsed())
            ));
        }
    }
    say(&format!("{}; {finds} finds", total.words(began.elapsed())));
    if finds == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// How the process that plays the inputs ended.
enum Ended {
    /// The process ended by itself, with this status.
    By(ExitStatus),
    /// The watcher killed it because an input hung.
    Hung,
}

/// Waits for the player to end, and kills it if an input hangs.
#[expect(
    clippy::disallowed_methods,
    reason = "there is nothing else to do here"
)]
fn watch(player: &mut Child, notes: &File) -> Ended {
    let process = player.id().to_string();
    let busy = || processor_time(&process).unwrap_or_default();
    let mut last = (seed_of(notes), now(), busy());
    loop {
        if let Ok(Some(status)) = player.try_wait() {
            return Ended::By(status);
        }
        let seed = seed_of(notes);
        if seed != last.0 {
            last = (seed, now(), busy());
        }
        let (waited, worked) = (last.1.elapsed(), busy().saturating_sub(last.2));
        // The player itself reports inputs that are only slow. An input that takes twice as long will not end.
        if worked > HANGS_AFTER * 2 || waited > WAITS_AT_MOST * 2 {
            player.kill().unwrap_or_default();
            player.wait().map(drop).unwrap_or_default();
            return Ended::Hung;
        }
        thread::sleep(LOOK);
    }
}

/// Returns the seed of the input that is played now.
fn seed_of(notes: &File) -> u64 {
    let mut seed = [0; 8];
    notes.read_exact_at(&mut seed, 0).unwrap_or_default();
    u64::from_le_bytes(seed)
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(notes) = &arguments.notes {
        return work(&arguments, notes);
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let path = folder.path().join("seed");
    let mut next = arguments.seed.unwrap_or_else(|| fastrand::u64(..1 << 48));
    say(&format!("the first seed is {next}"));
    let (began, last, mut exit) = (now(), next.wrapping_add(arguments.runs), ExitCode::SUCCESS);
    loop {
        fs::write(&path, next.to_le_bytes()).expect("a disk with some room");
        let notes = File::open(&path).expect("just written");
        let mut command = Command::new(std::env::current_exe().expect("a program has a file"));
        command.arg("--notes").arg(&path);
        command.args(["--seed", &next.to_string()]);
        command.args(["--runs", &last.wrapping_sub(next).to_string()]);
        let left = arguments.seconds.saturating_sub(began.elapsed().as_secs());
        command.args(["--seconds", &left.to_string()]);
        if let Some(room) = arguments.room {
            command.args(["--room", &room.to_string()]);
        }
        if arguments.keep_going {
            command.arg("--keep-going");
        }
        if arguments.show {
            command.arg("--show");
        }
        let mut player = command.spawn().expect("this program can be started again");
        let what = match watch(&mut player, &notes) {
            Ended::By(status) if status.success() => return exit,
            Ended::By(status) if status.code() == Some(1) => return ExitCode::FAILURE,
            Ended::By(status) => format!("the process died: {status}"),
            Ended::Hung => "it hangs".to_owned(),
        };
        let seed = seed_of(&notes);
        let room = arguments.room.unwrap_or_else(|| fuzz::room_of(seed));
        let input = "it is not known here: --show prints it, if it can be played".to_owned();
        let find = Find {
            seed,
            room,
            what,
            input,
        };
        say(&find.to_string());
        exit = ExitCode::FAILURE;
        next = seed.wrapping_add(1);
        if !arguments.keep_going || began.elapsed().as_secs() >= arguments.seconds || next == last {
            return exit;
        }
    }
}
