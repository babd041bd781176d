//! What a campaign leaves for others: predictions and reports for the SWE-bench harness, certificates.

use std::collections::BTreeMap;
use std::path::Path;

use crate::campaign::{HarnessResult, Member, Plan};
use crate::certificate::SecretKey;
use crate::cli::certify;
use crate::cli::files::{make, write_result};
use crate::cli::keyfile::write_whole;
use crate::cli::ui::{Unit, counted};
use crate::cli::{Failure, Ui};
use crate::instance::Instance;
use crate::rung::Profile;
use crate::solve::Options;
use crate::store::{RunRow, RunStatus, Store};

/// The finished runs of a plan, each with its place in it and its options, by instance, arm and seed.
fn ended(plan: &Plan, store: &Store) -> Result<Vec<(Member, RunRow, Options)>, Failure> {
    let rows: BTreeMap<_, _> = store.runs()?.into_iter().map(|row| (row.id, row)).collect();
    let mut found = Vec::new();
    for member in plan.members() {
        let row = rows.get(&member.run).filter(|row| row.status == RunStatus::Finished);
        if let (Some(row), Some(options)) = (row, plan.arms.get(&member.arm)) {
            let options = Options { seed: member.seed, ..options.clone() };
            found.push((member, row.clone(), options));
        }
    }
    Ok(found)
}

/// Writes `ARM/seed-S/predictions.jsonl` and `ARM/seed-S/INSTANCE/report.json` below `folder`, for all runs that ended.
pub(super) fn results(
    plan: &Plan,
    store: &Store,
    instances: &BTreeMap<&str, &Instance>,
    folder: &Path,
) -> Result<(), Failure> {
    let mut predictions = BTreeMap::<_, String>::new();
    for (member, row, options) in ended(plan, store)? {
        let Some(instance) = instances.get(member.instance.as_str()) else { continue };
        let Some(result) = HarnessResult::of_run(store, &row, instance, &options)? else { continue };
        let of_arm = folder.join(&member.arm).join(format!("seed-{}", options.seed));
        write_result(&of_arm.join(&instance.id), &result)?;
        let lines = predictions.entry(of_arm.join("predictions.jsonl")).or_default();
        lines.push_str(&format!("{}\n", result.prediction));
    }
    predictions.iter().try_for_each(|(path, lines)| write_whole(path, lines.as_bytes(), true))
}

/// Certifies every resolved run, and the campaign once all its runs have ended, into `folder`; what is there of this key
/// and of these recordings is kept.
pub(super) fn certificates(
    plan: &Plan,
    profile: &Profile,
    store: &Store,
    key: &SecretKey,
    folder: &Path,
    ui: &mut Ui,
) -> Result<(), Failure> {
    let rows: Vec<RunRow> = ended(plan, store)?.into_iter().map(|(_, row, _)| row).collect();
    let resolved: Vec<&RunRow> = rows.iter().filter(|row| row.outcome == "resolved").collect();
    make(folder)?;
    let bar = ui.bar("certificates", resolved.len() as u64, Unit::Items);
    for row in &resolved {
        let path = folder.join(format!("{}.dsse.json", row.id));
        if !certify::is_of(&path, row, key) {
            certify::write(&certify::issue(store, row, key)?, key, &path, true)?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let count = counted(resolved.len(), "resolved run");
    let missing = plan.members().len() - rows.len();
    if missing == 0 {
        let path = folder.join("campaign.dsse.json");
        certify::campaign_into(store, &rows, profile.clone(), key, folder, &path, ui)?;
        ui.say(format_args!("certificates of {count} and of the campaign: {}", folder.display()));
    } else {
        let missing = counted(missing, "run");
        ui.say(format_args!(
            "certificates of {count}: {}; the campaign has none, for it lacks {missing}",
            folder.display()
        ));
    }
    Ok(())
}
