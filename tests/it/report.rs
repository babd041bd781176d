//! Reports of campaigns that were made up by a plan: the figures follow from it, the bytes depend on nothing else, and
//! nothing that a model or a reporter wrote gets out of its place.

use std::fs;
use std::path::Path;

use runproof::campaign::{VALIDATION, validation_id};
use runproof::canon::{RunId, Sha256};
use runproof::edit::Code;
use runproof::report::{Ending, UNREAD};
use runproof::store::{Access, Durability, NewEvent, NewRun, RunEnd, RunStatus, Store};
use serde_json::{Value, json};

use crate::env::TestEnv;
use crate::made::{Campaign, Course, Made};
use crate::snap;

const ARMS: [&str; 4] = ["patch", "direct-1", "direct-6", "direct-6+fallback"];
const HOSTILE: &str =
    "</script><script>alert('issue')</script><!-- \u{202e}gnp.exe\u{202c} \u{7} ]]> {{7*7}} onerror=alert(1)";

/// Six instances, each with a course of its own.
fn campaign(last: &str, seeds: &[u32]) -> Campaign {
    let courses = [
        ("a-at-once", Course::AtOnce),
        ("b-after-feedback", Course::AfterFeedback),
        ("c-after-feedback", Course::AfterFeedback),
        ("d-fallback-only", Course::FallbackOnly),
        ("e-visible-only", Course::VisibleOnly),
        (last, Course::Never),
    ];
    let made = courses.iter().enumerate().map(|(number, (id, course))| Made::new(id, number, *course, 4, HOSTILE));
    Campaign::new("made <title><script>alert('name')", made.collect(), &ARMS, seeds)
}

fn record(path: &Path, campaign: &Campaign, reversed: bool, salt: u64) {
    let mut store = Store::open(path, Access::Create, Durability::Normal).unwrap();
    campaign.record(&mut store, reversed, salt, &|_, _, _| false);
    store.close().unwrap();
}

fn made() -> Campaign {
    campaign("f-never", &[42])
}

fn place(campaign: &Campaign) -> TestEnv {
    let env = TestEnv::new();
    record(&env.work().join("s.sqlite"), campaign, false, 1);
    env
}

fn report(env: &TestEnv, campaign: &Campaign, more: &[&str]) -> String {
    let id = campaign.plan.id().to_string();
    let name = if more.contains(&"--runs") { Vec::new() } else { vec![id.as_str()] };
    env.run(&[&["report", "--store", "s.sqlite", "--quiet"][..], &name, more].concat()).sound()
}

#[test]
fn the_figures_are_those_of_the_plan() {
    let campaign = made();
    let env = place(&campaign);
    let found: Value = serde_json::from_str(&report(&env, &campaign, &["--no-check", "--format", "json"])).unwrap();
    // The rules that drive runs are part of the campaign's id and root; the figures are not.
    let text = report(&env, &campaign, &["--no-check"]).replace(&campaign.plan.id().to_string(), "$ID");
    snap!("report", "text", text.replace(found["root"].as_str().unwrap(), "$ROOT"));
    let arm = |name: &str| found["figures"].as_array().unwrap().iter().find(|arm| arm["arm"] == name).unwrap().clone();
    let figures = |name: &str, keys: &[&str]| {
        let arm = arm(name);
        keys.iter().map(|key| arm[*key].as_u64().unwrap_or_else(|| panic!("{key}"))).collect::<Vec<_>>()
    };
    let keys = ["of", "judged", "resolved", "by_fallback", "attempts", "parsed", "applied", "green", "told"];
    assert_eq!(figures("patch", &keys), [6, 6, 0, 0, 6, 2, 0, 0, 0]);
    // Two of the first answers are refusals to answer, the others are edits, one of them right.
    assert_eq!(figures("direct-1", &keys), [6, 6, 1, 0, 6, 4, 4, 1, 0]);
    // 1 + 3 + 3 + 6 + 2 + 6 attempts; visible-only is green too.
    assert_eq!(figures("direct-6", &keys), [6, 6, 3, 0, 21, 19, 19, 4, 15]);
    assert_eq!(figures("direct-6+fallback", &keys), [6, 6, 4, 1, 19, 17, 17, 5, 13]);
    assert_eq!(arm("direct-6+fallback")["resolved_at"], serde_json::json!({"1": 1, "3": 2, "4": 1}));
    assert_eq!(arm("direct-6")["endings"], serde_json::json!({"resolved": 3, "visible-only": 1, "unresolved": 2}));
    assert_eq!(arm("direct-6")["interval"], serde_json::json!([187_616, 812_384]));
    let pair = found["pairs"].as_array().unwrap().iter().find(|pair| pair["second"] == "direct-6+fallback").unwrap();
    assert_eq!((&pair["first"], &pair["p"]), (&Value::from("patch"), &Value::from(125_000)));
    assert_eq!(pair["only_second"].as_array().unwrap().len(), 4);
    assert_eq!(found["tests"], "existing-tests");
}

