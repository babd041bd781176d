//! The codes of everything that was normalised (`N-…`) or refused (`E-…`), by the cases of the reply grammar.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Names one normalisation or one reason to refuse; part of the recorded format.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the code as it is recorded and shown.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

codes! {
    /// Text outside the edits was ignored, or a `<think>` part dropped (1).
    Prose = "N-PROSE",
    /// The new text was taken out of a fence (2).
    Fence = "N-FENCE",
    /// A fence around the whole answer was taken off (3).
    OuterFence = "N-OUTERFENCE",
    /// A fence was never closed, though the reply was not cut off (4).
    Unclosed = "N-UNCLOSED",
    /// The reply ends inside an edit because it reached its limit (4).
    Truncated = "E-TRUNCATED",
    /// One fence held the old text, another the new one (5).
    OldNew = "N-OLDNEW",
    /// Several fences, and nothing says which is meant (5).
    MultiBody = "E-MULTIBODY",
    /// The reasoning cannot be told from the code (6).
    NoBody = "E-NOBODY",
    /// The reasoning runs over several lines, or is missing (7).
    Reason = "N-REASON",
    /// A placeholder path was replaced by the one shown file that the text fits (8).
    PathGuess = "N-PATHGUESS",
    /// The path is a placeholder (8).
    Placeholder = "E-PLACEHOLDER",
    /// The path was cleaned of prefixes, quotes or marks (9).
    Path = "N-PATH",
    /// Only the file's name was given or right (10).
    Basename = "N-BASENAME",
    /// The name fits several files (10).
    AmbiguousPath = "E-AMBIGUOUSPATH",
    /// The path leaves the tree, or is a link or in git's folder (11).
    UnsafePath = "E-UNSAFEPATH",
    /// The file must not be edited (12).
    Protected = "E-PROTECTED",
    /// The file steers the test runner, or new lines reach into it.
    Runner = "E-RUNNER",
    /// New lines end the process that the tests run in.
    Exit = "E-EXIT",
    /// New lines write what a test runner writes.
    Forged = "E-FORGED",
    /// New lines ask git about the history.
    History = "E-HISTORY",
    /// A file was created (13).
    Create = "N-CREATE",
    /// There is no such file (13).
    NoFile = "E-NOFILE",
    /// A single line number stood for a range (14).
    Single = "N-SINGLE",
    /// The ends of the range were swapped (15).
    Swap = "N-SWAP",
    /// Line zero stood for the first line (16).
    Zero = "N-ZERO",
    /// The range reached at most three lines past the end of the file (17).
    Clamp = "N-CLAMP",
    /// The range is not in the file, or is no range (17).
    Range = "E-RANGE",
    /// A whole file was given (18).
    Whole = "N-WHOLE",
    /// The region was found by its first and last lines (18).
    Align = "N-ALIGN",
    /// No range, and none can be derived (18).
    NoLines = "E-NOLINES",
    /// The range was moved by a line or two so that nothing is doubled or broken (19).
    Snap = "N-SNAP",
    /// Several moved ranges would fit (19).
    RangeAmbiguous = "E-RANGEAMBIG",
    /// The range was widened to the definition that the text redefines (20).
    SnapNode = "N-SNAPNODE",
    /// Line numbers copied from the prompt were removed (21).
    Unnumber = "N-UNNUMBER",
    /// A diff was applied by its content (22).
    Diff = "N-DIFF",
    /// The text to replace is not in the file (22, 23).
    NoMatch = "E-NOMATCH",
    /// A search and a replacement were given (23).
    SearchReplace = "N-SR",
    /// The text to replace is in the file more than once (23).
    NotUnique = "E-NOTUNIQUE",
    /// Left-out parts were filled in from the file (24).
    Elide = "N-ELIDE",
    /// Parts were left out, and cannot be filled in (24).
    Elision = "E-ELISION",
    /// Lost indentation was restored (25).
    Indent = "N-INDENT",
    /// Tabs and spaces were exchanged as the file has them (26).
    Tabs = "N-TABS",
    /// Tabs and spaces are mixed beyond repair (26).
    MixedTabs = "E-MIXEDTABS",
    /// Line ends were written as the file has them (27).
    Eol = "N-EOL",
    /// A missing last line end was added (28).
    FinalNewline = "N-FINALNL",
    /// The file or the text is not text (29).
    Binary = "E-BINARY",
    /// Typographic characters were replaced by plain ones (30).
    Unicode = "N-UNICODE",
    /// HTML entities were decoded (31).
    Entity = "N-ENTITY",
    /// A repeated edit was dropped (33).
    Duplicate = "N-DUP",
    /// An edit inside a larger one that holds it was dropped (34).
    Subsume = "N-SUBSUME",
    /// Two edits overlap (34).
    Overlap = "E-OVERLAP",
    /// Text was inserted, nothing replaced (36).
    Insert = "N-INSERT",
    /// Lines were deleted (37).
    Delete = "N-DELETE",
    /// An edit without text (37).
    Empty = "E-EMPTY",
    /// A file was removed (38).
    RemoveFile = "N-RMFILE",
    /// A file to be created is there already (39).
    Exists = "E-EXISTS",
    /// Nothing changes, or only blank lines and comments (40).
    NoOp = "E-NOOP",
    /// The result has new syntax errors (41).
    Syntax = "E-SYNTAX",
    /// The result's syntax was not checked (42).
    NoGate = "N-NOGATE",
    /// The change is too large (43).
    Size = "E-SIZE",
    /// The reply holds no edit (44).
    NoEdit = "E-NOEDIT",
    /// The reply was JSON (45).
    Json = "N-JSON",
    /// Of several places only the first was taken, since the new text of one is asked for.
    OnePlace = "N-ONEPLACE",
    /// The reply was given before (46).
    Repeat = "E-REPEAT",
    /// A one-shot diff was applied as `git apply` does.
    GitApply = "N-GITAPPLY",
    /// A one-shot diff was applied as `patch --batch --fuzz=5 -p1` does.
    PatchApply = "N-PATCH",
    /// A hunk was applied at other lines than it says.
    Offset = "N-OFFSET",
    /// A hunk was applied without some lines of its context.
    Fuzz = "N-FUZZ",
    /// The diff was applied backwards, since it fits only so.
    Reversed = "N-REVERSED",
    /// The reply holds no unified diff.
    NoDiff = "E-NODIFF",
    /// The diff is none: a hunk's header counts other lines than follow.
    Malformed = "E-MALFORMED",
    /// The diff does not apply.
    NoApply = "E-NOAPPLY",
}

impl Code {
    /// Says whether this refuses the answer.
    pub fn is_refusal(self) -> bool {
        self.as_str().starts_with('E')
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Code {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().copied().find(|code| code.as_str() == text);
        known.ok_or_else(|| format!("{:?} is not a code", text.chars().take(40).collect::<String>()))
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_reads_back_and_has_its_own_text() {
        for code in Code::ALL {
            assert_eq!(code.as_str().parse(), Ok(*code));
        }
        let texts: std::collections::BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
    }
}
