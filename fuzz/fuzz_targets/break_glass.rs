//! Break-glass files as `rollback --from` takes them: refused, or a way back.
#![no_main]

use cutover::cli::rollback::stored;
use cutover::engine::units::{Weight, ZoneId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let zone = ZoneId::from("Z0123456789ABC");
    for image in stored::groups(&zone, text).unwrap_or_default() {
        let pair = image.pair();
        assert!((pair.old, pair.new) != (Weight(0), Weight(0)));
    }
});
