//! The hands of a live run: worktree, ground of the tests, models. A replay has none.
//!
//! Every act here stands on its own: it lays the worktree out anew before it tests or compares, and before it reads
//! where anything but reading was done since. So an attempt never works on another one's debris, and an interrupted run
//! goes on without knowing where the worktree was left.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::canon::{Blake3, FileMode, Tree, json as canonical};
use crate::edit::Change;
use crate::gate::{Ground, TestRequest};
use crate::instance::Hidden;
use crate::model::{Model, ModelError, Progress, Request};
use crate::transcript::{ActFailure, Done, Retry};
use crate::workspace::{self, Worktree};

/// What a live run works with.
pub struct Live<'a> {
    /// The worktree, laid out from the instance's base.
    pub worktree: &'a mut Worktree,
    /// Where tests run.
    pub ground: &'a Ground,
    /// The model and, if there is one, its fallback.
    pub models: Vec<Box<dyn Model + 'a>>,
    /// Rankings made before over the same base, by the digest of what was asked: they follow from it alone.
    rankings: &'a mut Rankings,
    /// The hidden tests over which the base lies there untouched; nothing after anything else was done to it.
    untouched: Option<Hidden>,
}

/// Rankings that several runs on one instance share: the files are ranked once, and each run records that.
pub type Rankings = BTreeMap<Blake3, Vec<u8>>;

/// The changes of a proposal, as [`crate::edit::propose`] gives them.
pub(super) type Changes = BTreeMap<String, Change>;

impl<'a> Live<'a> {
    /// Puts together what a live run works with.
    pub fn new(
        worktree: &'a mut Worktree,
        ground: &'a Ground,
        models: Vec<Box<dyn Model + 'a>>,
        rankings: &'a mut Rankings,
    ) -> Self {
        Self { worktree, ground, models, rankings, untouched: None }
    }

    /// Makes sure that the base lies there, for acts that only look at files of it.
    fn lay_out_to_read(&mut self, hidden: &Hidden) -> Result<(), ActFailure> {
        if self.untouched.as_ref() != Some(hidden) {
            self.lay_out(hidden, &Changes::new())?;
            self.untouched = Some(hidden.clone());
        }
        Ok(())
    }

    /// Lays out the base tree, the hidden tests over it where they are visible, and then the changes.
    fn lay_out(&mut self, hidden: &Hidden, changes: &Changes) -> Result<(), ActFailure> {
        self.untouched = None;
        self.worktree.restore().map_err(environment)?;
        self.lay_over(hidden)?;
        let changes = changes.iter().map(|(path, change)| match change {
            Change::Write { bytes, mode } => (path.clone(), Some((bytes.clone(), *mode))),
            Change::Remove => (path.clone(), None),
        });
        self.worktree.write(&changes.collect()).map_err(environment)
    }

    /// Lays tests over whatever is there.
    fn lay_over(&mut self, hidden: &Hidden) -> Result<(), ActFailure> {
        match hidden {
            Hidden::None => Ok(()),
            Hidden::TestPatch(patch) => self.worktree.apply_patch(patch.as_bytes()).map_err(environment),
            Hidden::Overlay(files) => {
                let files = files.iter().map(|(path, bytes)| (path.clone(), Some((bytes.clone(), FileMode::Regular))));
                self.worktree.write(&files.collect()).map_err(environment)
            }
        }
    }

    pub(super) fn tree(&mut self, hidden: &Hidden) -> Result<Done, ActFailure> {
        self.lay_out(hidden, &Changes::new())?;
        self.untouched = Some(hidden.clone());
        Ok(raw(self.worktree.tree().map_err(environment)?.to_bytes()))
    }

    pub(super) fn tree_digest(&mut self, hidden: &Hidden) -> Result<Done, ActFailure> {
        self.lay_out(hidden, &Changes::new())?;
        self.untouched = Some(hidden.clone());
        let digest = self.worktree.tree().map_err(environment)?.digest();
        Ok(raw(digest.to_string().into_bytes()))
    }

    pub(super) fn read(&mut self, path: &str, hidden: &Hidden) -> Result<Done, ActFailure> {
        self.lay_out_to_read(hidden)?;
        self.worktree.read(path).map(raw).map_err(environment)
    }

