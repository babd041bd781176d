//! What an instance is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::canon::Blake3;

/// Says where the code under repair comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repository {
    /// A name of the form `owner/name`, looked up in the folders of clones that the user gives.
    Named(String),
    /// A git repository on this machine.
    Path(PathBuf),
    /// A git bundle on this machine.
    Bundle(PathBuf),
    /// Plain files without history, in the task folder.
    Folder(PathBuf),
}

/// Tests that judge the result and that no prompt may show (unless the run says `oracle`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Hidden {
    /// There are none.
    #[default]
    None,
    /// A unified diff that adds or changes test files.
    TestPatch(String),
    /// Files that are laid over the worktree, keyed by path relative to its root.
    Overlay(BTreeMap<String, Vec<u8>>),
}

/// One task: repository, base commit, issue text, how to test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Name, unique in its data set; letters, digits and `._+-`.
    pub id: String,
    /// Where the code comes from.
    pub repository: Repository,
    /// Commit to start from; without it, the repository's `HEAD`, or the folder as it is.
    pub base_commit: Option<String>,
    /// The issue text.
    pub problem_statement: String,
    /// Comments that were made before the fix; may be empty.
    pub hints: String,
    /// The known fix as a unified diff. No prompt ever shows it.
    pub patch: Option<String>,
    /// The tests that judge.
    pub hidden: Hidden,
    /// Names of tests that the fix must turn green.
    pub fail_to_pass: Vec<String>,
    /// Names of tests that must stay green.
    pub pass_to_pass: Vec<String>,
    /// Shell command that runs the tests, in the worktree.
    pub test_command: Option<String>,
    /// Shell command that runs the hidden tests, where it differs from [`Self::test_command`].
    pub hidden_test_command: Option<String>,
    /// Environment of the test command; `{worktree}` in a value stands for the worktree's path.
    pub test_env: BTreeMap<String, String>,
    /// Name of the parser of the test log.
    pub log_parser: Option<String>,
    /// Name of the environment; instances with the same name share one.
    pub env: Option<String>,
    /// Version of Python in the environment, such as `3.9`.
    pub env_python: Option<String>,
    /// Pinned requirements of the environment.
    pub env_packages: Vec<String>,
    /// Folders beside the tree that the tests need (installed packages), by path, each with its content's digest.
    pub included: BTreeMap<String, Blake3>,
    /// Name of the clone's folder, where it differs from the repository's name.
    pub mirror: Option<String>,
    /// The project's version, which picks the right test runner in older data sets; may be empty.
    pub version: String,
    /// Limit of one test run in seconds.
    pub timeout_seconds: Option<u32>,
    /// Says whether the tests need a loopback network interface.
    pub network_loopback: bool,
    /// Shell command of the user's own that fills the environment's folder, run by `prepare` in the base tree.
    pub env_setup: Option<String>,
    /// Container image that the tests run in, as it is written.
    pub image: Option<String>,
    /// Content of that image, `sha256:` and 64 digits, from when it is looked up or where the row gives it.
    pub image_id: Option<String>,
    /// Shell script of newer data sets that applies the hidden tests and runs them.
    pub eval_script: Option<String>,
    /// How newer data sets judge: `pass_and_fail` or `fail_only`.
    pub eval_type: Option<String>,
}

impl Instance {
    /// Returns a task of which nothing else is known: no commit, no fix, no tests.
    pub fn new(id: String, repository: Repository, problem_statement: String) -> Self {
        Self {
            id,
            repository,
            base_commit: None,
            problem_statement,
            hints: String::new(),
            patch: None,
            hidden: Hidden::None,
            fail_to_pass: Vec::new(),
            pass_to_pass: Vec::new(),
            test_command: None,
            hidden_test_command: None,
            test_env: BTreeMap::new(),
            log_parser: None,
            env: None,
            env_python: None,
            env_packages: Vec::new(),
            included: BTreeMap::new(),
            mirror: None,
            version: String::new(),
            timeout_seconds: None,
            network_loopback: false,
            env_setup: None,
            image: None,
            image_id: None,
            eval_script: None,
            eval_type: None,
        }
    }

    /// Returns the files that the hidden tests create or change, sorted: no answer may touch them.
    pub fn hidden_paths(&self) -> Vec<String> {
        let mut paths: Vec<String> = match &self.hidden {
            Hidden::None => Vec::new(),
            Hidden::TestPatch(diff) => diff
                .lines()
                .filter_map(|line| line.strip_prefix("+++ b/").or_else(|| line.strip_prefix("--- a/")))
                .map(|path| path.split('\t').next().unwrap_or(path).to_owned())
                .collect(),
            Hidden::Overlay(files) => files.keys().cloned().collect(),
        };
        paths.sort();
        paths.dedup();
        paths
    }

    /// Names what the row leaves out for running its tests somewhere that has the project's programs: the commands of
    /// published rows, which follow from repository, version and test patch, or stand in the row's script.
    #[must_use]
    pub fn with_commands(mut self) -> Self {
        if self.test_command.is_none()
            && let Some(found) = super::commands::derive(&self)
        {
            // The command is what tells a parser otherwise; of this one nobody could.
            self.log_parser = self.log_parser.or_else(|| found.log_parser.map(str::to_owned));
            self.hidden_test_command = self.hidden_test_command.or(Some(found.hidden));
            self.test_command = Some(found.visible);
        }
        self
    }

    /// Says that the tests run in the image `name` with the content `id`, and with nothing else of this machine.
    #[must_use]
    pub fn in_image(mut self, name: String, id: Option<String>) -> Self {
        self.image = Some(name);
        self.image_id = id;
        self.included.clear();
        self.with_commands()
    }

    /// Says whether [`Self::in_image`] can have made this of the instance whose recorded bytes have that digest.
    pub fn is_from(&self, digest: &Blake3) -> bool {
        let Some(name) = &self.image else { return false };
        let mut candidates = vec![self.clone()];
        // Each of these may have been there before, or not.
        let added: [fn(&mut Self); 5] = [
            |instance| instance.image = None,
            |instance| instance.image_id = None,
            |instance| instance.test_command = None,
            |instance| instance.hidden_test_command = None,
            |instance| instance.log_parser = None,
        ];
        for leave_out in added {
            let mut fewer = candidates.clone();
            fewer.iter_mut().for_each(leave_out);
            candidates.extend(fewer);
        }
        candidates.into_iter().any(|before| {
            Blake3::of(&before.to_bytes()) == *digest && before.in_image(name.clone(), self.image_id.clone()) == *self
        })
    }

    /// Returns the command that grades the result: the hidden one, or the visible one.
    pub fn grading_command(&self) -> Option<&str> {
        self.hidden_test_command.as_deref().or(self.test_command.as_deref())
    }
}
