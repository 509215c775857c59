//! The way out to the network: through a proxy, over TLS of a private authority, to the right partition of AWS.

use std::io::BufRead as _;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::{fs, thread};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// A proxy that notes which places it is asked for, and lets nobody through.
struct Proxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let noted = Arc::clone(&noted);
                thread::spawn(move || {
                    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                    let first = lines.next().unwrap_or_default();
                    while lines.next().is_some_and(|line| !line.is_empty()) {}
                    noted.lock().expect("nobody panicked").push(first);
                    let refusal = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
                    (&stream).write_all(refusal).ok();
                });
            }
        });
        Self { port, asked }
    }

    fn was_asked_for(&self, place: &str) -> bool {
        let wanted = format!("CONNECT {place} ");
        let asked = self.asked.lock().expect("nobody panicked");
        asked.iter().any(|line| line.starts_with(&wanted))
    }

    fn all(&self) -> Vec<String> {
        self.asked.lock().expect("nobody panicked").clone()
    }
}

/// The program in a folder, with credentials, and nothing of this machine's environment.
fn program(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cutover"));
    command
        .args(args)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .env(
            "AWS_SECRET_ACCESS_KEY",
            "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
        )
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::null());
    command
}

/// What a command says on both streams, and its exit code.
fn said(command: &mut Command) -> (String, Option<i32>) {
    let output = command.output().expect("the program starts");
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    (format!("{out}{err}"), output.status.code())
}

fn write_plan(folder: &Path, head: &str) {
    let plan = format!(
        "version: 1\nname: api\n{head}records:\n  - {{ zone: example.com, name: api.example.com, type: A, old: eks, new: ecs }}\n\
         steps:\n  - {{ weight: 5%, bake: 4h }}\n  - {{ weight: 100%, bake: 4h }}\ngates:\n  alarms: [ api-5xx ]\n"
    );
    fs::write(folder.join("plan.yaml"), plan).expect("a plan can be written");
}

#[test]
fn every_service_is_reached_through_the_proxy_and_in_the_plans_partition() {
    for (head, places) in [
        (
            "aws: { region: cn-north-1 }\n",
            &[
                "route53.amazonaws.com.cn:443",
                "monitoring.cn-north-1.amazonaws.com.cn:443",
            ][..],
        ),
        (
            "aws: { region: us-gov-east-1 }\n",
            &[
                "route53.us-gov.amazonaws.com:443",
                "monitoring.us-gov-east-1.amazonaws.com:443",
            ][..],
        ),
        (
            "aws: { region: eusc-de-east-1 }\n",
            &[
                "route53.amazonaws.eu:443",
                "monitoring.eusc-de-east-1.amazonaws.eu:443",
            ][..],
        ),
        (
            "aws: { role_arn: 'arn:aws-cn:iam::111111111111:role/cutover' }\n",
            &["sts.cn-northwest-1.amazonaws.com.cn:443"][..],
        ),
        (
            "aws: { region: eu-west-1 }\n",
            &[
                "route53.amazonaws.com:443",
                "monitoring.eu-west-1.amazonaws.com:443",
            ][..],
        ),
    ] {
        let (folder, proxy) = (tempfile::tempdir().unwrap(), Proxy::start());
        write_plan(folder.path(), head);
        let address = format!("http://ada:hunter2@127.0.0.1:{}", proxy.port);
        // Upper and lower case hold.
        let variable = if head.contains("cn") {
            "https_proxy"
        } else {
            "HTTPS_PROXY"
        };
        let (text, _) =
            said(program(folder.path(), &["preview", "plan.yaml"]).env(variable, address));
        assert!(!text.contains("hunter2"), "{text}");
        for place in places {
            assert!(
                proxy.was_asked_for(place),
                "{place}: {:?}\n{text}",
                proxy.all()
            );
        }
    }
}

