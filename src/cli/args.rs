//! The command line as clap parses it. Help texts of commands are imperative and end without a period.

use std::path::PathBuf;

use clap::builder::{StringValueParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use jiff::SignedDuration;

use super::help;
use crate::aws::PolicyRole;
use crate::engine::state::Phase;

mod values;

pub(super) use values::SHORTENED;
pub use values::{Label, Moment, Start, duration};
use values::{
    any_words, apart, interval, journal_url, label, moment, past_moment, patience, phase,
    policy_role, start, words,
};

/// Move production traffic from an old cluster to a new one in steps of Route 53 weights, and revert automatically if a gate
/// fails
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
    /// The options of every command.
    #[command(flatten)]
    pub global: Global,
    /// The command to run, with its arguments.
    #[command(subcommand)]
    pub command: Command,
}

/// The options of every command, accepted before and after its name.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Journal to use: sqlite:PATH or dynamodb:TABLE
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
    /// Format of results on standard output
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "human|json",
        hide_possible_values = true,
        default_value_t = Format::Human
    )]
    pub format: Format,
    /// Format of the log on standard error
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "human|json",
        hide_possible_values = true,
        default_value_t = Format::Human
    )]
    pub log_format: Format,
    /// Log more; -vv logs everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Log filter, for example `cutover=debug`; replaces -v
    #[arg(
        long,
        global = true,
        value_name = "FILTER",
        env = "CUTOVER_LOG",
        hide = true
    )]
    pub log_filter: Option<String>,
    /// Output width if standard output is not a terminal
    #[arg(
        long,
        global = true,
        value_name = "COLUMNS",
        env = "COLUMNS",
        hide = true
    )]
    pub width: Option<String>,
}

/// The format of results or of the log.
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
    /// Show what is in AWS, what each step would change and when; write nothing
    #[command(after_help = help::PREVIEW)]
    Preview(Preview),
    /// Simulate plans: the real controller against a simulated AWS, days in seconds
    #[command(after_help = help::REHEARSE)]
    Rehearse(Rehearse),
    /// Replay plans over past CloudWatch data: how often would they have reverted, and why?
    #[command(after_help = help::BACKTEST)]
    Backtest(Backtest),
    /// Run the controller: shift traffic until every cutover has completed, reverted or been abandoned
    #[command(after_help = help::RUN)]
    Run(Run),
    /// Show where every cutover is, and why
    #[command(after_help = help::STATUS)]
    Status(Status),
    /// Approve a step that waits for approval
    #[command(after_help = help::APPROVE)]
    Approve(Approve),
    /// Pause cutovers: no step is taken, gates stay armed
    #[command(after_help = help::PAUSE)]
    Pause(Names),
    /// Resume paused cutovers, or the fleet after it spent its failure budget
    #[command(after_help = help::RESUME)]
    Resume(Resume),
    /// Freeze the whole fleet: no step is taken, gates stay armed, reverts still happen
    #[command(after_help = help::FREEZE)]
    Freeze(Freeze),
    /// End the freeze of the fleet
    #[command(after_help = help::UNFREEZE)]
    Unfreeze(Unfreeze),
    /// Try a reverted cutover again, continue a halted one, or call a failed hook again
    #[command(after_help = help::RETRY)]
    Retry(Names),
    /// End the bake of the current step now, if all gates pass
    #[command(after_help = help::SKIP_BAKE)]
    SkipBake(NamesBecause),
    /// Apply changed plan files to unfinished cutovers
    #[command(after_help = help::AMEND)]
    Amend(Amend),
    /// Accept drift: go on from the records as they are now
    #[command(after_help = help::ADOPT_DRIFT)]
    AdoptDrift(AdoptDrift),
    /// End a cutover as it is: write nothing, watch nothing, free its names
    #[command(after_help = help::ABANDON)]
    Abandon(Abandon),
    /// Allow a start although an alarm is red, until the alarm is first green
    #[command(after_help = help::IGNORE_ALARM)]
    IgnoreAlarm(IgnoreAlarm),
    /// Send the traffic back to where it was before the cutover
    #[command(after_help = help::ROLLBACK)]
    Rollback(Rollback),
    /// Send a test message to every channel of plans or cutovers
    #[command(after_help = help::NOTIFY_TEST)]
    NotifyTest(NotifyTest),
    /// Show every journal entry of one cutover
    #[command(after_help = help::HISTORY)]
    History(History),
    /// Tell whether the controller on this machine still works, for health checks of containers
    #[command(after_help = help::HEALTHY)]
    Healthy,
    /// Print the least IAM policy for plans
    #[command(after_help = help::IAM_POLICY)]
    IamPolicy(IamPolicy),
    /// Make, copy or check a journal
    #[command(subcommand, arg_required_else_help = true, after_help = help::JOURNAL)]
    Journal(JournalCommand),
    /// Print the JSON Schema of plan files, for editors
    #[command(after_help = help::SCHEMA)]
    Schema(Schema),
    /// Print a completion script for a shell
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        /// Shell to print the script for
        shell: Shell,
    },
    /// Print the manual page
    #[command(after_help = help::MAN)]
    Man,
}

