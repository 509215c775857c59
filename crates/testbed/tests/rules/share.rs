//! The observed share: how far it may be off by chance, and that traffic which does not come is found all the same.

use std::collections::VecDeque;

use cutover_engine::evidence::judge::weigh;
use cutover_engine::evidence::share::Draws;
use cutover_engine::hold::HoldReason;
use cutover_engine::units::{Share, WeightPair};

use cutover_testbed::flow::{STEPS, flow, measured, with_traffic};
use cutover_testbed::luck::Luck;
use cutover_testbed::world::World;

/// The minutes of a week.
const WEEK: u32 = 10_080;

/// A hundred resolvers of different sizes, each of which asks once a minute.
fn resolvers(luck: &mut Luck) -> Vec<f64> {
    let sizes: Vec<f64> = (0..100).map(|_| 0.3 - luck.even().ln()).collect();
    let all: f64 = sizes.iter().sum();
    sizes.into_iter().map(|size| size / all).collect()
}

/// The part of the requests whose resolvers were answered with the new side.
fn answered(resolvers: &[f64], share: f64, luck: &mut Luck) -> f64 {
    resolvers
        .iter()
        .map(|part| if luck.even() < share { *part } else { 0.0 })
        .sum()
}

/// Whether a healthy week's share is ever called off by half and more than chance, with so many requests a minute on
/// average: days and nights, connections that stay open, and push notifications included.
fn pages(share: f64, requests: f64, luck: &mut Luck) -> bool {
    let resolvers = resolvers(luck);
    let (mut open, mut spike) = (share, 0.0);
    let mut hour: VecDeque<(f64, f64)> = VecDeque::new();
    for minute in 0..WEEK {
        let fresh = answered(&resolvers, share, luck);
        open += 0.35 * (fresh - open);
        let observed = 0.75 * fresh + 0.25 * open;
        spike *= 0.55;
        if luck.even() < 0.5 / 1_440.0 {
            spike = 9.0 + 20.0 * luck.even();
        }
        let of_day = f64::from(minute % 1_440) / 1_440.0;
        let curve = 1.0 + 0.5 * (std::f64::consts::TAU * of_day).cos();
        let come = requests * curve * (1.0 + spike);
        hour.push_back((
            luck.poisson(come * observed),
            luck.poisson(come * (1.0 - observed)),
        ));
        if hour.len() > 60 {
            hour.pop_front();
        }
        let new: f64 = hour.iter().map(|(new, _)| new).sum();
        let all: f64 = hour.iter().map(|(new, old)| new + old).sum();
        let squares: f64 = hour
            .iter()
            .map(|(new, old)| (new + old) * (new + old))
            .sum();
        if minute < 9 || all * share < 50.0 {
            continue;
        }
        let draws = Draws {
            requests: all,
            minutes: all * all / squares,
            ttl_secs: 60.0,
        };
        let off = (new / all - share).abs() > 0.5 * share;
        if off && draws.rule_out_chance(new / all, share, f64::from(minute + 1)) {
            return true;
        }
    }
    false
}

#[test]
fn a_healthy_week_pages_at_no_share_and_no_size_of_traffic() {
    let mut luck = Luck::new(12);
    for share in [0.01, 0.05] {
        for requests in [60.0, 600.0, 20_000.0] {
            let paged = (0..12).filter(|_| pages(share, requests, &mut luck));
            assert_eq!(paged.count(), 0, "{share} of {requests}");
        }
    }
}

#[test]
fn few_answers_allow_what_many_rule_out() {
    let after = |minutes: f64, ttl_secs: f64| Draws {
        requests: 1e9,
        minutes,
        ttl_secs,
    };
    // 1 %: 1.5 % of an hour is chance, 3 % is not, and nothing at all is not either.
    assert!(!after(60.0, 60.0).rule_out_chance(0.015, 0.01, 600.0));
    assert!(after(60.0, 60.0).rule_out_chance(0.03, 0.01, 600.0));
    assert!(after(60.0, 60.0).rule_out_chance(0.0, 0.01, 600.0));
    // An answer that is kept for longer is one answer.
    assert!(!after(60.0, 300.0).rule_out_chance(0.03, 0.01, 600.0));
    // A few requests are no more than themselves.
    let few = Draws {
        requests: 1_000.0,
        ..after(60.0, 60.0)
    };
    assert!(!few.rule_out_chance(0.0, 0.01, 600.0));
    // 10 %: half of it after twenty minutes is not chance.
    assert!(after(20.0, 60.0).rule_out_chance(0.049, 0.1, 20.0));
    assert!(
        !Draws {
            requests: 0.0,
            ..few
        }
        .rule_out_chance(0.0, 0.01, 600.0)
    );
}

/// Minutes until traffic that never came is said to be elsewhere.
fn found_after(share: Share, pair: WeightPair, requests: u32) -> Option<i64> {
    let mut plan = measured(&STEPS, with_traffic());
    (plan.steps[0].share, plan.steps[0].pair) = (share, pair);
    let mut world = World::new(plan);
    flow(&mut world, |flow| {
        (flow.requests, flow.moved) = (requests, Some(0));
    });
    world.run_to_bake(1);
    for minute in (5..1_440).step_by(5) {
        world.run_minutes(5);
        let is_elsewhere =
            |reason: &HoldReason| matches!(reason, HoldReason::TrafficElsewhere { .. });
        if world.because().iter().any(is_elsewhere) {
            return Some(minute);
        }
    }
    None
}

#[test]
fn traffic_that_does_not_come_is_found_at_every_share_the_sooner_the_larger_it_is() {
    let percent = |percent: u8| {
        (
            Share::percent(percent),
            WeightPair::new(100 - percent, percent),
        )
    };
    let after = |(share, pair): (Share, WeightPair), requests| found_after(share, pair, requests);
    assert_eq!(after(percent(50), 1_000), Some(15));
    assert_eq!(after(percent(10), 1_000), Some(15));
    assert_eq!(after(percent(1), 1_000), Some(35));
    let least = WeightPair::new(254, 1);
    let share = least.share().expect("a share");
    assert_eq!(after((share, least), 1_000), Some(225));
}

#[test]
fn minutes_count_by_their_requests() {
    // All of an hour's requests in one minute are those of one answer each, however many.
    let mut world = World::new(measured(&STEPS, with_traffic()));
    flow(&mut world, |flow| flow.requests = 0);
    world.run_to_bake(1);
    world.run_minutes(30);
    flow(&mut world, |flow| {
        (flow.requests, flow.moved) = (100_000, Some(4));
    });
    world.run_minutes(1);
    flow(&mut world, |flow| flow.requests = 0);
    world.run_minutes(5);
    let elsewhere = world
        .because()
        .iter()
        .any(|reason| matches!(reason, HoldReason::TrafficElsewhere { .. }));
    assert!(!elsewhere, "{:?}", world.because());
    let readings = std::collections::BTreeMap::new();
    assert!(weigh(world.state(), &readings).observed.is_none());
}
