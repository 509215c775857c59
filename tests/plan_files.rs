//! Plan files: what loads, what does not, and what a person is told.

mod beside;
mod fleets;
mod keys;
mod measures;
mod notify;
mod robustness;
mod windows;

use std::fs;
use std::path::{Path, PathBuf};

use cutover::engine::plan::{HoldOrRevert, NoData, Plan};
use cutover::engine::units::WeightPair;
use cutover::plan_file::{self, Finding};
use jiff::SignedDuration;

/// The smallest plan without a warning.
const VALID: &str = "\
version: 1
name: recipe-api
records:
  - { zone: example.com, name: api.example.com, type: A, old: eks, new: ecs }
steps:
  - { weight: 5%, bake: 4h }
  - { weight: 100%, bake: 1d 12h }
gates:
  alarms: [ recipe-api-5xx ]
  fallback_alarms: [ recipe-api-eks-unhealthy ]
";

fn load(text: &str) -> Plan {
    match plan_file::parse(text, "plan.yaml") {
        Ok(loaded) => loaded.source.plan,
        Err(error) => panic!("{error}"),
    }
}

fn findings(text: &str) -> Vec<Finding> {
    let error = plan_file::parse(text, "plan.yaml").expect_err("this plan is wrong");
    error.findings
}

/// [`VALID`] with a text replaced by another.
fn with(old: &str, new: &str) -> String {
    assert!(VALID.contains(old), "{old:?} is not in the plan");
    VALID.replacen(old, new, 1)
}

/// Replacing one text of [`VALID`] makes exactly one finding, at this line and column, with this message and help.
#[track_caller]
fn one_mistake(old: &str, new: &str, at: (usize, usize), message: &str, help: &str) {
    let found = findings(&with(old, new));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(
        (found[0].message.as_str(), found[0].help.as_deref()),
        (message, Some(help))
    );
    assert_eq!((found[0].line, found[0].column), (Some(at.0), Some(at.1)));
}

/// Replacing the first text of [`VALID`] with the second makes one finding with the third as its help.
#[track_caller]
fn told_to(cases: &[(&str, &str, &str)]) {
    for (old, new, help) in cases {
        let found = findings(&with(old, new));
        assert_eq!(found.len(), 1, "{new}: {found:?}");
        assert_eq!(found[0].help.as_deref(), Some(*help), "{new}");
    }
}

fn plans() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans");
    plan_file::find(&[directory]).expect("the examples are there")
}

