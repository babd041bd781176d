//! `report`: runs for people, as text, Markdown, JSON or one HTML file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::campaign::{KIND, Plan, Summary, environment_invalid, validated};
use crate::canon::Blake3;
use crate::report::{Page, Planned, Report, ReportError, Size, Subject, markdown, text};
use crate::rung::{Ladder, Profile};
use crate::store::{RunRow, RunStatus, Store};
use crate::transcript::Kind;

use super::args::Global;
use super::bench;
use super::campaign::CampaignArgs;
use super::check::{assess_rows, check_run, find_runs, rungs_json};
use super::keyfile::write_whole;
use super::runs::{find_run, open_store};
use super::trust::TrustArgs;
use super::ui::Unit;
use super::{Exit, Failure, FailureKind, Ui};

/// Shows what came of a campaign, of several runs or of one, for people.
///
/// Arms side by side with intervals, resolved by attempt, refusals by code, arms compared in pairs, what the source
/// document expected beside what was measured, and, in HTML, every attempt of every run. The HTML is one file that opens
/// offline. The same campaign gives the same bytes, whatever the order, folder or machine of its store.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Campaign of `bench` or run: an id, a unique prefix of one, a name, or `last` for the last run.
    #[arg(default_value = "last", conflicts_with = "runs", value_name = "RUN|CAMPAIGN")]
    run: String,
    #[command(flatten)]
    campaign: CampaignArgs,
    #[command(flatten)]
    trust: TrustArgs,
    /// Writes the report to this file.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The form. [default: by the ending of FILE, else text]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Leaves the rungs out, which take a replay of every run.
    #[arg(long, conflicts_with_all = ["profile", "certificates"])]
    no_check: bool,
    /// Adds seconds; they are observations, so another recording of the same campaign has others.
    #[arg(long)]
    times: bool,
    /// Leaves nothing out of the HTML, however large it becomes.
    #[arg(long)]
    full: bool,
}

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Tables for a terminal.
    Text,
    /// Tables in Markdown.
    Markdown,
    /// The figures, the rungs and every run with its attempts, without their texts.
    Json,
    /// One file with everything.
    Html,
}

pub(crate) fn report(args: &ReportArgs, global: &Global, ui: &mut Ui) -> Result<Exit, Failure> {
    let store = open_store(&global.store)?;
    let format = args.format.unwrap_or_else(|| by_ending(args.output.as_deref()));
    let subject = subject(args, &store, ui)?;
    let text = match format {
        Format::Html => html(args, &store, subject, ui)?,
        Format::Text => text(&gather(&store, subject)?, args.times),
        Format::Markdown => markdown(&gather(&store, subject)?, args.times),
        Format::Json => {
            let ladder = subject.ladder.clone();
            as_json(&gather(&store, subject)?, ladder.as_ref())?
        }
    };
    match &args.output {
        None => ui.bytes(text.as_bytes())?,
        Some(path) => {
            write(path, &text).map_err(|failure| failure.hint("name another file with -o"))?;
            ui.say(format_args!("wrote {} ({} bytes).", path.display(), text.len()));
        }
    }
    Ok(Exit::Sound)
}

/// Writes a report, a file as a whole or not at all: an earlier report stays where there is no room for this one.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    if path.symlink_metadata().is_ok_and(|found| !found.is_file()) {
        // A device, a pipe, or a link that somebody made on purpose.
        let failed =
            |error| Failure::new(FailureKind::Environment, format!("cannot write {}: {error}", path.display()));
        return fs::write(path, text).map_err(failed);
    }
    write_whole(path, text.as_bytes(), true)
}

fn by_ending(path: Option<&Path>) -> Format {
    let ending = path.and_then(Path::extension).map(|end| end.to_string_lossy().to_lowercase());
    match ending.as_deref() {
        Some("html" | "htm") => Format::Html,
        Some("md" | "markdown") => Format::Markdown,
        Some("json") => Format::Json,
        _ => Format::Text,
    }
}

fn html(args: &ReportArgs, store: &Store, subject: Subject, ui: &Ui) -> Result<String, Failure> {
    let size = if args.full { Size::Full } else { Size::Bounded };
    let bar = ui.bar("report", subject.planned.len() as u64, Unit::Items);
    let page = Page::write(store, subject, size, args.times, &mut || bar.inc(1)).map_err(report_failure)?;
    bar.finish_and_clear();
    if page.bare > 0 {
        ui.warn(format_args!(
            "{} of {} runs stand in the page without their texts, so that it stays small; --full has them",
            page.bare,
            page.report.runs.len()
        ));
    }
    Ok(page.html)
}

/// Reads the runs of a subject without their texts.
pub(crate) fn gather(store: &Store, subject: Subject) -> Result<Report, Failure> {
    Report::gather(store, subject, None).map_err(report_failure)
}

fn as_json(report: &Report, ladder: Option<&Ladder>) -> Result<String, Failure> {
    let malformed = |error: serde_json::Error| Failure::new(FailureKind::Malformed, error);
    let mut value: Value = serde_json::to_value(report).map_err(malformed)?;
    let mut rungs = ladder.map(rungs_json).unwrap_or_default();
    // The digests that a verdict rests on are raw ones, which another recording of the same thing has not.
    for criterion in rungs.iter_mut().filter_map(|rung| rung["criteria"].as_array_mut()).flatten() {
        if let Some(criterion) = criterion.as_object_mut() {
            criterion.remove("evidence");
        }
    }
    value["rungs"] = json!(rungs);
    Ok(serde_json::to_string(&value).map_err(malformed)? + "\n")
}

