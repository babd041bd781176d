//! Building an environment beside its place and renaming it there when it is whole.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::super::GateError;
use super::{Recipe, Tools};

/// The file that a finished environment holds: what it was made of.
const MARK: &str = "runproof-environment.json";

/// What building is doing now, for a progress display.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Waiting for another process that builds the same environment.
    Waiting,
    /// Found the interpreter of this version.
    Interpreter(String),
    /// Making the empty environment.
    Creating,
    /// Installing this many packages.
    Installing(usize),
    /// Running the command that fills it.
    Running,
}

/// A folder of environments.
#[derive(Debug, Clone)]
pub struct Environments {
    folder: PathBuf,
}

impl Environments {
    /// Names the folder; it is made when the first environment is built.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Returns the folder of a finished environment, if there is one.
    pub fn find(&self, name: &str) -> Option<PathBuf> {
        let is_plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
        let path = self.folder.join(name);
        let programs = path.join(if name.starts_with("setup-") { "bin" } else { "bin/python" });
        (is_plain && path.join(MARK).is_file() && programs.exists()).then_some(path)
    }

    /// Returns the environment for `recipe`, built now if it is not there. The only step that needs a network.
    ///
    /// # Errors
    /// No interpreter of that version, or an installer that fails, with the end of what it said.
    pub fn prepare(
        &self,
        recipe: &Recipe,
        tools: &Tools,
        progress: &mut dyn FnMut(Step),
    ) -> Result<PathBuf, GateError> {
        let name = recipe.name();
        if let Some(found) = self.find(&name) {
            return Ok(found);
        }
        let (python, version) = tools.interpreter(recipe.python())?;
        progress(Step::Interpreter(version.clone()));
        self.build(&name, progress, |new, lock, progress| {
            fill(new, &python, recipe, tools, lock, progress)?;
            finish(new, recipe, &version).map_err(|source| GateError::Io { path: new.to_owned(), source })
        })
    }

    /// Has `fill` make a folder beside its place, once, whoever else wants it, and renames it when it is whole.
    pub(super) fn build(
        &self,
        name: &str,
        progress: &mut dyn FnMut(Step),
        fill: impl FnOnce(&Path, &fs::File, &mut dyn FnMut(Step)) -> Result<(), GateError>,
    ) -> Result<PathBuf, GateError> {
        if let Some(found) = self.find(name) {
            return Ok(found);
        }
        let at = |path: &Path, source| GateError::Io { path: path.to_owned(), source };
        fs::create_dir_all(&self.folder).map_err(|source| at(&self.folder, source))?;
        let folder = self.folder.canonicalize().map_err(|source| at(&self.folder, source))?;
        let place = folder.join(name);
        let new = folder.join(format!(".new-{name}"));
        // One builder at a time. Installers get the lock as their standard input, so that it outlives a builder that is
        // killed by as long as they go on writing.
        let lock = folder.join(format!(".lock-{name}"));
        let held = fs::File::create(&lock).and_then(|file| {
            if file.try_lock().is_err() {
                progress(Step::Waiting);
                file.lock()?;
            }
            Ok(file)
        });
        let held = held.map_err(|source| at(&lock, source))?;
        if let Some(found) = self.find(name) {
            return Ok(found);
        }
        remove(&new).map_err(|source| at(&new, source))?;
        if let Err(error) = fill(&new, &held, progress) {
            remove(&new).ok();
            return Err(error);
        }
        // A folder without the mark is what an older, interrupted or foreign build left.
        remove(&place).map_err(|source| at(&place, source))?;
        fs::rename(&new, &place).map_err(|source| at(&place, source))?;
        Ok(place)
    }
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn fill(
    new: &Path,
    python: &Path,
    recipe: &Recipe,
    tools: &Tools,
    lock: &fs::File,
    progress: &mut dyn FnMut(Step),
) -> Result<(), GateError> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |said: String| GateError::Prepare { what, said }
    };
    let text = |path: &Path| path.to_string_lossy().into_owned();
    progress(Step::Creating);
    // Not `with_extension`: a name holds a dot, and every build for Python 3 would share one list.
    let mut requirements = new.as_os_str().to_owned();
    requirements.push(".txt");
    let requirements = PathBuf::from(requirements);
    let lines: String = recipe.packages().iter().map(|package| format!("{package}\n")).collect();
    fs::write(&requirements, lines).map_err(|source| GateError::Io { path: requirements.clone(), source })?;
    let (new_text, python_text, list) = (text(new), text(python), text(&requirements));
    let own = new.join("bin/python");
    let run = |program: &Path, arguments: &[&str]| {
        let input = lock.try_clone().map_err(|error| error.to_string())?;
        tools.run(program, arguments, input.into())
    };
    let done = match tools.uv() {
        Some(uv) => run(&uv, &["venv", "--quiet", "--no-project", "--python", &python_text, &new_text])
            .map_err(failed("make a virtual environment"))
            .and_then(|_| {
                progress(Step::Installing(recipe.packages().len()));
                let arguments =
                    ["pip", "install", "--quiet", "--compile-bytecode", "--python", &text(&own), "-r", &list];
                run(&uv, &arguments).map_err(failed("install the packages"))
            }),
        None => {
            run(python, &["-I", "-m", "venv", &new_text]).map_err(failed("make a virtual environment")).and_then(|_| {
                progress(Step::Installing(recipe.packages().len()));
                let arguments = ["-I", "-m", "pip", "install", "--quiet", "--no-warn-script-location", "-r", &list];
                run(&own, &arguments).map_err(failed("install the packages"))
            })
        }
    };
    fs::remove_file(&requirements).ok();
    done.map(drop)
}