    pub(super) fn rank(
        &mut self,
        tree: &Tree,
        query: &workspace::Query,
        most: usize,
        hidden: &Hidden,
        asked: Blake3,
    ) -> Result<Done, ActFailure> {
        if let Some(known) = self.rankings.get(&asked) {
            return Ok(raw(known.clone()));
        }
        self.lay_out_to_read(hidden)?;
        let worktree = &self.worktree;
        let ranked = workspace::rank(tree, &mut |path| worktree.read(path).ok(), query);
        let listed: Vec<Value> =
            ranked.iter().take(most).map(|file| json!({"path": file.path, "score": file.score})).collect();
        let bytes = canonical::to_bytes(&listed).map_err(|error| ActFailure::fatal(error.to_string()))?;
        self.rankings.insert(asked, bytes.clone());
        Ok(raw(bytes))
    }

    pub(super) fn test(
        &mut self,
        request: &TestRequest,
        hidden: &Hidden,
        late: &Hidden,
        changes: &Changes,
    ) -> Result<Done, ActFailure> {
        self.lay_out(hidden, changes)?;
        let found = self.worktree.tree().map_err(environment)?.digest();
        if found != request.tree {
            return Err(ActFailure::fatal(format!(
                "the worktree holds the tree {found} where {} was laid out",
                request.tree
            )));
        }
        self.lay_over(late)?;
        let execution =
            self.ground.run(&self.worktree.root(), request).map_err(|error| ActFailure::fatal(error.to_string()))?;
        workspace::ensure_room(&self.worktree.root()).map_err(environment)?;
        Ok(raw(execution.to_bytes()))
    }

    /// Applies a patch with git in a fresh layout of the base; a refusal is an answer, not a failure.
    pub(super) fn check_patch(&mut self, patch: &[u8], hidden: &Hidden) -> Result<Done, ActFailure> {
        self.lay_out(hidden, &Changes::new())?;
        let verdict = match self.worktree.apply_patch(patch) {
            Ok(()) => json!({"accepted": true, "tree": self.worktree.tree().map_err(environment)?.digest()}),
            Err(error) => {
                workspace::ensure_room(&self.worktree.root()).map_err(environment)?;
                json!({"accepted": false, "reason": error.to_string()})
            }
        };
        canonical::to_bytes(&verdict).map(raw).map_err(|error| ActFailure::fatal(error.to_string()))
    }

    pub(super) fn resolve(&mut self, which: usize) -> Result<Done, ActFailure> {
        self.model(which)?.resolve().map(done).map_err(|error| failure(&error))
    }

    pub(super) fn call(
        &mut self,
        which: usize,
        request: &Request,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Done, ActFailure> {
        self.model(which)?.call(request, progress).map(done).map_err(|error| failure(&error))
    }

    fn model(&mut self, which: usize) -> Result<&mut (dyn Model + 'a), ActFailure> {
        // A replay that runs only the tests again has no model.
        let model = self.models.get_mut(which).ok_or_else(|| ActFailure::fatal("this replay has no model to call"))?;
        Ok(model.as_mut())
    }
}

fn raw(bytes: Vec<u8>) -> Done {
    Done { raw: bytes, ..Done::default() }
}

fn environment(error: workspace::WorkspaceError) -> ActFailure {
    ActFailure::fatal(error.to_string())
}

/// The digest that a tree check observed.
pub(super) fn observed_digest(reply: &[u8]) -> Option<Blake3> {
    std::str::from_utf8(reply).ok()?.parse().ok()
}

pub(super) fn done(answer: crate::model::Answer) -> Done {
    let sent = (!answer.sent.is_empty()).then_some(answer.sent);
    Done { sent, raw: answer.raw, observation: answer.observation, ..Done::default() }
}

pub(super) fn failure(error: &ModelError) -> ActFailure {
    let (sent, raw) = error.partial();
    ActFailure {
        message: error.to_string(),
        hint: error.hint(),
        retry: error.retry().map(|retry| Retry { after: retry.after }),
        sent: (!sent.is_empty()).then(|| sent.to_vec()),
        raw: raw.to_vec(),
    }
}