#[test]
fn the_bytes_depend_on_no_order_machine_or_place() {
    let courses = [Course::AfterFeedback, Course::FallbackOnly, Course::VisibleOnly];
    let made = (0..).zip(courses).map(|(number, course)| Made::new(&format!("i{number}"), number, course, 4, HOSTILE));
    let campaign = Campaign::new("made", made.collect(), &["patch", "direct-6+fallback"], &[42]);
    let env = place(&campaign);
    fs::create_dir(env.work().join("elsewhere")).unwrap();
    record(&env.work().join("elsewhere/other.sqlite"), &campaign, true, 777);
    let id = campaign.plan.id().to_string();
    for more in
        [&["--format", "html"][..], &["--format", "json"], &["--no-check"], &["--no-check", "--format", "markdown"]]
    {
        let one = report(&env, &campaign, more);
        let mut command = env.command(&[&["report", &id, "--store", "other.sqlite", "--quiet"][..], more].concat());
        command.current_dir(env.work().join("elsewhere")).env("TZ", "Asia/Tokyo").env("LC_ALL", "de_DE.UTF-8");
        assert_eq!(one, env.finish(&mut command).sound(), "{more:?}");
    }
    // Two machines did a part each, and their stores are joined in either order.
    for (name, own) in [("a.sqlite", true), ("b.sqlite", false)] {
        let mut store = Store::open(&env.work().join(name), Access::Create, Durability::Normal).unwrap();
        campaign.record(&mut store, own, 5, &|instance, _, _| (instance == "i1") == own);
        store.close().unwrap();
    }
    let whole = report(&env, &campaign, &["--format", "html", "--no-check"]);
    for stores in [["ab.sqlite", "a.sqlite", "b.sqlite"], ["ba.sqlite", "b.sqlite", "a.sqlite"]] {
        env.run(&[&["store", "merge", "--quiet"][..], &stores].concat()).sound();
        let args = ["report", &id, "--store", stores[0], "--quiet", "--format", "html", "--no-check"];
        assert_eq!(env.run(&args).sound(), whole);
    }
    let raw = |store: &str| {
        let store = Store::open(&env.work().join(store), Access::Read, Durability::Normal).unwrap();
        store.run(campaign.plan.members()[0].run).unwrap().unwrap().raw_root
    };
    assert_ne!(raw("s.sqlite"), raw("elsewhere/other.sqlite"), "the two stores were to differ");
}

