//! Runs both gates on real instances with their known fix: red before it, green after it, the same canonical log twice.
//!
//! `cargo run --example gates -- INSTANCES.jsonl --repos DIR --env DIR [--id ID]… [--level LEVEL] [--twice]`, after
//! `runproof prepare INSTANCES.jsonl --env DIR`. `GATES_LOGS=DIR` keeps the logs, and `--from DIR` judges those kept there
//! once more without running anything. Instances whose clone or environment is missing are named as skipped.
//! Exit 1 if a gate does not say what it should, or if nothing was run.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "an example is its own command line")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::slice::from_ref;
use std::time::Instant;

use runproof::canon::Blake3;
use runproof::gate::environment::{Environments, Recipe, generated_files};
use runproof::gate::{Expected, Reader, Sandbox, TestReport, TestRequest, green, normalise, red, report, run};
use runproof::instance::{Hidden, Instance, Repository, load_all};
use runproof::workspace::{Git, Origin, Repos, Worktree};

struct Options {
    instances: PathBuf,
    repos: Vec<String>,
    env: PathBuf,
    ids: Vec<String>,
    level: Option<String>,
    twice: bool,
    from: Option<PathBuf>,
}

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    match check_all() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn check_all() -> Outcome<bool> {
    let options = options()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let git = Git::find(&path)?;
    let repos = Repos::from_arguments(&options.repos);
    let environments = Environments::new(&options.env);
    let program = std::env::current_exe()?;
    let folder = program.parent().and_then(Path::parent).ok_or("no build folder")?;
    let scratch = tempfile::tempdir()?;
    let level = options.level.as_deref().map(str::parse).transpose()?;
    let sandbox = Sandbox::open(level, &folder.join("runproof"), scratch.path(), &path)?;
    println!("git {}, sandbox {}", git.version(), sandbox.level());
    let (mut sound, mut wrong, mut skipped) = (0, 0, 0);
    for instance in load_all(&options.instances)? {
        if !options.ids.is_empty() && !options.ids.contains(&instance.id) {
            continue;
        }
        if let Some(folder) = &options.from {
            match judge_kept(folder, &instance) {
                Ok(true) => sound += 1,
                Ok(false) => wrong += 1,
                Err(error) => {
                    println!("{}: SKIPPED: {error}", instance.id);
                    skipped += 1;
                }
            }
            continue;
        }
        let at = scratch.path().join("worktree");
        match check(&git, &repos, &environments, &sandbox, &instance, &at, options.twice) {
            Ok(Some(true)) => sound += 1,
            Ok(Some(false)) => wrong += 1,
            Ok(None) => skipped += 1,
            Err(error) => {
                println!("{}: error: {error}", instance.id);
                wrong += 1;
            }
        }
        std::fs::remove_dir_all(&at).ok();
    }
    println!("{sound} sound, {wrong} wrong, {skipped} SKIPPED");
    Ok(wrong == 0 && sound > 0)
}

/// Judges the canonical logs of an earlier run.
fn judge_kept(folder: &Path, instance: &Instance) -> Outcome<bool> {
    let command = instance.test_command.as_deref().unwrap_or_default();
    let repo = match &instance.repository {
        Repository::Named(repo) => repo.as_str(),
        _ => "",
    };
    let reader = Reader::choose(instance.log_parser.as_deref(), command, repo, !instance.fail_to_pass.is_empty())?;
    let kept = |stage: &str| -> Outcome<TestReport> {
        let log = std::fs::read(folder.join(format!("{}.{stage}.canonical", instance.id)))?;
        Ok(report(reader, &log))
    };
    let (before, after) = (kept("red")?, kept("green")?);
    let expected =
        Expected::Lists { fail_to_pass: instance.fail_to_pass.clone(), pass_to_pass: instance.pass_to_pass.clone() };
    let (is_red, is_green) = (red(&expected, from_ref(&before)), green(&expected, from_ref(&before), &after));
    let sound = is_red.valid && is_green.passed && is_red.broken.is_empty();
    let folded = after.folded(instance.fail_to_pass.iter().chain(&instance.pass_to_pass));
    println!("{}: sound {sound}, {} names folded", instance.id, folded.len());
    if !sound {
        println!("  {is_red:?}\n  {is_green:?}");
    }
    Ok(sound)
}

