//! The simulated world behind an HTTP server on the loopback, which speaks the protocols of AWS and can fail.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, DATE};
use axum::http::{HeaderMap, Response};
use cutover::engine::plan::Account;
use cutover::sim::cloudwatch::CloudWatch;
use cutover::sim::fault::{Fault, Faults, Lasting};
use cutover::sim::route53::{Quotas, Route53, Route53Settings};
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::cloudwatch_door::{self, CBOR_PATH, JSON_TARGET, Protocol, Reply};
use super::route53_door::{self, Incoming};
use super::sts_door;
use super::switch_door::{self, Switches};
use super::wire::{Doorkeeper, Scissors};

/// The simulated world behind the server.
#[derive(Default)]
pub(crate) struct World {
    /// The model of Route 53.
    pub(crate) route53: Route53,
    /// The model of `CloudWatch`, with all regions.
    pub(crate) cloudwatch: CloudWatch,
    /// Rules and schedules, of all regions.
    pub(crate) switches: Switches,
}

/// A call that reached the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// `route53`, `monitoring`, `sts`, `events`, `scheduler` or `sns`.
    pub(crate) service: &'static str,
    /// The operation, for example `GetChange`.
    pub(crate) operation: String,
    /// The signer of the call. Its fields are empty if the call was not signed.
    pub(crate) signer: Signer,
    /// The time of the call's arrival, by the server's clock.
    pub(crate) at: Timestamp,
    /// The status of the reply. `None` if the connection was cut instead.
    pub(crate) status: Option<u16>,
    /// The request itself.
    pub(crate) request: Arc<Incoming>,
}

/// The parts of a call's signature that tests need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Signer {
    /// The access key.
    pub(crate) access_key: String,
    /// The region.
    pub(crate) region: String,
}

