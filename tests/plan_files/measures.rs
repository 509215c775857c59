//! Gates that are judged from metrics, in the plan file.

use cutover::engine::evidence::gate::{Bound, Unit};
use cutover::engine::evidence::number::Number;
use cutover::engine::evidence::plan::{Measure, Measures};
use cutover::engine::evidence::sequential::Test;
use cutover::plan_file;

const PLAN: &str = "\
version: 1
name: recipe-api
aws: { region: ap-northeast-1 }
records: [ { zone: example.com, name: api.example.com, type: A, old: eks, new: ecs } ]
steps: [ { weight: 5%, bake: 4h }, { weight: 100%, bake: 1d } ]
gates:
  alarms: [ recipe-api-5xx ]
  fallback_alarms: [ recipe-api-eks ]
  sides:
    new:
      alb: { load_balancer: app/ecs/1, target_group: targetgroup/ecs/2 }
      ecs: { cluster: recipe, service: api }
    old:
      alb: { load_balancer: app/eks/3, target_group: targetgroup/eks/4, shared: true }
";

fn measures(gates: &str) -> Measures {
    let text = format!("{PLAN}{gates}");
    match plan_file::parse(&text, "plan.yaml") {
        Ok(loaded) => loaded.source.plan.gates.measures,
        Err(error) => panic!("{}", error.render(false)),
    }
}

fn mistakes(gates: &str) -> Vec<(String, String)> {
    let text = format!("{PLAN}{gates}");
    let error = plan_file::parse(&text, "plan.yaml").expect_err("a mistake");
    let findings = error.findings.iter();
    findings
        .map(|finding| {
            (
                finding.message.clone(),
                finding.help.clone().unwrap_or_default(),
            )
        })
        .collect()
}

#[test]
fn the_error_rate_of_a_load_balancer_has_the_safe_denominator() {
    let measures = measures("  metrics: [ { measure: error_rate, max: 1%, for: 2 of 3 } ]\n");
    let gate = &measures.metrics[0];
    assert_eq!(gate.name, "error_rate");
    assert_eq!((gate.points, gate.of, gate.unit), (2, 3, Unit::Percent));
    assert_eq!(gate.bound, Bound::Max(Number::from(1)));
    let names = |measure: &Measure| -> Vec<String> {
        let metrics = measure.queries().flat_map(|query| query.inputs.values());
        metrics.map(|metric| metric.metric.clone()).collect()
    };
    let (target, elb) = ("HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count");
    assert_eq!(names(&gate.new), [target, elb, "RequestCount", elb]);
    // Whose a shared load balancer's own errors are, nobody knows.
    assert_eq!(names(gate.old.as_ref().unwrap()), [target, "RequestCount"]);
    for query in gate.new.queries() {
        let metric = &query.inputs["m"];
        assert_eq!(metric.dimensions["LoadBalancer"], "app/ecs/1");
        let grouped = metric.dimensions.contains_key("TargetGroup");
        assert_eq!(grouped, metric.metric != elb, "{metric:?}");
        assert_eq!(query.region.as_deref(), Some("ap-northeast-1"));
    }
}

#[test]
fn a_rate_needs_as_many_requests_as_leave_healthy_services_alone() {
    let needed =
        |gate: &str| measures(&format!("  metrics: [ {{ {gate} }} ]\n")).metrics[0].min_requests;
    assert_eq!(needed("measure: error_rate, max: 2%"), 500);
    assert_eq!(needed("measure: error_rate, max: 1%"), 1_000);
    assert_eq!(needed("measure: error_rate, max: 0.01%"), 100_000);
    // Fewer datapoints in a week are fewer chances.
    assert_eq!(needed("measure: error_rate, max: 1%, every: 5m"), 800);
    assert_eq!(needed("measure: error_rate, max: 2%, min_requests: 20"), 20);
    assert_eq!(needed("measure: p99, max: 1s"), 0);
    let found = mistakes("  metrics: [ { measure: p99, max: 1s, min_requests: 20 } ]\n");
    assert_eq!(found[0].0, "`min_requests` is for `measure: error_rate`");
}

