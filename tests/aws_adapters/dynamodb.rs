//! The table of the shared journal: exact calls, refused tables, and every way in which a call can fail.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use cutover::aws::{CreatedTable, DynamoSlots, TableAddress};
use cutover::ports::{JournalError, REVISION, SlotItem, Slots, SwapAnswer};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::fake::{Answer, Asked, Fake, SECRETS, ambient};

fn reply(body: &Value) -> Answer {
    let body = body.to_string().into_bytes();
    Answer::Reply(200, "application/x-amz-json-1.0", body)
}

fn refusal(status: u16, code: &str, message: &str) -> Answer {
    let body = json!({
        "__type": format!("com.amazonaws.dynamodb.v20120810#{code}"),
        "message": message,
    });
    let body = body.to_string().into_bytes();
    Answer::Reply(status, "application/x-amz-json-1.0", body)
}

async fn table(fake: &Fake) -> DynamoSlots {
    let address = TableAddress {
        table: "cutover".to_owned(),
        region: Some("eu-west-1".to_owned()),
        account: ambient(),
    };
    let connected = DynamoSlots::connect(fake.options(), &address).await;
    connected.expect("a region is named")
}

/// What was asked: the operation and the body.
fn asked(fake: &Fake) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for Asked { target, body, .. } in fake.asked() {
        let operation = target.rsplit('.').next().unwrap_or_default();
        let body = serde_json::from_slice(&body).expect("JSON");
        all.push((operation.to_owned(), body));
    }
    all
}

fn item() -> SlotItem {
    SlotItem::new("main/log", "0000000000000001")
        .with_text("append_id", "a-1")
        .with_number(REVISION, 7)
        .with_bytes("data", vec![1, 2, 3])
}

fn attributes() -> Value {
    json!({
        "pk": { "S": "main/log" },
        "sk": { "S": "0000000000000001" },
        "append_id": { "S": "a-1" },
        "revision": { "N": "7" },
        "data": { "B": BASE64_STANDARD.encode([1, 2, 3]) },
    })
}

#[tokio::test]
async fn a_put_is_conditional_and_a_refused_one_returns_the_item_in_the_way() {
    let fake = Fake::new(|_, count| {
        if count == 0 {
            return reply(&json!({}));
        }
        let body = json!({
            "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
            "message": "The conditional request failed",
            "Item": attributes(),
        });
        let body = body.to_string().into_bytes();
        Answer::Reply(400, "application/x-amz-json-1.0", body)
    });
    let slots = table(&fake).await;
    assert_eq!(slots.put_if_absent(item()).await, Ok(None));
    assert_eq!(slots.put_if_absent(item()).await, Ok(Some(item())));
    let refused = SwapAnswer::Refused(Some(Box::new(item())));
    assert_eq!(slots.put_if_revision(item(), 6).await, Ok(refused));
    slots.remove_if_revision("main/beat", "a", 7).await.unwrap();
    let asked = asked(&fake);
    let expected = json!({
        "TableName": "cutover",
        "Item": attributes(),
        "ConditionExpression": "attribute_not_exists(#p)",
        "ExpressionAttributeNames": { "#p": "pk" },
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    });
    assert_eq!(asked[0], ("PutItem".to_owned(), expected));
    assert_eq!(asked[2].1["ConditionExpression"], "#r = :r");
    assert_eq!(
        asked[2].1["ExpressionAttributeValues"],
        json!({ ":r": { "N": "6" } })
    );
    assert_eq!(asked[3].0, "DeleteItem");
    assert_eq!(
        asked[3].1["ExpressionAttributeNames"],
        json!({ "#r": "revision" })
    );
}

