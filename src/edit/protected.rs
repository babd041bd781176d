//! Paths that no answer may touch: whoever edits the judge has not fixed the bug.

/// File names that steer a test run or a build.
const STEERING: [&str; 12] = [
    "conftest.py",
    "sitecustomize.py",
    "usercustomize.py",
    "pytest.ini",
    "tox.ini",
    "noxfile.py",
    "setup.cfg",
    "pyproject.toml",
    "runtests.py",
    "Makefile",
    ".travis.yml",
    ".gitlab-ci.yml",
];

/// Says whether `path` is a test, steers tests or a build, or is one of the `hidden` paths.
pub fn is_protected(hidden: &[String], path: &str) -> bool {
    let mut parts: Vec<&str> = path.split('/').collect();
    let name = parts.pop().unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    hidden.iter().any(|known| known == path)
        || STEERING.contains(&name)
        || name.ends_with(".pth")
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
        for path in ["src/a.py", "django/test/client.py", "latest.py", "attest.py", "contest/x.py", "testing.py"] {
            assert!(!protected(path), "{path}");
        }
    }
}
