//! A campaign at work: which runs are left, who does them, and what is written of one that the environment did not let end.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::campaign::{Member, Plan, Shard, Spent};
use crate::canon::{RunId, Tree, TreeEntry};
use crate::instance::Instance;
use crate::model::{Model, ModelName};
use crate::solve::Options;
use crate::store::{Access, Durability, RunEnd, RunStatus, Store, ended_by};
use crate::transcript::{Kind, Retries, Roots};
use crate::workspace;

use super::BenchArgs;
use super::patient::Patient;
use super::progress::{Counts, Ended, OUT_OF_TIME};
use crate::cli::claim::Claim;
use crate::cli::conduct::Conduct;
use crate::cli::models::{ModelArgs, open_model, parse};
use crate::cli::replay::scratch;
use crate::cli::solve::{Job, KIND, begin_run, record_watched, tell_of_recorded_calls};
use crate::cli::workbench::Workbench;
use crate::cli::{Failure, FailureKind, Host, Ui, crew, interrupt};

/// Tries while the model's server was last seen not to answer: whoever waited long enough once need not wait each time.
const TRIES_WHILE_DOWN: u32 = 3;
/// How long such tries may take together; one that hangs is then the only one.
const WHILE_DOWN: Duration = Duration::from_secs(10);

/// A campaign at work.
pub(super) struct Bench<'a> {
    pub(super) args: &'a BenchArgs,
    pub(super) plan: &'a Plan,
    pub(super) instances: BTreeMap<&'a str, &'a Instance>,
    pub(super) store: &'a Path,
    pub(super) folder: &'a Path,
    /// For the single runs, which say nothing.
    pub(super) ui: &'a Ui,
    /// Whether the model's server did not answer when it was last asked.
    pub(super) is_down: AtomicBool,
    /// What each run has used, where there is a limit of all.
    pub(super) spent: Mutex<BTreeMap<RunId, Spent>>,
    pub(super) began_us: u64,
}

/// What this process has done.
pub(super) struct Done {
    /// Runs that the environment did not let end.
    pub(super) errors: BTreeSet<RunId>,
    /// What a person can do about them.
    pub(super) hints: BTreeSet<String>,
    /// The limit of all runs that was reached before the last one began.
    pub(super) limit: Option<String>,
}