fn check(
    git: &Git,
    repos: &Repos,
    environments: &Environments,
    sandbox: &Sandbox,
    instance: &Instance,
    at: &Path,
    twice: bool,
) -> Outcome<Option<bool>> {
    let id = &instance.id;
    let (Repository::Named(repo), Some(python)) = (&instance.repository, &instance.env_python) else {
        println!("{id}: SKIPPED: it names no repository or no environment");
        return Ok(None);
    };
    let origin = match repos.find(git, repo, instance.mirror.as_deref()) {
        Ok(origin) => origin,
        Err(error) => {
            println!("{id}: SKIPPED: {error}");
            return Ok(None);
        }
    };
    let name = Recipe::new(python, &instance.env_packages)?.name();
    let Some(environment) = environments.find(&name) else {
        println!("{id}: SKIPPED: environment {name} is not prepared");
        return Ok(None);
    };
    let (command, Hidden::TestPatch(test_patch)) =
        (instance.test_command.clone().unwrap_or_default(), &instance.hidden)
    else {
        println!("{id}: SKIPPED: it has no test patch");
        return Ok(None);
    };
    let reader = Reader::choose(instance.log_parser.as_deref(), &command, repo, !instance.fail_to_pass.is_empty())?;
    let started = Instant::now();
    let mut worktree = Worktree::create(git, &Origin::Clone(origin), instance.base_commit.as_deref(), at)?;
    let created = started.elapsed().as_millis();
    let request = |tree: Blake3, stage: &str| TestRequest {
        command: command.clone(),
        env: instance.test_env.clone(),
        environment: Some(name.clone()),
        generated: generated_files(repo, &instance.version),
        included: instance.included.clone(),
        timeout_seconds: instance.timeout_seconds.unwrap_or(600),
        log_cap: 64 << 20,
        tree,
        stage: stage.to_owned(),
    };
    let test = |worktree: &Worktree, stage: &str| -> Outcome<(TestReport, Blake3, f64)> {
        let request = request(worktree.tree()?.digest(), stage);
        let started = Instant::now();
        let execution = run(sandbox, &worktree.root(), Some(&environment), &request)?;
        let seconds = started.elapsed().as_secs_f64();
        let canonical = normalise(&execution.to_bytes())?;
        if let Some(folder) = std::env::var_os("GATES_LOGS") {
            let name = |end: &str| Path::new(&folder).join(format!("{id}.{stage}.{end}"));
            std::fs::write(name("canonical"), &canonical)?;
            std::fs::write(name("raw"), &execution.log)?;
        }
        Ok((report(reader, &canonical), Blake3::of(&canonical), seconds))
    };
    worktree.apply_patch(test_patch.as_bytes())?;
    let expected =
        Expected::Lists { fail_to_pass: instance.fail_to_pass.clone(), pass_to_pass: instance.pass_to_pass.clone() };
    let (before, first, red_seconds) = test(&worktree, "red")?;
    let equal = match twice {
        true => {
            let again = test(&worktree, "red-again")?.1;
            if again == first { "yes" } else { "NO" }
        }
        false => "-",
    };
    let pristine = worktree.tree()?.digest();
    worktree.apply_patch(instance.patch.as_deref().unwrap_or_default().as_bytes())?;
    let (after, _, green_seconds) = test(&worktree, "green")?;
    let started = Instant::now();
    worktree.restore()?;
    worktree.apply_patch(test_patch.as_bytes())?;
    let restored = worktree.tree()?.digest() == pristine;
    let restored_in = started.elapsed().as_millis();
    let (is_red, is_green) = (red(&expected, from_ref(&before)), green(&expected, from_ref(&before), &after));
    let sound = is_red.valid && is_green.passed && restored && equal != "NO";
    println!(
        "{id}: red {} (F2P failing {}/{}, P2P {}/{}, {red_seconds:.1} s), green {} (F2P {}/{}, {green_seconds:.1} s), \
         created {created} ms, restored {restored} {restored_in} ms, canonical log equal twice: {equal}",
        is_red.valid,
        is_red.failing.len(),
        instance.fail_to_pass.len(),
        instance.pass_to_pass.len() - is_red.broken.len(),
        instance.pass_to_pass.len(),
        is_green.passed,
        is_green.fixed.len(),
        instance.fail_to_pass.len(),
    );
    if !sound {
        println!("  {is_red:?}\n  {is_green:?}");
    }
    worktree.remove()?;
    Ok(Some(sound))
}

fn options() -> Outcome<Options> {
    let mut options = Options {
        instances: PathBuf::new(),
        repos: Vec::new(),
        env: PathBuf::from(".runproof/environments"),
        ids: Vec::new(),
        level: None,
        twice: false,
        from: None,
    };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--repos" => options.repos.push(value()?),
            "--env" => options.env = value()?.into(),
            "--id" => options.ids.push(value()?),
            "--level" => options.level = Some(value()?),
            "--from" => options.from = Some(value()?.into()),
            "--twice" => options.twice = true,
            file => options.instances = file.into(),
        }
    }
    Ok(options)
}
