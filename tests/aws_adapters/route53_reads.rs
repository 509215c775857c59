//! Finding zones and reading groups: the exact calls, and what is made of the replies.

use std::collections::BTreeSet;
use std::time::Duration;

use cutover::engine::event::FailureClass;
use cutover::engine::observation::ChangeReading;
use cutover::engine::plan::ZoneRef;
use cutover::engine::record::GroupName;
use cutover::engine::units::{ChangeId, DnsName, ZoneId};
use cutover::ports::{Dns, Urgency};
use tokio::time::Instant;

use super::fake::{Answer, Asked, Fake, ambient, xml, xml_error};

const ZONE: &str = "Z0123456789ABC";

fn zone_xml(id: &str, name: &str, private: bool, records: usize) -> String {
    format!(
        "<HostedZone><Id>/hostedzone/{id}</Id><Name>{name}.</Name><CallerReference>r</CallerReference><Config>\
         <PrivateZone>{private}</PrivateZone></Config><ResourceRecordSetCount>{records}</ResourceRecordSetCount>\
         </HostedZone>"
    )
}

fn zone_reply(records: usize) -> Answer {
    let delegation =
        "<DelegationSet><NameServers><NameServer>ns</NameServer></NameServers></DelegationSet>";
    let zone = zone_xml(ZONE, "example.com", false, records);
    xml("GetHostedZoneResponse", &format!("{zone}{delegation}"))
}

fn zones_reply(zones: &[(&str, &str, bool)]) -> Answer {
    let listed: String = zones
        .iter()
        .map(|(id, name, private)| zone_xml(id, name, *private, 10))
        .collect();
    let rest = "<IsTruncated>false</IsTruncated><MaxItems>100</MaxItems>";
    xml(
        "ListHostedZonesByNameResponse",
        &format!("<HostedZones>{listed}</HostedZones>{rest}"),
    )
}

fn record(name: &str, kind: &str, set: &str, weight: u8) -> String {
    format!(
        "<ResourceRecordSet><Name>{name}.</Name><Type>{kind}</Type><SetIdentifier>{set}</SetIdentifier>\
         <Weight>{weight}</Weight><TTL>60</TTL><ResourceRecords><ResourceRecord><Value>192.0.2.1</Value>\
         </ResourceRecord></ResourceRecords></ResourceRecordSet>"
    )
}

fn page(records: &str, next: Option<(&str, &str, &str)>) -> Answer {
    let cursor = next.map_or(String::new(), |(name, kind, set)| {
        format!(
            "<NextRecordName>{name}.</NextRecordName><NextRecordType>{kind}</NextRecordType>\
             <NextRecordIdentifier>{set}</NextRecordIdentifier>"
        )
    });
    let truncated = next.is_some();
    xml(
        "ListResourceRecordSetsResponse",
        &format!(
            "<ResourceRecordSets>{records}</ResourceRecordSets><IsTruncated>{truncated}</IsTruncated>{cursor}\
             <MaxItems>100</MaxItems>"
        ),
    )
}

fn group(name: &str, kind: &str) -> GroupName {
    GroupName {
        name: DnsName::new(name),
        record_type: kind.to_owned(),
    }
}

fn by_ref(zone: &str, private: Option<bool>) -> ZoneRef {
    ZoneRef {
        zone: zone.to_owned(),
        private,
    }
}

/// What a request asks for by this name.
fn query(asked: &Asked, key: &str) -> Option<String> {
    let (_, query) = asked.uri.split_once('?')?;
    let pair = query.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        (name == key).then_some(value)
    });
    pair.map(str::to_owned)
}

