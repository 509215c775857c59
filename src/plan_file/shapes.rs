//! Checks of the shapes of names, without AWS. Each check returns the mistake and a suggested fix.

use crate::engine::foreign_text::one_line;
use crate::engine::units::{DnsName, ZoneId};

use super::diagnostics::quote;

/// A message and a help.
pub(super) type Complaint = (String, String);

/// The longest name of a cutover. It becomes part of change comments, which have at most 256 characters in Route 53.
const NAME_CHARS_MAX: usize = 64;

/// The most characters of a set identifier. Source: Route 53 API Reference, `ResourceRecordSet$SetIdentifier`.
const SET_IDENTIFIER_CHARS_MAX: usize = 128;

/// The most characters of an alarm's name. Source: `CloudWatch` API Reference, `AlarmName`.
const ALARM_NAME_CHARS_MAX: usize = 255;

/// The most bytes of a DNS name and of one of its labels. Source: RFC 1035, section 2.3.4; the final dot is not written.
const DNS_NAME_BYTES_MAX: usize = 253;
const DNS_LABEL_BYTES_MAX: usize = 63;

/// A cutover's name.
pub(super) fn cutover_name(name: &str) -> Result<(), Complaint> {
    let allowed = !name.is_empty() && name.chars().all(may_be_in_name);
    let ends_well = !name.starts_with('-') && !name.ends_with('-');
    if allowed && name.len() <= NAME_CHARS_MAX && ends_well {
        return Ok(());
    }
    let corrected = corrected_name(name);
    let help = if corrected.is_empty() {
        "write for example `recipe-api`".to_owned()
    } else {
        format!("write for example `{corrected}`")
    };
    let message = if name.len() > NAME_CHARS_MAX {
        format!(
            "the name has {} characters; {NAME_CHARS_MAX} are the most",
            name.chars().count()
        )
    } else {
        format!(
            "the name {} may have only a-z, 0-9 and hyphens, and no hyphen first or last",
            quote(name)
        )
    };
    Err((message, help))
}

fn may_be_in_name(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

/// The closest valid name; empty if nothing is left of it.
fn corrected_name(name: &str) -> String {
    let mut hyphenated = String::new();
    for c in name.to_lowercase().chars() {
        hyphenated.push(if may_be_in_name(c) { c } else { '-' });
    }
    let trimmed = hyphenated.trim_matches('-');
    let cut: String = trimmed.chars().take(NAME_CHARS_MAX).collect();
    cut.trim_end_matches('-').to_owned()
}

/// A region such as `ap-northeast-1` or `us-gov-west-1`.
pub(super) fn region(region: &str) -> Result<(), Complaint> {
    if is_region(region) {
        return Ok(());
    }
    let without_letter = region.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let message = format!("{} is not an AWS region", quote(region));
    let help = if without_letter.len() + 1 == region.len() && is_region(without_letter) {
        format!("that is an availability zone; write its region, `{without_letter}`")
    } else {
        "write for example `ap-northeast-1` or `us-east-1`".to_owned()
    };
    Err((message, help))
}

fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let Some((number, words)) = parts.split_last() else {
        return false;
    };
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let lower = words
        .iter()
        .all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()));
    text.len() <= 32 && words.len() >= 2 && lower && digits
}

/// The ARN of an IAM role.
pub(super) fn role_arn(arn: &str) -> Result<(), Complaint> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let help = "write for example `arn:aws:iam::111111111111:role/cutover`".to_owned();
    let [prefix, partition, service, region, account, resource] = parts.as_slice() else {
        return Err((
            format!("{} is not the ARN of an IAM role", quote(arn)),
            help,
        ));
    };
    let account_digits = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    let role = resource.strip_prefix("role/").unwrap_or("");
    let role_fits = role
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "+=,.@_/-".contains(c));
    let partition = *partition == "aws" || partition.starts_with("aws-");
    if *prefix != "arn" || !partition || *service != "iam" || !region.is_empty() {
        return Err((
            format!("{} is not the ARN of an IAM role", quote(arn)),
            help,
        ));
    }
    if !account_digits {
        let message = format!(
            "the account {} of this ARN does not have 12 digits",
            quote(account)
        );
        return Err((message, help));
    }
    if role.is_empty() || role.ends_with('/') || !role_fits {
        return Err((
            format!("{} is not the ARN of an IAM role", quote(arn)),
            help,
        ));
    }
    Ok(())
}

/// A hosted zone, by name or by ID.
pub(super) fn zone(zone: &str) -> Result<(), Complaint> {
    if ZoneId::is_written_as(zone) {
        return Ok(());
    }
    let id = zone.rsplit('/').next().unwrap_or("");
    if zone.contains("hostedzone/") && ZoneId::is_written_as(id) {
        let message = format!("{} is a path, not a zone", quote(zone));
        return Err((message, format!("write the ID alone: `{id}`")));
    }
    dns_name(zone)
}

