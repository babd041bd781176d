//! Paths that no answer may touch: whoever edits the judge has not fixed the bug.

/// File names that steer a test runner, or the interpreter before the runner starts.
const RUNNER: &[&str] = &[
    "conftest.py",
    "sitecustomize.py",
    "usercustomize.py",
    "pytest.ini",
    ".pytest.ini",
    "tox.ini",
    "noxfile.py",
    "runtests.py",
    "entry_points.txt",
    ".coveragerc",
    "nextest.toml",
];

/// Starts of the names of files that configure JavaScript's runners.
const RUNNER_PREFIXES: &[&str] =
    &["jest.config.", "jest.setup.", "vitest.config.", "vitest.workspace.", "babel.config."];

/// File names that steer a build, which the tests come out of; some of them configure the test runner too.
const BUILD: &[&str] = &[
    "setup.py",
    "setup.cfg",
    "pyproject.toml",
    "Makefile",
    "GNUmakefile",
    "makefile",
    "build.rs",
    "Cargo.toml",
    "Cargo.lock",
    "go.mod",
    "go.sum",
    "package.json",
    "package-lock.json",
    ".travis.yml",
    ".gitlab-ci.yml",
    "azure-pipelines.yml",
    "Jenkinsfile",
];

/// Says whether a file of this name steers the test runner.
pub(super) fn steers_runner(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    RUNNER.contains(&name)
        || name.ends_with(".pth")
        || RUNNER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || path.split('/').any(|part| part == ".cargo" || part.ends_with(".dist-info") || part.ends_with(".egg-info"))
}

/// Says whether `path` is a test, steers tests or a build, or is one of the `hidden` paths.
pub fn is_protected(hidden: &[String], path: &str) -> bool {
    let mut parts: Vec<&str> = path.split('/').collect();
    let name = parts.pop().unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    hidden.iter().any(|known| known == path)
        || steers_runner(path)
        || BUILD.contains(&name)
        || parts.iter().any(|part| matches!(*part, "tests" | "__tests__" | ".github" | ".circleci"))
        || stem == "tests"
        || stem.starts_with("test_")
        || stem.ends_with("_test")
        || name.contains(".test.")
        || name.contains(".spec.")
}

#[cfg(test)]
mod tests {
    #[test]
    fn tests_and_what_steers_them_are_protected() {
        let protected = |path: &str| super::is_protected(&["lib/oracle.py".into()], path);
        for path in ["tests/a.py", "pkg/tests/a.py", "test_a.py", "a_test.go", "conftest.py", "x/conftest.py"] {
            assert!(protected(path), "{path}");
        }
        for path in ["a.test.ts", "a.spec.js", "lib/oracle.py", ".github/workflows/ci.yml", "tests.py", "x.pth"] {
            assert!(protected(path), "{path}");
        }
        for path in ["setup.py", "a/Cargo.toml", "web/package.json", "a/jest.config.js", ".cargo/config.toml"] {
            assert!(protected(path), "{path}");
        }
        for path in ["src/a.py", "django/test/client.py", "latest.py", "attest.py", "contest/x.py", "testing.py"] {
            assert!(!protected(path), "{path}");
        }
    }
}
