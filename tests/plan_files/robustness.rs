//! Files that are no plans, or hardly: always an answer, never a panic.

use std::fs;
use std::path::Path;

use cutover::engine::plan::Plan;
use cutover::plan_file;
use proptest::prelude::*;
use serde_json::Value;

use super::{VALID, plans};

/// The one message about a text.
fn said(text: &str) -> String {
    let parsed = plan_file::parse(text, "plan.yaml");
    parsed.expect_err("it is no plan").to_string()
}

#[test]
fn a_long_text_that_is_used_again_and_again_is_refused_before_it_fills_the_memory() {
    let long = "x".repeat(500_000);
    let values = format!("a: &a {long}\nb: [ {} ]\n", "*a, ".repeat(40_000));
    let inside = format!("a: &a [ {long} ]\nb: [ {} ]\n", "*a, ".repeat(40_000));
    let keys: String = (0..30_000).map(|_| "*a : 1\n").collect();
    let keys = format!("a: &a {long}\nb: [ {{ *a : 1 }} ]\n{keys}");
    for text in [values, inside, keys] {
        let said = said(&text);
        assert!(said.contains("more than 50000 values"), "{said}");
    }
    // A text that is long once is no plan either, for other reasons.
    let said = said(&format!("version: 1\ndescription: {long}\n"));
    assert!(!said.contains("more than 50000 values"), "{said}");
}

#[test]
fn an_empty_scenario_is_told_what_a_scenario_is() {
    for text in ["", "# later\n"] {
        let error = plan_file::parse_scenario(text, "a.scenario.yaml").expect_err("it is empty");
        let help = error.findings[0].help.as_deref().unwrap_or_default();
        assert!(help.contains("faults:"), "{help}");
        assert!(!error.to_string().contains("version: 1"), "{error}");
    }
}

#[test]
fn a_scenario_in_place_of_a_plan_is_recognised_and_so_is_a_plan_in_place_of_a_scenario() {
    let scenario = "traffic: { requests: 1200/min }\nfaults: [ new errors 20% at step 3 + 2h ]\n";
    let error = plan_file::parse(scenario, "s.yaml").expect_err("it is no plan");
    assert_eq!(error.findings.len(), 1, "{error}");
    let said = &error.findings[0];
    assert_eq!(
        said.message,
        "this is a scenario of a rehearsal, not a plan"
    );
    let help = said.help.as_deref().unwrap_or_default();
    assert!(
        help.contains("cutover rehearse PLAN --scenario FILE"),
        "{help}"
    );
    assert_eq!(said.line, Some(1));

    let error = plan_file::parse_scenario(VALID, "plan.yaml").expect_err("it is no scenario");
    assert_eq!(error.findings.len(), 1, "{error}");
    let said = &error.findings[0];
    assert_eq!(
        said.message,
        "this is a plan, not a scenario of a rehearsal"
    );
    let help = said.help.as_deref().unwrap_or_default();
    assert!(help.contains("cutover rehearse FILE"), "{help}");

    // A plan with a key at the wrong level is still a plan.
    let error = plan_file::parse(&format!("{VALID}traffic: {{}}\n"), "plan.yaml").unwrap_err();
    assert_eq!(error.findings[0].message, "unknown key `traffic`");
}

#[test]
fn a_path_where_nothing_is_says_so() {
    let error = plan_file::find(&["nothing/here.yaml".into()]).expect_err("there is nothing");
    let said = &error.findings[0];
    assert_eq!(said.message, "there is no such file or directory");
    let help = said.help.as_deref().unwrap_or_default();
    assert!(help.ends_with("/nothing/here.yaml"), "{help}");
}

