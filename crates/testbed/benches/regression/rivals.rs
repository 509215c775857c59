//! The regression gate, and what people use instead.

use cutover_engine::evidence::sequential::{Evidence, Judgement, Test, TrafficMinute};

/// Looks at every minute, and may fail the service.
pub(crate) trait Judge {
    fn name(&self) -> &'static str;
    /// A minute of the day before.
    fn before(&mut self, _look: &TrafficMinute) {}
    /// Whether it fails the service now.
    fn fails(&mut self, look: &TrafficMinute) -> bool;
}

/// All of them, at their beginning.
pub(crate) fn judges() -> Vec<Box<dyn Judge>> {
    let test = Test::default();
    vec![
        Box::new(Gate {
            test,
            evidence: test.evidence(),
        }),
        Box::new(Normal {
            name: "z-test, p < .001",
            critical: 3.090,
            ..Normal::default()
        }),
        Box::new(Normal {
            name: "z-test, p < .05",
            critical: 1.645,
            ..Normal::default()
        }),
        Box::new(Threshold {
            name: "over 1 %, 3 of 3 min",
            minutes: 3,
            above: 0,
        }),
        Box::new(Threshold {
            name: "over 1 %, 1 min",
            minutes: 1,
            above: 0,
        }),
    ]
}

/// The gate: `at_most: 1.25`, `alpha: 0.001`.
struct Gate {
    test: Test,
    evidence: Evidence,
}

impl Judge for Gate {
    fn name(&self) -> &'static str {
        "`regression`"
    }

    fn before(&mut self, look: &TrafficMinute) {
        self.evidence.add(look);
    }

    fn fails(&mut self, look: &TrafficMinute) -> bool {
        self.evidence.add(look);
        matches!(self.test.judge(&self.evidence), Judgement::Fail(_))
    }
}

/// Two proportions compared by the normal approximation with everything so far, as if it were looked at once.
#[derive(Default)]
struct Normal {
    name: &'static str,
    critical: f64,
    requests: [u64; 2],
    errors: [u64; 2],
}

impl Judge for Normal {
    fn name(&self) -> &'static str {
        self.name
    }

    fn fails(&mut self, look: &TrafficMinute) -> bool {
        self.requests[0] += look.new_requests;
        self.requests[1] += look.old_requests;
        self.errors[0] += look.new_errors;
        self.errors[1] += look.old_errors;
        let float = |number| f64::from(u32::try_from(number).expect("few"));
        let [new, old] = self.requests.map(float);
        let [new_errors, old_errors] = self.errors.map(float);
        let pooled = (new_errors + old_errors) / (new + old);
        let deviation = (pooled * (1.0 - pooled) * (1.0 / new + 1.0 / old)).sqrt();
        new_errors / new - old_errors / old > self.critical * deviation
    }
}

/// More than one request of a hundred fails, so many minutes in a row.
struct Threshold {
    name: &'static str,
    minutes: u32,
    above: u32,
}

impl Judge for Threshold {
    fn name(&self) -> &'static str {
        self.name
    }

    fn fails(&mut self, look: &TrafficMinute) -> bool {
        let above = look.new_requests > 0 && look.new_errors * 100 > look.new_requests;
        self.above = if above { self.above + 1 } else { 0 };
        self.above >= self.minutes
    }
}
