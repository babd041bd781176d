//! The vocabulary of a task: its words, their parts, and what each is worth.

use std::collections::BTreeMap;

/// Words of a task with their weights.
pub(super) struct Terms {
    /// Lower-case words and parts of words, with weight, in order; the position is the term's number.
    terms: Vec<(String, u64)>,
    numbers: BTreeMap<String, usize>,
    /// Names as they are written, with what their definition is worth in percent.
    names: BTreeMap<String, u64>,
}

/// The most terms that are counted; longer issues repeat themselves or paste logs.
const MOST_TERMS: usize = 600;

/// What a word of the title weighs against one of the rest: the title says what is wrong, the rest also quotes logs and
/// examples. This and the next three: benches/ranking/README.md says what each brings.
const TITLE: u64 = 6;

/// What defining a name of the task is worth, in percent of the best shared vocabulary: a name of several parts
/// (`BoundField`), another name, and a word that may be a name.
const COMPOSED_NAME: u64 = 50;
const NAME: u64 = 30;
const WORD: u64 = 8;

/// English and Python words that say nothing about where something is.
const STOP: &str = " the and for that this with from not but are was were has have had will would can could should may \
    might must does did doing done been being its it's they them their there then than when where which while what who \
    why how all any some each other such only also just like into onto over under about after before between because \
    you your our one two use used using get got set see say says make makes made need needs want way case cases issue \
    issues bug bugs problem error errors fail fails failed failing work works working expected actual result results \
    behavior behaviour current currently version versions example examples following code file files line lines most \
    recent call last traceback import return def class self none true false print str int list dict tuple len type \
    object new old same different change changed changes fix fixed add added python description test tests testing \
    http https com org www github html assert value values function method raise raises exception if else elif try \
    except pass lambda yield async await in is or as of to at by on be do so no up out we us an a i it he she ";

impl Terms {
    /// Collects the terms of a task; what failing tests say counts beside the issue.
    pub(super) fn of(issue: &str, failing: &str) -> Self {
        let mut weights: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        let mut names = BTreeMap::new();
        // The first line of an issue is its title.
        let title = issue.lines().find(|line| !line.trim().is_empty()).unwrap_or("");
        for (text, factor) in [(title, TITLE), (issue, 1), (failing, 1)] {
            for word in words(text) {
                let is_name = is_name(word) || is_code(text, word);
                let lower = word.to_lowercase();
                if !is_stop(&lower) && lower.len() > 1 {
                    note(&mut weights, lower.clone(), if is_name { 3 } else { 1 } * factor);
                }
                let mut parts = 0;
                for part in parts_of(word) {
                    parts += 1;
                    if part != lower && !is_stop(&part) && part.len() > 2 {
                        note(&mut weights, part, factor);
                    }
                }
                if word.len() > 2 && !is_stop(&lower) {
                    let worth = match (is_name, parts) {
                        (true, 2..) => COMPOSED_NAME,
                        (true, _) => NAME,
                        (false, _) => WORD,
                    };
                    let known = names.entry(word.to_owned()).or_insert(0);
                    *known = worth.max(*known);
                }
            }
        }
        let mut terms: Vec<(String, u64)> = weights
            .into_iter()
            // A word that is repeated often is a log or a variable of an example, not ten times as telling.
            .map(|(word, (weight, count))| (word, weight * (8 + count.min(8) * 2)))
            .collect();
        terms.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        terms.truncate(MOST_TERMS);
        let numbers = terms.iter().enumerate().map(|(number, (word, _))| (word.clone(), number)).collect();
        Self { terms, numbers, names }
    }

    /// Returns the number of a lower-case word.
    pub(super) fn number(&self, word: &str) -> Option<usize> {
        self.numbers.get(word).copied()
    }

    /// Returns the weights in the order of the terms' numbers.
    pub(super) fn weights(&self) -> impl Iterator<Item = u64> {
        self.terms.iter().map(|(_, weight)| *weight)
    }

    /// Says whether the task uses this name, as written.
    pub(super) fn uses(&self, name: &str) -> bool {
        self.names.contains_key(name)
    }

    /// Returns what defining `name` is worth, in percent of the best shared vocabulary.
    pub(super) fn worth_of_definition(&self, name: &str) -> u64 {
        self.names.get(name).copied().unwrap_or(0)
    }
}

