//! The regression gate's numbers: worked examples of what `engine::evidence::sequential` says in its module's documentation,
//! computed apart from it, and the words that are made of them.

use cutover_engine::evidence::sequential::{
    Evidence, Judgement, Numbers, SideCounts, Test, TestError, TrafficMinute,
};
use jiff::SignedDuration;

use super::regression::{look, start};

/// The old side alone.
fn old(minute: i64, requests: u64, errors: u64) -> TrafficMinute {
    look(minute, (0, 0), (requests, errors))
}

fn test(at_most: f64) -> Test {
    Test::new(at_most, 0.001).expect("a test")
}

/// How many errors count as one, in thousandths.
fn dispersion(looks: &[TrafficMinute]) -> u64 {
    let test = Test::default();
    let judged = test.judge(&test.evidence().with_all(looks));
    judged.numbers().dispersion
}

/// Before the start the old side's errors fell evenly: 1.5 of them count as one from then on.
fn even(at_most: f64) -> Evidence {
    let looks = [old(-60, 1_000, 495), old(-45, 1_000, 495)];
    test(at_most).evidence().with_all(&looks)
}

#[test]
fn how_many_errors_count_as_one_is_told_by_neighbouring_quarters_of_an_hour() {
    // Ten errors that count five as one are known beforehand, and one pair. With a pair of 30 and 10 in 1,000 requests
    // each: (50 + 20²) / (10 + 40) = 9, with a standard error of 1.4, half of which comes on top: 9 × 1.7.
    for (looks, wanted) in [
        (vec![], 10_244),
        (vec![old(0, 1_000, 30), old(15, 1_000, 10)], 15_300),
        (vec![old(0, 1_000, 10), old(29, 1_000, 30)], 15_300),
        (vec![old(0, 1_000, 495), old(15, 1_000, 495)], 1_500),
        // A quarter of the requests and as many errors.
        (vec![old(14, 2_000, 20), old(16, 500, 20)], 35_888),
        (vec![old(0, 1_000, 30)], 10_244),
        (vec![old(0, 1_000, 0), old(15, 1_000, 0)], 10_244),
        // No neighbours: the second half of one half-hour, and the first half of the next one.
        (vec![old(15, 1_000, 30), old(30, 1_000, 10)], 10_244),
        (vec![old(14, 1_000, 30), old(1, 1_000, 10)], 10_244),
    ] {
        assert_eq!(dispersion(&looks), wanted, "{looks:?}");
    }
}

#[test]
fn what_was_seen_of_bursts_stays_when_its_hours_are_over_and_what_comes_later_still_counts_for_six()
{
    let pair = [old(0, 1_000, 30), old(15, 1_000, 10)];
    let evidence = Test::default().evidence().with_all(&pair);
    let told = |evidence: &Evidence| Test::default().judge(evidence).numbers().dispersion;
    let late = evidence.with(&old(10 * 60, 1_000, 0));
    assert_eq!(told(&late), 15_300);
    // A minute of an hour that is long closed does not count any more, and one of a half-hour that is open does.
    let quarters = [
        (4 * 60, 4 * 60 + 15, 15_300),
        (4 * 60 + 30, 4 * 60 + 45, 1_408),
    ];
    for (first, second, wanted) in quarters {
        let after = late.with(&old(first, 1_000, 950));
        let after = after.with(&old(second, 1_000, 950));
        assert_eq!(told(&after), wanted, "{first} minutes");
    }
    // The first half-hour may still be added to six hours later; a minute that was counted is not counted again.
    let six = evidence.with(&old(6 * 60 - 1, 0, 0));
    let again = six.with(&old(0, 1_000, 999)).with(&old(15, 1_000, 999));
    assert_eq!(told(&again), 15_300);
    let more = six.with(&old(1, 1_000, 465)).with(&old(16, 1_000, 485));
    assert_eq!(told(&more), 1_500);
}

#[test]
fn the_odds_are_the_mean_over_how_much_worse_it_may_be_and_since_when() {
    let ten = ((1_000, 10), (1_000, 0));
    let none = ((1_000, 0), (1_000, 0));
    // By hour: what came in its first minute. The logarithms are those of the module's formulas with φ = 1.5.
    for (at_most, hours, wanted) in [
        (1.0, vec![(0, ten)], 0.547_208),
        (1.0, vec![(0, none), (1, ten)], 0.834_891),
        (1.0, vec![(0, ten), (1, none)], 0.639_265),
        (1.0, vec![(0, none), (5, ten)], 0.593_728),
        (1.0, vec![(0, ((1_000, 0), (1_000, 10)))], -3.831_693),
        (2.0, vec![(0, ((100, 10), (900, 10)))], 0.900_244),
    ] {
        let add = |evidence: Evidence, (hour, (new, old)): &(i64, _)| {
            evidence.with(&look(hour * 60, *new, *old))
        };
        let evidence = hours.iter().fold(even(at_most), add);
        let odds = test(at_most).log_odds(&evidence);
        assert!((odds - wanted).abs() < 2e-5, "{odds}, not {wanted}");
    }
}

