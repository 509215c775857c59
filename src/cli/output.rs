//! Standard output and standard error, written by separate threads so that a command that acts never waits for a reader
//! (semantics M1, M2).
//!
//! A bounded queue takes what a command prints, notes and logs. One thread per stream writes it. If a stream cannot be
//! written (closed pipe, full disk, lost terminal), the text is lost, and the command goes on.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anstream::adapter::strip_bytes;
use anstream::{AutoStream, ColorChoice};

/// The largest amount of text that waits for a reader, in bytes per stream.
const QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest wait of a command that acts until its output is written, at its end or before it asks a question.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);

/// Longest wait of one stream until the other has written earlier text, so that a terminal shows both in order.
const ORDER_WITHIN: Duration = Duration::from_millis(200);

/// Time before the next try if a non-blocking stream would block.
const AGAIN_AFTER: Duration = Duration::from_millis(10);

/// The behaviour of a command if nobody reads its output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// The command waits until there is room, as `cat` does: its output is its only purpose.
    ForReader,
    /// The command never waits; text that finds no room is dropped and counted.
    None,
}

/// Standard output and standard error of this process.
#[derive(Clone)]
pub struct Output(Arc<SharedOutput>);

/// Standard output or standard error. Writing to it never fails.
#[derive(Clone)]
pub struct Stream {
    shared: Arc<SharedOutput>,
    which: Which,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Which {
    Out,
    Err,
}

struct SharedOutput {
    patience: Patience,
    queues: Mutex<Queues>,
    changed: Condvar,
}

#[derive(Default)]
struct Queues {
    out: StreamQueue,
    err: StreamQueue,
}

/// The text that waits for one stream.
#[derive(Default)]
struct StreamQueue {
    waiting: VecDeque<QueuedText>,
    bytes: usize,
    /// Number of texts queued so far.
    queued: u64,
    /// Number of queued texts that were written or lost.
    ended: u64,
    /// True if the other stream waited [`ORDER_WITHIN`] for this one in vain.
    stuck: bool,
    /// True if no thread writes this stream.
    unserved: bool,
    /// Number of texts lost since the last warning about lost texts.
    lost: u64,
    /// The error of the last write that failed; `None` if no write failed.
    error: Option<io::Error>,
}

struct QueuedText {
    text: Vec<u8>,
    /// Number of texts that had been queued for the other stream before this one.
    after: u64,
}

impl Queues {
    fn of(&mut self, which: Which) -> &mut StreamQueue {
        match which {
            Which::Out => &mut self.out,
            Which::Err => &mut self.err,
        }
    }

    /// Returns true if the other stream can still write, but has not yet written its first `after` texts.
    fn is_other_behind(&mut self, which: Which, after: u64) -> bool {
        let other = self.of(which.other());
        other.ended < after && !other.stuck && !other.unserved
    }
}

impl StreamQueue {
    fn has_room(&self, bytes: usize) -> bool {
        self.waiting.is_empty() || self.bytes + bytes <= QUEUE_BYTES_MAX
    }

    fn is_drained(&self) -> bool {
        self.ended == self.queued
    }
}

impl Which {
    fn other(self) -> Self {
        match self {
            Self::Out => Self::Err,
            Self::Err => Self::Out,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Out => "standard output",
            Self::Err => "standard error",
        }
    }

    /// Opens the stream without the buffer and the lock of the standard library.
    fn file(self) -> io::Result<File> {
        let owned = match self {
            Self::Out => io::stdout().as_fd().try_clone_to_owned(),
            Self::Err => io::stderr().as_fd().try_clone_to_owned(),
        };
        owned.map(File::from)
    }

    /// Returns true if colours and other styles must be removed from the text.
    fn is_plain(self) -> bool {
        let choice = match self {
            Self::Out => AutoStream::choice(&io::stdout()),
            Self::Err => AutoStream::choice(&io::stderr()),
        };
        choice == ColorChoice::Never
    }
}

impl Output {
    /// Starts one thread per stream that writes it.
    pub fn start(patience: Patience) -> Self {
        let output = Self::of(patience);
        for which in [Which::Out, Which::Err] {
            match which.file() {
                Ok(file) => output.serve(which, file, which.is_plain()),
                Err(_) => output.0.queues().of(which).unserved = true,
            }
        }
        output
    }

