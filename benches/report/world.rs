//! Campaigns of any size, recorded without a model, a worktree or a sandbox.
//!
//! The real attempt loop runs ([`runproof::solve::run`]) and the real recorder writes; only what the loop asks the world
//! for is made up: the listing and the files of a tree, the ranking, the replies by a plan for each instance, and test
//! logs that follow from the tree under test. So every run replays to the byte and reaches rung 641 like any other.

use std::collections::BTreeMap;
use std::time::Duration;

use runproof::campaign::{KIND, Plan};
use runproof::canon::{Blake3, FileMode, Sha256, Tree, TreeEntry};
use runproof::gate::{Execution, TestRequest};
use runproof::instance::{Hidden, Instance, Repository};
use runproof::model::Request;
use runproof::rung::Profile;
use runproof::solve::{self, Options, orchestration_digest};
use runproof::store::{NewRun, RunEnd, RunStatus, Store};
use runproof::transcript::{ActFailure, Ask, Clock, Done, Kind, Recorder, Retries, Transcript, TranscriptError};
use serde_json::{Map, Value, json};

/// Attempts that the first model has before the fallback takes over.
const FALLBACK_AFTER: u32 = 3;
const FALLBACK: &str = "scripted:stronger.jsonl";

/// What becomes of an instance in the direct arms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Course {
    /// The first answer is right.
    AtOnce,
    /// The third answer is right, after a refusal and red tests.
    AfterFeedback,
    /// Only the fallback model is right.
    FallbackOnly,
    /// No answer is right.
    Never,
    /// The second answer satisfies the visible tests only.
    VisibleOnly,
}

/// An instance that was made up.
pub(crate) struct Made {
    pub(crate) instance: Instance,
    course: Course,
    files: BTreeMap<String, Vec<u8>>,
    base: Tree,
    line: usize,
    number: usize,
}

const SOURCE: &str = "shop/prices.py";
const TESTS: &str = "tests/test_prices.py";

impl Made {
    /// Makes an instance with a source file of so many functions; `issue` is what a hostile reporter may write.
    pub(crate) fn new(id: &str, number: usize, course: Course, functions: usize, issue: &str) -> Self {
        let wrong = functions / 2;
        let mut source = String::new();
        let mut line = 0;
        for function in 0..functions {
            let sign = if function == wrong { '-' } else { '+' };
            source.push_str(&format!("def price_{number}_{function}(net, tax):\n    \"\"\"Adds tax {function} to the net price of article {number}.\"\"\"\n"));
            source.push_str(&format!("    return net {sign} tax * {}\n\n\n", (number * 7 + function * 13) % 97 + 1));
            if function == wrong {
                line = source.lines().count() - 2;
            }
        }
        let tests = format!("import unittest\nfrom shop.prices import price_{number}_{wrong}\n");
        let files = BTreeMap::from([(SOURCE.to_owned(), source.into_bytes()), (TESTS.to_owned(), tests.into_bytes())]);
        let base = tree(&files);
        let hidden = BTreeMap::from([("tests/test_held_out.py".to_owned(), b"import unittest\n".to_vec())]);
        let instance = Instance {
            base_commit: Some("0".repeat(40)),
            hidden: Hidden::Overlay(hidden),
            test_command: Some("python3 -m unittest -v".into()),
            log_parser: Some("unittest".into()),
            ..Instance::new(
                id.to_owned(),
                Repository::Named("made/shop".into()),
                format!("Article {number} is too cheap: the tax is taken off. {issue}"),
            )
        };
        Self { instance, course, files, base, line, number }
    }

    /// The line as an answer may leave it.
    fn edited(&self, edit: &str) -> String {
        let source = String::from_utf8_lossy(&self.files[SOURCE]).into_owned();
        let line = source.lines().nth(self.line - 1).unwrap_or_default().to_owned();
        line.replace(" - ", edit)
    }

    fn tree_with(&self, edit: &str) -> Blake3 {
        let source = String::from_utf8_lossy(&self.files[SOURCE]).into_owned();
        let lines: Vec<String> = source
            .split_inclusive('\n')
            .enumerate()
            .map(|(at, line)| if at + 1 == self.line { line.replace(" - ", edit) } else { line.to_owned() })
            .collect();
        let mut files = self.files.clone();
        files.insert(SOURCE.into(), lines.concat().into_bytes());
        tree(&files).digest()
    }

