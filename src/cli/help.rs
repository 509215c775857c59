//! What stands below the options in `--help`: examples to paste, and exit codes.
//!
//! A paragraph is one line here, which clap breaks to the terminal's width; examples fit in 80 columns.

/// Below `cutover --help`.
pub const ROOT: &str = "\
A first walk:
  cutover check plan.yaml          is the plan valid?
  cutover rehearse plan.yaml       would it have done what I mean?
  cutover preview plan.yaml        what is in AWS, what would change, when?
  cutover backtest plan.yaml       how often would it have gone back last week?
  cutover run plan.yaml            do it, and take it back if it fails
  cutover status                   where does it stand, and why?
  cutover rollback NAME            everything back, now

Exit codes:
   0  done
   1  unexpected error
   2  usage, or no such cutover or journal
  10  a plan is not valid
  11  preflight refuses the start
  12  the command does not apply in this state; nothing was written
  20  reverted
  21  a revert is not finished yet
  22  halted: a person is needed

AWS settings come from the usual environment and profile. Results go to standard output, talk to standard error.";

/// Below `check --help`.
pub const CHECK: &str = "\
Needs no network. All problems of a file are shown at once, each with its place and its mend.

Examples:
  cutover check plans/
  cutover check plan.yaml --format json

Exit codes: 0 all valid, 10 a plan is not valid";

/// Below `preview --help`.
pub const PREVIEW: &str = "\
Reads Route 53 and CloudWatch, and writes nothing.

Examples:
  cutover preview plan.yaml
  AWS_PROFILE=prod cutover preview plans/ --format json

Exit codes: 0 it could start, 10 a plan is not valid, 11 preflight refuses the start";

/// Below `rehearse --help`.
pub const REHEARSE: &str = "\
Runs the same controller as `run`, over a simulated Route 53 and CloudWatch with a clock that jumps. Needs no network and no credentials.

Examples:
  cutover rehearse plan.yaml
  cutover rehearse plan.yaml --seed 7 --start 2026-12-01T09:00:00Z
  cutover rehearse plan.yaml --fault 'new errors 20% at step 3 + 2h'
  cutover rehearse plan.yaml --fault 'cloudwatch down 40m at step 2 + 1h' --fault 'approve after 3h'
  cutover rehearse plan.yaml --scenario black-friday.yaml
  cutover rehearse plan.yaml --runs 200                     how often would it end how?

Faults: WHAT [DURATION] [at step N + TIME | at TIME after the start | at RFC 3339], where WHAT is one of
  new|old errors 20%, latency 5x, leak 30h, outage, slow start, capacity 2000/min, unhealthy
  cloudwatch down, route53 down|throttled|busy|loses replies, journal down
  controller killed, foreign write 70/30, alarm NAME red|missing|no data|unclear, push 20x
  pause, resume, rollback, rollback --force, approve after 3h

The charts are as wide as the terminal, or as COLUMNS says. docs/reference/json.md documents the JSON.

Exit codes: 0 completed, 10 a plan is not valid, 20 reverted, 21 the revert did not end, 22 held or halted
With --runs: 0 however they ended";

/// Below `backtest --help`.
pub const BACKTEST: &str = "\
Starts each plan at every hour of the past, and decides as `run` would have, from the histories of its alarms. Reads CloudWatch, writes nothing; no journal is needed. Approvals are taken for given, and Route 53 for working. Gates that were never seen are named and left out.

Examples:
  cutover backtest plan.yaml
  cutover backtest plan.yaml --since 7d --every 15m
  cutover backtest plans/ --save past.json          keep the past, and read it again:
  cutover backtest plans/ --from past.json --format json

Exit codes: 0 done, however the starts ended; 2 usage, or a file that is no record; 10 a plan is not valid";

/// Below `run --help`.
pub const RUN: &str = "\
It may be stopped and started at any moment, here or on another machine with the same journal: it compares what the journal intends with what Route 53 says. Several may run at once.