/// Takes the folder's present path out of its programs, and marks it as whole.
fn finish(new: &Path, recipe: &Recipe, version: &str) -> io::Result<()> {
    relocate_all(new)?;
    let configured = new.join("pyvenv.cfg");
    let kept: String = fs::read_to_string(&configured)?
        .lines()
        .filter(|line| !line.starts_with("command") && !line.starts_with("executable"))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(&configured, kept)?;
    let made_of = serde_json::json!({ "packages": recipe.packages(), "python": version });
    mark(new, &made_of)
}

/// Says that an environment is whole, and what it was made of.
pub(super) fn mark(new: &Path, made_of: &serde_json::Value) -> io::Result<()> {
    fs::write(new.join(MARK), format!("{made_of}\n"))
}

/// Takes the folder's present path out of its programs; those that only say where it lies are removed.
pub(super) fn relocate_all(new: &Path) -> io::Result<()> {
    for entry in fs::read_dir(new.join("bin"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.to_lowercase().starts_with("activate") {
            fs::remove_file(&path)?;
        } else if path.symlink_metadata()?.is_file() {
            relocate(&path, new)?;
        }
    }
    Ok(())
}

/// Lets a script find its interpreter on the search path, where the environment's folder comes first.
fn relocate(script: &Path, environment: &Path) -> io::Result<()> {
    let mut head = [0; 2];
    if fs::File::open(script)?.read_exact(&mut head).is_err() || head != *b"#!" {
        return Ok(());
    }
    let Ok(text) = fs::read_to_string(script) else { return Ok(()) };
    let Some((first, rest)) = text.split_once('\n') else { return Ok(()) };
    if let Some((_, program)) = first.split_once(&*environment.to_string_lossy()) {
        let permissions = fs::metadata(script)?.permissions();
        let program = program.split_whitespace().next().unwrap_or_default();
        let program = program.rsplit('/').next().unwrap_or_default();
        fs::write(script, format!("#!/usr/bin/env {program}\n{rest}"))?;
        fs::set_permissions(script, permissions)?;
    }
    Ok(())
}
