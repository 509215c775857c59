//! The regression gate: claims about `engine::evidence::sequential`, and three days of a few services of the benchmark.

use cutover_engine::evidence::sequential::{Evidence, Judgement, Test, TestError, TrafficMinute};
use jiff::{SignedDuration, Timestamp};
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq};
use proptest::proptest;

#[expect(dead_code, reason = "the benchmark uses the rest of it")]
#[path = "../../benches/regression/rivals.rs"]
mod rivals;
#[path = "../../benches/regression/service.rs"]
mod service;

use service::{Bursts, MINUTES, Service, Trouble};

pub(super) fn start() -> Timestamp {
    "2026-12-01T00:00:00Z".parse().expect("a time")
}

/// New requests and errors, old requests and errors, so many minutes after the start.
pub(super) fn look(minute: i64, new: (u64, u64), old: (u64, u64)) -> TrafficMinute {
    TrafficMinute {
        minute: start() + SignedDuration::from_mins(minute),
        new_requests: new.0,
        new_errors: new.1,
        old_requests: old.0,
        old_errors: old.1,
    }
}

/// The same minute, again and again.
fn minutes(count: i64, new: (u64, u64), old: (u64, u64)) -> Vec<TrafficMinute> {
    (0..count).map(|minute| look(minute, new, old)).collect()
}

fn judge(looks: &[TrafficMinute]) -> Judgement {
    let test = Test::default();
    test.judge(&test.evidence().with_all(looks))
}

fn not_judged(judgement: &Judgement) -> bool {
    matches!(judgement, Judgement::NotJudged(_))
}

#[test]
fn nothing_and_one_side_alone_are_not_judged() {
    let nothing = judge(&[]);
    assert!(not_judged(&nothing));
    assert_eq!(
        nothing.to_string(),
        "nothing to judge yet: no minute in which both sides had requests"
    );
    assert!(not_judged(&judge(&minutes(9_000, (0, 0), (1_000, 1)))));
    assert!(not_judged(&judge(&minutes(9_000, (1_000, 900), (0, 0)))));
}

#[test]
fn how_many_requests_are_needed_is_told_only_where_it_can_be() {
    let judgement = judge(&[look(0, (1, 0), (10, 10))]);
    assert!(not_judged(&judgement));
    assert_eq!(judgement.numbers().requests_needed, None);
    let words = judgement.to_string();
    assert!(
        words.starts_with("too little to judge, 1 requests"),
        "{words}"
    );
}

#[test]
fn a_failure_is_not_dated_before_the_first_comparison() {
    let looks: Vec<TrafficMinute> = (40..400)
        .map(|minute| look(minute, (1_000, 200), (9_000, 9)))
        .collect();
    let judgement = judge(&looks);
    assert!(matches!(judgement, Judgement::Fail(_)));
    let first = start() + SignedDuration::from_mins(40);
    assert_eq!(judgement.numbers().since, Some(first));
}

#[test]
fn few_requests_are_not_judged_and_more_of_them_pass() {
    let few = judge(&minutes(20, (60, 0), (540, 1)));
    assert!(not_judged(&few), "{few}");
    let words = few.to_string();
    assert!(
        words.starts_with("too little to judge, 1,200 of about "),
        "{words}"
    );
    let so_far = " requests; so far new does not fail at all (0 % vs 0.19 % of 1,200 and 11 k requests); no \
                  odds against chance, 1,000 : 1 are needed";
    assert!(words.ends_with(so_far), "{words}");
    let needed = few.numbers().requests_needed.expect("it can be told");
    let enough = i64::try_from(needed / 60 + 30).expect("few");
    let more = judge(&minutes(enough, (60, 0), (540, 1)));
    assert!(matches!(more, Judgement::Pass(_)), "{more}");
}

#[test]
fn a_service_that_never_fails_can_pass() {
    let judgement = judge(&minutes(600, (60, 0), (540, 0)));
    assert!(matches!(judgement, Judgement::Pass(_)), "{judgement}");
}

