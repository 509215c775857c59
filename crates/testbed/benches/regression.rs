//! How often each way of judging a new side takes back a service that is well, and how soon it notices one that is not:
//! `cargo bench --bench regression`. Simulated; nothing is measured but the judging.
//!
//! Three days of looks, one a minute, after a day in which only the old side had traffic. Requests follow a daily curve; one
//! of a thousand fails. Services that are well give the new side 1 %, 10 % and 50 %, a day each; those that are not, 10 %. Errors come alone, or in bursts whose size is drawn anew for
//! each minute or for each five minutes (gamma-distributed rates: negative binomial counts). Each service has a seed of
//! its own, so the table is the same on every machine.
//!
//! `healthy N` and `worse N` take one half of the table, with N services a cell, `healthy N RATE` only the rows of so many
//! requests a minute; without arguments, all of it.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]

#[path = "regression/rivals.rs"]
mod rivals;
#[path = "regression/service.rs"]
mod service;

use std::thread;

use rivals::judges;
use service::{Bursts, MINUTES, Service, Trouble};

/// Services a cell where they are well: so many that one of a thousand would be three of them.
const HEALTHY: u64 = 3_000;

/// Services a cell where they are not.
const WORSE: u64 = 100;

/// Requests a minute, on both sides together.
const RATES: [f64; 3] = [30.0, 600.0, 12_000.0];

const ALONE: Bursts = Bursts {
    size: 1.0,
    minutes: 1,
};
const FIVES: Bursts = Bursts {
    size: 5.0,
    minutes: 1,
};
const TWENTIES: Bursts = Bursts {
    size: 20.0,
    minutes: 1,
};
const LONG: Bursts = Bursts {
    size: 5.0,
    minutes: 5,
};

fn main() {
    // cargo adds `--bench`.
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let what = args.next();
    let number = args.next().and_then(|arg| arg.parse().ok());
    let rate = args.next().and_then(|arg| arg.parse().ok());
    let rates = rate.map_or_else(|| RATES.to_vec(), |rate| vec![rate]);
    if what.as_deref() != Some("worse") {
        healthy(number.unwrap_or(HEALTHY), &rates);
    }
    if what.as_deref() != Some("healthy") {
        worse(number.unwrap_or(WORSE), &rates);
    }
}

/// Which share of the services that are well is taken back.
fn healthy(services: u64, rates: &[f64]) {
    println!("taken back although well, of {services} services, in three days\n");
    heads("| requests a minute | errors |");
    for &rate in rates {
        for bursts in [ALONE, FIVES, TWENTIES, LONG] {
            let ends = play(services, rate, bursts, Trouble::None);
            print!("| {rate} | {bursts} |");
            for end in &ends {
                let failed = end.iter().flatten().count();
                print!(" {:.2} % |", percent(failed, end.len()));
            }
            println!();
        }
    }
    println!();
}

/// After how many minutes a new side that is worse is taken back.
fn worse(services: u64, rates: &[f64]) {
    println!("minutes until half of {services} services that are worse are taken back\n");
    heads("| requests a minute | errors | worse |");
    for &rate in rates {
        for bursts in [ALONE, FIVES] {
            for times in [2.0, 5.0, 20.0] {
                for from in [0, 2 * 24 * 60] {
                    let ends = play(services, rate, bursts, Trouble::Worse { times, from });
                    let since = if from == 0 { "" } else { ", after two days" };
                    print!("| {rate} | {bursts} | {times} ×{since} |");
                    for end in ends {
                        print!(" {} |", middle(end, from));
                    }
                    println!();
                }
            }
        }
    }
}

fn heads(first: &str) {
    let names: Vec<&str> = judges().iter().map(|judge| judge.name()).collect();
    println!("{first} {} |", names.join(" | "));
    let columns = first.matches('|').count() - 1 + names.len();
    println!("|{}", "---|".repeat(columns));
}

fn percent(part: usize, whole: usize) -> f64 {
    let [part, whole] = [part, whole].map(|number| f64::from(u32::try_from(number).expect("few")));
    100.0 * part / whole
}

/// The median minute, those counting as never that failed before anything was wrong.
fn middle(mut ends: Vec<Option<usize>>, from: usize) -> String {
    let early = ends.iter().flatten().filter(|end| **end < from).count();
    ends.sort_by_key(|end| end.unwrap_or(usize::MAX));
    let ends: Vec<_> = ends
        .into_iter()
        .filter(|end| end.is_none_or(|end| end >= from))
        .collect();
    match ends.get(ends.len() / 2) {
        _ if early * 2 > ends.len() => "(before)".to_owned(),
        Some(Some(end)) => (end + 1 - from).to_string(),
        _ => "–".to_owned(),
    }
}

/// For each judge, when it failed each service.
fn play(services: u64, rate: f64, bursts: Bursts, trouble: Trouble) -> Vec<Vec<Option<usize>>> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let threads = u64::try_from(threads).expect("few");
    let mut all: Vec<Vec<Option<usize>>> = judges().iter().map(|_| Vec::new()).collect();
    thread::scope(|scope| {
        let parts: Vec<_> = (0..threads)
            .map(|part| {
                scope.spawn(move || {
                    let seeds = (part..services).step_by(usize::try_from(threads).expect("few"));
                    let one = |seed| watch(Service::new(seed, rate, bursts, trouble));
                    seeds.map(one).collect::<Vec<_>>()
                })
            })
            .collect();
        for part in parts {
            for ends in part.join().expect("no judge panics") {
                for (all, end) in all.iter_mut().zip(ends) {
                    all.push(end);
                }
            }
        }
    });
    all
}

/// When each judge failed the service.
fn watch(mut service: Service) -> Vec<Option<usize>> {
    let mut judges = judges();
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
    }
    ends
}
