//! `check`: what a run is worth, as a ladder of rungs with their criteria.

use std::path::Path;

use clap::Args;
use serde_json::{Value, json};

use crate::rung::{
    CampaignInput, CampaignRun, Certified, Execution, Ladder, NOT_ASKED, Number, Profile, Replay, RunInput, Rung,
    Verdict, assess_campaign, assess_run,
};
use crate::store::{RunRow, RunStatus, Store};
use crate::transcript::{Evidence, EvidenceError, ReplayOutcome};

use super::args::Global;
use super::bench::{self, Finished};
use super::campaign::{self, CampaignArgs, Certificates};
use super::reexecute::REEXECUTION;
use super::replay::{read_header, replay_run};
use super::runs::{find_run, open_store, short};
use super::trust::TrustArgs;
use super::ui::{Tone, Unit, counted, printable};
use super::{Exit, Failure, FailureKind, Ui};

/// Assesses a run, or several as a campaign, on the rungs 641, 274177 and 65537.
///
/// Every criterion says passed, failed or not-assessed, why, and what that rests on: recomputed from the store,
/// replayed offline, or observed when the run was recorded. A rung passes only if all its criteria and all rungs below
/// pass. The exit code is 0 if the rung asked for is reached, 1 if a criterion of it failed, 5 if something could not
/// be assessed.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Run or campaign of `bench`: an id, a unique prefix of one, a name, or `last` for the last run.
    #[arg(default_value = "last", conflicts_with = "runs", value_name = "RUN|CAMPAIGN")]
    run: String,
    #[command(flatten)]
    campaign: CampaignArgs,
    #[command(flatten)]
    trust: TrustArgs,
    /// The rung that must be reached.
    #[arg(long, value_name = "RUNG", value_parser = parse_rung)]
    rung: Option<Number>,
    /// Prints the rungs as JSON.
    #[arg(long)]
    json: bool,
}

fn parse_rung(text: &str) -> Result<Number, String> {
    let number = text.parse().ok().and_then(Number::from_label);
    number.ok_or_else(|| "the rungs are 641, 274177 and 65537".into())
}

pub(crate) fn check(args: &CheckArgs, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let store = open_store(&global.store)?;
    if !args.campaign.runs.is_empty() {
        let rows = find_runs(&store, &args.campaign.runs)?;
        return check_campaign(args, &store, &rows, 0, args.campaign.profile()?.unwrap_or_default(), ui);
    }
    let row = find_run(&store, &args.run)?;
    if row.kind == crate::campaign::KIND {
        let Finished { rows, missing, profile } = bench::finished(&store, &row, ui)?;
        return check_campaign(args, &store, &rows, missing, args.campaign.profile()?.unwrap_or(profile), ui);
    }
    args.campaign.refuse_for_run()?;
    let rung = check_run(&store, &row)?;
    let wanted = args.rung.unwrap_or(Number::Edge);
    if wanted > Number::Edge {
        let message = format!("rung {wanted} is about a campaign, not about one run");
        return Err(Failure::new(FailureKind::Usage, message).hint("name its runs with --runs A,B,…"));
    }
    let ladder = Ladder::new(vec![rung]).map_err(|error| Failure::new(FailureKind::Malformed, error))?;
    let exit = exit_of(&ladder, wanted);
    if args.json {
        ui.json(&json!({"run": row.id.to_string(), "reached": ladder.reached(), "rungs": rungs_json(&ladder)}))?;
        return Ok(exit);
    }
    let (instance, arm, tests) = (printable(&row.instance), printable(&row.arm), printable(&row.tests));
    ui.data(format_args!("run {}  {instance}  {arm}  {}  {tests}", short(&store, row.id), printable(&row.model)))?;
    print_ladder(&ladder, ui)?;
    if row.kind == super::recorded::KIND {
        ui.data(format_args!("not asked of a recorded agent: {}", NOT_ASKED.join(", ")))?;
    }
    Ok(exit)
}

