//! Starts `moto`, an emulator of AWS by other authors, for EventBridge and Scheduler.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::program::{pause, until};
use super::python::{Supervised, python};

/// A running emulator on its own port. It ends when this is dropped, or when the test process dies.
pub(crate) struct Moto {
    _process: Supervised,
    address: SocketAddr,
    log: PathBuf,
}

impl Moto {
    /// Starts the emulator and waits until it answers. Panics with its log if it does not.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port can be had");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        drop(listener);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let log = folder.join(format!("moto-{}.log", address.port()));
        let start = format!(
            "from moto.server import main; main(['-H', '127.0.0.1', '-p', '{}'])",
            address.port()
        );
        let process = Supervised::start(&["-c", &start], &[], &log);
        if until(|| TcpStream::connect(address).ok()).is_none() {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            panic!("moto does not start:\n{said}");
        }
        pause(Duration::from_millis(100));
        Self {
            _process: process,
            address,
            log,
        }
    }

    /// Returns the endpoint for AWS clients.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Runs a Python script with the clients `events` and `scheduler` of boto3, and returns what it prints.
    pub(crate) fn python(&self, script: &str) -> String {
        let endpoint = self.endpoint();
        let head = format!(
            "import boto3, json\nkw = dict(endpoint_url='{endpoint}', region_name='eu-west-1', aws_access_key_id='a', \
             aws_secret_access_key='b')\nevents = boto3.client('events', **kw)\nscheduler = boto3.client('scheduler', **kw)\n"
        );
        let script = format!("{head}{script}");
        let output = Command::new(python())
            .args(["-c", &script])
            .output()
            .expect("python can be started");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        // The log of a failed test is kept.
        if !std::thread::panicking() {
            std::fs::remove_file(&self.log).unwrap_or_default();
        }
    }
}
