//! `after` across plans: unknown names, and circles in which no plan would ever start.
//!
//! The time grows linearly with the number of plans and of names in their `after`: a fleet may have thousands of plans, in
//! a chain or in one large circle.

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::fleet::NAMED_MAX;
use crate::engine::plan::Plan;
use crate::engine::units::CutoverName;

/// Mistakes in `after` because of which plans would never start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Misorder {
    /// The names in a plan's `after` that no cutover has.
    pub unknown: BTreeMap<CutoverName, Vec<CutoverName>>,
    /// The circles, each group of plans once, sorted by their first names.
    pub circles: Vec<Circle>,
}

/// Plans that wait for each other, so that none of them would ever start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Circle {
    /// All of them, sorted by name.
    pub members: Vec<CutoverName>,
    /// The shortest way from the first member back to itself; it is not repeated at the end.
    way: Vec<CutoverName>,
}

impl Misorder {
    /// Returns true if nothing keeps the plans from starting.
    pub fn is_empty(&self) -> bool {
        self.unknown.is_empty() && self.circles.is_empty()
    }

    /// The message for a name that no cutover has.
    pub fn unknown_message(name: &CutoverName) -> String {
        format!("`after` names `{name}`, but there is no such cutover")
    }

    /// The suggested fix for such a name.
    pub const UNKNOWN_HELP: &'static str =
        "correct the name, or give that plan's file too; a cutover in the journal needs no file";
}

impl Circle {
    /// The suggested fix for a circle.
    pub const HELP: &'static str = "remove one of them from the `after` of another";

    /// The message for a circle, with at most [`NAMED_MAX`] names.
    pub fn message(&self) -> String {
        // The first name stands at both ends.
        let named = if self.way.len() < NAMED_MAX {
            self.way.len()
        } else {
            NAMED_MAX - 1
        };
        let first = self.way.iter().take(named);
        let mut way: Vec<String> = first.map(ToString::to_string).collect();
        let left_out = self.way.len() - named;
        if left_out > 0 {
            way.push(format!("… ({left_out} more)"));
        }
        way.extend(self.way.first().map(ToString::to_string));
        let others = match self.members.len() - self.way.len() {
            0 => String::new(),
            1 => "; 1 more plan waits in circles with them".to_owned(),
            others => format!("; {others} more plans wait in circles with them"),
        };
        format!(
            "`after` forms a circle, so none of these plans would ever start: {}{others}",
            way.join(" → ")
        )
    }
}

/// Checks the order of some plans; `known` are other cutovers that may be waited for.
pub fn order(plans: &[&Plan], known: &BTreeSet<CutoverName>) -> Misorder {
    let after: BTreeMap<&CutoverName, &[CutoverName]> = plans
        .iter()
        .map(|plan| (&plan.name, plan.after.as_slice()))
        .collect();
    let mut wrong = Misorder::default();
    for (name, names) in &after {
        for other in *names {
            if !after.contains_key(other) && !known.contains(other) {
                let list = wrong.unknown.entry((*name).clone()).or_default();
                list.push(other.clone());
            }
        }
    }
    let names: Vec<&CutoverName> = after.keys().copied().collect();
    let number: BTreeMap<&CutoverName, usize> =
        (0..).zip(&names).map(|(i, name)| (*name, i)).collect();
    let mut graph = Graph::default();
    for waits_for in after.values() {
        let known = waits_for
            .iter()
            .filter_map(|other| number.get(other).copied());
        graph.edges.push(known.collect());
    }
    for members in graph.circles() {
        let way = graph.way_back(&members);
        wrong.circles.push(Circle {
            members: names_of(&members, &names),
            way: names_of(&way, &names),
        });
    }
    wrong
}

fn names_of(plans: &[usize], names: &[&CutoverName]) -> Vec<CutoverName> {
    plans.iter().map(|plan| names[*plan].clone()).collect()
}

/// The plans by number, each with the plans that it waits for.
#[derive(Default)]
struct Graph {
    edges: Vec<Vec<usize>>,
    /// The number of edges followed so far: the cost of the search.
    followed: usize,
}

/// A plan that the search has reached, and the index of its next edge.
struct Visit {
    plan: usize,
    next_edge: usize,
}

/// The state of a plan that the search has reached.
#[derive(Clone, Copy)]
struct Reached {
    /// Its position in the order of the search.
    order: usize,
    /// The lowest position that can be reached from it.
    lowest: usize,
    /// True until its group is complete.
    is_open: bool,
}

