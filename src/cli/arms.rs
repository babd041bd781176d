//! From `--arm`, `--attempts`, `--skills` and `--fallback` to one configuration without contradictions.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Command};

use crate::prompt::{LONGEST_SKILL, MOST_SKILLS, Skill, default_skills};
use crate::solve::{Arm, Fallback};

use super::models::parse;
use super::{Failure, FailureKind};

/// Attempts where nothing is said.
const ATTEMPTS: u32 = 6;
/// Attempts that the first model has before the fallback takes over, where nothing is said.
const FALLBACK_AFTER: u32 = 3;
/// The word for the skills that come with the program.
pub(super) const DEFAULT_SKILLS: &str = "default";

/// What the command line says about the configuration.
pub(super) struct Asked<'a> {
    pub(super) arm: Option<Arm>,
    pub(super) attempts: Option<u32>,
    pub(super) fallback: Option<&'a str>,
    pub(super) fallback_after: Option<u32>,
    pub(super) skills: Option<&'a str>,
}

/// Reads the name of an arm, and tells shells which there are.
#[derive(Debug, Clone)]
pub(super) struct ArmParser;

impl TypedValueParser for ArmParser {
    type Value = Arm;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<Arm, clap::Error> {
        let parse: fn(&str) -> Result<Arm, String> = parse_arm;
        parse.parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        // The others go with two and six attempts too.
        let arms = Arm::NAMED.into_iter().chain(Arm::ablations(1));
        Some(Box::new(arms.map(|arm| PossibleValue::new(arm.to_string()))))
    }
}

/// Reads the name of an arm.
pub(super) fn parse_arm(text: &str) -> Result<Arm, String> {
    Arm::named(text).ok_or_else(|| {
        let names = Arm::NAMED.map(|arm| arm.to_string()).join(", ");
        format!(
            "the arms are {names}, and direct-1, direct-2 or direct-6 with +window, +whole, +no-gate, +no-numbers or \
             +two-step"
        )
    })
}

/// Returns the arm, its fallback and its skills. An arm that is named fixes them; whatever else says otherwise is a
/// mistake.
pub(super) fn configuration(asked: &Asked<'_>) -> Result<(Arm, Option<Fallback>, Vec<Skill>), Failure> {
    let arm = match asked.arm {
        Some(arm) => {
            check(arm, asked)?;
            arm
        }
        None => Arm {
            skills: asked.skills.is_some(),
            fallback: asked.fallback.is_some(),
            ..Arm::direct(asked.attempts.unwrap_or(ATTEMPTS))
        },
    };
    let fallback = match asked.fallback {
        None => None,
        Some(text) => Some(fallback(text, arm.attempts, asked.fallback_after)?),
    };
    let skills = if arm.skills { skills(asked.skills.unwrap_or(DEFAULT_SKILLS))? } else { Vec::new() };
    Ok((arm, fallback, skills))
}

fn usage(text: String, hint: &str) -> Failure {
    Failure::new(FailureKind::Usage, text).hint(hint)
}

/// Refuses whatever contradicts the arm.
fn check(arm: Arm, asked: &Asked<'_>) -> Result<(), Failure> {
    if let Some(attempts) = asked.attempts.filter(|attempts| *attempts != arm.attempts) {
        let text = format!("the arm {arm} has {} attempts, --attempts says {attempts}", arm.attempts);
        return Err(usage(
            text,
            "leave out one of the two (with RUNPROOF_ATTEMPTS, RUNPROOF_ARM and runproof.toml), or take another arm",
        ));
    }
    match (arm.fallback, asked.fallback) {
        (true, None) => {
            return Err(usage(format!("the arm {arm} needs a fallback model"), "name it with --fallback MODEL"));
        }
        (false, Some(_)) => {
            let hint = "leave out --fallback (and RUNPROOF_FALLBACK), or take --arm direct-6+fallback";
            return Err(usage(format!("the arm {arm} has no fallback model"), hint));
        }
        _ => {}
    }
    if !arm.skills && asked.skills.is_some() {
        let hint = "leave out --skills (and RUNPROOF_SKILLS), or take --arm direct-6+skills";
        return Err(usage(format!("the arm {arm} has no skills"), hint));
    }
    Ok(())
}

