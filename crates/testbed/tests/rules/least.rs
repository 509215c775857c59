//! How many requests a rate needs, so that healthy services are left alone at every size of traffic.

use cutover_engine::evidence::gate::Bound;
use cutover_engine::evidence::least::{
    FALSE_REVERTS, errors_that_show, errors_within, false_reverts, false_reverts_at, least_requests,
};
use cutover_engine::evidence::number::Number;
use cutover_engine::evidence::plan::MetricGate;

use cutover_testbed::flow::error_rate;
use cutover_testbed::luck::Luck;

/// A rate of at most so many percent, M of N, every so many minutes.
fn gate(percent: f64, (points, of): (u16, u16), every_mins: u16) -> MetricGate {
    let most = Number::new(percent).expect("a number");
    MetricGate {
        bound: Bound::Max(most),
        points,
        of,
        every_mins,
        min_requests: least_requests(most, every_mins).expect("it has a least number"),
        ..error_rate(1)
    }
}

#[test]
fn fewer_looks_in_a_week_need_fewer_errors_within_the_bound() {
    assert_eq!([1, 5, 15, 60].map(errors_within), [10, 8, 8, 7]);
    let least = |percent, every| least_requests(Number::new(percent).expect("a number"), every);
    assert_eq!(least(1.0, 1), Some(1_000));
    assert_eq!(least(2.0, 1), Some(500));
    assert_eq!(least(0.3, 1), Some(3_334));
    assert_eq!(least(5.0, 5), Some(160));
    assert_eq!(least(0.0, 1), None);
}

#[test]
fn at_every_size_of_traffic_at_most_one_of_a_thousand_healthy_weeks_is_reverted() {
    for percent in [0.1, 1.0, 2.0, 20.0] {
        for points in [(1, 1), (1, 3), (2, 3), (3, 5), (5, 5), (2, 12)] {
            for every in [1, 5, 60] {
                let gate = gate(percent, points, every);
                let step = (gate.min_requests / 400).max(1);
                let mut requests = 1;
                while requests < gate.min_requests * 3 {
                    let chance = false_reverts_at(&gate, requests);
                    assert!(
                        chance <= FALSE_REVERTS,
                        "{chance} at {requests} requests: {percent} % {points:?} every {every}m"
                    );
                    requests += step;
                }
                let worst = false_reverts(&gate);
                assert!(worst <= FALSE_REVERTS, "{worst}: {percent} % {points:?}");
            }
        }
    }
}

#[test]
fn it_is_the_least_number_but_for_one_error() {
    let with = |errors: u64| MetricGate {
        min_requests: errors * 100,
        ..gate(1.0, (1, 1), 1)
    };
    assert!(false_reverts(&with(10)) <= FALSE_REVERTS);
    assert!(false_reverts(&with(9)) > FALSE_REVERTS);
}

#[test]
fn what_was_the_least_number_before_takes_healthy_services_back() {
    let before = MetricGate {
        min_requests: 300,
        ..gate(1.0, (3, 5), 1)
    };
    // 5 % of 1,200 requests a minute.
    assert!(false_reverts_at(&before, 60) > 0.5);
    assert!(false_reverts(&before) > 0.5);
}

/// Healthy weeks in which the gate fails, of so many, with so many requests a minute: played, not computed.
fn reverted(gate: &MetricGate, requests: u64, weeks: u32) -> u32 {
    let mut luck = Luck::new(7);
    let (of, points) = (usize::from(gate.of), usize::from(gate.points));
    let Bound::Max(most) = gate.bound else {
        panic!("{gate:?}");
    };
    let count = f64::from(u32::try_from(requests).expect("small"));
    let mean = count * most.value() / 1_000.0;
    let shows = errors_that_show(gate).expect("a rate");
    let bound = |requests: f64| requests * most.value() / 100.0;
    let enough =
        |requests: f64| requests >= f64::from(u32::try_from(gate.min_requests).expect("small"));
    (0..weeks)
        .filter(|_| {
            let mut window = std::collections::VecDeque::new();
            (0..10_080).any(|_| {
                window.push_back(luck.poisson(mean));
                if window.len() > of {
                    window.pop_front();
                }
                let beyond = window.iter().filter(|errors| **errors > bound(count));
                if window.len() < of || beyond.count() < points {
                    return false;
                }
                let together: f64 = window.iter().sum();
                let all = count * f64::from(gate.of);
                let judged = enough(count) || enough(all) || together > shows;
                judged && (enough(count) || together > bound(all))
            })
        })
        .count()
        .try_into()
        .expect("few")
}

#[test]
fn played_weeks_are_reverted_no_more_often_than_is_computed() {
    let before = MetricGate {
        min_requests: 300,
        ..gate(1.0, (3, 5), 1)
    };
    for requests in [60, 79, 120, 160] {
        let chance = false_reverts_at(&before, requests).min(1.0);
        let played = f64::from(reverted(&before, requests, 100)) / 100.0;
        assert!(
            played <= chance + 0.15,
            "{played} and {chance} at {requests}"
        );
        assert!(
            played >= chance / 4.0 - 0.05,
            "{played} and {chance} at {requests}"
        );
    }
    let now = gate(1.0, (3, 5), 1);
    for requests in [60, 200, 219, 300, 1_000] {
        assert_eq!(reverted(&now, requests, 100), 0, "{requests}");
    }
}