fn report_failure(error: ReportError) -> Failure {
    match error {
        ReportError::Store(error) => error.into(),
        error => Failure::new(FailureKind::Malformed, error).hint("`runproof store verify` says what is wrong"),
    }
}

/// Finds the runs that are meant, and assesses their rungs.
fn subject(args: &ReportArgs, store: &Store, ui: &Ui) -> Result<Subject, Failure> {
    if !args.campaign.runs.is_empty() {
        let rows = find_runs(store, &args.campaign.runs)?;
        let mut subject = of_rows(store, &rows, "chosen runs")?;
        let places: BTreeSet<_> = subject.planned.iter().map(|run| (&run.instance, &run.arm, run.seed)).collect();
        if places.len() < rows.len() {
            let more = rows.len() - places.len();
            ui.warn(format_args!(
                "{} on the same instance, arm and seed as another one: figures count each as an instance of its own",
                if more == 1 { "1 run is".to_owned() } else { format!("{more} runs are") }
            ));
        }
        assess(args, store, &rows, args.campaign.profile()?.unwrap_or_default(), &mut subject, ui)?;
        return Ok(subject);
    }
    let row = find_run(store, &args.run)?;
    if row.kind == KIND {
        let (plan, profile) = bench::recorded(store, &row)?;
        let rows = store.runs()?;
        let mut subject = of_plan(store, &plan, &rows)?;
        let wanted: BTreeSet<_> = subject.planned.iter().map(|planned| planned.run).collect();
        let ended = rows.into_iter().filter(|row| row.status == RunStatus::Finished && wanted.contains(&row.id));
        let profile = args.campaign.profile()?.unwrap_or(profile);
        assess(args, store, &ended.collect::<Vec<_>>(), profile, &mut subject, ui)?;
        return Ok(subject);
    }
    args.campaign.refuse_for_run()?;
    let mut subject = of_rows(store, std::slice::from_ref(&row), &row.name)?;
    if !args.no_check && row.status == RunStatus::Finished {
        let ladder = Ladder::new(vec![check_run(store, &row)?]);
        subject.ladder = Some(ladder.map_err(|error| Failure::new(FailureKind::Malformed, error))?);
    }
    Ok(subject)
}

/// Assesses the rungs of a campaign, certificates included where somebody is trusted.
fn assess(
    args: &ReportArgs,
    store: &Store,
    rows: &[RunRow],
    profile: Profile,
    subject: &mut Subject,
    ui: &Ui,
) -> Result<(), Failure> {
    if args.no_check || rows.is_empty() {
        return Ok(());
    }
    let certificates = match args.trust.load()? {
        Some(loaded) => args.campaign.certificates(loaded.trust, ui)?,
        None => None,
    };
    subject.ladder = Some(assess_rows(store, rows, certificates.as_ref(), &profile, ui)?);
    let digest = profile.digest().map_err(|error| Failure::new(FailureKind::Malformed, error))?;
    subject.profile = Some((profile.name.clone(), digest));
    Ok(())
}

/// Returns what a report about a campaign is about.
pub(crate) fn of_plan(store: &Store, plan: &Plan, rows: &[RunRow]) -> Result<Subject, Failure> {
    let members = plan.members().into_iter();
    let mut invalid = BTreeMap::new();
    for name in environment_invalid(plan, store)? {
        let reason = reason(store, &plan.instances[&name])?;
        invalid.insert(name, reason);
    }
    Ok(Subject {
        title: plan.name.clone(),
        campaign: Some(plan.id()),
        root: Some(Summary::root(plan, rows)),
        planned: members.map(|m| Planned { instance: m.instance, arm: m.arm, seed: m.seed, run: m.run }).collect(),
        seeds: plan.seeds.clone(),
        invalid,
        ..Subject::default()
    })
}

/// Returns why the last check of an instance that came to its end came out as it did.
fn reason(store: &Store, instance: &Blake3) -> Result<String, Failure> {
    let events = validated(store, instance)?.last.map(|run| store.events(run)).transpose()?.unwrap_or_default();
    let result = events.iter().rfind(|event| event.kind == Kind::Result.name());
    let data: Value =
        result.map(|event| serde_json::from_slice(&event.data)).transpose().unwrap_or_default().unwrap_or_default();
    Ok(data["reason"].as_str().unwrap_or_default().to_owned())
}

/// Returns what a report about runs is about; their seeds stand in their headers.
fn of_rows(store: &Store, rows: &[RunRow], title: &str) -> Result<Subject, Failure> {
    let mut subject = Subject { title: title.to_owned(), ..Subject::default() };
    let mut seeds = BTreeSet::new();
    for row in rows {
        if row.kind == super::recorded::KIND {
            let failure = Failure::new(FailureKind::Usage, format!("run {} is a recorded agent's", row.id));
            return Err(failure.hint("it has exchanges and no attempts: `runproof show` shows them"));
        }
        let events = store.events(row.id)?;
        let header: Value = events.first().map_or(Value::Null, |event| {
            // What is no JSON has no seed.
            serde_json::from_slice(&event.data).unwrap_or_default()
        });
        let seed = header.pointer("/options/seed").and_then(Value::as_u64).and_then(|seed| u32::try_from(seed).ok());
        let seed = seed.ok_or_else(|| {
            let failure = Failure::new(FailureKind::Malformed, format!("run {} is no run on an instance", row.id));
            failure.hint("a report is about campaigns of `bench` and runs of `solve`")
        })?;
        seeds.insert(seed);
        let (instance, arm) = (row.instance.clone(), row.arm.clone());
        subject.planned.push(Planned { instance, arm, seed, run: row.id });
    }
    subject.seeds = seeds.into_iter().collect();
    Ok(subject)
}
