//! The part of STS that assumed roles and approvals need: `AssumeRole` and `GetCallerIdentity`, in the query protocol.

use jiff::{SignedDuration, Timestamp};

use super::cloudwatch_door::Reply;
use super::route53_door::{error_body, parameters};
use super::xml::Element;

/// Returns the access key that a caller has after assuming the role with this name.
pub(crate) fn access_key_of(role_name: &str) -> String {
    format!("ASIA{}", role_name.to_ascii_uppercase())
}

/// Returns the operation that a form names. `None` if the body is not a form.
pub(crate) fn operation(body: &[u8]) -> Option<String> {
    let mut form = parameters(std::str::from_utf8(body).ok()?);
    form.remove("Action")
}

/// Answers a request. Every caller may assume every role.
pub(crate) fn handle(operation: &str, body: &[u8], now: Timestamp) -> Reply {
    if operation == "GetCallerIdentity" {
        let result = Element::new("GetCallerIdentityResult")
            .with("Arn", "arn:aws:iam::111111111111:user/ada")
            .with("UserId", "AIDA")
            .with("Account", "111111111111");
        let response = Element::new("GetCallerIdentityResponse").containing(result);
        return Reply::xml(200, response.to_document().into_bytes());
    }
    let form = parameters(std::str::from_utf8(body).unwrap_or_default());
    let role_arn = form.get("RoleArn").map_or("", String::as_str);
    let Some((_, role_name)) = role_arn.rsplit_once('/') else {
        let message = format!("{operation}: {role_arn:?} is invalid");
        return Reply::xml(400, error_body(400, "ValidationError", &message));
    };
    let expiration = now.saturating_add(SignedDuration::from_hours(1));
    let expiration = expiration.expect("a time of this era");
    let credentials = Element::new("Credentials")
        .with("AccessKeyId", access_key_of(role_name))
        .with("SecretAccessKey", "testing")
        .with("SessionToken", "testing")
        .with("Expiration", format!("{expiration:.0}"));
    let user = Element::new("AssumedRoleUser")
        .with("AssumedRoleId", "AROA:session")
        .with("Arn", role_arn);
    let result = Element::new("AssumeRoleResult")
        .containing(credentials)
        .containing(user);
    let response = Element::new("AssumeRoleResponse").containing(result);
    Reply::xml(200, response.to_document().into_bytes())
}
