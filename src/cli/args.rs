//! The command line as clap sees it. Help texts of commands are imperative and end without a period.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp, Zoned};

use super::help;
use crate::engine::state::Phase;

/// Move production traffic from an old cluster to a new one by stepping Route 53 weights, and take it back by itself
#[derive(Debug, Parser)]
#[command(
    name = "cutover",
    version,
    after_help = help::ROOT,
    max_term_width = 100,
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command; they may stand after it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Where the journal is
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "CUTOVER_JOURNAL",
        hide_env_values = true,
        default_value = "sqlite:.cutover/journal.db",
        value_parser = journal_url
    )]
    pub journal: String,
    /// How results are written to standard output
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "human|json",
        hide_possible_values = true,
        default_value_t = Format::Human
    )]
    pub format: Format,
    /// How the log is written to standard error
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "human|json",
        hide_possible_values = true,
        default_value_t = Format::Human
    )]
    pub log_format: Format,
    /// Log more; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Which targets are logged at which level, instead of -v
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "CUTOVER_LOG",
        hide = true
    )]
    pub log_filter: Option<String>,
    /// How wide the output is, where it does not go to a terminal
    #[arg(
        long,
        global = true,
        value_name = "COLUMNS",
        env = "COLUMNS",
        hide = true
    )]
    pub width: Option<String>,
}

/// Human or machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Human,
    /// For programs
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check plan files offline
    #[command(after_help = help::CHECK)]
    Check(Paths),
    /// Show what is in AWS, what each step would change, and when it can happen; change nothing
    #[command(after_help = help::PREVIEW)]
    Preview(Preview),
    /// Play plans against a simulated world, days in a moment
    #[command(after_help = help::REHEARSE)]
    Rehearse(Rehearse),
    /// Play plans over the past: how often would they have gone back, and why
    #[command(after_help = help::BACKTEST)]
    Backtest(Backtest),
    /// Run the controller until every cutover has completed or gone back
    #[command(after_help = help::RUN)]
    Run(Run),
    /// Show where everything stands, and why
    #[command(after_help = help::STATUS)]
    Status(Status),
    /// Approve a step that waits for it
    #[command(after_help = help::APPROVE)]
    Approve(Approve),
    /// Pause cutovers: nothing advances, gates stay armed
    #[command(after_help = help::PAUSE)]
    Pause(Names),
    /// Resume paused cutovers, or the fleet after its failure budget was spent
    #[command(after_help = help::RESUME)]
    Resume(Resume),
    /// Freeze the whole fleet: nothing advances, gates stay armed, reverts go out
    #[command(after_help = help::FREEZE)]
    Freeze(Freeze),
    /// End the freeze of the fleet
    #[command(after_help = help::UNFREEZE)]
    Unfreeze(Unfreeze),
    /// Try a reverted cutover again, or leave Halted
    #[command(after_help = help::RETRY)]
    Retry(Names),
    /// End the bake of the current step now, if all gates pass
    #[command(after_help = help::SKIP_BAKE)]
    SkipBake(NamesBecause),
    /// Take changed plan files into cutovers that are under way
    #[command(after_help = help::AMEND)]
    Amend(Amend),
    /// Accept what somebody else changed as the new starting point
    #[command(after_help = help::ADOPT_DRIFT)]
    AdoptDrift(AdoptDrift),
    /// Start although an alarm is red, until it is first green
    #[command(after_help = help::IGNORE_ALARM)]
    IgnoreAlarm(IgnoreAlarm),
    /// Take the traffic back to where it was before the cutover
    #[command(after_help = help::ROLLBACK)]
    Rollback(Rollback),
    /// Send a test over every channel that plans or cutovers would be told by
    #[command(after_help = help::NOTIFY_TEST)]
    NotifyTest(NotifyTest),
    /// Show every entry of the journal about one cutover
    #[command(after_help = help::HISTORY)]
    History(History),
    /// Print the JSON Schema of plan files, for editors
    #[command(after_help = help::SCHEMA)]
    Schema(Schema),
    /// Print a completion script for a shell
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page
    #[command(after_help = help::MAN)]
    Man,
}