#[tokio::test]
async fn reads_are_consistent_and_name_where_the_next_page_begins() {
    let fake = Fake::new(|asked, _| {
        if asked.target.ends_with("GetItem") {
            return reply(&json!({ "Item": attributes() }));
        }
        reply(&json!({
            "Items": [attributes()],
            "LastEvaluatedKey": { "pk": { "S": "main/log" }, "sk": { "S": "0000000000000001" } },
        }))
    });
    let slots = table(&fake).await;
    assert_eq!(slots.get("main/log", "x").await, Ok(Some(item())));
    let page = slots.read_from("main/log", "", Some(1)).await.unwrap();
    assert_eq!(page.items, [item()]);
    assert_eq!(page.next_after.as_deref(), Some("0000000000000001"));
    slots
        .read_from("main/log", "0000000000000001", None)
        .await
        .unwrap();
    let asked = asked(&fake);
    for (_, body) in &asked {
        assert_eq!(body["ConsistentRead"], true);
    }
    assert_eq!(asked[1].1["KeyConditionExpression"], "#p = :p");
    assert_eq!(asked[1].1["Limit"], 1);
    assert_eq!(asked[2].1["KeyConditionExpression"], "#p = :p AND #s > :s");
    let values = &asked[2].1["ExpressionAttributeValues"];
    assert_eq!(values[":s"], json!({ "S": "0000000000000001" }));
}

