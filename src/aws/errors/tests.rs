use aws_smithy_types::body::SdkBody;

use super::*;

fn group(name: &str, record_type: &str) -> GroupName {
    GroupName {
        name: DnsName::new(name),
        record_type: record_type.to_owned(),
    }
}

#[test]
fn a_stale_compare_and_swap_is_split_into_its_two_failures() {
    let message = "[Tried to delete resource record set [name='test.example.com.', type='CNAME'] but the values \
        provided do not match the current values, Tried to create resource record set [name='test.example.com.', \
        type='CNAME'] but it already exists]";
    let failures = batch_failures(message);
    assert_eq!(failures.len(), 2);
    for failure in &failures {
        assert_eq!(failure.name, Some(DnsName::new("test.example.com")));
        assert_eq!(failure.record_type.as_deref(), Some("CNAME"));
    }
    assert!(
        failures[0]
            .text
            .ends_with("do not match the current values")
    );
    assert!(failures[1].text.ends_with("but it already exists"));
}

#[test]
fn the_forms_on_record_name_their_record_sets() {
    let cases = [
        (
            "[Tried to delete resource record set [name='\\052.example.com.', type='A', set-identifier='a, B'] but it was not found]",
            Some("*.example.com"),
            Some("A"),
        ),
        (
            "[RRSet with DNS name api.example.com., type AAAA, SetIdentifier ecs cannot be created as weighted sets must contain the same TTL.]",
            Some("api.example.com"),
            Some("AAAA"),
        ),
        (
            "RRSet with DNS name api.example.com., type A cannot be created as a non-weighted set exists with the same name and type.",
            Some("api.example.com"),
            Some("A"),
        ),
        (
            "[RRSet with DNS name api.example.net. is not permitted in zone example.com.]",
            Some("api.example.net"),
            None,
        ),
        (
            "[Tried to create an alias that targets lb.example.org., type A in zone Z1, but that target was not found]",
            None,
            None,
        ),
        ("[Number of records limit of 1000 exceeded.]", None, None),
        ("[RDATA character limit of 32000 exceeded.]", None, None),
    ];
    for (message, name, record_type) in cases {
        let failures = batch_failures(message);
        assert_eq!(failures.len(), 1, "{message}");
        assert_eq!(failures[0].name, name.map(DnsName::new), "{message}");
        assert_eq!(failures[0].record_type.as_deref(), record_type, "{message}");
    }
    assert!(batch_failures("").is_empty());
    assert!(batch_failures("[]").is_empty());
}

#[test]
fn different_failures_of_one_message_are_told_apart() {
    let message = "[RRSet with DNS name a.example.com., type A, SetIdentifier x cannot be created as weighted sets must \
        contain the same TTL., Tried to delete resource record set [name='b.example.com.', type='A'] but it was not found]";
    let failures = batch_failures(message);
    let batch = [
        group("a.example.com", "A"),
        group("a.example.com", "AAAA"),
        group("b.example.com", "A"),
        group("c.example.com", "A"),
    ];
    let named = culprits(&failures, &batch);
    assert_eq!(
        named,
        [group("a.example.com", "A"), group("b.example.com", "A")]
    );
}

#[test]
fn a_failure_without_a_type_means_all_types_of_the_name() {
    let failures =
        batch_failures("[RRSet with DNS name a.example.com. is not permitted in zone b.]");
    let batch = [group("a.example.com", "A"), group("a.example.com", "AAAA")];
    assert_eq!(culprits(&failures, &batch), batch);
}

#[test]
fn codes_have_their_class() {
    let cases = [
        ("Throttling", Some(FailureClass::Throttled)),
        ("PriorRequestNotComplete", Some(FailureClass::Throttled)),
        ("AccessDeniedException", Some(FailureClass::Denied)),
        ("ExpiredTokenException", Some(FailureClass::Denied)),
        ("SignatureDoesNotMatch", Some(FailureClass::Denied)),
        ("UnrecognizedClientException", Some(FailureClass::Denied)),
        ("InvalidChangeBatch", Some(FailureClass::Conflict)),
        ("NoSuchHostedZone", Some(FailureClass::Permanent)),
        ("InvalidInput", Some(FailureClass::Permanent)),
        ("ServiceUnavailable", Some(FailureClass::Transient)),
        ("SomethingNew", None),
    ];
    for (code, class) in cases {
        assert_eq!(class_of_code(code), class, "{code}");
    }
    assert_eq!(
        bare_code("com.amazonaws.cloudwatch#ThrottlingException:x"),
        "ThrottlingException"
    );
    assert_eq!(class_of_status(Some(503)), FailureClass::Transient);
    assert_eq!(class_of_status(Some(418)), FailureClass::Permanent);
}

#[test]
fn a_code_that_is_longer_than_any_is_cut() {
    assert_eq!(bare_code(&"Ä".repeat(100_000)), "Ä".repeat(100));
}