/// Plan files.
#[derive(Debug, Args)]
pub struct Paths {
    /// Plan files, or directories of them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// Arguments of `schema`.
#[derive(Debug, Args)]
pub struct Schema {
    /// The schema of `fleet.yaml` instead
    #[arg(long)]
    pub fleet: bool,
}

/// Arguments of `preview`.
#[derive(Debug, Args)]
pub struct Preview {
    /// Plan files, or directories of them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Judge the start as `run --baseline-as-is` would
    #[arg(long)]
    pub baseline_as_is: bool,
}

/// Arguments of `rehearse`.
#[derive(Debug, Args)]
pub struct Rehearse {
    /// Plan files, or directories of them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// What the simulated world's chances come from; the same seed is the same world
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// When the rehearsal begins, as RFC 3339; now by default. Times are shown in its zone
    #[arg(long, value_name = "TIME", value_parser = start)]
    pub start: Option<Start>,
    /// What the simulated world is like and what goes wrong in it (NAME.scenario.yaml); by default all is well
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// Let something go wrong, for example 'new errors 20% at step 3 + 2h'; may be given several times
    #[arg(long = "fault", value_name = "TEXT")]
    pub faults: Vec<String>,
    /// Rehearse so many times, with this seed and those after it, and show how often it ends how
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub runs: Option<u32>,
    /// Leave the charts out
    #[arg(long)]
    pub no_charts: bool,
    /// Draw with ASCII only
    #[arg(long)]
    pub ascii: bool,
}

/// Arguments of `backtest`.
#[derive(Debug, Args)]
pub struct Backtest {
    /// Plan files, or directories of them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Since when, or how long ago [default: 14d]
    #[arg(long, value_name = "TIME|DURATION", value_parser = past_moment)]
    pub since: Option<Moment>,
    /// Until when, or how long ago; now by default
    #[arg(long, value_name = "TIME|DURATION", value_parser = past_moment)]
    pub until: Option<Moment>,
    /// How far the starts are apart
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = apart)]
    pub every: SignedDuration,
    /// Keep what was read in this file
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Take the past from this file; AWS is not asked
    #[arg(long, value_name = "FILE", conflicts_with = "save")]
    pub from: Option<PathBuf>,
    /// Leave the strips out
    #[arg(long)]
    pub no_charts: bool,
    /// Draw with ASCII only
    #[arg(long)]
    pub ascii: bool,
}

/// When a rehearsal begins, and the zone in which its times are shown.
#[derive(Debug, Clone)]
pub struct Start {
    /// The moment.
    pub at: Timestamp,
    /// The zone that it was written in.
    pub zone: TimeZone,
}

/// Reads a moment with its zone: `2026-12-01T09:00+09:00`, `2026-12-01T09:00[Asia/Tokyo]`, `2026-12-01T00:00Z`.
fn start(text: &str) -> Result<Start, String> {
    let example = "write for example `2026-12-01T09:00+09:00`, or `2026-12-01T09:00[Asia/Tokyo]`";
    if let Ok(zoned) = text.parse::<Zoned>() {
        return Ok(Start {
            at: zoned.timestamp(),
            zone: zoned.time_zone().clone(),
        });
    }
    let at = text.parse::<Timestamp>().map_err(|_| example.to_owned())?;
    let pieces = Pieces::parse(text).map_err(|_| example.to_owned())?;
    let offset = pieces.to_numeric_offset().unwrap_or(Offset::UTC);
    let zone = if offset == Offset::UTC {
        TimeZone::UTC
    } else {
        TimeZone::fixed(offset)
    };
    Ok(Start { at, zone })
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Plan files, or directories of them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Do one round and end, for cron and scheduled tasks
    #[arg(long)]
    pub once: bool,
    /// How often to look
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = interval)]
    pub interval: SignedDuration,
    /// Where to keep the change batches that take the traffic back without this program
    #[arg(long, value_name = "DIR", default_value = ".cutover/break-glass")]
    pub break_glass: PathBuf,
    /// Start although the new side already has a share that this journal knows nothing of
    #[arg(long, requires = "reason")]
    pub baseline_as_is: bool,
    /// Why the baseline is taken as it is
    #[arg(long, value_name = "TEXT", requires = "baseline_as_is", value_parser = words)]
    pub reason: Option<String>,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Cutovers, or patterns with * and ?; all by default
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Only those in this phase; may be given more than once
    #[arg(long, value_name = "PHASE", value_parser = phase)]
    pub phase: Vec<Phase>,
    /// Only those that wait for a person
    #[arg(long)]
    pub needs_person: bool,
    /// Only those with this label; may be given more than once
    #[arg(long, short = 'l', value_name = "KEY=VALUE", value_parser = label)]
    pub selector: Vec<Label>,
    /// Show it again every 2 seconds, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
}

/// Arguments of commands on cutovers.
#[derive(Debug, Args)]
pub struct Names {
    /// Cutovers, or patterns with * and ?
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: Option<String>,
}

/// Arguments of `notify-test`.
#[derive(Debug, Args)]
pub struct NotifyTest {
    /// Plan files or directories of them, or cutovers of the journal; all unfinished ones by default
    #[arg(value_name = "PATH|NAME")]
    pub of: Vec<String>,
}