#[tokio::test(start_paused = true)]
async fn a_write_ends_within_two_seconds_whatever_happens_and_is_tried_again_meanwhile() {
    for answer in ["silence", "lost", "throttled", "busy"] {
        let fake = Fake::new(move |_, _| match answer {
            "silence" => Answer::Silence,
            "lost" => Answer::Lost,
            "throttled" => refusal(400, "ThrottlingException", "Rate exceeded"),
            _ => refusal(500, "InternalServerError", "try again"),
        });
        let slots = table(&fake).await;
        let began = Instant::now();
        let failed = slots.put_if_absent(item()).await;
        assert!(matches!(failed, Err(JournalError::Down(_))), "{failed:?}");
        assert!(began.elapsed() <= Duration::from_secs(2), "{answer}");
        assert!(fake.calls() >= 2, "{answer}: {}", fake.calls());
        let bodies: Vec<_> = asked(&fake).into_iter().map(|(_, body)| body).collect();
        assert!(bodies.iter().all(|body| *body == bodies[0]), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_ends_within_five_seconds() {
    let fake = Fake::new(|_, _| Answer::Silence);
    let slots = table(&fake).await;
    let began = Instant::now();
    assert!(slots.read_from("main/log", "", None).await.is_err());
    assert!(slots.get("main/log", "x").await.is_err());
    assert!(slots.check().await.is_err());
    assert!(began.elapsed() <= Duration::from_secs(16));
}

#[tokio::test]
async fn a_refused_call_says_which_permission_is_missing_and_shows_no_secret() {
    let fake = Fake::new(|asked, _| {
        let operation = asked.target.rsplit('.').next().unwrap_or_default();
        let message = format!(
            "User: arn:aws:sts::123456789012:assumed-role/x/y is not authorized to perform: dynamodb:{operation} on resource: \
             arn:aws:dynamodb:eu-west-1:123456789012:table/cutover ({})",
            SECRETS[0]
        );
        refusal(400, "AccessDeniedException", &message)
    });
    let slots = table(&fake).await;
    let refused = [
        ("PutItem", slots.put(item()).await.unwrap_err()),
        ("GetItem", slots.get("a", "b").await.unwrap_err()),
        ("Query", slots.read_from("a", "", None).await.unwrap_err()),
        (
            "DeleteItem",
            slots.remove_if_revision("a", "b", 1).await.unwrap_err(),
        ),
        ("DescribeTable", slots.check().await.unwrap_err()),
    ];
    for (operation, error) in refused {
        let shown = error.to_string();
        let missing = format!("the permission dynamodb:{operation} is missing");
        assert!(shown.contains(&missing), "{shown}");
        assert!(shown.contains("the table cutover in eu-west-1"), "{shown}");
        assert!(!shown.contains(SECRETS[0]), "{shown}");
    }
}

/// A description of a table that can hold a journal.
fn description() -> Value {
    json!({
        "TableName": "cutover",
        "TableStatus": "ACTIVE",
        "KeySchema": [
            { "AttributeName": "pk", "KeyType": "HASH" },
            { "AttributeName": "sk", "KeyType": "RANGE" },
        ],
        "AttributeDefinitions": [
            { "AttributeName": "pk", "AttributeType": "S" },
            { "AttributeName": "sk", "AttributeType": "S" },
        ],
        "BillingModeSummary": { "BillingMode": "PAY_PER_REQUEST" },
        "DeletionProtectionEnabled": true,
    })
}

/// The answer of a check of a table that is as described, but for these changes.
async fn checked(changes: &Value) -> Result<(), JournalError> {
    let mut table_description = description();
    for (key, value) in changes.as_object().expect("an object") {
        table_description[key] = value.clone();
    }
    let answer = json!({ "Table": table_description });
    let fake = Fake::new(move |_, _| reply(&answer));
    table(&fake).await.check().await
}

#[tokio::test]
async fn a_table_that_fits_is_taken_also_one_that_regions_share_with_strong_consistency() {
    assert_eq!(checked(&json!({})).await, Ok(()));
    assert_eq!(checked(&json!({ "TableStatus": "UPDATING" })).await, Ok(()));
    let strong = json!({
        "Replicas": [{ "RegionName": "eu-central-1" }],
        "GlobalTableVersion": "2019.11.21",
        "MultiRegionConsistency": "STRONG",
    });
    assert_eq!(checked(&strong).await, Ok(()));
}

#[tokio::test]
async fn a_table_in_which_the_last_writer_wins_is_refused() {
    for changes in [
        json!({ "Replicas": [{ "RegionName": "eu-central-1" }], "MultiRegionConsistency": "EVENTUAL" }),
        json!({ "Replicas": [{ "RegionName": "eu-central-1" }] }),
        json!({ "GlobalTableVersion": "2017.11.29" }),
    ] {
        let Err(JournalError::Unusable(why)) = checked(&changes).await else {
            panic!("{changes} is taken");
        };
        assert!(why.contains("the last writer wins"), "{why}");
        assert!(why.contains("multi-Region strong consistency"), "{why}");
    }
}

#[tokio::test]
async fn a_table_with_other_keys_is_refused_and_its_keys_are_named() {
    let one_key = json!({
        "KeySchema": [{ "AttributeName": "id", "KeyType": "HASH" }],
        "AttributeDefinitions": [{ "AttributeName": "id", "AttributeType": "S" }],
    });
    let numbers = json!({
        "AttributeDefinitions": [
            { "AttributeName": "pk", "AttributeType": "S" },
            { "AttributeName": "sk", "AttributeType": "N" },
        ],
    });
    for (changes, says) in [(one_key, "`id` (HASH, S)"), (numbers, "`sk` (RANGE, N)")] {
        let Err(JournalError::Unusable(why)) = checked(&changes).await else {
            panic!("{changes} is taken");
        };
        assert!(why.contains(says), "{why}");
        assert!(why.contains("cutover journal create"), "{why}");
    }
}

#[tokio::test]
async fn a_table_that_is_not_ready_not_there_or_elsewhere_is_told_apart() {
    let Err(JournalError::Down(why)) = checked(&json!({ "TableStatus": "CREATING" })).await else {
        panic!("it is taken");
    };
    assert!(why.contains("is being created"), "{why}");
    let archived = checked(&json!({ "TableStatus": "ARCHIVED" })).await;
    assert!(matches!(archived, Err(JournalError::Unusable(_))));
    let gone = Fake::new(|_, _| {
        let message = "Requested resource not found: Table: cutover not found";
        refusal(400, "ResourceNotFoundException", message)
    });
    let Err(JournalError::Missing(place)) = table(&gone).await.check().await else {
        panic!("it is there");
    };
    assert!(place.contains("the table cutover in eu-west-1"), "{place}");
    let down = table(&gone).await.put(item()).await.unwrap_err();
    assert!(down.to_string().contains("does not exist"), "{down}");
    let stranger = Fake::new(|_, _| {
        let message = "The security token included in the request is invalid.";
        refusal(400, "UnrecognizedClientException", message)
    });
    let Err(JournalError::Unusable(why)) = table(&stranger).await.check().await else {
        panic!("it is there");
    };
    assert!(why.contains("the account has enabled the region"), "{why}");
}

#[tokio::test]
async fn a_region_must_be_known() {
    let fake = Fake::new(|_, _| Answer::Silence);
    let mut options = fake.options();
    options.region = None;
    let address = TableAddress {
        table: "cutover".to_owned(),
        region: None,
        account: ambient(),
    };
    let Err(JournalError::Unusable(why)) = DynamoSlots::connect(options, &address).await else {
        panic!("it is known");
    };
    assert!(why.contains("dynamodb:cutover?region=eu-west-1"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_table_is_made_with_everything_that_protects_it() {
    let fake = Fake::new(|asked, count| {
        let operation = asked.target.rsplit('.').next().unwrap_or_default();
        match (operation, count) {
            ("DescribeTable", 0) => refusal(400, "ResourceNotFoundException", "not found"),
            ("DescribeTable", 2) => {
                let mut creating = description();
                creating["TableStatus"] = json!("CREATING");
                reply(&json!({ "Table": creating }))
            }
            ("DescribeTable", _) => reply(&json!({ "Table": description() })),
            ("UpdateContinuousBackups", 4) => {
                refusal(400, "ContinuousBackupsUnavailableException", "not yet")
            }
            _ => reply(&json!({})),
        }
    });
    let made = table(&fake).await.create().await;
    assert_eq!(made, Ok(CreatedTable::Made(None)));
    let asked = asked(&fake);
    let operations: Vec<&str> = asked
        .iter()
        .map(|(operation, _)| operation.as_str())
        .collect();
    let expected = [
        "DescribeTable",
        "CreateTable",
        "DescribeTable",
        "DescribeTable",
        "UpdateContinuousBackups",
        "UpdateContinuousBackups",
    ];
    assert_eq!(operations, expected);
    let create = &asked[1].1;
    assert_eq!(create["BillingMode"], "PAY_PER_REQUEST");
    assert_eq!(create["DeletionProtectionEnabled"], true);
    assert_eq!(create["KeySchema"], description()["KeySchema"]);
    assert_eq!(
        create["Tags"],
        json!([{ "Key": "application", "Value": "cutover" }])
    );
    let recovery = &asked[5].1["PointInTimeRecoverySpecification"];
    assert_eq!(recovery["PointInTimeRecoveryEnabled"], true);
}

#[tokio::test]
async fn a_table_that_is_there_is_not_changed() {
    let fake = Fake::new(|asked, _| {
        if asked.target.ends_with("DescribeTable") {
            return reply(&json!({ "Table": description() }));
        }
        reply(&json!({
            "ContinuousBackupsDescription": {
                "ContinuousBackupsStatus": "ENABLED",
                "PointInTimeRecoveryDescription": { "PointInTimeRecoveryStatus": "DISABLED" },
            },
        }))
    });
    let Ok(CreatedTable::Found(facts)) = table(&fake).await.create().await else {
        panic!("it was made");
    };
    assert!(facts.on_demand && facts.deletion_protection);
    assert_eq!(facts.point_in_time_recovery, Some(false));
    let operations: Vec<String> = asked(&fake)
        .into_iter()
        .map(|(operation, _)| operation)
        .collect();
    assert_eq!(operations, ["DescribeTable", "DescribeContinuousBackups"]);
}