#[test]
fn how_many_requests_it_takes_is_told_from_what_would_be_seen() {
    for (at_most, new, old, wanted) in [
        // Five times one in a hundred; or one in a hundred where the old side never fails.
        (1.0, 1_000, (1_000, 10), 1_526),
        (1.0, 1_000, (1_000, 0), 4_389),
        (2.0, 500, (1_000, 10), 763),
    ] {
        let evidence = even(at_most).with(&look(0, (new, 0), old));
        let judged = test(at_most).judge(&evidence);
        assert!(matches!(judged, Judgement::NotJudged(_)), "{judged}");
        assert_eq!(judged.numbers().requests_needed, Some(wanted));
        assert_eq!(judged.numbers().dispersion, 1_500);
    }
    // Half of the old side's requests fail; the new side cannot be worse than to fail them all.
    let evidence = even(1.0).with(&look(0, (100, 0), (1_000, 500)));
    let judged = test(1.0).judge(&evidence);
    assert!(matches!(judged, Judgement::Pass(_)), "{judged}");
}

#[test]
fn how_many_times_as_often_is_told_where_the_old_side_fails_at_all() {
    for (new, old, wanted) in [
        ((1_000, 10), (2_000, 10), Some(2_000)),
        ((3_000, 10), (1_000, 10), Some(333)),
        ((1_000, 0), (1_000, 1), Some(0)),
        ((1_000, 10), (1_000, 0), None),
    ] {
        let judged = test(1.5).judge(&even(1.5).with(&look(0, new, old)));
        let numbers = judged.numbers();
        assert_eq!(numbers.times, wanted, "{judged}");
        assert_eq!((numbers.at_most, numbers.odds_needed), (1_500, 1_000));
    }
}

#[test]
fn where_more_errors_than_requests_are_counted_all_requests_failed_and_there_are_bounds() {
    for (new, wanted) in [
        ((10, 25), (25, 25)),
        ((25, 25), (25, 25)),
        ((25, 10), (25, 10)),
        ((1_000_000_001, 1), (1_000_000_000, 1)),
        ((1, 1_000_000_001), (1_000_000_000, 1_000_000_000)),
    ] {
        let looks = [look(0, new, (100, 1)), look(1, (0, 50), (0, 0))];
        let judged = test(1.25).judge(&test(1.25).evidence().with_all(&looks));
        let counted = judged.numbers().new;
        assert_eq!((counted.requests, counted.errors), wanted, "{new:?}");
    }
}

#[test]
fn only_minutes_in_which_both_sides_had_requests_are_compared() {
    let looks = [
        look(0, (1_000, 10), (2_000, 20)),
        look(1, (500, 5), (0, 0)),
        look(2, (0, 0), (700, 7)),
    ];
    let judged = test(1.25).judge(&test(1.25).evidence().with_all(&looks));
    let [new, old] = [judged.numbers().new, judged.numbers().old];
    assert_eq!((new.requests, new.errors), (1_000, 10));
    assert_eq!((old.requests, old.errors), (2_000, 20));
}

#[test]
fn the_older_hours_are_the_coarser_they_are_remembered() {
    // At 00:00 begins a span of 32 hours, and of 64 hours one did 32 hours before. Hours are kept one by one for two
    // hours, then in pairs for two pairs, and so on.
    for (newest, since) in [
        (3, 3),
        (7, 3),
        (8, 2),
        (11, 2),
        (12, 0),
        (24, 0),
        (159, 0),
        (160, -32),
    ] {
        let evidence = test(1.25).evidence();
        let evidence = evidence.with(&look(3 * 60, (1_000, 0), (1_000, 0)));
        let evidence = evidence.with(&look(newest * 60, (1_000, 0), (1_000, 0)));
        let judged = test(1.25).judge(&evidence);
        let hour = start() + SignedDuration::from_hours(since);
        assert_eq!(judged.numbers().since, Some(hour), "{newest} hours");
    }
}