/// Arguments of `resume`.
#[derive(Debug, Args)]
pub struct Resume {
    /// Cutovers, or patterns with * and ?
    #[arg(required_unless_present = "fleet", value_name = "NAME")]
    pub names: Vec<String>,
    /// The fleet: the automatic reverts so far no longer count against its failure budget
    #[arg(long, conflicts_with = "names", requires = "reason")]
    pub fleet: bool,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: Option<String>,
}

/// Arguments of `freeze`.
#[derive(Debug, Args)]
pub struct Freeze {
    /// Until when: a time as RFC 3339, or a duration from now; without it, until `unfreeze`
    #[arg(long, value_name = "TIME|DURATION", value_parser = moment)]
    pub until: Option<Moment>,
    /// Why, for the journal and for everybody who is held
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: String,
}

/// Arguments of `unfreeze`.
#[derive(Debug, Args)]
pub struct Unfreeze {
    /// Why, for the journal
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: Option<String>,
}

/// A time, or how long from now; for what has been, how long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// This time.
    At(Timestamp),
    /// This long from now, or ago.
    In(SignedDuration),
}

/// Reads a time or a duration.
fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(at) = text.parse() {
        return Ok(Moment::At(at));
    }
    let hint = |_| {
        "write a time such as `2026-12-28T09:00:00+09:00`, or a duration such as `4h`".to_owned()
    };
    duration(text).map(Moment::In).map_err(hint)
}

/// Reads a time or how long ago.
fn past_moment(text: &str) -> Result<Moment, String> {
    if let Ok(at) = text.parse() {
        return Ok(Moment::At(at));
    }
    let hint = |_| {
        "write a time such as `2026-11-07T09:00:00Z`, or how long ago, such as `14d`".to_owned()
    };
    duration(text).map(Moment::In).map_err(hint)
}

/// A duration that is a sensible distance between two starts.
fn apart(text: &str) -> Result<SignedDuration, String> {
    let length = duration(text)?;
    if length < SignedDuration::from_mins(1) {
        return Err("must be `1m` or more".to_owned());
    }
    Ok(length)
}

/// Arguments of commands on cutovers that need a reason.
#[derive(Debug, Args)]
pub struct NamesBecause {
    /// Cutovers, or patterns with * and ?
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: String,
}

/// Arguments of `approve`.
#[derive(Debug, Args)]
pub struct Approve {
    /// Cutovers, or patterns with * and ?
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// The step; by default the one that waits now
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub step: Option<u16>,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: String,
}

/// Arguments of `amend`.
#[derive(Debug, Args)]
pub struct Amend {
    /// Plan files, or directories of them
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: Option<String>,
}

/// Arguments of `adopt-drift`.
#[derive(Debug, Args)]
pub struct AdoptDrift {
    /// Cutovers, or patterns with * and ?
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: String,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// Arguments of `ignore-alarm`.
#[derive(Debug, Args)]
pub struct IgnoreAlarm {
    /// The cutover, or a pattern with * and ?
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The alarm; `NAME (REGION)` where the plan has it in several regions
    #[arg(value_name = "ALARM")]
    pub alarm: String,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: String,
}

/// Arguments of `rollback`.
#[derive(Debug, Args)]
pub struct Rollback {
    /// Cutovers, or patterns with * and ?
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// All unfinished cutovers of the journal
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
    /// Write these break-glass files instead (ZONEID-01.json …); needs no journal
    #[arg(
        long,
        value_name = "FILE",
        num_args = 1..,
        conflicts_with_all = ["names", "all", "selector", "force", "include_completed", "reason"]
    )]
    pub from: Vec<PathBuf>,
    /// Of the unfinished ones, or of those that are named, only those with this label; may be given more than once
    #[arg(long, short = 'l', value_name = "KEY=VALUE", value_parser = label)]
    pub selector: Vec<Label>,
    /// Overwrite what somebody else changed
    #[arg(long)]
    pub force: bool,
    /// Take back completed cutovers too
    #[arg(long)]
    pub include_completed: bool,
    /// How long to wait for the end; the request stays in the journal
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = patience)]
    pub timeout: SignedDuration,
    /// Where the break-glass files are, to keep them true [default: .cutover/break-glass, if the journal is beside it]
    #[arg(long, value_name = "DIR")]
    pub break_glass: Option<PathBuf>,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// Arguments of `history`.
