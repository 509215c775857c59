//! Records of `backtest --from`: refused, or kept as they are.
#![no_main]

use cutover::engine::backtest::Record;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let Ok(record) = serde_json::from_str::<Record>(text) else {
        return;
    };
    if record.check().is_ok() {
        let kept = serde_json::to_string(&record).expect("a record is JSON");
        let read: Record = serde_json::from_str(&kept).expect("what was kept can be read");
        assert_eq!(read, record);
    }
});
