//! Constrained decoding: a reply that begins with the name of a given file and a range of its lines.
//!
//! A small machine over bytes: `FILE: <path>\nLINES: <a>-<b>\n` with `1 <= a <= b <= lines of that file`, then
//! anything. A token is allowed when the machine accepts all of its bytes; it may end in the middle of any part.

use super::EngineError;

const FILE: &[u8] = b"FILE: ";
const LINES: &[u8] = b"LINES: ";

/// The files that a reply may name, with their numbers of lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    /// Path and number of lines of every file.
    pub files: Vec<(String, u32)>,
}

/// A checked constraint, sorted by path.
pub(crate) struct Machine {
    files: Vec<(Vec<u8>, u32)>,
}

/// How far a reply has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// So many bytes of `FILE: `.
    File(usize),
    /// The files from the first to before the second share the bytes read so far, whose number is the third.
    Path(usize, usize, usize),
    /// The file, and so many bytes of `LINES: `.
    Lines(usize, usize),
    /// The file, and the digits of the first line so far.
    First(usize, u32),
    /// The file, the first line, and the digits of the last line so far.
    Last(usize, u32, u32),
    /// Anything goes.
    Free,
}

impl Machine {
    /// Checks a constraint.
    ///
    /// # Errors
    /// No files, a path that is empty, repeated or holds a line break, or a file without lines.
    pub(crate) fn new(constraint: &Constraint) -> Result<Self, EngineError> {
        let refuse = |text: String| Err(EngineError::Constraint(text));
        if constraint.files.is_empty() {
            return refuse("no file is given".into());
        }
        let mut files: Vec<_> =
            constraint.files.iter().map(|(path, lines)| (path.clone().into_bytes(), *lines)).collect();
        files.sort();
        for (path, lines) in &constraint.files {
            if path.is_empty() || path.contains(['\n', '\r']) {
                return refuse(format!("{path:?} is not a path on one line"));
            }
            if !(1..=100_000_000).contains(lines) {
                return refuse(format!("{path:?} has {lines} lines"));
            }
        }
        match files.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => refuse(format!("{:?} is given twice", String::from_utf8_lossy(&pair[0].0))),
            None => Ok(Self { files }),
        }
    }

    /// Returns the state of an empty reply.
    pub(crate) fn start(&self) -> State {
        State::File(0)
    }

    /// Returns the state after more bytes, or `None` if no reply goes on with them.
    pub(crate) fn advance(&self, state: State, bytes: &[u8]) -> Option<State> {
        let mut state = state;
        for byte in bytes {
            if state == State::Free {
                break;
            }
            state = self.step(state, *byte)?;
        }
        Some(state)
    }

    fn step(&self, state: State, byte: u8) -> Option<State> {
        match state {
            State::File(read) => match (FILE[read] == byte, read + 1 == FILE.len()) {
                (false, _) => None,
                (true, false) => Some(State::File(read + 1)),
                (true, true) => Some(State::Path(0, self.files.len(), 0)),
            },
            State::Path(first, end, read) => {
                let files = &self.files[first..end];
                if byte == b'\n' {
                    // The shortest of the files that share these bytes sorts first.
                    return (files[0].0.len() == read).then_some(State::Lines(first, 0));
                }
                let next = |(path, _): &(Vec<u8>, u32)| path.get(read).copied();
                let low = first + files.partition_point(|file| next(file) < Some(byte));
                let high = first + files.partition_point(|file| next(file) <= Some(byte));
                (low < high).then_some(State::Path(low, high, read + 1))
            }
            State::Lines(file, read) => match (LINES[read] == byte, read + 1 == LINES.len()) {
                (false, _) => None,
                (true, false) => Some(State::Lines(file, read + 1)),
                (true, true) => Some(State::First(file, 0)),
            },
            State::First(file, line) if byte == b'-' => (line > 0).then_some(State::Last(file, line, 0)),
            State::First(file, line) => {
                let line = with_digit(line, byte)?;
                (line <= self.files[file].1).then_some(State::First(file, line))
            }
            State::Last(_, first, last) if byte == b'\n' => (last >= first).then_some(State::Free),
            State::Last(file, first, last) => {
                let last = with_digit(last, byte)?;
                can_reach(last, first, self.files[file].1).then_some(State::Last(file, first, last))
            }
            State::Free => Some(State::Free),
        }
    }
}

fn with_digit(number: u32, byte: u8) -> Option<u32> {
    let digit = byte.is_ascii_digit().then(|| u32::from(byte - b'0'))?;
    let number = number.checked_mul(10)?.checked_add(digit)?;
    (number > 0).then_some(number)
}

/// Says whether `number`, perhaps with more digits, lies in `low..=high`.
fn can_reach(number: u32, low: u32, high: u32) -> bool {
    let (mut from, mut to) = (u64::from(number), u64::from(number));
    while from <= u64::from(high) {
        if to >= u64::from(low) {
            return true;
        }
        (from, to) = (from * 10, to * 10 + 9);
    }
    false
}