#[test]
fn nothing_foreign_becomes_markup_or_misleads() {
    let campaign = campaign("f\"><img src=x onerror=alert(1)>\u{202e}", &[42]);
    let env = place(&campaign);
    let page = report(&env, &campaign, &["--format", "html", "--no-check"]);
    let scripts = page.matches("<script").count();
    let own = page.matches("<script type=").count();
    assert_eq!(scripts, own + 1, "only the page's own script is one");
    for harm in ["<img", "onerror=alert(1)>", "<script>alert", "\u{202e}", "\u{7}", "made <title>"] {
        assert!(!page.contains(harm), "{harm:?}");
    }
    assert!(page.contains("f&quot;&gt;&lt;img src=x onerror=alert(1)&gt;\\u{202e}"), "the name is shown as it is");
    assert!(page.contains("default-src 'none'") && page.contains("require-trusted-types-for 'script'"));
    for address in ["http://", "https://", "//cdn", "@import", " style="] {
        assert!(!page.contains(address), "{address}");
    }
    for form in ["text", "markdown"] {
        let text = report(&env, &campaign, &["--format", form, "--no-check"]);
        assert!(!text.contains('\u{202e}') && !text.contains('\u{7}'), "{form}");
        assert!(form == "text" || !text.contains("<img"), "{form}");
    }
}

#[test]
fn neither_words_of_a_row_nor_numbers_beyond_all_bounds_do_harm() {
    let env = TestEnv::new();
    let mut store = Store::open(&env.work().join("s.sqlite"), Access::Create, Durability::Normal).unwrap();
    let id = RunId::from_bytes([1; 12]);
    let (kind, instance, arm, model, orchestration) = ("solve", "i", "a", "m", "o");
    let tests = "\u{1b}]0;x\u{7}";
    store
        .begin_run(&NewRun { id, name: "x", kind, instance, arm, model, tests, orchestration, started_ms: 0 })
        .unwrap();
    let most = u64::MAX;
    let reply = format!("{{\"prompt_tokens\":{most},\"completion_tokens\":{most}}}");
    let observation = format!("{{\"elapsed_us\":{most}}}");
    let mut append = |kind: &str, data: &str, bodies: &[(&str, &[u8])]| {
        let event = NewEvent { kind, data: data.as_bytes(), bodies, observation: &observation };
        store.append(id, &event).unwrap();
    };
    append("run", "{\"options\":{\"attempts\":2,\"seed\":1}}", &[]);
    for number in 1..=2 {
        append("prompt", &format!("{{\"attempt\":{number},\"shown\":[]}}"), &[]);
        append("model_call", "{}", &[("request", b"{}"), ("canonical", reply.as_bytes())]);
        append("test", "{}", &[]);
        append("test", "{}", &[]);
    }
    store.close().unwrap();
    for form in ["text", "markdown", "json", "html"] {
        let output = env.run(&["report", "x", "--store", "s.sqlite", "--no-check", "--times", "--format", form]);
        assert!(output.code == 0 && !output.stdout.contains(['\u{1b}', '\u{7}']), "{form} {}", output.stderr);
    }
}

