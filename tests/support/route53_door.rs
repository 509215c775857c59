//! The REST-XML protocol of the Route 53 model.

use std::collections::BTreeMap;

use cutover::engine::plan::Account;
use cutover::engine::units::{ChangeId, ZoneId};
use cutover::sim::route53::{
    ChangeInfo, HealthCheck, HostedZone, NewZone, RecordStart, Route53, Route53Error, Vpc,
};
use jiff::Timestamp;

use super::route53_records::{read_batch, read_health_config, shown_record};
use super::xml::Element;

/// An HTTP request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Incoming {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) body: Vec<u8>,
}

/// The operation of a request, and the identifiers in its path.
pub(crate) struct Route {
    pub(crate) operation: &'static str,
    ids: Vec<String>,
}

/// A reply of the model: the status and the document.
type Answer = Result<(u16, Element), Route53Error>;

/// Returns the operation that a method and a path name. `None` if there is none.
pub(crate) fn route(method: &str, path: &str) -> Option<Route> {
    let path = decoded(path.strip_prefix("/2013-04-01/")?);
    let segments: Vec<_> = path.split('/').filter(|it| !it.is_empty()).collect();
    let (operation, ids): (_, &[&str]) = match (method, segments.as_slice()) {
        ("POST", ["hostedzone"]) => ("CreateHostedZone", &[]),
        ("GET", ["hostedzone"]) => ("ListHostedZones", &[]),
        ("GET", ["hostedzonesbyname"]) => ("ListHostedZonesByName", &[]),
        ("GET", ["hostedzone", id]) => ("GetHostedZone", &[id]),
        ("DELETE", ["hostedzone", id]) => ("DeleteHostedZone", &[id]),
        ("POST", ["hostedzone", id, "rrset"]) => ("ChangeResourceRecordSets", &[id]),
        ("GET", ["hostedzone", id, "rrset"]) => ("ListResourceRecordSets", &[id]),
        ("GET", ["hostedzonelimit", id, kind]) => ("GetHostedZoneLimit", &[id, kind]),
        ("GET", ["change", id]) => ("GetChange", &[id]),
        ("GET", ["testdnsanswer"]) => ("TestDNSAnswer", &[]),
        ("POST", ["healthcheck"]) => ("CreateHealthCheck", &[]),
        ("GET", ["healthcheck", id]) => ("GetHealthCheck", &[id]),
        ("GET", ["healthcheck", id, "status"]) => ("GetHealthCheckStatus", &[id]),
        ("POST", ["healthcheck", id]) => ("UpdateHealthCheck", &[id]),
        ("DELETE", ["healthcheck", id]) => ("DeleteHealthCheck", &[id]),
        ("POST", ["tags", kind, id]) => ("ChangeTagsForResource", &[kind, id]),
        ("GET", ["tags", kind, id]) => ("ListTagsForResource", &[kind, id]),
        _ => return None,
    };
    Some(Route {
        operation,
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
    })
}

/// Runs a request on the model, and returns the status and the body of the reply.
pub(crate) fn handle(
    model: &mut Route53,
    account: &Account,
    route: &Route,
    incoming: &Incoming,
    now: Timestamp,
) -> (u16, Vec<u8>) {
    let admitted = model.admit(account, route.operation, now);
    let answer = admitted.and_then(|()| {
        let request = Request {
            account,
            ids: &route.ids,
            query: parameters(&incoming.query),
            body: read_body(&incoming.body)?,
            now,
        };
        perform(model, route.operation, &request)
    });
    match answer {
        Ok((status, document)) => (status, document.to_document().into_bytes()),
        Err(error) => {
            let body = error_body(error.status, &error.code, &error.message);
            (error.status, body)
        }
    }
}

/// Returns the document of an error.
pub(crate) fn error_body(status: u16, code: &str, message: &str) -> Vec<u8> {
    let kind = if status < 500 { "Sender" } else { "Receiver" };
    let error = Element::new("Error")
        .with("Type", kind)
        .with("Code", code)
        .with("Message", message);
    let response = Element::new("ErrorResponse")
        .containing(error)
        .with("RequestId", "00000000-0000-4000-8000-000000000000");
    response.to_document().into_bytes()
}

/// The parts of a request that operations need.
struct Request<'a> {
    account: &'a Account,
    ids: &'a [String],
    query: BTreeMap<String, String>,
    body: Element,
    now: Timestamp,
}