    fn of(patience: Patience) -> Self {
        Self(Arc::new(SharedOutput {
            patience,
            queues: Mutex::default(),
            changed: Condvar::new(),
        }))
    }

    /// Starts the thread that writes a stream. If it cannot be started, the stream's texts are lost.
    fn serve(&self, which: Which, target: impl Write + Send + 'static, plain: bool) {
        let shared = Arc::clone(&self.0);
        let writer = thread::Builder::new().name(which.name().to_owned());
        let started = writer.spawn(move || write_on(&shared, which, target, plain));
        if started.is_err() {
            self.0.queues().of(which).unserved = true;
        }
    }

    /// Returns the stream for results.
    pub fn out(&self) -> Stream {
        self.stream(Which::Out)
    }

    /// Returns the stream for messages and the log.
    pub fn err(&self) -> Stream {
        self.stream(Which::Err)
    }

    fn stream(&self, which: Which) -> Stream {
        Stream {
            shared: Arc::clone(&self.0),
            which,
        }
    }

    /// Waits until everything is written; a command that acts waits at most [`FLUSH_WITHIN`] per stream. Warns on standard
    /// error if standard output could not be written, unless only its reader went away.
    pub fn finish(&self) {
        self.0.drain(Which::Out);
        let error = self.0.queues().out.error.take();
        if let Some(error) = error
            && error.kind() != ErrorKind::BrokenPipe
        {
            let warning = format!(
                "warning: standard output cannot be written, part of it is lost: {error}\n"
            );
            self.0.push(Which::Err, warning.as_bytes());
        }
        self.0.drain(Which::Err);
    }
}

impl SharedOutput {
    /// Locks the queues. A panic in another thread leaves them consistent.
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, queues: MutexGuard<'a, Queues>) -> MutexGuard<'a, Queues> {
        let waited = self.changed.wait(queues);
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, which: Which, text: &[u8]) {
        let mut queues = self.queues();
        if self.patience == Patience::ForReader {
            while !queues.of(which).has_room(text.len()) && !queues.of(which).unserved {
                queues = self.wait(queues);
            }
        }
        let after = queues.of(which.other()).queued;
        let queue = queues.of(which);
        if queue.unserved || !queue.has_room(text.len()) {
            queue.lost += 1;
            return;
        }
        queue.bytes += text.len();
        queue.queued += 1;
        queue.waiting.push_back(QueuedText {
            text: text.to_vec(),
            after,
        });
        drop(queues);
        self.changed.notify_all();
    }

    /// Waits until all text queued for a stream is written or lost, as long as the patience allows.
    fn drain(&self, which: Which) {
        let mut queues = self.queues();
        match self.patience {
            Patience::ForReader => {
                while !queues.of(which).is_drained() {
                    queues = self.wait(queues);
                }
            }
            Patience::None => {
                drop(
                    self.changed
                        .wait_timeout_while(queues, FLUSH_WITHIN, |queues| {
                            !queues.of(which).is_drained()
                        }),
                );
            }
        }
    }

    /// Waits for the next text of a stream and returns it. Waits at most [`ORDER_WITHIN`] until the other stream has
    /// written what was queued before it.
    fn next(&self, which: Which) -> Vec<u8> {
        let mut queues = self.queues();
        let piece = loop {
            match queues.of(which).waiting.pop_front() {
                Some(piece) => break piece,
                None => queues = self.wait(queues),
            }
        };
        let waited = self
            .changed
            .wait_timeout_while(queues, ORDER_WITHIN, |queues| {
                queues.is_other_behind(which, piece.after)
            });
        let (mut queues, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            // `ended` clears this when the other stream writes something.
            queues.of(which.other()).stuck = true;
        }
        piece.text
    }

