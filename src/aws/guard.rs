//! Turns a panic of the SDK into a failed call (semantics M11), and rejects times that could overflow.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::{ConnectorError, SdkError};
use jiff::Timestamp;

/// The message of a call in which the SDK panicked.
const PANICKED: &str = "the AWS SDK failed while it handled this call";

/// The times in replies that are accepted, in seconds since 1970: until the year 2200. Adding one of our durations to
/// such a time cannot overflow.
const BELIEVED_SECS: std::ops::Range<i64> = 0..7_258_118_400;

/// Waits for a future that may panic. Returns `None` if it panicked.
pub(super) async fn caught<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    std::future::poll_fn(move |context| {
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Ready(done)) => Poll::Ready(Some(done)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

/// Waits for a call of the SDK. A panic becomes a failed call that AWS may have carried out, as if the reply were lost.
///
/// # Errors
/// The SDK's error, or a dispatch failure after a panic.
pub(super) async fn called<T, E>(
    call: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, SdkError<E, HttpResponse>> {
    match caught(call).await {
        Some(reply) => reply,
        None => Err(SdkError::dispatch_failure(ConnectorError::other(
            PANICKED.into(),
            None,
        ))),
    }
}

/// Returns the time if it is between 1970 and 2200, otherwise `None`.
pub(super) fn believed(time: Timestamp) -> Option<Timestamp> {
    if BELIEVED_SECS.contains(&time.as_second()) {
        Some(time)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_a_failed_call() {
        let call = async {
            tokio::task::yield_now().await;
            assert!(BELIEVED_SECS.is_empty(), "as the SDK does");
            Ok::<(), SdkError<std::fmt::Error, HttpResponse>>(())
        };
        let error = called(call).await.unwrap_err();
        assert!(matches!(error, SdkError::DispatchFailure(_)), "{error:?}");
        let fine = called(async { Ok::<u8, SdkError<std::fmt::Error, HttpResponse>>(7) });
        assert_eq!(fine.await.unwrap(), 7);
    }

    #[test]
    fn a_time_at_the_end_of_all_times_is_not_believed() {
        let far: Timestamp = "9999-12-30T00:00:00Z".parse().unwrap();
        let near: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        assert_eq!(believed(far), None);
        assert_eq!(believed(near), Some(near));
    }
}