Examples:
  cutover run plan.yaml
  cutover run plans/ --interval 30s --log-format json
  cutover run plans/ --once                  for cron or a scheduled task

Exit codes: 0 all completed, or stopped by a signal; 20 any reverted; 10 a plan is not valid
With --once also: 11 preflight refuses a start, 21 a revert is not finished, 22 any is halted or its journal is damaged";

/// Below `status --help`.
pub const STATUS: &str = "\
Reads only the journal, not AWS: weights are as the controller last read them.

Examples:
  cutover status
  cutover status 'recipe-*' --watch
  cutover status --format json | jq '.[] | select(.because[0].kind == \"approval\")'

Exit codes: 0 shown, 2 no such cutover";

/// Below `approve --help`.
pub const APPROVE: &str = "\
An approval is for one step as it now is: a new attempt, or an amend of that step, voids it. What is approved is shown: what \
the bake has seen so far, the next share, and when its window opens.

Who approved is written down as user@host, which is what this machine says and no proof of a person. Where AWS credentials \
are at hand (environment or profile), the ARN that STS gives for them is written down too.

Examples:
  cutover approve recipe-api --reason 'error budget checked, OPS-123'
  cutover approve recipe-api --step 4 --reason 'approved ahead'

Exit codes: 0 approved, 2 no such cutover, 12 no step waits for approval";

/// Below `pause --help`.
pub const PAUSE: &str = "\
A change that was already sent is still verified, the bake clock goes on, and a failing gate still takes the traffic back.

Examples:
  cutover pause recipe-api --reason 'incident 42'
  cutover pause '*'

Exit codes: 0 paused, 2 no such cutover, 12 it is paused, going back, or over";

/// Below `resume --help`.
pub const RESUME: &str = "\
Examples:
  cutover resume recipe-api
  cutover resume '*'
  cutover resume --fleet --reason 'bad image, taken back; INC-42'

Exit codes: 0 resumed, 2 no such cutover, 12 it is not paused, or nothing went back by itself";

/// Below `freeze --help`.
pub const FREEZE: &str = "\
Nothing advances in any cutover of the journal: no step is taken, none starts. Gates stay armed, and everything can still go back. A freeze of another length takes the place of the one before.

Examples:
  cutover freeze --until 4h --reason 'sale until six'
  cutover freeze --until 2026-12-28T09:00:00+09:00 --reason 'end of year'

Exit codes: 0 journaled, 2 no such journal, 12 it is frozen so already, or that time is over";

/// Below `unfreeze --help`.
pub const UNFREEZE: &str = "\
Examples:
  cutover unfreeze --reason 'the sale is over'

Exit codes: 0 journaled, 2 no such journal, 12 the fleet is not frozen";

/// Below `retry --help`.
pub const RETRY: &str = "\
Reverted: a new attempt from step 1, with the plan file as it is then. Halted: back to baking the last verified step, with the clock at zero.
A hook that has failed for good and holds the cutover is called again at once.

Examples:
  cutover retry recipe-api --reason 'memory leak mended in 1.4.2'

Exit codes: 0 asked, 2 no such cutover, 12 it is neither reverted nor halted, and no hook has failed";

/// Below `skip-bake --help`.
pub const SKIP_BAKE: &str = "\
Ends only the clock: every gate must pass at that moment, and windows, pauses and approvals hold on.

Examples:
  cutover skip-bake recipe-api --reason 'load test passed at 25 %'

Exit codes: 0 asked, 2 no such cutover, 12 nothing bakes";

/// Below `amend --help`.
pub const AMEND: &str = "\
Everything may change but the name, the records, and the weights of the steps already taken. Until then a changed file holds the cutover, and the plan in the journal stays in force.

Examples:
  cutover amend plans/recipe-api.yaml --reason 'longer bake at 50 %'

