//! Makes every network connection of the program, including the AWS SDK's. All go through the proxy, and trust the
//! certificates, that the environment names (semantics L16).
//!
//! `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` are read in upper and lower case. `AWS_CA_BUNDLE` names a
//! file of certificates that are trusted in addition to the system's.

use std::path::Path;
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore};
use aws_smithy_http_client::{Builder, Connector, ConnectorBuilder};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::regular_file;

/// The largest reply of AWS that is read, in bytes (semantics M8). A larger one is a failed call.
pub const REPLY_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The most bytes of all replies that are read at the same time, without the first [`COUNTED_FROM`] of each. A fleet
/// reads many zones and regions in parallel, and each reply could have the largest size.
const TOGETHER_BYTES_MAX: usize = 2 * REPLY_BYTES_MAX;

/// The length in bytes from which a reply counts towards [`TOGETHER_BYTES_MAX`]. A full page of records or alarms is
/// shorter, so large replies to other calls never make it fail.
const COUNTED_FROM: usize = 256 * 1024;

/// The counted bytes of all replies that are being read.
static TOGETHER: AtomicUsize = AtomicUsize::new(0);

/// The largest file of certificates, in bytes. The bundle of a Linux system has about 200 KiB.
const BUNDLE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The certificates of `AWS_CA_BUNDLE`, set once at the start.
static TRUSTED: OnceLock<TlsContext> = OnceLock::new();

/// Trusts the certificates of a file in addition to the system's, in all later connections.
///
/// # Errors
/// The file cannot be read, or contains no usable certificate.
pub fn trust(path: &str) -> Result<(), String> {
    let pem = regular_file::read(Path::new(path), None, BUNDLE_BYTES_MAX)
        .map_err(|why| format!("cannot be read: {why}"))?;
    // System bundles sometimes contain certificates that make the TLS library panic. These are left out.
    let (mut roots, mut usable) = (RootCertStore::empty(), String::new());
    for certificate in CertificateDer::pem_slice_iter(&pem).flatten() {
        if roots.add(certificate.clone()).is_ok() {
            usable.push_str(&as_pem(&certificate));
        }
    }
    if roots.is_empty() {
        return Err("contains no usable certificate".to_owned());
    }
    let store = TrustStore::default().with_pem_certificate(usable);
    let context = TlsContext::builder().with_trust_store(store).build();
    let context = context.map_err(|error| format!("cannot be used: {error}"))?;
    // If they are set already, an earlier call in this process read the same environment.
    TRUSTED.set(context).ok();
    Ok(())
}

/// Returns a certificate in PEM form.
fn as_pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n")
}

/// Returns a connector with these timeouts, for plain HTTP requests.
pub(super) fn connector(settings: HttpConnectorSettings) -> Connector {
    builder(Some(settings), None)
}

/// Creates a connector with the proxy and the certificates of the environment.
fn builder(
    settings: Option<HttpConnectorSettings>,
    components: Option<&RuntimeComponents>,
) -> Connector {
    let mut builder = ConnectorBuilder::default().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
    builder.set_connector_settings(settings);
    if let Some(components) = components {
        builder.set_sleep_impl(components.sleep_impl());
    }
    builder.set_proxy_config(Some(ProxyConfig::from_env()));
    if let Some(context) = TRUSTED.get() {
        builder.set_tls_context(context.clone());
    }
    builder.build()
}

/// Returns the client for the AWS SDK. It uses the same proxy and certificates, and limits replies as [`bounded`] does.
pub fn sdk_client() -> SharedHttpClient {
    let client = Builder::new()
        .build_with_connector_fn(|settings, components| builder(settings.cloned(), components));
    bounded(client)
}

/// Limits the replies of a client: a reply longer than [`REPLY_BYTES_MAX`] ends with an error.
pub fn bounded(client: SharedHttpClient) -> SharedHttpClient {
    SharedHttpClient::new(Bounded(client))
}

#[derive(Debug)]
struct Bounded(SharedHttpClient);

impl HttpClient for Bounded {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let connector = self.0.http_connector(settings, components);
        SharedHttpConnector::new(BoundedConnector(connector))
    }
}

#[derive(Debug)]
struct BoundedConnector(SharedHttpConnector);

impl HttpConnector for BoundedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let reply = self.0.call(request);
        HttpConnectorFuture::new(async move {
            let reply = reply.await?;
            Ok(reply.map(|body| limited(body, &TOGETHER)))
        })
    }
}

/// Limits a body. It ends with an error if it is longer than [`REPLY_BYTES_MAX`], or if all replies that count in
/// `together` are too large.
fn limited(body: SdkBody, together: &'static AtomicUsize) -> SdkBody {
    body.map_preserve_contents(move |body| {
        let counted = CountedBody {
            body: Box::pin(body),
            together,
            read: 0,
            taken: 0,
        };
        let limited = Limited::new(counted, REPLY_BYTES_MAX);
        SdkBody::from_body_1_x(limited.map_err(|error| -> BoxError {
            if error.is::<http_body_util::LengthLimitError>() {
                let most = REPLY_BYTES_MAX / 1024 / 1024;
                return format!("the reply is larger than {most} MiB").into();
            }
            error
        }))
    })
}

/// A body that counts its bytes in `together` until it is dropped.
struct CountedBody {
    /// The body itself.
    body: Pin<Box<SdkBody>>,
    /// The counted bytes of all bodies.
    together: &'static AtomicUsize,
    /// The number of bytes that have been read.
    read: usize,
    /// The number of these bytes that are counted in `together`.
    taken: usize,
}

