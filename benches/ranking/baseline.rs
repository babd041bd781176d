//! What the ranking is measured against: plain BM25, and the files that the source document's ancestor took.

use std::collections::{BTreeMap, HashMap};

use runproof::canon::{FileMode, Tree};

/// Saturation of repeated terms and influence of the length: the defaults of Lucene and Elasticsearch.
const K1: f64 = 1.2;
const B: f64 = 0.75;

/// How often each file holds the terms of a text.
pub(crate) struct Index<'a> {
    numbers: HashMap<String, usize>,
    documents: Vec<Document<'a>>,
}

struct Document<'a> {
    path: &'a str,
    /// Uses by number of the term.
    uses: BTreeMap<usize, f64>,
    length: f64,
}

impl<'a> Index<'a> {
    /// Counts the terms of `text` in every file. The document is the path and what the file holds; a term is a run of
    /// letters, digits and underscores in lower case; nothing is left out or stemmed.
    pub(crate) fn of(files: &'a BTreeMap<String, Vec<u8>>, text: &str) -> Self {
        let mut numbers = HashMap::new();
        for term in terms(text) {
            let next = numbers.len();
            numbers.entry(term).or_insert(next);
        }
        let count = |(path, bytes): (&'a String, &Vec<u8>)| {
            let mut document = Document { path, uses: BTreeMap::new(), length: 0.0 };
            for term in terms(path).chain(terms(&String::from_utf8_lossy(bytes))) {
                document.length += 1.0;
                if let Some(number) = numbers.get(&term) {
                    *document.uses.entry(*number).or_default() += 1.0;
                }
            }
            document
        };
        let documents = files.iter().map(count).collect();
        Self { numbers, documents }
    }

    /// Orders the files that `may` be meant by BM25 (Robertson and Zaragoza 2009). A term counts as often as `issue`, a
    /// part of the indexed text, holds it.
    pub(crate) fn order(&self, issue: &str, may: impl Fn(&str) -> bool) -> Vec<String> {
        let mut query: BTreeMap<usize, f64> = BTreeMap::new();
        for number in terms(issue).filter_map(|term| self.numbers.get(&term)) {
            *query.entry(*number).or_default() += 1.0;
        }
        let documents: Vec<&Document<'_>> = self.documents.iter().filter(|document| may(document.path)).collect();
        let count = documents.len() as f64;
        let average = documents.iter().map(|document| document.length).sum::<f64>() / count.max(1.0);
        let weights: Vec<(usize, f64)> = query
            .into_iter()
            .map(|(number, times)| {
                let holders = documents.iter().filter(|document| document.uses.contains_key(&number)).count() as f64;
                (number, times * (1.0 + (count - holders + 0.5) / (holders + 0.5)).ln())
            })
            .collect();
        let mut scored: Vec<(f64, &str)> = documents
            .iter()
            .map(|document| {
                let norm = K1 * (1.0 - B + B * document.length / average);
                let part = |(number, weight): &(usize, f64)| {
                    let uses = document.uses.get(number).copied().unwrap_or(0.0);
                    weight * uses * (K1 + 1.0) / (uses + norm)
                };
                (weights.iter().map(part).sum(), document.path)
            })
            .collect();
        scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        scored.into_iter().map(|(_, path)| path.to_owned()).collect()
    }
}

fn terms(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// Says whether a path holds one of the words by which SWE-bench's own BM25 retrieval leaves out tests.
pub(crate) fn is_test(path: &str) -> bool {
    path.split(['/', '_', '.']).any(|part| ["test", "tests", "e2e", "testing"].contains(&part))
}

/// The ancestor's choice, whatever the issue says: `find REPOSITORY -name '*.py' -type f`, the first five. `find` answers
/// in the order of the file system, which is nobody's to repeat; here it is the order of paths.
pub(crate) fn first_files(tree: &Tree) -> Vec<String> {
    let is_file = |mode: FileMode| mode != FileMode::Symlink;
    tree.iter()
        .filter(|(path, entry)| is_file(entry.mode) && path.ends_with(".py"))
        .map(|(path, _)| path.to_owned())
        .take(5)
        .collect()
}
