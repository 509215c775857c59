//! Makes a table of DynamoDB, and a journal in it.

use std::sync::Arc;

use anyhow::Result;
use serde_json::json;

use super::table::table_of;
use crate::aws::{CreatedTable, TableFacts};
use crate::cli::context::Context;
use crate::cli::exit::Exit;
use crate::journal::{Open, SlotJournal, TableUrl};
use crate::ports::Clock;

/// Says what it would make, and makes it.
pub(super) async fn make(context: &mut Context<'_>, place: &TableUrl, yes: bool) -> Result<Exit> {
    let slots = table_of(place).await?;
    let (table, region) = (place.table.as_str(), slots.region().to_owned());
    context.say(&format!(
        "makes in {region}, unless it is there:\n  \
         the table {table}: key pk (String) and sk (String), billing on demand,\n  \
         point-in-time recovery, deletion protection, tag application=cutover\n  \
         the journal {} in it\n",
        place.journal
    ))?;
    context.confirm("journal create", yes, "make these?")?;
    let created = slots.create().await?;
    let (name, shown) = (place.journal.as_str(), place.to_string());
    let (slots, now) = (Arc::new(slots), context.clock.now());
    SlotJournal::open(slots, name, &shown, Open::Create, now).await?;
    tell(context, place, &region, &created)?;
    Ok(Exit::Done)
}

fn tell(
    context: &mut Context<'_>,
    place: &TableUrl,
    region: &str,
    created: &CreatedTable,
) -> Result<()> {
    let table = &place.table;
    if context.json() {
        context.print_json(&json!({
            "journal": place.to_string(),
            "table": table,
            "region": region,
            "made": matches!(created, CreatedTable::Made(_)),
        }))?;
    } else {
        let made = match created {
            CreatedTable::Made(_) => "made the table",
            CreatedTable::Found(_) => "found the table",
        };
        context.print_line(&format!(
            "{made} {table} in {region}; the journal is {place}"
        ))?;
    }
    match created {
        CreatedTable::Made(None) => {}
        CreatedTable::Made(Some(why)) => context.note(&format!(
            "point-in-time recovery is not on ({why}); switch it on: {}",
            recovery_command(table, region)
        ))?,
        CreatedTable::Found(facts) => note_facts(context, table, region, *facts)?,
    }
    context.note(&format!("to use it: `export CUTOVER_JOURNAL='{place}'`"))
}

/// Says what a table lacks that was there before.
fn note_facts(
    context: &mut Context<'_>,
    table: &str,
    region: &str,
    facts: TableFacts,
) -> Result<()> {
    if facts.point_in_time_recovery == Some(false) {
        context.note(&format!(
            "the table has no point-in-time recovery; switch it on: {}",
            recovery_command(table, region)
        ))?;
    }
    if !facts.deletion_protection {
        context.note(&format!(
            "the table can be deleted by mistake; protect it: `aws dynamodb update-table --region {region} --table-name \
             {table} --deletion-protection-enabled`"
        ))?;
    }
    if !facts.on_demand {
        context.note(
            "the table has a fixed capacity; reverts of many services need some hundred write units a second: use billing \
             on demand",
        )?;
    }
    Ok(())
}

fn recovery_command(table: &str, region: &str) -> String {
    format!(
        "`aws dynamodb update-continuous-backups --region {region} --table-name {table} \
         --point-in-time-recovery-specification PointInTimeRecoveryEnabled=true`"
    )
}
