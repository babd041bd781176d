//! `runproof.toml`: what `solve` and the other verbs take by default. The environment comes before it, options before both.
//!
//! The file's values become the defaults of the options of the same name, so that one rule of precedence holds for all.
//! A file that merely lies in the working folder may be somebody else's, who wants the user's keys or machine: what
//! needs trust is taken only from a file that was named.

use std::path::{Path, PathBuf};

use clap::{Arg, Command};
use serde::Deserialize;

use crate::edit::distance;
use crate::solve::Arm;

use super::arms::{DEFAULT_SKILLS, parse_arm};
use super::course::TestsChoice;
use super::images::EngineChoice;
use super::workbench::SandboxChoice;
use super::{Failure, FailureKind, Host};

/// The file that is looked for in the working folder.
const FILE: &str = "runproof.toml";
/// The largest file that is read, in bytes.
const LARGEST: u64 = 1 << 20;

/// Every key; `docs/configuration.md` says what they mean.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    model: Option<String>,
    base_url: Option<String>,
    threads: Option<usize>,
    arm: Option<ArmName>,
    skills: Option<String>,
    fallback: Option<String>,
    fallback_after: Option<u32>,
    attempts: Option<Whole<1, 100>>,
    tests: Option<TestsChoice>,
    red_runs: Option<Whole<1, 10>>,
    seed: Option<u32>,
    context: Option<u32>,
    reply: Option<u32>,
    timeout: Option<u32>,
    test_command: Option<String>,
    log_parser: Option<String>,
    include: Option<Vec<String>>,
    repo: Option<PathBuf>,
    repos: Option<Vec<String>>,
    env: Option<PathBuf>,
    sandbox: Option<SandboxChoice>,
    image: Option<String>,
    engine: Option<EngineChoice>,
    store: Option<PathBuf>,
    results: Option<PathBuf>,
}

/// The name of an arm.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
struct ArmName(Arm);

impl TryFrom<String> for ArmName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        parse_arm(&name).map(Self).map_err(|arms| format!("unknown arm {name:?}, {arms}"))
    }
}

/// A whole number in the bounds of its option.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "u32")]
struct Whole<const LEAST: u32, const MOST: u32>(u32);

impl<const LEAST: u32, const MOST: u32> TryFrom<u32> for Whole<LEAST, MOST> {
    type Error = String;

    fn try_from(number: u32) -> Result<Self, Self::Error> {
        match (LEAST..=MOST).contains(&number) {
            true => Ok(Self(number)),
            false => Err(format!("{number} is not from {LEAST} to {MOST}")),
        }
    }
}

