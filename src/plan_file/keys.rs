//! Messages and suggestions for keys and words that the plan format does not know.

/// The name of a fleet's file in messages.
pub(super) const FLEET: &str = "the fleet's file";

/// Keys that people write in the wrong place or under another name, and the hint for each.
const ELSEWHERE: [(&[&str], &str); 14] = [
    (
        &["time_zone", "allow", "deny", "whole_bake"],
        "write it under `windows:`",
    ),
    (
        &["timeout", "on_timeout"],
        "write it under `approval:` of a step",
    ),
    (&["region", "role_arn"], "write it under `aws:`"),
    (
        &[
            "fleet",
            "max_in_flight",
            "failure_budget",
            "holidays",
            "defaults",
            "guardrails",
        ],
        "write it in a `fleet.yaml` beside the plans",
    ),
    (
        &[
            "first_step_at_most",
            "step_at_most",
            "bake_at_least",
            "alarms_at_least",
            "fallback_alarms_at_least",
        ],
        "write it under `guardrails:`",
    ),
    (
        &["depends_on", "needs", "requires", "before"],
        "the cutovers that must have completed before this one starts are `after: [ user-api ]`",
    ),
    (
        &[
            "alarms",
            "fallback_alarms",
            "unknown_for",
            "on_unknown",
            "both_red",
            "sides",
            "metrics",
            "traffic",
            "regression",
            "trend",
        ],
        "write it under `gates:`",
    ),
    (
        &["weight", "bake", "approval"],
        "write it in an entry of `steps:`",
    ),
    (
        &["zone", "type", "old", "new", "private"],
        "write it in an entry of `records:`",
    ),
    (
        &["settle"],
        "there is one `settle` for all steps: write it at the top level of the plan",
    ),
    (
        &["share", "percent", "percentage"],
        "the share of the new cluster is `weight: 5%`",
    ),
    (
        &["duration", "soak", "wait", "pause", "interval"],
        "how long a step is watched is `bake: 4h`",
    ),
    (
        &["blue", "primary", "from", "source"],
        "the set identifier of the old cluster is `old:`",
    ),
    (
        &["green", "canary", "to", "target"],
        "the set identifier of the new cluster is `new:`",
    ),
];

