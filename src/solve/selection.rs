//! Which files a run shows: ranked by the issue and the failing tests, as many as fit.

use serde_json::{Value, json};

use super::steps::{Baseline, Interruption, ShownFile, Solver, canonical_bytes};
use super::watch::Phase;
use crate::canon::{Blake3, Tree};
use crate::prompt;
use crate::transcript::{Kind, Normaliser};
use crate::workspace::Query;

/// Files of the ranking that are kept in the selection event.
const RANKED_FILES: usize = 20;
impl Solver<'_, '_> {
    /// Ranks the files of the tree and reads those that fit into a prompt.
    pub(super) fn select_files(&mut self, base: &Tree, baseline: &Baseline) -> Result<Vec<ShownFile>, Interruption> {
        self.began(Phase::Selection, 0);
        // Without the comments of `hints_text`: they were written by people who looked for the fix.
        let query = Query { issue: self.instance.problem_statement.clone(), failing: baseline.failing.clone() };
        let request = canonical_bytes(&json!({
            "tree": base.digest(),
            "issue": Blake3::of(query.issue.as_bytes()),
            "failing": Blake3::of(query.failing.as_bytes()),
            "files": RANKED_FILES,
        }));
        let hidden = self.visible_hidden();
        let reply = self.perform(Kind::Selection, &request, Normaliser::IDENTITY, |live, _| {
            live.rank(base, &query, RANKED_FILES, &hidden, Blake3::of(&request))
        })?;
        let ranked = ranked_files(&reply, base)
            .ok_or_else(|| Interruption::Invalid("the ranking names a file that the tree does not hold".into()))?;
        let mut files = Vec::new();
        let taken = prompt::skills_room(&self.options.skill_texts, &self.budget());
        let taken = taken.max(self.options.skills_room as usize);
        for path in prompt::select(&ranked, &self.budget(), taken) {
            let bytes = self.read(&path)?;
            files.push((path, bytes));
        }
        let files = prompt::fit(files, &self.budget(), taken);
        let names: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
        self.ended(Phase::Selection, 0, names.join(" "));
        if files.is_empty() {
            return Err(Interruption::Invalid("no file of the tree fits into a prompt".into()));
        }
        Ok(files)
    }
}

/// Reads the ranking and joins each file with its size; nothing if it names a file that the tree does not hold.
fn ranked_files(reply: &[u8], base: &Tree) -> Option<Vec<(String, u64)>> {
    let listed: Vec<Value> = serde_json::from_slice(reply).ok()?;
    listed
        .iter()
        .map(|file| {
            let path = file["path"].as_str()?;
            Some((path.to_owned(), base.get(path)?.size))
        })
        .collect()
}
