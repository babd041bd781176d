//! Rungs on real recorded runs: what passes, and which criterion fails when one thing in a store is changed.
//!
//! A changed run is written with all digests and roots computed anew, as somebody would who wants to get away with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use runproof::canon::{Blake3, FileMode, RunId, Sha256, Tree, TreeEntry, json as canonical};
use runproof::edit::{Change, Proposal, patch};
use runproof::rung::{
    CampaignInput, CampaignRun, Certified, DataSet, Execution, Ladder, Number, Profile, Replay, RunInput, Verdict,
    assess_campaign, assess_run,
};
use runproof::store::{Access, Durability, NewEvent, NewRun, RunEnd, RunStatus, Store};
use runproof::transcript::{Evidence, ReplayOutcome};
use serde_json::{Value, json};

use crate::env::TestEnv;
use crate::solve::{RIGHT, WRONG, place};

/// One event that can be changed.
#[derive(Clone)]
struct Event {
    kind: String,
    data: Value,
    bodies: BTreeMap<String, Vec<u8>>,
}

impl Event {
    fn json(&self, slot: &str) -> Value {
        serde_json::from_slice(&self.bodies[slot]).expect("a body of JSON")
    }

    fn set(&mut self, slot: &str, value: &Value) {
        self.bodies.insert(slot.into(), canonical::to_bytes(value).expect("canonical JSON"));
    }

    fn replace(&mut self, slot: &str, from: &str, to: &str) {
        let text = String::from_utf8(self.bodies[slot].clone()).expect("a body of text");
        assert!(text.contains(from), "{slot} holds no {from:?}: {text}");
        self.bodies.insert(slot.into(), text.replace(from, to).into_bytes());
    }
}

fn open(env: &TestEnv) -> Store {
    Store::open(&env.work().join(".runproof/transcripts.sqlite"), Access::Read, Durability::Full).expect("a store")
}

/// Records a run that is refused once, wrong once and right then.
fn recorded(env: &TestEnv, more: &[&str]) -> Vec<Event> {
    let args = ["solve", "task", "--model", "scripted:script.jsonl", "--quiet"];
    let output = env.run(&args.iter().chain(more).copied().collect::<Vec<_>>());
    assert!(output.code <= 1, "{output:?}");
    let store = open(env);
    let run = store.runs().expect("runs").pop().expect("a run").id;
    let events = store.events(run).expect("events");
    let body = |seq, slot: &str| store.body(run, seq, slot).expect("a body");
    let read = |event: &runproof::store::StoredEvent| Event {
        kind: event.kind.clone(),
        data: serde_json::from_slice(&event.data).expect("data"),
        bodies: event.bodies.iter().map(|stored| (stored.slot.clone(), body(event.seq, &stored.slot))).collect(),
    };
    events.iter().map(read).collect()
}

/// Writes a run as a new one, with all its digests and roots.
fn write(store: &mut Store, number: u8, kind: &str, events: &[Event]) -> RunId {
    let id = RunId::from_bytes([number; 12]);
    let named = NewRun {
        id,
        name: "changed",
        kind,
        instance: "total",
        arm: "direct-6",
        model: "scripted:x",
        tests: "existing-tests",
        orchestration: "",
        started_ms: 0,
    };
    store.begin_run(&named).expect("a new run");
    for event in events {
        let data = canonical::to_bytes(&event.data).expect("canonical data");
        let bodies: Vec<(&str, &[u8])> = event.bodies.iter().map(|(slot, bytes)| (&**slot, &**bytes)).collect();
        let event = NewEvent { kind: &event.kind, data: &data, bodies: &bodies, observation: "{}" };
        store.append(id, &event).expect("an event");
    }
    let roots = Evidence::of_run(store, id).expect("evidence").roots().clone();
    let (raw_root, canonical_root) = (roots.raw(), roots.canonical());
    let (status, attempts, finished_ms) = (RunStatus::Finished, 3, 1);
    let end = RunEnd { status, outcome: "resolved", attempts, raw_root, canonical_root, finished_ms };
    store.finish_run(id, &end).expect("an end");
    id
}

