//! Rung 274177, stress: several instances, direct edits compared with patches, the feedback loop, the seeds.

use std::collections::BTreeMap;

use super::campaign::{Campaign, below};
use super::facts::Facts;
use super::finding::{Finding, counted};
use super::ladder::{Basis, Criterion, Number, Verdict};
use crate::canon::Sha256;
use crate::statistics::{Share, mcnemar, percent, probability, wilson};

pub(super) fn criteria(campaign: &Campaign<'_>, edge: Verdict) -> Vec<Criterion> {
    vec![
        below(Number::Edge, edge),
        instances_paired(campaign).criterion("instances-paired", Basis::Recomputed),
        direct_threshold(campaign).criterion("direct-threshold", Basis::Recomputed),
        direct_above_patch(campaign).criterion("direct-above-patch", Basis::Recomputed),
        feedback_verified(campaign).criterion("feedback-verified", Basis::Recomputed),
        seeds_agree(campaign).criterion("seeds-agree", Basis::Recomputed),
    ]
}

fn manifests<'f>(runs: impl IntoIterator<Item = &'f Facts>) -> Vec<Sha256> {
    runs.into_iter().map(|facts| facts.manifest).collect()
}

/// Options that are no part of what an arm is, so that both have the same.
const SHARED: [&str; 4] = ["context_tokens", "reply_tokens", "red_runs", "timeout_seconds"];

/// Enough instances, each once in both arms, on the same models, tests and files; the files over all arms and seeds, and
/// all other options over the runs of an arm.
fn instances_paired(campaign: &Campaign<'_>) -> Finding {
    let profile = campaign.profile;
    let (direct, patch) = (campaign.arm(&profile.direct), campaign.arm(&profile.patch));
    if direct.is_empty() && patch.is_empty() {
        return Finding::unknown("no run of either arm with the first seed");
    }
    if let Some(reason) = campaign.unusable.first() {
        return Finding::failed(reason.clone());
    }
    for (instance, facts) in direct.iter().chain(&patch) {
        let (Some(one), Some(other)) = (direct.get(instance), patch.get(instance)) else {
            let missing = if facts.arm == profile.direct { &profile.patch } else { &profile.direct };
            return Finding::failed(format!("{instance} was not run with the arm {missing}"));
        };
        if one.instance_bytes != other.instance_bytes {
            return Finding::failed(format!("{instance} is not the same instance in both arms"));
        }
        if one.models.first() != other.models.first() || one.tests != other.tests {
            return Finding::failed(format!("{instance} was run with another model or other tests in the other arm"));
        }
        if let Some(option) = SHARED.iter().find(|option| one.options.get(**option) != other.options.get(**option)) {
            return Finding::failed(format!("{instance} was run with another {option} in the other arm"));
        }
    }
    let first = direct.values().next();
    let is_alike = |facts: &&Facts| {
        first.is_some_and(|first| first.models.first() == facts.models.first() && first.tests == facts.tests)
    };
    if let Some(other) = direct.values().find(|facts| !is_alike(facts)) {
        return Finding::failed(format!("{} was run with another model or other tests", other.name()));
    }
    if let Some(other) = unlike_others(campaign, |facts| &facts.arm, |facts| Some(&facts.options)) {
        return Finding::failed(format!("{} was run with other options than another run of its arm", other.name()));
    }
    if let Some(other) = unlike_others(campaign, |facts| &facts.instance, |facts| Some(&facts.base)) {
        return Finding::failed(format!("{} began at another tree than another run on the instance", other.name()));
    }
    if let Some(other) = unlike_others(campaign, |facts| &facts.instance, |facts| facts.selection.as_ref()) {
        return Finding::failed(format!("{} selected other files than another run on the instance", other.name()));
    }
    let pairs = direct.len();
    let tests = first.map_or("", |facts| facts.tests.as_str());
    let found = format!("{} in both arms, {} wanted ({tests})", counted(pairs, "instance"), profile.instances);
    let finding = if pairs < profile.instances as usize { Finding::failed(found) } else { Finding::passed(found) };
    finding.on(manifests(direct.into_values().chain(patch.into_values()))).figure("pairs", pairs)
}

