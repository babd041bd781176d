//! The canonical form of a test run's record: what two runs of the same tests on the same tree agree on.
//!
//! Dropped or replaced by a word in angle brackets: the sandbox level, durations, memory addresses, temporary names,
//! process and thread numbers, clock readings, free ports, random seeds and where Python is installed. Terminal escapes
//! stay, since the SWE-bench harness reads lines with and without them differently. Lines that name a test's result keep their dates, since a test's name can hold one. Any change of the rules
//! is a new version of [`NORMALISER`].

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::bytes::{Captures, Regex};

use super::GateError;
use super::execution::{Head, join, split};

/// Name and version of these rules; part of what a replay must agree on.
pub const NORMALISER: &str = "test-log/3";

/// Rules for every line: pattern and replacement.
const EVERYWHERE: &[(&str, &str)] = &[
    (r"\r\n", "\n"),
    // Durations, in the words of pytest, unittest, Django, SymPy, cargo and go.
    (r"\bin \d+(?:\.\d+)? ?s(?:econds?)?\b(?: \(\d+:\d\d:\d\d\))?", "in <time>"),
    // pytest fills the closing line up to the terminal's width, whatever room its duration took.
    (r"(?m)^=+ (.* in <time>.*?) =+$", "== $1 =="),
    (r"\bduration=\d+(?:\.\d+)?s\b", "duration=<time>"),
    (r"(?m)^\d+\.\d+s (call|setup|teardown)\b", "<time> $1"),
    // jest's, which it leaves out for fast tests, and of which the harness takes whole ones for no part of a name.
    (r"(?m)^(\s*[✓✕○] .*) \(\d+ ?m?s\)$", "$1"),
    (r"\(\d+(?:\.\d+)? ?m?s\)", "(<time>)"),
    // vitest's: the harness takes a number at the end for one, so one stays.
    (r"(?m)^(\s*[✓×↓❯] .*) \d+ ?(m?s)$", "$1 0$2"),
    (r"(?m)^( +(?:Start at|Duration)  ).*$", "$1<time>"),
    (r"(?m)^(Time:  +)\d.*$", "$1<time>"),
    // nextest's and cargo's.
    (r"\[ *\d+\.\d+s\]", "[<time>]"),
    (r"(?m)^(test .* \.\.\. \w+) <\d+\.\d+s>$", "$1 <time>"),
    (r"(?m)^(\s*Running .*-)[0-9a-f]{16}\)$", "${1}0000000000000000)"),
    (r"(?m)^(thread '.*') \(\d+\) panicked", "$1 panicked"),
    // What structured reports count.
    (r#""Time":"[^"]*""#, "\"Time\":\"<time>\""),
    (r#""(Elapsed|startTime|endTime|duration|runtime|start|end)":\d+(?:\.\d+)?(?:[eE]-?\d+)?"#, "\"$1\":0"),
    // Go's goroutines and offsets.
    (r"\bgoroutine \d+ ", "goroutine <number> "),
    (r"(?m)(\.go:\d+) \+0x[0-9a-f]+$", "$1 +<offset>"),
    (r"(?m)^(ok|FAIL)(\s+\S+\s+)\d+\.\d+s$", "${1}${2}<time>"),
    (r"\b(took|after) \d+(?:\.\d+)? ?(?:m?s|seconds?)\b", "$1 <time>"),
    // Addresses of objects.
    (r"\bat 0x[0-9a-fA-F]+", "at <address>"),
    (r"\b0x(?:[57][0-9a-f]{11}|(?:aaaa|ffff)[0-9a-f]{8})\b", "<address>"),
    // Temporary names; pytest numbers its own folders.
    (r#"/tmp/[^/\s'":,;()<>\[\]]+"#, "/tmp/<name>"),
    (r"/tmp/<name>/pytest-\d+\b", "/tmp/<name>/pytest-<number>"),
    (r"/(?:tmp|django_)[a-z0-9_]{8}\b", "/<name>"),
    // Numbers that the kernel hands out.
    (r"(?i)\bpid([ =:]+)\d+", "pid${1}<number>"),
    (r"\bsubprocess \d+ is still running", "subprocess <number> is still running"),
    (r"\bstarted (?:daemon )?\d{9,}", "started <number>"),
    (r"\b(localhost|127\.0\.0\.1|\[?::1\]?)(:|', )\d{4,5}\b", "$1$2<port>"),
    // Seeds.
    (r"(?i)\b(random[ -]?seed|randomly-seed|hypothesis-seed)([ :=]+)\d+", "$1$2<seed>"),
    // Where Python is installed.
    (r"(?:/[A-Za-z0-9._+@-]+)+/lib/python3\.(\d+)/", "<python>/lib/python3.$1/"),
];

/// Rules for lines that do not name a test's result. Clock readings are those after 2023: dates in tests are older.
const OUTSIDE_RESULTS: &[(&str, &str)] = &[
    (r"\b20(?:2[4-9]|[3-9]\d)-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)?(?:Z|[+-]\d\d:?\d\d)?\b", "<date>"),
    (r"\b\d\d/[A-Z][a-z]{2}/20(?:2[4-9]|[3-9]\d)[ :]\d\d:\d\d:\d\d\b", "<date>"),
    (r"\b\d\d:\d\d:\d\d[.,]\d{3,6}\b", "<clock>"),
];

static EVERYWHERE_RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| compile(EVERYWHERE));
static OUTSIDE_RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| compile(OUTSIDE_RESULTS));
static RESULT: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?:PASSED|FAILED|ERROR|SKIPPED|XFAIL|XPASS|FAIL:|ERROR:|test )|::| \.\.\. ")
        .expect("a tested pattern")
});