impl CountedBody {
    /// Counts this number of bytes.
    ///
    /// # Errors
    /// All counted replies together are larger than [`TOGETHER_BYTES_MAX`].
    fn count(&mut self, bytes: usize) -> Result<(), BoxError> {
        self.read = self.read.saturating_add(bytes);
        let taken = self.read.saturating_sub(COUNTED_FROM);
        let more = taken.saturating_sub(self.taken);
        if more == 0 {
            return Ok(());
        }
        self.taken = taken;
        let before = self.together.fetch_add(more, Ordering::Relaxed);
        if before.saturating_add(more) > TOGETHER_BYTES_MAX {
            let most = TOGETHER_BYTES_MAX / 1024 / 1024;
            return Err(
                format!("the replies that are read at once are larger than {most} MiB").into(),
            );
        }
        Ok(())
    }
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        self.together.fetch_sub(self.taken, Ordering::Relaxed);
    }
}

impl Body for CountedBody {
    type Data = <SdkBody as Body>::Data;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, BoxError>>> {
        let frame = ready!(self.body.as_mut().poll_frame(context));
        let Some(Ok(frame)) = frame else {
            return Poll::Ready(frame);
        };
        let bytes = match frame.data_ref() {
            Some(data) => data.len(),
            None => 0,
        };
        let counted = self.count(bytes);
        Poll::Ready(Some(counted.map(|()| frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Adds the remedy to the text of a failed connection, if the server's certificate was refused.
pub fn explained(text: String) -> String {
    // Source: `rustls::Error::InvalidCertificate`, Display.
    if !text.contains("invalid peer certificate") || text.contains("AWS_CA_BUNDLE") {
        return text;
    }
    format!(
        "the server's certificate is not trusted ({text}); if a proxy or a private authority issued it, set AWS_CA_BUNDLE \
         to a PEM file with that authority's certificate"
    )
}

/// Checks the address of a proxy: `host:port`, `http://…` or `https://…`, optionally with a user and a password. An
/// empty address is accepted.
///
/// # Errors
/// The address cannot be used. The message does not repeat it, because it may contain a password.
pub fn check_proxy(address: &str) -> Result<(), &'static str> {
    if address.is_empty() {
        return Ok(());
    }
    if !address.chars().all(|letter| letter.is_ascii_graphic()) {
        return Err("contains a blank or a control character");
    }
    let rest = match address.split_once("://") {
        Some((scheme, rest)) => match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => rest,
            _ => return Err("is neither http:// nor https://"),
        },
        None => address,
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        Some(_) | None => (host, None),
    };
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if name.is_empty() || !port_fits {
        return Err("names no host and port");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_a_proxy_is_checked_without_repeating_it() {
        for fit in [
            "",
            "proxy:3128",
            "http://proxy.example.com:3128",
            "https://ada:hunter2@proxy:8443/",
            "http://[::1]:3128",
            "http://10.0.0.1",
        ] {
            assert_eq!(check_proxy(fit), Ok(()), "{fit}");
        }
        for unfit in [
            "http://",
            "socks5://proxy:1080",
            "http://proxy:0",
            "http://proxy:http",
            "http://ada:hunter2@",
            "http://proxy :3128",
            "http://proxy:3128\n",
        ] {
            let why = check_proxy(unfit).unwrap_err();
            assert!(!why.contains("hunter2"), "{why}");
        }
    }

    #[test]
    fn a_refused_certificate_names_the_remedy() {
        let text = "dispatch failure: invalid peer certificate: UnknownIssuer".to_owned();
        let explained = explained(text);
        assert!(explained.contains("AWS_CA_BUNDLE") && explained.contains("UnknownIssuer"));
        assert_eq!(super::explained("timed out".to_owned()), "timed out");
    }

    /// Returns a limited reply of this number of bytes.
    fn reply_of(bytes: usize, together: &'static AtomicUsize) -> SdkBody {
        limited(SdkBody::from(vec![b'x'; bytes]), together)
    }

    #[tokio::test]
    async fn a_reply_without_end_is_an_error_and_not_a_shorter_reply() {
        static TOGETHER: AtomicUsize = AtomicUsize::new(0);
        let at_most = reply_of(REPLY_BYTES_MAX, &TOGETHER);
        let whole = at_most.collect().await.unwrap().to_bytes();
        assert_eq!(whole.len(), REPLY_BYTES_MAX);
        let too_much = reply_of(REPLY_BYTES_MAX + 1, &TOGETHER);
        let error = too_much.collect().await.unwrap_err();
        assert_eq!(error.to_string(), "the reply is larger than 32 MiB");
    }

    #[tokio::test]
    async fn many_large_replies_at_once_fail_and_small_ones_do_not() {
        static TOGETHER: AtomicUsize = AtomicUsize::new(0);
        let (mut first, mut second, mut third) = (
            reply_of(REPLY_BYTES_MAX, &TOGETHER),
            reply_of(REPLY_BYTES_MAX, &TOGETHER),
            reply_of(REPLY_BYTES_MAX, &TOGETHER),
        );
        first.frame().await.unwrap().unwrap();
        second.frame().await.unwrap().unwrap();
        let error = third.frame().await.unwrap().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the replies that are read at once are larger than 64 MiB"
        );
        drop(third);
        let page = reply_of(COUNTED_FROM, &TOGETHER)
            .collect()
            .await
            .unwrap()
            .to_bytes();
        assert_eq!(page.len(), COUNTED_FROM, "a page fits beside them");
        drop(first);
        drop(second);
        assert_eq!(
            TOGETHER.load(Ordering::Relaxed),
            0,
            "nothing is left of them"
        );
        let whole = reply_of(REPLY_BYTES_MAX, &TOGETHER)
            .collect()
            .await
            .unwrap()
            .to_bytes();
        assert_eq!(whole.len(), REPLY_BYTES_MAX);
    }
}