impl Bench<'_> {
    /// Performs the runs of a part that are not there yet. Where the store cannot be written, the campaign ends.
    pub(super) fn perform(&self, shard: Shard, ui: &Ui) -> Result<Done, Failure> {
        let store = Store::open(self.store, Access::Read, Durability::Full)?;
        let ended: BTreeSet<RunId> =
            store.runs()?.iter().filter(|row| row.status == RunStatus::Finished).map(|row| row.id).collect();
        if self.args.limits.counts() {
            self.plan.members().iter().try_for_each(|member| self.count(&store, member))?;
        }
        drop(store);
        let places: BTreeMap<&String, usize> = self.plan.instances.keys().zip(0..).collect();
        let all = self.plan.members();
        let mut open = all.clone();
        open.retain(|member| shard.holds(places[&member.instance]) && !ended.contains(&member.run));
        let stints = stints(&open, self.args.jobs as usize);
        let counts = Mutex::new(Counts::new(open.len(), Host::now_us()));
        let limit = Mutex::new(None);
        let spinner = ui.spinner();
        let done = crew::each(&stints, self.args.jobs as usize, |stint| {
            let mut workbench = None;
            let written = stint.iter().enumerate().try_for_each(|(place, member)| {
                if let Some(reached) = self.args.limits.reached(self.spent(), self.began_us) {
                    *limit.lock().unwrap_or_else(PoisonError::into_inner) = Some(reached);
                    return Ok(());
                }
                let tell = |text: &str| spinner.suspend(|| ui.say(format_args!("{}  {text}", member.instance)));
                let result = self.run(member, &all, &mut workbench, place, &tell);
                // A signal can look like a failure of whatever it reached first.
                interrupt::hold();
                let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                let line = counts.add(member, &result);
                spinner.suspend(|| ui.say(line));
                spinner.set_message(counts.text(Host::now_us()));
                // Where the store takes nothing more, or the disk, no other run could be recorded either.
                result.err().map_or(Ok(()), |failure| {
                    self.write_down(member, &failure)?;
                    Ok(workspace::ensure_room(self.folder.parent().unwrap_or(self.folder))?)
                })
            });
            if let Some(workbench) = workbench {
                workbench.tear_down(self.ui);
            }
            written
        });
        spinner.finish_and_clear();
        done?;
        let counts = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
        let limit = limit.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(Done { errors: counts.errors, hints: counts.hints, limit })
    }

    /// Performs one run, on the workbench of the one before where that was on the same instance.
    fn run(
        &self,
        member: &Member,
        all: &[Member],
        workbench: &mut Option<Workbench>,
        place: usize,
        tell: &dyn Fn(&str),
    ) -> Result<Ended, Failure> {
        // Somebody may be going on with it by itself.
        let _claim = Claim::take(&scratch(self.store, member.run), &format!("the run {}", member.run))?;
        let instance = &self.args.workbench.images.pin(self.instances[member.instance.as_str()], self.ui)?;
        let options = self.options(member)?;
        let mut models = vec![self.open(&self.args.models.name()?, &self.args.models)?];
        if options.fallback.is_some() {
            let name = parse(self.args.course.fallback.as_deref().unwrap_or_default())?;
            models.push(self.open(&name, &self.args.models.for_fallback())?);
        }
        let mut bench = match workbench.take() {
            Some(bench) => bench,
            None => {
                let folder = self.folder.join(format!("{}.{place}", member.run));
                let bench = Workbench::set_up(instance, &self.args.workbench, &folder, self.ui)?;
                if let Err(failure) = self.ensure_same_base(instance, all, &bench.base()) {
                    bench.tear_down(self.ui);
                    return Err(failure);
                }
                bench
            }
        };
        let result = (|| {
            let mut store = Store::open(self.store, Access::Create, Durability::Full)?;
            let resumed = store.run(member.run)?.is_some();
            if resumed {
                tell_of_recorded_calls(&store, member.run, &mut models)?;
            } else {
                begin_run(&mut store, member.run, [KIND, &self.name(member)], instance, &options)?;
            }
            let job = Job { run: member.run, instance, options: &options, resumed };
            let until_us = self.args.limits.until_us();
            let (retries, patience) = self.retries();
            let mut conduct = Conduct { retries, patience, until_us, tell, ..Conduct::default() };
            let recorded = record_watched(&job, bench.live(models), &mut store, &mut |_| {}, &mut conduct);
            self.is_down.store(conduct.is_unanswered, Ordering::SeqCst);
            if self.args.limits.counts() {
                self.count(&store, member)?;
            }
            let closed = store.close();
            let recorded = match recorded {
                // It is in the store, and goes on with --resume.
                Err(_) if conduct.is_over => return Ok(Ended { word: OUT_OF_TIME, attempts: 0 }),
                recorded => recorded,
            };
            let (outcome, _) = recorded?;
            closed?;
            Ok(Ended { word: outcome.kind.word(), attempts: outcome.attempts.len() })
        })();
        match &result {
            // Whatever broke may have broken the worktree too.
            Err(_) => bench.tear_down(self.ui),
            Ok(_) => *workbench = Some(bench),
        }
        result
    }

    /// Makes sure that an instance's tree is still the one that a run of the campaign on it began at: a row names its
    /// commit, but what lies in a task folder may have changed, and the arms would not be compared on one thing.
    fn ensure_same_base(&self, instance: &Instance, all: &[Member], base: &Tree) -> Result<(), Failure> {
        if instance.base_commit.is_some() {
            return Ok(());
        }
        let store = Store::open(self.store, Access::Read, Durability::Full)?;
        // The hidden tests are in the plan.
        let hidden = instance.hidden_paths();
        let visible = |tree: &Tree| -> BTreeMap<String, TreeEntry> {
            let files = tree.iter().filter(|(path, _)| !hidden.iter().any(|hidden| hidden == path));
            files.map(|(path, entry)| (path.to_owned(), *entry)).collect()
        };
        for member in all.iter().filter(|member| member.instance == instance.id) {
            let events = if store.run(member.run)?.is_some() { store.events(member.run)? } else { Vec::new() };
            let Some(event) = events.iter().find(|event| event.kind == Kind::Tree.name()) else { continue };
            let recorded = Tree::from_bytes(&store.body(member.run, event.seq, "canonical")?)
                .map_err(|error| Failure::new(FailureKind::Malformed, format!("run {}: {error}", member.run)))?;
            if visible(&recorded) == visible(base) {
                return Ok(());
            }
            let text = format!("the repository of {} is not as it was when its run {} began", instance.id, member.run);
            let hint = "put the repository back as it was, or begin a campaign of its own with --name";
            return Err(Failure::new(FailureKind::Environment, text).hint(hint));
        }
        Ok(())
    }

    /// Opens a model; a server that is away is waited for.
    fn open(&self, name: &ModelName, args: &ModelArgs) -> Result<Box<dyn Model>, Failure> {
        let model = open_model(name, args)?;
        Ok(if self.args.patience > 0 { Box::new(Patient(model)) } else { model })
    }

    /// Counts what a run has used, whether or not it came to its end.
    fn count(&self, store: &Store, member: &Member) -> Result<(), Failure> {
        if store.run(member.run)?.is_some() {
            let spent = Spent::of_run(store, member.run, &self.options(member)?, &self.args.limits.prices())?;
            self.spent.lock().unwrap_or_else(PoisonError::into_inner).insert(member.run, spent);
        }
        Ok(())
    }

    /// Returns what all runs have used.
    fn spent(&self) -> Spent {
        let spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.values().fold(Spent::default(), |all, one| all.and(*one))
    }

    /// Writes a row of a run that could not even begin, so that it is known why, and that it is to be done again.
    fn write_down(&self, member: &Member, failure: &Failure) -> Result<(), Failure> {
        let mut store = Store::open(self.store, Access::Create, Durability::Full)?;
        match store.run(member.run)? {
            // What it has recorded says more, or it was ended by what failed.
            Some(row) if row.events > 0 || row.status == RunStatus::Failed && !row.outcome.is_empty() => {
                return store.close().map_err(Into::into);
            }
            Some(_) => store.reopen_run(member.run)?,
            None => {
                let instance = self.instances[member.instance.as_str()];
                begin_run(&mut store, member.run, [KIND, &self.name(member)], instance, &self.options(member)?)?;
            }
        }
        let roots = Roots::default();
        let end = RunEnd {
            status: RunStatus::Failed,
            outcome: &ended_by("environment", &failure.message),
            attempts: 0,
            raw_root: roots.raw(),
            canonical_root: roots.canonical(),
            finished_ms: Host::now_us() / 1000,
        };
        store.finish_run(member.run, &end)?;
        Ok(store.close()?)
    }

    fn name(&self, member: &Member) -> String {
        format!("{}/{}/{}/{}", self.plan.name, member.instance, member.arm, member.seed)
    }

    fn options(&self, member: &Member) -> Result<Options, Failure> {
        let missing = || Failure::new(FailureKind::Usage, format!("the campaign has no arm {}", member.arm));
        let options = self.plan.arms.get(&member.arm).ok_or_else(missing)?;
        Ok(Options { seed: member.seed, ..options.clone() })
    }

    /// How long a run waits for a server that does not answer.
    fn retries(&self) -> (Retries, Duration) {
        let patience = Duration::from_secs(self.args.patience.into());
        if !self.is_down.load(Ordering::SeqCst) {
            return (Retries::lasting(patience), patience);
        }
        let patience = patience.min(WHILE_DOWN);
        let retries = Retries::lasting(patience);
        (Retries { tries: retries.tries.min(TRIES_WHILE_DOWN), ..retries }, patience)
    }
}

