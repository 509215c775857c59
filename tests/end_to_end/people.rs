//! A cutover as its people live through it: windows, an approval, hooks, CronJobs, a controller that is killed in the
//! middle of a switch, and what they are told.

use std::fs;
use std::time::Duration;

use jiff::SignedDuration;

use super::scene::{NAME, PLAN, Plan, Scene};
use crate::beside::script;
use crate::support::program::pause;

/// A CronJob in each of two contexts, whose `suspend` is a file; to change it takes as long as the file `slow` says. It
/// fires far from now, as the file `schedule` says: a switch would wait otherwise.
const KUBECTL: &str = r#"
for word in "$@"; do case "$word" in --context=*) of=${word#--context=} ;; esac; done
case "$*" in
  *"get cronjob reindex"*)
    printf '{"spec":{"schedule":"%s","suspend":%s,"startingDeadlineSeconds":200}}' "$(cat schedule)" "$(cat "$of")" ;;
  *'{"spec":{"suspend":true}}') touch begun; sleep "$(cat slow)"; echo true > "$of" ;;
  *'{"spec":{"suspend":false}}') sleep "$(cat slow)"; echo false > "$of" ;;
esac
"#;

fn scene() -> Scene {
    let more = "windows: { time_zone: Asia/Tokyo, allow: [ \"Mon-Sun 00:00-24:00\" ] }\n\
        hooks: [ { at: before_step, command: [ ./hook ] } ]\n\
        notify: { command: [ ./page ] }\n\
        jobs:\n  at: 50%\n  wait: 1s\n  move:\n    - name: reindex\n      \
        old: { cron_job: reindex, context: eks }\n      new: { cron_job: reindex, context: ecs }";
    let scene = Scene::new(&Plan {
        steps: vec![
            ("10%", "1s", false),
            ("50%", "1s", true),
            ("100%", "1s", false),
        ],
        more: more.to_owned(),
        ..Plan::default()
    });
    script(&scene.path("kubectl"), KUBECTL);
    script(&scene.path("hook"), "cat > /dev/null; echo warm\n");
    script(&scene.path("page"), "cat >> pages\n");
    for (file, text) in [("eks", "false"), ("ecs", "true"), ("slow", "4")] {
        scene.write(file, text);
    }
    let fires = scene.bed.now() + SignedDuration::from_hours(12);
    scene.write("schedule", &fires.strftime("%M %H * * *").to_string());
    let folder = scene.path("kubectl");
    let folder = folder.parent().expect("a folder").display().to_string();
    scene.set("PATH", &format!("{folder}:/usr/bin:/bin"));
    scene
}

#[test]
fn a_switch_does_not_outlive_its_controller_and_the_next_one_goes_on() {
    let scene = scene();
    let suspended = |of: &str| fs::read_to_string(scene.path(of)).expect("a file").trim() == "true";
    let run = scene.run(PLAN);
    scene.wait_for_hold(NAME, "approval");
    scene.ok(&["approve", NAME, "--reason", "looks well"]);
    crate::support::program::until(|| scene.path("begun").exists().then_some(()))
        .expect("the switch begins");
    run.kill();
    pause(Duration::from_secs(6));
    assert!(
        !suspended("eks"),
        "it landed after its controller was killed"
    );
    scene.write("slow", "0");
    let code = scene.run(PLAN).exit_code();
    assert_eq!(code, 0, "{}", scene.everything(NAME));
    assert_eq!((suspended("eks"), suspended("ecs")), (true, false));
    let pages = fs::read_to_string(scene.path("pages")).expect("pages");
    let told = pages.matches("idempotency_key").count();
    let ends = pages.matches("\"resolves\":[\"").count();
    assert_eq!(told - ends, 1, "the approval alone wakes somebody: {pages}");
    assert_eq!(ends, 1, "and that it was given is told as well: {pages}");
}
