//! The HTTP protocols of the `CloudWatch` model: Smithy RPC v2 with CBOR, the only one of the Rust SDK, and JSON, which
//! boto3 and the AWS command line prefer. AWS's service speaks both.
//!
//! The HTTP server calls this module. It reads the region from the credential scope of the request's signature.

mod cbor;
mod read;
mod write;

use std::io::Read as _;

use cutover::sim::cloudwatch::error::ApiError;
use cutover::sim::cloudwatch::{CloudWatch, Region};
use flate2::read::GzDecoder;
use jiff::Timestamp;

use self::cbor::Cbor;
use self::read::Input;
use self::write::Output;

/// The path in front of the operation's name, in requests with CBOR.
pub(crate) const CBOR_PATH: &str = "/service/GraniteServiceVersion20100801/operation/";
/// The text in front of the operation's name in the header `x-amz-target`, in requests with JSON.
pub(crate) const JSON_TARGET: &str = "GraniteServiceVersion20100801.";
/// The largest request body after decompression, in bytes: twice the 1 MB that `PutMetricData` allows.
const BODY_MAX: u64 = 2 << 20;

/// An HTTP reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The headers that the protocol needs.
    pub(crate) headers: Vec<(&'static str, String)>,
    /// The body, in CBOR or JSON like the request.
    pub(crate) body: Vec<u8>,
}

/// The protocols that the service speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Smithy RPC v2 with CBOR.
    Cbor,
    /// AWS JSON 1.0.
    Json,
}

impl Reply {
    /// Returns a reply in XML, as Route 53 and STS send it.
    pub(crate) fn xml(status: u16, body: Vec<u8>) -> Self {
        Self {
            status,
            headers: vec![("content-type", "text/xml".to_owned())],
            body,
        }
    }