#[test]
fn a_new_side_that_is_worse_fails_and_says_how_much_and_since_when() {
    let mut looks = minutes(35 * 60, (600, 1), (5_400, 9));
    for look in looks.iter_mut().skip(34 * 60) {
        look.new_errors = 4;
    }
    let judgement = judge(&looks);
    let Judgement::Fail(numbers) = &judgement else {
        panic!("{judgement}");
    };
    assert_eq!(
        numbers.since,
        Some(start() + SignedDuration::from_hours(34))
    );
    assert_eq!(
        judgement.to_string(),
        "new fails 4.0 × as often as old since 2026-12-02 10:00Z (0.67 % vs 0.17 % of 36 k and \
         324 k requests); the odds against chance are above 1,000,000 : 1, 1,000 : 1 are needed"
    );
}

#[test]
fn slightly_worse_than_at_most_fails_in_time_and_slightly_better_never() {
    let looks = |errors| minutes(20_000, (6_000, errors), (6_000, 100));
    let fails = |errors| matches!(judge(&looks(errors)), Judgement::Fail(_));
    assert!(fails(160));
    assert!(!fails(124));
}

#[test]
fn evidence_for_another_ratio_proves_nothing() {
    let looks = minutes(600, (600, 300), (600, 0));
    let strict = Test::new(1.0, 0.001).expect("a test");
    let evidence = strict.evidence().with_all(&looks);
    assert!(matches!(strict.judge(&evidence), Judgement::Fail(_)));
    assert!(not_judged(&Test::default().judge(&evidence)));
}

#[test]
fn parameters_that_make_no_sense_are_refused() {
    assert_eq!(Test::new(0.9, 0.001), Err(TestError::AtMost(0.9)));
    assert!(Test::new(f64::NAN, 0.001).is_err());
    assert_eq!(Test::new(1.25, 0.0), Err(TestError::Alpha(0.0)));
    assert_eq!(Test::new(1.25, 0.001), Ok(Test::default()));
}

#[test]
fn months_of_looks_stay_small() {
    let looks = minutes(60 * 24 * 60, (60_000, 61), (540_000, 543));
    let test = Test::default();
    let evidence = test.evidence().with_all(&looks);
    let json = serde_json::to_string(&evidence).expect("JSON");
    assert!(json.len() < 8 * 1_024, "{} bytes", json.len());
    let back: Evidence = serde_json::from_str(&json).expect("evidence");
    assert_eq!(back, evidence);
}

#[test]
fn bursts_that_revert_a_z_test_do_not_revert_the_gate() {
    let bursts = Bursts {
        size: 5.0,
        minutes: 1,
    };
    let mut by_z_test = 0;
    for seed in 0..6 {
        let ends = three_days(Service::new(seed, 600.0, bursts, Trouble::None), 2);
        assert_eq!(ends[0], None, "seed {seed} was well");
        by_z_test += usize::from(ends[1].is_some());
    }
    assert!(by_z_test >= 2, "{by_z_test}");
}

#[test]
fn twenty_times_the_errors_are_noticed_within_hours_and_late_as_early() {
    let bursts = Bursts {
        size: 5.0,
        minutes: 1,
    };
    for from in [0, 2 * 24 * 60] {
        let trouble = Trouble::Worse { times: 20.0, from };
        let ends = three_days(Service::new(7, 600.0, bursts, trouble), 1);
        let end = ends[0].expect("it is noticed");
        assert!((from..from + 180).contains(&end), "{from}: {end}");
    }
}

/// When the first judges of the benchmark, of which the gate is the first, failed the service.
fn three_days(mut service: Service, first: usize) -> Vec<Option<usize>> {
    let mut judges = rivals::judges();
    judges.truncate(first);
    let mut ends = vec![None; judges.len()];
    for look in service.day_before() {
        for judge in &mut judges {
            judge.before(&look);
        }
    }
    for minute in 0..MINUTES {
        let look = service.next_minute();
        for (judge, end) in judges.iter_mut().zip(&mut ends) {
            if end.is_none() && judge.fails(&look) {
                *end = Some(minute);
            }
        }
        if ends.iter().all(Option::is_some) {
            break;
        }
    }
    ends
}