/// Finds a run of which something is otherwise than of another one that shares `whose` with it.
fn unlike_others<'f, T: PartialEq + 'f>(
    campaign: &Campaign<'f>,
    whose: impl Fn(&'f Facts) -> &'f str,
    what: impl Fn(&'f Facts) -> Option<&'f T>,
) -> Option<&'f Facts> {
    let mut known = BTreeMap::new();
    campaign
        .runs
        .values()
        .copied()
        .find(|facts| what(facts).is_some_and(|what| *known.entry(whose(facts)).or_insert(what) != what))
}

/// Returns how many instances an arm resolved, with the figures of the interval.
pub(super) fn resolved(runs: &BTreeMap<&str, &Facts>) -> (Share, String) {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let share = Share { count: count(runs.values().filter(|facts| facts.resolved).count()), of: count(runs.len()) };
    let (low, high) = wilson(share.count, share.of);
    let share_text = percent(share.per_million());
    let text =
        format!("{} of {} resolved, {share_text} (95 %: {} to {})", share.count, share.of, percent(low), percent(high));
    (share, text)
}

/// Adds an arm's figures.
pub(super) fn with_figures(finding: Finding, arm: &str, share: Share) -> Finding {
    let (low, high) = wilson(share.count, share.of);
    finding
        .figure(format!("{arm}/resolved"), share.count as usize)
        .figure(format!("{arm}/of"), share.of as usize)
        .figure(format!("{arm}/wilson-low"), low as usize)
        .figure(format!("{arm}/wilson-high"), high as usize)
}

/// The direct arm resolves at least the profile's share.
fn direct_threshold(campaign: &Campaign<'_>) -> Finding {
    let profile = campaign.profile;
    let direct = campaign.arm(&profile.direct);
    if direct.is_empty() {
        return Finding::unknown(format!("no run with the arm {}", profile.direct));
    }
    let (share, text) = resolved(&direct);
    let reason = format!("{text}, {} wanted", percent(profile.direct_resolved));
    let reaches = share.reaches(profile.direct_resolved);
    let finding = if reaches { Finding::passed(reason) } else { Finding::failed(reason) };
    with_figures(finding, &profile.direct, share)
        .figure("threshold", profile.direct_resolved as usize)
        .on(manifests(direct.into_values()))
}

/// The direct arm resolves more instances than the patch arm, over the same instances.
fn direct_above_patch(campaign: &Campaign<'_>) -> Finding {
    let profile = campaign.profile;
    let (mut direct, mut patch) = (campaign.arm(&profile.direct), campaign.arm(&profile.patch));
    direct.retain(|instance, _| patch.contains_key(instance));
    patch.retain(|instance, _| direct.contains_key(instance));
    if direct.is_empty() {
        return Finding::unknown("no instance was run with both arms");
    }
    let only = |one: &BTreeMap<&str, &Facts>, other: &BTreeMap<&str, &Facts>| {
        one.iter().filter(|(instance, facts)| facts.resolved && !other[*instance].resolved).count()
    };
    let (only_direct, only_patch) = (only(&direct, &patch), only(&patch, &direct));
    let p = mcnemar(u32::try_from(only_direct).unwrap_or(u32::MAX), u32::try_from(only_patch).unwrap_or(u32::MAX));
    let ((share, _), (other, _)) = (resolved(&direct), resolved(&patch));
    let reason = format!(
        "{} with {}, {} with {}, of the same {}; only one of them: {only_direct} and {only_patch}, McNemar exact p = {}",
        share.count,
        profile.direct,
        other.count,
        profile.patch,
        counted(direct.len(), "instance"),
        probability(p),
    );
    let finding = if share.count > other.count { Finding::passed(reason) } else { Finding::failed(reason) };
    with_figures(with_figures(finding, &profile.direct, share), &profile.patch, other)
        .figure("only-direct", only_direct)
        .figure("only-patch", only_patch)
        .figure("mcnemar-p", p as usize)
        .on(manifests(direct.into_values().chain(patch.into_values())))
}

/// Each retry was told of the failure before it, and that helped at least once.
fn feedback_verified(campaign: &Campaign<'_>) -> Finding {
    let direct: Vec<&Facts> =
        campaign.runs.values().copied().filter(|facts| facts.arm == campaign.profile.direct).collect();
    let mut retries = 0;
    for facts in &direct {
        match &facts.feedback {
            Ok(number) => retries += number,
            Err(reason) => return Finding::failed(format!("{}: {reason}", facts.name())),
        }
    }
    if retries == 0 {
        return Finding::unknown("no attempt was a retry");
    }
    let helped = direct.iter().filter(|facts| facts.resolved && facts.attempts >= 2).count();
    let reason = format!(
        "{}, each told of the failure before; {helped} led to a fix",
        counted(retries, "retry").replace("retrys", "retries")
    );
    let finding = if helped == 0 { Finding::failed(reason) } else { Finding::passed(reason) };
    finding.figure("retries", retries).figure("resolved-by-retry", helped).on(manifests(direct))
}

/// The same replies with every seed: greedy decoding does not depend on it.
fn seeds_agree(campaign: &Campaign<'_>) -> Finding {
    let profile = campaign.profile;
    if profile.seeds.len() < 2 {
        return Finding::unknown("the profile names one seed only");
    }
    let direct = campaign.arm(&profile.direct);
    if direct.is_empty() {
        return Finding::unknown(format!("no run with the arm {}", profile.direct));
    }
    let mut compared = Vec::new();
    for (instance, first) in &direct {
        for seed in &profile.seeds {
            let Some(other) = campaign.runs.get(&((*instance).to_owned(), profile.direct.clone(), *seed)) else {
                return Finding::unknown(format!("{instance} was not run with the seed {seed}"));
            };
            if first.instance_bytes != other.instance_bytes || first.models != other.models {
                return Finding::failed(format!("{instance} is another one, or has another model, with seed {seed}"));
            }
            let replies = |facts: &Facts| facts.calls.iter().map(|call| call.reply).collect::<Vec<_>>();
            if replies(first) != replies(other) {
                let seeds = (first.seed, seed);
                return Finding::failed(format!("{instance} got other replies with seed {} than {}", seeds.1, seeds.0));
            }
            compared.push(*other);
        }
    }
    if compared.iter().all(|facts| facts.calls.is_empty()) {
        return Finding::unknown("no run made a call");
    }
    let reason = format!("{} with seeds {:?}, the same replies", counted(direct.len(), "instance"), profile.seeds);
    Finding::passed(reason).figure("runs", compared.len()).on(manifests(compared))
}