impl Graph {
    /// The groups of plans that wait for each other, each sorted by number, the group with the lowest number first. This is
    /// Tarjan's search for strongly connected components, without recursion, because a chain may be long.
    fn circles(&mut self) -> Vec<Vec<usize>> {
        let mut reached: Vec<Option<Reached>> = vec![None; self.edges.len()];
        let mut open: Vec<usize> = Vec::new();
        let mut circles = Vec::new();
        let mut count = 0;
        for start in 0..self.edges.len() {
            if reached[start].is_some() {
                continue;
            }
            let mut visits: Vec<Visit> = Vec::new();
            let mut entering = Some(start);
            loop {
                if let Some(plan) = entering.take() {
                    reached[plan] = Some(Reached {
                        order: count,
                        lowest: count,
                        is_open: true,
                    });
                    count += 1;
                    open.push(plan);
                    visits.push(Visit { plan, next_edge: 0 });
                }
                let Some(visit) = visits.last_mut() else {
                    break;
                };
                let plan = visit.plan;
                if let Some(other) = self.edges[plan].get(visit.next_edge).copied() {
                    visit.next_edge += 1;
                    self.followed += 1;
                    match reached[other] {
                        None => entering = Some(other),
                        Some(known) if known.is_open => lower(&mut reached, plan, known.order),
                        Some(_) => {}
                    }
                    continue;
                }
                visits.pop();
                let Some(own) = reached[plan] else {
                    continue;
                };
                if let Some(before) = visits.last() {
                    lower(&mut reached, before.plan, own.lowest);
                }
                if own.lowest == own.order {
                    let group = close(&mut open, &mut reached, plan);
                    if group.len() > 1 || self.edges[plan].contains(&plan) {
                        circles.push(group);
                    }
                }
            }
        }
        circles.sort();
        circles
    }

    /// The shortest way from the first member of a circle back to it, within the circle.
    fn way_back(&mut self, members: &[usize]) -> Vec<usize> {
        let Some(start) = members.first().copied() else {
            return Vec::new();
        };
        let within: BTreeSet<usize> = members.iter().copied().collect();
        let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
        let mut front = vec![start];
        while !front.is_empty() {
            let mut next = Vec::new();
            for plan in front {
                for other in &self.edges[plan] {
                    self.followed += 1;
                    if *other == start {
                        let mut way = vec![plan];
                        let mut at = plan;
                        while let Some(before) = came_from.get(&at) {
                            at = *before;
                            way.push(at);
                        }
                        way.reverse();
                        return way;
                    }
                    if within.contains(other) && !came_from.contains_key(other) {
                        came_from.insert(*other, plan);
                        next.push(*other);
                    }
                }
            }
            front = next;
        }
        Vec::new()
    }
}

/// Records that an earlier plan can be reached from this one.
fn lower(reached: &mut [Option<Reached>], plan: usize, to: usize) {
    if let Some(Some(known)) = reached.get_mut(plan) {
        known.lowest = known.lowest.min(to);
    }
}

/// Removes a complete group from the open plans: those from `first` on.
fn close(open: &mut Vec<usize>, reached: &mut [Option<Reached>], first: usize) -> Vec<usize> {
    let from = open.iter().rposition(|plan| *plan == first).unwrap_or(0);
    let mut group = open.split_off(from);
    for plan in &group {
        if let Some(Some(known)) = reached.get_mut(*plan) {
            known.is_open = false;
        }
    }
    group.sort_unstable();
    group
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(edges: Vec<Vec<usize>>) -> Graph {
        Graph { edges, followed: 0 }
    }

    #[test]
    fn a_chain_of_ten_thousand_follows_each_edge_once() {
        let mut chain = graph(
            (0..10_000)
                .map(|plan| if plan == 0 { vec![] } else { vec![plan - 1] })
                .collect(),
        );
        assert!(chain.circles().is_empty());
        assert_eq!(chain.followed, 9_999);
        let mut other_way = graph(
            (1..=10_000)
                .map(|next| if next == 10_000 { vec![] } else { vec![next] })
                .collect(),
        );
        assert!(other_way.circles().is_empty());
        assert_eq!(other_way.followed, 9_999);
    }

    #[test]
    fn a_circle_of_three_thousand_is_one_and_follows_each_edge_twice() {
        let mut circle = graph((0..3_000).map(|plan| vec![(plan + 1) % 3_000]).collect());
        let circles = circle.circles();
        assert_eq!(circles.len(), 1);
        assert_eq!(circles[0].len(), 3_000);
        assert_eq!(circle.way_back(&circles[0]).len(), 3_000);
        assert_eq!(circle.followed, 6_000);
    }

    #[test]
    fn circles_are_told_apart_and_the_way_is_the_shortest() {
        // 0 → 1 → 2 → 0 and 0 → 2; 3 → 4 → 3; 5 waits for both, and 6 for itself.
        let mut graph = graph(vec![
            vec![1, 2],
            vec![2],
            vec![0],
            vec![4],
            vec![3],
            vec![0, 3],
            vec![6],
        ]);
        assert_eq!(graph.circles(), [vec![0, 1, 2], vec![3, 4], vec![6]]);
        assert_eq!(graph.way_back(&[0, 1, 2]), [0, 2]);
        assert_eq!(graph.way_back(&[6]), [6]);
    }

    #[test]
    fn a_large_circle_names_ten_and_says_how_many_there_are() {
        let name = |number: usize| CutoverName::from(format!("api-{number:04}"));
        let members: Vec<CutoverName> = (0..3_000).map(name).collect();
        let circle = Circle {
            way: members.clone(),
            members,
        };
        let message = circle.message();
        assert_eq!(message.matches("api-").count(), NAMED_MAX, "{message}");
        assert!(
            message.contains("api-0008 → … (2991 more) → api-0000"),
            "{message}"
        );
    }
}
