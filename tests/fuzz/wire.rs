//! AWS in process, in front of the simulated services. Some replies are tampered with on their way.

use std::fmt;
use std::sync::{Arc, Mutex};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use cutover::aws::Options;
use cutover::engine::plan::Account;
use cutover::ports::Clock;
use cutover::sim::cloudwatch::CloudWatch;
use cutover::sim::route53::Route53;
use fastrand::Rng;
use jiff::Timestamp;

use super::mutate;
use crate::hunt::world::locked;
use crate::support::cloudwatch_door::{self, CBOR_PATH, Reply};
use crate::support::route53_door::{self, Incoming};
use crate::support::sts_door;

/// The region of all services.
pub(super) const REGION: &str = "us-east-1";

/// The replies that are kept, to be sent again as answers to other requests.
const KEPT: usize = 8;

/// HTTP statuses that AWS sends, and some that only a proxy would send.
const STATUSES: [u16; 14] = [
    200, 201, 204, 206, 301, 304, 400, 403, 404, 413, 429, 500, 503, 599,
];

/// Dates of replies that may break the clock comparison.
const DATES: [&str; 8] = [
    "",
    "yesterday",
    "Fri, 31 Dec 9999 23:59:59 GMT",
    "Thu, 01 Jan 1970 00:00:00 GMT",
    "Sat, 00 Jan 0000 00:00:00 GMT",
    "Fri, 31 Dec 99999 23:59:59 GMT",
    "Mon, 29 Feb 2027 24:60:61 +9999",
    "Tue, 01 Dec 2026 09:00:00 -2359",
];

/// Tampers with replies. Clones are the same.
#[derive(Clone)]
pub(super) struct Wire {
    services: Services,
    tampering: Arc<Mutex<Tampering>>,
}

/// The simulated services.
#[derive(Clone)]
pub(super) struct Services {
    pub(super) route53: Arc<Mutex<Route53>>,
    pub(super) cloudwatch: Arc<Mutex<CloudWatch>>,
    pub(super) clock: Arc<dyn Clock>,
    /// Called after each request was carried out.
    pub(super) done: Arc<dyn Fn() + Send + Sync>,
}

struct Tampering {
    rng: Rng,
    /// One in this many replies is tampered with; zero means none.
    of: u32,
    kept: Vec<Reply>,
    /// The tampered replies, for people.
    log: String,
}

/// The result of a request.
enum Answer {
    Reply(Reply, Option<String>),
    /// The connection breaks.
    Lost,
}

impl Wire {
    pub(super) fn new(services: Services, rng: Rng, of: u32) -> Self {
        let tampering = Tampering {
            rng,
            of,
            kept: Vec::new(),
            log: String::new(),
        };
        Self {
            services,
            tampering: Arc::new(Mutex::new(tampering)),
        }
    }

    /// From now on, one in `of` replies is tampered with; zero means none.
    pub(super) fn tamper_one_of(&self, of: u32) {
        locked(&self.tampering).of = of;
    }

    pub(super) fn log(&self) -> String {
        locked(&self.tampering).log.clone()
    }

    /// Options for an SDK that reaches only these services.
    pub(super) fn options(&self) -> Options {
        let credentials = Credentials::new("AKIAIOSFODNN7EXAMPLE", "key", None, None, "test");
        Options {
            region: Some(REGION.to_owned()),
            endpoint_url: Some("http://aws.test".to_owned()),
            credentials: Some(SharedCredentialsProvider::new(credentials)),
            http_client: Some(SharedHttpClient::new(self.clone())),
            isolated: true,
            ..Options::from_environment(Arc::clone(&self.services.clock))
        }
    }
}

impl Services {
    fn answer(&self, request: &HttpRequest) -> (String, Reply) {
        let now = self.clock.now();
        let body = request.body().bytes().unwrap_or_default().to_vec();
        let uri = request.uri();
        let path = uri.split_once("aws.test").map_or(uri, |(_, path)| path);
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        if let Some(operation) = path.strip_prefix(CBOR_PATH) {
            let mut model = locked(&self.cloudwatch);
            let reply = cloudwatch_door::handle(&mut model, REGION, operation, &body, now);
            return (operation.to_owned(), reply);
        }
        if let Some(route) = route53_door::route(request.method(), path) {
            let incoming = Incoming {
                method: request.method().to_owned(),
                path: path.to_owned(),
                query: query.to_owned(),
                body,
            };
            let mut model = locked(&self.route53);
            let (status, body) =
                route53_door::handle(&mut model, &Account::default(), &route, &incoming, now);
            return (route.operation.to_owned(), Reply::xml(status, body));
        }
        let operation = sts_door::operation(&body).unwrap_or_default();
        let reply = sts_door::handle(&operation, &body, now);
        (operation, reply)
    }
}