#[test]
fn a_min_requests_that_chance_can_cross_is_warned_about_with_numbers() {
    let warned = |gate: &str| {
        let text = format!("{PLAN}  metrics: [ {{ measure: error_rate, {gate} }} ]\n");
        let warnings = plan_file::parse(&text, "plan.yaml").unwrap().warnings;
        let mut said: Vec<(String, String)> = warnings
            .into_iter()
            .filter(|finding| finding.message.contains("min_requests"))
            .map(|finding| (finding.message, finding.help.unwrap_or_default()))
            .collect();
        assert!(said.len() < 2, "{said:?}");
        said.pop()
    };
    let (message, help) = warned("max: 1%, min_requests: 300").expect("it is warned about");
    assert_eq!(
        message,
        "`min_requests: 300` is too few for `max: 1%`: with a healthy 0.1% of failed requests, up to 100 of 100 weeks would \
         end with a revert by chance"
    );
    assert_eq!(
        help,
        "write `min_requests: 1000`, or leave it out, which is the same: then at most 1 of 1,000 weeks does"
    );
    let (message, _) = warned("max: 1%, min_requests: 800").expect("it is warned about");
    assert!(message.contains("up to 3 of 1,000 weeks"), "{message}");
    for enough in [
        "max: 1%",
        "max: 1%, min_requests: 1000",
        "max: 1%, min_requests: 5000",
    ] {
        assert_eq!(warned(enough), None, "{enough}");
    }
}

#[test]
fn everything_has_a_sensible_default() {
    let measures = measures("  traffic: {}\n  regression: {}\n  trend: [ { measure: memory } ]\n");
    let traffic = measures.traffic.unwrap();
    assert_eq!(traffic.min_requests, 200);
    assert_eq!(traffic.share_within, Number::from(50));
    let regression = measures.regression.unwrap();
    assert_eq!(regression.test, Test::default());
    let trend = &measures.trends[0];
    assert_eq!(
        (trend.limit, trend.unit),
        (Number::from(100), Unit::Percent)
    );
    assert_eq!(trend.within.as_hours(), 7 * 24);
    assert_eq!(
        trend.query.expression.as_deref(),
        Some("100 * used / reserved")
    );
}

#[test]
fn slow_answers_can_count_as_errors() {
    let measures = measures("  regression: { at_most: 2, alpha: 0.01, slow_over: 0.8s }\n");
    let regression = measures.regression.unwrap();
    let slow = &regression.new.errors.last().unwrap().inputs["m"];
    assert_eq!(
        (slow.metric.as_str(), slow.stat.as_str()),
        ("TargetResponseTime", "TC(0.8:)")
    );
}

#[test]
fn metric_math_brings_its_inputs() {
    let measures = measures(
        "  metrics:
    - name: checkouts
      expression: 100 * FILL(failed, 0) / tried
      inputs:
        failed: { namespace: Recipe, metric: Failed, dimensions: { Cluster: ecs } }
        tried: { namespace: Recipe, metric: Tried, dimensions: { Cluster: ecs } }
      max: 2
      every: 5m
",
    );
    let gate = &measures.metrics[0];
    assert_eq!((gate.every_mins, gate.points, gate.of), (5, 3, 5));
    let Measure::Series { query, .. } = &gate.new else {
        panic!("{gate:?}");
    };
    assert_eq!(query.inputs.len(), 2);
    assert_eq!(query.period_mins, 5);
}

#[test]
fn what_makes_no_sense_is_said_with_what_to_write() {
    let wrong = |gates: &str| {
        let mut found = mistakes(gates);
        assert_eq!(found.len(), 1, "{found:?}");
        found.remove(0)
    };
    let (message, help) = wrong("  metrics: [ { measure: error_rate, max: 1 } ]\n");
    assert_eq!(
        (message.as_str(), help.as_str()),
        ("`1` has no unit", "write `1%`")
    );
    let (message, _) = wrong("  metrics: [ { measure: p99, max: 1% } ]\n");
    assert_eq!(message, "`1%` is not a valid bound here");
    let (message, _) = wrong("  metrics: [ { measure: error_rat, max: 1% } ]\n");
    assert_eq!(message, "there is no measure `error_rat`");
    let (message, _) = wrong("  metrics: [ { measure: p99, max: 1s, for: 6 of 5 } ]\n");
    assert!(
        message.starts_with("`6 of 5` is not M of N datapoints"),
        "{message}"
    );
    let (message, _) = wrong("  metrics: [ { measure: p99, max: 1s, every: 7m } ]\n");
    assert!(message.starts_with("`every` must be"), "{message}");
    let (message, _) = wrong("  metrics: [ { measure: p99, max: 1s, min: 1ms } ]\n");
    assert!(message.contains("never both"), "{message}");
    let (message, _) = wrong("  metrics: [ { max: 1s } ]\n");
    assert!(message.contains("exactly one of"), "{message}");
    let twice = "  metrics: [ { measure: p99, max: 1s }, { measure: p99, max: 2s } ]\n";
    assert_eq!(wrong(twice).0, "`p99` is watched twice");
    let (message, _) = wrong("  regression: { at_most: 0.5 }\n");
    assert!(
        message.starts_with("`at_most` must be a number from 1"),
        "{message}"
    );
    let (message, help) = wrong("  trend: [ { measure: requests } ]\n");
    assert_eq!(message, "this trend has no `limit`", "{help}");
}

