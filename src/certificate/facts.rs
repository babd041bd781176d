//! Derives what a certificate says of a run from the run's evidence. Issuing and verifying both call this.

use serde_json::{Map, Value};

use super::predicate::{
    Configuration, DigestSet, Hex, Instance, ModelFact, Outcome, RECORDED, RunPredicate, TestSets, Tests, Tool,
    Transcript,
};
use super::statement::{Statement, TREE};
use crate::canon::BlobRef;
use crate::rung;
use crate::transcript::{Entry, Evidence, EvidenceError, Kind};

/// Says why a run has no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FactsError {
    /// A body cannot be read.
    #[error(transparent)]
    Evidence(#[from] EvidenceError),
    /// An event that every run on an instance has is not there or says nothing.
    #[error("the run has no {0}")]
    Lacks(&'static str),
    /// The instance is recorded under another id than its own.
    #[error("the recorded instance is not {0:?}")]
    Instance(String),
}

/// Returns the statement about a run, without rungs.
///
/// # Errors
/// Evidence that is incomplete or wrong, or a run that is not one on an instance.
pub fn of_run(evidence: &Evidence<'_>) -> Result<Statement, FactsError> {
    if rung::is_recorded(evidence) {
        return of_recording(evidence);
    }
    let first =
        |kind: Kind, what| evidence.entries().iter().find(|entry| entry.kind == kind).ok_or(FactsError::Lacks(what));
    let run = first(Kind::Run, "header")?;
    let instance = first(Kind::Instance, "instance")?;
    let base = first(Kind::Tree, "base tree")?;
    let result = first(Kind::Result, "result")?;
    let options = run.data.get("options").and_then(Value::as_object).ok_or(FactsError::Lacks("options"))?;
    let id = text(&instance.data, "id")?;
    let recorded: Value = serde_json::from_slice(&evidence.body(instance, "instance")?).unwrap_or_default();
    if recorded.get("id").and_then(Value::as_str) != Some(&id) {
        return Err(FactsError::Instance(id));
    }
    let count = |kind: Kind| evidence.entries().iter().filter(|entry| entry.kind == kind).count() as u64;
    let roots = evidence.roots();
    let predicate = RunPredicate {
        instance: Instance { id, digest: digest(instance, "instance")?, base: digest(base, "canonical")? },
        configuration: Configuration {
            arm: text(options, "arm")?,
            tests: text(options, "tests")?,
            attempts: number(options, "attempts")?,
            seed: number(options, "seed")?,
        },
        models: models(evidence, options)?,
        transcript: Transcript {
            events: evidence.entries().len() as u64,
            calls: count(Kind::ModelCall),
            tree: TREE.into(),
            raw_root: Hex::new(roots.raw().as_bytes()),
            canonical_root: Hex::new(roots.canonical().as_bytes()),
        },
        outcome: Outcome { result: text(&result.data, "outcome")?, attempts: number(&result.data, "attempts")? },
        tests: tests(evidence)?,
        rungs: Vec::new(),
        tool: Tool {
            name: "runproof".into(),
            version: text(&run.data, "version")?,
            orchestration: text(&run.data, "orchestration")?,
        },
        extensions: Map::new(),
    };
    let patch = result.bodies.get("patch").ok_or(FactsError::Lacks("patch"))?;
    Ok(Statement::of_run(&BlobRef::of(evidence.manifest()), patch, predicate))
}

/// Returns the statement about a recorded agent. It worked on no instance of ours and leaves no patch of ours: those
/// members name nothing (the empty bytes), and the rung's profile says what was not asked.
fn of_recording(evidence: &Evidence<'_>) -> Result<Statement, FactsError> {
    let run = evidence.entries().first().ok_or(FactsError::Lacks("header"))?;
    if !evidence.entries().iter().any(|entry| entry.kind == Kind::Result) {
        return Err(FactsError::Lacks("result"));
    }
    let nothing = BlobRef::of(b"");
    let roots = evidence.roots();
    let models = rung::recorded_models(evidence).map_err(|_| FactsError::Lacks("readable exchange"))?;
    let fact = |name: String| {
        let identity = DigestSet::of(&BlobRef::of(name.as_bytes()));
        ModelFact { name, digest: None, identity }
    };
    let predicate = RunPredicate {
        instance: Instance { id: RECORDED.into(), digest: DigestSet::of(&nothing), base: DigestSet::of(&nothing) },
        configuration: Configuration { arm: "recorded".into(), tests: "none".into(), attempts: 0, seed: 0 },
        models: models.into_iter().map(fact).collect(),
        transcript: Transcript {
            events: evidence.entries().len() as u64,
            calls: evidence.entries().iter().filter(|entry| entry.kind == Kind::Exchange).count() as u64,
            tree: TREE.into(),
            raw_root: Hex::new(roots.raw().as_bytes()),
            canonical_root: Hex::new(roots.canonical().as_bytes()),
        },
        outcome: Outcome { result: "recorded".into(), attempts: 0 },
        tests: Tests { before: TestSets::default(), after: TestSets::default() },
        rungs: Vec::new(),
        tool: Tool {
            name: "runproof".into(),
            version: text(&run.data, "version")?,
            orchestration: text(&run.data, "exchange")?,
        },
        extensions: Map::new(),
    };
    Ok(Statement::of_run(&BlobRef::of(evidence.manifest()), &nothing, predicate))
}

fn text(data: &Map<String, Value>, name: &'static str) -> Result<String, FactsError> {
    data.get(name).and_then(Value::as_str).map(str::to_owned).ok_or(FactsError::Lacks(name))
}

fn number(data: &Map<String, Value>, name: &'static str) -> Result<u64, FactsError> {
    data.get(name).and_then(Value::as_u64).ok_or(FactsError::Lacks(name))
}

fn digest(entry: &Entry, slot: &'static str) -> Result<DigestSet, FactsError> {
    entry.bodies.get(slot).map(DigestSet::of).ok_or(FactsError::Lacks(slot))
}

/// The model and, where the run has one, its fallback, by the names in the options.
fn models(evidence: &Evidence<'_>, options: &Map<String, Value>) -> Result<Vec<ModelFact>, FactsError> {
    let fallback = options.get("fallback").and_then(|fallback| fallback.get("model")).and_then(Value::as_str);
    let names = options.get("model").and_then(Value::as_str).into_iter().chain(fallback);
    let entries = evidence.entries().iter().filter(|entry| entry.kind == Kind::Model);
    let mut models = Vec::new();
    for (name, entry) in names.zip(entries) {
        let identity: Value = serde_json::from_slice(&evidence.body(entry, "canonical")?).unwrap_or_default();
        let offered = identity.get("digest").and_then(Value::as_str).map(str::to_owned);
        models.push(ModelFact { name: name.to_owned(), digest: offered, identity: digest(entry, "canonical")? });
    }
    if models.is_empty() {
        return Err(FactsError::Lacks("model"));
    }
    Ok(models)
}

/// Reads the reports of the first and the last verdict.
fn tests(evidence: &Evidence<'_>) -> Result<Tests, FactsError> {
    let mut verdicts = evidence.entries().iter().filter(|entry| entry.kind == Kind::Verdict);
    let first = verdicts.next().ok_or(FactsError::Lacks("verdict"))?;
    let after = match verdicts.next_back() {
        Some(last) => sets(evidence, last)?,
        None => TestSets::default(),
    };
    Ok(Tests { before: sets(evidence, first)?, after })
}

fn sets(evidence: &Evidence<'_>, verdict: &Entry) -> Result<TestSets, FactsError> {
    let report: Value = serde_json::from_slice(&evidence.body(verdict, "report")?).unwrap_or_default();
    let tests = report.get("tests").and_then(Value::as_object).ok_or(FactsError::Lacks("test report"))?;
    let named = |wanted: &[&str]| {
        let chosen = tests.iter().filter(|(_, status)| status.as_str().is_some_and(|status| wanted.contains(&status)));
        let mut names: Vec<String> = chosen.map(|(name, _)| name.clone()).collect();
        names.sort();
        names
    };
    Ok(TestSets { passed: named(&["passed", "xfail"]), failed: named(&["failed", "error"]) })
}
