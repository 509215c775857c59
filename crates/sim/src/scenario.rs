//! A simulated world and its faults, as plain values: `plan_file` reads them, `sim` plays them.

use jiff::{SignedDuration, Timestamp};

use cutover_engine::units::CutoverName;

/// A simulated world and its faults. The default is a small service without faults.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scenario {
    /// The requests to the service.
    pub traffic: Traffic,
    /// The caches between the callers and Route 53.
    pub resolvers: Resolvers,
    /// The new cluster.
    pub new: Cluster,
    /// The old cluster.
    pub old: Cluster,
    /// Composite alarms, their parts, and alarms that do not measure what their names suggest.
    pub alarms: Vec<Alarm>,
    /// The faults, and the actions of people.
    pub faults: Vec<ScenarioFault>,
}

/// The requests to the service.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// Requests a minute, on average over the day.
    pub per_minute: f64,
    /// How far the day's busiest hour lies above the average, as a part of the average (0 to 1).
    pub swing: f64,
    /// The busiest hour of the day, UTC (0 to 24).
    pub peak_hour: f64,
    /// The standard deviation of one minute's requests, as a part of the expected number.
    pub noise: f64,
    /// The push notifications a day; each brings 10 to 30 times the requests within seconds.
    pub pushes_per_day: f64,
}

impl Default for Traffic {
    fn default() -> Self {
        Self {
            per_minute: 600.0,
            swing: 0.5,
            peak_hour: 12.0,
            noise: 0.05,
            pushes_per_day: 0.5,
        }
    }
}

/// The caches between the callers and Route 53.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolvers {
    /// The number of caches. If there are few, the observed share is coarse.
    pub count: u16,
    /// The part of the requests whose resolver or client keeps an answer for hours (0 to 1).
    pub stragglers: f64,
    /// The part of the requests that uses connections that are already open (0 to 1).
    pub keep_alive: f64,
}

impl Default for Resolvers {
    fn default() -> Self {
        Self {
            count: 100,
            stragglers: 0.01,
            keep_alive: 0.25,
        }
    }
}

/// One cluster, without faults.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// The requests a minute that it can serve; none if there is no limit.
    pub capacity: Option<f64>,
    /// The 99th percentile of its response times without load, in milliseconds.
    pub p99_ms: f64,
    /// The part of its requests that always fails (0 to 1).
    pub errors: f64,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            capacity: None,
            p99_ms: 250.0,
            errors: 0.001,
        }
    }
}

/// One of the two clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// The cluster that the traffic goes to.
    New,
    /// The cluster that the traffic comes from.
    Old,
}

/// An alarm that the scenario describes.
#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    /// Its name in CloudWatch.
    pub name: String,
    /// The quantity that it measures; if none, its name decides.
    pub measures: Option<Measure>,
    /// The cluster that it watches; if none, the old one for a fallback alarm and the new one for any other.
    pub side: Option<Side>,
    /// How its state is evaluated.
    pub evaluation: Evaluation,
    /// The rule of a composite alarm, over other alarms of the scenario or the plan.
    pub rule: Option<String>,
}

/// The quantity that a metric alarm measures, and its threshold; if none, a default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// The part of the requests that failed (0 to 1).
    Errors {
        /// The threshold (0 to 1).
        above: Option<f64>,
    },
    /// The 99th percentile of response times.
    Latency {
        /// The threshold, in milliseconds.
        above_ms: Option<f64>,
    },
}

/// How the state of a metric alarm is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evaluation {
    /// The period in minutes, at least 1.
    pub period_mins: u32,
    /// The breaching datapoints that make it red (M), at least 1.
    pub datapoints: u32,
    /// The periods that are evaluated (N), at least M.
    pub out_of: u32,
    /// How a period without data counts.
    pub missing: Missing,
    /// The time from the end of a period until its datapoint appears.
    pub delay: SignedDuration,
}

impl Default for Evaluation {
    fn default() -> Self {
        Self {
            period_mins: 1,
            datapoints: 3,
            out_of: 5,
            missing: Missing::NotBreaching,
            delay: SignedDuration::from_secs(60),
        }
    }
}

/// How a period without data counts (`TreatMissingData`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// As missing: without any data the state is INSUFFICIENT_DATA.
    Missing,
    /// As breaching.
    Breaching,
    /// As not breaching.
    NotBreaching,
    /// Not at all: the state stays.
    Ignore,
}

/// A fault, or an action of a person.
#[derive(Debug, Clone, PartialEq)]
pub struct ScenarioFault {
    /// The text in the scenario.
    pub text: String,
    /// The cutover that it concerns; none for all (and, if it names a step, the first cutover that takes it).
    pub cutover: Option<CutoverName>,
    /// The kind of fault or action.
    pub kind: FaultKind,
    /// When it begins; none for the start of the rehearsal.
    pub start: Option<FaultStart>,
    /// How long it lasts; none for ever.
    pub lasts: Option<SignedDuration>,
}

