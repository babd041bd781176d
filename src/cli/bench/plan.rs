//! A campaign's plan: made of the command line, recorded before the first run, read back by whoever takes a campaign.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::campaign::{KIND, Member, Plan, PlanError};
use crate::canon::{Blake3, RunId, Sha256};
use crate::instance::Instance;
use crate::prompt::skills_room;
use crate::rung::Profile;
use crate::solve::{Options, orchestration_digest};
use crate::store::{Access, Durability, NewRun, RunEnd, RunRow, RunStatus, Store, StoreError, StoredEvent};
use crate::transcript::{Kind, Recorder, Retries, Transcript as _};

use super::BenchArgs;
use crate::cli::replay::transcript_failure;
use crate::cli::ui::printable_line;
use crate::cli::{Failure, FailureKind, Host, Ui};

/// Returns everything that the campaign's course depends on.
pub(super) fn plan(args: &BenchArgs, instances: &[Instance], profile: &Profile) -> Result<Plan, Failure> {
    let model = args.models.name()?;
    let seed = args.seeds.first().copied().unwrap_or_default();
    let arms = args.arms.iter().map(|arm| args.course.of_arm(*arm).options(Some(*arm), None, seed, &model));
    let mut arms = arms.collect::<Result<Vec<Options>, Failure>>()?;
    arms.iter_mut().try_for_each(|options| args.limits.set(options, &args.course))?;
    // Every arm shows the files that fit beside the skills of the one that has some.
    let room = arms.iter().map(|arm| skills_room(&arm.skill_texts, &arm.budget())).max().unwrap_or_default();
    let room = u32::try_from(room).unwrap_or(u32::MAX);
    arms.iter_mut().for_each(|arm| arm.skills_room = room);
    let name = name(args);
    let profile = profile.digest().map_err(|error| Failure::new(FailureKind::Malformed, error))?;
    Plan::new(name, instances, arms, args.seeds.clone(), profile).map_err(|error| {
        let hint = match &error {
            PlanError::TooMany => "make several campaigns of it",
            PlanError::Name(_) => "give another --name",
            _ => "name at least one instance, arm and seed, each once",
        };
        Failure::new(FailureKind::Usage, error).hint(hint)
    })
}

fn name(args: &BenchArgs) -> String {
    let stem = || Some(args.instances.as_deref()?.file_stem()?.to_string_lossy().into_owned());
    args.name.clone().or_else(stem).unwrap_or_else(|| KIND.to_owned())
}

/// Returns the instances with the content of their images.
///
/// One whose image is not here stays as it is written, also when the campaign goes on after the image has come: its runs
/// then record the content, and until then they are environment errors.
pub(super) fn pin(args: &BenchArgs, instances: Vec<Instance>, path: &Path, ui: &Ui) -> Result<Vec<Instance>, Failure> {
    let images = &args.workbench.images;
    if !instances.iter().any(|instance| images.name(instance).is_some() || instance.env_setup.is_some()) {
        return Ok(instances);
    }
    let mut begun = BTreeMap::new();
    if args.resume && path.exists() {
        let store = Store::open(path, Access::Read, Durability::Full)?;
        let (rows, name) = (store.runs()?, name(args));
        if let Some(row) = rows.iter().rfind(|row| row.kind == KIND && row.name == name && row.events > 0) {
            begun = recorded(&store, row)?.0.instances;
        }
    }
    let pinned = instances.into_iter().map(|instance| {
        if begun.get(&instance.id) == Some(&Blake3::of(&instance.to_bytes())) {
            return instance;
        }
        images.pin(&instance, ui).unwrap_or_else(|failure| {
            ui.warn(format_args!("{}: {}", instance.id, printable_line(&failure.message)));
            instance
        })
    });
    Ok(pinned.collect())
}

/// Records the plan, or makes sure that the recorded one is the same.
pub(super) fn begin(args: &BenchArgs, plan: &Plan, profile: &Profile, path: &Path) -> Result<(), Failure> {
    let mut store = Store::open(path, Access::Create, Durability::Full)?;
    let rows = store.runs()?;
    let (id, name) = (plan.id(), printable_line(&plan.name));
    let usage = |text: String, hint: &str| Err(Failure::new(FailureKind::Usage, text).hint(hint));
    // Joined stores can hold several of one name.
    let planned = || rows.iter().filter(|row| row.kind == KIND && row.events > 0);
    match planned().find(|row| row.id == id).or_else(|| planned().rfind(|row| row.name == plan.name)) {
        Some(row) if !args.resume => {
            return usage(
                format!("the store holds the campaign {name} ({}) already", row.id),
                "go on with it with --resume, or give this one another --name",
            );
        }
        Some(row) if row.id != id => {
            let (recorded, _) = recorded(&store, row)?;
            let lines = recorded.differences(plan).join("\n  ");
            return usage(
                format!("the campaign {name} was begun otherwise:\n  {lines}"),
                "name what is recorded, or begin a campaign of its own with --name",
            );
        }
        Some(row) if row.status == RunStatus::Finished => return store.close().map_err(Into::into),
        None if args.resume => {
            return usage(format!("the store holds no campaign {name}"), "begin it without --resume");
        }
        _ => {}
    }
    if !rows.iter().any(|row| row.id == id) {
        store.begin_run(&NewRun {
            id,
            name: &plan.name,
            kind: KIND,
            instance: "",
            arm: "",
            model: &args.models.name()?.portable(),
            tests: plan.arms.values().next().map_or("", |options| options.tests.label()),
            orchestration: &orchestration_digest().to_string(),
            started_ms: Host::now_us() / 1000,
        })?;
    }
    let bytes = profile.to_bytes().map_err(|error| Failure::new(FailureKind::Malformed, error))?;
    let mut recorder = Recorder::resume(&mut store, id, Host::clock(), Retries::default())?;
    recorder.note(Kind::Run, &plan.data(), &[("profile", &bytes)]).map_err(transcript_failure)?;
    let roots = recorder.roots().clone();
    store.finish_run(
        id,
        &RunEnd {
            status: RunStatus::Finished,
            outcome: "planned",
            attempts: 0,
            raw_root: roots.raw(),
            canonical_root: roots.canonical(),
            finished_ms: Host::now_us() / 1000,
        },
    )?;
    Ok(store.close()?)
}