/// A DNS name that a record may have.
pub(super) fn dns_name(name: &str) -> Result<(), Complaint> {
    let shown = quote(name);
    if let Some((_, host)) = name.split_once("://") {
        let host = host.split(['/', ':']).next().unwrap_or("");
        let message = format!("{shown} is an address, not a DNS name");
        return Err((message, format!("write `{}`", one_line(host))));
    }
    if !name.is_ascii() {
        let message = format!("{shown} has letters that the DNS does not know");
        return Err((
            message,
            "write the name in its ASCII form, `xn--…`".to_owned(),
        ));
    }
    let help = "write for example `api.example.com`".to_owned();
    let bare = name.strip_suffix('.').unwrap_or(name);
    let odd = bare
        .bytes()
        .any(|b| b.is_ascii_whitespace() || b.is_ascii_control() || b == b'/');
    if odd {
        return Err((format!("{shown} is not a DNS name"), help));
    }
    if bare.is_empty() || bare.split('.').any(str::is_empty) {
        return Err((format!("{shown} has an empty part"), help));
    }
    let too_long = bare
        .split('.')
        .any(|label| label.len() > DNS_LABEL_BYTES_MAX);
    if too_long || bare.len() > DNS_NAME_BYTES_MAX {
        let message = format!(
            "{shown} is too long: a DNS name has at most {DNS_NAME_BYTES_MAX} characters, each part {DNS_LABEL_BYTES_MAX}"
        );
        return Err((message, "write the name that is in Route 53".to_owned()));
    }
    Ok(())
}

/// A name that must be in a zone that is given by name.
pub(super) fn in_zone(name: &DnsName, zone: &DnsName) -> Result<(), Complaint> {
    if name.is_in_zone(zone) {
        return Ok(());
    }
    let message = format!(
        "{} is not in the zone {}",
        quote(name.as_str()),
        quote(zone.as_str())
    );
    let help = if name.as_str().contains('.') {
        "correct the name, or write the zone that it is in".to_owned()
    } else {
        format!("write the whole name: `{name}.{zone}`")
    };
    Err((message, help))
}

/// A record's set identifier.
pub(super) fn set_identifier(identifier: &str) -> Result<(), Complaint> {
    let characters = identifier.chars().count();
    let help = "write the record's set identifier (its Record ID in the console)".to_owned();
    if characters == 0 {
        return Err(("the set identifier is empty".to_owned(), help));
    }
    without_controls(identifier, "Route 53")?;
    if characters > SET_IDENTIFIER_CHARS_MAX {
        let message = format!(
            "the set identifier has {characters} characters; Route 53 accepts {SET_IDENTIFIER_CHARS_MAX} at most"
        );
        return Err((message, help));
    }
    Ok(())
}

/// A name in a service of AWS, none of which accepts control characters. Sources: `CloudWatch` API Reference,
/// `PutMetricAlarm` and `Dimension`; Route 53's API is XML 1.0, which cannot contain them.
pub(super) fn without_controls(name: &str, service: &str) -> Result<(), Complaint> {
    if !name.contains(|c: char| c.is_ascii_control()) {
        return Ok(());
    }
    let message = format!(
        "{} has control characters or line breaks, which {service} does not accept",
        quote(name)
    );
    Err((
        message,
        "write the name on one line, without them".to_owned(),
    ))
}

/// An alarm's name.
pub(super) fn alarm_name(name: &str) -> Result<(), Complaint> {
    let bare = name.split_once(":alarm:").map_or(name, |(_, bare)| bare);
    let characters = bare.chars().count();
    if characters == 0 || name.trim() != name {
        let help = "write the alarm's name, exactly as in CloudWatch".to_owned();
        return Err((format!("{} is not the name of an alarm", quote(name)), help));
    }
    without_controls(name, "CloudWatch")?;
    if characters > ALARM_NAME_CHARS_MAX {
        let message = format!(
            "the alarm's name has {characters} characters; CloudWatch accepts {ALARM_NAME_CHARS_MAX} at most"
        );
        return Err((message, "write the name that is in CloudWatch".to_owned()));
    }
    Ok(())
}

/// The length of an external ID. Source: STS API Reference, `AssumeRole`: 2 to 1,224 characters.
const EXTERNAL_ID_CHARS: std::ops::RangeInclusive<usize> = 2..=1_224;

/// An external ID, as a role's trust policy requires it.
pub(super) fn external_id(text: &str) -> Result<(), Complaint> {
    let fits = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "_+=,.@:/-\\".contains(c));
    if fits && EXTERNAL_ID_CHARS.contains(&text.len()) {
        return Ok(());
    }
    let message = format!("{} is not an external ID", quote(text));
    let help = "write the `sts:ExternalId` of the role's trust policy".to_owned();
    Err((message, help))
}
