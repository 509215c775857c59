//! The command line as clap sees it. Help texts of commands are imperative and end without a period.

use std::path::PathBuf;

use clap::builder::{StringValueParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use jiff::SignedDuration;

use super::help;
use crate::engine::state::Phase;

mod values;

pub(super) use values::SHORTENED;
pub use values::{Label, Moment, Start, duration};
use values::{
    any_words, apart, interval, journal_url, label, moment, past_moment, patience, phase, start,
    words,
};

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
    /// Try a reverted cutover again, leave Halted, or call a failed hook again
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
    /// End a cutover as it stands: nothing is written, and its names are free
    #[command(after_help = help::ABANDON)]
    Abandon(Abandon),
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

/// Arguments of `abandon`.
#[derive(Debug, Args)]
pub struct Abandon {
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
    /// Write these break-glass files instead (ZONEID-01.json …); needs no journal. A NAME beside them takes only that cutover's
    /// groups, which needs one
    #[arg(
        long,
        value_name = "FILE",
        num_args = 1..,
        conflicts_with_all = ["all", "selector", "include_completed"]
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
    /// Only the weights go back: nothing that a plan names is called (hooks, jobs, commands, channels); for those who do not trust
    /// whoever can write the journal. What is left out is done by the next controller
    #[arg(long, conflicts_with = "from")]
    pub no_commands: bool,
    /// How long to wait for the end; the request stays in the journal
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = patience)]
    pub timeout: SignedDuration,
    /// Where the break-glass files are, to keep them true [default: .cutover/break-glass, if the journal is beside it]
    #[arg(long, value_name = "DIR")]
    pub break_glass: Option<PathBuf>,
    /// Why, for the journal
    #[arg(long, value_name = "TEXT", value_parser = StringValueParser::new().map(any_words))]
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
            "abandon a",
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
}
