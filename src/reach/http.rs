//! Sends HTTP requests with the AWS SDK's client: one request, one reply, with limits on time and size. Redirects are
//! not followed.

use std::fmt;
use std::time::Duration;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;

use super::net;

/// The longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The most bytes of a reply's body that are kept.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// An HTTP request.
#[derive(Clone)]
pub struct Request {
    /// The method, for example `POST`.
    pub method: &'static str,
    /// The address, with scheme, host, path and query.
    pub url: String,
    /// The headers. `Host` and `Content-Length` are added when it is sent.
    pub headers: Vec<(String, String)>,
    /// The body. Empty for a request without one.
    pub body: String,
}

/// An HTTP reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status, for example 200.
    pub status: u16,
    /// The header `x-amzn-errortype`. `None` if there is none.
    pub error_type: Option<String>,
    /// The wait before the next try that the service asks for (`Retry-After`). `None` unless it is given in seconds.
    pub retry_after: Option<Duration>,
    /// The body, at most its first MiB.
    pub body: String,
    /// True if the body was longer than 1 MiB.
    pub cut: bool,
}

/// Why a request got no reply. Each variant has a message for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// The request was never sent.
    NotSent(String),
    /// The request may have arrived, but no reply did.
    NoAnswer(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::NotSent(message) | Self::NoAnswer(message)) = self;
        f.write_str(message)
    }
}

/// Sends HTTP requests. Clones share connections.
#[derive(Debug, Clone)]
pub struct Client(SharedHttpConnector);

impl Default for Client {
    fn default() -> Self {
        let settings = HttpConnectorSettings::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .build();
        Self(SharedHttpConnector::new(net::connector(settings)))
    }
}

impl From<SharedHttpConnector> for Client {
    fn from(connector: SharedHttpConnector) -> Self {
        Self(connector)
    }
}

impl Client {
    /// Sends a request and waits for its reply, at most `limit`. A reply with an error status is not an error here.
    ///
    /// # Errors
    /// No reply came, or the request is not valid. The message contains neither headers nor the address.
    pub async fn send(&self, request: Request, limit: Duration) -> Result<Answer, Failure> {
        fn unsent<E>(_: E) -> Failure {
            Failure::NotSent("the address or a header is not valid".to_owned())
        }
        let host = request.url.split_once("://").map_or("", |(_, rest)| rest);
        let host = host.split(['/', '?', '#']).next().unwrap_or("");
        if host.contains('@') {
            let why =
                "the address contains a user and a password, which would not be sent: remove them";
            return Err(Failure::NotSent(why.to_owned()));
        }
        let mut sent = HttpRequest::new(SdkBody::from(request.body.clone()));
        sent.set_method(request.method).map_err(unsent)?;
        sent.set_uri(request.url.as_str()).map_err(unsent)?;
        for (name, value) in &request.headers {
            let headers = sent.headers_mut();
            headers
                .try_insert(name.to_ascii_lowercase(), value.clone())
                .map_err(unsent)?;
        }
        let length = request.body.len().to_string();
        sent.headers_mut().insert("content-length", length);
        let exchange = async {
            let mut answer = self
                .0
                .call(sent)
                .await
                .map_err(|error| Failure::NoAnswer(format!("no answer: {}", chain(&error))))?;
            let error_type = answer.headers().get("x-amzn-errortype").map(str::to_owned);
            let retry_after = answer.headers().get("retry-after");
            let retry_after = retry_after.and_then(|secs| secs.trim().parse().ok());
            let status = answer.status().as_u16();
            let (body, cut) = read(answer.take_body()).await?;
            Ok(Answer {
                status,
                error_type,
                retry_after: retry_after.map(Duration::from_secs),
                body,
                cut,
            })
        };
        if let Ok(answer) = tokio::time::timeout(limit, exchange).await {
            return answer;
        }
        let secs = limit.as_secs();
        Err(Failure::NoAnswer(format!("no answer within {secs} s")))
    }
}

/// Reads a body, at most [`ANSWER_BYTES_MAX`]. Also returns true if it was longer.
///
/// # Errors
/// The connection broke off.
async fn read(body: SdkBody) -> Result<(String, bool), Failure> {
    let mut stream = ByteStream::new(body);
    let mut bytes = Vec::new();
    let mut cut = false;
    while let Some(frame) = stream.next().await {
        let frame =
            frame.map_err(|error| Failure::NoAnswer(format!("the answer broke off: {error}")))?;
        let room = ANSWER_BYTES_MAX.saturating_sub(bytes.len());
        bytes.extend(frame.iter().take(room));
        if frame.len() > room {
            cut = true;
            break;
        }
    }
    Ok((String::from_utf8_lossy(&bytes).into_owned(), cut))
}

/// Joins the texts of an error and its sources, because the outermost error says little.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    net::explained(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_in_an_address_is_refused_and_not_dropped() {
        let request = Request {
            method: "POST",
            url: "http://ada:hunter2@127.0.0.1:9/x".to_owned(),
            headers: Vec::new(),
            body: String::new(),
        };
        let refused = Client::default()
            .send(request, Duration::from_secs(1))
            .await;
        let Err(Failure::NotSent(why)) = refused else {
            panic!("{refused:?}");
        };
        assert!(
            why.contains("user and a password") && !why.contains("hunter2"),
            "{why}"
        );
    }

    #[tokio::test]
    async fn an_answer_that_is_larger_than_the_bound_says_that_it_was_cut() {
        let whole = read(SdkBody::from(vec![b'a'; ANSWER_BYTES_MAX])).await;
        let (text, cut) = whole.unwrap();
        assert_eq!((text.len(), cut), (ANSWER_BYTES_MAX, false));
        let larger = read(SdkBody::from(vec![b'a'; ANSWER_BYTES_MAX + 1])).await;
        let (text, cut) = larger.unwrap();
        assert_eq!((text.len(), cut), (ANSWER_BYTES_MAX, true));
    }
}