#[test]
fn every_example_plan_loads_without_a_warning() {
    assert!(plans().len() >= 3);
    for path in plans() {
        match plan_file::load(&path) {
            Ok(loaded) => assert_eq!(plan_file::render(&loaded.warnings, false), ""),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn the_gradual_example_says_what_it_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("plans/recipe-api.yaml");
    let source = plan_file::load(&path).unwrap().source;
    let plan = &source.plan;
    assert_eq!(source.path, path.display().to_string());
    assert_eq!(source.text, fs::read_to_string(&path).unwrap());
    assert_eq!(plan.records.len(), 2);
    assert_eq!(plan.settle, Some(SignedDuration::from_mins(2)));
    let days: i64 = plan.steps.iter().map(|step| step.bake.as_hours()).sum();
    assert_eq!(days, 9 * 24);
    assert_eq!(plan.steps.iter().filter(|step| step.approval).count(), 1);
    let alarms = &plan.gates.alarms;
    let regions: Vec<_> = alarms
        .iter()
        .map(|alarm| alarm.id.region.as_deref())
        .collect();
    let tokyo = Some("ap-northeast-1");
    assert_eq!(regions, [tokyo, tokyo, Some("us-east-1"), tokyo]);
    assert_eq!(alarms[3].no_data, NoData::Pass);
    let json = serde_json::to_string(&source).unwrap();
    assert_eq!(
        serde_json::from_str::<cutover::engine::plan::PlanSource>(&json).unwrap(),
        source
    );
}

#[test]
fn what_a_plan_leaves_out_has_a_default() {
    let plan = load(VALID);
    assert_eq!(plan.gates.unknown_for, SignedDuration::from_mins(30));
    assert_eq!(plan.gates.on_unknown, HoldOrRevert::Hold);
    assert_eq!(plan.gates.both_red, HoldOrRevert::Hold);
    assert_eq!(plan.gates.alarms[0].no_data, NoData::Hold);
    assert_eq!(plan.gates.alarms[0].id.region, None);
    assert_eq!((plan.settle, plan.notify.clone()), (None, None));
    assert!(plan.aws.account.is_ambient());
    assert_eq!(plan.steps[0].pair, WeightPair::new(95, 5));
    assert_eq!(plan.steps[1].bake, SignedDuration::from_hours(36));
}

#[test]
fn scalars_stay_what_was_written() {
    let plan = load(&with("old: eks, new: ecs", "old: 1.10, new: no"));
    assert_eq!(
        (plan.records[0].old.as_str(), plan.records[0].new.as_str()),
        ("1.10", "no")
    );
    let plan = load(&with("name: api.example.com", "name: API.Example.COM."));
    assert_eq!(plan.records[0].name.name.as_str(), "api.example.com");
    assert!(
        load(&with("version: 1", "version: 1\nsettle: 0s"))
            .settle
            .unwrap()
            .is_zero()
    );
    assert_eq!(
        load(&with("weight: 5%", "weight: 0.5 %")).steps[0].pair,
        WeightPair::new(199, 1)
    );
    assert_eq!(load(&VALID.replace('\n', "\r\n")), load(VALID));
    assert_eq!(load(&format!("\u{feff}{VALID}")), load(VALID));
}

#[test]
fn anchors_save_typing() {
    let text = with("alarms: [ recipe-api-5xx ]", "alarms: &all [ a, b ]")
        .replace("bake: 4h", "bake: &bake 4h")
        .replace("bake: 1d 12h", "bake: *bake");
    let plan = load(&text);
    assert_eq!(plan.steps[1].bake, SignedDuration::from_hours(4));
}

#[test]
fn the_digest_is_of_what_the_plan_does() {
    let digest = |text: &str| plan_file::parse(text, "p.yaml").unwrap().source.digest;
    let valid = digest(VALID);
    assert_eq!(valid.len(), 64);
    let same = [
        format!("# a comment\ndescription: x\nnotify: {{ command: [ x ] }}\n{VALID}"),
        with("{ weight: 5%, bake: 4h }", "{ bake: 240m, weight: 5.0% }"),
        with(
            "  alarms: [ recipe-api-5xx ]\n",
            "  unknown_for: 1800s\n  alarms:\n    - name: recipe-api-5xx\n",
        ),
    ];
    for text in same {
        assert_eq!(digest(&text), valid, "{text}");
    }
    for text in [
        with("4h", "5h"),
        with("5%", "6%"),
        with("recipe-api-5xx", "other"),
    ] {
        assert_ne!(digest(&text), valid, "{text}");
    }
}

#[test]
fn wrong_units_are_answered_with_the_right_ones() {
    one_mistake("5%", "5", (6, 15), "`5` has no unit", "write `5%`");
    let help = "write `0.05%` (or `5%`, if you meant a fraction of 1)";
    one_mistake("5%", "0.05", (6, 15), "`0.05` has no unit", help);
    let help = "write the unit: `4h` is hours, `4d` days, `4m` minutes";
    one_mistake("4h", "4", (6, 25), "`4` has no unit", help);
    one_mistake(
        "4h",
        "4 hours",
        (6, 25),
        "`4 hours` is not a duration",
        "write `4h`",
    );
    one_mistake(
        "5%",
        "101%",
        (6, 15),
        "`101%` is not between 0% and 100%",
        "write for example `5%`",
    );
}

#[test]
fn steps_rise_to_a_hundred_in_weights_that_route_53_can_tell_apart() {
    let message = "0.1% is less than Route 53 can express, and would be 0%";
    let help = "write `0.390625%` (1 of 256, the smallest share) or more";
    one_mistake("5%", "0.1%", (6, 15), message, help);
    let message = "the steps must rise, but 5% comes after 5%";
    let help = "put the steps in rising order, each share once";
    let twice = "5%, bake: 4h }\n  - { weight: 5%, bake: 4h }";
    one_mistake("5%, bake: 4h }", twice, (7, 15), message, help);
    let message = "0.41% and 0.4% are the same weights, 249/1 (old/new), in Route 53";
    let found = findings(&with(
        "5%, bake: 4h }",
        "0.4%, bake: 4h }\n  - { weight: 0.4000001%, bake: 4h }",
    ));
    assert_eq!(found[0].message, "`0.4000001%` has more than six decimals");
    let found = findings(&with(
        "5%, bake: 4h }",
        "0.4%, bake: 4h }\n  - { weight: 0.4001%, bake: 4h }",
    ));
    assert_eq!(found[0].message, message.replace("0.41%", "0.4001%"));
    assert_eq!(
        found[0].related.as_ref().map(|related| related.line),
        Some(6)
    );
    let help = "add a last step, for example `- { weight: 100%, bake: 1d }`";
    one_mistake("100%", "90%", (7, 7), "the steps do not end at 100%", help);
    let found = findings(&with("5%", "0%"));
    assert_eq!(found[0].message, "a step of 0% moves nothing");
}

#[test]
fn bakes_are_longer_than_zero_and_at_most_ninety_days() {
    one_mistake(
        "4h",
        "0s",
        (6, 25),
        "`bake` must be longer than zero",
        "write for example `bake: 4h`",
    );
    one_mistake(
        "4h",
        "91d",
        (6, 25),
        "`bake` is longer than 90 days",
        "write `90d` or less",
    );
    assert!(plan_file::parse(&with("4h", "90d"), "p").is_ok());
}

#[test]
fn records_are_checked_against_each_other_and_their_zone() {
    let message = "`api.example.org` is not in the zone `example.com`";
    let help = "correct the name, or write the zone that it is in";
    one_mistake("api.example.com", "api.example.org", (4, 32), message, help);
    let help = "write the whole name: `api.example.com`";
    one_mistake(
        "api.example.com",
        "api",
        (4, 32),
        "`api` is not in the zone `example.com`",
        help,
    );
    assert!(plan_file::parse(&with("zone: example.com", "zone: Z0123456789ABC"), "p").is_ok());
    let message = "`old` and `new` are the same record";
    let help = "write the set identifiers of the old and the new cluster's record";
    one_mistake("new: ecs", "new: eks", (4, 73), message, help);

    let again =
        "new: ecs }\n  - { zone: example.com., name: API.example.com, type: A, old: a, new: b }";
    let message = "the record `api.example.com` A is listed twice";
    one_mistake(
        "new: ecs }",
        again,
        (5, 7),
        message,
        "remove one of the two",
    );
    let cname = again.replace("type: A", "type: CNAME");
    let help = "remove one of the two; the DNS allows nothing beside a CNAME";
    let message = "`api.example.com` cannot have a CNAME and another record";
    one_mistake("new: ecs }", &cname, (5, 7), message, help);
    let twin = again.replace("zone:", "private: true, zone:");
    let text = with("new: ecs }", &twin).replace("{ zone:", "{ private: false, zone:");
    assert!(
        plan_file::parse(&text, "p").is_ok(),
        "a public and a private zone share names"
    );
}

#[test]
fn only_types_that_route_53_weights_are_taken() {
    for record_type in ["AAAA", "TXT", "MX", "SRV", "HTTPS"] {
        let text = with("type: A", &format!("type: {record_type}"));
        assert_eq!(load(&text).records[0].name.record_type, record_type);
    }
    let help = "Route 53 has no weighted NS records; move A, AAAA or CNAME records";
    one_mistake(
        "type: A",
        "type: NS",
        (4, 55),
        "`type` cannot be `NS`",
        help,
    );
    one_mistake(
        "type: A",
        "type: a",
        (4, 55),
        "`type` cannot be `a`",
        "write `A`",
    );
}

#[test]
fn there_are_at_most_a_hundred_records() {
    let many = |count: usize| {
        let line = |n| {
            format!(
                "  - {{ zone: example.com, name: n{n}.example.com, type: A, old: a, new: b }}\n"
            )
        };
        let lines: String = (0..count).map(line).collect();
        with(
            "  - { zone: example.com, name: api.example.com, type: A, old: eks, new: ecs }\n",
            &lines,
        )
    };
    assert_eq!(load(&many(100)).records.len(), 100);
    let found = findings(&many(101));
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].line, Some(104));
    assert!(
        found[0]
            .message
            .starts_with("101 records are listed; 100 are the most")
    );
}