/// Assesses runs as a campaign, of which so many of its plan are missing.
fn check_campaign(
    args: &CheckArgs,
    store: &Store,
    rows: &[RunRow],
    missing: usize,
    profile: Profile,
    ui: &mut Ui,
) -> Result<Exit, Failure> {
    let trust = args.trust.load()?;
    if args.campaign.certificates.is_some() && trust.is_none() {
        let failure = Failure::new(FailureKind::Usage, "certificates count only if somebody is trusted");
        return Err(failure.hint("name a policy with --policy or a public key with --key"));
    }
    let certificates = trust.map(|loaded| args.campaign.certificates(loaded.trust, ui)).transpose()?.flatten();
    let ladder = assess_rows(store, rows, certificates.as_ref(), &profile, ui)?;
    let wanted = args.rung.unwrap_or(Number::Stress);
    // What the ended runs come to is not yet what the campaign does: whoever leaves out the hard ones would gain by it.
    let exit = match exit_of(&ladder, wanted) {
        Exit::Sound if missing > 0 => Exit::Below,
        exit => exit,
    };
    let digest = profile.digest().map_err(|error| Failure::new(FailureKind::Malformed, error))?;
    if args.json {
        let runs: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
        let (reached, rungs) = (ladder.reached(), rungs_json(&ladder));
        ui.json(&json!({"runs": runs, "missing": missing, "profile": digest, "reached": reached, "rungs": rungs}))?;
        return Ok(exit);
    }
    let runs = counted(rows.len(), "run");
    ui.data(format_args!("campaign of {runs}  profile {} ({digest})", printable(&profile.name)))?;
    print_ladder(&ladder, ui)?;
    Ok(exit)
}

/// Reads a profile file, or takes a built-in profile by its name.
pub(crate) fn read_profile(path: &Path) -> Result<Profile, Failure> {
    if let Some(profile) = path.to_str().and_then(Profile::named) {
        return Ok(profile);
    }
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::new(FailureKind::Environment, format!("cannot read the profile {}: {error}", path.display()))
            .hint("name a file, or a built-in profile: built-in, swe-bench-lite")
    })?;
    Profile::from_text(&text).map_err(|error| {
        let hint = "docs/profile.md lists the keys";
        Failure::new(FailureKind::Malformed, format!("{}: {error}", path.display())).hint(hint)
    })
}

/// Says whether a run of this kind is one on an instance.
fn is_of_campaigns(kind: &str) -> bool {
    ![REEXECUTION, super::recorded::KIND, crate::campaign::KIND, crate::campaign::VALIDATION].contains(&kind)
}

