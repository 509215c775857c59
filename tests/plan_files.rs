//! Plan files: what loads, what does not, and what a person is told.

use cutover::plan_file;

#[test]
fn show_all() {
    for text in [
        "version: 1\nname: Recipe_API\nwindows: x\nsettel: 1m\nregion: x\naws:\n  region: us-east-1a\n  role_arn: foo\nrecords:\n  - { zone: example.com, name: api.exmaple.com, type: a, old: eks, new: eks }\n  - {zone: 1}\nsteps:\n  - { weight: 5, bake: 4 }\n  - { weight: 0.05, bake: 4 hours, approval: true }\n  - { weight: 0.1%, bake: 0s, bake: 3h}\n  - { weight: 20%, bake: 4h}\n  - { weight: 10%, bake: 91d}\n  - { weight: 90%, bake: 4h}\ngates:\n  alarms:\n    - a\n    - a\n    - [x]\n  fallback_alarms: [a]\n  on_unknown: rever\n  metrics:\n    a: b\nnotify:\n  command: page.sh\n",
        "",
        "- a\n- b\n",
        "version: 1\n\tname: x",
        "version: 2\nfoo: bar\n",
        "version: 1\n---\nversion: 1\n",
        "a: &a [*b, *c]\nb: [1, 2",
        "version: 1\nname:\nrecords: []\nsteps: []\ngates: {}\n",
    ] {
        match plan_file::parse(text, "plans/x.yaml") {
            Ok(_) => panic!(),
            Err(e) => eprintln!("=====\n{e}"),
        }
    }
}
