//! What a policy says of one certificate: whether the policy still counts, and the rule that covers the certificate.

use std::collections::BTreeSet;

use super::policy::{Date, Policy, Rule};
use super::predicate::RungResult;
use super::reason::{Problem, Reason};
use super::statement::Statement;

/// Refuses a policy that has ended, or is older than one that was seen before.
pub(super) fn check_policy(policy: &Policy, today: &Date, minimum: u64) -> Result<(), Problem> {
    if *today > policy.expires {
        let message = format!("the policy expired on {}, and today is {today}", policy.expires);
        return Err(Problem::new(Reason::PolicyExpired, message));
    }
    if policy.version < minimum {
        let message = format!("the policy is version {}; {minimum} was seen before", policy.version);
        return Err(Problem::new(Reason::PolicyVersion, message));
    }
    Ok(())
}

/// Returns the first rule that the certificate meets; otherwise what the rule that came nearest lacks.
pub(super) fn find_rule<'p>(
    policy: &'p Policy,
    statement: &Statement,
    counted: &BTreeSet<String>,
) -> Result<&'p Rule, Problem> {
    let is_recorded = statement.is_of_recorded_agent();
    let mut nearest = (0, Problem::new(Reason::Rule, "no rule of the policy is about this type"));
    for rule in policy.rules.iter().filter(|rule| rule.predicate_type == statement.predicate_type()) {
        let keys = rule.keys.iter().filter(|keyid| counted.contains(*keyid)).count();
        let missing = rule.require_rungs.iter().find(|number| {
            !statement.rungs().iter().any(|claim| claim.rung == **number && claim.result == RungResult::Passed)
        });
        let found = if keys == 0 {
            (1, Problem::new(Reason::Rule, "no rule lets these keys certify this type"))
        } else if let Some(what) = rule.uncovered(statement) {
            (2, Problem::new(Reason::Rule, format!("no rule for these keys covers {what}")))
        } else if keys < rule.threshold as usize {
            let message = format!("{keys} of the {} different keys that the rule asks for signed", rule.threshold);
            (3, Problem::new(Reason::Threshold, message))
        } else if let Some(number) = missing {
            (4, Problem::new(Reason::RungRequired, format!("rung {number} is required and not certified as passed")))
        } else if let Some(number) = rule.require_rungs.first().filter(|_| is_recorded && !rule.takes_recorded_agents())
        {
            let message = format!(
                "rung {number} is required, and a recorded agent's asks for less; a rule that takes it names \"recorded-agent\" in `profiles`"
            );
            (4, Problem::new(Reason::RungRequired, message))
        } else {
            return Ok(rule);
        };
        if found.0 >= nearest.0 {
            nearest = found;
        }
    }
    Err(nearest.1)
}