/// Returns the canonical record of a raw one. Depends on the bytes alone.
///
/// # Errors
/// Bytes that are not the record of a test run.
pub fn normalise(raw: &[u8]) -> Result<Vec<u8>, GateError> {
    let (head, log) = split(raw)?;
    let mut log = Cow::Borrowed(log);
    if head.truncated {
        // The cap cuts anywhere; half a line says nothing and may hold half of something that a rule replaces.
        let end = log.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        log.to_mut().truncate(end);
    }
    for (pattern, replacement) in EVERYWHERE_RULES.iter() {
        log = replace(pattern, log, replacement);
    }
    let mut out = Vec::with_capacity(log.len());
    for line in log.split_inclusive(|&byte| byte == b'\n') {
        let mut line = Cow::Borrowed(line);
        if !RESULT.is_match(&line) {
            for (pattern, replacement) in OUTSIDE_RULES.iter() {
                line = replace(pattern, line, replacement);
            }
        }
        out.extend_from_slice(&line);
    }
    Ok(join(&Head { sandbox: None, ..head }, &out))
}

/// Returns a test's name as a canonical log shows it: a parameter may look like a path or a port that a rule replaces.
pub(super) fn name(text: &str) -> String {
    let replaced = EVERYWHERE_RULES.iter().fold(Cow::Borrowed(text.as_bytes()), |text, (pattern, replacement)| {
        Cow::Owned(replace(pattern, text, replacement).into_owned())
    });
    String::from_utf8_lossy(&replaced).into_owned()
}