fn new_store(path: &Path) -> Store {
    Store::open(path, Access::Create, Durability::Normal).expect("a new store")
}

/// The events of a kind, in order.
fn of_kind<'e>(events: &'e mut [Event], kind: &str) -> Vec<&'e mut Event> {
    events.iter_mut().filter(|event| event.kind == kind).collect()
}

const BASE: &str =
    "def total(prices):\n    result = 0\n    for price in prices:\n        result = price\n    return result\n";

/// Has the accepted answer lead to `after`, consistently: edits, patch, tree, tests, git's word, result.
fn lead_to(events: &mut [Event], after: &str) {
    let tree = events.iter().find(|event| event.kind == "tree").expect("a tree").bodies["canonical"].clone();
    let base = Tree::from_bytes(&tree).expect("a tree");
    let mut result = base.clone();
    let entry = TreeEntry { mode: FileMode::Regular, digest: Blake3::of(after.as_bytes()), size: after.len() as u64 };
    result.insert("basket.py".into(), entry);
    let change = Change::Write { bytes: after.as_bytes().to_vec(), mode: FileMode::Regular };
    let changes = BTreeMap::from([("basket.py".to_owned(), change)]);
    let (codes, reasoning, replaced) = (Vec::new(), String::new(), BTreeMap::new());
    let digest = result.digest();
    let proposal = Proposal { changes, codes, reasoning, base, result, replaced };
    let new = patch(&|_| Some((BASE.as_bytes().to_vec(), FileMode::Regular)), &proposal);
    let edit = of_kind(events, "edit").pop().expect("an edit");
    let mut edits = edit.json("edits");
    edits["changes"]["basket.py"]["after"] = json!(entry.digest);
    edits["changes"]["basket.py"]["size"] = json!(entry.size);
    edits["result"] = json!(digest);
    edit.set("edits", &edits);
    edit.bodies.insert("patch".into(), new.clone());
    for test in of_kind(events, "test").into_iter().rev().take(2) {
        let mut request = test.json("request");
        request["tree"] = json!(digest);
        test.set("request", &request);
    }
    let check = of_kind(events, "patch_check").pop().expect("a check");
    check.set("request", &json!({"patch": Blake3::of(&new), "tests": "existing-tests", "tree": digest}));
    for slot in ["reply", "canonical"] {
        check.set(slot, &json!({"accepted": true, "tree": digest}));
    }
    of_kind(events, "result").pop().expect("a result").bodies.insert("patch".into(), new);
}

type Harm = fn(&mut Vec<Event>);

