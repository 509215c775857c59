//! Plan files: refused with words, or kept by the journal as they are.
#![no_main]

use cutover::engine::plan::Plan;
use cutover::plan_file;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match plan_file::parse(text, "plan.yaml") {
        Err(error) => assert!(!error.render(true).is_empty()),
        Ok(loaded) => {
            let plan = loaded.source.plan;
            let kept = serde_json::to_string(&plan).expect("a plan is JSON");
            let read: Plan = serde_json::from_str(&kept).expect("what was kept can be read");
            assert_eq!(read, plan);
        }
    }
});