Exit codes: 0 taken, 2 no such cutover, 10 a plan is not valid, 12 it may not change so";

/// Below `adopt-drift --help`.
pub const ADOPT_DRIFT: &str = "\
Takes the records as they are now for the verified ones. The weights that a revert goes back to stay. In the last step, if the old member is gone or the record leads to the new side without weights, it completes the cutover instead, and there is no way back. Asks first; without a terminal, --yes is needed.

Examples:
  cutover adopt-drift recipe-api --reason 'health check added by the network team'

Exit codes: 0 adopted or completed, 2 no such cutover or not confirmed, 12 nothing has drifted, or it cannot be adopted";

/// Below `abandon --help`.
pub const ABANDON: &str = "\
For a cutover that can neither go on nor back. Nothing is written to Route 53, jobs stay where they are, and no gate is watched any more; says what is left where. Its names are free for other cutovers, its place in the fleet too; what comes `after` it goes on holding, since it never completes. Asks first; without a terminal, --yes is needed.

Examples:
  cutover abandon recipe-api --reason 'terraform owns the record now' --yes

Exit codes: 0 abandoned, 2 no such cutover or not confirmed, 12 it is over";

/// Below `ignore-alarm --help`.
pub const IGNORE_ALARM: &str = "\
Only before the first write, and only until the alarm is first green; from then on it counts.

Examples:
  cutover ignore-alarm recipe-api recipe-api-p99-latency --reason 'red until traffic arrives'

Exit codes: 0 ignored, 2 no such cutover or alarm, 12 it has started";

/// Below `rollback --help`.
pub const ROLLBACK: &str = "\
Gates, pauses, windows and approvals never stand in its way. Works whether or not a controller runs, and from any machine that reaches the journal. Shows the calls that it is going to make, then how far it is, then a last look at every record, INSYNC, and until when caches may hold older answers. Asks first; without a terminal, --yes is needed.

Examples:
  cutover rollback recipe-api
  cutover rollback 'recipe-*' --reason 'incident 42' --yes
  cutover rollback --all --yes
  cutover rollback recipe-api --force        over foreign changes too
  cutover rollback --from .cutover/break-glass/*.json      without the journal
  cutover rollback --from .cutover/break-glass/*.json recipe-api      only its groups, if the journal can tell them

Exit codes: 0 everything read at the baseline now, 2 no such cutover, not confirmed, or a file gives the new side more than the old one, 12 it has completed and is not at its baseline, 21 not finished within --timeout or not readable, 22 drift blocks it, somebody wrote since it went back, or other members hold weight: look, then --force; or a journal is damaged, and the stored baseline was written";

/// Below `notify-test --help`.
pub const NOTIFY_TEST: &str = "\
Says what each channel answered. What is sent says that it is a test, and goes out whatever the channel is told `on`. The plan's command is run too. Secrets are those of this process: start it as the controller is started.

Examples:
  cutover notify-test plans/
  cutover notify-test recipe-api

Exit codes: 0 every channel took it, 1 one did not, 2 no such plan or cutover, or nobody to tell, 10 a plan is not valid";

/// Below `history --help`.
pub const HISTORY: &str = "\
Examples:
  cutover history recipe-api
  cutover history recipe-api --format json | jq -r '.[].event.type'

Exit codes: 0 shown, 2 no such cutover or journal";

/// Below `schema --help`.
pub const SCHEMA: &str = "\
Examples:
  cutover schema > cutover.schema.json
  then, as the first line of a plan: # yaml-language-server: $schema=cutover.schema.json";

/// Below `completions --help`.
pub const COMPLETIONS: &str = "\
Examples:
  cutover completions bash > /etc/bash_completion.d/cutover
  cutover completions zsh > ~/.zfunc/_cutover";

/// Below `man --help`.
pub const MAN: &str = "\
Examples:
  cutover man | man -l -
  cutover man > /usr/local/share/man/man1/cutover.1";