    /// The answer to an attempt.
    fn answer(&self, arm: &Options, attempt: usize, by_fallback: bool) -> String {
        let edit = |edit: &str| {
            let (line, text) = (self.line, self.edited(edit));
            format!("FILE: {SOURCE}\nLINES: {line}-{line}\nREASONING: the tax belongs on top\n```\n{text}\n```\n")
        };
        if arm.arm == "patch" {
            return match self.number % 3 {
                0 => format!(
                    "--- a/{SOURCE}\n+++ b/{SOURCE}\n@@ -{0},9 +{0},9 @@\n-    return\n+    return net\n",
                    self.line
                ),
                1 => "I would change the sign in the function. </script><script>alert('reply')</script>".into(),
                _ => format!("--- a/{SOURCE}\n+++ b/{SOURCE}\n@@ -1,1 +1,1 @@\n-no such line\n+no line\n"),
            };
        }
        let wrong = [" * ", " / ", " % ", " ** ", " // ", " | "];
        let right = match self.course {
            Course::AtOnce => true,
            Course::AfterFeedback => attempt >= 3,
            Course::FallbackOnly => by_fallback,
            Course::Never | Course::VisibleOnly => false,
        };
        match self.course {
            _ if right => edit(" + "),
            Course::AfterFeedback if attempt == 1 => {
                format!("I need to see more of the code \u{202e}first\u{202c} <img src=x onerror=alert({attempt})>.")
            }
            Course::VisibleOnly if attempt == 2 => edit(" ^ "),
            _ => edit(wrong[(attempt - 1) % wrong.len()]),
        }
    }

    /// The log of the tests on a tree. `salt` is what differs between two machines.
    fn log(&self, request: &TestRequest, salt: u64) -> Execution {
        let is_right = request.tree == self.tree_with(" + ");
        let is_green = is_right || (request.tree == self.tree_with(" ^ ") && !request.stage.starts_with("grade"));
        let names = ["test_gross", "test_net", "test_nothing"];
        let mut log = String::new();
        for name in names {
            let ends = if name == "test_gross" && !is_green { "FAIL" } else { "ok" };
            log.push_str(&format!("{name} (tests.test_prices.Prices.{name}) ... {ends}\n"));
        }
        if !is_green {
            let rule = "=".repeat(70);
            log.push_str(&format!(
                "\n{rule}\nFAIL: test_gross (tests.test_prices.Prices.test_gross)\n{}\nTraceback (most recent call last):\n  File \"tests/test_prices.py\", line 9, in test_gross\n    self.assertEqual(price_{}(100, 7), 107)\nAssertionError: 93 != 107\n",
                "-".repeat(70),
                self.number
            ));
        }
        let end = if is_green { "OK" } else { "FAILED (failures=1)" };
        log.push_str(&format!("\n{}\nRan 3 tests in 0.{:03}s\n\n{end}\n", "-".repeat(70), 1 + salt % 900));
        Execution {
            exit: Some(i32::from(!is_green)),
            signal: None,
            timed_out: false,
            truncated: false,
            exceeded: None,
            sandbox: runproof::gate::Level::Namespaces,
            log: log.into_bytes(),
        }
    }
}

fn tree(files: &BTreeMap<String, Vec<u8>>) -> Tree {
    let mut tree = Tree::default();
    for (path, bytes) in files {
        let entry = TreeEntry { mode: FileMode::Regular, digest: Blake3::of(bytes), size: bytes.len() as u64 };
        tree.insert(path.clone(), entry);
    }
    tree
}

/// Answers whatever the loop asks for, and lets the recorder write it down.
struct World<'a> {
    recorder: Recorder<'a>,
    made: &'a Made,
    arm: &'a Options,
    attempt: usize,
    salt: u64,
}

impl World<'_> {
    fn answer(&mut self, ask: &Ask<'_>) -> Vec<u8> {
        let request: Value = serde_json::from_slice(ask.request).unwrap_or_default();
        match ask.kind {
            Kind::Model => {
                // The model and its fallback are told apart by their digests.
                let name = request["model"].as_str().unwrap_or_default();
                format!("{{\"replies\":6,\"sha256\":\"{}\"}}", Sha256::of(name.as_bytes())).into_bytes()
            }
            Kind::Tree => self.made.base.to_bytes(),
            Kind::TreeCheck => self.made.base.digest().to_string().into_bytes(),
            Kind::File => self.made.files[request["path"].as_str().unwrap_or_default()].clone(),
            Kind::Selection => {
                format!("[{{\"path\":\"{SOURCE}\",\"score\":2}},{{\"path\":\"{TESTS}\",\"score\":1}}]").into_bytes()
            }
            Kind::Test => {
                let request = TestRequest::from_bytes(ask.request).expect("the loop wrote it");
                self.made.log(&request, self.salt).to_bytes()
            }
            Kind::ModelCall => {
                self.attempt += 1;
                let request = Request::from_bytes(ask.request).expect("the loop wrote it");
                let by_fallback = request.model.digest == Some(Sha256::of(FALLBACK.as_bytes()).to_string());
                let reply = self.made.answer(self.arm, self.attempt, by_fallback);
                serde_json_canonicalizer::to_vec(&json!({ "reply": reply })).expect("a string")
            }
            Kind::PatchCheck => {
                let tree = &request["tree"];
                serde_json_canonicalizer::to_vec(&json!({"accepted": true, "tree": tree})).expect("a digest")
            }
            kind => unreachable!("the loop performs no {}", kind.name()),
        }
    }
}