/// Reads the plan of a campaign in a store, and the thresholds that it is meant for.
pub(crate) fn recorded(store: &Store, row: &RunRow) -> Result<(Plan, Profile), Failure> {
    let malformed = |error: String| Failure::new(FailureKind::Malformed, format!("campaign {}: {error}", row.id));
    let events = store.events(row.id)?;
    let first = events.first().ok_or_else(|| malformed("its plan is not recorded".into()))?;
    let plan = Plan::from_bytes(&first.data).map_err(|error: PlanError| malformed(error.to_string()))?;
    if plan.id() != row.id {
        return Err(malformed("its plan is that of another campaign".into()));
    }
    let bytes = store.body(row.id, first.seq, "profile")?;
    if Sha256::of(&bytes) != plan.profile {
        return Err(malformed("its profile is not the one of the plan".into()));
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| malformed(error.to_string()))?;
    let profile = Profile::from_text(text).map_err(|error| malformed(error.to_string()))?;
    Ok((plan, profile))
}

/// The runs of a campaign that came to their end.
pub(crate) struct Finished {
    pub(crate) rows: Vec<RunRow>,
    /// How many of the plan's did not.
    pub(crate) missing: usize,
    pub(crate) profile: Profile,
}

/// Finds the runs of a campaign that came to their end; says how many did not.
///
/// # Errors
/// A store that fails; a run that has the id of another one, which the plan names.
pub(crate) fn finished(store: &Store, row: &RunRow, ui: &Ui) -> Result<Finished, Failure> {
    let (plan, profile) = recorded(store, row)?;
    let wanted: BTreeMap<RunId, Member> = plan.members().into_iter().map(|member| (member.run, member)).collect();
    let rows = store.runs()?.into_iter();
    let rows: Vec<RunRow> =
        rows.filter(|row| row.status == RunStatus::Finished && wanted.contains_key(&row.id)).collect();
    for row in &rows {
        if !is_as_planned(store, &plan, &wanted[&row.id])? {
            let text = format!("the run {} is not the one that the campaign's plan names so", row.id);
            let hint = format!("remove it with `runproof store gc --run {}`, and go on with `bench --resume`", row.id);
            return Err(Failure::new(FailureKind::Malformed, text).hint(hint));
        }
    }
    if rows.is_empty() {
        let failure = Failure::new(FailureKind::Below, "no run of the campaign has come to its end");
        return Err(failure.hint("go on with it: `runproof bench INSTANCES --resume`"));
    }
    let missing = wanted.len() - rows.len();
    if missing > 0 {
        ui.warn(format_args!("{missing} of {} runs of the campaign have not ended", wanted.len()));
    }
    Ok(Finished { rows, missing, profile })
}

/// Says whether what is recorded under a member's id has its options and is on its instance.
fn is_as_planned(store: &Store, plan: &Plan, member: &Member) -> Result<bool, StoreError> {
    let events = store.events(member.run)?;
    let [first, second, ..] = events.as_slice() else { return Ok(false) };
    let parsed = |event: &StoredEvent| serde_json::from_slice::<Value>(&event.data).unwrap_or_default();
    let options = plan.arms.get(&member.arm).map(|options| Options { seed: member.seed, ..options.clone() });
    let is_alike =
        parsed(first).get("options") == Some(&json!(options)) && parsed(second)["id"] == json!(member.instance);
    let Some(body) = second.body("instance").filter(|_| is_alike) else { return Ok(false) };
    if plan.instances.get(&member.instance) == Some(&body.digest) {
        return Ok(true);
    }
    // Where its image came after the plan, the run has the image's content too.
    let instance = Instance::from_bytes(&store.body(member.run, second.seq, "instance")?);
    Ok(instance
        .is_ok_and(|instance| plan.instances.get(&member.instance).is_some_and(|digest| instance.is_from(digest))))
}