#[test]
fn names_and_identifiers_have_their_shapes() {
    let long = "x".repeat(129);
    let cases = [
        (
            "name: recipe-api",
            "name: Recipe_API",
            "write for example `recipe-api`",
        ),
        ("name: recipe-api", "name: -x-", "write for example `x`"),
        (
            "zone: example.com",
            "zone: /hostedzone/Z123",
            "write the ID alone: `Z123`",
        ),
        (
            "name: api.example.com",
            "name: https://api.example.com/x",
            "write `api.example.com`",
        ),
        (
            "name: api.example.com",
            "name: äpi.example.com",
            "write the name in its ASCII form, `xn--…`",
        ),
        (
            "name: api.example.com",
            "name: api..example.com",
            "write for example `api.example.com`",
        ),
        (
            "old: eks",
            "old: ''",
            "write the record's set identifier (its Record ID in the console)",
        ),
        (
            "old: eks",
            &format!("old: {long}"),
            "write the record's set identifier (its Record ID in the console)",
        ),
    ];
    told_to(&cases);
}

#[test]
fn what_belongs_to_aws_has_the_shape_that_aws_gives_it() {
    let cases = [
        (
            "version: 1",
            "version: 1\naws: { region: us-east-1a }",
            "that is an availability zone; write its region, `us-east-1`",
        ),
        (
            "version: 1",
            "version: 1\naws: { role_arn: 'arn:aws:iam::1:role/x' }",
            "write for example `arn:aws:iam::111111111111:role/cutover`",
        ),
        (
            "recipe-api-5xx",
            "'arn:aws:sns:eu-west-1:111111111111:alarm:a'",
            "write for example `arn:aws:cloudwatch:eu-west-1:111111111111:alarm:api-5xx`, or the alarm's name alone",
        ),
        (
            "version: 1",
            "version: 1\nnotify: { command: [] }",
            "write a program and its arguments: `command: [ /usr/local/bin/page, sre ]`",
        ),
        (
            "version: 1",
            "version: 1\nnotify: { command: page.sh }",
            "write for example `command: [ /usr/local/bin/page, sre ]`",
        ),
        (
            "version: 1",
            "version: 1\nnotify: {}",
            "add `command: [ /usr/local/bin/page, sre ]`, `slack`, `sns` or `webhook`, or remove `notify`",
        ),
    ];
    told_to(&cases);
    for region in [
        "us-gov-west-1",
        "ap-southeast-7",
        "cn-north-1",
        "eusc-de-east-1",
    ] {
        let text = with(
            "version: 1",
            &format!("version: 1\naws: {{ region: {region} }}"),
        );
        assert_eq!(
            load(&text).gates.alarms[0].id.region.as_deref(),
            Some(region)
        );
    }
}

