//! The text below the options in `--help`: what the command needs, examples to paste, and exit codes.
//!
//! A paragraph is one line here, and clap wraps it to the terminal's width; examples and exit codes fit in 80 columns.

/// Text below the options in `cutover --help`.
pub const ROOT: &str = "\
Getting started:
  cutover check plan.yaml          is the plan valid?
  cutover rehearse plan.yaml       what would it do? (a simulation)
  cutover preview plan.yaml        what is in AWS, and what would change when?
  cutover backtest plan.yaml       how often would it have reverted lately?
  cutover run plan.yaml            shift the traffic; revert if a gate fails

In an emergency:
  cutover status                   where is the traffic, and why?
  cutover pause NAME               take no further step; gates stay armed
  cutover rollback NAME            send the traffic back now
  cutover rollback --all           send back everything that is unfinished
  cutover rollback --from .cutover/break-glass/*.json
                                   send the traffic back without the journal

Exit codes:
   0  done
   1  unexpected error, for example the journal cannot be read
   2  wrong usage, not confirmed, or no such cutover or journal
  10  a plan is not valid
  11  preflight refused the start
  12  the command does not apply in this state; nothing was written
  20  reverted or abandoned
  21  a revert is not finished yet
  22  halted: a person is needed

`cutover COMMAND --help` says what each code means for that command. AWS credentials and region come from the usual environment variables and profiles. Results go to standard output; messages and the log go to standard error.";

/// Text below the options in `cutover check --help`.
pub const CHECK: &str = "\
Shows all problems of a file at once, each with its location and a suggested fix.

Needs only the files: no network, no AWS credentials, no journal.

Examples:
  cutover check plans/
  cutover check plan.yaml --format json

Exit codes:
   0  all plans are valid
   2  wrong usage
  10  a plan is not valid";

/// Text below the options in `cutover preview --help`.
pub const PREVIEW: &str = "\
Shows the records and alarms as they are, each step with its change and its earliest time, and every reason to refuse or hold the start. Writes nothing.

Needs AWS credentials that may read Route 53 and CloudWatch. Uses the journal if there is one.

Examples:
  cutover preview plan.yaml
  AWS_PROFILE=prod cutover preview plans/ --format json

Exit codes:
   0  nothing refuses the start; a hold, such as a red alarm, is shown
   1  unexpected error, for example the journal cannot be read
   2  wrong usage
  10  a plan is not valid
  11  preflight refuses the start";

/// Text below the options in `cutover rehearse --help`.
pub const REHEARSE: &str = "\
Runs the same controller as `run` against a simulated Route 53 and CloudWatch. Simulated time jumps ahead, so days take seconds. The same seed gives the same rehearsal.

Needs only the files: no network, no AWS credentials, no journal.

Examples:
  cutover rehearse plan.yaml
  cutover rehearse plan.yaml --seed 7 --start 2026-12-01T09:00:00Z
  cutover rehearse plan.yaml --fault 'new errors 20% at step 3 + 2h'
  cutover rehearse plan.yaml --fault 'approve after 3h' \\
    --fault 'cloudwatch down 40m at step 2 + 1h'
  cutover rehearse plan.yaml --scenario black-friday.yaml
  cutover rehearse plan.yaml --runs 200           count how 200 rehearsals end

Faults: [NAME: ]WHAT [DURATION] [at step N + TIME | at TIME after the start | at RFC 3339], with WHAT one of
  new|old errors 20%, latency 5x, leak 30h, outage, slow start,
    capacity 2000/min, unhealthy
  cloudwatch down, route53 down|throttled|busy|loses replies, journal down
  jobs down, hooks fail, callers pinned, push 20x, controller killed
  alarm NAME red|missing|no data|unclear, foreign write 70/30
  pause, resume, rollback, rollback --force, approve after 3h

The charts are as wide as the terminal, or as COLUMNS says. docs/reference/json.md documents the JSON.

Exit codes (with --runs: 0, whatever the outcomes):
   0  all completed
   2  wrong usage, or a fault never happened
  10  a plan or the scenario is not valid
  20  any reverted
  21  a revert did not finish
  22  any was held or halted at the end";

/// Text below the options in `cutover backtest --help`.
pub const BACKTEST: &str = "\
Starts each plan at every hour of the past and decides as `run` would have, from the recorded alarm histories and metrics. Assumes that every approval was given and that Route 53 worked. Names and leaves out a gate that has no data. Writes nothing to AWS.

Needs AWS credentials that may read CloudWatch, or a file from --save; no journal.

Examples:
  cutover backtest plan.yaml
  cutover backtest plan.yaml --since 7d --every 15m
  cutover backtest plans/ --save past.json          keep what was read, then:
  cutover backtest plans/ --from past.json --format json

Exit codes:
   0  done, whatever the outcomes
   1  unexpected error, for example the --save file cannot be written
   2  wrong usage, or the --from file is not a record
  10  a plan is not valid";

/// Text below the options in `cutover run --help`.
pub const RUN: &str = "\
Takes each step when bake, gates, windows and approvals allow it, and reverts a cutover if its gates fail. Several controllers may run at once. You may stop it and start it again at any time, here or on another machine with the same journal: it compares the journal with Route 53 and goes on. The first Ctrl-C, SIGTERM or SIGHUP stops it cleanly; the traffic stays where it is, and nobody watches the gates until a controller runs again.

Needs AWS credentials that may read and write Route 53 and read CloudWatch, and the journal, which it creates if there is none.

Examples:
  cutover run plan.yaml
  cutover run plans/ --interval 30s --log-format json
  cutover run plans/ --once                  for cron or a scheduled task
  cutover run plans/ --stay                  for systemd, ECS or Kubernetes

Exit codes:
   0  all completed, or stopped by a signal
   1  unexpected error, or something hung after the signal
   2  wrong usage, a secret is missing, or the plan files do not answer
  10  a plan is not valid
  11  nothing is left to do, and a file has the name of an ended cutover but
      another plan
  20  all ended, and any reverted or was abandoned
  22  all others ended, and the journal of one is damaged
 130  stopped at once by a second signal

With --stay only 0, 1, 2, 130, and 10 if a path does not exist: a plan that is not valid is logged, shown by `status`, and read again.

Exit codes with --once (the highest one that applies):
   0  none of these; a red alarm or a shut window before the start is a hold
  10  a file was refused
  11  preflight refused a start
  20  any reverted or was abandoned
  21  any is reverting
  22  any is halted, or its journal is damaged";

/// Below `healthy --help`.
pub const HEALTHY: &str = "\
Looks for a heartbeat of a controller of this machine (its host name) that is at most a minute old, or three rounds if that is longer. If the journal does not answer within 3 seconds, nobody can tell, and the check passes: to restart the controller would only disarm its gates.

Needs the journal; no AWS credentials.

Examples:
  cutover healthy
  cutover healthy --journal sqlite:/var/lib/cutover/journal.db

Exit codes:
   0  the controller works, or nobody can tell
   1  it has been silent for too long, or has never worked
   2  no journal yet";

/// Text below the options in `cutover status --help`.
pub const STATUS: &str = "\
Shows weights as a controller last read them, and says if no controller has looked for a while.

Needs the journal; no AWS credentials. Without a journal there is no cutover to show.

Examples:
  cutover status
  cutover status 'recipe-*' --watch
  cutover status --needs-person
  cutover status --format json |
    jq '.[] | select(.because[0].kind == \"approval\")'

Exit codes:
   0  shown
   1  unexpected error, for example the journal cannot be read
   2  wrong usage, or no such cutover";

/// Text below the options in `cutover approve --help`.
pub const APPROVE: &str = "\
Shows what you approve: what the bake has seen so far, the next share, and when its window opens. An approval is for one step as it is now: a new attempt, or an amend of that step, makes it void.

The journal records who approved as user@host, as this machine reports it, which does not prove an identity. If AWS credentials are available (environment or profile), it records the ARN that STS returns for them too.

Needs the journal and --reason.

Examples:
  cutover approve recipe-api --reason 'error budget checked, OPS-123'
  cutover approve recipe-api --step 4 --reason 'approved ahead'

Exit codes:
   0  approved
   2  wrong usage, or no such cutover or journal
  12  no step waits for approval, or it is approved already";

/// Text below the options in `cutover pause --help`.
pub const PAUSE: &str = "\
A change that was already sent is still verified, the bake clock keeps running, and a failing gate still reverts. `cutover resume` ends the pause.

Needs the journal.

Examples:
  cutover pause recipe-api --reason 'incident 42'
  cutover pause '*'

Exit codes:
   0  paused
   2  wrong usage, or no such cutover or journal
  12  already paused, reverting, or ended";

/// Text below the options in `cutover resume --help`.
pub const RESUME: &str = "\
Ends a pause and nothing else. With --fleet, the automatic reverts so far no longer count against `failure_budget`, and the cutovers that it held go on.

Needs the journal; --fleet needs --reason too.

Examples:
  cutover resume recipe-api
  cutover resume '*'
  cutover resume --fleet --reason 'bad image replaced; INC-42'

Exit codes:
   0  resumed
   2  wrong usage, or no such cutover or journal
  12  not paused; with --fleet: nothing reverted automatically since the last
      `resume --fleet`";

/// Text below the options in `cutover freeze --help`.
pub const FREEZE: &str = "\
Holds every cutover of the journal: no step is taken, and none starts. Gates stay armed, and reverts and rollbacks still happen. A freeze until another time replaces the current one. `cutover unfreeze` ends it.

Needs the journal and --reason.

Examples:
  cutover freeze --until 4h --reason 'sale until six'
  cutover freeze --until 2026-12-28T09:00:00+09:00 --reason 'end of year'

Exit codes:
   0  frozen
   2  wrong usage, or no such journal
  12  already frozen until then, or that time is past";

/// Text below the options in `cutover unfreeze --help`.
pub const UNFREEZE: &str = "\
The cutovers of the journal go on as their plans say.

Needs the journal.

Examples:
  cutover unfreeze --reason 'the sale is over'

Exit codes:
   0  the freeze has ended
   2  wrong usage, or no such journal
  12  the fleet is not frozen";

/// Text below the options in `cutover retry --help`.
pub const RETRY: &str = "\
Reverted: starts a new attempt at step 1, with the plan file as it is then.
Halted: goes back to baking the last verified step, with the bake clock at zero.
Held by a hook that failed for good: the hook is called again at once.

Needs the journal.

Examples:
  cutover retry recipe-api --reason 'memory leak fixed in 1.4.2'

Exit codes:
   0  asked; the next controller does it
   2  wrong usage, or no such cutover or journal
  12  neither reverted nor halted, and no hook has failed; or it cannot be
      retried now, for the reason that is shown";

/// Text below the options in `cutover skip-bake --help`.
pub const SKIP_BAKE: &str = "\
Ends only the bake clock: all gates must pass when the controller decides, and windows, pauses and approvals still hold the next step.

Needs the journal and --reason.

Examples:
  cutover skip-bake recipe-api --reason 'load test passed at 25 %'

Exit codes:
   0  asked; the controller decides in its next round
   2  wrong usage, or no such cutover or journal
  12  no bake is running, its clock stands, or the skip was asked for already";

/// Text below the options in `cutover amend --help`.
pub const AMEND: &str = "\
Everything may change except the name, the records, the weights of steps already taken, and jobs that have begun to move. Until the amend, a changed file holds the cutover, and the plan in the journal stays in force.

Needs the plan files and the journal.

Examples:
  cutover amend plans/recipe-api.yaml --reason 'longer bake at 50 %'

Exit codes:
   0  amended
   2  wrong usage, or no such cutover or journal
  10  a plan is not valid
  12  this change is not allowed, or nothing changed";

/// Text below the options in `cutover adopt-drift --help`.
pub const ADOPT_DRIFT: &str = "\
Accepts the records as they are now as the verified ones. A revert still goes back to the same baseline. A larger share for the new side than its step gives it is refused. In the last step, if the old member is gone or the record leads to the new side without weights, the cutover completes instead, and there is no way back. Asks first; without a terminal, pass --yes.

Needs the journal and --reason.

Examples:
  cutover adopt-drift recipe-api \\
    --reason 'health check added by the network team'

Exit codes:
   0  adopted or completed
   2  wrong usage, no such cutover or journal, or not confirmed
  12  nothing has drifted, or the drift cannot be adopted";

/// Text below the options in `cutover abandon --help`.
pub const ABANDON: &str = "\
For a cutover that can neither go on nor go back. Writes nothing to Route 53, leaves jobs as they are, and shows what is left where. Gates are no longer watched. Its names and its place in the fleet are free for other cutovers. Cutovers that come `after` it stay held, because it never completes. Asks first; without a terminal, pass --yes.

Needs the journal and --reason.

Examples:
  cutover abandon recipe-api --reason 'terraform owns the record now' --yes

Exit codes:
   0  abandoned
   2  wrong usage, no such cutover or journal, or not confirmed
  12  it has ended already";

/// Text below the options in `cutover ignore-alarm --help`.
pub const IGNORE_ALARM: &str = "\
Applies only before the first write, and only until the alarm is first green; from then on the alarm counts. A fallback alarm is never ignored.

Needs the journal and --reason.

Examples:
  cutover ignore-alarm recipe-api recipe-api-p99-latency \\
    --reason 'red until traffic arrives'

Exit codes:
   0  ignored
   2  wrong usage, or no such cutover, journal or alarm
  12  it has started, or the alarm is a fallback alarm or ignored already";

/// Text below the options in `cutover rollback --help`.
pub const ROLLBACK: &str = "\
Works whether or not a controller runs, from any machine that reaches the journal. Gates, pauses, freezes, windows and approvals never stop it. Shows the planned calls, then its progress, then a last reading of every record, INSYNC, and until when caches may hold older answers. If it is interrupted, the request stays in the journal: any controller goes on with it, or run the same command again. Asks first; without a terminal, pass --yes.

Needs AWS credentials that may read and write Route 53, and the journal; with --from, the break-glass files instead of the journal.

Examples:
  cutover rollback recipe-api
  cutover rollback 'recipe-*' --reason 'incident 42' --yes
  cutover rollback --all --yes
  cutover rollback recipe-api --force
    writes the baseline over whatever is there, also over foreign changes
  cutover rollback --from .cutover/break-glass/*.json
    works without the journal
  cutover rollback --from .cutover/break-glass/*.json recipe-api
    writes only its groups; the journal must know which they are

Exit codes:
   0  every record was just read at the baseline, or nothing had to go back
   1  unexpected error, for example the journal cannot be read: use --from
   2  wrong usage, no such cutover or journal, not confirmed, or a --from file
      gives the new side more than the old one
  12  it has completed and is not at its baseline: add --include-completed; or
      it has ended, and another cutover moves the same records now
  21  not finished within --timeout, or a record could not be read: run it again
  22  a person must look: drift blocks it, or somebody wrote after the revert
      (then add --force); other members hold weight; or the journal of a cutover
      is damaged, and its stored baseline was written";

/// Text below the options in `cutover notify-test --help`.
pub const NOTIFY_TEST: &str = "\
Shows what each channel answered. The message says that it is a test, and is sent whatever the channel's `on` says. The plan's notify command runs too.

Needs the secrets and the network access of the controller: start it in the same way as the controller. Channels of Amazon SNS need AWS credentials.

Examples:
  cutover notify-test plans/
  cutover notify-test recipe-api

Exit codes:
   0  every channel accepted it
   1  a channel failed
   2  wrong usage, no such plan or cutover, or no channel to test
  10  a plan is not valid";

/// Text below the options in `cutover history --help`.
pub const HISTORY: &str = "\
Shows who did what and when, oldest first, over all attempts. `@fleet` shows the entries about all cutovers, such as freezes.

Needs the journal; no AWS credentials.

Examples:
  cutover history recipe-api
  cutover history recipe-api --format json | jq -r '.[].event.type'

Exit codes:
   0  shown
   1  unexpected error, for example the journal cannot be read
   2  wrong usage, or no such cutover or journal";

/// Below `iam-policy --help`.
pub const IAM_POLICY: &str = "\
Prints what the controller, or another role, needs to be allowed for these plans: the record names, types and zones, alarms, metrics, jobs, topics, the roles to assume, and the journal's table if it is in DynamoDB. The result is one policy document, to be attached to the role or user. With --format json it is a list of all policies, each with the credentials that it is for.

Not in it: `sts:GetCallerIdentity`, which needs no permission, and what hooks, commands and `kubectl` call.

Needs only the files: no network, no AWS credentials, no journal.

Examples:
  cutover iam-policy plans/ > policy.json
  aws iam put-role-policy --role-name cutover-run --policy-name cutover-run \\
    --policy-document file://policy.json
  cutover iam-policy plans/ --for arn:aws:iam::111111111111:role/cutover
  cutover iam-policy plans/ --role break-glass
  cutover iam-policy plans/ --journal 'dynamodb:cutover?region=eu-west-1'

Exit codes:
   0  printed
   2  wrong usage, or --for does not name the credentials that are needed
  10  a plan is not valid";

/// Text below the options in `cutover schema --help`.
pub const SCHEMA: &str = "\
Needs nothing.

Examples:
  cutover schema > cutover.schema.json
    then write as the first line of a plan:
    # yaml-language-server: $schema=cutover.schema.json

Exit codes:
   0  printed
   2  wrong usage";

/// Text below the options in `cutover completions --help`.
pub const COMPLETIONS: &str = "\
Needs nothing.

Examples:
  cutover completions bash > /etc/bash_completion.d/cutover
  cutover completions zsh > ~/.zfunc/_cutover

Exit codes:
   0  printed
   2  wrong usage";

/// Text below the options in `cutover man --help`.
pub const MAN: &str = "\
Needs nothing.

Examples:
  cutover man | man -l -
  cutover man > /usr/local/share/man/man1/cutover.1

Exit codes:
   0  printed
   2  wrong usage";

/// Below `journal --help`.
pub const JOURNAL: &str = "\
A journal is a file of one machine (`sqlite:PATH`), or lies in a table of DynamoDB that several machines share (`dynamodb:TABLE[/JOURNAL][?region=REGION&role_arn=ARN&external_id=ID]`). Without /JOURNAL it is the journal `main`; without a region, that of the environment.

Examples:
  cutover journal create dynamodb:cutover --yes
  cutover journal copy sqlite:.cutover/journal.db dynamodb:cutover
  cutover journal verify dynamodb:cutover";

/// Below `journal create --help`.
pub const JOURNAL_CREATE: &str = "\
Makes the table with billing on demand, point-in-time recovery, deletion protection and the tag application=cutover, and an empty journal in it. It says first what it will make, and asks. If the table is there, it is checked, and nothing of it is changed.

Needs AWS credentials that may do dynamodb:CreateTable, DescribeTable, TagResource, UpdateContinuousBackups, DescribeContinuousBackups, GetItem and PutItem.

Examples:
  cutover journal create dynamodb:cutover
  cutover journal create 'dynamodb:cutover/prod?region=eu-west-1' --yes

Exit codes:
   0  the table and the journal are there
   1  unexpected error, for example a permission is missing
   2  wrong usage, or not confirmed";

/// Below `journal copy --help`.
pub const JOURNAL_COPY: &str = "\
Copies all entries, under the same numbers, and how far channels have been told; then reads the copy back and compares. It is the way from one kind of journal to the other, and a backup. The source stays as it is.

Stop all controllers first. It is refused while a controller looks, while a write of weights is under way, and if the target has entries.

Examples:
  cutover journal copy sqlite:.cutover/journal.db dynamodb:cutover
  cutover journal copy dynamodb:cutover sqlite:backup.db

Exit codes:
   0  copied, and read back
   1  unexpected error, for example a journal cannot be read
   2  wrong usage, or no such journal
  12  the journal is in use, or the target is not empty; nothing was written";

/// Below `journal verify --help`.
pub const JOURNAL_VERIFY: &str = "\
Reads all of a journal. For a table it checks that the hash of each append follows from the appends before it, so that nothing was changed or removed; for a file, that SQLite finds it whole. Then all entries are folded, as a controller does. Writes nothing.

Examples:
  cutover journal verify
  cutover journal verify dynamodb:cutover --format json

Exit codes:
   0  nothing was changed or lost
   1  unexpected error, or the journal is damaged as a whole
   2  wrong usage, or no such journal
  22  a cutover's entries or a pack are damaged: it names them";