#[derive(Debug, Args)]
pub struct History {
    /// The cutover
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// Reads a duration as plan files have it: `90s`, `15m`, `1d 12h`; a day is 24 h.
///
/// # Errors
/// The text is no duration, is not above zero, or has months or years.
pub fn duration(text: &str) -> Result<SignedDuration, String> {
    let example = "write for example `90s`, `15m` or `1d 12h`";
    let span: Span = text.parse().map_err(|_| example.to_owned())?;
    let length = span
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .map_err(|_| example.to_owned())?;
    if length <= SignedDuration::ZERO {
        return Err("must be above zero".to_owned());
    }
    Ok(length)
}

/// A label that is asked for.
pub type Label = (String, String);

/// Reads a label.
fn label(text: &str) -> Result<Label, String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| "write for example `team=search`".to_owned())?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

/// Reads a phase.
fn phase(text: &str) -> Result<Phase, String> {
    let known = |phase: &&Phase| phase.label() == text;
    let labels: Vec<&str> = Phase::ALL.iter().map(|phase| phase.label()).collect();
    let unknown = || format!("the phases are {}", labels.join(", "));
    Phase::ALL.iter().find(known).copied().ok_or_else(unknown)
}

/// How long to wait: a duration, or `0s` for not at all.
fn patience(text: &str) -> Result<SignedDuration, String> {
    if text.trim() == "0s" {
        return Ok(SignedDuration::ZERO);
    }
    duration(text)
}

/// A duration that is a sensible distance between two looks at AWS.
fn interval(text: &str) -> Result<SignedDuration, String> {
    let length = duration(text)?;
    if length < INTERVAL_MIN || length > INTERVAL_MAX {
        return Err("must be from `100ms` to `5m`".to_owned());
    }
    Ok(length)
}

/// Below this, a controller would do nothing but look. What its calls may take of the account's quota is bounded apart.
const INTERVAL_MIN: SignedDuration = SignedDuration::from_millis(100);
/// Above this, an alarm would be seen later than most alarms evaluate.
const INTERVAL_MAX: SignedDuration = SignedDuration::from_secs(300);

/// The URL of a journal, as far as can be told without looking for it.
fn journal_url(text: &str) -> Result<String, String> {
    match text.split_once(':') {
        Some(("sqlite", path)) if !path.is_empty() => Ok(text.to_owned()),
        Some(("memory", "")) => Ok(text.to_owned()),
        Some(("dynamodb", _)) => {
            Err("journals in DynamoDB are not yet supported; write `sqlite:PATH`".to_owned())
        }
        _ => Err("write `sqlite:PATH`".to_owned()),
    }
}

/// A reason that says something.
fn words(text: &str) -> Result<String, String> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err("must say something".to_owned());
    }
    Ok(trimmed.to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_are_taken_after_the_command() {
        let cli = Cli::try_parse_from(["cutover", "status", "--format", "json", "-vv"]).unwrap();
        assert_eq!((cli.global.format, cli.global.verbose), (Format::Json, 2));
    }

    #[test]
    fn reasons_are_required_where_the_rules_say_so() {
        for line in [
            "approve a",
            "skip-bake a",
            "adopt-drift a",
            "ignore-alarm a b",
            "run p --baseline-as-is",
            "approve a --reason=",
        ] {
            let words = ["cutover"].into_iter().chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_err(), "{line}");
        }
        for line in [
            "pause a",
            "resume a",
            "retry a",
            "amend p",
            "rollback a",
            "rollback --all",
        ] {
            let words = ["cutover"].into_iter().chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }

    #[test]
    fn a_rollback_names_what_it_takes_back() {
        assert!(Cli::try_parse_from(["cutover", "rollback", "a", "--all"]).is_err());
    }

    #[test]
    fn a_start_keeps_the_zone_that_it_was_written_in() {
        let shown = |text: &str| {
            let start = start(text).unwrap();
            start.at.to_zoned(start.zone).to_string()
        };
        assert_eq!(
            shown("2026-12-01T09:00+09:00"),
            "2026-12-01T09:00:00+09:00[+09:00]"
        );
        assert_eq!(
            shown("2026-12-01T09:00[Asia/Tokyo]"),
            "2026-12-01T09:00:00+09:00[Asia/Tokyo]"
        );
        assert_eq!(shown("2026-12-01T09:00Z"), "2026-12-01T09:00:00+00:00[UTC]");
        assert!(start("2026-12-01T09:00").is_err(), "no zone at all");
    }

    #[test]
    fn durations_are_read_as_in_plan_files() {
        assert_eq!(duration("1d 12h"), Ok(SignedDuration::from_hours(36)));
        assert_eq!(duration("15m"), Ok(SignedDuration::from_mins(15)));
        for wrong in ["", "15", "-1h", "0s", "1mo", "soon"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
        assert_eq!(patience("0s"), Ok(SignedDuration::ZERO));
        assert!(patience("-1s").is_err());
        assert!(interval("10s").is_ok() && interval("10ms").is_err() && interval("1h").is_err());
    }
}