impl Request<'_> {
    fn id(&self, index: usize) -> &str {
        self.ids.get(index).map_or("", String::as_str)
    }

    fn zone(&self) -> ZoneId {
        ZoneId::from(self.id(0))
    }

    fn parameter(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    fn owned_parameter(&self, name: &str) -> Option<String> {
        self.query.get(name).cloned()
    }

    /// Returns `maxitems`. Without it, the model's own limit of a page applies.
    fn limit(&self) -> Result<usize, Route53Error> {
        let Some(text) = self.parameter("maxitems") else {
            return Ok(usize::MAX);
        };
        match text.parse() {
            Ok(limit) if limit > 0 => Ok(limit),
            Ok(_) | Err(_) => {
                let message = format!("MaxItems is not a positive number: {text}");
                Err(invalid_input(&message))
            }
        }
    }
}

fn perform(model: &mut Route53, operation: &str, request: &Request<'_>) -> Answer {
    match operation {
        "CreateHostedZone" => create_zone(model, request),
        "ListHostedZones" => list_zones(model, request),
        "ListHostedZonesByName" => list_zones_by_name(model, request),
        "GetHostedZone" => {
            let zone = model.zone(request.account, &request.zone())?;
            Ok((
                200,
                zone_details(Element::new("GetHostedZoneResponse"), zone),
            ))
        }
        "DeleteHostedZone" => {
            let info = model.delete_zone(request.account, &request.zone(), request.now)?;
            let document = Element::new("DeleteHostedZoneResponse");
            Ok((200, document.containing(shown_change(&info))))
        }
        "ChangeResourceRecordSets" => {
            let batch = read_batch(&request.body)?;
            let info = model.change(request.account, &request.zone(), &batch, request.now)?;
            let document = Element::new("ChangeResourceRecordSetsResponse");
            Ok((200, document.containing(shown_change(&info))))
        }
        "ListResourceRecordSets" => list_records(model, request),
        "GetHostedZoneLimit" => zone_limit(model, request),
        "GetChange" => {
            let info = model.change_info(&ChangeId::from(request.id(0)), request.now)?;
            let document = Element::new("GetChangeResponse");
            Ok((200, document.containing(shown_change(&info))))
        }
        "TestDNSAnswer" => test_answer(model, request),
        "ChangeTagsForResource" => change_tags(model, request),
        "ListTagsForResource" => Ok((200, shown_tags(model, request))),
        _ => health_check(model, operation, request),
    }
}

fn create_zone(model: &mut Route53, request: &Request<'_>) -> Answer {
    let body = &request.body;
    let vpc = body.child("VPC").map(|vpc| Vpc {
        region: vpc.text_of("VPCRegion").unwrap_or_default(),
        id: vpc.text_of("VPCId").unwrap_or_default(),
    });
    let config = body.child("HostedZoneConfig");
    let new = NewZone {
        account: request.account.clone(),
        name: body.text_of("Name").unwrap_or_default(),
        caller_reference: body.text_of("CallerReference").unwrap_or_default(),
        comment: config.and_then(|config| config.text_of("Comment")),
        vpc,
    };
    let (id, info) = model.create_zone(new, request.now)?;
    let zone = model.zone(request.account, &id)?;
    let document = Element::new("CreateHostedZoneResponse").containing(shown_change(&info));
    Ok((201, zone_details(document, zone)))
}

fn list_zones(model: &Route53, request: &Request<'_>) -> Answer {
    let limit = request.limit()?;
    let page = model.list_zones(request.account, request.parameter("marker"), limit);
    let document = Element::new("ListHostedZonesResponse")
        .containing(zone_list(&page.zones))
        .with_some("Marker", request.parameter("marker"))
        .with("IsTruncated", page.next.is_some())
        .with_some("NextMarker", page.next.map(|zone| &zone.id))
        .with("MaxItems", limit.min(100));
    Ok((200, document))
}

fn list_zones_by_name(model: &Route53, request: &Request<'_>) -> Answer {
    let limit = request.limit()?;
    let start = request.parameter("dnsname");
    let start_id = request.parameter("hostedzoneid");
    let start_id = start_id.map(|id| ZoneId::from(id.trim_start_matches("/hostedzone/")));
    let page = model.list_zones_by_name(request.account, start, start_id.as_ref(), limit)?;
    let document = Element::new("ListHostedZonesByNameResponse")
        .containing(zone_list(&page.zones))
        .with_some("DNSName", start)
        .with("IsTruncated", page.next.is_some())
        .with_some("NextDNSName", page.next.map(|zone| &zone.name))
        .with_some("NextHostedZoneId", page.next.map(|zone| &zone.id))
        .with("MaxItems", limit.min(100));
    Ok((200, document))
}