#[tokio::test(start_paused = true)]
async fn a_zone_found_by_id_costs_one_call_once() {
    let fake = Fake::new(|_, _| zone_reply(42));
    let dns = fake.aws().await.dns;
    for _ in 0..3 {
        let zone = dns.find_zone(&ambient(), &by_ref(ZONE, None)).await;
        let zone = zone.unwrap();
        assert_eq!((zone.id.as_str(), zone.record_count), (ZONE, Some(42)));
        assert!(!zone.private);
    }
    assert_eq!(fake.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_name_of_two_zones_is_settled_by_private_or_refused_with_both_ids() {
    let fake = Fake::new(|_, _| {
        zones_reply(&[
            ("ZPUBLIC", "example.com", false),
            ("ZPRIVATE", "example.com", true),
            ("ZOTHER", "example.org", false),
        ])
    });
    let dns = fake.aws().await.dns;
    let private = by_ref("Example.com.", Some(true));
    let private = dns.find_zone(&ambient(), &private).await.unwrap();
    assert_eq!(private.id.as_str(), "ZPRIVATE");
    let either = by_ref("example.com", None);
    let refused = dns.find_zone(&ambient(), &either).await.unwrap_err();
    assert_eq!(refused.class, FailureClass::Permanent);
    for part in ["ZPUBLIC (public)", "ZPRIVATE (private)", "`private: true`"] {
        assert!(refused.message.contains(part), "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_is_not_there_is_refused_with_the_nearest_and_asked_for_again() {
    let fake = Fake::new(|asked, _| {
        let start = query(asked, "dnsname").unwrap();
        match start.as_str() {
            "com" => zones_reply(&[("Z1", "example.com", false), ("Z2", "elsewhere.com", false)]),
            _ => zones_reply(&[("Z3", "zoo.com", false)]),
        }
    });
    let dns = fake.aws().await.dns;
    for _ in 0..2 {
        let absent = by_ref("exampel.com", None);
        let refused = dns.find_zone(&ambient(), &absent).await.unwrap_err();
        assert_eq!(refused.class, FailureClass::Permanent);
        assert!(
            refused.message.contains("did you mean example.com"),
            "{refused}"
        );
    }
    assert_eq!(fake.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn one_call_reads_a_and_aaaa_of_a_name_and_stops_at_the_next() {
    let fake = Fake::new(|_, _| {
        let records = [
            record("api.example.com", "A", "eks", 99),
            record("api.example.com", "A", "ecs", 1),
            record("api.example.com", "AAAA", "eks", 99),
            record("api.example.com", "AAAA", "ecs", 1),
            record("api.example.com", "TXT", "owner", 1),
            record("bpi.example.com", "A", "eks", 7),
        ];
        page(&records.concat(), Some(("cpi.example.com", "A", "eks")))
    });
    let dns = fake.aws().await.dns;
    let wanted = BTreeSet::from([
        group("api.example.com", "A"),
        group("api.example.com", "AAAA"),
        group("api.example.com", "CAA"),
    ]);
    let zone = ZoneId::from(ZONE);
    let read = dns
        .read_groups(&ambient(), &zone, &wanted, Urgency::Normal)
        .await;
    assert_eq!(fake.calls(), 1);
    let asked = &fake.asked()[0];
    assert!(asked.uri.contains(&format!("/hostedzone/{ZONE}/rrset")));
    assert_eq!(query(asked, "name").as_deref(), Some("api.example.com."));
    assert_eq!(query(asked, "type"), None);
    assert_eq!(read.len(), 3);
    let members = |kind: &str| read[&group("api.example.com", kind)].clone().unwrap();
    assert_eq!(members("A").len(), 2);
    assert_eq!(members("AAAA")[1].weight.0, 1);
    assert_eq!(members("A")[0].name, "api.example.com.");
    assert!(members("CAA").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_group_over_two_pages_is_followed_by_its_identifier() {
    let fake = Fake::new(|_, count| match count {
        0 => page(
            &record("api.example.com", "A", "a", 1),
            Some(("api.example.com", "A", "b")),
        ),
        _ => page(&record("api.example.com", "A", "b", 2), None),
    });
    let dns = fake.aws().await.dns;
    let wanted = BTreeSet::from([group("api.example.com", "A")]);
    let read = dns
        .read_groups(&ambient(), &ZoneId::from(ZONE), &wanted, Urgency::Normal)
        .await;
    assert_eq!(fake.calls(), 2);
    let asked = fake.asked();
    assert_eq!(query(&asked[0], "type").as_deref(), Some("A"));
    assert_eq!(query(&asked[1], "identifier").as_deref(), Some("b"));
    let members = read[&group("api.example.com", "A")].clone().unwrap();
    let sets: Vec<_> = members
        .iter()
        .map(|it| it.set_identifier.as_str())
        .collect();
    assert_eq!(sets, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn pages_that_do_not_end_are_an_error_and_no_endless_loop() {
    let fake = Fake::new(|_, _| {
        let next = Some(("api.example.com", "A", "a"));
        page(&record("api.example.com", "A", "a", 1), next)
    });
    let dns = fake.aws().await.dns;
    let wanted = BTreeSet::from([group("api.example.com", "A")]);
    let read = dns
        .read_groups(&ambient(), &ZoneId::from(ZONE), &wanted, Urgency::Normal)
        .await;
    assert!(read.values().all(Result::is_err));
    assert_eq!(fake.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn many_names_of_a_small_zone_are_read_in_pages_of_300() {
    // 500 record sets, and ten wanted names: one call for the size and two pages instead of ten reads.
    let fake = Fake::new(|asked, _| {
        if !asked.uri.contains("/rrset") {
            return zone_reply(500);
        }
        assert_eq!(query(asked, "maxitems").as_deref(), Some("300"));
        let name = |number: usize| format!("s{number:03}.example.com");
        let (numbers, next) = match query(asked, "name") {
            None => (0..300, Some(name(300))),
            Some(_) => (300..500, None),
        };
        let records: String = numbers.map(|it| record(&name(it), "A", "eks", 1)).collect();
        page(&records, next.as_deref().map(|name| (name, "A", "eks")))
    });
    let dns = fake.aws().await.dns;
    let names = (0..10).map(|it| format!("s{:03}.example.com", it * 50));
    let wanted: BTreeSet<_> = names.map(|name| group(&name, "A")).collect();
    let zone = ZoneId::from(ZONE);
    for calls in [3, 5] {
        let read = dns
            .read_groups(&ambient(), &zone, &wanted, Urgency::Normal)
            .await;
        assert_eq!(read.len(), 10);
        assert!(
            read.values()
                .all(|read| read.as_ref().is_ok_and(|it| it.len() == 1))
        );
        assert_eq!(fake.calls(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn few_names_of_a_big_zone_are_read_one_by_one() {
    let fake = Fake::new(|asked, _| match query(asked, "name") {
        Some(name) => page(&record(name.trim_end_matches('.'), "A", "eks", 1), None),
        None => zone_reply(10_000),
    });
    let dns = fake.aws().await.dns;
    let wanted: BTreeSet<_> = (0..20)
        .map(|it| group(&format!("s{it}.example.com"), "A"))
        .collect();
    let zone = ZoneId::from(ZONE);
    let read = dns
        .read_groups(&ambient(), &zone, &wanted, Urgency::Normal)
        .await;
    assert!(read.values().all(Result::is_ok));
    assert_eq!(fake.calls(), 21);
}

#[tokio::test(start_paused = true)]
async fn a_revert_of_few_names_does_not_ask_for_the_size_of_the_zone() {
    let fake = Fake::new(|_, _| page("", None));
    let dns = fake.aws().await.dns;
    let wanted: BTreeSet<_> = (0..5)
        .map(|it| group(&format!("s{it}.example.com"), "A"))
        .collect();
    let zone = ZoneId::from(ZONE);
    let read = dns
        .read_groups(&ambient(), &zone, &wanted, Urgency::Revert)
        .await;
    assert_eq!((fake.calls(), read.len()), (5, 5));
}

#[tokio::test(start_paused = true)]
async fn a_revert_of_many_names_reads_pages_of_the_zone() {
    // One call for the size and one page, instead of 250 reads that would wait for tokens.
    let fake = Fake::new(|asked, _| match query(asked, "maxitems") {
        None => zone_reply(300),
        Some(_) => page("", None),
    });
    let dns = fake.aws().await.dns;
    let wanted: BTreeSet<_> = (0..250)
        .map(|it| group(&format!("s{it}.example.com"), "A"))
        .collect();
    let read = dns
        .read_groups(&ambient(), &ZoneId::from(ZONE), &wanted, Urgency::Revert)
        .await;
    assert_eq!((fake.calls(), read.len()), (2, 250));
}

#[tokio::test(start_paused = true)]
async fn a_read_is_tried_three_times_and_then_throttled() {
    let fake = Fake::new(|_, _| xml_error(400, "Throttling", "Rate exceeded"));
    let dns = fake.aws().await.dns;
    let wanted = BTreeSet::from([group("api.example.com", "A")]);
    let read = dns
        .read_groups(&ambient(), &ZoneId::from(ZONE), &wanted, Urgency::Normal)
        .await;
    let error = read.into_values().next().unwrap().unwrap_err();
    assert_eq!(error.class, FailureClass::Throttled);
    assert_eq!(error.code.as_deref(), Some("Throttling"));
    assert_eq!(fake.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_silent_route_53_costs_a_read_five_seconds() {
    let fake = Fake::new(|_, _| Answer::Silence);
    let dns = fake.aws().await.dns;
    let wanted = BTreeSet::from([group("api.example.com", "A")]);
    let start = Instant::now();
    let read = dns
        .read_groups(&ambient(), &ZoneId::from(ZONE), &wanted, Urgency::Normal)
        .await;
    let error = read.into_values().next().unwrap().unwrap_err();
    assert_eq!(error.class, FailureClass::Transient);
    assert!(start.elapsed() <= Duration::from_millis(5_100));
    assert!((2..=3).contains(&fake.calls()));
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_is_gone_is_forgotten() {
    let fake = Fake::new(|asked, _| {
        if asked.uri.contains("/rrset") {
            xml_error(404, "NoSuchHostedZone", "No hosted zone found with ID")
        } else {
            zone_reply(3)
        }
    });
    let dns = fake.aws().await.dns;
    let by_id = by_ref(ZONE, None);
    dns.find_zone(&ambient(), &by_id).await.unwrap();
    let wanted = BTreeSet::from([group("api.example.com", "A")]);
    let read = dns
        .read_groups(&ambient(), &ZoneId::from(ZONE), &wanted, Urgency::Normal)
        .await;
    let error = read.into_values().next().unwrap().unwrap_err();
    assert_eq!(error.class, FailureClass::Permanent);
    dns.find_zone(&ambient(), &by_id).await.unwrap();
    assert_eq!(fake.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_change_is_pending_in_sync_or_unknown() {
    let status = |status: &str| {
        let info = format!(
            "<ChangeInfo><Id>/change/C1</Id><Status>{status}</Status>\
             <SubmittedAt>2026-11-21T10:00:00.000Z</SubmittedAt></ChangeInfo>"
        );
        xml("GetChangeResponse", &info)
    };
    let fake = Fake::new(move |_, count| match count {
        0 => status("PENDING"),
        1 => status("INSYNC"),
        2 => xml_error(404, "NoSuchChange", "Could not find resource with ID: C1"),
        _ => xml_error(403, "AccessDenied", "not authorized"),
    });
    let dns = fake.aws().await.dns;
    let change = ChangeId::from("C1");
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(dns.change_status(&ambient(), &change).await);
    }
    let known = [
        ChangeReading::Pending,
        ChangeReading::InSync,
        ChangeReading::Unknown,
    ];
    assert_eq!(seen[..3], known);
    assert!(matches!(&seen[3], ChangeReading::Denied(why) if why.contains("AccessDenied")));
    assert_eq!(dns.clock_skew().unwrap().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_change_id_that_no_address_can_hold_is_a_failed_call_and_no_panic() {
    let fake = Fake::new(|_, _| xml_error(404, "NoSuchChange", "Could not find resource"));
    let dns = fake.aws().await.dns;
    let change = ChangeId::from("C".repeat(70_000));
    let seen = dns.change_status(&ambient(), &change).await;
    assert!(matches!(seen, ChangeReading::Unreadable(_)), "{seen:?}");
    assert_eq!(fake.calls(), 0, "nothing can be sent");
}

#[tokio::test(start_paused = true)]
async fn a_reply_of_the_year_9999_sets_no_clock_and_is_no_panic() {
    let fake = Fake::new(|_, count| {
        let info = "<ChangeInfo><Id>/change/C1</Id><Status>INSYNC</Status>\
                    <SubmittedAt>9999-12-31T23:59:59.999Z</SubmittedAt></ChangeInfo>";
        let Answer::Reply(_, _, body) = xml("GetChangeResponse", info) else {
            panic!("xml is a reply");
        };
        match count {
            0 => Answer::Dated("Fri, 31 Dec 9999 23:59:59 GMT", body),
            _ => Answer::Dated("no date at all", body),
        }
    });
    let dns = fake.aws().await.dns;
    for _ in 0..2 {
        let seen = dns.change_status(&ambient(), &ChangeId::from("C1")).await;
        assert_eq!(seen, ChangeReading::InSync);
        assert_eq!(dns.clock_skew(), None);
    }
}