#[test]
fn an_alarm_is_listed_once() {
    let message = "the alarm `recipe-api-5xx` is listed twice";
    let listed = "[ recipe-api-5xx, recipe-api-5xx ]";
    one_mistake(
        "[ recipe-api-5xx ]",
        listed,
        (9, 29),
        message,
        "remove one of the two",
    );
    let message = "the alarm `recipe-api-5xx` is both a gate and a fallback alarm";
    let help = "an alarm watches the new cluster (`alarms`) or the old one (`fallback_alarms`), never both";
    one_mistake(
        "recipe-api-eks-unhealthy",
        "recipe-api-5xx",
        (10, 22),
        message,
        help,
    );
    let elsewhere = "[ recipe-api-5xx, { name: recipe-api-5xx, region: us-east-1 } ]";
    assert_eq!(
        load(&with("[ recipe-api-5xx ]", elsewhere))
            .gates
            .alarms
            .len(),
        2
    );
}

#[test]
fn a_plan_that_nothing_watches_is_refused() {
    let message = "no alarm is watched, so nothing would ever take the traffic back";
    let help = "list at least one alarm of the new cluster: `alarms: [ recipe-api-5xx ]`";
    one_mistake("  alarms: [ recipe-api-5xx ]\n", "", (9, 3), message, help);
    one_mistake("[ recipe-api-5xx ]", "[]", (9, 11), message, help);
}

