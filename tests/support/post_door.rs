//! An HTTP server on the loopback that stands in for webhooks, Slack and SNS, and keeps the requests.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::Response;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

const BODY_BYTES_MAX: usize = 4 << 20;

/// A request that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    pub(crate) path: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Posted {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a JSON body")
    }
}

/// The behaviour of the server. The default accepts everything at once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mood {
    /// How long each reply takes.
    pub(crate) takes: Duration,
    /// The status of every reply. Its text repeats the request's path. `None` means success.
    pub(crate) status: Option<u16>,
    /// The error with which the Slack API refuses. `None` if it accepts.
    pub(crate) slack_error: Option<&'static str>,
}

#[derive(Default)]
struct Shared {
    posted: Mutex<Vec<Posted>>,
    mood: Mutex<Mood>,
}

/// A running server. Dropping this ends it and all its connections.
pub(crate) struct PostDoor {
    address: String,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl PostDoor {
    /// Starts a server on a free port.
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket option");
        let address = listener.local_addr().expect("a bound socket");
        let (stop, stopped) = oneshot::channel();
        let served = Arc::clone(&shared);
        let thread = std::thread::spawn(move || serve(listener, served, stopped));
        Self {
            address: format!("http://{address}"),
            shared,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Returns the URL of a path on this server.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// Returns the requests so far at paths that begin with `path`, oldest first.
    pub(crate) fn posted(&self, path: &str) -> Vec<Posted> {
        let all = locked(&self.shared.posted);
        let at = all.iter().filter(|posted| posted.path.starts_with(path));
        at.cloned().collect()
    }

    /// Changes the server's behaviour.
    pub(crate) fn mood(&self, mood: Mood) {
        *locked(&self.shared.mood) = mood;
    }
}

impl Drop for PostDoor {
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

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(listener: std::net::TcpListener, shared: Arc<Shared>, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async move {
        let listener = TcpListener::from_std(listener).expect("a socket");
        let router = Router::new().fallback(handle).with_state(shared);
        tokio::select! {
            served = axum::serve(listener, router) => served.expect("serving never ends"),
            _ = stopped => {}
        }
    });
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
    let mut headers = BTreeMap::new();
    for (name, value) in &parts.headers {
        let text = value.to_str().unwrap_or("").to_owned();
        headers.insert(name.to_string(), text);
    }
    let posted = Posted {
        path: parts.uri.to_string(),
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    };
    let (mood, number) = {
        let mut all = locked(&shared.posted);
        all.push(posted.clone());
        (locked(&shared.mood).clone(), all.len())
    };
    tokio::time::sleep(mood.takes).await;
    let answer = Response::builder();
    if let Some(status) = mood.status {
        let answer = answer.status(status).header("location", "/elsewhere");
        let said = format!("refused: {}", posted.path);
        return answer.body(Body::from(said)).expect("an answer");
    }
    let said = if posted.path.starts_with("/api/") {
        match mood.slack_error {
            Some(error) => json!({ "ok": false, "error": error }).to_string(),
            None => json!({ "ok": true, "channel": "C0123", "ts": format!("1700.{number}") })
                .to_string(),
        }
    } else {
        "ok".to_owned()
    };
    answer.body(Body::from(said)).expect("an answer")
}