impl Tampering {
    fn pass(&mut self, operation: &str, mut reply: Reply) -> Answer {
        self.kept.push(reply.clone());
        if self.kept.len() > KEPT {
            self.kept.remove(0);
        }
        if self.of == 0 || self.rng.u32(0..self.of) > 0 {
            return Answer::Reply(reply, None);
        }
        let rng = &mut self.rng;
        let mut date = None;
        let what = match rng.u8(0..16) {
            0..=5 => {
                reply.body = broken(rng, &reply.body);
                "another body"
            }
            6 => {
                reply.body = mutate::bytes(rng, &reply.body);
                "other bytes"
            }
            7 => {
                reply.body.clear();
                "no body"
            }
            8 => {
                reply.body.truncate(rng.usize(0..=reply.body.len()));
                "a part of the body"
            }
            9 => {
                reply.status = STATUSES[rng.usize(0..STATUSES.len())];
                "another status"
            }
            10 | 11 => {
                reply = self.kept[rng.usize(0..self.kept.len())].clone();
                "an earlier reply"
            }
            12 => {
                date = Some(mutate::one(rng, &DATES).to_owned());
                "another date"
            }
            13 => {
                reply.headers.clear();
                "no headers"
            }
            14 => {
                let name = mutate::one(
                    rng,
                    &[
                        "x-amzn-errortype",
                        "content-type",
                        "smithy-protocol",
                        "retry-after",
                    ],
                );
                let value = mutate::text(rng, "ThrottlingException:http://x/", &[]);
                reply
                    .headers
                    .push((name, value.chars().take(5_000).collect()));
                "another header"
            }
            _ => {
                self.note(operation, "no reply", &reply);
                return Answer::Lost;
            }
        };
        self.note(operation, what, &reply);
        Answer::Reply(reply, date)
    }

    fn note(&mut self, operation: &str, what: &str, reply: &Reply) {
        let body = String::from_utf8_lossy(&reply.body);
        let end = body.floor_char_boundary(1_500);
        let line = format!("{operation}: {what}: {} {:?}\n", reply.status, &body[..end]);
        self.log.push_str(&line);
    }
}

/// A broken body: XML and JSON are changed as text, everything else as bytes.
pub(super) fn broken(rng: &mut Rng, body: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(body) {
        Ok(words) if body.first() == Some(&b'<') || body.first() == Some(&b'{') => {
            mutate::text(rng, words, &[]).into_bytes()
        }
        _ => mutate::bytes(rng, body),
    }
}

/// A reply as HTTP. Text that no header can hold is left out.
fn response(reply: Reply, date: &str) -> Option<HttpResponse> {
    let mut response = HttpResponse::new(reply.status.try_into().ok()?, SdkBody::from(reply.body));
    let headers = response.headers_mut();
    drop(headers.try_insert("date".to_owned(), date.to_owned()));
    for (name, value) in reply.headers {
        drop(headers.try_insert(name, value));
    }
    Some(response)
}

/// A time in the format of the header `Date`.
fn date_of(now: Timestamp) -> String {
    now.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wire")
    }
}

impl HttpConnector for Wire {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (operation, reply) = self.services.answer(&request);
        (self.services.done)();
        let answer = locked(&self.tampering).pass(&operation, reply);
        let response = match answer {
            Answer::Reply(reply, date) => {
                let date = date.unwrap_or_else(|| date_of(self.services.clock.now()));
                response(reply, &date)
            }
            Answer::Lost => None,
        };
        HttpConnectorFuture::ready(match response {
            Some(response) => Ok(response),
            None => Err(ConnectorError::io("connection reset by peer".into())),
        })
    }
}

impl HttpClient for Wire {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