fn fallback(text: &str, attempts: u32, after: Option<u32>) -> Result<Fallback, Failure> {
    let after = after.unwrap_or(FALLBACK_AFTER.min(attempts.saturating_sub(1)));
    if after == 0 || after >= attempts {
        let text = format!("after {after} of {attempts} attempts the fallback would not take over from another model");
        return Err(usage(text, "set --fallback-after to at least 1 and below the number of attempts"));
    }
    Ok(Fallback { model: parse(text)?.portable(), after })
}

/// Reads the skills of a folder in the order of their names.
fn skills(folder: &str) -> Result<Vec<Skill>, Failure> {
    if folder == DEFAULT_SKILLS {
        return Ok(default_skills());
    }
    let cannot = |path: &Path, error: &dyn std::fmt::Display| {
        let text = format!("cannot read the skills at {}: {error}", path.display());
        Failure::new(FailureKind::Environment, text).hint("--skills takes a folder of Markdown files, or `default`")
    };
    let folder = Path::new(folder);
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| cannot(folder, &error))? {
        let path = entry.map_err(|error| cannot(folder, &error))?.path();
        if path.extension().is_some_and(|end| end == "md") && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    if paths.is_empty() || paths.len() > MOST_SKILLS {
        let text = format!("there are {} Markdown files, 1 to {MOST_SKILLS} are taken", paths.len());
        return Err(Failure::new(FailureKind::Malformed, format!("the skills at {}: {text}", folder.display())));
    }
    paths.iter().map(|path| skill(path, &cannot)).collect()
}

fn skill(path: &Path, cannot: &dyn Fn(&Path, &dyn std::fmt::Display) -> Failure) -> Result<Skill, Failure> {
    let malformed = |what: &str| Failure::new(FailureKind::Malformed, format!("the skill {} {what}", path.display()));
    let size = fs::metadata(path).map_err(|error| cannot(path, &error))?.len();
    if size > LONGEST_SKILL as u64 {
        return Err(malformed(&format!("has {size} bytes, at most {LONGEST_SKILL} are taken")));
    }
    let bytes = fs::read(path).map_err(|error| cannot(path, &error))?;
    let text = String::from_utf8(bytes).map_err(|_| malformed("is not UTF-8 text"))?;
    let name = path.file_stem().and_then(|stem| stem.to_str()).ok_or_else(|| malformed("has no readable name"))?;
    if text.trim().is_empty() {
        return Err(malformed("is empty"));
    }
    Ok(Skill { name: name.to_owned(), text })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Asked<'_> = Asked { arm: None, attempts: None, fallback: None, fallback_after: None, skills: None };

    fn named(name: &str) -> Asked<'static> {
        Asked { arm: Some(parse_arm(name).unwrap()), ..NOTHING }
    }

    #[test]
    fn an_arm_fixes_everything_and_without_one_the_flags_name_it() {
        let name = |asked: &Asked<'_>| configuration(asked).map(|(arm, ..)| arm.to_string()).unwrap();
        assert_eq!(name(&NOTHING), "direct-6");
        assert_eq!(name(&named("patch")), "patch");
        let all = Asked { attempts: Some(4), fallback: Some("scripted:x"), skills: Some("default"), ..NOTHING };
        assert_eq!(name(&all), "direct-4+skills+fallback");
        let (_, fallback, skills) = configuration(&named("direct-6+skills")).unwrap();
        assert_eq!((fallback, skills.len()), (None, 5));
        let two = Asked { attempts: Some(2), fallback: Some("scripted:x"), ..NOTHING };
        assert_eq!(configuration(&two).unwrap().1.unwrap().after, 1);
    }

    #[test]
    fn contradictions_are_usage_errors_with_a_hint() {
        let cases = [
            Asked { attempts: Some(3), ..named("direct-6") },
            Asked { fallback: Some("scripted:x"), ..named("direct-2") },
            Asked { skills: Some("default"), ..named("patch") },
            named("direct-6+fallback"),
            Asked { fallback: Some("scripted:x"), fallback_after: Some(6), ..NOTHING },
            Asked { fallback: Some("scripted:x"), attempts: Some(1), ..NOTHING },
        ];
        for asked in cases {
            let failure = configuration(&asked).unwrap_err();
            assert!(failure.hint.is_some() && matches!(failure.kind, FailureKind::Usage), "{failure:?}");
        }
        assert!(parse_arm("direct-9").unwrap_err().contains("direct-6+fallback"));
    }
}