/// Minutes within six hours, with ordinary counts.
fn looks() -> impl Strategy<Value = Vec<TrafficMinute>> {
    let counts = (0_u64..2_000, 0_u64..20, 0_u64..9_000, 0_u64..90);
    vec((0_i64..330, counts), 1..120).prop_map(|looks| {
        let mut minutes = std::collections::BTreeMap::new();
        for (minute, counts) in looks {
            minutes.insert(minute, counts);
        }
        let look = |(minute, (a, b, c, d))| look(minute, (a, b), (c, d));
        minutes.into_iter().map(look).collect()
    })
}

fn any_look() -> impl Strategy<Value = TrafficMinute> {
    let count = || proptest::prop_oneof![Just(0), 0_u64..50, any::<u64>(), Just(u64::MAX)];
    let time = -300_000_000_000_i64..250_000_000_000;
    let near = 1_800_000_000_i64..1_800_100_000;
    let second = proptest::prop_oneof![1 => time, 3 => near];
    (second, count(), count(), count(), count()).prop_map(|(second, a, b, c, d)| TrafficMinute {
        minute: Timestamp::from_second(second).expect("within range"),
        new_requests: a,
        new_errors: b,
        old_requests: c,
        old_errors: d,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_batches_and_repetition_make_no_difference(
        looks in looks(),
        keys in vec(any::<u32>(), 120),
        cut in 0_usize..120,
    ) {
        let empty = Test::default().evidence();
        let in_order = looks.iter().fold(empty.clone(), |evidence, look| evidence.with(look));
        let mut shuffled: Vec<_> = looks.iter().zip(keys).collect();
        shuffled.sort_by_key(|(_, key)| *key);
        let shuffled: Vec<TrafficMinute> = shuffled.into_iter().map(|(look, _)| *look).collect();
        let one_by_one = shuffled.iter().fold(empty.clone(), |evidence, look| evidence.with(look));
        prop_assert_eq!(&one_by_one, &in_order);
        let (first, second) = shuffled.split_at(cut.min(shuffled.len()));
        let batches = empty.with_all(second).with_all(first);
        prop_assert_eq!(&batches, &in_order);
        let again = in_order.with_all(&shuffled);
        prop_assert_eq!(&again, &in_order);
    }

    #[test]
    fn whatever_is_counted_it_is_judged_without_a_panic(looks in vec(any_look(), 0..60)) {
        let test = Test::default();
        let evidence = looks.iter().fold(test.evidence(), |evidence, look| evidence.with(look));
        let judgement = test.judge(&evidence);
        prop_assert!(!judgement.to_string().is_empty());
        prop_assert!(!test.log_odds(&evidence).is_nan());
        let json = serde_json::to_string(&evidence).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Evidence>(&json).expect("evidence"), evidence);
        let json = serde_json::to_string(&judgement).expect("JSON");
        prop_assert_eq!(serde_json::from_str::<Judgement>(&json).expect("a judgement"), judgement);
    }

    /// What makes it valid at every look: the odds that a minute adds are at most 1 on average, as long as the new side
    /// is no worse than it may be. Summed over all ways in which the errors may fall.
    #[test]
    fn a_minute_of_a_service_that_is_well_adds_no_odds_on_average(
        before in looks(),
        new in 1_u64..10_000,
        old in 1_u64..10_000,
        errors in 0_u32..40,
        times in 0.0_f64..1.25,
    ) {
        let test = Test::default();
        let before = test.evidence().with_all(&before);
        // All errors of the last quarter of an hour alone: the dispersion is the same however they fall.
        let of_new = times * f64::from(u32::try_from(new).expect("few"));
        let share = of_new / (of_new + f64::from(u32::try_from(old).expect("few")));
        let mut mean = 0.0;
        let mut chance = (1.0 - share).powi(i32::try_from(errors).expect("few"));
        for hits in 0..=errors {
            let (hits_new, hits_old) = (u64::from(hits), u64::from(errors - hits));
            let new = (new + u64::from(errors), hits_new);
            let minute = look(6 * 24 * 60, new, (old + u64::from(errors), hits_old));
            mean += chance * test.log_odds(&before.with(&minute)).exp();
            chance *= f64::from(errors - hits) / f64::from(hits + 1) * share / (1.0 - share);
        }
        let bound = test.log_odds(&before).exp().max(0.0) + 1.0;
        prop_assert!(mean <= bound * 1.001, "{mean} above {bound}");
    }
}