/// A running server with its own simulated world. Dropping this ends it and all its connections.
pub(crate) struct TestBed {
    endpoint: String,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The state that the server and the test share.
#[derive(Default)]
struct Shared {
    world: Mutex<World>,
    faults: Mutex<Faults>,
    calls: Mutex<Vec<Call>>,
    odd: Mutex<Vec<(String, Oddity)>>,
    skew: Mutex<SignedDuration>,
}

/// A function that replaces the body of a reply.
pub(crate) type Oddity = fn(&str) -> String;

/// The outcome of a request.
enum Outcome {
    /// This reply is sent.
    Reply(Reply),
    /// The connection is closed without a reply.
    Cut,
}

/// The service and the operation of a request.
enum Target {
    Route53(route53_door::Route),
    Signals(Protocol, String),
    Tokens(String),
    Rules(String),
    Schedules(&'static str),
    Publish,
    Unknown,
}

const BODY_BYTES_MAX: usize = 8 << 20;

impl TestBed {
    /// Starts a server on a free port. Changes propagate in one second, and no call is throttled.
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        locked(&shared.world).route53 = Route53::new(Route53Settings {
            propagation: SignedDuration::from_secs(1),
            ..Route53Settings::default()
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket option");
        let address = listener.local_addr().expect("a bound socket");
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::spawn(move || serve(listener, served, stopped));
        Self {
            endpoint: format!("http://{address}"),
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Returns the endpoint for AWS clients.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Locks the simulated world. The server waits until the lock is dropped.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        locked(&self.shared.world)
    }

    /// Returns all calls so far, in the order of their replies.
    pub(crate) fn calls(&self) -> Vec<Call> {
        locked(&self.shared.calls).clone()
    }

    /// Returns the number of calls so far, by operation.
    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for call in locked(&self.shared.calls).iter() {
            *counts.entry(call.operation.clone()).or_default() += 1;
        }
        counts
    }

    /// Adds a fault for one operation. `None` means all operations.
    pub(crate) fn fault(&self, operation: Option<&str>, fault: Fault, lasting: Lasting) {
        locked(&self.shared.faults).add(operation, fault, lasting);
    }

    /// Replaces the body of the next reply to an operation. Its status and headers stay.
    pub(crate) fn answer_oddly(&self, operation: &str, odd: Oddity) {
        locked(&self.shared.odd).push((operation.to_owned(), odd));
    }

    /// Returns the number of replacements that have not been used yet.
    pub(crate) fn odd_replies_left(&self) -> usize {
        locked(&self.shared.odd).len()
    }

    /// Removes all faults.
    pub(crate) fn clear_faults(&self) {
        locked(&self.shared.faults).clear();
    }

    /// Turns Route 53's documented quotas on or off.
    pub(crate) fn throttle(&self, on: bool) {
        self.world().route53.settings.quotas = on.then(Quotas::default);
    }

    /// Sets the server's clock minus the real one. The `Date` header and the simulated world use the server's clock.
    pub(crate) fn set_clock_skew(&self, skew: SignedDuration) {
        *locked(&self.shared.skew) = skew;
    }

    /// Returns the time of the server's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.shared.now()
    }
}

impl Drop for TestBed {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // If the thread has ended by itself, nobody receives this.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Serves until it is stopped. Everything that the server started ends with its runtime.
fn serve(listener: std::net::TcpListener, shared: Arc<Shared>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async move {
        let listener = Doorkeeper(TcpListener::from_std(listener).expect("a socket"));
        let router = Router::new().fallback(handle).with_state(shared);
        let service = router.into_make_service_with_connect_info::<Scissors>();
        tokio::select! {
            served = axum::serve(listener, service) => served.expect("serving never ends"),
            _ = stopped => {}
        }
    });
}

/// Answers a request, or cuts its connection.
async fn handle(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    request: Request,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        scissors.cut();
        return Response::default();
    };
    let incoming = Incoming {
        method: head.method.as_str().to_owned(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        body: body.to_vec(),
    };
    let target = target(&incoming, &head.headers);
    let signer = signer(&head.headers);
    let answering = Arc::clone(&shared);
    // The request runs in its own task, so that it has its effect even if the client no longer waits.
    let outcome =
        tokio::spawn(async move { answering.answer(target, signer, incoming).await }).await;
    match outcome {
        Ok(Outcome::Reply(reply)) => {
            let date = jiff::fmt::rfc2822::DateTimePrinter::new();
            let date = date.timestamp_to_rfc9110_string(&shared.now());
            let mut response = Response::builder()
                .status(reply.status)
                .header(DATE, date.expect("a date of this era"));
            for (name, value) in reply.headers {
                response = response.header(name, value);
            }
            let body = Body::from(reply.body);
            response.body(body).expect("a valid response")
        }
        Ok(Outcome::Cut) | Err(_) => {
            scissors.cut();
            Response::default()
        }
    }
}

impl Shared {
    #[expect(
        clippy::disallowed_methods,
        reason = "the real clock of the stand-in for AWS; clients compare it with theirs"
    )]
    fn now(&self) -> Timestamp {
        let skew = *locked(&self.skew);
        Timestamp::now()
            .saturating_add(skew)
            .expect("a skew of this era")
    }

    /// Answers a request, with its faults, and keeps the call.
    async fn answer(&self, target: Target, signer: Signer, incoming: Incoming) -> Outcome {
        let (service, operation) = match &target {
            Target::Route53(route) => ("route53", route.operation.to_owned()),
            Target::Signals(_, operation) => ("monitoring", operation.clone()),
            Target::Tokens(operation) => ("sts", operation.clone()),
            Target::Rules(operation) => ("events", operation.clone()),
            Target::Schedules(operation) => ("scheduler", (*operation).to_owned()),
            Target::Publish => ("sns", switch_door::PUBLISH.to_owned()),
            Target::Unknown => ("unknown", incoming.path.clone()),
        };
        let at = self.now();
        let outcome = self.pass(&target, &signer, &operation, &incoming).await;
        let status = match &outcome {
            Outcome::Reply(reply) => Some(reply.status),
            Outcome::Cut => None,
        };
        locked(&self.calls).push(Call {
            service,
            operation,
            signer,
            at,
            status,
            request: Arc::new(incoming),
        });
        outcome
    }