#[test]
fn runs_that_did_not_end_stay_in_the_denominator() {
    let env = TestEnv::new();
    let campaign = made();
    let mut store = Store::open(&env.work().join("s.sqlite"), Access::Create, Durability::Normal).unwrap();
    campaign.record(&mut store, false, 1, &|instance, arm, _| arm == "direct-6" && instance < "d");
    // One was not begun, one met an environment error, one ran out of time, and one instance is found to be invalid.
    let row = |store: &mut Store, id, kind: &str, instance: &str, status, outcome: &str| {
        let (name, arm, model, tests, orchestration) = ("r", "direct-6", "m", "existing-tests", "o");
        let run = NewRun { id, name, kind, instance, arm, model, tests, orchestration, started_ms: 0 };
        store.begin_run(&run).unwrap();
        let root = Sha256::of(b"");
        let end = RunEnd { status, outcome, attempts: 0, raw_root: root, canonical_root: root, finished_ms: 0 };
        store.finish_run(id, &end).unwrap();
    };
    let members = campaign.plan.members();
    let id = |instance: &str| {
        members.iter().find(|one| one.arm == "direct-6" && one.instance.starts_with(instance)).unwrap().run
    };
    row(&mut store, id("b"), "solve", "b-after-feedback", RunStatus::Failed, "environment: no clone of x");
    row(&mut store, id("c"), "solve", "c-after-feedback", RunStatus::Interrupted, "limit: 600 seconds");
    for (number, instance, outcome) in
        [(0, "e-visible-only", "environment-invalid"), (0, "f-never", "environment-invalid"), (1, "f-never", "valid")]
    {
        let id = validation_id(&campaign.plan.instances[instance], number);
        row(&mut store, id, VALIDATION, instance, RunStatus::Finished, outcome);
    }
    store.close().unwrap();
    let found: Value = serde_json::from_str(&report(&env, &campaign, &["--no-check", "--format", "json"])).unwrap();
    let direct = found["figures"].as_array().unwrap().iter().find(|arm| arm["arm"] == "direct-6").unwrap();
    // Judged: d and f.
    assert_eq!((&direct["of"], &direct["judged"], &direct["resolved"]), (&6.into(), &2.into(), &0.into()));
    assert_eq!(
        direct["endings"],
        json!({"not-run": 1, "environment-error": 1, "out-of-time": 1, "unresolved": 2, "visible-only": 1})
    );
    assert_eq!(found["invalid"].as_object().unwrap().keys().collect::<Vec<_>>(), ["e-visible-only"]);
    let pair = found["pairs"].as_array().unwrap().iter().find(|pair| pair["second"] == "direct-6").unwrap();
    assert_eq!(pair["of"], 2, "pairs are those that both arms were judged on");
    let page = report(&env, &campaign, &["--no-check", "--format", "html"]);
    for word in ["id=\"unjudged\"", "not-run", "no clone of x", "environment-invalid"] {
        assert!(page.contains(word), "{word}");
    }
}

#[test]
fn a_report_of_single_runs_the_ladder_and_what_is_none() {
    let campaign = made();
    let env = place(&campaign);
    let members = campaign.plan.members();
    let resolved = members.iter().find(|one| one.instance.starts_with('b') && one.arm == "direct-6").unwrap();
    let text = env.run(&["report", &resolved.run.to_string(), "--store", "s.sqlite"]).sound();
    assert!(text.contains("rung 641        passed") && text.contains("attempt 3  green"), "{text}");
    let two = [members[0].run.to_string(), members[1].run.to_string()].join(",");
    assert!(report(&env, &campaign, &["--runs", &two]).contains("chosen runs"));
    let all = members.iter().filter(|one| one.instance.starts_with('b')).map(|one| one.run.to_string());
    let whole = report(&env, &campaign, &["--runs", &all.collect::<Vec<_>>().join(","), "--format", "html"]);
    assert!(whole.contains("reached: <strong>641</strong>") && whole.contains("direct-above-patch"));
    env.run(&["report", &resolved.run.to_string(), "--store", "s.sqlite", "-q", "-o", "r.md"]).sound();
    assert!(fs::read_to_string(env.work().join("r.md")).unwrap().starts_with("# made"));
    for (args, code) in [
        (&["report", "nothing", "--store", "s.sqlite"][..], 2),
        (&["report", "--store", "none.sqlite"], 4),
        (&["report", &resolved.run.to_string(), "--store", "s.sqlite", "-o", "no/such/folder.html"], 4),
        (&["report", &resolved.run.to_string(), "--store", "s.sqlite", "-o", "/dev/full"], 4),
        (&["report", &resolved.run.to_string(), "--store", "s.sqlite", "--profile", "p.toml"], 2),
    ] {
        let output = env.run(args);
        assert!(output.code == code && output.stderr.contains("hint:"), "{output:?}");
    }
}

#[test]
fn the_codes_of_replies_without_edits_are_the_parsers_own() {
    for code in UNREAD {
        assert!(Code::ALL.iter().any(|known| known.as_str() == code && known.is_refusal()), "{code}");
    }
    let words: Vec<&str> = Ending::ALL.iter().map(|ending| ending.word()).collect();
    assert_eq!(words[..3], ["resolved", "visible-only", "unresolved"]);
}