fn list_records(model: &Route53, request: &Request<'_>) -> Answer {
    let limit = request.limit()?;
    let start = RecordStart {
        name: request.owned_parameter("name"),
        record_type: request.owned_parameter("type"),
        identifier: request.owned_parameter("identifier"),
    };
    let page = model.list_records(request.account, &request.zone(), &start, limit)?;
    let records = page.records.into_iter().map(shown_record);
    let next = page.next;
    let document = Element::new("ListResourceRecordSetsResponse")
        .containing(Element::new("ResourceRecordSets").containing_all(records))
        .with("IsTruncated", next.is_some())
        .with_some("NextRecordName", next.map(|record| &record.name))
        .with_some("NextRecordType", next.map(|record| &record.record_type))
        .with_some(
            "NextRecordIdentifier",
            next.and_then(|it| it.set_identifier.as_ref()),
        )
        .with("MaxItems", limit.min(300));
    Ok((200, document))
}

fn zone_limit(model: &Route53, request: &Request<'_>) -> Answer {
    let zone = model.zone(request.account, &request.zone())?;
    let (value, count) = match request.id(1) {
        "MAX_RRSETS_BY_ZONE" => (10_000, zone.record_count()),
        "MAX_VPCS_ASSOCIATED_BY_ZONE" => (300, usize::from(zone.is_private())),
        other => return Err(invalid_input(&format!("unknown limit {other}"))),
    };
    let limit = Element::new("Limit")
        .with("Type", request.id(1))
        .with("Value", value);
    let document = Element::new("GetHostedZoneLimitResponse")
        .containing(limit)
        .with("Count", count);
    Ok((200, document))
}

fn test_answer(model: &mut Route53, request: &Request<'_>) -> Answer {
    let zone = request.parameter("hostedzoneid").unwrap_or_default();
    let zone = ZoneId::from(zone.trim_start_matches("/hostedzone/"));
    let name = request.parameter("recordname").unwrap_or_default();
    let kind = request.parameter("recordtype").unwrap_or_default();
    let answer = model.test_answer(request.account, &zone, name, kind, request.now)?;
    let values = answer.values.iter();
    let values = values.map(|value| Element::new("RecordDataEntry").holding(value));
    let document = Element::new("TestDNSAnswerResponse")
        .with("Nameserver", answer.name_server)
        .with("RecordName", name)
        .with("RecordType", kind)
        .containing(Element::new("RecordData").containing_all(values))
        .with("ResponseCode", answer.response_code)
        .with("Protocol", "UDP");
    Ok((200, document))
}

fn change_tags(model: &mut Route53, request: &Request<'_>) -> Answer {
    let add = request.body.list("AddTags").iter().map(|tag| {
        let key = tag.text_of("Key").unwrap_or_default();
        (key, tag.text_of("Value").unwrap_or_default())
    });
    let remove = request.body.list("RemoveTagKeys").iter();
    let remove: Vec<_> = remove.map(|key| key.text().to_owned()).collect();
    model.change_tags(request.id(0), request.id(1), add, &remove)?;
    Ok((200, Element::new("ChangeTagsForResourceResponse")))
}

fn shown_tags(model: &Route53, request: &Request<'_>) -> Element {
    let tags = model.tags(request.id(0), request.id(1)).into_iter();
    let tags = tags.map(|(key, value)| Element::new("Tag").with("Key", key).with("Value", value));
    let set = Element::new("ResourceTagSet")
        .with("ResourceType", request.id(0))
        .with("ResourceId", request.id(1))
        .containing(Element::new("Tags").containing_all(tags));
    Element::new("ListTagsForResourceResponse").containing(set)
}

fn health_check(model: &mut Route53, operation: &str, request: &Request<'_>) -> Answer {
    let id = request.id(0);
    let body = &request.body;
    match operation {
        "CreateHealthCheck" => {
            let reference = body.text_of("CallerReference").unwrap_or_default();
            let config = body.child("HealthCheckConfig").map(read_health_config);
            let config = config.unwrap_or_default();
            let check = model.create_health_check(&reference, config, request.now)?;
            let document = Element::new("CreateHealthCheckResponse");
            Ok((201, document.containing(shown_check(&check))))
        }
        "GetHealthCheck" => {
            let check = shown_check(model.health_check(id)?);
            Ok((
                200,
                Element::new("GetHealthCheckResponse").containing(check),
            ))
        }
        "GetHealthCheckStatus" => {
            let check = model.health_check(id)?;
            Ok((200, shown_status(check, request.now)))
        }
        "UpdateHealthCheck" => {
            let version = body.text_of("HealthCheckVersion");
            let version = version.and_then(|version| version.parse().ok());
            let update = read_health_config(body);
            let check = model.update_health_check(id, version, &update)?;
            let document = Element::new("UpdateHealthCheckResponse");
            Ok((200, document.containing(shown_check(&check))))
        }
        "DeleteHealthCheck" => {
            model.delete_health_check(id)?;
            Ok((200, Element::new("DeleteHealthCheckResponse")))
        }
        other => Err(invalid_input(&format!("unknown operation {other}"))),
    }
}

