//! The test commands of published rows, which do not name them: made of repository, version and test patch, or taken
//! from the script of a newer row. Pure functions; what they give is part of the recorded instance.

use super::types::{Hidden, Instance, Repository};

/// Endings of files that no runner takes as tests; the harness looks for `csv` without a dot.
const NOT_TESTS: [&str; 11] =
    [".json", ".png", "csv", ".txt", ".md", ".jpg", ".jpeg", ".pkl", ".yml", ".yaml", ".toml"];
const START: &str = ">>>>> Start Test Output";
const END: &str = ">>>>> End Test Output";

/// A test command for what is there at the base, and one for everything that the hidden tests bring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commands {
    pub(super) visible: String,
    pub(super) hidden: String,
    /// The parser of the log, where neither command nor repository tells.
    pub(super) log_parser: Option<&'static str>,
}

/// Returns the commands of an instance that names none, if it is one of a published row.
pub(super) fn derive(instance: &Instance) -> Option<Commands> {
    let (Repository::Named(repository), Hidden::TestPatch(patch)) = (&instance.repository, &instance.hidden) else {
        return None;
    };
    let files = touched(patch);
    match &instance.eval_script {
        Some(script) => of_script(script, &files, repository),
        None => of_table(repository, &instance.version, &files),
    }
}

/// A file that a test patch touches.
struct Touched<'a> {
    path: &'a str,
    is_created: bool,
}

/// Reads the headers of a diff; where a line has several ` b/`, the last one counts, as in the harness.
fn touched(patch: &str) -> Vec<Touched<'_>> {
    let mut files: Vec<Touched<'_>> = Vec::new();
    for line in patch.lines() {
        if let Some((_, path)) = line.find("diff --git a/").and_then(|at| line[at + 13..].rsplit_once(" b/")) {
            files.push(Touched { path, is_created: false });
        } else if line.starts_with("new file mode ") {
            files.iter_mut().last().into_iter().for_each(|file| file.is_created = true);
        }
    }
    files.retain(|file| !NOT_TESTS.iter().any(|ending| file.path.ends_with(ending)));
    files
}

/// Returns the runner's command for one of the twelve repositories of SWE-bench Lite.
fn runner(repository: &str, version: &str) -> Option<&'static str> {
    Some(match (repository, version) {
        ("astropy/astropy", "0.1" | "0.2" | "0.3" | "0.4" | "1.1" | "1.2" | "1.3") => {
            "pytest -rA -vv -o console_output_style=classic --tb=no"
        }
        ("django/django", "1.9") => "./tests/runtests.py --verbosity 2",
        ("django/django", _) => "./tests/runtests.py --verbosity 2 --settings=test_sqlite --parallel 1",
        ("mwaskom/seaborn", _) => "pytest --no-header -rA",
        ("sphinx-doc/sphinx", _) => "tox --current-env -epy39 -v --",
        ("sympy/sympy", _) => "PYTHONWARNINGS='ignore::UserWarning,ignore::SyntaxWarning' bin/test -C --verbose",
        (
            "astropy/astropy"
            | "matplotlib/matplotlib"
            | "pallets/flask"
            | "psf/requests"
            | "pydata/xarray"
            | "pylint-dev/pylint"
            | "pytest-dev/pytest"
            | "scikit-learn/scikit-learn",
            _,
        ) => "pytest -rA",
        _ => return None,
    })
}

/// Names a file or folder as the repository's runner does.
fn directive(repository: &str, path: &str) -> String {
    if repository != "django/django" {
        return path.to_owned();
    }
    let path = path.strip_suffix(".py").unwrap_or(path);
    path.strip_prefix("tests/").unwrap_or(path).replace('/', ".")
}

