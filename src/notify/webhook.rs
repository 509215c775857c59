//! Sends notices as a POST of a `CloudEvent`. It is signed as Standard Webhooks describes, so that libraries of many
//! languages can verify it.
//!
//! Sources: `CloudEvents` 1.0.2, HTTP protocol binding, structured mode; Standard Webhooks 1.0.0, signature scheme.

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::channels::{Channels, address, is_success, refused, resolve};
use crate::engine::notify::{Address, SecretRef};
use crate::engine::secret_text::is_key;
use crate::ports::{Delivery, Undelivered};
use crate::reach::secrets::Secret;

/// The prefix of a secret that is written in base64.
const BASE64_PREFIX: &str = "whsec_";

/// Posts a notice to a webhook, signed if it has a secret. The channel needs no data for its next delivery.
///
/// # Errors
/// A secret cannot be read, the service refused the message, or no reply came.
pub(super) async fn post(
    channels: &Channels,
    delivery: &Delivery,
    address_of: &Address,
    secret: Option<&SecretRef>,
) -> Result<Option<Value>, Undelivered> {
    let notice = &delivery.notice;
    let url = address(address_of, &channels.environment).map_err(Undelivered::because)?;
    let mut hidden: Vec<Secret> = Vec::new();
    match address_of {
        Address::Plain(plain) if !is_key(plain) => {}
        Address::Plain(_) | Address::Kept(_) => hidden.push(url.clone()),
    }
    let body = channels.event(notice).to_string();
    let id = notice.idempotency_key();
    let mut headers = vec![(
        "content-type",
        "application/cloudevents+json; charset=utf-8".to_owned(),
    )];
    if let Some(secret) = secret {
        let secret = resolve(secret, &channels.environment).map_err(Undelivered::because)?;
        let now = channels.clock.now().as_second();
        let signed = sign(&secret, &id, now, &body).map_err(Undelivered::because)?;
        headers.push(("webhook-timestamp", now.to_string()));
        headers.push(("webhook-signature", signed));
        hidden.push(secret);
    }
    headers.push(("webhook-id", id));
    let hidden: Vec<&Secret> = hidden.iter().collect();
    let answer = channels.post(&url, &hidden, &headers, body).await?;
    if is_success(&answer) {
        Ok(None)
    } else {
        Err(refused(&answer))
    }
}

/// Returns the signature of a body, in the form of the header `webhook-signature`. `at` is in seconds since 1970.
///
/// # Errors
/// The secret begins with [`BASE64_PREFIX`], but is not base64.
fn sign(secret: &Secret, id: &str, at: i64, body: &str) -> Result<String, String> {
    let key = match secret.reveal().strip_prefix(BASE64_PREFIX) {
        Some(encoded) => BASE64
            .decode(encoded)
            .map_err(|_| format!("the secret begins with {BASE64_PREFIX}, but is not base64"))?,
        None => secret.reveal().as_bytes().to_vec(),
    };
    let mut mac =
        Hmac::<Sha256>::new_from_slice(&key).expect("invariant: HMAC takes keys of any length");
    mac.update(format!("{id}.{at}.{body}").as_bytes());
    let code = mac.finalize().into_bytes();
    Ok(format!("v1,{}", BASE64.encode(code)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_of_the_specification() {
        // The example is from the reference libraries of Standard Webhooks.
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let body = r#"{"test": 2432232314}"#;
        let signed = sign(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(
            signed,
            Ok("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".to_owned())
        );
        let plain = Secret::new("hunter2");
        assert_ne!(sign(&plain, "a", 1, "b"), sign(&plain, "a", 2, "b"));
        assert!(sign(&Secret::new("whsec_*"), "a", 1, "b").is_err());
    }
}
