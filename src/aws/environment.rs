//! Checks the environment variables at the start. With some values the AWS SDK would panic, hang, use up the memory, or
//! sign requests that AWS rejects. These values are refused with the variable's name (semantics L16, M8, M11). The
//! value is never repeated, because it may be a secret.

use std::fmt;
use std::path::Path;

use crate::reach::{net, regular_file};

/// The largest configuration or token file, in bytes.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A function that looks up an environment variable. `None` if it is not set.
pub type Variable<'a> = &'a dyn Fn(&str) -> Option<String>;

/// An environment variable whose value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfitVariable {
    /// The name of the variable.
    pub name: String,
    /// The problem with the value. The text follows the name, as in "`AWS_REGION` is not the name of a region".
    pub problem: String,
    /// The remedy, as an instruction.
    pub remedy: String,
}

impl fmt::Display for UnfitVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.problem)
    }
}

impl std::error::Error for UnfitVariable {}

/// Variables whose value is one line of printable text.
const TEXTS: [&str; 10] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_SECURITY_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN",
];

/// Variables that hold the address of a service.
const ENDPOINTS: [&str; 13] = [
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_ROUTE_53",
    "AWS_ENDPOINT_URL_CLOUDWATCH",
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_ENDPOINT_URL_STS",
    "AWS_ENDPOINT_URL_SSO",
    "AWS_ENDPOINT_URL_SSO_OIDC",
    "AWS_ENDPOINT_URL_SIGNIN",
    "AWS_ENDPOINT_URL_EVENTBRIDGE",
    "AWS_ENDPOINT_URL_SCHEDULER",
    "AWS_ENDPOINT_URL_SNS",
    "AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/// Variables whose value is the path of a file.
const FILES: [&str; 4] = [
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
];

/// The files that are read if the variable is not set, relative to the home directory.
const FILES_AT_HOME: [(&str, &str); 2] = [
    ("AWS_CONFIG_FILE", ".aws/config"),
    ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials"),
];

/// Variables whose value is the address of a proxy, in upper and lower case.
const PROXIES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Checks the environment, and makes all later connections trust the certificates of `AWS_CA_BUNDLE`.
///
/// A proxy in `ALL_PROXY` is not checked if `HTTPS_PROXY` is set, because then it is not used.
///
/// # Errors
/// The first variable that cannot be used.
pub fn prepare(variable: Variable<'_>) -> Result<(), UnfitVariable> {
    texts(variable)?;
    endpoints(variable)?;
    files(variable)?;
    for name in PROXIES {
        let address = variable(name).unwrap_or_default();
        let for_the_rest = name.eq_ignore_ascii_case("ALL_PROXY");
        if for_the_rest && (is_set(variable, "HTTPS_PROXY") || is_set(variable, "https_proxy")) {
            continue; // All calls use https, which has a proxy of its own.
        }
        net::check_proxy(&address).map_err(|problem| {
            let remedy = format!(
                "write the proxy's address as http://HOST:PORT or https://HOST:PORT, or unset {name}"
            );
            unfit(name, problem, remedy)
        })?;
    }
    match variable("AWS_CA_BUNDLE") {
        Some(path) if !path.is_empty() => net::trust(&path).map_err(|why| {
            let remedy = "set it to a PEM file with the certificates of the authorities to trust, or unset AWS_CA_BUNDLE";
            unfit("AWS_CA_BUNDLE", format!("cannot be used: {path}: {why}"), remedy)
        }),
        Some(_) | None => Ok(()),
    }
}

/// Returns true if a variable is set and not empty.
fn is_set(variable: Variable<'_>, name: &str) -> bool {
    variable(name).is_some_and(|text| !text.is_empty())
}

/// Checks the variables in [`TEXTS`].
fn texts(variable: Variable<'_>) -> Result<(), UnfitVariable> {
    for name in TEXTS {
        let text = variable(name).unwrap_or_default();
        if name == "AWS_DEFAULT_REGION" && is_set(variable, "AWS_REGION") {
            continue; // AWS_REGION overrides it.
        }
        if text.chars().any(char::is_control) {
            let problem = "contains a control character, for example a line break";
            let remedy = format!(
                "set {name} again without it; a file that ends in a line break is a common cause"
            );
            return Err(unfit(name, problem, remedy));
        }
        if name.ends_with("REGION") && !text.chars().all(may_be_in_region) {
            let remedy = format!("set {name} to a region, for example eu-west-1");
            return Err(unfit(name, "is not the name of a region", remedy));
        }
        let header = name.contains("KEY") || name.contains("TOKEN");
        if header && !text.is_ascii() {
            let remedy = format!("set {name} again, as AWS gave it");
            return Err(unfit(
                name,
                "contains a character that is not ASCII",
                remedy,
            ));
        }
    }
    Ok(())
}

fn may_be_in_region(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '-'
}

/// Checks the variables in [`ENDPOINTS`].
fn endpoints(variable: Variable<'_>) -> Result<(), UnfitVariable> {
    for name in ENDPOINTS {
        let Some(url) = variable(name) else {
            continue;
        };
        let remedy =
            format!("unset {name}, or set it to an address, for example https://HOST:PORT");
        if url.trim().is_empty() {
            return Err(unfit(name, "is empty", remedy));
        }
        let rest = url.strip_prefix("https://").or(url.strip_prefix("http://"));
        let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
        let fits = url.chars().all(|letter| letter.is_ascii_graphic());
        if !fits || host.is_none_or(str::is_empty) {
            return Err(unfit(name, "is not an address", remedy));
        }
    }
    Ok(())
}

/// Checks the files that [`FILES`] name, and the default ones.
fn files(variable: Variable<'_>) -> Result<(), UnfitVariable> {
    for name in FILES {
        // An empty value and /dev/null are common ways to name no file. A missing file counts as an empty one.
        match variable(name) {
            Some(path) if !path.is_empty() && path != "/dev/null" && exists(&path) => {
                check_file(name, &path)?;
            }
            Some(_) | None => {}
        }
    }
    let home = variable("HOME").unwrap_or_default();
    if home.is_empty() {
        return Ok(());
    }
    for (name, file) in FILES_AT_HOME {
        let path = format!("{home}/{file}");
        if variable(name).is_none() && exists(&path) && path != "/dev/null" {
            check_file(name, &path)?;
        }
    }
    Ok(())
}

fn check_file(name: &str, path: &str) -> Result<(), UnfitVariable> {
    regular_file::check(Path::new(path), FILE_BYTES_MAX).map_err(|why| {
        let remedy = format!("set {name} to a regular file, or unset it");
        unfit(name, format!("cannot be used: {path}: {why}"), remedy)
    })
}

fn exists(path: &str) -> bool {
    Path::new(path).exists()
}

fn unfit(name: &str, problem: impl Into<String>, remedy: impl Into<String>) -> UnfitVariable {
    UnfitVariable {
        name: name.to_owned(),
        problem: problem.into(),
        remedy: remedy.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str, value: &str) -> UnfitVariable {
        let variable = |asked: &str| {
            if asked == name {
                Some(value.to_owned())
            } else {
                None
            }
        };
        let unfit = prepare(&variable).expect_err(name);
        assert_eq!(unfit.name, name);
        assert!(unfit.remedy.contains(name), "{unfit:?}");
        unfit
    }

    #[test]
    fn what_the_sdk_cannot_bear_is_refused_by_name_and_never_repeated() {
        for name in TEXTS {
            let unfit = refused(name, "hunter2\n");
            assert!(!format!("{unfit:?}").contains("hunter2"), "{unfit:?}");
        }
        for name in ENDPOINTS {
            for value in [
                "",
                " ",
                "localhost:4566",
                "http://",
                "https:///x",
                "http://a b",
            ] {
                refused(name, value);
            }
        }
        for name in FILES {
            refused(name, "/dev/zero");
            refused(name, "/");
        }
        for name in PROXIES {
            let unfit = refused(name, "socks5://ada:hunter2@proxy:1080");
            assert!(!format!("{unfit:?}").contains("hunter2"), "{unfit:?}");
        }
        refused("AWS_REGION", "eu west 1");
    }

    #[test]
    fn a_bundle_without_certificates_is_refused_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("ca.pem");
        std::fs::write(&empty, "no certificate\n").unwrap();
        let path = empty.display().to_string();
        assert!(refused("AWS_CA_BUNDLE", &path).problem.contains(&path));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        std::fs::write(&empty, broken).unwrap();
        refused("AWS_CA_BUNDLE", &path);
        refused("AWS_CA_BUNDLE", "/nowhere/ca.pem");
        refused("AWS_CA_BUNDLE", "/dev/zero");
    }

    #[test]
    fn an_environment_without_any_of_it_is_fine() {
        assert_eq!(prepare(&|_| None), Ok(()));
        let usual = |name: &str| match name {
            "AWS_REGION" => Some("eu-west-1".to_owned()),
            "AWS_ENDPOINT_URL" => Some("http://127.0.0.1:4566".to_owned()),
            "AWS_CONFIG_FILE" => Some("/dev/null".to_owned()),
            "HTTPS_PROXY" => Some("HTTP://proxy:3128".to_owned()),
            "ALL_PROXY" => Some("socks5://proxy:1080".to_owned()),
            "AWS_SHARED_CREDENTIALS_FILE" => Some("/nowhere/none".to_owned()),
            "AWS_CA_BUNDLE" | "AWS_PROFILE" | "AWS_DEFAULT_REGION" => Some(String::new()),
            _ => None,
        };
        assert_eq!(prepare(&usual), Ok(()));
    }
}