#[test]
fn messages_hold_no_secrets() {
    let token = "IQoJb3JpZ2luX2VjE".repeat(12);
    let message = format!(
        "The request signature we calculated does not match for AKIAIOSFODNN7EXAMPLE with token {token}\nThe Canonical \
         String for this request should have been\n'POST\nx-amz-security-token:{token}'"
    );
    let shown = presentable(&message);
    assert!(!shown.contains("AKIAIOSFODNN7EXAMPLE"), "{shown}");
    assert!(!shown.contains("IQoJb3"), "{shown}");
    assert!(shown.contains("does not match"), "{shown}");
    let arn = "User: arn:aws:sts::111111111111:assumed-role/cutover/cutover is not authorized";
    assert_eq!(presentable(arn), arn);
}

#[test]
fn long_messages_are_cut() {
    let shown = presentable(&"word ".repeat(2_000));
    assert_eq!(shown.chars().count(), MESSAGE_CHARS_MAX + 1);
}

/// Returns the class and the message if STS refuses the credentials of a role with this code and message.
fn role_refused(code: &str, message: &str) -> (FailureClass, String) {
    let meta = aws_smithy_types::error::ErrorMetadata::builder()
        .code(code)
        .message(message)
        .build();
    role_not_had(meta, 403)
}

/// Returns the class and the message if a reply to `AssumeRole` with this status has no credentials.
fn role_not_had(
    meta: aws_smithy_types::error::ErrorMetadata,
    status: u16,
) -> (FailureClass, String) {
    let refused = AssumeRoleError::generic(meta);
    let response = HttpResponse::new(status.try_into().unwrap(), SdkBody::empty());
    let refused: SdkError<AssumeRoleError, HttpResponse> =
        SdkError::service_error(refused, response);
    credentials_failure(&CredentialsError::provider_error(refused))
}

#[test]
fn a_proxy_that_answers_in_the_place_of_sts_refuses_nobody() {
    let page = aws_smithy_types::error::ErrorMetadata::builder().build();
    let (class, said) = role_not_had(page, 503);
    assert_eq!(class, FailureClass::Transient);
    assert!(said.contains("not one of STS (HTTP status 503)"), "{said}");
    let busy = aws_smithy_types::error::ErrorMetadata::builder();
    let busy = busy.code("InternalFailure").build();
    assert_eq!(role_not_had(busy, 500).0, FailureClass::Transient);
    let odd = aws_smithy_types::error::ErrorMetadata::builder();
    let odd = odd.code("PackedPolicyTooLarge").build();
    assert_eq!(role_not_had(odd, 400).0, FailureClass::Denied);
}

#[test]
fn a_role_that_cannot_be_assumed_is_named_with_who_asked_and_what_to_check() {
    let (class, said) = role_refused(
        "AccessDenied",
        "User: arn:aws:iam::111111111111:user/ci is not authorized to perform: sts:AssumeRole on resource: \
         arn:aws:iam::222222222222:role/cutover",
    );
    assert_eq!(class, FailureClass::Denied);
    assert!(
        said.starts_with(
            "the role arn:aws:iam::222222222222:role/cutover cannot be assumed by arn:aws:iam::111111111111:user/ci"
        ),
        "{said}"
    );
    assert!(
        said.contains("trust policy") && said.contains("sts:AssumeRole"),
        "{said}"
    );
    let (_, silent) = role_refused("AccessDenied", "Access denied");
    assert!(
        silent.starts_with("the role of the plan (`role_arn`) cannot be assumed by the present"),
        "{silent}"
    );
    let (class, expired) = role_refused("ExpiredTokenException", "The security token is expired");
    assert_eq!(class, FailureClass::Denied);
    assert_eq!(
        expired,
        "the role cannot be assumed: ExpiredTokenException: The security token is expired"
    );
    let (class, _) = role_refused("Throttling", "Rate exceeded");
    assert_eq!(class, FailureClass::Throttled);
    for said in [said, silent, expired] {
        assert!(
            !said.contains("Error {") && !said.contains("no AWS credentials"),
            "{said}"
        );
    }
}

#[test]
fn a_machine_without_credentials_is_told_what_to_do_in_one_sentence() {
    let none = || {
        CredentialsError::not_loaded(
            "no credentials found in chain. Attempted: Environment, Profile",
        )
    };
    let (class, said) = credentials_failure(&none());
    assert_eq!(
        (class, said.as_str()),
        (FailureClass::Denied, NO_CREDENTIALS)
    );
    // STS cannot be asked for a role without credentials.
    let unsent = ConnectorError::other(none().into(), None);
    let (_, said) = credentials_failure(&CredentialsError::provider_error(unsent));
    assert_eq!(said, NO_CREDENTIALS);
    let unreached = ConnectorError::io("connection refused".into());
    let (class, said) = credentials_failure(&CredentialsError::provider_error(unreached));
    assert_eq!(class, FailureClass::Transient);
    assert!(said.contains("connection refused"), "{said}");
}