/// What is changed, which criteria must fail for it, and how.
const HARMS: [(&str, &[&str], Harm); 16] = [
    ("one byte of a reply, in both its forms", &["replies-reparse"], |events| {
        let call = of_kind(events, "model_call").pop().expect("a call");
        call.replace("reply", "result += price", "result -= price");
        call.replace("canonical", "result += price", "result -= price");
    }),
    ("one byte of a raw reply only", &["replies-reparse"], |events| {
        of_kind(events, "model_call").pop().expect("a call").replace("reply", "add up", "add_up");
    }),
    ("one byte of a refusal", &["replies-reparse"], |events| {
        of_kind(events, "edit").remove(0).replace("refusal", "no edit found", "no edit f0und");
    }),
    ("an edit outside its range", &["files-intact", "replies-reparse"], |events| {
        let after = BASE.replace("result = price", "result += price").replace("result = 0", "result = 1");
        lead_to(events, &after);
    }),
    ("a line added outside its range", &["files-intact", "replies-reparse"], |events| {
        lead_to(events, &format!("{}# more\n", BASE.replace("result = price", "result += price")));
    }),
    ("the line ends of the whole file", &["files-intact", "replies-reparse"], |events| {
        lead_to(events, &BASE.replace("result = price", "result += price").replace('\n', "\r\n"));
    }),
    ("the line end of the edited line", &["files-intact", "replies-reparse"], |events| {
        lead_to(events, &BASE.replace("result = price\n", "result += price\r\n"));
    }),
    (
        "the tree that the edits give",
        &["edits-reapply", "replies-reparse", "final-patch", "patch-accepted"],
        |events| {
            let edit = of_kind(events, "edit").pop().expect("an edit");
            let mut edits = edit.json("edits");
            edits["result"] = json!(Blake3::of(b"another"));
            edit.set("edits", &edits);
        },
    ),
    ("the tree that an attempt began at", &["attempts-pristine"], |events| {
        let check = of_kind(events, "tree_check").remove(1);
        for slot in ["reply", "canonical"] {
            check.bodies.insert(slot.into(), Blake3::of(b"dirty").to_string().into_bytes());
        }
    }),
    ("a call without its seed", &["calls-greedy"], |events| {
        let call = of_kind(events, "model_call").remove(1);
        let mut request = call.json("request");
        request["sampling"].as_object_mut().expect("sampling").remove("seed");
        call.set("request", &request);
    }),
    ("a call that samples", &["calls-greedy"], |events| {
        of_kind(events, "model_call").remove(1).replace("request", "\"temperature\":\"0\"", "\"temperature\":\"1\"");
    }),
    ("the final patch", &["final-patch", "patch-accepted"], |events| {
        of_kind(events, "result").pop().expect("a result").replace("patch", "result += price", "result |= price");
    }),
    ("the names in the final patch, which other programs go by", &["final-patch"], |events| {
        let result = of_kind(events, "result").pop().expect("a result");
        result.replace("patch", "+++ b/basket.py", "+++ b/../basket.py");
        let digest = Blake3::of(&result.bodies["patch"]);
        let check = of_kind(events, "patch_check").pop().expect("a check");
        let mut request = check.json("request");
        request["patch"] = json!(digest);
        check.set("request", &request);
    }),
    ("something after the end", &["transcript-complete"], |events| {
        events.push(Event { kind: "failed_try".into(), data: json!({}), bodies: BTreeMap::new() });
    }),
    ("the outcome", &["outcome-follows"], |events| {
        let verdict = of_kind(events, "verdict").pop().expect("a verdict");
        verdict.data["passed"] = json!(false);
    }),
    ("the end", &["transcript-complete"], |events| {
        events.pop();
    }),
];

#[test]
fn each_change_of_a_recorded_run_fails_the_criterion_that_it_is_about_and_the_replay() {
    let env = place(&["I cannot help.", WRONG, RIGHT]);
    let events = recorded(&env, &[]);
    let check: Value = serde_json::from_str(&env.run(&["check", "--json"]).sound()).expect("JSON");
    assert_eq!((&check["reached"], &check["rungs"][0]["result"]), (&json!(641), &json!("passed")), "{check}");
    for (what, expected, harm) in HARMS {
        let mut changed = events.clone();
        harm(&mut changed);
        let file = env.work().join("changed.sqlite");
        let mut store = new_store(&file);
        write(&mut store, 1, "solve", &changed);
        store.close().expect("closed");
        let output = env.run(&["--store", "changed.sqlite", "check", "--json"]);
        assert_eq!(output.code, 1, "{what}: {output:?}");
        let check: Value = serde_json::from_str(&output.stdout).expect("JSON");
        let criteria = check["rungs"][0]["criteria"].as_array().expect("criteria").clone();
        let failed: Vec<&str> = criteria
            .iter()
            .filter(|criterion| criterion["verdict"] == "failed")
            .filter_map(|criterion| criterion["name"].as_str())
            .collect();
        assert!(expected.iter().all(|name| failed.contains(name)), "{what}: {failed:?}");
        let more: Vec<&&str> = failed.iter().filter(|name| !expected.contains(name)).collect();
        // A replay notices everything; the end of a transcript leaves the others without order.
        assert!(more.iter().all(|name| ***name == *"replay-equal"), "{what}: {more:?}");
        assert_eq!(check["reached"], Value::Null, "{what}");
        fs::remove_file(&file).expect("removed");
    }
}

