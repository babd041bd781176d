//! Answers that must be refused, and the known fix, on real instances. See README.md.
#![expect(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench is its own command line")]

mod mutant;
mod reply;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use mutant::{Files, Mutant};
use runproof::canon::{Blake3, FileMode, Tree};
use runproof::edit::{self, Change};
use runproof::gate::environment::{Environments, Recipe, generated_files};
use runproof::gate::{Expected, Reader, Sandbox, TestReport, TestRequest, green, normalise, red, report, run};
use runproof::instance::{Hidden, Instance, Repository, load_all};
use runproof::workspace::{Git, Origin, Repos, Worktree};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What the command line says.
struct Options {
    instances: PathBuf,
    repos: Vec<String>,
    env: PathBuf,
    ids: Vec<String>,
}

/// What every instance is judged with.
struct Bench {
    git: Git,
    repos: Repos,
    environments: Environments,
    sandbox: Sandbox,
}

/// An instance laid out, red, and ready for answers.
struct Judge<'a> {
    bench: &'a Bench,
    instance: &'a Instance,
    repository: String,
    environment: (String, PathBuf),
    reader: Reader,
    worktree: Worktree,
    base: Tree,
    before: Vec<TestReport>,
    expected: Expected,
}

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
    let program = std::env::current_exe()?;
    let folder = program.parent().and_then(Path::parent).ok_or("no build folder")?;
    let scratch = tempfile::tempdir()?;
    let bench = Bench {
        git: Git::find(&path)?,
        repos: Repos::from_arguments(&options.repos),
        environments: Environments::new(&options.env),
        sandbox: Sandbox::open(None, &folder.join("runproof"), scratch.path(), &path)?,
    };
    println!("sandbox {}", bench.sandbox.level());
    let (mut sound, mut wrong, mut skipped) = (0, 0, 0);
    for instance in load_all(&options.instances)? {
        if !options.ids.is_empty() && !options.ids.contains(&instance.id) {
            continue;
        }
        let at = scratch.path().join("worktree");
        match Judge::new(&bench, &instance, &at) {
            Err(reason) => {
                println!("{}: SKIPPED: {reason}", instance.id);
                skipped += 1;
            }
            Ok(mut judge) => {
                if judge.all()? {
                    sound += 1;
                } else {
                    wrong += 1;
                }
            }
        }
        std::fs::remove_dir_all(&at).ok();
    }
    println!("{sound} instances sound, {wrong} wrong, {skipped} SKIPPED");
    Ok(wrong == 0 && sound > 0)
}

impl<'a> Judge<'a> {
    fn new(bench: &'a Bench, instance: &'a Instance, at: &Path) -> Outcome<Self> {
        let (Repository::Named(repository), Some(python)) = (&instance.repository, &instance.env_python) else {
            return Err("it names no repository or no environment".into());
        };
        let origin = bench.repos.find(&bench.git, repository, instance.mirror.as_deref())?;
        let name = Recipe::new(python, &instance.env_packages)?.name();
        let folder = bench.environments.find(&name).ok_or(format!("environment {name} is not prepared"))?;
        let command = instance.test_command.as_deref().unwrap_or_default();
        let has_lists = !instance.fail_to_pass.is_empty();
        let reader = Reader::choose(instance.log_parser.as_deref(), command, repository, has_lists)?;
        let mut worktree = Worktree::create(&bench.git, &Origin::Clone(origin), instance.base_commit.as_deref(), at)?;
        lay_tests(&mut worktree, instance)?;
        let base = worktree.tree()?;
        let expected = Expected::Lists {
            fail_to_pass: instance.fail_to_pass.clone(),
            pass_to_pass: instance.pass_to_pass.clone(),
        };
        let (repository, environment) = (repository.clone(), (name, folder));
        let mut judge =
            Self { bench, instance, repository, environment, reader, worktree, base, before: Vec::new(), expected };
        for stage in ["red", "red 2"] {
            let report = judge.test(&BTreeMap::new(), stage)?;
            judge.before.push(report);
        }
        let verdict = red(&judge.expected, &judge.before);
        match verdict.valid {
            true => Ok(judge),
            false => Err(format!("the red gate is not valid: {:?}", verdict.codes).into()),
        }
    }

    /// Tries the known fix and every mutant; says whether each came out as it must.
    fn all(&mut self) -> Outcome<bool> {
        let files = self.files()?;
        let mut sound = true;
        for mutant in Mutant::all(self.instance, self.reader.parser, &files) {
            let (said, right) = self.one(&mutant)?;
            sound &= right;
            println!("{:32} {:22} {}{said}", self.instance.id, mutant.name, if right { "" } else { "WRONG: " });
        }
        let (name, said, right) = self.regression(&files)?;
        println!("{:32} {name:22} {}{said}", self.instance.id, if right { "" } else { "WRONG: " });
        Ok(sound && right)
    }

    /// The files that the known fix changes, before and after it.
    fn files(&mut self) -> Outcome<Files> {
        let patch = self.instance.patch.clone().unwrap_or_default();
        let changed: Vec<String> =
            patch.lines().filter_map(|line| line.strip_prefix("+++ b/")).map(str::to_owned).collect();
        let read = |worktree: &Worktree| -> Outcome<BTreeMap<String, String>> {
            let texts = changed.iter().filter(|path| path.ends_with(".py"));
            texts.map(|path| Ok((path.clone(), String::from_utf8(worktree.read(path)?)?))).collect()
        };
        lay_tests(&mut self.worktree, self.instance)?;
        let before = read(&self.worktree)?;
        self.worktree.apply_patch(patch.as_bytes())?;
        let after = read(&self.worktree)?;
        lay_tests(&mut self.worktree, self.instance)?;
        Ok(Files { before, after })
    }

