//! Rung 65537, full: the whole data set, and the same input gives the same output, again and again.

use std::collections::{BTreeMap, BTreeSet};

use super::campaign::{Campaign, CampaignInput, below};
use super::execution::Execution;
use super::facts::{Call, Facts};
use super::finding::{Finding, counted};
use super::ladder::{Basis, Criterion, Number, Verdict};
use super::profile::Profile;
use super::published;
use super::stress::{resolved, with_figures};
use crate::canon::Sha256;
use crate::model::Grade;
use crate::statistics::{failure_bound, percent};

/// A certificate of a run, as somebody who verified it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Certified {
    /// SHA-256 of the manifest that it is about.
    pub manifest: Sha256,
    /// Whether it is valid.
    pub valid: bool,
}

pub(super) fn criteria(campaign: &Campaign<'_>, input: &CampaignInput<'_>, stress: Verdict) -> Vec<Criterion> {
    vec![
        below(Number::Stress, stress),
        data_set_complete(campaign).criterion("data-set-complete", Basis::Recomputed),
        full_threshold(campaign).criterion("full-threshold", Basis::Recomputed),
        every_run_replays(campaign).criterion("every-run-replays", Basis::Replayed),
        calls_reexecuted(campaign, input.executions).criterion("calls-reexecuted", Basis::Observed),
        runs_certified(campaign, input.certified).criterion("runs-certified", Basis::Recomputed),
    ]
}

/// Every instance of the pinned data set is there once, and no other.
fn data_set_complete(campaign: &Campaign<'_>) -> Finding {
    let Some(set) = &campaign.profile.data_set else { return Finding::unknown("the profile pins no data set") };
    let direct = campaign.arm(&campaign.profile.direct);
    let instances: BTreeMap<&str, Sha256> =
        direct.iter().map(|(instance, facts)| (*instance, facts.identity)).collect();
    let digest = published::digest_of_all(instances.clone());
    let (found, wanted) = (instances.len(), set.count as usize);
    let differs = if set.digest == Profile::lite_digest() { difference(&instances) } else { None };
    let finding = match () {
        () if !campaign.unusable.is_empty() => Finding::failed(campaign.unusable[0].clone()),
        () if found != wanted => {
            let which = differs.map_or_else(String::new, |which| format!(": {which}"));
            Finding::failed(format!("{} of the {wanted} of {}{which}", counted(found, "instance"), set.name))
        }
        () if differs.is_some() => Finding::failed(format!("{}: {}", set.name, differs.unwrap_or_default())),
        () if digest != set.digest => Finding::failed(format!(
            "the instances are other ones than those of {}: their digest is {digest}",
            set.name
        )),
        () => Finding::passed(format!("all {found} instances of {}, each once", set.name)),
    };
    finding.figure("instances", found).figure("wanted", wanted).on([digest])
}

/// Says by name how the instances differ from those of SWE-bench Lite.
fn difference(found: &BTreeMap<&str, Sha256>) -> Option<String> {
    let wanted = published::lite();
    let other = found.iter().find(|(id, digest)| wanted.get(*id).is_none_or(|known| known != *digest));
    let missing: Vec<&str> = wanted.keys().copied().filter(|id| !found.contains_key(id)).collect();
    match (missing.as_slice(), other) {
        ([], None) => None,
        ([], Some((id, _))) => Some(format!("{id} is not as published")),
        ([one], _) => Some(format!("{one} is missing")),
        ([first, rest @ ..], _) => Some(format!("{first} and {} others are missing", rest.len())),
    }
}

/// The direct arm resolves at least the profile's share of the whole data set.
fn full_threshold(campaign: &Campaign<'_>) -> Finding {
    let profile = campaign.profile;
    let direct = campaign.arm(&profile.direct);
    if direct.is_empty() {
        return Finding::unknown(format!("no run with the arm {}", profile.direct));
    }
    let (share, text) = resolved(&direct);
    let reason = format!("{text}, {} wanted", percent(profile.full_resolved));
    let reaches = share.reaches(profile.full_resolved);
    let finding = if reaches { Finding::passed(reason) } else { Finding::failed(reason) };
    with_figures(finding, &profile.direct, share)
        .figure("threshold", profile.full_resolved as usize)
        .on(direct.into_values().map(|facts| facts.manifest))
}

