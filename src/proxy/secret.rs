//! What looks like a credential: names of parameters, shapes of keys, and the values that the agent's environment holds.

use std::ops::Range;

/// Words of a parameter's name that make it a secret.
const WORDS: [&str; 22] = [
    "accesskey",
    "accesstoken",
    "apikey",
    "auth",
    "authorization",
    "authtoken",
    "bearer",
    "clientsecret",
    "credential",
    "credentials",
    "idtoken",
    "jwt",
    "pass",
    "passwd",
    "password",
    "pwd",
    "refreshtoken",
    "secret",
    "sessionid",
    "sessiontoken",
    "sig",
    "signature",
];
/// Last words that do so alone or behind one of the next ones: a page's token is none.
const LAST: [&str; 4] = ["key", "token", "code", "session"];
const BEFORE_LAST: [&str; 13] = [
    "access",
    "api",
    "auth",
    "bearer",
    "client",
    "csrf",
    "id",
    "private",
    "refresh",
    "secret",
    "security",
    "session",
    "subscription",
];
/// How known kinds of keys begin, and how many characters of a key follow at least.
const SHAPES: [(&str, usize); 12] = [
    ("sk-", 20),
    ("AKIA", 16),
    ("ASIA", 16),
    ("ghp_", 30),
    ("gho_", 30),
    ("github_pat_", 30),
    ("glpat-", 20),
    ("xoxb-", 20),
    ("xoxp-", 20),
    ("AIza", 30),
    ("hf_", 30),
    ("gsk_", 30),
];
/// The shortest value of a variable that is looked for; shorter ones stand everywhere.
pub(super) const SHORTEST: usize = 12;
/// How a private key in a file begins.
const PEM: &str = "PRIVATE KEY-----";

/// Says whether one `name=value` of a query looks like a secret.
pub(super) fn parameter(part: &str) -> bool {
    let (name, value) = part.split_once('=').unwrap_or((part, ""));
    // Nobody writes such a name with escapes who does not mean to hide it.
    let name = name.to_ascii_lowercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let is_last = match words.as_slice() {
        [only] => LAST.contains(only),
        [.., before, last] => LAST.contains(last) && BEFORE_LAST.contains(before),
        [] => false,
    };
    is_last || name.contains('%') || words.iter().any(|word| WORDS.contains(word)) || shaped(value)
}

/// Says whether a text holds something of the shape of a key.
pub(super) fn shaped(text: &str) -> bool {
    find(text).is_some()
}

/// Returns the beginning of the first thing of the shape of a key.
fn find(text: &str) -> Option<&'static str> {
    let shape = SHAPES.iter().find(|(start, length)| !of_shape(text, start, *length).is_empty());
    shape.map(|(start, _)| *start).or_else(|| text.contains(PEM).then_some(PEM))
}

/// Returns where the things of the shape of a key are, in order and apart.
pub(super) fn keys(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> =
        SHAPES.iter().flat_map(|(start, length)| of_shape(text, start, *length)).chain(private_keys(text)).collect();
    found.sort_by_key(|key| key.start);
    let mut end = 0;
    found.retain(|key| {
        let apart = key.start >= end;
        end = if apart { key.end } else { end };
        apart
    });
    found
}

fn of_shape(text: &str, start: &str, length: usize) -> Vec<Range<usize>> {
    let is_key = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
    let (mut found, mut from) = (Vec::new(), 0);
    while let Some(at) = text[from..].find(start) {
        let begin = from + at;
        from = begin + start.len();
        let starts_word = begin == 0 || !text.as_bytes()[begin - 1].is_ascii_alphanumeric();
        let rest = &text.as_bytes()[from..];
        let key = rest.iter().take_while(|c| is_key(c)).count();
        // Words joined by dashes are no key: one has digits.
        if starts_word && key >= length && rest[..key].iter().any(u8::is_ascii_digit) {
            found.push(begin..from + key);
            from += key;
        }
    }
    found
}

/// Returns where private keys in a file's form are, from the line that begins one to the line that ends it, or to the end.
fn private_keys(text: &str) -> Vec<Range<usize>> {
    let (mut found, mut from) = (Vec::new(), 0);
    while let Some(at) = text[from..].find(PEM) {
        let mark = from + at;
        let begin = text[from..mark].rfind("-----BEGIN").map_or(mark, |at| from + at);
        let body = mark + PEM.len();
        let end = text[body..].find("-----END").and_then(|at| {
            let close = body + at;
            text[close..].find(PEM).map(|at| close + at + PEM.len())
        });
        from = end.unwrap_or(text.len());
        found.push(begin..from);
    }
    found
}

/// What happens when a request holds something like a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    /// It is said at the end.
    Warn,
    /// The request is refused.
    Refuse,
}

impl Scan {
    /// Returns the word of the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Refuse => "refuse",
        }
    }
}

/// Looks for credentials in bodies. They are never rewritten: a scan warns, or refuses.
#[derive(Clone, Default)]
pub struct Secrets {
    values: Vec<String>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} values", self.values.len())
    }
}

impl Secrets {
    /// Knows the values of variables that hold credentials, beside the shapes of keys.
    pub fn new(values: Vec<String>) -> Self {
        Self { values: values.into_iter().filter(|value| value.len() >= SHORTEST).collect() }
    }

    /// Says whether a text holds one of the values.
    pub(super) fn holds(&self, text: &str) -> bool {
        self.values.iter().any(|value| text.contains(value.as_str()))
    }

    /// Returns a text with `mask` in place of each of the values.
    #[cfg(any(feature = "live", test))]
    pub(super) fn masked(&self, text: &str, mask: &str) -> String {
        self.values.iter().fold(text.to_owned(), |text, value| text.replace(value.as_str(), mask))
    }

    /// Says what was found, never the value itself.
    pub fn scan(&self, body: &[u8]) -> Option<String> {
        let text = String::from_utf8_lossy(body);
        if self.holds(&text) {
            return Some("the value of a secret variable of the environment".into());
        }
        find(&text).map(|start| format!("something like a key ({start}…)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_secrets_by_whole_words() {
        for secret in
            ["key=1", "api_key=1", "apiKey=1", "X-Amz-Security-Token=1", "X-Amz-Signature=1", "ke%79=1", "pwd=1"]
        {
            assert!(parameter(secret), "{secret}");
        }
        for harmless in
            ["keyword=a", "author=a", "page_token=a", "language_code=de", "design=1", "sort_key=a", "limit=2"]
        {
            assert!(!parameter(harmless), "{harmless}");
        }
    }

    #[test]
    fn keys_are_found_and_words_are_not() {
        assert!(shaped(&format!("x sk-proj-{}", "a1b2".repeat(6))));
        assert!(shaped("-----BEGIN PRIVATE KEY-----"));
        assert!(!shaped("task-oriented-programming-languages-are-nice"));
        assert!(!shaped("sk-short1"));
        let secrets = Secrets::new(vec!["correct horse battery".into(), "short".into()]);
        assert!(secrets.scan(b"say correct horse battery please").is_some());
        assert_eq!(secrets.scan(b"short"), None);
        assert!(!format!("{secrets:?}").contains("horse"));
    }
}
