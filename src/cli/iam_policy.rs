//! `cutover iam-policy`: the least IAM policy for plans, from their files alone.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};

use super::args::IamPolicy;
use super::context::Context;
use super::error::Expected;
use super::exit::Exit;
use super::plans;
use crate::aws::{JournalTable, Policy, PolicyNames, PolicyRole, policies};
use crate::engine::lists;
use crate::engine::plan::Plan;
use crate::journal::JournalUrl;
use crate::report::text;

/// The word for the environment's own credentials.
const ENVIRONMENT: &str = "environment";
/// The most characters of a managed policy, and of all inline policies of a role together. White space does not count. Source:
/// IAM User Guide, "IAM and AWS STS quotas".
const MANAGED_CHARS_MAX: usize = 6_144;
const INLINE_CHARS_MAX: usize = 10_240;

/// Prints the policy.
///
/// # Errors
/// A plan is not valid, there is nothing to allow, or there are several policies and none is chosen.
pub fn run(context: &mut Context<'_>, args: &IamPolicy) -> Result<Exit> {
    let table = table(&context.global.journal, args.role)?;
    let sources = if args.role.needs_plans() {
        if args.paths.is_empty() {
            let hint = "name plan files or directories, for example `cutover iam-policy plans/`";
            return Err(Expected::usage("no plan is named", Some(hint)).into());
        }
        plans::find(&args.paths).require_valid(context)?
    } else {
        Vec::new()
    };
    let plans: Vec<&Plan> = sources.iter().map(|source| &source.plan).collect();
    let names = if args.any_name {
        PolicyNames::OfZones
    } else {
        PolicyNames::OfPlans
    };
    let all = policies(&plans, table.as_ref(), args.role, names);
    let chosen = choose(all, args.holder.as_deref(), context.json())?;
    let mut rows = Vec::new();
    for (holder, policy) in &chosen {
        let document = serde_json::to_value(policy)?;
        // Printed without indentation, a policy has no white space.
        let characters = document.to_string().chars().count();
        warn(context, args, holder, policy, characters)?;
        if context.json() {
            rows.push(json!({
                "for": holder,
                "role": args.role.label(),
                "characters": characters,
                "policy": document,
            }));
        } else {
            context.print_json(&document)?;
        }
    }
    if context.json() {
        context.print_json(&Value::Array(rows))?;
    }
    Ok(Exit::Done)
}

/// Returns the table of the journal; none if the journal is not in DynamoDB.
fn table(journal: &str, role: PolicyRole) -> Result<Option<JournalTable>> {
    let hint = "write for example `--journal 'dynamodb:cutover?region=eu-west-1'`";
    if let Ok(JournalUrl::Table(url)) = JournalUrl::parse(journal) {
        let table = JournalTable::new(&url.table, &url.journal, url.region, url.role_arn);
        let table =
            table.map_err(|why| Expected::usage(format!("`{journal}`: {why}"), Some(hint)))?;
        return Ok(Some(table));
    }
    if role == PolicyRole::Create {
        let message =
            format!("the journal `{journal}` is not in DynamoDB, so it has no table to create");
        return Err(Expected::usage(message, Some(hint)).into());
    }
    Ok(None)
}

/// Returns the policies to print, each with the credentials that it is for: the one that was asked for, or the only one. A program
/// that asks for none gets all.
fn choose(
    all: BTreeMap<Option<String>, Policy>,
    wanted: Option<&str>,
    for_program: bool,
) -> Result<Vec<(String, Policy)>> {
    let mut named = Vec::new();
    for (holder, policy) in all {
        named.push((holder.unwrap_or_else(|| ENVIRONMENT.to_owned()), policy));
    }
    let mut holders = Vec::new();
    for (holder, _) in &named {
        holders.push(format!("`--for {holder}`"));
    }
    let holders = lists::some(&holders, ", ");
    match wanted {
        Some(wanted) => {
            named.retain(|(holder, _)| holder == wanted);
            if named.is_empty() {
                let message =
                    format!("these plans call nothing with the credentials of `{wanted}`");
                let hint = format!("write one of {holders}");
                return Err(Expected::usage(message, Some(&hint)).into());
            }
        }
        None if named.len() > 1 && !for_program => {
            let message = format!(
                "these plans call AWS with {} credentials, and each needs a policy of its own",
                named.len()
            );
            let hint = format!("write one of {holders}; `--format json` prints all");
            return Err(Expected::usage(message, Some(&hint)).into());
        }
        None => {}
    }
    Ok(named)
}

/// Notes what a person has to know before the policy is attached.
fn warn(
    context: &mut Context<'_>,
    args: &IamPolicy,
    holder: &str,
    policy: &Policy,
    characters: usize,
) -> Result<()> {
    if characters > MANAGED_CHARS_MAX {
        let remedy = if args.any_name {
            "attach its statements as several managed policies; no statement may be divided"
        } else {
            "`--any-name` allows all names of the zones instead of each name"
        };
        let has = text::thousands(characters);
        let managed = text::thousands(MANAGED_CHARS_MAX);
        let inline = text::thousands(INLINE_CHARS_MAX);
        context.note(&format!(
            "the policy of {holder} has {has} characters; a managed policy may have {managed}, the inline policies of a role \
             {inline} together; {remedy}"
        ))?;
    }
    if policy.passes_any_role() {
        context.note(
            "PassScheduleRoles allows every role of the account, because plans do not say which roles the schedules have; \
             replace `role/*` by their names",
        )?;
    }
    if policy.allows_any_place() {
        context.note(
            "`*` stands for a region or an account that no plan or journal URL names; set `aws.region` and `aws.role_arn`, or \
             replace it",
        )?;
    }
    Ok(())
}
