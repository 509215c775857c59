//! The presets of a side: names, dimensions and statistics of metrics, so that nobody has to look them up.
//!
//! Sources: Elastic Load Balancing User Guides, "`CloudWatch` metrics for your Application (Network) Load Balancer";
//! `CloudWatch` User Guide, "Amazon ECS Container Insights metrics" and "Amazon EKS … Container Insights metrics".

use std::collections::BTreeMap;

use crate::engine::account::Account;
use crate::engine::evidence::gate::Unit;
use crate::engine::evidence::number::Number;
use crate::engine::evidence::plan::{Counted, Measure, Metric};
use crate::engine::evidence::plan::{Query, Series};

/// One side as the plan describes it.
#[derive(Debug, Clone, Default)]
pub(super) struct PresetSide {
    pub(super) region: Option<String>,
    /// The account of its metrics; none means the plan's.
    pub(super) account: Option<Account>,
    pub(super) alb: Option<Alb>,
    /// A network load balancer, as in its ARN.
    pub(super) nlb: Option<String>,
    /// Cluster and service.
    pub(super) ecs: Option<(String, String)>,
    /// Cluster, namespace and service.
    pub(super) eks: Option<(String, String, String)>,
    /// Metrics of the plan's own.
    pub(super) requests: Option<Metric>,
    pub(super) errors: Option<Metric>,
}

/// An Application Load Balancer.
#[derive(Debug, Clone)]
pub(super) struct Alb {
    pub(super) load_balancer: String,
    pub(super) target_group: Option<String>,
    pub(super) shared: bool,
}

/// The measures of a side, for messages.
pub(super) const MEASURES: &[&str] = &[
    "error_rate",
    "p99",
    "requests",
    "memory",
    "cpu",
    "running",
    "restarts",
];

const ALB: &str = "AWS/ApplicationELB";
const NLB: &str = "AWS/NetworkELB";
const ECS: &str = "ECS/ContainerInsights";
const EKS: &str = "ContainerInsights";

impl PresetSide {
    /// The side's requests, as a sum; empty if no metric counts them.
    ///
    /// `RequestCount` leaves out requests that the load balancer refused before it chose a target; without those an error
    /// rate may exceed 100 %.
    pub(super) fn requests(&self, period_mins: u16) -> Vec<Query> {
        let metrics = if let Some(own) = &self.requests {
            vec![own.clone()]
        } else if let Some(alb) = &self.alb {
            let mut metrics = vec![alb.metric("RequestCount", "Sum")];
            metrics.extend(alb.own_errors());
            metrics
        } else if let Some(nlb) = &self.nlb {
            vec![nlb_metric(nlb, "NewFlowCount")]
        } else {
            Vec::new()
        };
        self.queries(metrics, period_mins)
    }

    /// The failed requests, as a sum.
    pub(super) fn errors(&self, period_mins: u16) -> Vec<Query> {
        let metrics = if let Some(own) = &self.errors {
            vec![own.clone()]
        } else if let (Some(alb), None) = (&self.alb, &self.requests) {
            let mut metrics = vec![alb.metric("HTTPCode_Target_5XX_Count", "Sum")];
            metrics.extend(alb.own_errors());
            metrics
        } else if let (Some(nlb), None) = (&self.nlb, &self.requests) {
            vec![
                nlb_metric(nlb, "TCP_Target_Reset_Count"),
                nlb_metric(nlb, "TCP_ELB_Reset_Count"),
            ]
        } else {
            Vec::new()
        };
        self.queries(metrics, period_mins)
    }

    /// The requests that took longer than this; none if no metric measures response times.
    pub(super) fn slow(&self, over_ms: Number, period_mins: u16) -> Option<Query> {
        let seconds = over_ms.value() / 1000.0;
        let metric = self
            .alb
            .as_ref()?
            .metric("TargetResponseTime", &format!("TC({seconds}:)"));
        Some(self.query(metric, period_mins))
    }

    /// Both counts, for a comparison; none if one of them is missing.
    pub(super) fn counted(&self, slow_over_ms: Option<Number>) -> Option<Counted> {
        let mut errors = self.errors(1);
        if let Some(over) = slow_over_ms {
            errors.push(self.slow(over, 1)?);
        }
        let requests = self.requests(1);
        if requests.is_empty() || errors.is_empty() {
            return None;
        }
        Some(Counted { requests, errors })
    }

    /// The measure of this name on this side, with its unit; none if no preset of the side measures it.
    pub(super) fn measure(&self, name: &str, period_mins: u16) -> Option<(Measure, Unit)> {
        if name == "error_rate" {
            let (errors, requests) = (self.errors(period_mins), self.requests(period_mins));
            if errors.is_empty() || requests.is_empty() {
                return None;
            }
            return Some((Measure::Rate { errors, requests }, Unit::Percent));
        }
        if is_percentile(name) {
            let metric = self.alb.as_ref()?.metric("TargetResponseTime", name);
            let query = self.query(metric, period_mins);
            let times = Number::from(1000);
            return Some((Measure::Series { query, times }, Unit::Millis));
        }
        let (query, unit) = match name {
            "requests" => {
                let mut all = self.requests(period_mins);
                all.truncate(1);
                (all.pop()?, Unit::Plain)
            }
            "memory" | "cpu" => (self.utilization(name, period_mins)?, Unit::Percent),
            "running" | "restarts" => (self.containers(name, period_mins)?, Unit::Plain),
            _ => return None,
        };
        let times = Number::from(1);
        Some((Measure::Series { query, times }, unit))
    }