#[test]
fn channels_are_reached_through_the_proxy_but_not_what_no_proxy_names() {
    let (folder, proxy) = (tempfile::tempdir().unwrap(), Proxy::start());
    let hooks = "https://hooks.example.com/services/x";
    let head = "aws: { region: eu-west-1 }\nnotify:\n  webhook: { url: '${HOOK_URL}' }\n  \
                sns: { topic_arn: 'arn:aws-cn:sns:cn-north-1:111111111111:pages' }\n";
    write_plan(folder.path(), head);
    let address = format!("http://127.0.0.1:{}", proxy.port);
    let tested = |no_proxy: &str| {
        let mut command = program(folder.path(), &["notify-test", "plan.yaml"]);
        command
            .env("HTTPS_PROXY", &address)
            .env("NO_PROXY", no_proxy);
        said(command.env("HOOK_URL", hooks)).0
    };
    let text = tested("hooks.example.com");
    assert!(!proxy.was_asked_for("hooks.example.com:443"), "{text}");
    assert!(
        proxy.was_asked_for("sns.cn-north-1.amazonaws.com.cn:443"),
        "{:?}\n{text}",
        proxy.all()
    );
    let text = tested("");
    assert!(
        proxy.was_asked_for("hooks.example.com:443"),
        "{:?}\n{text}",
        proxy.all()
    );
}

/// The certificate of the tests' authority, which signed `localhost.pem`; both are valid for a hundred years.
const AUTHORITY: &str = include_str!("fixtures/tls/authority.pem");

/// A server whose certificate a private authority signed; it counts the connections that trusted it.
struct TlsServer {
    port: u16,
    trusted: Arc<AtomicUsize>,
}

impl TlsServer {
    fn start() -> Self {
        let certificate =
            CertificateDer::from_pem_slice(include_bytes!("fixtures/tls/localhost.pem"));
        let key = PrivateKeyDer::from_pem_slice(include_bytes!("fixtures/tls/localhost.key"));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.expect("a certificate")],
                key.expect("a key"),
            )
            .expect("a certificate with its key");
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let trusted = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&trusted);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
                // With TLS 1.3 only a request shows that the certificate was trusted.
                let mut tls = StreamOwned::new(session, stream);
                if tls.read(&mut [0; 1]).is_ok_and(|read| read > 0) {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Self { port, trusted }
    }
}

#[test]
fn a_private_authority_is_trusted_by_aws_ca_bundle_and_blamed_without_it() {
    let (folder, server) = (tempfile::tempdir().unwrap(), TlsServer::start());
    write_plan(folder.path(), "aws: { region: eu-west-1 }\n");
    let bundle = folder.path().join("ca.pem");
    fs::write(&bundle, AUTHORITY).expect("a file");
    let endpoint = format!("https://localhost:{}", server.port);
    let mut preview = program(folder.path(), &["preview", "plan.yaml"]);
    preview.env("AWS_ENDPOINT_URL", &endpoint);
    let (text, _) = said(&mut preview);
    assert_eq!(server.trusted.load(Ordering::Relaxed), 0, "{text}");
    assert!(
        text.contains("certificate") && text.contains("AWS_CA_BUNDLE"),
        "{text}"
    );
    assert!(!text.contains("credentials"), "{text}");
    let (text, _) = said(preview.env("AWS_CA_BUNDLE", &bundle));
    assert!(server.trusted.load(Ordering::Relaxed) > 0, "{text}");
    assert!(!text.contains("AWS_CA_BUNDLE"), "{text}");
}

#[test]
fn what_the_sdk_cannot_bear_of_the_environment_is_refused_at_the_start_by_name() {
    let folder = tempfile::tempdir().unwrap();
    write_plan(folder.path(), "");
    fs::write(folder.path().join("empty.pem"), "").expect("a file");
    for (name, value) in [
        ("AWS_ENDPOINT_URL", ""),
        ("AWS_ENDPOINT_URL_ROUTE_53", ""),
        ("AWS_SECRET_ACCESS_KEY", "hunter2hunter2\n"),
        ("AWS_SESSION_TOKEN", "hunter2\r"),
        ("AWS_CONFIG_FILE", "/dev/zero"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/zero"),
        ("AWS_CA_BUNDLE", "/nowhere/ca.pem"),
        ("AWS_CA_BUNDLE", "empty.pem"),
        ("HTTPS_PROXY", "ftp://ada:hunter2@proxy:21"),
    ] {
        for args in [
            &["preview", "plan.yaml"][..],
            &["run", "plan.yaml", "--once"],
            &["rollback", "--all", "--yes"],
        ] {
            let (text, code) = said(program(folder.path(), args).env(name, value));
            assert_eq!(code, Some(2), "{name} {args:?}: {text}");
            assert!(text.contains(&format!("error: {name} ")), "{name}: {text}");
            assert!(text.contains("hint: "), "{name}: {text}");
            assert!(
                !text.contains("hunter2") && !text.contains("panicked"),
                "{text}"
            );
        }
    }
}