fn note(weights: &mut BTreeMap<String, (u64, u64)>, word: String, weight: u64) {
    let (known, count) = weights.entry(word).or_insert((0, 0));
    *known = weight.max(*known);
    *count += 1;
}

fn is_stop(word: &str) -> bool {
    word.len() < 12 && STOP.contains(&format!(" {word} "))
}

/// Splits a text into identifiers. What begins with a digit is a number, also `62e` of `0.62e-01`: tests print other ones
/// at every run, and they name nothing.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .map(|word| word.trim_matches('_'))
        .filter(|word| word.len() < 80 && word.starts_with(|first: char| first.is_ascii_alphabetic()))
}

/// Says whether a word is written as names in programs are: with an underscore, or with a capital inside.
fn is_name(word: &str) -> bool {
    let inner_capital =
        word.bytes().zip(word.bytes().skip(1)).any(|(a, b)| a.is_ascii_lowercase() && b.is_ascii_uppercase());
    word.contains('_') || inner_capital
}

/// Says whether what stands around a word of `text` makes it a name: backticks, a call, an attribute, or a capital inside
/// a sentence.
fn is_code(text: &str, word: &str) -> bool {
    // `word` is a slice of `text`.
    let start = word.as_ptr() as usize - text.as_ptr() as usize;
    let before = &text.as_bytes()[..start];
    let after = &text.as_bytes()[start + word.len()..];
    let last = |back: usize| before.len().checked_sub(back).map_or(b'\n', |at| before[at]);
    let (one, two) = (last(1), last(2));
    let is_quoted = one == b'`' || after.first() == Some(&b'`');
    let is_call = after.first() == Some(&b'(');
    let is_attribute = one == b'.' && (two.is_ascii_alphanumeric() || two == b')');
    let has_attribute = after.first() == Some(&b'.') && after.get(1).is_some_and(u8::is_ascii_alphabetic);
    let is_capital_inside = word.starts_with(|c: char| c.is_ascii_uppercase())
        && word.bytes().any(|byte| byte.is_ascii_lowercase())
        && one == b' '
        && (two.is_ascii_alphanumeric() || two == b',');
    is_quoted || is_call || is_attribute || has_attribute || is_capital_inside
}

/// Splits `QuerySet`, `query_set` and `HTTPServer2` into lower-case parts.
pub(super) fn parts_of(word: &str) -> impl Iterator<Item = String> {
    let bytes = word.as_bytes();
    let mut cuts = vec![0];
    for at in 1..bytes.len() {
        let (before, here, after) = (bytes[at - 1], bytes[at], bytes.get(at + 1).copied().unwrap_or(b' '));
        let starts_word = here.is_ascii_uppercase() && (!before.is_ascii_uppercase() || after.is_ascii_lowercase());
        if here == b'_' || before == b'_' || starts_word {
            cuts.push(at);
        }
    }
    cuts.push(bytes.len());
    let pieces: Vec<String> = cuts.windows(2).map(|pair| word[pair[0]..pair[1]].to_lowercase()).collect();
    pieces.into_iter().filter(|piece| piece != "_" && !piece.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_as_they_are_written() {
        for (word, parts) in [
            ("QuerySet", &["query", "set"][..]),
            ("query_set", &["query", "set"]),
            ("HTTPServer", &["http", "server"]),
            ("total", &["total"]),
            ("a__b", &["a", "b"]),
        ] {
            assert_eq!(parts_of(word).collect::<Vec<_>>(), parts, "{word}");
        }
    }

    #[test]
    fn what_stands_around_a_word_makes_it_a_name() {
        let worth = |text: &str, word: &str| Terms::of(text, "").worth_of_definition(word);
        for text in ["see `total` there", "calls total() there", "basket.total there", "total.sum there"] {
            assert!(worth(text, "total") > worth("see total there", "total"), "{text}");
        }
        assert!(worth("then the Basket is empty", "Basket") > worth("Then. Basket is empty", "Basket"));
    }

    #[test]
    fn names_weigh_more_than_words_and_stop_words_nothing() {
        let terms = Terms::of("The query of BoundField is slow", "");
        let weight = |word: &str| terms.number(word).map(|number| terms.terms[number].1);
        assert!(weight("boundfield") > weight("slow") && weight("slow").is_some());
        assert_eq!(weight("the"), None);
        assert!(terms.worth_of_definition("BoundField") > terms.worth_of_definition("query"));
    }
}