#[test]
fn files_that_are_no_plans_say_so() {
    let bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a, *a]\n\
        c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c, *c]\n\
        e: &e [*d, *d, *d, *d, *d, *d, *d, *d, *d, *d]\n";
    let deep = "[".repeat(1000);
    let texts = [
        ("empty", ""),
        ("only a comment", "# version: 1\n"),
        ("a list", "- version: 1\n"),
        ("a word", "hello\n"),
        ("a tab", "version: 1\naws:\n\tregion: us-east-1\n"),
        ("two documents", "version: 1\n---\nversion: 1\n"),
        ("another version", "version: 2\nfoo: bar\n"),
        (
            "no version",
            "name: x\nrecords: []\nsteps: []\ngates: { alarms: [ a ] }\n",
        ),
        ("nothing but the version", "version: 1\n"),
        (
            "keys without values",
            "version: 1\nname:\nrecords:\nsteps: ~\ngates: null\n",
        ),
        ("an alias bomb", bomb),
        ("an alias in itself", "a: &a [ *a ]\n"),
        ("a merge key", "x: &x { a: b }\ny:\n  <<: *x\n"),
        ("a tag", "version: !include other.yaml\n"),
        (
            "an open bracket",
            "version: 1\nrecords: [ { zone: x }\nsteps: 1\n",
        ),
        ("an open quote", "version: 1\nname: \"x\n"),
        ("a bad indent", "version: 1\n  name: x\n"),
        ("deep nesting", deep.as_str()),
        (
            "control characters",
            "version: 1\n\"\\e[31mred\\e[0m\": x\n",
        ),
    ];
    let mut shown = String::new();
    for (what, text) in texts {
        let error = plan_file::parse(text, "plan.yaml").unwrap_err();
        shown.extend(["## ", what, "\n", &error.to_string(), "\n\n"]);
    }
    insta::assert_snapshot!(shown);
}

#[test]
fn a_pipe_or_a_device_among_the_plans_is_refused_and_never_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe.yaml");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let device = directory.path().join("device.yaml");
    std::os::unix::fs::symlink("/dev/zero", &device).unwrap();
    let found = plan_file::find(&[directory.path().to_owned()]).unwrap();
    assert_eq!(
        found,
        [device, pipe.clone()],
        "they are named, not passed over"
    );
    let fleets = directory.path().join("fleet");
    fs::create_dir_all(fleets.join(".git")).unwrap();
    fs::write(fleets.join("plan.yaml"), VALID).unwrap();
    fs::rename(&pipe, fleets.join("fleet.yaml")).unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let paths = [
        found[0].clone(),
        fleets.join("fleet.yaml"),
        fleets.join("plan.yaml"),
    ];
    std::thread::spawn(move || {
        for path in paths {
            let error = plan_file::load(&path).unwrap_err();
            sender.send(error.to_string()).unwrap();
        }
    });
    for _ in 0..3 {
        let told = receiver.recv_timeout(std::time::Duration::from_secs(20));
        let told = told.expect("nobody waits for a writer");
        let what = "this is a pipe, a socket or a device, and not a file";
        assert!(told.contains(what), "{told}");
    }
}

#[test]
fn a_link_to_a_fleets_file_that_leads_nowhere_lifts_no_guardrails() {
    let directory = tempfile::tempdir().unwrap();
    let plan = directory.path().join("plan.yaml");
    fs::write(&plan, VALID).unwrap();
    let link = directory.path().join("fleet.yaml");
    std::os::unix::fs::symlink("elsewhere.yaml", &link).unwrap();
    let error = plan_file::load(&plan).unwrap_err();
    assert!(error.to_string().contains("is not valid"), "{error}");
}

#[test]
fn files_that_cannot_be_read_say_so() {
    let directory = tempfile::tempdir().unwrap();
    let told = |name: &str, bytes: Option<&[u8]>| {
        let path = directory.path().join(name);
        if let Some(bytes) = bytes {
            fs::write(&path, bytes).unwrap();
        }
        let finding = plan_file::load(&path).unwrap_err().findings.remove(0);
        (finding.message, finding.line.zip(finding.column))
    };
    let (message, at) = told("none.yaml", None);
    assert!(
        message.starts_with("the file cannot be read: No such file"),
        "{message}"
    );
    assert_eq!(at, None);
    assert_eq!(told("", None).0, "this is a directory");
    let (message, at) = told("latin1.yaml", Some(b"version: 1\nname: caf\xe9\n"));
    assert_eq!(message, "this is not UTF-8: byte 21 of the file is 0xe9");
    assert_eq!(at, Some((2, 10)));
    assert_eq!(
        told("utf16.yaml", Some(b"\xff\xfev\0")).0,
        "the file is UTF-16"
    );
    let large = fs::File::create(directory.path().join("large.yaml")).unwrap();
    large.set_len(50 * 1024 * 1024).unwrap();
    let (message, _) = told("large.yaml", None);
    assert_eq!(
        message,
        "the file has 52428800 bytes; a plan has at most 1048576 (1 MiB)"
    );
}