fn of_table(repository: &str, version: &str, files: &[Touched<'_>]) -> Option<Commands> {
    let runner = runner(repository, version)?;
    let command =
        |directives: Vec<String>| std::iter::once(runner.to_owned()).chain(directives).collect::<Vec<_>>().join(" ");
    let hidden = files.iter().map(|file| directive(repository, file.path)).collect();
    // tox runs pytest, and nothing in its name says so.
    let log_parser = runner.starts_with("tox ").then_some("parse_log_pytest_v2");
    Some(Commands { visible: command(visible(repository, files)), hidden: command(hidden), log_parser })
}

/// Names what is there at the base: the files that are changed or, where all are new, the folders that they come into.
fn visible(repository: &str, files: &[Touched<'_>]) -> Vec<String> {
    let there: Vec<&str> = files.iter().filter(|file| !file.is_created).map(|file| file.path).collect();
    let mut names: Vec<String> = match there.is_empty() {
        false => there.into_iter().map(|path| directive(repository, path)).collect(),
        true => {
            let folders = files.iter().filter_map(|file| Some(file.path.rsplit_once('/')?.0));
            folders.map(|folder| directive(repository, folder)).collect()
        }
    };
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// Takes the lines between the markers, which a shell's no-op or `echo` holds; the visible command leaves out the words
/// that name files which are not there yet.
fn of_script(script: &str, files: &[Touched<'_>], repository: &str) -> Option<Commands> {
    let lines: Vec<&str> = script.lines().collect();
    let start = lines.iter().position(|line| line.contains(START))?;
    let end = start + lines[start..].iter().position(|line| line.contains(END))?;
    let command = lines.get(start + 1..end)?.join("\n");
    if command.trim().is_empty() {
        return None;
    }
    let new: Vec<String> =
        files.iter().filter(|file| file.is_created).map(|file| directive(repository, file.path)).collect();
    let is_new = |word: &&str| new.iter().any(|name| name == word);
    let named = command.split_whitespace().filter(|word| files.iter().any(|f| directive(repository, f.path) == **word));
    let all_new = named.clone().next().is_some() && named.clone().all(|word| is_new(&word));
    let line = |line: &str| {
        let mut words: Vec<String> = line.split(' ').filter(|word| !is_new(word)).map(str::to_owned).collect();
        if all_new && line.split(' ').any(|word| is_new(&word)) {
            words.extend(visible(repository, files));
        }
        words.join(" ")
    };
    let visible = command.lines().map(line).collect::<Vec<_>>().join("\n");
    Some(Commands { visible, hidden: command, log_parser: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(files: &[(&str, bool)]) -> String {
        let head = |(path, created): &(&str, bool)| {
            let mode = if *created { "new file mode 100644\n" } else { "" };
            format!("diff --git a/{path} b/{path}\n{mode}--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-a\n+b\n")
        };
        files.iter().map(head).collect()
    }

    fn commands(repository: &str, version: &str, files: &[(&str, bool)]) -> [String; 2] {
        let patch = patch(files);
        let found = of_table(repository, version, &touched(&patch)).unwrap();
        [found.visible, found.hidden]
    }

    #[test]
    fn files_that_are_no_tests_are_left_out_and_new_ones_are_hidden() {
        let [visible, hidden] = commands(
            "pallets/flask",
            "2.3",
            &[("tests/test_a.py", false), ("tests/static/config.toml", true), ("tests/test_new.py", true)],
        );
        assert_eq!(visible, "pytest -rA tests/test_a.py");
        assert_eq!(hidden, "pytest -rA tests/test_a.py tests/test_new.py");
    }

    #[test]
    fn django_names_modules_and_where_all_files_are_new_their_folder() {
        let [visible, hidden] = commands("django/django", "3.0", &[("tests/backends/sqlite/test_creation.py", true)]);
        let runner = "./tests/runtests.py --verbosity 2 --settings=test_sqlite --parallel 1";
        assert_eq!(visible, format!("{runner} backends.sqlite"));
        assert_eq!(hidden, format!("{runner} backends.sqlite.test_creation"));
        assert_eq!(
            commands("django/django", "1.9", &[("tests/a.py", false)])[0],
            "./tests/runtests.py --verbosity 2 a"
        );
    }

    #[test]
    fn old_versions_of_astropy_have_a_command_of_their_own_and_other_repositories_none() {
        assert!(commands("astropy/astropy", "1.3", &[("a/tests/t.py", false)])[0].contains("--tb=no a/tests/t.py"));
        assert_eq!(commands("astropy/astropy", "5.1", &[("a/tests/t.py", false)])[0], "pytest -rA a/tests/t.py");
        assert!(of_table("owner/name", "1", &[]).is_none());
    }

    #[test]
    fn a_script_gives_the_lines_between_its_markers() {
        let patch = patch(&[("tests/a.py", false), ("tests/b.py", true)]);
        let script = |line: &str| format!("set -x\ngit apply\n: '{START}'\n{line}\n: '{END}'\ngit checkout x\n");
        let found = of_script(&script("pytest -rA tests/a.py tests/b.py"), &touched(&patch), "o/n").unwrap();
        assert_eq!(found.visible, "pytest -rA tests/a.py");
        assert_eq!(found.hidden, "pytest -rA tests/a.py tests/b.py");
        let found = of_script(&script("cd sub\nnpm test"), &touched(&patch), "o/n").unwrap();
        assert_eq!((found.visible.as_str(), found.hidden.as_str()), ("cd sub\nnpm test", "cd sub\nnpm test"));
        let only_new =
            of_script(&script("pytest tests/b.py"), &touched(&super::tests::patch(&[("tests/b.py", true)])), "o/n");
        assert_eq!(only_new.unwrap().visible, "pytest tests");
        for broken in ["", "pytest\n", &script(""), &format!(": '{START}'\npytest\n")] {
            assert!(of_script(broken, &touched(&patch), "o/n").is_none(), "{broken:?}");
        }
    }
}