    /// Memory or processor in percent of what is reserved or allowed.
    fn utilization(&self, name: &str, period_mins: u16) -> Option<Query> {
        if let Some((cluster, service)) = &self.ecs {
            let what = if name == "memory" { "Memory" } else { "Cpu" };
            let used = ecs_metric(cluster, service, &format!("{what}Utilized"));
            let reserved = ecs_metric(cluster, service, &format!("{what}Reserved"));
            return Some(Query::from(Series {
                region: self.region.clone(),
                account: self.account.clone(),
                expression: Some("100 * used / reserved".to_owned()),
                inputs: BTreeMap::from([
                    ("used".to_owned(), used),
                    ("reserved".to_owned(), reserved),
                ]),
                period_mins,
            }));
        }
        let (cluster, namespace, service) = self.eks.as_ref()?;
        let metric = format!("pod_{name}_utilization_over_pod_limit");
        let pods = [
            ("ClusterName", cluster),
            ("Namespace", namespace),
            ("PodName", service),
        ];
        Some(self.query(metric_of(EKS, &metric, &pods, "Average"), period_mins))
    }

    /// The number of running tasks or pods, or of their restarts.
    fn containers(&self, name: &str, period_mins: u16) -> Option<Query> {
        let restarts = name == "restarts";
        if let Some((cluster, service)) = &self.ecs {
            let metric = if restarts {
                ecs_metric(cluster, service, "RestartCount")
            } else {
                ecs_metric(cluster, service, "RunningTaskCount")
            };
            return Some(self.query(metric, period_mins));
        }
        let (cluster, namespace, service) = self.eks.as_ref()?;
        let (metric, dimension, stat) = if restarts {
            ("pod_number_of_container_restarts", "PodName", "Sum")
        } else {
            ("service_number_of_running_pods", "Service", "Average")
        };
        let pods = [
            ("ClusterName", cluster),
            ("Namespace", namespace),
            (dimension, service),
        ];
        Some(self.query(metric_of(EKS, metric, &pods, stat), period_mins))
    }

    /// A metric as a series of this side.
    pub(super) fn query(&self, metric: Metric, period_mins: u16) -> Query {
        Query::from(Series {
            region: self.region.clone(),
            account: self.account.clone(),
            expression: None,
            inputs: BTreeMap::from([("m".to_owned(), metric)]),
            period_mins,
        })
    }

    fn queries(&self, metrics: Vec<Metric>, period_mins: u16) -> Vec<Query> {
        let metrics = metrics.into_iter();
        metrics
            .map(|metric| self.query(metric, period_mins))
            .collect()
    }
}

impl Alb {
    fn metric(&self, name: &str, stat: &str) -> Metric {
        let mut dimensions = vec![("LoadBalancer", &self.load_balancer)];
        dimensions.extend(
            self.target_group
                .as_ref()
                .map(|group| ("TargetGroup", group)),
        );
        metric_of(ALB, name, &dimensions, stat)
    }

    /// The 5xx answers of the load balancer itself; none if it is shared, because they are counted only for the load balancer
    /// as a whole.
    fn own_errors(&self) -> Option<Metric> {
        if self.shared {
            return None;
        }
        let dimensions = [("LoadBalancer", &self.load_balancer)];
        let metric = metric_of(ALB, "HTTPCode_ELB_5XX_Count", &dimensions, "Sum");
        Some(metric)
    }
}

fn nlb_metric(load_balancer: &String, name: &str) -> Metric {
    metric_of(NLB, name, &[("LoadBalancer", load_balancer)], "Sum")
}

fn ecs_metric(cluster: &String, service: &String, name: &str) -> Metric {
    let dimensions = [("ClusterName", cluster), ("ServiceName", service)];
    metric_of(ECS, name, &dimensions, "Average")
}

fn metric_of(namespace: &str, name: &str, dimensions: &[(&str, &String)], stat: &str) -> Metric {
    let mut owned = BTreeMap::new();
    for (key, value) in dimensions {
        owned.insert((*key).to_owned(), (*value).clone());
    }
    Metric {
        namespace: namespace.to_owned(),
        metric: name.to_owned(),
        dimensions: owned,
        stat: stat.to_owned(),
    }
}

/// Returns true for percentiles such as `p50` and `p99.9`.
fn is_percentile(name: &str) -> bool {
    let percent = name
        .strip_prefix('p')
        .and_then(|rest| rest.parse::<f64>().ok());
    percent.is_some_and(|percent| percent > 0.0 && percent < 100.0)
}
