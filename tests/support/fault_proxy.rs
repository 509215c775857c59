//! A proxy before an emulator of DynamoDB: it loses, refuses and holds up calls, from a seed, and counts all of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Response};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

use super::wire::{Doorkeeper, Scissors};

/// The longest request. An item has at most 400 KB.
const BODY_BYTES_MAX: usize = 4 << 20;

/// The content type of DynamoDB's protocol.
const CONTENT_TYPE: &str = "application/x-amz-json-1.0";

/// The headers of a request that are the proxy's own business.
const OWN_HEADERS: [&str; 3] = ["connection", "content-length", "transfer-encoding"];

/// The codes with which DynamoDB refuses a call that comes too fast, with their namespaces.
const TOO_FAST: [&str; 2] = [
    "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
    "com.amazon.coral.availability#ThrottlingException",
];

/// A fault of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ProxyFault {
    /// The emulator applies the call, and the connection is closed without a reply.
    LostReply,
    /// The call is refused with one of the two codes for calls that come too fast. It is not applied.
    Throttled,
    /// The call is answered with status 500. It is not applied.
    ServerError,
    /// The call is not answered. Its connection is closed when the faults change. It is not applied.
    Hang,
    /// The connection is closed at once. The call is not applied.
    Cut,
}

/// The calls of one operation that had the same fault, or none.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CallCount {
    pub(crate) calls: u64,
    /// The bytes of their bodies.
    pub(crate) request_bytes: u64,
    /// The bytes of the bodies with which they were answered; 0 for those that got no answer.
    pub(crate) reply_bytes: u64,
}

/// Calls by operation and fault.
pub(crate) type CallCounts = BTreeMap<(String, Option<ProxyFault>), CallCount>;

