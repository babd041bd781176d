//! What to do about each code, in one sentence.

/// Returns the sentence for a code of a refusal or of the gate; none for what was merely normalised.
///
/// Refusals bring a sentence of their own, with the paths and lines at hand, so only the gate's codes are here.
pub(super) fn advice(code: &str) -> Option<&'static str> {
    let (_, text) = GATE.iter().find(|(known, _)| *known == code)?;
    Some(text)
}

const GATE: [(&str, &str); 11] = [
    ("G-NOT-FIXED", "the tests that show the bug still fail: change what makes the wrong value"),
    ("G-REGRESSION", "tests that passed before fail now: keep what they rely on"),
    ("G-NO-TESTS", "no test ran: make sure that the code can still be imported or compiled"),
    ("G-EXIT", "the test run failed as a whole: nothing may end or break it from outside the tests"),
    ("G-EARLY-EXIT", "the run ended before its summary: the code must not end the process"),
    ("G-FORGED", "the code prints what a test runner prints: repair it instead"),
    ("G-FEWER-TESTS", "fewer tests ran than before: none may be lost"),
    ("G-TIMEOUT", "the tests did not end in time: look for a loop that does not end"),
    ("G-LOG-CAP", "the tests printed too much: remove what prints"),
    ("G-SIGNAL", "the tests were killed by a signal: look for endless recursion or use of memory"),
    ("G-FLAKY", "some tests pass and fail by chance: the others count"),
];
