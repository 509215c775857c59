//! Runs work that may hang in a thread of its own, so that a file system that does not answer blocks nothing else
//! (semantics M3).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

/// Runs one piece of work at a time, in a thread. Work that hangs keeps one thread busy, and no more.
#[derive(Debug, Default)]
pub struct Aside {
    busy: Arc<AtomicBool>,
}

impl Aside {
    /// Begins a piece of work and returns the receiver of its result. `None` if the previous work has not ended, or if
    /// no thread can be started.
    pub fn begin<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<Receiver<T>> {
        if self.busy.swap(true, Ordering::AcqRel) {
            return None;
        }
        let (sender, receiver) = mpsc::channel();
        let done = FreesPlace(Arc::clone(&self.busy));
        let started = thread::Builder::new().spawn(move || {
            let result = work();
            // The place is freed before the result is sent, because the receiver may begin the next work at once.
            drop(done);
            // If the caller no longer waits, the result is dropped.
            sender.send(result).unwrap_or_default();
        });
        started.ok().map(|_| receiver)
    }

    /// Returns true until the current piece of work has ended.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Runs a piece of work and returns its result. `None` if it does not end within `limit`, panics, or cannot begin.
    /// A later result is dropped.
    pub fn within<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.begin(work)?.recv_timeout(limit).ok()
    }
}

/// Allows the next piece of work when it is dropped, even if the current one panicked or never began.
struct FreesPlace(Arc<AtomicBool>);

impl Drop for FreesPlace {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hangs_is_waited_for_once_and_takes_one_thread() {
        let aside = Aside::default();
        let (go_on, wait) = mpsc::channel::<()>();
        let limit = Duration::from_millis(20);
        let hung = aside.within(limit, move || wait.recv().is_ok());
        assert_eq!(hung, None);
        assert_eq!(aside.within(limit, || true), None, "the first still hangs");
        drop(go_on);
        while aside.is_busy() {
            thread::yield_now();
        }
        let patient = Duration::from_mins(1);
        assert_eq!(aside.within(patient, || 1), Some(1));
        assert_eq!(aside.within(patient, || 2), Some(2));
    }
}