#[test]
fn both_answers_of_two_steps_are_read_again() {
    let env = place(&["FILE: basket.py\nLINES: 4-4\n", "```\n        result += price\n```\n"]);
    let events = recorded(&env, &["--arm", "direct-1+two-step"]);
    let harms: [(&str, Harm); 4] = [
        ("the place that is asked about", |events| {
            let prompt = of_kind(events, "prompt").pop().expect("a second prompt");
            prompt.data["region"]["first"] = json!(3);
        }),
        ("the place in the first answer", |events| {
            let call = of_kind(events, "model_call").remove(0);
            ["reply", "canonical"].iter().for_each(|slot| call.replace(slot, "4-4", "3-4"));
        }),
        ("the second answer", |events| {
            let call = of_kind(events, "model_call").pop().expect("a second call");
            ["reply", "canonical"].iter().for_each(|slot| call.replace(slot, "+=", "-="));
        }),
        ("the second step, left out", |events| {
            let at = events.iter().rposition(|event| event.kind == "prompt").expect("a second prompt");
            events.drain(at..at + 2);
        }),
    ];
    let verdict = |number: u8, events: &[Event]| {
        let file = env.work().join(format!("{number}.sqlite"));
        let mut store = new_store(&file);
        let run = write(&mut store, number, "solve", events);
        let evidence = Evidence::of_run(&store, run).expect("evidence");
        let rung = assess_run(&RunInput { evidence: &evidence, roots: None, replay: Replay::None("none") });
        rung.criterion("replies-reparse").expect("the criterion").verdict
    };
    assert_eq!(verdict(0, &events), Verdict::Passed);
    for (number, (what, harm)) in (1..).zip(harms) {
        let mut changed = events.clone();
        harm(&mut changed);
        assert_eq!(verdict(number, &changed), Verdict::Failed, "{what}");
    }
}

/// A replay that came out equal, as a program would hand it in.
fn equal(evidence: &Evidence<'_>) -> ReplayOutcome {
    ReplayOutcome {
        events: evidence.entries().len() as u32,
        raw_root: evidence.roots().raw(),
        canonical_root: evidence.roots().canonical(),
        divergence: None,
        performed_again: 0,
    }
}

const INSTANCES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// A campaign made of recorded runs: one of each arm that does not resolve, one of direct edits that does.
struct Campaign {
    resolves: Vec<Event>,
    fails: Vec<Event>,
    patch: Vec<Event>,
    store: Store,
    runs: Vec<(RunId, bool)>,
    executions: Vec<RunId>,
    _folder: tempfile::TempDir,
    number: u8,
}

impl Campaign {
    fn new(resolves: &[Event], fails: &[Event], patch: &[Event]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = new_store(&folder.path().join("campaign.sqlite"));
        let (resolves, fails, patch) = (resolves.to_vec(), fails.to_vec(), patch.to_vec());
        let (runs, executions) = (Vec::new(), Vec::new());
        Self { resolves, fails, patch, store, runs, executions, _folder: folder, number: 0 }
    }

    /// Adds a run of an instance, an arm and a seed, made of one of these.
    fn run(&mut self, instance: &str, arm: &str, seed: u32, resolved: bool, change: impl Fn(&mut Vec<Event>)) {
        let mut events = match (arm, resolved) {
            ("patch", _) => self.patch.clone(),
            (_, true) => self.resolves.clone(),
            (_, false) => self.fails.clone(),
        };
        events[0].data["options"]["seed"] = json!(seed);
        events[1].data["id"] = json!(instance);
        events[1].replace("instance", "\"id\":\"total\"", &format!("\"id\":\"{instance}\""));
        for call in of_kind(&mut events, "model_call") {
            call.replace("request", "\"seed\":42", &format!("\"seed\":{seed}"));
        }
        change(&mut events);
        self.number += 1;
        let id = write(&mut self.store, self.number, "solve", &events);
        self.runs.push((id, true));
        if arm == "direct-6" && seed == 42 {
            self.executed_again(id, &events, 3);
        }
    }