/// A proxy on a port of its own. Dropping it ends it and all its connections.
pub(crate) struct FaultProxy {
    endpoint: String,
    shared: Arc<ProxyState>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// The state that the proxy and the test share.
struct ProxyState {
    upstream: SocketAddr,
    /// Each fault with its share of all calls, in percent.
    faults: watch::Sender<Vec<(ProxyFault, u8)>>,
    rng: Mutex<fastrand::Rng>,
    counts: Mutex<CallCounts>,
}

/// The answer to a call.
struct ProxyReply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl FaultProxy {
    /// Starts a proxy before the server at `upstream`, `http://ADDRESS:PORT`. It has no faults yet.
    pub(crate) fn start(upstream: &str, seed: u64) -> Self {
        let upstream = upstream.strip_prefix("http://").expect("plain HTTP");
        let shared = Arc::new(ProxyState {
            upstream: upstream.parse().expect("an address and a port"),
            faults: watch::Sender::new(Vec::new()),
            rng: Mutex::new(fastrand::Rng::with_seed(seed)),
            counts: Mutex::default(),
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

    /// The endpoint to set in a client.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Sets the faults of all calls from now on, each with its share of them in percent. Ends those before.
    pub(crate) fn set(&self, faults: &[(ProxyFault, u8)]) {
        let sum: u32 = faults.iter().map(|(_, percent)| u32::from(*percent)).sum();
        assert!(sum <= 100, "{faults:?}");
        self.shared.faults.send_replace(faults.to_vec());
    }

    /// All calls so far.
    pub(crate) fn counts(&self) -> CallCounts {
        locked(&self.shared.counts).clone()
    }

    /// The number of calls so far that had a fault.
    pub(crate) fn struck(&self, fault: ProxyFault) -> u64 {
        let mut struck = 0;
        for ((_, had), count) in self.counts() {
            if had == Some(fault) {
                struck += count.calls;
            }
        }
        struck
    }

    /// All calls so far, to find out why a test failed.
    pub(crate) fn summary(&self) -> String {
        let mut text = String::new();
        for ((operation, fault), count) in self.counts() {
            let fault = fault.map_or_else(|| "no fault".to_owned(), |fault| format!("{fault:?}"));
            let CallCount {
                calls,
                request_bytes,
                reply_bytes,
            } = count;
            let line = format!(
                "{operation}, {fault}: {calls} calls, {request_bytes} bytes up, {reply_bytes} bytes down"
            );
            writeln!(text, "{line}").expect("a text can be written");
        }
        text
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may have ended by itself; then nobody receives this.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves until it is told to stop. Calls that hang end with the runtime.
fn serve(listener: std::net::TcpListener, shared: Arc<ProxyState>, stopped: oneshot::Receiver<()>) {
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

/// Answers one call, or cuts its connection.
async fn handle(
    State(shared): State<Arc<ProxyState>>,
    ConnectInfo(scissors): ConnectInfo<Scissors>,
    request: Request,
) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else {
        scissors.cut();
        return Response::default();
    };
    // A task of its own, so that a call has its effect even if the client no longer waits for it.
    let passing = tokio::spawn(async move { shared.pass(&head, &body).await });
    let Ok(Some(reply)) = passing.await else {
        scissors.cut();
        return Response::default();
    };
    let mut response = Response::builder().status(reply.status);
    for (name, value) in reply.headers {
        response = response.header(name, value);
    }
    let body = Body::from(reply.body);
    response.body(body).expect("a valid response")
}

impl ProxyState {
    /// Draws the fault of a call and carries it out. `None`: the call gets no answer.
    async fn pass(&self, head: &Parts, body: &[u8]) -> Option<ProxyReply> {
        let mut faults = self.faults.subscribe();
        let fault = self.draw(&faults.borrow());
        let reply = match fault {
            None | Some(ProxyFault::LostReply) => forward(self.upstream, head, body).await.ok(),
            Some(ProxyFault::Throttled) => {
                let code = TOO_FAST[locked(&self.rng).usize(..TOO_FAST.len())];
                Some(refusal(400, code, "Rate exceeded"))
            }
            Some(ProxyFault::ServerError) => {
                let code = "com.amazonaws.dynamodb.v20120810#InternalServerError";
                Some(refusal(500, code, "Internal server error"))
            }
            Some(ProxyFault::Hang) => {
                // It fails only if the proxy ends.
                faults.changed().await.unwrap_or_default();
                None
            }
            Some(ProxyFault::Cut) => None,
        };
        let answer = if fault == Some(ProxyFault::LostReply) {
            None
        } else {
            reply
        };
        self.count(operation(&head.headers), fault, body, answer.as_ref());
        answer
    }

    /// Draws a fault, or none.
    fn draw(&self, faults: &[(ProxyFault, u8)]) -> Option<ProxyFault> {
        let mut drawn = locked(&self.rng).u8(..100);
        for (fault, percent) in faults {
            if drawn < *percent {
                return Some(*fault);
            }
            drawn -= percent;
        }
        None
    }

    fn count(
        &self,
        operation: String,
        fault: Option<ProxyFault>,
        body: &[u8],
        answer: Option<&ProxyReply>,
    ) {
        let reply_bytes = answer.map_or(0, |answer| answer.body.len());
        let mut counts = locked(&self.counts);
        let count = counts.entry((operation, fault)).or_default();
        count.calls += 1;
        count.request_bytes += u64::try_from(body.len()).expect("it is short");
        count.reply_bytes += u64::try_from(reply_bytes).expect("it is short");
    }
}

/// The operation of a call: the last part of `DynamoDB_20120810.PutItem`.
fn operation(headers: &HeaderMap) -> String {
    let target = headers.get("x-amz-target");
    let target = target.and_then(|target| target.to_str().ok());
    let operation = target.and_then(|target| target.rsplit('.').next());
    operation.unwrap_or("unknown").to_owned()
}

/// A refusal in the words of DynamoDB's protocol.
fn refusal(status: u16, code: &str, message: &str) -> ProxyReply {
    let body = json!({ "__type": code, "message": message });
    ProxyReply {
        status,
        headers: vec![("content-type".to_owned(), CONTENT_TYPE.to_owned())],
        body: body.to_string().into_bytes(),
    }
}

/// Asks the emulator. Each call has a connection of its own, and HTTP/1.0: so the reply ends with the connection, and does
/// not come in chunks.
async fn forward(upstream: SocketAddr, head: &Parts, body: &[u8]) -> std::io::Result<ProxyReply> {
    let mut request = format!("{} {} HTTP/1.0\r\n", head.method, head.uri).into_bytes();
    for (name, value) in &head.headers {
        if !OWN_HEADERS.contains(&name.as_str()) {
            request.extend_from_slice(name.as_str().as_bytes());
            request.extend_from_slice(b": ");
            request.extend_from_slice(value.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
    }
    let length = format!(
        "content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    request.extend_from_slice(length.as_bytes());
    request.extend_from_slice(body);
    let mut stream = TcpStream::connect(upstream).await?;
    stream.write_all(&request).await?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await?;
    read_reply(&reply).ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

/// Reads a whole reply. Of its headers only those are kept that a client of DynamoDB may read.
fn read_reply(reply: &[u8]) -> Option<ProxyReply> {
    let end = reply.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let (head, body) = (&reply[..end], &reply[end + 4..]);
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let mut headers = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        let name = name.to_ascii_lowercase();
        if name == "content-type" || name.starts_with("x-amz") {
            headers.push((name, value.to_owned()));
        }
    }
    Some(ProxyReply {
        status,
        headers,
        body: body.to_vec(),
    })
}
