//! AWS in process: an HTTP client that answers by a script and keeps what was asked.

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
use cutover::aws::{Aws, Options, connect};
use cutover::engine::plan::Account;
use cutover::ports::Clock;
use jiff::Timestamp;

/// What the tests' credentials are; none of it may ever be shown.
pub(super) const SECRETS: [&str; 3] = [
    "AKIAIOSFODNN7EXAMPLE",
    "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
    "FwoGZXIvYXdzEBYaDkExampleSessionToken",
];
/// When the tests' clock stands.
pub(super) const NOW: &str = "2026-11-21T10:00:00Z";
/// What AWS's clock says in every reply: five seconds later.
const DATE: &str = "Sat, 21 Nov 2026 10:00:05 GMT";
const ROUTE53_NS: &str = "https://route53.amazonaws.com/doc/2013-04-01/";

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) uri: String,
    pub(super) signature: String,
    /// `X-Amz-Target`; empty if the service has none.
    pub(super) target: String,
    pub(super) body: Vec<u8>,
}

/// What the script says.
pub(super) enum Answer {
    Reply(u16, &'static str, Vec<u8>),
    /// A reply of Route 53 with this `Date`.
    Dated(&'static str, Vec<u8>),
    /// Nobody ever answers.
    Silence,
    /// The connection breaks before a reply.
    Lost,
}

type Script = dyn Fn(&Asked, usize) -> Answer + Send + Sync;

/// The fake. Clones share the record.
#[derive(Clone)]
pub(super) struct Fake {
    script: Arc<Script>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// A clock that stands still.
#[derive(Debug)]
struct StoppedClock;

impl Asked {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Fake {
    /// Answers the nth request (from 0) by the script.
    pub(super) fn new<F>(script: F) -> Self
    where
        F: Fn(&Asked, usize) -> Answer + Send + Sync + 'static,
    {
        Self {
            script: Arc::new(script),
            asked: Arc::default(),
        }
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.asked
            .lock()
            .expect("no test panics with the lock")
            .clone()
    }

    pub(super) fn calls(&self) -> usize {
        self.asked
            .lock()
            .expect("no test panics with the lock")
            .len()
    }

    /// Options that see nothing but this fake.
    pub(super) fn options(&self) -> Options {
        let [key_id, key, token] = SECRETS;
        let token = Some(token.to_owned());
        let credentials = Credentials::new(key_id, key, token, None, "test");
        Options {
            region: Some("ap-northeast-1".to_owned()),
            endpoint_url: Some("http://aws.test".to_owned()),
            credentials: Some(SharedCredentialsProvider::new(credentials)),
            http_client: Some(SharedHttpClient::new(self.clone())),
            isolated: true,
            ..Options::from_environment(Arc::new(StoppedClock))
        }
    }

    pub(super) async fn aws(&self) -> Aws {
        connect(self.options()).await
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        NOW.parse().expect("a constant time")
    }
}

impl fmt::Debug for Fake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fake")
    }
}

impl HttpConnector for Fake {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let asked = Asked {
            method: request.method().to_owned(),
            uri: request.uri().to_owned(),
            signature: request
                .headers()
                .get("authorization")
                .unwrap_or_default()
                .to_owned(),
            target: request
                .headers()
                .get("x-amz-target")
                .unwrap_or_default()
                .to_owned(),
            body: request.body().bytes().unwrap_or_default().to_vec(),
        };
        let count = {
            let mut log = self.asked.lock().expect("no test panics with the lock");
            log.push(asked.clone());
            log.len() - 1
        };
        let (status, content_type, date, body) = match (self.script)(&asked, count) {
            Answer::Silence => return HttpConnectorFuture::new(std::future::pending()),
            Answer::Lost => {
                let lost = ConnectorError::io("connection reset by peer".into());
                return HttpConnectorFuture::ready(Err(lost));
            }
            Answer::Reply(status, content_type, body) => (status, content_type, DATE, body),
            Answer::Dated(date, body) => (200, "text/xml", date, body),
        };
        let status = status.try_into().expect("a valid status");
        let mut response = HttpResponse::new(status, SdkBody::from(body));
        let headers = response.headers_mut();
        headers.insert("date", date);
        headers.insert("content-type", content_type);
        if content_type == "application/cbor" {
            headers.insert("smithy-protocol", "rpc-v2-cbor");
        }
        HttpConnectorFuture::ready(Ok(response))
    }
}

impl HttpClient for Fake {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

/// The environment's own credentials.
pub(super) fn ambient() -> Account {
    Account::default()
}

/// A reply of Route 53: its root element and what is in it.
pub(super) fn xml(root: &str, inner: &str) -> Answer {
    let body = format!("<?xml version=\"1.0\"?><{root} xmlns=\"{ROUTE53_NS}\">{inner}</{root}>");
    Answer::Reply(200, "text/xml", body.into_bytes())
}

/// An error of Route 53.
pub(super) fn xml_error(status: u16, code: &str, message: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\"?><ErrorResponse xmlns=\"{ROUTE53_NS}\"><Error><Type>Sender</Type><Code>{code}</Code>\
         <Message>{message}</Message></Error><RequestId>req-1</RequestId></ErrorResponse>"
    );
    Answer::Reply(status, "text/xml", body.into_bytes())
}