    /// Adds a run in which the calls of another one were executed again.
    fn executed_again(&mut self, run: RunId, events: &[Event], times: u32) {
        let roots = Evidence::of_run(&self.store, run).expect("evidence").roots().clone();
        let header = json!({"format": 1, "version": "0", "orchestration": "", "times": times,
            "raw_root": roots.raw(), "canonical_root": roots.canonical()});
        let event = |kind: &str, data: Value| Event { kind: kind.into(), data, bodies: BTreeMap::new() };
        let mut again = vec![event("run", header)];
        let calls = events.iter().filter(|event| event.kind == "model" || event.kind == "model_call");
        (0..times).for_each(|_| again.extend(calls.clone().cloned()));
        again.push(event("result", json!({"outcome": "identical"})));
        self.number += 1;
        self.executions.push(write(&mut self.store, self.number, "reexecution", &again));
    }

    /// Five instances in both arms and with all seeds, each resolved by direct edits.
    fn filled(resolves: &[Event], fails: &[Event], patch: &[Event]) -> Self {
        let mut campaign = Self::new(resolves, fails, patch);
        for instance in INSTANCES {
            campaign.run(instance, "patch", 42, false, |_| {});
            for seed in [42, 137, 9001] {
                campaign.run(instance, "direct-6", seed, true, |_| {});
            }
        }
        campaign
    }

    /// Has the direct runs of the instances from this one on fail.
    fn fail_from(&mut self, first: usize) {
        for (index, instance) in INSTANCES.into_iter().enumerate().skip(first) {
            let runs = std::mem::take(&mut self.runs);
            for seed in [42, 137, 9001] {
                self.run(instance, "direct-6", seed, false, |_| {});
            }
            let failed = std::mem::replace(&mut self.runs, runs);
            self.runs.splice(4 * index + 1..4 * index + 4, failed);
        }
    }

    fn assess(&self, profile: &Profile, certified: Option<&[Certified]>) -> Ladder {
        let evidence = |id: &RunId| Evidence::of_run(&self.store, *id).expect("evidence");
        let run = |(id, replays): &(RunId, bool)| {
            let evidence = evidence(id);
            let outcome = equal(&evidence);
            let replay = if *replays { Replay::Outcome(&outcome) } else { Replay::None("not performed") };
            CampaignRun::of(&evidence, &assess_run(&RunInput { evidence: &evidence, roots: None, replay }))
        };
        let runs: Vec<CampaignRun> = self.runs.iter().map(run).collect();
        let executions: Vec<Execution> = self.executions.iter().map(|id| Execution::of(&evidence(id))).collect();
        let (runs, executions): (Vec<_>, Vec<_>) = (runs.iter().collect(), executions.iter().collect());
        assess_campaign(&CampaignInput { runs: &runs, executions: &executions, certified, profile }).expect("a ladder")
    }

    /// A profile that pins the five instances, and a valid certificate of every run.
    fn pinned(&self, full_resolved: u64) -> (Profile, Vec<Certified>) {
        let evidence = |id: &RunId| Evidence::of_run(&self.store, *id).expect("evidence");
        let certified = self.runs.iter().map(|(id, _)| Sha256::of(evidence(id).manifest()));
        let certified = certified.map(|manifest| Certified { manifest, valid: true }).collect();
        let instance = |id: &RunId| {
            let evidence = evidence(id);
            let entry = &evidence.entries()[1];
            (entry.data["id"].as_str().expect("an id").to_owned(), entry.bodies["instance"].sha256)
        };
        let instances: BTreeMap<String, Sha256> = self.runs.iter().map(|(id, _)| instance(id)).collect();
        let digest = Sha256::of(&canonical::to_bytes(&instances).expect("canonical"));
        let count = instances.len() as u32;
        let data_set = Some(DataSet { name: "five".into(), digest, count });
        (Profile { full_resolved, data_set, ..Profile::default() }, certified)
    }
}