#[test]
fn the_bounds_of_the_parameters_are_taken_and_what_is_beyond_them_is_not() {
    for (at_most, alpha) in [(1.0, 0.000_001), (100.0, 0.1)] {
        let test = Test::new(at_most, alpha).expect("a test");
        assert!((test.at_most() - at_most).abs() < 1e-9);
        assert!((test.alpha() - alpha).abs() < 1e-12);
    }
    assert_eq!(Test::new(100.1, 0.1), Err(TestError::AtMost(100.1)));
    assert_eq!(Test::new(1.25, 0.11), Err(TestError::Alpha(0.11)));
}

/// A failure of these requests and errors.
fn numbers(new: (u64, u64), old: (u64, u64)) -> Numbers {
    let side = |(requests, errors): (u64, u64)| SideCounts { requests, errors };
    Numbers {
        new: side(new),
        old: side(old),
        since: None,
        times: Some(2_000),
        at_most: 1_250,
        odds: 5_000,
        odds_needed: 1_000,
        dispersion: 1_000,
        requests_needed: None,
    }
}

#[test]
fn rates_have_two_digits_and_requests_round_figures() {
    for (new, rate, count) in [
        ((3, 3), "100 %", "3"),
        ((100, 12), "12 %", "100"),
        ((15, 1), "6.7 %", "15"),
        ((9_999, 10), "0.10 %", "9,999"),
        ((10_000, 123), "1.2 %", "10 k"),
        ((999_499, 1), "0.00010 %", "999 k"),
        ((999_500, 999_500), "100 %", "1.0 M"),
        ((9_949_999, 1), "0.00001 %", "9.9 M"),
        ((9_950_000, 995_000), "10 %", "10 M"),
        ((123_456_789, 1), "0.00001 %", "123 M"),
        ((2_500_000_000, 2_500_000), "0.10 %", "2.5 G"),
        ((25_000_000_000_000, 25_000_000_000_000), "100 %", "25 T"),
    ] {
        let words = Judgement::Pass(numbers(new, (1_000, 0))).to_string();
        let wanted = format!(
            "new fails 2.0 × as often as old ({rate} vs 0 % of {count} and 1,000 requests); the odds \
             against chance are 5,000 : 1, 1,000 : 1 are needed"
        );
        assert_eq!(words, wanted);
    }
}

#[test]
fn how_many_times_as_often_is_told_to_a_tenth_or_in_whole_numbers() {
    for (times, wanted) in [
        (40, "0.04"),
        (940, "0.94"),
        (950, "0.95"),
        (960, "1.0"),
        (9_940, "9.9"),
        (9_950, "10"),
        (123_400, "123"),
    ] {
        let judged = Judgement::Pass(Numbers {
            times: Some(times),
            ..numbers((100, 1), (100, 1))
        });
        let wanted = format!("new fails {wanted} × as often as old (");
        assert!(judged.to_string().starts_with(&wanted), "{judged}");
    }
    let no_times = Numbers {
        times: None,
        ..numbers((100, 1), (100, 0))
    };
    let words = Judgement::Pass(no_times).to_string();
    assert!(words.starts_with("new fails, and old does not at all (1.0 % vs 0 % of 100 and 100"));
}

#[test]
fn odds_are_told_up_to_a_million() {
    for (odds, wanted) in [
        (0, "no odds against chance"),
        (1, "no odds against chance"),
        (2, "the odds against chance are 2 : 1"),
        (999_999, "the odds against chance are 999,999 : 1"),
        (1_000_000, "the odds against chance are above 1,000,000 : 1"),
    ] {
        let judged = Judgement::Fail(Numbers {
            odds,
            odds_needed: 100,
            ..numbers((100, 1), (100, 1))
        });
        let wanted = format!("; {wanted}, 100 : 1 are needed");
        assert!(judged.to_string().ends_with(&wanted), "{judged}");
    }
}

#[test]
fn how_many_requests_are_needed_is_rounded_up_to_two_digits() {
    for (needed, wanted) in [
        (Some(99), "of about 99 requests"),
        (Some(101), "of about 110 requests"),
        (Some(1_001), "of about 1,100 requests"),
        (Some(1_200), "of about 1,200 requests"),
        (Some(123_456), "of about 130 k requests"),
        (None, "requests"),
    ] {
        let judged = Judgement::NotJudged(Numbers {
            requests_needed: needed,
            ..numbers((50, 1), (100, 1))
        });
        let wanted = format!("too little to judge, 50 {wanted}; so far new fails 2.0 × ");
        assert!(judged.to_string().starts_with(&wanted), "{judged}");
    }
    let failed = Numbers {
        since: Some(start()),
        ..numbers((50, 1), (100, 1))
    };
    let (since, told) = (
        " since 2026-12-01 00:00Z (",
        Judgement::Fail(failed.clone()),
    );
    assert!(told.to_string().contains(since));
    assert!(!Judgement::Pass(failed).to_string().contains(since));
}