fn compile(rules: &[(&str, &'static str)]) -> Vec<(Regex, &'static str)> {
    rules.iter().map(|(pattern, replacement)| (Regex::new(pattern).expect("a tested pattern"), *replacement)).collect()
}

fn replace<'a>(pattern: &Regex, text: Cow<'a, [u8]>, replacement: &str) -> Cow<'a, [u8]> {
    if !pattern.is_match(&text) {
        return text;
    }
    let expand = |captures: &Captures<'_>| {
        let mut out = Vec::new();
        captures.expand(replacement.as_bytes(), &mut out);
        out
    };
    Cow::Owned(pattern.replace_all(&text, expand).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{Execution, Level};
    use proptest::prelude::*;

    fn record(log: &[u8], sandbox: Level) -> Vec<u8> {
        Execution {
            exit: Some(1),
            signal: None,
            timed_out: false,
            truncated: false,
            exceeded: None,
            sandbox,
            log: log.to_vec(),
        }
        .to_bytes()
    }

    fn canonical(log: &str) -> String {
        let bytes = normalise(&record(log.as_bytes(), Level::None)).unwrap();
        String::from_utf8_lossy(split(&bytes).unwrap().1).into_owned()
    }

    #[test]
    fn what_differs_between_two_runs_is_replaced() {
        for (raw, expected) in [
            ("===== 3 passed, 1 failed in 75.23s (0:01:15) =====", "== 3 passed, 1 failed in <time> =="),
            ("======== 3 passed, 1 failed in 0.23s =========", "== 3 passed, 1 failed in <time> =="),
            ("where 2 = <RunResult ret=2 duration=1.39s>.ret", "where 2 = <RunResult ret=2 duration=<time>>.ret"),
            ("Ran 3 tests in 0.001s", "Ran 3 tests in <time>"),
            ("tests finished: 10 passed, in 0.12 seconds", "tests finished: 10 passed, in <time>"),
            ("0.05s call     tests/x.py::test", "<time> call     tests/x.py::test"),
            ("--- FAIL: TestX (0.00s)", "--- FAIL: TestX (<time>)"),
            ("<Foo object at 0x7f12ab>", "<Foo object at <address>>"),
            ("ptr 0x7ffe12345678 0x12345678", "ptr <address> 0x12345678"),
            ("open('/tmp/tmpab12cd_9/x.txt')", "open('/tmp/<name>/x.txt')"),
            ("/tmp/pytest-of-root/pytest-3/test_a0", "/tmp/<name>/pytest-<number>/test_a0"),
            ("This process (pid=4242) is", "This process (pid=<number>) is"),
            ("at 2026-11-22 22:30:54.123 ok", "at <date> ok"),
            ("[22/Nov/2026 22:30:54] GET", "[<date>] GET"),
            ("2001-02-03 04:05:06", "2001-02-03 04:05:06"),
            ("\x1b[31mFAILED\x1b[0m a\r\n", "\x1b[31mFAILED\x1b[0m a\n"),
            ("  ✓ adds (3 ms)", "  ✓ adds"),
            ("  ✓ waits (1.23 s)", "  ✓ waits (<time>)"),
            (" ✓ a.test.js > adds 2 13ms", " ✓ a.test.js > adds 2 0ms"),
            ("   Start at  10:11:12", "   Start at  <time>"),
            ("Time:        0.512 s, estimated 1 s", "Time:        <time>"),
            ("        PASS [   0.005s] a tests::b", "        PASS [<time>] a tests::b"),
            ("finished in 0.00s", "finished in <time>"),
            (
                "     Running unittests src/lib.rs (target/debug/deps/a-0123456789abcdef)",
                "     Running unittests src/lib.rs (target/debug/deps/a-0000000000000000)",
            ),
            ("thread 'a' (4242) panicked at src/lib.rs:3:4:", "thread 'a' panicked at src/lib.rs:3:4:"),
            ("ok  \ta/b\t0.004s", "ok  \ta/b\t<time>"),
            (
                r#"{"Time":"2026-11-25T08:00:00.1Z","Action":"pass","Elapsed":0.12}"#,
                r#"{"Time":"<time>","Action":"pass","Elapsed":0}"#,
            ),
            (r#"{"startTime":1790000000123,"duration":1.5e-1}"#, r#"{"startTime":0,"duration":0}"#),
            ("goroutine 7 [running]:", "goroutine <number> [running]:"),
            ("random seed:        8812", "random seed:        <seed>"),
            ("File \"/home/me/.pyenv/versions/3.11.7/lib/python3.11/a.py\"", "File \"<python>/lib/python3.11/a.py\""),
            ("http://localhost:45123/x", "http://localhost:<port>/x"),
        ] {
            assert_eq!(canonical(raw), expected, "{raw}");
        }
    }

    #[test]
    fn names_of_tests_keep_what_they_are_made_of() {
        for line in [
            "PASSED tests/x.py::test[2026-01-02 03:04:05.123456-1.5s]",
            "tests/x.py::test[0xdeadbeef] PASSED [ 50%]",
            "test_a (m.C.test_a) ... ok",
            "FAIL: test_a (m.C.test_a) (when='2026-01-02')",
            "sympy/core/tests/test_x.py[12] ",
        ] {
            assert_eq!(canonical(line), line);
        }
    }

    #[test]
    fn the_sandbox_level_is_not_canonical() {
        let [a, b] =
            [Level::NamespacesAndLandlock, Level::None].map(|level| normalise(&record(b"x\n", level)).unwrap());
        assert_eq!(a, b);
    }

    #[test]
    fn a_cut_log_ends_with_a_whole_line() {
        let mut execution = Execution::from_bytes(&record(b"one\ntwo 0x7ffe12", Level::None)).unwrap();
        execution.truncated = true;
        let bytes = normalise(&execution.to_bytes()).unwrap();
        assert_eq!(split(&bytes).unwrap().1, b"one\n");
    }

    proptest! {
        #[test]
        fn any_log_has_a_canonical_form_with_the_same_verdict(log in prop::collection::vec(any::<u8>(), 0..200)) {
            let (head, _) = split(&normalise(&record(&log, Level::None)).unwrap()).map(|(head, _)| (head, ())).unwrap();
            prop_assert_eq!((head.exit, head.sandbox), (Some(1), None));
        }
    }
}
