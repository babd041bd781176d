//! A hermetic place to run the program in: empty environment, own home and temp folder, paths shown as `$DIR`.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A scratch folder with everything that a run of the program may touch.
pub(crate) struct TestEnv {
    folder: TempDir,
}

/// What a run of the program gave back.
#[must_use = "either snapshot the output or assert the exit code"]
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl TestEnv {
    pub(crate) fn new() -> Self {
        let env = Self { folder: tempfile::tempdir().expect("a temp folder can be made") };
        for name in ["home", "tmp", "work"] {
            std::fs::create_dir(env.folder.path().join(name)).expect("the folder is empty");
        }
        env
    }

    /// The folder that the program is started in.
    pub(crate) fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// A command of the program in this place; add to it before running it.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_runproof"));
        command.args(args).current_dir(self.work()).env_clear().stdin(Stdio::null());
        command.env("HOME", self.folder.path().join("home")).env("TMPDIR", self.folder.path().join("tmp"));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Output {
        self.finish(&mut self.command(args))
    }

    /// Runs a prepared command and shows this place's paths as `$DIR`.
    pub(crate) fn finish(&self, command: &mut Command) -> Output {
        let output = command.output().expect("the program starts");
        let shown =
            |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&*self.folder.path().to_string_lossy(), "$DIR");
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: shown(&output.stdout),
            stderr: shown(&output.stderr),
        }
    }
}

impl Output {
    /// Returns the standard output of a run that must have ended well.
    pub(crate) fn sound(self) -> String {
        assert_eq!(self.code, 0, "{}\n{}", self.stdout, self.stderr);
        self.stdout
    }
}