fn results(ladder: &Ladder) -> [&'static str; 3] {
    Number::ALL.map(|number| ladder.rung(number).map_or("absent", |rung| rung.result().word()))
}

/// The verdict of the first criterion that did not pass, with its name and reason.
fn first_open(ladder: &Ladder, number: Number) -> String {
    let rung = ladder.rung(number).expect("a rung");
    let open = rung.criteria().iter().find(|criterion| criterion.verdict != Verdict::Passed);
    open.map_or_else(String::new, |c| format!("{} {}: {}", c.name, c.verdict.word(), c.reason))
}

#[test]
fn campaigns_of_twenty_runs_reach_the_rung_that_their_runs_allow() {
    let resolves = recorded(&place(&["I cannot help.", WRONG, RIGHT]), &[]);
    let fails = recorded(&place(&["I cannot help.", WRONG, WRONG, WRONG, WRONG, WRONG]), &[]);
    let patch = recorded(&place(&["I cannot help."]), &["--arm", "patch"]);
    // Another script is another model.
    let model = resolves.iter().find(|event| event.kind == "model").expect("a model");
    let [fails, patch] = [fails, patch].map(|mut events| {
        events.iter_mut().filter(|event| event.kind == "model").for_each(|event| *event = model.clone());
        events
    });
    let default = Profile::default();

    let none = Campaign::new(&resolves, &fails, &patch).assess(&default, Some(&[]));
    assert_eq!(results(&none), ["not-assessed", "not-assessed", "not-assessed"]);
    assert_eq!(none.reached(), None);

    let mut all = Campaign::filled(&resolves, &fails, &patch);
    let good = all.runs.clone();
    let (profile, certified) = all.pinned(1_000_000);
    let ladder = all.assess(&profile, Some(&certified));
    assert_eq!(results(&ladder), ["passed"; 3], "{}", first_open(&ladder, Number::Stress));
    let above = ladder.rung(Number::Stress).and_then(|rung| rung.criterion("direct-above-patch")).expect("it is there");
    assert_eq!((above.figures["only-direct"], above.figures["mcnemar-p"]), (5, 62_500));
    // Two of five are the built-in 40 %, and not everything.
    all.fail_from(2);
    let (two, certified_two) = all.pinned(1_000_000);
    let ladder = all.assess(&two, Some(&certified_two));
    assert_eq!(results(&ladder), ["passed", "passed", "failed"], "{}", first_open(&ladder, Number::Stress));
    assert!(first_open(&ladder, Number::Full).starts_with("full-threshold failed: 2 of 5 resolved, 40 %"));
    all.fail_from(1);
    let one = all.assess(&default, None);
    assert_eq!(results(&one), ["passed", "failed", "failed"]);
    assert!(first_open(&one, Number::Stress).starts_with("direct-threshold failed: 1 of 5"));

    // What 65537 asks for beyond that, taken away one by one.
    all.runs = good.clone();
    let assess =
        |profile: &Profile, certified: Option<&[Certified]>| first_open(&all.assess(profile, certified), Number::Full);

    let unpinned = Profile { data_set: None, ..profile.clone() };
    assert!(assess(&unpinned, Some(&certified)).starts_with("data-set-complete not-assessed"));
    let mut larger = profile.clone();
    larger.data_set.as_mut().expect("a data set").count = 6;
    assert!(assess(&larger, Some(&certified)).starts_with("data-set-complete failed: 5 instances of the 6"));
    let mut other = profile.clone();
    other.data_set.as_mut().expect("a data set").digest = Sha256::of(b"other");
    assert!(assess(&other, Some(&certified)).starts_with("data-set-complete failed: the instances are other ones"));
    let more = Profile { executions: 4, ..profile.clone() };
    assert!(assess(&more, Some(&certified)).contains("was executed again 3 of 4 times"));
    assert!(assess(&profile, None).starts_with("runs-certified not-assessed"));
    assert!(assess(&profile, Some(&certified[2..])).starts_with("runs-certified failed: a (direct-6"));
    let mut invalid = certified.clone();
    invalid.iter_mut().for_each(|one| one.valid = false);
    assert!(assess(&profile, Some(&invalid)).contains("is not valid"));

    // A campaign with one thing wrong.
    let edge = |campaign: &Campaign| first_open(&campaign.assess(&default, None), Number::Edge);
    let stress = |campaign: &Campaign| first_open(&campaign.assess(&default, None), Number::Stress);
    all.run("a", "direct-6", 42, false, |_| {});
    assert!(edge(&all).contains("a (direct-6, seed 42) is there twice"), "{}", edge(&all));
    all.runs = good.clone();
    all.run("f", "direct-6", 42, true, |_| {});
    assert!(stress(&all).contains("f was not run with the arm patch"), "{}", stress(&all));
    all.runs = good.clone();
    all.runs[3].1 = false;
    assert!(edge(&all).starts_with("every-run-at-641 not-assessed"), "{}", edge(&all));
    assert_eq!(results(&all.assess(&default, None)), ["not-assessed"; 3]);
    all.runs = good[..16].to_vec();
    assert!(stress(&all).contains("4 instances in both arms, 5 wanted"), "{}", stress(&all));
    all.runs = good[..1].to_vec();
    assert_eq!(all.assess(&default, None).reached(), Some(Number::Edge));

    // Other replies with another seed; feedback that does not reach the model.
    all.runs = good[..19].to_vec();
    all.run("e", "direct-6", 9001, false, |_| {});
    assert!(stress(&all).contains("e got other replies with seed 9001 than 42"), "{}", stress(&all));
    all.runs = good[..19].to_vec();
    all.run("e", "direct-6", 9001, true, |events| {
        let call = of_kind(events, "model_call").pop().expect("a call");
        call.replace("request", "did not repair the bug", "was fine");
    });
    assert!(stress(&all).contains("the model was not sent what the prompt tells"), "{}", stress(&all));

    // Arms that are not what they are called, and runs of one arm that are not alike.
    let renamed = |campaign: &mut Campaign, name: &str| {
        campaign.runs = good[..19].to_vec();
        campaign.run("e", "direct-6", 9001, true, |events| events[0].data["options"]["arm"] = json!(name));
    };
    for (name, word) in [("direct-2", "its arm is called \"direct-2\" and is direct-6"), ("patch", "and is direct-6")] {
        renamed(&mut all, name);
        assert!(edge(&all).starts_with("every-run-at-641 failed") && edge(&all).contains(word), "{}", edge(&all));
    }
    for (option, value) in [("timeout_seconds", json!(7)), ("spending", json!({"tokens": 7}))] {
        all.runs = good[..19].to_vec();
        all.run("e", "direct-6", 9001, true, |events| events[0].data["options"][option] = value.clone());
        assert!(stress(&all).contains("other options than another run of its arm"), "{}", stress(&all));
    }
    all.runs = good.clone();
    all.runs.remove(0);
    all.run("a", "patch", 42, false, |events| events[0].data["options"]["reply_tokens"] = json!(7));
    assert!(stress(&all).contains("a was run with another reply_tokens in the other arm"), "{}", stress(&all));

    all.runs = good[..19].to_vec();
    all.run("e", "direct-6", 9001, true, |events| {
        of_kind(events, "selection").remove(0).bodies.insert("canonical".into(), b"[]".to_vec());
    });
    assert!(stress(&all).contains("selected other files than another run on the instance"), "{}", stress(&all));

    // Another instance under the same name, with another seed.
    all.runs = good[..19].to_vec();
    all.run("e", "direct-6", 9001, true, |events| events[1].replace("instance", "only the last", "just the last"));
    assert!(stress(&all).contains("e is another one, or has another model, with seed 9001"), "{}", stress(&all));

    // The same recording of a re-execution is not two.
    all.runs = good.clone();
    all.executions.push(all.executions[0]);
    let more = Profile { executions: 6, ..profile.clone() };
    let open = first_open(&all.assess(&more, Some(&certified)), Number::Full);
    assert!(open.contains("a (direct-6, seed 42) was executed again 3 of 6 times"), "{open}");
    assert_eq!(results(&all.assess(&profile, Some(&certified))), ["passed"; 3]);

    // A re-execution with another reply.
    all.runs = good;
    let mut changed = resolves.clone();
    of_kind(&mut changed, "model_call").pop().expect("a call").replace("canonical", "add up", "add_up");
    all.executed_again(all.runs[1].0, &changed, 1);
    let open = first_open(&all.assess(&profile, Some(&certified)), Number::Full);
    assert!(open.starts_with("calls-reexecuted failed"), "{open}");
}

