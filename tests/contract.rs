//! The test bed answers as AWS documents: probes through an independent client, and the faults that it can make.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use crate::support::python::python;
use crate::support::server::TestBed;

/// One probe's outcome.
#[derive(Debug, Deserialize)]
struct Probe {
    id: String,
    aws: String,
    observed: String,
    ok: Option<bool>,
}

/// Runs one script of probes against the endpoint.
fn probes(script: &str, endpoint: &str) -> Vec<Probe> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract");
    let scratch = tempfile::tempdir().expect("a temporary directory");
    let report = scratch.path().join("report.json");
    let output = Command::new(python())
        .arg(folder.join(script))
        .args(["--endpoint", endpoint, "--json"])
        .arg(&report)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", scratch.path().join("none"))
        .env("AWS_SHARED_CREDENTIALS_FILE", scratch.path().join("none"))
        .env_remove("AWS_PROFILE")
        .output()
        .expect("the probes start");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}: {stderr}");
    let report = std::fs::read_to_string(report).expect("the probes' report");
    serde_json::from_str(&report).expect("a report of probes")
}

#[test]
fn route53_probes_agree_with_the_model() {
    let bed = TestBed::start();
    let probes = probes("r53.py", bed.endpoint());
    let differing: Vec<_> = probes
        .iter()
        .filter(|probe| probe.ok == Some(false))
        .map(|probe| format!("{}: AWS {}; got {}", probe.id, probe.aws, probe.observed))
        .collect();
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    let agreeing = probes.iter().filter(|probe| probe.ok == Some(true)).count();
    assert!(agreeing >= 95, "only {agreeing} probes ran");
}
