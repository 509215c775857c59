//! CronJobs through a `kubectl` that is a script over a file.

use std::path::PathBuf;
use std::sync::Arc;

use cutover::beside::jobs::RealJobs;
use cutover::engine::jobs::JobHalf;
use cutover::engine::plan::AwsSettings;
use cutover::ports::Jobs;
use cutover::sim::beside::SimJobs;
use jiff::SignedDuration;
use tempfile::TempDir;

use super::script;

/// Knows one CronJob, `nightly` in `search` of `eks`, whose `suspend` is a file; notes what it was called with.
const KUBECTL: &str = r#"
cd "$(dirname "$0")"
echo "$@" >> calls
case "$*" in
  *"--context=eks"*"--namespace=search"*"get cronjob nightly --output=json"*)
    printf '{"spec":{"schedule":"0 3 * * *","timeZone":"Asia/Tokyo","suspend":%s%s},"status":{"active":[{"name":"x"}]}}' \
      "$(cat suspend)" "$(cat deadline)" ;;
  *"patch cronjob nightly --type=merge --patch {\"spec\":{\"suspend\":true}}") echo true > suspend ;;
  *"patch cronjob nightly --type=merge --patch {\"spec\":{\"suspend\":false}}") echo false > suspend ;;
  *) echo "Error from server (NotFound): $*" >&2; exit 1 ;;
esac
"#;

struct Cluster {
    folder: TempDir,
    jobs: RealJobs,
}

impl Cluster {
    fn new(deadline: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kubectl");
        script(&path, KUBECTL);
        std::fs::write(folder.path().join("suspend"), "false").expect("a file");
        std::fs::write(folder.path().join("deadline"), deadline).expect("a file");
        let jobs = RealJobs::new(Arc::new(SimJobs::default()));
        let jobs = jobs.with_kubectl(&path.display().to_string());
        Self { folder, jobs }
    }

    fn calls(&self) -> String {
        let path: PathBuf = self.folder.path().join("calls");
        std::fs::read_to_string(path).expect("calls")
    }
}

fn nightly() -> JobHalf {
    JobHalf::CronJob {
        name: "nightly".to_owned(),
        namespace: Some("search".to_owned()),
        context: Some("eks".to_owned()),
    }
}

#[tokio::test]
async fn a_cron_job_is_suspended_and_goes_on() {
    let cluster = Cluster::new(r#","startingDeadlineSeconds":200"#);
    let aws = AwsSettings::default();
    let look = cluster.jobs.look(&aws, &nightly()).await.expect("a look");
    assert_eq!((look.on, look.running, &look.unfit), (true, Some(1), &None));
    let firing = look.firing.expect("a schedule");
    assert_eq!(firing.catch_up, Some(SignedDuration::from_secs(200)));
    assert_eq!(firing.zone.as_deref(), Some("Asia/Tokyo"));
    for on in [false, true] {
        cluster
            .jobs
            .turn(&aws, &nightly(), on, "key")
            .await
            .expect("a patch");
        let look = cluster.jobs.look(&aws, &nightly()).await.expect("a look");
        assert_eq!(look.on, on);
    }
    assert!(cluster.calls().contains("--request-timeout="));
}

#[tokio::test]
async fn a_cron_job_without_a_starting_deadline_is_refused() {
    let cluster = Cluster::new("");
    let look = cluster.jobs.look(&AwsSettings::default(), &nightly()).await;
    let unfit = look.expect("a look").unfit.expect("a refusal");
    assert!(unfit.contains("startingDeadlineSeconds"), "{unfit}");
}

#[tokio::test]
async fn what_kubectl_says_is_repeated_where_it_fails() {
    let cluster = Cluster::new("");
    let missing = JobHalf::CronJob {
        name: "weekly".to_owned(),
        namespace: None,
        context: None,
    };
    let look = cluster.jobs.look(&AwsSettings::default(), &missing).await;
    let error = look.expect_err("no such job").to_string();
    assert!(error.contains("NotFound"), "{error}");
}

#[tokio::test]
async fn commands_say_whether_a_job_is_on_and_how_many_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("state");
    std::fs::write(&file, "on").expect("a file");
    let shell = |text: String| ["sh".to_owned(), "-c".to_owned(), text].to_vec();
    let half = JobHalf::Command {
        off: shell(format!("echo off > '{}'", file.display())),
        on: shell(format!(
            "echo \"ON $CUTOVER_IDEMPOTENCY_KEY\" > '{}'",
            file.display()
        )),
        state: shell(format!("cut -d' ' -f1 '{}'", file.display())),
        running: Some(shell("echo 3".to_owned())),
        detach: false,
    };
    let (jobs, aws) = (
        RealJobs::new(Arc::new(SimJobs::default())),
        AwsSettings::default(),
    );
    let look = jobs.look(&aws, &half).await.expect("a look");
    assert_eq!((look.on, look.running), (true, Some(3)));
    jobs.turn(&aws, &half, false, "k").await.expect("off");
    assert!(!jobs.look(&aws, &half).await.expect("a look").on);
    jobs.turn(&aws, &half, true, "k-1").await.expect("on");
    assert!(jobs.look(&aws, &half).await.expect("a look").on);
    assert_eq!(
        std::fs::read_to_string(&file).expect("a file").trim(),
        "ON k-1"
    );
    std::fs::write(&file, "maybe").expect("a file");
    let error = jobs
        .look(&aws, &half)
        .await
        .expect_err("neither")
        .to_string();
    assert!(error.contains("neither `on` nor `off`"), "{error}");
}