/// The moment at which a fault begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultStart {
    /// Some time after a step's weights were read back.
    Step {
        /// The step, from 1.
        number: u16,
        /// The time after that.
        plus: SignedDuration,
    },
    /// This long after the start of the rehearsal.
    After(SignedDuration),
    /// At this time.
    At(Timestamp),
}

/// The kinds of faults, and the actions of people.
#[derive(Debug, Clone, PartialEq)]
pub enum FaultKind {
    /// A cluster gets worse.
    Cluster {
        /// The cluster.
        side: Side,
        /// In which way.
        trouble: ClusterTrouble,
    },
    /// A push notification multiplies the requests within seconds.
    Push {
        /// The factor.
        factor: f64,
    },
    /// All callers stay on the old side, whatever Route 53 answers, for example because of fixed addresses.
    CallersPinned,
    /// CloudWatch reports an alarm wrongly, whatever it measures.
    Alarm {
        /// Its name.
        alarm: String,
        /// In which way.
        trouble: AlarmTrouble,
    },
    /// CloudWatch does not answer.
    CloudWatchDown,
    /// Route 53's control plane fails. Its name servers still answer.
    Route53(Route53Trouble),
    /// Another writer changes the weights.
    ForeignWrite {
        /// The old side's weight.
        old: u8,
        /// The new side's weight.
        new: u8,
    },
    /// The controller is killed. It starts again when the fault ends, or at once if the fault has no length.
    ControllerKilled,
    /// The journal cannot be read or written.
    JournalDown,
    /// Jobs can be neither read nor switched.
    JobsDown,
    /// Every hook fails.
    HooksFail,
    /// A person does something.
    Person(PersonAct),
}

/// The ways in which a cluster gets worse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ClusterTrouble {
    /// A part of the requests fails.
    Errors {
        /// The part (0 to 1).
        share: f64,
    },
    /// Responses take longer.
    Latency {
        /// The factor.
        factor: f64,
    },
    /// Memory leaks, and requests fail after some hours of traffic.
    Leak {
        /// The time with traffic after which requests begin to fail.
        bites_after: SignedDuration,
    },
    /// Every request fails.
    Outage,
    /// The cluster is slow and drops requests for some minutes after its load has risen.
    SlowStart,
    /// The cluster can serve only a limited number of requests.
    Capacity {
        /// Requests a minute.
        per_minute: f64,
    },
    /// Half of the requests fail, and health probes notice even without traffic.
    Unhealthy,
}

/// The ways in which CloudWatch reports an alarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlarmTrouble {
    /// It is in ALARM.
    Red,
    /// It does not exist.
    Missing,
    /// It is in INSUFFICIENT_DATA.
    NoData,
    /// Its evaluation was incomplete (`EvaluationState` is `PARTIAL_DATA`).
    Unclear,
}

/// The ways in which Route 53's control plane fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route53Trouble {
    /// It does not answer.
    Down,
    /// It throttles all calls.
    Throttled,
    /// It refuses changes because it is still processing an earlier one (`PriorRequestNotComplete`).
    Busy,
    /// It applies changes, but its replies are lost.
    LosesReplies,
}

/// The actions of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonAct {
    /// Pauses the cutover, and resumes it when the fault ends.
    Pause,
    /// Resumes the cutover.
    Resume,
    /// Rolls back.
    Rollback,
    /// Rolls back, even if another writer changed the weights.
    RollbackForced,
    /// Gives approvals this long after they are asked for. Without this they are given at once.
    ApproveAfter(SignedDuration),
}

/// The party that a fault touches first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touched {
    /// A cluster gets worse, or looks worse, so that a revert may follow.
    Cluster,
    /// The controller cannot read or act.
    Controller,
    /// The weights, the callers, or the controller's life.
    World,
    /// Nobody: a person acts.
    Nobody,
}

impl FaultKind {
    /// Returns the party that it touches first.
    pub fn touches(&self) -> Touched {
        match self {
            Self::Cluster { .. }
            | Self::Push { .. }
            | Self::Alarm {
                trouble: AlarmTrouble::Red,
                ..
            } => Touched::Cluster,
            Self::Alarm {
                trouble: AlarmTrouble::Missing | AlarmTrouble::NoData | AlarmTrouble::Unclear,
                ..
            }
            | Self::CloudWatchDown
            | Self::Route53(_)
            | Self::JournalDown
            | Self::JobsDown
            | Self::HooksFail => Touched::Controller,
            Self::CallersPinned | Self::ForeignWrite { .. } | Self::ControllerKilled => {
                Touched::World
            }
            Self::Person(_) => Touched::Nobody,
        }
    }

    /// Returns the alarm whose state or presence it changes, and how; none if it changes none.
    pub fn alarm(&self) -> Option<(&str, AlarmTrouble)> {
        if let Self::Alarm { alarm, trouble } = self {
            return Some((alarm, *trouble));
        }
        None
    }
}