    fn of(
        protocol: Protocol,
        (status, mut headers, output): (u16, Vec<(&'static str, String)>, Cbor),
    ) -> Self {
        let body = match protocol {
            Protocol::Cbor => {
                headers.push(("smithy-protocol", "rpc-v2-cbor".to_owned()));
                headers.push(("content-type", "application/cbor".to_owned()));
                output.encode()
            }
            Protocol::Json => {
                headers.push(("content-type", "application/x-amz-json-1.0".to_owned()));
                output.to_json().to_string().into_bytes()
            }
        };
        Self {
            status,
            headers,
            body,
        }
    }
}

/// Answers a request with CBOR. Its body may be compressed with gzip.
pub(crate) fn handle(
    model: &mut CloudWatch,
    region: &str,
    operation: &str,
    body: &[u8],
    now: Timestamp,
) -> Reply {
    let input = unpack(body).and_then(|body| Cbor::decode(&body).map_err(|why| unreadable(&why)));
    let answer =
        input.and_then(|input| answer(model.region(region, now), operation, Input(&input), now));
    Reply::of(Protocol::Cbor, reply(answer))
}

/// Returns an error that does not come from the model, such as throttling or a server error.
pub(crate) fn failure(protocol: Protocol, status: u16, code: &str, message: &str) -> Reply {
    let side = if status < 500 { "Sender" } else { "Receiver" };
    Reply::of(protocol, refusal(status, code, code, message, side))
}

/// Answers a request with JSON (`POST /`, with the operation in `x-amz-target`). Its body may be compressed with gzip.
pub(crate) fn handle_json(
    model: &mut CloudWatch,
    region: &str,
    operation: &str,
    body: &[u8],
    now: Timestamp,
) -> Reply {
    let input = unpack(body)
        .and_then(|body| serde_json::from_slice(&body).map_err(|why| unreadable(&why.to_string())));
    let answer = input.and_then(|input| {
        let input = Cbor::from_json(&input);
        answer(model.region(region, now), operation, Input(&input), now)
    });
    Reply::of(Protocol::Json, reply(answer))
}

/// Returns the parts of a reply that both protocols share: the status, the headers, and the body as a tree.
fn reply(answer: Result<Cbor, ApiError>) -> (u16, Vec<(&'static str, String)>, Cbor) {
    match answer {
        Ok(output) => (200, vec![request_id()], output),
        Err(error) => {
            let status = match error.shape {
                "ResourceNotFound" | "UnknownOperationException" => 404,
                _ => 400,
            };
            refusal(status, error.shape, error.code, &error.message, "Sender")
        }
    }
}

fn request_id() -> (&'static str, String) {
    let id = "00000000-0000-4000-8000-000000000000";
    ("x-amzn-requestid", id.to_owned())
}

/// Returns the parts of an error reply. `shape` is the error's name, `code` is its older name, and `side` is `Sender`
/// or `Receiver`, whichever caused it.
fn refusal(
    status: u16,
    shape: &str,
    code: &str,
    message: &str,
    side: &str,
) -> (u16, Vec<(&'static str, String)>, Cbor) {
    // The service once spoke the query protocol, and clients still show its error codes.
    let headers = vec![
        request_id(),
        ("x-amzn-query-error", format!("{code};{side}")),
    ];
    let body = Output::default()
        .text("__type", &format!("com.amazonaws.cloudwatch#{shape}"))
        .text("message", message);
    (status, headers, body.done())
}

/// Decompresses a body that is compressed with gzip. Gzip begins with two bytes with which neither CBOR nor JSON
/// begins. SDKs compress `PutMetricData` above 10 KiB.
fn unpack(body: &[u8]) -> Result<Vec<u8>, ApiError> {
    if !body.starts_with(&[0x1f, 0x8b]) {
        return Ok(body.to_vec());
    }
    let mut unpacked = Vec::new();
    let read = GzDecoder::new(body)
        .take(BODY_MAX)
        .read_to_end(&mut unpacked);
    read.map_err(|error| unreadable(&error.to_string()))?;
    Ok(unpacked)
}

fn unreadable(why: &str) -> ApiError {
    ApiError {
        shape: "SerializationException",
        code: "SerializationException",
        message: why.to_owned(),
    }
}

fn answer(
    region: &mut Region,
    operation: &str,
    input: Input<'_>,
    now: Timestamp,
) -> Result<Cbor, ApiError> {
    match operation {
        "DescribeAlarms" => describe_alarms(region, input),
        "DescribeAlarmHistory" => {
            let page = region.describe_history(&input.describe_history()?, now)?;
            Ok(Output::default()
                .list(
                    "AlarmHistoryItems",
                    page.items.iter().map(write::history_item),
                )
                .maybe("NextToken", page.next_token.as_deref())
                .done())
        }
        "DescribeAlarmsForMetric" => {
            let statistic = input
                .text("Statistic")?
                .or(input.text("ExtendedStatistic")?);
            let (metric, period) = (input.metric()?, input.integer("Period")?);
            let alarms = region.alarms_for_metric(&metric, statistic.as_deref(), period);
            let alarms = alarms.iter().map(write::alarm);
            Ok(Output::default().list("MetricAlarms", alarms).done())
        }
        "GetMetricData" => {
            let ((start, end), ascending) = (input.range()?, input.ascending()?);
            let results = region.metric_data(&input.queries("MetricDataQueries")?, start, end)?;
            let results = results
                .iter()
                .map(|result| write::data_result(result, ascending));
            let output = Output::default().list("MetricDataResults", results);
            Ok(output.list("Messages", std::iter::empty()).done())
        }
        "GetMetricStatistics" => statistics(region, input),
        "ListMetrics" => list_metrics(region, input),
        _ => change(region, operation, input, now).map(|()| Output::default().done()),
    }
}

/// Runs an operation that returns no data.
fn change(
    region: &mut Region,
    operation: &str,
    input: Input<'_>,
    now: Timestamp,
) -> Result<(), ApiError> {
    match operation {
        "PutMetricAlarm" => region.put_metric_alarm(&input.metric_alarm()?, now),
        "PutCompositeAlarm" => {
            let rule = input.required_text("AlarmRule")?;
            region.put_composite_alarm(&input.head()?, &rule, now)
        }
        "SetAlarmState" => {
            let name = input.required_text("AlarmName")?;
            let state = input.required_text("StateValue")?;
            let reason = input.required_text("StateReason")?;
            let data = input.text("StateReasonData")?;
            region.set_alarm_state(&name, &state, &reason, data.as_deref(), now)
        }
        "DeleteAlarms" => region.delete_alarms(&input.texts("AlarmNames")?, now),
        "EnableAlarmActions" => region.enable_actions(&input.texts("AlarmNames")?, true),
        "DisableAlarmActions" => region.enable_actions(&input.texts("AlarmNames")?, false),
        "PutMetricData" => {
            let namespace = input.required_text("Namespace")?;
            region.put_metric_data(&namespace, &input.data()?, now)
        }
        other => Err(ApiError {
            shape: "UnknownOperationException",
            code: "UnknownOperationException",
            message: format!("{other} is not modelled"),
        }),
    }
}

fn list_metrics(region: &Region, input: Input<'_>) -> Result<Cbor, ApiError> {
    let (namespace, name) = (input.text("Namespace")?, input.text("MetricName")?);
    let (filters, token) = (input.dimension_filters()?, input.text("NextToken")?);
    let (namespace, name) = (namespace.as_deref(), name.as_deref());
    let (found, next) = region.list_metrics(namespace, name, &filters, token.as_deref())?;
    Ok(Output::default()
        .list("Metrics", found.iter().map(write::metric))
        .maybe("NextToken", next.as_deref())
        .done())
}

fn describe_alarms(region: &Region, input: Input<'_>) -> Result<Cbor, ApiError> {
    let page = region.describe_alarms(&input.describe_alarms()?)?;
    let metric = page.items.iter().filter(|alarm| !alarm.is_composite());
    let composite = page.items.iter().filter(|alarm| alarm.is_composite());
    Ok(Output::default()
        .list("MetricAlarms", metric.map(write::alarm))
        .list("CompositeAlarms", composite.map(write::alarm))
        .maybe("NextToken", page.next_token.as_deref())
        .done())
}

fn statistics(region: &Region, input: Input<'_>) -> Result<Cbor, ApiError> {
    let metric = input.metric()?;
    let period = input
        .integer("Period")?
        .ok_or_else(|| ApiError::missing_parameter("Period"))?;
    let mut statistics = input.texts("Statistics")?;
    let extended = input.texts("ExtendedStatistics")?;
    statistics.extend_from_slice(&extended);
    let datapoints = region.metric_statistics(&metric, input.range()?, period, &statistics)?;
    let datapoints = datapoints
        .iter()
        .map(|datapoint| write::datapoint(datapoint, &extended));
    Ok(Output::default()
        .text("Label", &metric.name)
        .list("Datapoints", datapoints)
        .done())
}