#[test]
fn plans_that_somebody_may_regret_are_warned_about() {
    let text = with("weight: 5%", "weight: 25%").replace(
        "  fallback_alarms: [ recipe-api-eks-unhealthy ]\n",
        "  on_unknown: revert\n  both_red: revert\n",
    );
    let warnings = plan_file::parse(&text, "plan.yaml").unwrap().warnings;
    insta::assert_snapshot!(plan_file::render(&warnings, false));
}

#[test]
fn every_mistake_of_a_file_is_told_in_one_go() {
    let text = include_str!("fixtures/every-mistake.yaml");
    let error = plan_file::parse(text, "plans/every-mistake.yaml").unwrap_err();
    insta::assert_snapshot!(error.render(false));
}

#[test]
fn findings_are_json_for_machines() {
    let error = plan_file::parse(&with("5%", "5"), "plan.yaml").unwrap_err();
    insta::assert_json_snapshot!(error);
    let colored = error.render(true);
    assert!(colored.contains("\u{1b}["));
    assert!(!error.to_string().contains('\u{1b}'));
}

#[test]
fn a_finding_in_a_very_long_line_keeps_its_place() {
    let text = with(
        "old: eks",
        &format!("old: eks{}, bogus: 1", " ".repeat(5000)),
    );
    let finding = findings(&text).remove(0);
    assert_eq!((finding.line, finding.column), (Some(4), Some(5068)));
    let rendered = finding.render(false);
    assert!(rendered.contains("plan.yaml:4:5068"), "{rendered}");
    assert!(rendered.len() < 2000, "{rendered}");
}

#[test]
fn the_schema_knows_every_key_of_the_examples() {
    let schema = plan_file::schema();
    insta::assert_json_snapshot!(schema);
}

#[test]
fn an_alarm_of_another_account_is_named_by_its_arn_and_read_with_a_role_of_its_own() {
    let own =
        "version: 1\naws: { role_arn: 'arn:aws:iam::111111111111:role/net', external_id: net-1 }";
    let arn = "arn:aws:cloudwatch:eu-west-1:222222222222:alarm:errors";
    let gates = format!(
        "{{ name: '{arn}', role_arn: 'arn:aws:iam::222222222222:role/reads', external_id: web-2 }}, \
         'arn:aws:cloudwatch:eu-west-1:222222222222:alarm:slow', \
         'arn:aws:cloudwatch:us-east-1:111111111111:alarm:errors', \
         {{ name: errors, region: eu-west-1, role_arn: 'arn:aws:iam::333333333333:role/reads' }}"
    );
    let text = VALID
        .replace("version: 1", own)
        .replace("recipe-api-5xx", &gates);
    let plan = load(&text);
    assert_eq!(plan.aws.account.external_id.as_deref(), Some("net-1"));
    let ids: Vec<_> = plan.gates.alarms.iter().map(|gate| &gate.id).collect();
    let account = |index: usize| plan.account_of(ids[index]);
    assert_eq!(account(0).number(), Some("222222222222"));
    assert_eq!(account(0).external_id.as_deref(), Some("web-2"));
    assert_eq!(account(1), account(0), "one role for each account");
    assert_eq!(account(2), &plan.aws.account);
    assert_eq!(
        ids[2].name, "errors",
        "the plan's own account is not spelled out"
    );
    assert_eq!(ids[2].region.as_deref(), Some("us-east-1"));
    assert_eq!(account(3).number(), Some("333333333333"));
    assert_ne!(ids[0], ids[3], "two accounts may have alarms of one name");
    assert_eq!(
        (ids[0].bare_name(), ids[3].bare_name()),
        ("errors", "errors")
    );
    assert_eq!(ids[0].to_string(), "errors (222222222222, eu-west-1)");
    let accounts = plan.alarms_by_account();
    assert_eq!(accounts.len(), 3, "{accounts:?}");
}

