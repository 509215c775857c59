//! Work that may hang, in a thread of its own, so that a file system that does not answer blocks nobody (semantics M3).

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

/// Does one piece of work at a time. One that hangs takes one thread, and no more.
#[derive(Debug, Default)]
pub struct Aside {
    busy: Arc<AtomicBool>,
}

impl Aside {
    /// Begins a piece of work and returns the receiver of its result. Returns none if the previous one is still under way
    /// or no thread can be started.
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
            // Before the result is sent: its receiver may begin the next piece of work at once.
            drop(done);
            // If this came too late, nobody listens any longer.
            sender.send(result).unwrap_or_default();
        });
        started.ok().map(|_| receiver)
    }

    /// Returns true while a piece of work is under way.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Does a piece of work and waits for its result, `limit` at most. A later result is lost.
    pub fn within<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        self.begin(work)?.recv_timeout(limit).ok()
    }
}

/// Frees the place for the next piece of work, also if this one panicked or never began.
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