#[test]
fn directories_stand_for_the_plans_in_them() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    fs::create_dir_all(root.join("b/.hidden")).unwrap();
    for name in [
        "z.yml",
        "a.yaml",
        "a.scenario.yaml",
        "b/c.yaml",
        "b/.d.yaml",
        "b/.hidden/e.yaml",
        "notes.txt",
    ] {
        fs::write(root.join(name), VALID).unwrap();
    }
    let found = plan_file::find(&[root.to_owned(), root.join("a.yaml")]).unwrap();
    let names: Vec<_> = found
        .iter()
        .map(|path| path.strip_prefix(root).unwrap())
        .collect();
    assert_eq!(
        names,
        [
            Path::new("a.yaml"),
            Path::new("b/c.yaml"),
            Path::new("z.yml")
        ]
    );
    assert_eq!(plan_file::find(&[root.join("notes.txt")]).unwrap().len(), 1);

    fs::write(root.join("b/fleet.yaml"), "").unwrap();
    let paths = [
        root.to_owned(),
        root.join("missing"),
        root.join("b/.hidden/none"),
    ];
    let findings = plan_file::find(&paths).unwrap_err().findings;
    assert_eq!(
        findings.len(),
        2,
        "a fleet's file in a directory is passed over"
    );
    let named = plan_file::find(&[root.join("b/fleet.yaml")]).unwrap_err();
    assert_eq!(
        named.findings[0].message,
        "this is a fleet's file, not a plan"
    );
    fs::create_dir(root.join("empty")).unwrap();
    let error = plan_file::find(&[root.join("empty")]).unwrap_err();
    assert_eq!(
        error.findings[0].message,
        "the directory contains no plan file"
    );
}

/// A plan with a part of it replaced by something else: mostly wrong, always close to right.
fn mutated() -> impl Strategy<Value = String> {
    let texts: Vec<String> = plans()
        .iter()
        .map(|path| fs::read_to_string(path).expect("an example can be read"))
        .collect();
    let splinter = prop_oneof![
        Just(String::new()),
        "[-:{}\\[\\],&*!|>'\"%@`#~ \t\n]{1,4}",
        "[a-z0-9%.]{1,8}",
        any::<String>(),
    ];
    let pieces =
        proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..20, splinter), 1..4);
    (0..texts.len(), pieces).prop_map(move |(which, pieces)| {
        let mut text = texts[which].clone();
        for (at, length, splinter) in pieces {
            let start = text.floor_char_boundary(at.index(text.len() + 1));
            let end = text
                .floor_char_boundary((start + length).min(text.len()))
                .max(start);
            text.replace_range(start..end, &splinter);
        }
        text
    })
}

/// Whatever the text, there is a plan or a finding with a place and a help, and printing it does not panic.
fn holds_up(text: &str) -> Result<(), TestCaseError> {
    match plan_file::parse(text, "plan.yaml") {
        Ok(loaded) => {
            let plan = loaded.source.plan;
            prop_assert!(!plan.gates.alarms.is_empty() && !plan.records.is_empty());
            prop_assert_eq!(
                plan.steps
                    .last()
                    .and_then(|step| step.share.whole_percent()),
                Some(100)
            );
            prop_assert!(
                plan.steps
                    .windows(2)
                    .all(|two| two[1].pair.gives_new_more_than(two[0].pair))
            );
            let json: Value = serde_json::to_value(&plan).expect("a plan is JSON");
            prop_assert_eq!(serde_json::from_value::<Plan>(json).ok(), Some(plan));
        }
        Err(error) => {
            prop_assert!(!error.findings.is_empty());
            for finding in &error.findings {
                prop_assert!(finding.help.as_deref().is_some_and(|help| !help.is_empty()));
                prop_assert!(
                    finding
                        .line
                        .is_none_or(|line| line <= text.matches('\n').count() + 1)
                );
            }
            prop_assert!(!error.render(true).is_empty());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_mutated_plan_makes_it_panic(text in mutated()) {
        holds_up(&text)?;
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        holds_up(&text)?;
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        prop_assert!(plan_file::load(file.path()).is_err());
    }
}