#[test]
fn everything_that_a_side_leaves_out_is_named_at_once() {
    let text = PLAN.replace("ecs: { cluster: recipe, service: api }", "ecs: {}");
    let error = plan_file::parse(&text, "plan.yaml").expect_err("two mistakes");
    let said: Vec<&str> = error
        .findings
        .iter()
        .map(|one| one.message.as_str())
        .collect();
    for key in ["`cluster`", "`service`"] {
        assert!(said.iter().any(|message| message.contains(key)), "{said:?}");
    }
}

#[test]
fn metric_math_reads_nothing_but_its_inputs() {
    let gate = |expression: &str, stat: &str| {
        let metric = format!("{{ namespace: N, metric: A, stat: {stat} }}");
        let text = format!(
            "  metrics: [ {{ name: x, expression: \"{expression}\", inputs: {{ a: {metric} }}, max: 5 }} ]\n"
        );
        let found = mistakes(&text);
        assert_eq!(found.len(), 1, "{found:?}");
        found.into_iter().next().unwrap()
    };
    let (message, help) = gate("100 * a / m1", "Sum");
    assert_eq!(
        message,
        "the expression names `m1`, which is not one of its inputs"
    );
    assert_eq!(help, "add `m1` to `inputs`, or name `a`");
    let (message, help) = gate("a + SUM(METRICS())", "Sum");
    assert!(message.starts_with("`METRICS()` takes every series"));
    assert_eq!(help, "name the inputs: `SUM([a])`");
    assert!(
        gate("a ++ ((", "Sum")
            .0
            .contains("not opened or not closed")
    );
    assert!(gate("SUMM(a)", "Sum").0.contains("no function `SUMM`"));
    let (message, help) = gate("2 * a", "Summ");
    assert_eq!(message, "CloudWatch has no statistic `Summ`");
    assert!(help.starts_with("write `Sum`, `Average`"), "{help}");
    assert!(gate("2 * a", "p101").0.contains("`p101`"));
    // A word in quotes is no input.
    let (message, _) = gate("SUM(SEARCH('{N} a', 'Sum', 60))", "Sum");
    assert_eq!(message, "the expression does not use the input `a`");
}

#[test]
fn sides_that_count_nothing_are_asked_for() {
    let plan = PLAN.split("  sides:").next().unwrap();
    let text = format!("{plan}  traffic: {{}}\n");
    let error = plan_file::parse(&text, "plan.yaml").unwrap_err();
    let message = "`traffic` needs metrics of the requests of both sides";
    assert_eq!(error.findings[0].message, message);
    let arn = "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/ecs/1";
    let text = PLAN.replace("app/ecs/1", arn);
    let error = plan_file::parse(&text, "plan.yaml").unwrap_err();
    assert_eq!(
        error.findings[0].help.as_deref(),
        Some("write `load_balancer: app/ecs/1`")
    );
}

#[test]
fn each_side_is_measured_in_an_account_of_its_own() {
    let role = "arn:aws:iam::222222222222:role/reads";
    let there = format!("    old:\n      role_arn: {role}\n      external_id: web-2\n");
    let text = PLAN.replace("    old:\n", &there);
    let text = format!("{text}  metrics: [ {{ measure: error_rate, max: 1%, for: 2 of 3 }} ]\n");
    let plan = plan_file::parse(&text, "plan.yaml").unwrap().source.plan;
    let gate = &plan.gates.measures.metrics[0];
    for query in gate.new.queries() {
        assert_eq!(plan.account_of_series(query), &plan.aws.account);
    }
    for query in gate.old.as_ref().unwrap().queries() {
        let account = plan.account_of_series(query);
        assert_eq!(account.role_arn.as_deref(), Some(role));
        assert_eq!(account.external_id.as_deref(), Some("web-2"));
    }
    // The journal keeps it.
    let kept = serde_json::to_string(&plan).unwrap();
    let read: cutover::engine::plan::Plan = serde_json::from_str(&kept).unwrap();
    assert_eq!(read, plan);
    let lone = PLAN.replace("    old:\n", "    old:\n      external_id: web-2\n");
    let error = plan_file::parse(&lone, "plan.yaml").unwrap_err();
    let message = "`external_id` means nothing without `role_arn`";
    assert_eq!(error.findings[0].message, message);
}