    async fn pass(
        &self,
        target: &Target,
        signer: &Signer,
        operation: &str,
        incoming: &Incoming,
    ) -> Outcome {
        let faults = locked(&self.faults).take(operation, self.now());
        let mut reply_lost = false;
        for fault in faults {
            match fault {
                Fault::Error {
                    status,
                    code,
                    message,
                } => return Outcome::Reply(refusal(target, status, &code, &message)),
                Fault::DropBefore => return Outcome::Cut,
                Fault::LoseReply => reply_lost = true,
                Fault::Delay(delay) => wait(delay).await,
            }
        }
        let mut reply = self.perform(target, signer, incoming);
        let mut odd = locked(&self.odd);
        if let Some(index) = odd.iter().position(|(of, _)| of == operation) {
            let (_, change) = odd.remove(index);
            reply.body = change(&String::from_utf8_lossy(&reply.body)).into_bytes();
        }
        drop(odd);
        if reply_lost {
            Outcome::Cut
        } else {
            Outcome::Reply(reply)
        }
    }

    fn perform(&self, target: &Target, signer: &Signer, incoming: &Incoming) -> Reply {
        let now = self.now();
        let (region, body) = (signer.region.as_str(), incoming.body.as_slice());
        match target {
            Target::Route53(route) => {
                let model = &mut locked(&self.world).route53;
                let account = Account::default();
                let (status, body) = route53_door::handle(model, &account, route, incoming, now);
                Reply::xml(status, body)
            }
            Target::Signals(protocol, operation) => {
                let model = &mut locked(&self.world).cloudwatch;
                match protocol {
                    Protocol::Cbor => cloudwatch_door::handle(model, region, operation, body, now),
                    Protocol::Json => {
                        cloudwatch_door::handle_json(model, region, operation, body, now)
                    }
                }
            }
            Target::Tokens(operation) => sts_door::handle(operation, body, now),
            Target::Rules(operation) => {
                let model = &mut locked(&self.world).switches;
                switch_door::handle_rules(model, operation, body)
            }
            Target::Schedules(_) => {
                let model = &mut locked(&self.world).switches;
                switch_door::handle_schedules(model, incoming)
            }
            Target::Publish => switch_door::published(),
            Target::Unknown => refusal(target, 404, "UnknownOperationException", &incoming.path),
        }
    }
}

/// Waits in real time.
async fn wait(delay: std::time::Duration) {
    tokio::time::sleep(delay).await;
}

/// Returns the service and the operation of a request.
fn target(incoming: &Incoming, headers: &HeaderMap) -> Target {
    if let Some(operation) = incoming.path.strip_prefix(CBOR_PATH) {
        return Target::Signals(Protocol::Cbor, operation.to_owned());
    }
    let named = headers
        .get("x-amz-target")
        .and_then(|name| name.to_str().ok());
    if let Some(operation) = named.and_then(|name| name.strip_prefix(JSON_TARGET)) {
        return Target::Signals(Protocol::Json, operation.to_owned());
    }
    if let Some(operation) = named.and_then(|name| name.strip_prefix(switch_door::RULES_TARGET)) {
        return Target::Rules(operation.to_owned());
    }
    if let Some(operation) = switch_door::schedules_operation(&incoming.method, &incoming.path) {
        return Target::Schedules(operation);
    }
    if incoming.path == "/"
        && let Some(operation) = sts_door::operation(&incoming.body)
    {
        if operation == switch_door::PUBLISH {
            return Target::Publish;
        }
        return Target::Tokens(operation);
    }
    match route53_door::route(&incoming.method, &incoming.path) {
        Some(route) => Target::Route53(route),
        None => Target::Unknown,
    }
}

/// Reads the signer from the signature's scope: `Credential=KEY/DATE/REGION/SERVICE/aws4_request`.
fn signer(headers: &HeaderMap) -> Signer {
    let header = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    let scope = header.and_then(|text| Some(text.split_once("Credential=")?.1));
    let mut parts = scope.unwrap_or_default().split('/');
    Signer {
        access_key: parts.next().unwrap_or_default().to_owned(),
        region: parts.nth(1).unwrap_or_default().to_owned(),
    }
}

/// Returns an error in the protocol of the request.
fn refusal(target: &Target, status: u16, code: &str, message: &str) -> Reply {
    match target {
        Target::Signals(protocol, _) => cloudwatch_door::failure(*protocol, status, code, message),
        Target::Rules(_) | Target::Schedules(_) => switch_door::failure(status, code, message),
        Target::Route53(_) | Target::Tokens(_) | Target::Publish | Target::Unknown => {
            Reply::xml(status, route53_door::error_body(status, code, message))
        }
    }
}

/// Locks a mutex. A poisoned lock is usable, because no holder leaves the data half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