/// The commands on a journal as a whole.
#[derive(Debug, Subcommand)]
#[command(disable_help_subcommand = true)]
pub enum JournalCommand {
    /// Make a table of DynamoDB for journals, and a journal in it
    #[command(after_help = help::JOURNAL_CREATE)]
    Create(JournalCreate),
    /// Copy the whole history to a new journal, and read it back
    #[command(after_help = help::JOURNAL_COPY)]
    Copy(JournalCopy),
    /// Read the whole journal, and check that nothing in it was changed or lost
    #[command(after_help = help::JOURNAL_VERIFY)]
    Verify(JournalVerify),
}

/// Arguments of `journal create`.
#[derive(Debug, Args)]
pub struct JournalCreate {
    /// URL of the journal, dynamodb:TABLE[/JOURNAL] [default: the one of --journal]
    #[arg(value_name = "URL", value_parser = journal_url)]
    pub url: Option<String>,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub yes: bool,
}

/// Arguments of `journal copy`.
#[derive(Debug, Args)]
pub struct JournalCopy {
    /// URL of the journal to copy
    #[arg(value_name = "FROM", value_parser = journal_url)]
    pub from: String,
    /// URL of the new journal, which must be empty or not exist yet
    #[arg(value_name = "TO", value_parser = journal_url)]
    pub to: String,
}

/// Arguments of `journal verify`.
#[derive(Debug, Args)]
pub struct JournalVerify {
    /// URL of the journal [default: the one of --journal]
    #[arg(value_name = "URL", value_parser = journal_url)]
    pub url: Option<String>,
}

/// Plan files.
#[derive(Debug, Args)]
pub struct Paths {
    /// Plan files, or directories of plan files
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
}

/// Arguments of `schema`.
#[derive(Debug, Args)]
pub struct Schema {
    /// Print the schema of `fleet.yaml` instead
    #[arg(long)]
    pub fleet: bool,
}

/// Arguments of `preview`.
#[derive(Debug, Args)]
pub struct Preview {
    /// Plan files, or directories of plan files
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Judge the start as `run --baseline-as-is` does
    #[arg(long)]
    pub baseline_as_is: bool,
}

/// Arguments of `rehearse`.
#[derive(Debug, Args)]
pub struct Rehearse {
    /// Plan files, or directories of plan files
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Seed of the random numbers; the same seed gives the same rehearsal
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Start of the rehearsal, as RFC 3339; times are shown in its time zone [default: now]
    #[arg(long, value_name = "TIME", value_parser = start)]
    pub start: Option<Start>,
    /// File that describes the simulated world and its faults (NAME.scenario.yaml); without it nothing goes wrong
    #[arg(long, value_name = "FILE")]
    pub scenario: Option<PathBuf>,
    /// Fault to inject, for example 'new errors 20% at step 3 + 2h'; repeat for several faults
    #[arg(long = "fault", value_name = "TEXT")]
    pub faults: Vec<String>,
    /// Rehearse this many times, with this seed and the ones after it, and count the outcomes
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub runs: Option<u32>,
    /// Draw no charts
    #[arg(long)]
    pub no_charts: bool,
    /// Draw with ASCII characters only
    #[arg(long)]
    pub ascii: bool,
}