/// Finds the runs that a person names.
pub(crate) fn find_runs(store: &Store, names: &[String]) -> Result<Vec<RunRow>, Failure> {
    if let [all] = names
        && all == "all"
    {
        return Ok(store.runs()?.into_iter().filter(|row| is_of_campaigns(&row.kind)).collect());
    }
    let mut rows: Vec<RunRow> = Vec::new();
    for name in names {
        let row = find_run(store, name)?;
        if rows.iter().any(|known| known.id == row.id) {
            let failure = Failure::new(FailureKind::Usage, format!("the run {} is named twice", row.id));
            return Err(failure.hint("name each run once"));
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Assesses the runs of a store as a campaign, replays included.
///
/// # Errors
/// A store that fails, or holds bytes that are not what their digests say.
pub(crate) fn assess_rows(
    store: &Store,
    rows: &[RunRow],
    certificates: Option<&Certificates>,
    profile: &Profile,
    ui: &Ui,
) -> Result<Ladder, Failure> {
    let bar = ui.bar("runs", rows.len() as u64, Unit::Items);
    let found = campaign::over(store, rows, |store, row| {
        let evidence = Evidence::of_run(store, row.id).map_err(evidence_failure)?;
        let run = CampaignRun::of(&evidence, &assess(row, &evidence, &Replayed::perform(store, row)?));
        bar.inc(1);
        Ok((run, certificates.map(|all| all.judge(&evidence)).unwrap_or_default()))
    })?;
    bar.finish_and_clear();
    let (runs, certified): (Vec<CampaignRun>, Vec<Vec<Certified>>) = found.into_iter().unzip();
    let certified = certificates.map(|_| certified.concat());
    let again = store.runs()?;
    let again = again.iter().filter(|row| row.kind == REEXECUTION && row.status == RunStatus::Finished);
    let executions = again
        .map(|row| Ok(Execution::of(&Evidence::of_run(store, row.id).map_err(evidence_failure)?)))
        .collect::<Result<Vec<_>, Failure>>()?;
    let (runs, executions): (Vec<_>, Vec<_>) = (runs.iter().collect(), executions.iter().collect());
    let input = CampaignInput { runs: &runs, executions: &executions, certified: certified.as_deref(), profile };
    assess_campaign(&input).map_err(|error| Failure::new(FailureKind::Malformed, error))
}

/// What a replay of a run came to, as the room `rung` wants to know it.
pub(crate) enum Replayed {
    /// None could be performed by this version.
    None(String),
    /// It could not read the recording.
    Broken(String),
    /// This is what it showed.
    Outcome(Box<ReplayOutcome>),
}

impl Replayed {
    /// Replays a run of `store` offline.
    ///
    /// # Errors
    /// A store that fails.
    pub(crate) fn perform(store: &Store, row: &RunRow) -> Result<Self, Failure> {
        let replayed = super::recorded::header(store, row.id).and_then(|recorded| match recorded {
            Some(header) => super::recorded::recompute(store, row.id, &header),
            None => read_header(store, row).and_then(|header| replay_run(store, row.id, &header, None, &[])),
        });
        match replayed {
            Ok(outcome) => Ok(Self::Outcome(Box::new(outcome))),
            Err(failure) => match failure.kind {
                FailureKind::Below => Ok(Self::None(failure.message)),
                FailureKind::Malformed => Ok(Self::Broken(failure.message)),
                _ => Err(failure),
            },
        }
    }

    /// Returns it in the room's own words.
    pub(crate) fn seen(&self) -> Replay<'_> {
        match self {
            Self::None(reason) => Replay::None(reason),
            Self::Broken(reason) => Replay::Broken(reason),
            Self::Outcome(outcome) => Replay::Outcome(outcome),
        }
    }
}

/// Assesses rung 641 of one run of a store, replay included.
///
/// # Errors
/// A store that fails, or holds bytes that are not what their digests say.
pub(crate) fn check_run(store: &Store, row: &RunRow) -> Result<Rung, Failure> {
    let evidence = Evidence::of_run(store, row.id).map_err(evidence_failure)?;
    Ok(assess(row, &evidence, &Replayed::perform(store, row)?))
}

/// Assesses rung 641 by the roots in the run's row and what a replay came to.
pub(crate) fn assess(row: &RunRow, evidence: &Evidence<'_>, replayed: &Replayed) -> Rung {
    let roots = row.raw_root.zip(row.canonical_root).map(|(raw, canonical)| [raw, canonical]);
    assess_run(&RunInput { evidence, roots, replay: replayed.seen() })
}

/// Returns how evidence that cannot be read shows on the terminal.
pub(crate) fn evidence_failure(error: EvidenceError) -> Failure {
    match error {
        EvidenceError::Store(error) => error.into(),
        EvidenceError::Io { .. } => Failure::new(FailureKind::Environment, error),
        error => Failure::new(FailureKind::Malformed, error),
    }
}

/// Returns the exit code: the rungs up to `wanted` decide.
pub(crate) fn exit_of(ladder: &Ladder, wanted: Number) -> Exit {
    let up_to: Vec<Verdict> = ladder.rungs().iter().filter(|rung| rung.number() <= wanted).map(Rung::result).collect();
    match ladder.rung(wanted).map(Rung::result) {
        Some(Verdict::Passed) => Exit::Sound,
        _ if up_to.contains(&Verdict::Failed) => Exit::Wanting,
        _ => Exit::Below,
    }
}

/// Returns the rungs as JSON.
pub(crate) fn rungs_json(ladder: &Ladder) -> Vec<Value> {
    ladder.rungs().iter().map(|rung| json!(rung)).collect()
}

/// Prints a ladder for a person, the lowest rung first.
pub(crate) fn print_ladder(ladder: &Ladder, ui: &mut Ui) -> Result<(), Failure> {
    for rung in ladder.rungs() {
        let name = match rung.number() {
            Number::Edge => "edge sanity",
            Number::Stress => "stress",
            Number::Full => "full",
        };
        let passed = rung.criteria().iter().filter(|criterion| criterion.verdict == Verdict::Passed).count();
        let (verdict, of) = (toned(rung.result(), ui), rung.criteria().len());
        let head = ui.tone(Tone::Strong, &format!("{:>6}  {name:<12}", rung.number().label()));
        ui.data(format_args!("{head}  {verdict}  {passed} of {of} criteria"))?;
        let width = rung.criteria().iter().map(|criterion| criterion.name.len()).max().unwrap_or_default();
        for criterion in rung.criteria() {
            let name = printable(&criterion.name);
            let (verdict, basis) = (toned(criterion.verdict, ui), ui.tone(Tone::Dim, criterion.basis.word()));
            let pad = " ".repeat("recomputed".len() - criterion.basis.word().len());
            ui.data(format_args!("        {verdict}  {name:<width$}  {basis}{pad}  {}", printable(&criterion.reason)))?;
        }
    }
    let reached = match ladder.reached() {
        Some(number) => format!("reached: {number}"),
        None => "reached: no rung".into(),
    };
    ui.data(reached)
}

fn toned(verdict: Verdict, ui: &Ui) -> String {
    let tone = match verdict {
        Verdict::Passed => Tone::Good,
        Verdict::Failed => Tone::Bad,
        Verdict::NotAssessed => Tone::Dim,
    };
    let pad = " ".repeat("not-assessed".len() - verdict.word().len());
    format!("{}{pad}", ui.tone(tone, verdict.word()))
}