impl Transcript for World<'_> {
    fn perform(
        &mut self,
        ask: &Ask<'_>,
        _: &mut dyn FnMut() -> Result<Done, ActFailure>,
    ) -> Result<Vec<u8>, TranscriptError> {
        let raw = self.answer(ask);
        self.recorder.perform(ask, &mut || Ok(Done { raw: raw.clone(), ..Done::default() }))
    }

    fn note(&mut self, kind: Kind, data: &Map<String, Value>, parts: &[(&str, &[u8])]) -> Result<(), TranscriptError> {
        self.recorder.note(kind, data, parts)
    }
}

/// Returns the options of an arm of the document.
pub(crate) fn arm(name: &str) -> Options {
    let mut options = json!({
        "arm": name, "model": "scripted:made.jsonl", "tests": "existing-tests", "seed": 42, "context_tokens": 16_384,
        "reply_tokens": 2_048, "constrained": true, "red_runs": 1, "timeout_seconds": 60,
        "attempts": match name { "patch" | "direct-1" => 1, "direct-2" => 2, _ => 6 },
    });
    if name == "patch" {
        options["format"] = json!("patch");
    }
    if name.ends_with("+fallback") {
        options["fallback"] = json!({"model": FALLBACK, "after": FALLBACK_AFTER});
    }
    let options: Options = serde_json::from_value(options).expect("the options of this version");
    let skills = if name.ends_with("+skills") { runproof::prompt::default_skills() } else { Vec::new() };
    options.with_skills(skills)
}

/// A campaign that was made up.
pub(crate) struct Campaign {
    pub(crate) plan: Plan,
    made: BTreeMap<String, Made>,
}

/// Runs of a campaign that are not recorded to their end.
pub(crate) type Skip<'a> = &'a dyn Fn(&str, &str, u32) -> bool;

impl Campaign {
    /// Plans instances × arms × seeds.
    pub(crate) fn new(name: &str, made: Vec<Made>, arms: &[&str], seeds: &[u32]) -> Self {
        let instances: Vec<Instance> = made.iter().map(|made| made.instance.clone()).collect();
        let arms = arms.iter().map(|name| arm(name)).collect();
        let profile = Profile::default().digest().expect("the default has a digest");
        let plan = Plan::new(name.into(), &instances, arms, seeds.to_vec(), profile).expect("a plan");
        Self { plan, made: made.into_iter().map(|made| (made.instance.id.clone(), made)).collect() }
    }

    /// Records the plan and every run, the other way round if `reversed`; runs that `skip` names are left out.
    pub(crate) fn record(&self, store: &mut Store, reversed: bool, salt: u64, skip: Skip<'_>) {
        self.begin(store);
        let mut members = self.plan.members();
        if reversed {
            members.reverse();
        }
        for member in members {
            if skip(&member.instance, &member.arm, member.seed) {
                continue;
            }
            let options = Options { seed: member.seed, ..self.plan.arms[&member.arm].clone() };
            let options = options.with_skills(if member.arm.ends_with("+skills") {
                runproof::prompt::default_skills()
            } else {
                Vec::new()
            });
            let made = &self.made[&member.instance];
            let name = format!("{}/{}/{}/{}", self.plan.name, member.instance, member.arm, member.seed);
            let run = NewRun {
                id: member.run,
                name: &name,
                kind: "solve",
                instance: &member.instance,
                arm: &member.arm,
                model: &options.model,
                tests: options.tests.label(),
                orchestration: &orchestration_digest().to_string(),
                started_ms: salt,
            };
            store.begin_run(&run).expect("a new run");
            let recorder = Recorder::new(store, member.run, CLOCK, Retries::default());
            let mut world = World { recorder, made, arm: &options, attempt: 0, salt };
            let outcome = solve::run(&mut world, &made.instance, &options, None, &mut |_| {}).expect("a run");
            let roots = world.recorder.roots().clone();
            let end = RunEnd {
                status: RunStatus::Finished,
                outcome: outcome.kind.word(),
                attempts: u32::try_from(outcome.attempts.len()).expect("few"),
                raw_root: roots.raw(),
                canonical_root: roots.canonical(),
                finished_ms: salt,
            };
            store.finish_run(member.run, &end).expect("an open run");
        }
    }

    fn begin(&self, store: &mut Store) {
        let id = self.plan.id();
        let run = NewRun {
            id,
            name: &self.plan.name,
            kind: KIND,
            instance: "",
            arm: "",
            model: "scripted:made.jsonl",
            tests: "existing-tests",
            orchestration: &orchestration_digest().to_string(),
            started_ms: 0,
        };
        store.begin_run(&run).expect("a new campaign");
        let profile = Profile::default().to_bytes().expect("the default has a canonical form");
        let mut recorder = Recorder::new(store, id, CLOCK, Retries::default());
        recorder.note(Kind::Run, &self.plan.data(), &[("profile", &profile)]).expect("an event");
        let roots = recorder.roots().clone();
        let end = RunEnd {
            status: RunStatus::Finished,
            outcome: "planned",
            attempts: 0,
            raw_root: roots.raw(),
            canonical_root: roots.canonical(),
            finished_ms: 0,
        };
        store.finish_run(id, &end).expect("an open campaign");
    }
}

/// A clock that stands still: nothing here takes time.
const CLOCK: Clock = Clock { now_us: || 0, sleep: |_: Duration| {} };