/// Gives the command line the defaults of the file named, or of the one in the working folder, where there is one.
pub(super) fn with_defaults(command: Command, named: Option<&Path>) -> Result<Command, Failure> {
    let path = named.unwrap_or(Path::new(FILE));
    if named.is_none() && !path.exists() {
        return Ok(command);
    }
    let unreadable = |reason: String| {
        let failure = Failure::new(FailureKind::Environment, format!("cannot read {}: {reason}", path.display()));
        failure.hint("name a readable TOML file with --config")
    };
    if std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len() > LARGEST {
        return Err(unreadable("it is larger than 1 MiB".into()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    let config = read(&text, path)?;
    if named.is_none() {
        check_trust(&config, path)?;
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    Ok(config.defaults(folder).into_iter().fold(command, |command, (id, values)| set(command, id, &values)))
}

fn read(text: &str, path: &Path) -> Result<Config, Failure> {
    let config: Config = toml::from_str(text).map_err(|error| {
        let before = error.span().map_or(0, |span| span.start.min(text.len()));
        let number = 1 + text.as_bytes()[..before].iter().filter(|byte| **byte == b'\n').count();
        let line = text.lines().nth(number - 1).unwrap_or_default().trim();
        let name = line.split(['=', '.']).next().unwrap_or_default().to_lowercase();
        let is_secret = ["key", "token", "secret", "password"].iter().any(|word| name.contains(word));
        let reason = error.message().replace('\n', " ");
        let place = format!("{}:{number}", path.display());
        if is_secret {
            // The line must not be shown: it may hold what should not be there.
            let failure = Failure::new(FailureKind::Malformed, format!("{place}: {reason}"));
            return failure.hint("keys come only from OPENAI_API_KEY or ANTHROPIC_API_KEY, or a file named with _FILE");
        }
        if let Some((key, keys)) = unknown_key(error.message()) {
            let failure = Failure::new(FailureKind::Malformed, format!("{place}: unknown key `{key}`: {line}"));
            let close = keys.into_iter().map(|known| (distance(&key.to_lowercase(), known), known)).min();
            let close = close.filter(|(distance, known)| *distance <= known.len().div_ceil(2));
            let meant = close.map_or_else(String::new, |(_, known)| format!("did you mean `{known}`? "));
            return failure.hint(format!("{meant}docs/configuration.md lists every key"));
        }
        let failure = Failure::new(FailureKind::Malformed, format!("{place}: {reason}: {line}"));
        failure.hint("docs/configuration.md lists every key")
    })?;
    let has_password = |url: &String| url.split_once("://").is_some_and(|(_, rest)| rest.contains('@'));
    if config.base_url.as_ref().is_some_and(has_password) {
        let failure = Failure::new(FailureKind::Malformed, format!("{}: base_url holds a password", path.display()));
        return Err(failure.hint("keys come only from OPENAI_API_KEY or ANTHROPIC_API_KEY, or a file named with _FILE"));
    }
    Ok(config)
}

/// Returns the key that is none, and those that are, from the words of the reader of TOML.
fn unknown_key(message: &str) -> Option<(&str, Vec<&str>)> {
    let mut names = message.strip_prefix("unknown field `")?.split('`').step_by(2);
    Some((names.next()?, names.filter(|name| !name.is_empty()).collect()))
}

/// Refuses what a file in a foreign working folder could do harm with.
fn check_trust(config: &Config, path: &Path) -> Result<(), Failure> {
    let refused = |what: &str| {
        let message = format!("{}: {what} is not taken from a file that was not named", path.display());
        let hint = format!("if you trust the file, give --config {}, or set RUNPROOF_CONFIG", path.display());
        Err(Failure::new(FailureKind::Usage, message).hint(hint))
    };
    let folder = path.parent().unwrap_or(Path::new(""));
    if config.skills.as_ref().is_some_and(|skills| skills != DEFAULT_SKILLS && leaves(folder, skills)) {
        return refused("a folder of skills elsewhere");
    }
    if matches!(config.sandbox, Some(SandboxChoice::None)) {
        return refused("sandbox = \"none\"");
    }
    let is_key = |name: &&str| Host::variable(name).is_some() || Host::variable(&format!("{name}_FILE")).is_some();
    if let (Some(_), Some(key)) = (&config.base_url, ["OPENAI_API_KEY", "ANTHROPIC_API_KEY"].into_iter().find(is_key)) {
        return refused(&format!("base_url, where {key} would be sent,"));
    }
    Ok(())
}

/// Says whether the folder `skills`, or a file in it, lies outside of `folder`; what is not there leaves nothing.
fn leaves(folder: &Path, skills: &str) -> bool {
    let Ok(home) = Path::new(".").join(folder).canonicalize() else { return true };
    let is_out = |path: &Path| path.canonicalize().is_ok_and(|real| !real.starts_with(&home));
    let skills = folder.join(skills);
    let files = std::fs::read_dir(&skills).into_iter().flatten().flatten();
    is_out(&skills) || files.map(|entry| entry.path()).any(|path| is_out(&path))
}

impl Config {
    /// Returns the values by the option they are defaults of; paths are relative to the file's folder.
    fn defaults(self, folder: &Path) -> Vec<(&'static str, Vec<String>)> {
        let mut found = Vec::new();
        let mut put = |id, value: Option<String>| found.extend(value.map(|value| (id, vec![value])));
        let path = |path: PathBuf| folder.join(path).to_string_lossy().into_owned();
        put("model", self.model);
        put("base_url", self.base_url);
        put("threads", self.threads.map(|n| n.to_string()));
        put("arm", self.arm.map(|name| name.0.to_string()));
        let is_default = |skills: &String| skills == DEFAULT_SKILLS;
        put("skills", self.skills.map(|skills| if is_default(&skills) { skills } else { path(skills.into()) }));
        put("fallback", self.fallback);
        put("fallback_after", self.fallback_after.map(|n| n.to_string()));
        put("attempts", self.attempts.map(|n| n.0.to_string()));
        put("tests", self.tests.as_ref().map(word));
        put("red_runs", self.red_runs.map(|n| n.0.to_string()));
        put("seed", self.seed.map(|n| n.to_string()));
        put("context", self.context.map(|n| n.to_string()));
        put("reply", self.reply.map(|n| n.to_string()));
        put("timeout", self.timeout.map(|n| n.to_string()));
        put("test_command", self.test_command);
        put("log_parser", self.log_parser);
        put("repo", self.repo.map(path));
        put("environments", self.env.clone().map(path));
        put("env", self.env.map(path));
        put("sandbox", self.sandbox.as_ref().map(word));
        put("image", self.image);
        put("engine", self.engine.as_ref().map(word));
        put("store", self.store.map(path));
        put("results", self.results.map(path));
        let clone = |value: String| match value.split_once('=') {
            Some((name, place)) if !name.starts_with(['/', '.']) => format!("{name}={}", path(place.into())),
            _ => path(value.into()),
        };
        found.extend(self.repos.map(|repos| ("repos", repos.into_iter().map(clone).collect())));
        found.extend(self.include.map(|folders| ("include", folders)));
        found.retain(|(_, values): &(_, Vec<String>)| !values.is_empty());
        found
    }
}

/// Returns the word that the command line has for a choice.
fn word<T: clap::ValueEnum>(choice: &T) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// Sets the default of an option wherever a verb has it. A switch or a place in line may have the same name and mean
/// something else, as `replay --tests` does.
fn set(mut command: Command, id: &'static str, values: &[String]) -> Command {
    let is_option = |argument: &Arg| argument.get_long().is_some() && argument.get_action().takes_values();
    if command.get_arguments().any(|argument| argument.get_id() == id && is_option(argument)) {
        command = command.mut_arg(id, |argument| argument.default_values(values.iter().cloned()));
    }
    let verbs: Vec<String> = command.get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
    verbs.iter().fold(command, |command, verb| command.mut_subcommand(verb, |verb| set(verb, id, values)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    /// The example of the documentation, which shows every key.
    fn example() -> String {
        let page = include_str!("../../docs/configuration.md");
        let block = page.split("```toml\n").nth(1).unwrap().split("\n```").next().unwrap();
        block.to_owned()
    }

    #[test]
    fn the_documented_example_holds_every_key_and_each_is_an_option() {
        let config = read(&example(), Path::new(FILE)).unwrap();
        let debug = format!("{config:?}");
        assert!(!debug.contains("None"), "a key is missing: {debug}");
        let command = super::super::Cli::command();
        let solve = command.find_subcommand("solve").unwrap();
        for (id, _) in config.defaults(Path::new("")) {
            let has = |command: &Command| command.get_arguments().any(|argument| argument.get_id() == id);
            assert!(has(solve) || has(&command) || has(command.find_subcommand("prepare").unwrap()), "{id}");
        }
    }

    #[test]
    fn every_verb_can_still_be_asked_beside_the_documented_example() {
        let defaults = read(&example(), Path::new(FILE)).unwrap().defaults(Path::new(""));
        let command = super::super::Cli::command();
        let command = defaults.into_iter().fold(command, |command, (id, values)| set(command, id, &values));
        for line in
            ["replay", "replay --tests", "show", "log", "check", "store verify", "model list", "demo", "prepare x"]
        {
            let words = std::iter::once("runproof").chain(line.split(' '));
            command.clone().try_get_matches_from(words).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        assert!(command.try_get_matches_from(["runproof", "model", "show"]).is_err(), "a model to show must be named");
    }

    #[test]
    fn what_is_wrong_is_shown_and_a_secret_is_not() {
        let message = |text: &str| {
            let failure = read(text, Path::new(FILE)).unwrap_err();
            format!("{} / {}", failure.message, failure.hint.unwrap_or_default())
        };
        let unknown = message("model = \"scripted:x\"\nmodell = \"y\"\n");
        assert!(
            unknown.contains("runproof.toml:2: unknown key `modell`: modell = \"y\" / did you mean `model`?"),
            "{unknown}"
        );
        assert!(message("red-runs = 1\n").contains("did you mean `red_runs`?"));
        assert!(!message("colour_of_the_sky = 1\n").contains("did you mean"));
        assert!(message("arm = \"direct-9\"\n").contains("the arms are patch, direct-1"));
        assert!(message("attempts = 0\n").contains("0 is not from 1 to 100"));
        assert!(message("tests = \"all\"\n").contains("runproof.toml:1"));
        for secret in ["openai_api_key = \"sk-123\"\n", "base_url = \"http://me:sk-123@host\"\n"] {
            let shown = message(secret);
            assert!(!shown.contains("sk-123") && shown.contains("OPENAI_API_KEY"), "{shown}");
        }
    }

    #[test]
    fn a_file_that_was_not_named_cannot_take_the_sandbox_away() {
        let config = read("sandbox = \"none\"\n", Path::new(FILE)).unwrap();
        assert!(check_trust(&config, Path::new(FILE)).unwrap_err().message.contains("sandbox"));
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = read("repos = [\"clones\", \"a/b=x\", \"/abs\"]\nstore = \"s\"\n", Path::new(FILE)).unwrap();
        let defaults = config.defaults(Path::new("dir"));
        assert_eq!(defaults[0], ("store", vec!["dir/s".to_owned()]));
        assert_eq!(defaults[1].1, ["dir/clones", "a/b=dir/x", "/abs"]);
    }
}
