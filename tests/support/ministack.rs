//! Starts `ministack`, an emulator of AWS by other authors.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::python::Supervised;

/// The interval between two checks whether the emulator is ready. It takes half a second on a quiet machine.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// The most checks whether the emulator is ready: a minute.
const ASKS_MAX: u32 = 600;
/// The most ports that are tried. Another process may take a free port before the emulator does.
const PORTS_TRIED: u32 = 3;

/// A running emulator on its own port. It ends when this is dropped, or when the test process dies.
pub(crate) struct Ministack {
    process: Supervised,
    address: SocketAddr,
    log: PathBuf,
}

impl Ministack {
    /// Starts the emulator and waits until it answers. Panics with its log if it does not.
    pub(crate) fn start() -> Self {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut started = Self::launch();
            if started.is_ready() {
                return started;
            }
            let said = std::fs::read_to_string(&started.log).unwrap_or_default();
            assert!(tries < PORTS_TRIED, "ministack does not start:\n{said}");
        }
    }

    /// Returns the endpoint for AWS clients.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Deletes everything in the emulator.
    pub(crate) fn reset(&self) {
        let reply = self
            .request("POST", "/_ministack/reset")
            .expect("ministack answers");
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    }

    fn launch() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port can be had");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        drop(listener);
        let port = address.port().to_string();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let log = folder.join(format!("ministack-{port}.log"));
        let start = "import sys; from ministack.app import main; sys.argv = ['ministack']; main()";
        let environment = [
            ("BIND_HOST", "127.0.0.1"),
            ("GATEWAY_PORT", port.as_str()),
            ("MINISTACK_HOST", "127.0.0.1"),
            ("SERVICES", "route53,cloudwatch,sts,dynamodb"),
            ("LOG_LEVEL", "WARNING"),
        ];
        let process = Supervised::start(&["-c", start], &environment, &log);
        Self {
            process,
            address,
            log,
        }
    }

    fn is_ready(&mut self) -> bool {
        for _ in 0..ASKS_MAX {
            let reply = self.request("GET", "/_ministack/ready");
            if reply.is_ok_and(|reply| reply.starts_with("HTTP/1.1 200")) {
                // If the emulator could not bind the port, another process may have answered.
                return !self.process.has_ended();
            }
            if self.process.has_ended() {
                return false;
            }
            pause();
        }
        false
    }

    fn request(&self, method: &str, path: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let address = self.address;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply)?;
        Ok(reply)
    }
}

impl Drop for Ministack {
    fn drop(&mut self) {
        // The log of a failed test is kept.
        if !std::thread::panicking() {
            std::fs::remove_file(&self.log).unwrap_or_default();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "waits for a real process, outside any runtime"
)]
fn pause() {
    std::thread::sleep(ASK_EVERY);
}