/// A replay of every run came to the same bytes.
fn every_run_replays(campaign: &Campaign<'_>) -> Finding {
    let runs = campaign.runs.len();
    let with = |verdict| campaign.runs.values().copied().find(move |facts| facts.replayed == verdict);
    let finding = match (with(Verdict::Failed), with(Verdict::NotAssessed)) {
        _ if runs == 0 => Finding::unknown("the campaign has no run"),
        _ if !campaign.unusable.is_empty() => Finding::failed(campaign.unusable[0].clone()),
        (Some(facts), _) => Finding::failed(format!("{} does not replay", facts.name())),
        (None, Some(facts)) => Finding::unknown(format!("{} was not replayed", facts.name())),
        (None, None) => Finding::passed(format!("{}, each equal to the byte", counted(runs, "run"))),
    };
    finding.figure("runs", runs).on(campaign.runs.values().map(|facts| facts.manifest))
}

/// Every call was executed again, often enough, with the same canonical reply.
fn calls_reexecuted(campaign: &Campaign<'_>, executions: &[&Execution]) -> Finding {
    let wanted = campaign.profile.executions;
    let direct = campaign.arm(&campaign.profile.direct);
    if direct.is_empty() {
        return Finding::unknown(format!("no run with the arm {}", campaign.profile.direct));
    }
    let (mut calls, mut left_out, mut evidence) = (0, 0, BTreeSet::new());
    for facts in direct.values() {
        calls += facts.calls.len();
        let repeatable: Vec<&Call> = facts.calls.iter().filter(|call| call.grade > Grade::NotReexecutable).collect();
        left_out += facts.calls.len() - repeatable.len();
        if repeatable.is_empty() {
            continue;
        }
        let mut rounds = 0;
        for execution in executions.iter().filter(|execution| execution.is_of(facts.raw_root)) {
            // One and the same recording shows nothing more when it is there twice.
            if !evidence.insert(execution.manifest()) {
                continue;
            }
            match execution.rounds(&repeatable) {
                Ok(number) => rounds += number,
                Err(reason) => return Finding::failed(format!("{}: {reason}", facts.name())),
            }
        }
        if rounds < wanted as usize {
            return Finding::unknown(format!("{} was executed again {rounds} of {wanted} times", facts.name()));
        }
    }
    let most = campaign.profile.not_reexecutable as usize;
    if left_out > most {
        let what = "cannot be executed again, the profile allows";
        return Finding::failed(format!("{} {what} {most}", counted(left_out, "call")))
            .figure("not-reexecutable", left_out);
    }
    if calls == left_out {
        return Finding::unknown("no call could be executed again");
    }
    let bound = failure_bound(wanted);
    let reason = format!(
        "{}, each again {wanted} times with the same reply; a failure rate up to {} stays possible (95 %)",
        counted(calls - left_out, "call"),
        percent(bound),
    );
    Finding::passed(reason)
        .figure("calls", calls)
        .figure("executions", wanted as usize)
        .figure("not-reexecutable", left_out)
        .figure("failure-bound", bound as usize)
        .on(evidence)
}

/// Every resolved instance has a valid certificate of its run.
fn runs_certified(campaign: &Campaign<'_>, certified: Option<&[Certified]>) -> Finding {
    let Some(certified) = certified else { return Finding::unknown("no certificates were looked at") };
    let direct = campaign.arm(&campaign.profile.direct);
    let resolved: Vec<&Facts> = direct.into_values().filter(|facts| facts.resolved).collect();
    if resolved.is_empty() {
        return Finding::unknown("no instance was resolved");
    }
    for facts in &resolved {
        let about: Vec<&Certified> = certified.iter().filter(|one| one.manifest == facts.manifest).collect();
        match about.as_slice() {
            [] => return Finding::failed(format!("{} has no certificate", facts.name())),
            several if !several.iter().any(|one| one.valid) => {
                return Finding::failed(format!("the certificate of {} is not valid", facts.name()));
            }
            _ => {}
        }
    }
    Finding::passed(format!("{} with a valid certificate each", counted(resolved.len(), "resolved instance")))
        .figure("certificates", resolved.len())
        .on(resolved.into_iter().map(|facts| facts.manifest))
}