/// An example line for each key, for a value of the wrong shape.
const EXAMPLES: [(&str, &str); 97] = [
    ("version", "version: 1"),
    ("name", "name: recipe-api"),
    ("description", "description: Recipe API, EKS to ECS"),
    ("aws", "aws: { region: ap-northeast-1 }"),
    ("region", "region: ap-northeast-1"),
    (
        "role_arn",
        "role_arn: arn:aws:iam::111111111111:role/cutover",
    ),
    (
        "records",
        "records: [ { zone: example.com, name: api.example.com, type: A, old: eks, new: ecs } ]",
    ),
    ("zone", "zone: example.com"),
    ("private", "private: true"),
    ("type", "type: A"),
    ("old", "old: eks"),
    ("new", "new: ecs"),
    ("settle", "settle: 2m"),
    (
        "steps",
        "steps: [ { weight: 5%, bake: 4h }, { weight: 100%, bake: 1d } ]",
    ),
    ("weight", "weight: 5%"),
    ("bake", "bake: 4h"),
    ("approval", "approval: required"),
    ("timeout", "timeout: 2d"),
    (
        "windows",
        "windows: { time_zone: Asia/Tokyo, allow: [ \"Mon-Fri 10:00-17:00\" ] }",
    ),
    ("time_zone", "time_zone: Asia/Tokyo"),
    ("allow", "allow: [ \"Mon-Fri 10:00-17:00\" ]"),
    ("deny", "deny: [ \"2026-12-28..2027-01-04\" ]"),
    ("whole_bake", "whole_bake: true"),
    ("gates", "gates: { alarms: [ recipe-api-5xx ] }"),
    ("alarms", "alarms: [ recipe-api-5xx ]"),
    (
        "fallback_alarms",
        "fallback_alarms: [ recipe-api-old-unhealthy-hosts ]",
    ),
    ("unknown_for", "unknown_for: 30m"),
    (
        "notify",
        "notify: { command: [ /usr/local/bin/page, sre ] }",
    ),
    ("labels", "labels: { team: search }"),
    ("after", "after: [ user-api ]"),
    ("max_in_flight", "max_in_flight: 10"),
    ("failure_budget", "failure_budget: 1"),
    ("first_step_at_most", "first_step_at_most: 5%"),
    ("step_at_most", "step_at_most: 50%"),
    ("bake_at_least", "bake_at_least: 1h"),
    ("alarms_at_least", "alarms_at_least: 2"),
    ("fallback_alarms_at_least", "fallback_alarms_at_least: 1"),
    ("command", "command: [ /usr/local/bin/page, sre ]"),
    ("slack", "slack: \"${SLACK_WEBHOOK}\""),
    ("sns", "sns: arn:aws:sns:eu-west-1:111111111111:cutovers"),
    (
        "topic_arn",
        "topic_arn: arn:aws:sns:eu-west-1:111111111111:cutovers",
    ),
    ("webhook", "webhook: https://hooks.example.com/cutover"),
    ("secret", "secret: \"${WEBHOOK_SECRET}\""),
    ("token", "token: \"${SLACK_TOKEN}\""),
    ("channel", "channel: \"#deploys\""),
    ("except", "except: approval"),
    ("holidays", "holidays: [ \"2026-12-28..2027-01-04\" ]"),
    (
        "sides",
        "sides: { new: { alb: { load_balancer: app/recipe-ecs/50dc6c495c0c9188 } } }",
    ),
    (
        "alb",
        "alb: { load_balancer: app/recipe-ecs/50dc6c495c0c9188 }",
    ),
    (
        "load_balancer",
        "load_balancer: app/recipe-ecs/50dc6c495c0c9188",
    ),
    (
        "target_group",
        "target_group: targetgroup/recipe-ecs/73e2d6bc24d8a067",
    ),
    (
        "nlb",
        "nlb: { load_balancer: net/recipe-ecs/50dc6c495c0c9188 }",
    ),
    ("ecs", "ecs: { cluster: recipe, service: api }"),
    (
        "eks",
        "eks: { cluster: recipe, namespace: default, service: api }",
    ),
    ("cluster", "cluster: recipe"),
    ("service", "service: api"),
    ("namespace", "namespace: AWS/ApplicationELB"),
    ("metric", "metric: RequestCount"),
    ("stat", "stat: Sum"),
    (
        "metrics",
        "metrics: [ { measure: error_rate, max: 1%, for: 3 of 5 } ]",
    ),
    ("measure", "measure: error_rate"),
    ("expression", "expression: 100 * FILL(failed, 0) / tried"),
    (
        "inputs",
        "inputs: { failed: { namespace: Recipe, metric: Failed } }",
    ),
    ("max", "max: 1%"),
    ("min", "min: 2"),
    ("for", "for: 3 of 5"),
    ("every", "every: 5m"),
    (
        "traffic",
        "traffic: { min_requests: 200, share_within: 50% }",
    ),
    ("min_requests", "min_requests: 200"),
    ("share_within", "share_within: 50%"),
    ("regression", "regression: { at_most: 1.25 }"),
    ("at_most", "at_most: 1.25"),
    ("alpha", "alpha: 0.001"),
    ("slow_over", "slow_over: 800ms"),
    ("trend", "trend: [ { measure: memory, limit: 100% } ]"),
    ("limit", "limit: 100%"),
    ("within", "within: 7d"),
    (
        "hooks",
        "hooks: [ { at: before_start, command: [ /usr/local/bin/warm-up ] } ]",
    ),
    ("at", "at: before_step"),
    ("step", "step: 50%"),
    ("http", "http: { url: https://deploys.example.com/cutover }"),
    ("url", "url: https://deploys.example.com/cutover"),
    ("retries", "retries: 2"),
    ("on_failure", "on_failure: hold"),
    ("detach", "detach: true"),
    (
        "jobs",
        "jobs: { at: 50%, move: [ { name: nightly, old: { rule: nightly-eks }, new: { rule: nightly-ecs } } ] }",
    ),
    (
        "move",
        "move: [ { name: nightly, old: { rule: nightly-eks }, new: { rule: nightly-ecs } } ]",
    ),
    ("wait", "wait: 2m"),
    ("away", "away: 5m"),
    ("drain", "drain: 1h"),
    ("rule", "rule: nightly-report"),
    ("schedule", "schedule: nightly-report"),
    ("cron_job", "cron_job: nightly-report"),
    ("off", "off: [ /usr/local/bin/consumers, stop, orders ]"),
    ("on", "on: [ /usr/local/bin/consumers, start, orders ]"),
    (
        "state",
        "state: [ /usr/local/bin/consumers, state, orders ]",
    ),
    (
        "running",
        "running: [ /usr/local/bin/consumers, running, orders ]",
    ),
];