fn zone_details(document: Element, zone: &HostedZone) -> Element {
    let document = document.containing(shown_zone(zone));
    if let Some(vpc) = &zone.vpc {
        let vpc = Element::new("VPC")
            .with("VPCRegion", &vpc.region)
            .with("VPCId", &vpc.id);
        return match document.child("ChangeInfo") {
            Some(_) => document.containing(vpc),
            None => document.containing(Element::new("VPCs").containing(vpc)),
        };
    }
    let servers = zone.name_servers();
    let servers = servers
        .iter()
        .map(|server| Element::new("NameServer").holding(server));
    let set = Element::new("NameServers").containing_all(servers);
    document.containing(Element::new("DelegationSet").containing(set))
}

fn zone_list(zones: &[&HostedZone]) -> Element {
    let zones = zones.iter().map(|zone| shown_zone(zone));
    Element::new("HostedZones").containing_all(zones)
}

fn shown_zone(zone: &HostedZone) -> Element {
    let config = Element::new("Config")
        .with_some("Comment", zone.comment.as_ref())
        .with("PrivateZone", zone.is_private());
    Element::new("HostedZone")
        .with("Id", format!("/hostedzone/{}", zone.id))
        .with("Name", &zone.name)
        .with("CallerReference", &zone.caller_reference)
        .containing(config)
        .with("ResourceRecordSetCount", zone.record_count())
}

fn shown_change(info: &ChangeInfo) -> Element {
    Element::new("ChangeInfo")
        .with("Id", format!("/change/{}", info.id))
        .with("Status", if info.in_sync { "INSYNC" } else { "PENDING" })
        .with("SubmittedAt", format!("{:.3}", info.submitted_at))
        .with_some("Comment", info.comment.as_ref())
}

fn shown_check(check: &HealthCheck) -> Element {
    let config = &check.config;
    let config = Element::new("HealthCheckConfig")
        .with_some("IPAddress", config.ip_address.as_ref())
        .with_some("Port", config.port)
        .with("Type", &config.check_type)
        .with_some("ResourcePath", config.resource_path.as_ref())
        .with_some("FullyQualifiedDomainName", config.domain_name.as_ref())
        .with("RequestInterval", config.request_interval.unwrap_or(30))
        .with("FailureThreshold", config.failure_threshold.unwrap_or(3))
        .with_some("Inverted", config.inverted)
        .with_some("Disabled", config.disabled);
    Element::new("HealthCheck")
        .with("Id", &check.id)
        .with("CallerReference", &check.caller_reference)
        .containing(config)
        .with("HealthCheckVersion", check.version)
}

fn shown_status(check: &HealthCheck, now: Timestamp) -> Element {
    let regions = [
        "us-east-1",
        "us-west-1",
        "us-west-2",
        "eu-west-1",
        "ap-northeast-1",
    ];
    let status = if check.endpoint_healthy {
        "Success: HTTP Status Code 200, OK"
    } else {
        "Failure: Connection timed out"
    };
    let observations = regions.iter().enumerate().map(|(index, region)| {
        let report = Element::new("StatusReport")
            .with("Status", status)
            .with("CheckedTime", format!("{now:.3}"));
        Element::new("HealthCheckObservation")
            .with("Region", region)
            .with("IPAddress", format!("192.0.2.{}", index + 1))
            .containing(report)
    });
    let list = Element::new("HealthCheckObservations").containing_all(observations);
    Element::new("GetHealthCheckStatusResponse").containing(list)
}

fn invalid_input(message: &str) -> Route53Error {
    Route53Error::new(400, "InvalidInput", message)
}

/// Reads the document in a body. An empty body gives an empty element.
fn read_body(body: &[u8]) -> Result<Element, Route53Error> {
    if body.is_empty() {
        return Ok(Element::default());
    }
    let text = std::str::from_utf8(body).ok();
    text.and_then(Element::parse)
        .ok_or_else(|| invalid_input("The request body is not well-formed XML"))
}

/// Returns the parameters of a query string, decoded.
pub(crate) fn parameters(query: &str) -> BTreeMap<String, String> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .map(|(name, value)| (decoded(name), decoded(&value.replace('+', " "))))
        .collect()
}

/// Decodes percent encoding. Text that is not encoded stays as it is.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match value {
            Some(value) if first == b'%' => {
                bytes.push(value);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