/// Cuts the runs, which are sorted by instance, into pieces of one instance, which one worker does on one worktree; where
/// there are fewer instances than workers, each instance's runs are several pieces.
fn stints(open: &[Member], jobs: usize) -> Vec<&[Member]> {
    let instances: Vec<&[Member]> = open.chunk_by(|one, other| one.instance == other.instance).collect();
    let pieces = jobs.div_ceil(instances.len().max(1));
    instances.into_iter().flat_map(|runs| runs.chunks(runs.len().div_ceil(pieces))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_one_piece_unless_workers_would_have_nothing_to_do() {
        let member = |instance: &str, seed| Member {
            run: RunId::from_bytes([0; 12]),
            instance: instance.into(),
            arm: "patch".into(),
            seed,
        };
        let open: Vec<Member> = ["a", "b", "c"].iter().flat_map(|id| (0..4).map(|seed| member(id, seed))).collect();
        let sizes = |jobs| stints(&open, jobs).iter().map(|stint| stint.len()).collect::<Vec<_>>();
        assert_eq!(sizes(1), [4, 4, 4]);
        assert_eq!(sizes(3), [4, 4, 4]);
        assert_eq!(sizes(4), [2, 2, 2, 2, 2, 2]);
        assert_eq!(sizes(256), [1; 12]);
        assert!(stints(&[], 4).is_empty());
    }
}
