//! Environments that a command of the user's own fills, in a copy of the base tree.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::super::GateError;
use super::build::{mark, relocate_all, remove};
use super::{Environments, Step, Tools};
use crate::canon::{Blake3, json};

/// A shell command that fills the folder `$ENVIRONMENT`, whose `bin` then comes first on the search path of tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setup {
    command: String,
    name: String,
}

impl Setup {
    /// Says what is set up: `repository` is the name of the code, `base` the commit that the command sees.
    pub fn new(command: &str, repository: &str, base: &str) -> Self {
        let bytes = json::to_bytes(&(command, repository, base)).expect("strings");
        let name = format!("setup-{}", &Blake3::of(&bytes).to_hex()[..12]);
        Self { command: command.to_owned(), name }
    }

    /// Returns the name of the environment's folder: `setup-` and twelve digits of the digest of all three.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the command.
    pub fn command(&self) -> &str {
        &self.command
    }
}

impl Environments {
    /// Returns the environment of `setup`, made now if it is not there: `lay_out` makes the tree
    /// in the folder it is given, which does not exist yet, and says where in it.
    ///
    /// The command has this user's rights and the network. It must fill `$ENVIRONMENT/bin`; since the folder lies
    /// elsewhere while it is used, what it writes there must not name its own place, first lines of scripts excepted.
    ///
    /// # Errors
    /// A tree that cannot be laid out, a command that fails, with the end of what it said, or leaves no `bin`.
    pub fn set_up(
        &self,
        setup: &Setup,
        tools: &Tools,
        lay_out: &mut dyn FnMut(&Path) -> Result<PathBuf, String>,
        progress: &mut dyn FnMut(Step),
    ) -> Result<PathBuf, GateError> {
        let failed = |said: String| GateError::Prepare { what: format!("run `{}`", setup.command), said };
        self.build(setup.name(), progress, |new, lock, progress| {
            let at = |source| GateError::Io { path: new.to_owned(), source };
            let mut tree = new.as_os_str().to_owned();
            tree.push(".tree");
            let tree = PathBuf::from(tree);
            remove(&tree).map_err(at)?;
            progress(Step::Creating);
            let done = lay_out(&tree).map_err(failed).and_then(|root| {
                fs::create_dir_all(new).map_err(at)?;
                progress(Step::Running);
                let mut command = Command::new("/bin/sh");
                command.args(["-c", &setup.command]).current_dir(&root);
                let input = lock.try_clone().map_err(at)?;
                tools.finish(&mut command, &[("ENVIRONMENT", new.as_os_str())], input.into()).map_err(failed)
            });
            remove(&tree).map_err(at)?;
            done?;
            if !new.join("bin").is_dir() {
                return Err(failed("it ended well and left no folder $ENVIRONMENT/bin".to_owned()));
            }
            let made_of = serde_json::json!({ "command": setup.command });
            relocate_all(new).and_then(|()| mark(new, &made_of)).map_err(at)
        })
    }
}