    /// Records that a text was written or lost. If it was written, returns how many texts were lost since the last
    /// warning; otherwise 0.
    fn ended(&self, which: Which, bytes: usize, written: io::Result<()>) -> u64 {
        let mut queues = self.queues();
        let queue = queues.of(which);
        queue.bytes -= bytes;
        queue.ended += 1;
        queue.stuck = false;
        let lost = match written {
            Ok(()) => std::mem::take(&mut queue.lost),
            Err(error) => {
                queue.lost += 1;
                queue.error = Some(error);
                0
            }
        };
        drop(queues);
        self.changed.notify_all();
        lost
    }
}

/// Writes the text queued for a stream until the process ends.
fn write_on(shared: &SharedOutput, which: Which, mut target: impl Write, plain: bool) {
    loop {
        let text = shared.next(which);
        let written = if plain {
            write_all(&mut target, &strip_bytes(&text).into_vec())
        } else {
            write_all(&mut target, &text)
        };
        let lost = shared.ended(which, text.len(), written);
        // With `ForReader`, the warning could block this thread, which is the one that makes room in the queue.
        if lost > 0 && shared.patience == Patience::None {
            let stream = which.name();
            tracing::warn!(
                "{lost} messages were lost while {stream} could not be written or nobody read it"
            );
        }
    }
}

/// Does the same as [`Write::write_all`], but waits if a non-blocking stream would block.
fn write_all(target: &mut impl Write, mut text: &[u8]) -> io::Result<()> {
    while !text.is_empty() {
        match target.write(text) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => text = text.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                thread::park_timeout(AGAIN_AFTER);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Write for Stream {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.shared.push(self.which, text);
        Ok(text.len())
    }

    /// Waits until the queued text is written or lost, as [`Output::finish`] does.
    fn flush(&mut self) -> io::Result<()> {
        self.shared.drain(self.which);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A writer that accepts nothing until it is opened, and then keeps everything.
    #[derive(Clone, Default)]
    struct Gate(Arc<Gated>);

    /// Whether the gate is open, and the text that it keeps; with a signal for waiting writers.
    type Gated = (Mutex<(bool, Vec<u8>)>, Condvar);

    impl Gate {
        fn open(&self) {
            self.0.0.lock().unwrap().0 = true;
            self.0.1.notify_all();
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.0.lock().unwrap().1.clone()).unwrap()
        }
    }

    impl Write for Gate {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let held = self.0.0.lock().unwrap();
            let mut held = self.0.1.wait_while(held, |(open, _)| !*open).unwrap();
            held.1.extend_from_slice(text);
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// A writer that refuses everything, as a full disk does.
    struct Full;

    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(ErrorKind::StorageFull.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_does_not_read_is_not_waited_for_and_what_is_lost_is_counted() {
        let (output, gate) = (Output::of(Patience::None), Gate::default());
        output.serve(Which::Err, gate.clone(), false);
        let line = vec![b'x'; 64 * 1024];
        for _ in 0..100 {
            output.err().write_all(&line).unwrap();
        }
        let lost = output.0.queues().err.lost;
        assert!((30..=40).contains(&lost), "{lost} of 100 found no room");
        gate.open();
        output.finish();
        let kept = 100 - usize::try_from(lost).unwrap();
        assert_eq!(gate.text().len(), kept * line.len());
        assert_eq!(output.0.queues().err.lost, 0, "it was said");
    }

    #[test]
    fn a_command_that_is_for_its_reader_loses_nothing() {
        let (output, gate) = (Output::of(Patience::ForReader), Gate::default());
        output.serve(Which::Out, gate.clone(), true);
        let line = vec![b'x'; 64 * 1024];
        let size = line.len();
        let mut out = output.out();
        let writer = thread::spawn(move || {
            for _ in 0..100 {
                out.write_all(&line).unwrap();
            }
        });
        gate.open();
        writer.join().unwrap();
        output.finish();
        assert_eq!(gate.text().len(), 100 * size);
    }

    #[test]
    fn the_two_streams_keep_their_order() {
        let (output, both) = (Output::of(Patience::None), Gate::default());
        output.serve(Which::Out, both.clone(), true);
        output.serve(Which::Err, both.clone(), true);
        for number in 0..50 {
            writeln!(output.out(), "{number}").unwrap();
            output.err().write_all(b"note\n").unwrap();
        }
        both.open();
        output.finish();
        let mut expected = String::new();
        for number in 0..50 {
            expected += &number.to_string();
            expected += "\nnote\n";
        }
        assert_eq!(both.text(), expected);
    }

    #[test]
    fn a_full_disk_fails_nothing_and_is_said_at_the_end() {
        let (output, err) = (Output::of(Patience::ForReader), Gate::default());
        output.serve(Which::Out, Full, true);
        output.serve(Which::Err, err.clone(), true);
        err.open();
        output.out().write_all(b"result\n").unwrap();
        output.finish();
        let said = err.text();
        assert!(said.contains("standard output cannot be written"), "{said}");
    }
}