/// Arguments of `backtest`.
#[derive(Debug, Args)]
pub struct Backtest {
    /// Plan files, or directories of plan files
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Start of the past: a time, or how long ago [default: 14d]
    #[arg(long, value_name = "TIME|DURATION", value_parser = past_moment)]
    pub since: Option<Moment>,
    /// End of the past: a time, or how long ago [default: now]
    #[arg(long, value_name = "TIME|DURATION", value_parser = past_moment)]
    pub until: Option<Moment>,
    /// Time between two starts
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = apart)]
    pub every: SignedDuration,
    /// Save the data that was read to this file
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// Read the data from this file instead of AWS
    #[arg(long, value_name = "FILE", conflicts_with = "save")]
    pub from: Option<PathBuf>,
    /// Draw no charts
    #[arg(long)]
    pub no_charts: bool,
    /// Draw with ASCII characters only
    #[arg(long)]
    pub ascii: bool,
}

/// Arguments of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Plan files, or directories of plan files
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Do one round and exit, for cron and scheduled tasks
    #[arg(long)]
    pub once: bool,
    /// Go on when every cutover has ended: take new plans, `retry` and other commands until a signal. For services
    #[arg(long, conflicts_with = "once")]
    pub stay: bool,
    /// Time between two rounds
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = interval)]
    pub interval: SignedDuration,
    /// Directory for break-glass files: change batches that send the traffic back without this program
    #[arg(long, value_name = "DIR", default_value = ".cutover/break-glass")]
    pub break_glass: PathBuf,
    /// Start although the new side already has a share of the traffic that this journal does not know
    #[arg(long, requires = "reason")]
    pub baseline_as_is: bool,
    /// Reason for --baseline-as-is, written to the journal
    #[arg(long, value_name = "TEXT", requires = "baseline_as_is", value_parser = words)]
    pub reason: Option<String>,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Names of cutovers, or patterns with * and ? [default: all]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Show only cutovers in this phase; repeat for several phases
    #[arg(long, value_name = "PHASE", value_parser = phase)]
    pub phase: Vec<Phase>,
    /// Show only cutovers that wait for a person
    #[arg(long)]
    pub needs_person: bool,
    /// Show only cutovers with this label; repeat to require several
    #[arg(long, short = 'l', value_name = "KEY=VALUE", value_parser = label)]
    pub selector: Vec<Label>,
    /// Refresh every 2 seconds until Ctrl-C
    #[arg(long)]
    pub watch: bool,
}

/// Arguments of commands on cutovers whose reason is optional.
#[derive(Debug, Args)]
pub struct Names {
    /// Names of cutovers, or patterns with * and ?
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Reason, written to the journal
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: Option<String>,
}

/// Arguments of `notify-test`.
#[derive(Debug, Args)]
pub struct NotifyTest {
    /// Plan files, directories of plan files, or names of cutovers [default: all unfinished cutovers]
    #[arg(value_name = "PATH|NAME")]
    pub of: Vec<String>,
}

/// Arguments of `resume`.
#[derive(Debug, Args)]
pub struct Resume {
    /// Names of cutovers, or patterns with * and ?
    #[arg(required_unless_present = "fleet", value_name = "NAME")]
    pub names: Vec<String>,
    /// Resume the fleet: automatic reverts so far no longer count against its failure budget
    #[arg(long, conflicts_with = "names", requires = "reason")]
    pub fleet: bool,
    /// Reason, written to the journal
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: Option<String>,
}

/// Arguments of `freeze`.
#[derive(Debug, Args)]
pub struct Freeze {
    /// End of the freeze: a time as RFC 3339, or a duration from now [default: until `unfreeze`]
    #[arg(long, value_name = "TIME|DURATION", value_parser = moment)]
    pub until: Option<Moment>,
    /// Reason, written to the journal and shown with every held cutover
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: String,
}

/// Arguments of `unfreeze`.
#[derive(Debug, Args)]
pub struct Unfreeze {
    /// Reason, written to the journal
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: Option<String>,
}

/// Arguments of commands on cutovers that need a reason.
#[derive(Debug, Args)]
pub struct NamesBecause {
    /// Names of cutovers, or patterns with * and ?
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Reason, written to the journal
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: String,
}

