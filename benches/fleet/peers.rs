//! Measures the tools that people use today: a loop over the AWS command line, and a script with boto3. Both make one
//! call per service and leave retries to their client, as such scripts do.

use std::path::Path;
use std::process::{Command, Stdio};

use cutover::ports::ChangeAction;

use crate::line;
use crate::scene::{Scene, name_of, now, zone_of};
use crate::support::python::python;

/// Largest number of services that the loop is measured with, because it starts one process per service. The time for
/// more services is extrapolated.
const LOOP_MAX: usize = 50;
/// Largest number of services that the script is measured with: at ten calls a second, more would take minutes. The
/// time for more services is extrapolated.
const SCRIPT_MAX: usize = 1_000;

const LOOP: &str = r#"
for file in batches/*.json; do
    zone=$(basename "$file" | cut -d- -f1)
    aws route53 change-resource-record-sets --hosted-zone-id "$zone" --change-batch "file://$file" > /dev/null || echo failed
done
"#;

const SCRIPT: &str = r#"
import glob, json, os, boto3
client = boto3.client("route53")
for path in sorted(glob.glob("batches/*.json")):
    zone = os.path.basename(path).split("-")[0]
    with open(path) as file:
        client.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=json.load(file))
"#;

/// Measures both tools with fleets of these sizes, and prints a line for each.
pub(crate) fn measure(sizes: &[usize]) {
    line("peer | services | measured | ended after s | calls | throttled | for all s");
    for count in sizes {
        one(*count, "AWS CLI in a loop", LOOP_MAX);
        one(*count, "boto3 script", SCRIPT_MAX);
    }
}

fn one(count: usize, peer: &str, most: usize) {
    let measured = count.min(most);
    let scene = Scene::new(measured);
    scene.weights(ChangeAction::Upsert, 50, 50);
    for service in 0..measured {
        let zone = &scene.zones[zone_of(service)];
        let name = format!("batches/{zone}-{service:04}.json");
        scene.program.write(&name, &batch(service));
    }
    scene.as_in_life();
    let (before, at) = (scene.bed.calls().len(), scene.bed.now());
    let mut command = if peer.starts_with("boto3") {
        let mut command = Command::new(python());
        command.args(["-c", SCRIPT]);
        command
    } else {
        let mut command = Command::new("bash");
        command.args(["-c", LOOP]);
        command
    };
    let tools = python();
    let tools = tools
        .parent()
        .map_or("", |path| path.to_str().unwrap_or(""));
    let began = now();
    let status = command
        .current_dir(scene.program.path("."))
        .env_clear()
        .env("PATH", format!("{tools}:/usr/bin:/bin"))
        .env("AWS_ACCESS_KEY_ID", "testing")
        .env("AWS_SECRET_ACCESS_KEY", "testing")
        .env("AWS_REGION", "eu-west-1")
        .env("AWS_DEFAULT_REGION", "eu-west-1")
        .env("AWS_ENDPOINT_URL", scene.bed.endpoint())
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("HOME", scene.program.path("."))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let took = began.elapsed().as_secs_f64();
    assert!(status.is_ok_and(|status| status.success()), "{peer}");
    assert!(Path::new(&scene.program.path("batches")).is_dir());
    let cost = scene.cost(before, at);
    let back = scene.at(100, 0);
    let scale = f64::from(u32::try_from(count).expect("a small number"))
        / f64::from(u32::try_from(measured).expect("a small number"));
    line(&format!(
        "{peer} | {count} | {back} of {measured} | {took:.1} | {} | {} | {:.0}",
        cost.calls,
        cost.throttled,
        took * scale
    ));
}

/// Returns the change batch that sets one service back to 100/0, as people keep it in a file.
fn batch(service: usize) -> String {
    let record = |(identifier, weight): (&str, u8)| {
        serde_json::json!({ "Action": "UPSERT", "ResourceRecordSet": {
            "Name": name_of(service), "Type": "CNAME", "SetIdentifier": identifier, "Weight": weight, "TTL": 60,
            "ResourceRecords": [{ "Value": format!("{identifier}-{service}.example.org") }],
        }})
    };
    let changes: Vec<_> = [("eks", 100), ("ecs", 0)].into_iter().map(record).collect();
    serde_json::json!({ "Changes": changes }).to_string()
}
