//! What a simulated world is like and what goes wrong in it, as plain values: `plan_file` reads them, `sim` plays them.

use jiff::{SignedDuration, Timestamp};

use crate::engine::units::CutoverName;

/// A world and its troubles. The default is a small service where all is well.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scenario {
    /// Who calls the service, and when.
    pub traffic: Traffic,
    /// What stands between the callers and Route 53.
    pub resolvers: Resolvers,
    /// The new cluster.
    pub new: Cluster,
    /// The old cluster.
    pub old: Cluster,
    /// Alarms that are not as their names say, and those that composite alarms are made of.
    pub alarms: Vec<Alarm>,
    /// What goes wrong, and what people do.
    pub faults: Vec<Fault>,
}

/// Who calls the service, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// Requests a minute, on average over the day.
    pub per_minute: f64,
    /// How far the day's busiest hour lies above the average, as a part of it (0 to 1).
    pub swing: f64,
    /// The busiest hour of the day, UTC (0 to 24).
    pub peak_hour: f64,
    /// The standard deviation of one minute's requests, as a part of what is expected.
    pub noise: f64,
    /// How many push notifications are sent a day, each of which brings 10 to 30 times the requests within seconds.
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

/// What stands between the callers and Route 53.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolvers {
    /// How many caches there are. Few of them make the observed share coarse.
    pub count: u16,
    /// The part of the requests whose resolver or client keeps an answer for hours (0 to 1).
    pub stragglers: f64,
    /// The part of the requests that stays on connections that are open already (0 to 1).
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

/// One cluster when nothing is wrong with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// The requests a minute that it can bear; none for more than will ever come.
    pub capacity: Option<f64>,
    /// The 99th percentile of its response times without load, in milliseconds.
    pub p99_ms: f64,
    /// The part of its requests that fails anyway (0 to 1).
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
    /// Where the traffic goes.
    New,
    /// Where it comes from.
    Old,
}

/// An alarm of which the scenario says more than its name does.
#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    /// Its name in CloudWatch.
    pub name: String,
    /// What it measures; none: as its name says.
    pub measures: Option<Measure>,
    /// Which cluster it watches; none: a fallback alarm the old one, any other the new one.
    pub side: Option<Side>,
    /// How it comes to its state.
    pub evaluation: Evaluation,
    /// The rule of a composite alarm, over other alarms of the scenario or the plan.
    pub rule: Option<String>,
}

/// What a metric alarm measures, and above what it breaches; without a bound, a usual one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Measure {
    /// The part of the requests that failed (0 to 1).
    Errors {
        /// Breaching above this.
        above: Option<f64>,
    },
    /// The 99th percentile of response times.
    Latency {
        /// Breaching above this, in milliseconds.
        above_ms: Option<f64>,
    },
}

/// How a metric alarm comes to its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evaluation {
    /// The period in minutes, at least 1.
    pub period_mins: u32,
    /// How many breaching datapoints make it red (M), at least 1.
    pub datapoints: u32,
    /// Out of how many (N), at least M.
    pub out_of: u32,
    /// What a period without data counts as.
    pub missing: Missing,
    /// How late a datapoint appears after its period's end.
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

/// `TreatMissingData`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// As missing: with no data at all the state is INSUFFICIENT_DATA.
    Missing,
    /// As breaching.
    Breaching,
    /// As fine.
    NotBreaching,
    /// The state stays.
    Ignore,
}

/// Something that goes wrong, or that a person does.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// As it was written.
    pub text: String,
    /// The cutover that it is about; none for all (and, where a step is named, the first that takes it).
    pub cutover: Option<CutoverName>,
    /// What.
    pub what: What,
    /// From when; none for the beginning.
    pub when: Option<When>,
    /// For how long; none for ever.
    pub lasts: Option<SignedDuration>,
}

/// A moment of a rehearsal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// After a step's weights were read back.
    Step {
        /// The step, from 1.
        number: u16,
        /// How long after.
        plus: SignedDuration,
    },
    /// So long after the beginning.
    After(SignedDuration),
    /// At this time.
    At(Timestamp),
}

/// What goes wrong, or what a person does.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// A part of the requests fails.
    Errors {
        /// Where.
        side: Side,
        /// Which part (0 to 1).
        share: f64,
    },
    /// Responses take longer.
    Latency {
        /// Where.
        side: Side,
        /// How many times.
        factor: f64,
    },
    /// Something leaks, and after some hours of service it bites.
    Leak {
        /// Where.
        side: Side,
        /// After how long with traffic.
        bites_after: SignedDuration,
    },
    /// Every request fails.
    Outage {
        /// Where.
        side: Side,
    },
    /// It is slow, and drops requests, for minutes after its load has risen.
    SlowStart {
        /// Where.
        side: Side,
    },
    /// It bears only so much.
    Capacity {
        /// Where.
        side: Side,
        /// Requests a minute.
        per_minute: f64,
    },
    /// Half of the requests fail, and probes see it even without traffic.
    Unhealthy {
        /// Where.
        side: Side,
    },
    /// Whoever calls goes on calling the old side, whatever Route 53 answers: addresses that are written down.
    CallersPinned,
    /// CloudWatch does not answer.
    CloudWatchDown,
    /// Route 53's control plane does not answer. Its name servers do.
    Route53Down,
    /// Route 53's control plane refuses calls as too many.
    Route53Throttled,
    /// The controller is killed; it is started again after the fault, or at once.
    ControllerKilled,
    /// Somebody else writes weights.
    ForeignWrite {
        /// The old side's weight.
        old: u8,
        /// The new side's weight.
        new: u8,
    },
    /// An alarm is in ALARM, whatever it measures.
    AlarmRed {
        /// Which.
        alarm: String,
    },
    /// CloudWatch does not know an alarm.
    AlarmMissing {
        /// Which.
        alarm: String,
    },
    /// An alarm has too little data to judge.
    AlarmNoData {
        /// Which.
        alarm: String,
    },
    /// An alarm says OK, and that its evaluation was not clean.
    AlarmUnclear {
        /// Which.
        alarm: String,
    },
    /// Route 53 refuses changes because it is still at work on an earlier one (`PriorRequestNotComplete`).
    Route53Busy,
    /// Route 53 takes changes, and its replies are lost.
    Route53LosesReplies,
    /// The journal cannot be read or written.
    JournalDown,
    /// Jobs can be neither looked at nor switched.
    JobsDown,
    /// Every hook fails.
    HooksFail,
    /// A push notification brings many times the requests within seconds.
    Push {
        /// How many times.
        factor: f64,
    },
    /// A person pauses; after the fault's time the same person resumes.
    Pause,
    /// A person resumes.
    Resume,
    /// A person takes the traffic back.
    Rollback,
    /// A person takes the traffic back, whatever somebody else wrote.
    RollbackForced,
    /// Approvals take this long. Without it they are given at once.
    ApproveAfter(SignedDuration),
}