    /// Sends a mutant the way of a reply; what is refused at once is also laid in behind the back of `edit`.
    fn one(&mut self, mutant: &Mutant) -> Outcome<(String, bool)> {
        let proposed = match self.propose(&mutant.reply) {
            Ok(changes) => Ok(self.judge(&changes)?),
            Err(code) => Err(code),
        };
        let behind = match (&proposed, &mutant.forced) {
            (Err(_), Some(changes)) => Some(self.judge(changes)?),
            _ => None,
        };
        let said = match &proposed {
            Ok(codes) if codes.is_empty() => "passed".to_owned(),
            Ok(codes) => codes.join(" "),
            Err(code) => code.clone(),
        };
        let right = said.split(' ').any(|code| mutant.expected.contains(&code))
            && behind.as_ref().is_none_or(|codes| !codes.is_empty());
        let behind = match behind {
            Some(codes) if codes.is_empty() => " / PASSED".to_owned(),
            Some(codes) => format!(" / {}", codes.join(" ")),
            None if proposed.is_err() => " / -".to_owned(),
            None => String::new(),
        };
        Ok((said + &behind, right))
    }

    /// The known fix that breaks something else: functions of the same files are made to fail until a test notices.
    ///
    /// Best is one that leaves the fix as it is and breaks only what passed before.
    fn regression(&mut self, files: &Files) -> Outcome<(&'static str, String, bool)> {
        let name = "breaks a passing test";
        if self.instance.pass_to_pass.is_empty() {
            return Ok((name, "- (no test passes before)".to_owned(), true));
        }
        let mut best: Option<Vec<String>> = None;
        for text in files.broken() {
            let Ok(changes) = self.propose(&text) else { continue };
            let codes = self.judge(&changes)?;
            if codes == ["G-REGRESSION"] {
                return Ok((name, codes.join(" "), true));
            }
            let is_regression = codes.iter().any(|code| code == "G-REGRESSION");
            if is_regression && best.as_ref().is_none_or(|best| codes.len() < best.len()) {
                best = Some(codes);
            }
        }
        let said = best.map(|codes| codes.join(" "));
        let right = said.is_some();
        Ok((name, said.unwrap_or_else(|| "no function that a passing test needs".to_owned()), right))
    }

    fn propose(&self, reply: &str) -> Result<BTreeMap<String, Change>, String> {
        let hidden = self.instance.hidden_paths();
        let context = edit::Context {
            tree: &self.base,
            shown: &BTreeMap::new(),
            cut_off: false,
            protected: &|path| edit::is_protected(&hidden, path),
            limits: edit::Limits::default(),
        };
        let proposal = edit::propose(reply.as_bytes(), &context, &mut |path| self.worktree.read(path).ok());
        proposal.map(|proposal| proposal.changes).map_err(|refusal| refusal.code.as_str().to_owned())
    }

    fn judge(&mut self, changes: &BTreeMap<String, Change>) -> Outcome<Vec<String>> {
        let report = self.test(changes, "attempt 1")?;
        lay_tests(&mut self.worktree, self.instance)?;
        Ok(green(&self.expected, &self.before, &report).codes)
    }

    fn test(&mut self, changes: &BTreeMap<String, Change>, stage: &str) -> Outcome<TestReport> {
        lay_tests(&mut self.worktree, self.instance)?;
        let changes = changes.iter().map(|(path, change)| match change {
            Change::Write { bytes, mode } => (path.clone(), Some((bytes.clone(), *mode))),
            Change::Remove => (path.clone(), None),
        });
        self.worktree.write(&changes.collect())?;
        let request = TestRequest {
            command: self.instance.test_command.clone().unwrap_or_default(),
            env: self.instance.test_env.clone(),
            environment: Some(self.environment.0.clone()),
            generated: generated_files(&self.repository, &self.instance.version),
            included: self.instance.included.clone(),
            timeout_seconds: self.instance.timeout_seconds.unwrap_or(600),
            log_cap: 4 << 20,
            tree: Blake3::of(b""),
            stage: stage.to_owned(),
        };
        let execution = run(&self.bench.sandbox, &self.worktree.root(), Some(&self.environment.1), &request)?;
        Ok(report(self.reader, &normalise(&execution.to_bytes())?))
    }
}

fn lay_tests(worktree: &mut Worktree, instance: &Instance) -> Outcome<()> {
    worktree.restore()?;
    let Hidden::TestPatch(patch) = &instance.hidden else { return Err("it has no test patch".into()) };
    Ok(worktree.apply_patch(patch.as_bytes())?)
}

/// A change that writes `text`.
fn write(text: String) -> Change {
    Change::Write { bytes: text.into_bytes(), mode: FileMode::Regular }
}

fn options() -> Outcome<Options> {
    let env = PathBuf::from(".runproof/environments");
    let mut options = Options { instances: PathBuf::new(), repos: Vec::new(), env, ids: Vec::new() };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--repos" => options.repos.push(value()?),
            "--env" => options.env = value()?.into(),
            "--id" => options.ids.push(value()?),
            file => options.instances = file.into(),
        }
    }
    Ok(options)
}