#[test]
fn a_run_under_another_id_than_its_instance_has_is_not_certified() {
    let env = place(&[WRONG, RIGHT]);
    let mut events = recorded(&env, &[]);
    events[1].data["id"] = json!("other");
    let mut store = new_store(&env.work().join("changed.sqlite"));
    write(&mut store, 1, "solve", &events);
    store.close().expect("closed");
    env.run(&["key", "new", "k"]).sound();
    let output = env.run(&["--store", "changed.sqlite", "certify", "--key", "k", "-o", "c.json"]);
    assert!(output.code == 3 && output.stderr.contains("the recorded instance is not \"other\""), "{output:?}");
    assert!(!env.work().join("c.json").exists());
}

#[test]
fn a_campaign_is_checked_from_the_command_line() {
    let env = place(&[WRONG, RIGHT]);
    recorded(&env, &["--name", "one"]);
    fs::write(env.work().join("p.toml"), "instances = 1\nseeds = [42]\ndirect_resolved = 1000000\n").expect("written");
    let output = env.run(&["check", "--runs", "one", "--profile", "p.toml"]);
    assert_eq!(output.code, 1, "{output:?}");
    assert!(output.stdout.contains("total was not run with the arm patch"), "{output:?}");
    assert_eq!(env.run(&["check", "--runs", "all", "--rung", "641"]).code, 0);
    let cases: [(&[&str], i32, &str); 5] = [
        (&["check", "--rung", "640"], 2, "641, 274177 and 65537"),
        (&["check", "--rung", "274177"], 2, "--runs"),
        (&["check", "--runs", "one,two"], 2, "no run \"two\""),
        (&["check", "--runs", "one", "--profile", "none.toml"], 4, "none.toml"),
        (&["check", "--runs", "one", "--profile", "task/task.toml"], 3, "unknown field"),
    ];
    for (args, code, word) in cases {
        let output = env.run(args);
        assert_eq!(output.code, code, "{args:?} {output:?}");
        assert!(output.stderr.contains(word), "{args:?} {output:?}");
    }
}

#[test]
fn seeds_agree_on_nothing_where_no_call_was_made() {
    let resolves = recorded(&place(&[RIGHT]), &[]);
    let mut campaign = Campaign::new(&resolves, &resolves, &resolves);
    for seed in [42, 137, 9001] {
        campaign.run("a", "direct-6", seed, true, |events| {
            let first = events.iter().position(|event| event.kind == "prompt").expect("a prompt");
            // Its end alone stays.
            events.drain(first..events.len() - 1);
        });
    }
    let ladder = campaign.assess(&Profile::default(), None);
    let agree =
        ladder.rung(Number::Stress).and_then(|rung| rung.criterion("seeds-agree")).expect("it is there").clone();
    assert_eq!((agree.verdict, agree.reason.as_str()), (Verdict::NotAssessed, "no run made a call"));
}