/// The key that a bare value stands for, in entries that may be written as a bare value.
pub(super) fn shorthand(entry: &str) -> Option<&'static str> {
    match entry {
        "AlarmEntry" => Some("name"),
        "ApprovalEntry" => Some("approval"),
        "RawSlack" => Some("webhook"),
        "RawSns" => Some("topic_arn"),
        "RawWebhook" => Some("url"),
        _ => None,
    }
}

/// The message and the help for an unknown key.
pub(super) fn unknown_key(key: &str, place: &str, fields: &[&str]) -> (String, String) {
    let message = format!("unknown key {}", super::diagnostics::quote(key));
    let elsewhere = ELSEWHERE.iter().find(|(keys, _)| keys.contains(&key));
    let help = match (closest(key, fields), elsewhere) {
        (_, Some((_, place))) => (*place).to_owned(),
        (Some(field), None) => format!("did you mean `{field}`?"),
        (None, None) => format!("the keys of {place} are {}", listed(fields, "and")),
    };
    (message, help)
}

/// The help for a word if only certain words are allowed.
pub(super) fn instead_of_word(word: &str, expected: &[&str]) -> String {
    let upper = word.to_ascii_uppercase();
    match (expected, closest(word, expected)) {
        ([only], _) => format!("write `{only}`, or remove the line"),
        _ if expected.contains(&upper.as_str()) => format!("write `{upper}`"),
        _ if upper == "NS" || upper == "SOA" => {
            format!("Route 53 has no weighted {upper} records; move A, AAAA or CNAME records")
        }
        (_, Some(known)) => format!("did you mean `{known}`?"),
        (_, None) => format!("write {}", listed(expected, "or")),
    }
}

/// The help for a value of the wrong shape, or for no value at all.
pub(super) fn example_of(what: &str) -> String {
    let key = what.rsplit('`').nth(1).unwrap_or("");
    let example = EXAMPLES.iter().find(|(known, _)| *known == key);
    match example {
        _ if what == "the plan" => {
            "a plan is a map whose first line is `version: 1`; the example plans show the rest"
                .to_owned()
        }
        _ if what == "the scenario" => {
            "a scenario is a map, for example `faults: [ new errors 20% at step 3 + 2h ]`"
                .to_owned()
        }
        _ if what == FLEET => "a fleet's file is a map, for example `max_in_flight: 10`".to_owned(),
        Some((_, example)) => format!("write for example `{example}`"),
        None => "write a value, or remove the line".to_owned(),
    }
}

/// A line with this key, as an example.
pub(super) fn line_of(key: &str) -> &str {
    let example = EXAMPLES.iter().find(|(known, _)| *known == key);
    example.map_or(key, |(_, example)| example)
}

/// The field that a mistyped key most likely means.
fn closest<'f>(key: &str, fields: &[&'f str]) -> Option<&'f str> {
    let key = key.to_lowercase();
    let fields = fields.iter().copied();
    let closest = fields.min_by_key(|field| strsim::damerau_levenshtein(&key, field))?;
    // Two wrong letters in a word of six are a slip; in a word of three they make another word.
    let slips = strsim::damerau_levenshtein(&key, closest);
    if slips * 3 <= closest.len().max(3) {
        Some(closest)
    } else {
        None
    }
}

/// `a`, `b` and `c`.
pub(super) fn listed(words: &[&str], and: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} {and} {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}