#[test]
fn an_alarm_of_another_account_without_a_role_is_refused_with_the_remedy() {
    let own = "version: 1\naws: { role_arn: 'arn:aws:iam::111111111111:role/net' }";
    let theirs = "'arn:aws:cloudwatch:eu-west-1:222222222222:alarm:errors'";
    let text = VALID
        .replace("version: 1", own)
        .replace("recipe-api-5xx", theirs);
    let found = findings(&text);
    assert!(found[0].message.contains("222222222222"), "{found:?}");
    assert!(
        found[0]
            .help
            .as_deref()
            .unwrap_or_default()
            .contains("role_arn: arn:aws:iam::222222222222:role/"),
        "{found:?}"
    );
    let wrong = "{ name: 'arn:aws:cloudwatch:eu-west-1:222222222222:alarm:errors', role_arn: 'arn:aws:iam::333333333333:role/x' }";
    let found = findings(&VALID.replace("recipe-api-5xx", wrong));
    assert!(found[0].message.contains("333333333333"), "{found:?}");
}

#[test]
fn the_plans_region_or_role_decides_the_partition() {
    for (aws, partition) in [
        ("{ region: cn-north-1 }", Some("aws-cn")),
        (
            "{ role_arn: 'arn:aws-us-gov:iam::111111111111:role/x' }",
            Some("aws-us-gov"),
        ),
        ("{ region: eusc-de-east-1 }", Some("aws-eusc")),
        ("{ region: eu-west-1 }", None),
    ] {
        let plan = load(&VALID.replace("version: 1", &format!("version: 1\naws: {aws}")));
        assert_eq!(plan.aws.account.partition.as_deref(), partition, "{aws}");
    }
}

#[test]
fn a_record_of_another_accounts_zone_has_a_role_of_its_own() {
    let (network, web) = (
        "arn:aws:iam::111111111111:role/net",
        "arn:aws:iam::222222222222:role/zones",
    );
    let record = |zone: &str, beside: &str| {
        format!("{{ zone: {zone}, name: api.{zone}, type: A, old: eks, new: ecs{beside} }}")
    };
    let text = |beside: &str| {
        let records = format!(
            "[ {}, {}, {} ]",
            record("example.com", ""),
            record(
                "example.org",
                &format!(", role_arn: '{web}', external_id: web-2")
            ),
            record("example.org", beside).replace("api.", "www."),
        );
        format!(
            "version: 1\nname: api\naws: {{ role_arn: '{network}' }}\nrecords: {records}\n\
             steps: [ {{ weight: 100%, bake: 1h }} ]\ngates: {{ alarms: [ api-5xx ] }}\n"
        )
    };
    let plan = load(&text(&format!(", role_arn: '{web}', external_id: web-2")));
    let number = |index: usize| plan.account_of_group(index).number();
    assert_eq!(number(0), Some("111111111111"));
    assert_eq!(number(1), Some("222222222222"));
    let external_id = plan.account_of_group(2).external_id.as_deref();
    assert_eq!(external_id, Some("web-2"));
    let found = findings(&text(""));
    assert_eq!(
        found[0].message, "two records of example.org have different roles",
        "{found:?}"
    );
    let found = findings(&text(", external_id: web-2"));
    assert!(found[0].message.contains("`external_id`"), "{found:?}");
}

#[test]
fn a_name_that_begins_with_a_star_is_asked_for_in_quotes_once_a_record() {
    let found = findings(&with("name: api.example.com", "name: *.apps.example.com"));
    assert_eq!(found.len(), 1, "{found:?}");
    let help = found[0].help.clone().unwrap_or_default();
    assert!(help.contains("`\"*.apps.example.com\"`"), "{help}");
}