/// Arguments of `approve`.
#[derive(Debug, Args)]
pub struct Approve {
    /// Names of cutovers, or patterns with * and ?
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Step to approve [default: the one that waits now]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub step: Option<u16>,
    /// Reason, written to the journal
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: String,
}

/// Arguments of `amend`.
#[derive(Debug, Args)]
pub struct Amend {
    /// Plan files, or directories of plan files
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Reason, written to the journal
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: Option<String>,
}

/// Arguments of `adopt-drift`.
#[derive(Debug, Args)]
pub struct AdoptDrift {
    /// Names of cutovers, or patterns with * and ?
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Reason, written to the journal
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: String,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub yes: bool,
}

/// Arguments of `abandon`.
#[derive(Debug, Args)]
pub struct Abandon {
    /// Names of cutovers, or patterns with * and ?
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Reason, written to the journal
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: String,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub yes: bool,
}

/// Arguments of `ignore-alarm`.
#[derive(Debug, Args)]
pub struct IgnoreAlarm {
    /// Name of a cutover, or a pattern with * and ?
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Alarm to ignore; `NAME (REGION)` if the plan has it in several regions
    #[arg(value_name = "ALARM")]
    pub alarm: String,
    /// Reason, written to the journal
    #[arg(long, value_name = "TEXT", value_parser = words)]
    pub reason: String,
}

/// Arguments of `rollback`.
#[derive(Debug, Args)]
pub struct Rollback {
    /// Names of cutovers, or patterns with * and ?
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Roll back all unfinished cutovers of the journal
    #[arg(long, conflicts_with = "names")]
    pub all: bool,
    /// Write these break-glass files (ZONEID-01.json …) instead, without the journal. With a NAME, write only that cutover's
    /// groups, which the journal must know
    #[arg(
        long,
        value_name = "FILE",
        num_args = 1..,
        conflicts_with_all = ["all", "selector", "include_completed"]
    )]
    pub from: Vec<PathBuf>,
    /// Roll back only cutovers with this label, of the named or of all unfinished ones; repeat to require several
    #[arg(long, short = 'l', value_name = "KEY=VALUE", value_parser = label)]
    pub selector: Vec<Label>,
    /// Write the baseline over whatever is there, also over what somebody else changed
    #[arg(long)]
    pub force: bool,
    /// Roll back completed cutovers too
    #[arg(long)]
    pub include_completed: bool,
    /// Write weights only, and call nothing that a plan names (hooks, jobs, commands, channels). Use it if you do not trust
    /// everybody who can write the journal. The next controller makes the calls that are due
    #[arg(long, conflicts_with = "from")]
    pub no_commands: bool,
    /// Longest wait for the end; the request stays in the journal
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = patience)]
    pub timeout: SignedDuration,
    /// Directory of the break-glass files, to keep them up to date [default: .cutover/break-glass, if the journal is in .cutover
    /// too]
    #[arg(long, value_name = "DIR")]
    pub break_glass: Option<PathBuf>,
    /// Reason, written to the journal
    #[arg(long, value_name = "TEXT", value_parser = StringValueParser::new().map(any_words))]
    pub reason: Option<String>,
    /// Do not ask for confirmation
    #[arg(long, short)]
    pub yes: bool,
}

/// Arguments of `history`.
#[derive(Debug, Args)]
pub struct History {
    /// Name of the cutover, or @fleet
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// Arguments of `iam-policy`.
#[derive(Debug, Args)]
pub struct IamPolicy {
    /// Plan files, or directories of plan files; none with --role create
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Work that the policy allows: controller, read-only, break-glass or create
    #[arg(long, value_name = "ROLE", default_value = "controller", value_parser = policy_role)]
    pub role: PolicyRole,
    /// Credentials that the policy is for: environment, or the ARN of a role that the plans name. Required if the plans call
    /// AWS with several
    #[arg(long = "for", value_name = "WHOM")]
    pub holder: Option<String>,
    /// Allow all names of the zones, not only those of the plans: for fleets whose policy is too long
    #[arg(long)]
    pub any_name: bool,
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
