//! The threads that share the work of one step. How work is split never reaches a result.

use rayon::iter::{IndexedParallelIterator as _, IntoParallelIterator as _, ParallelIterator as _};

use super::EngineError;

const MAX_THREADS: usize = 256;

/// A fixed number of threads.
pub(crate) struct Team {
    /// Absent for one thread: the caller's own does the work.
    pool: Option<rayon::ThreadPool>,
    threads: usize,
}

impl Team {
    /// Starts `threads` threads.
    ///
    /// # Errors
    /// A number of threads that is 0, absurd, or more than the system grants.
    pub(crate) fn new(threads: usize) -> Result<Self, EngineError> {
        if !(1..=MAX_THREADS).contains(&threads) {
            return Err(EngineError::Settings(format!("{threads} threads (1 to {MAX_THREADS} are possible)")));
        }
        let start = || rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = (threads > 1).then(start).transpose();
        let pool = pool.map_err(|error| EngineError::Settings(format!("cannot start {threads} threads: {error}")))?;
        Ok(Self { pool, threads })
    }

    /// Returns the number of threads.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Runs `work` where [`Team::each`] reaches the threads without a hand-over.
    pub(crate) fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.pool {
            Some(pool) => pool.install(work),
            None => work(),
        }
    }

    /// Does every task once, in any order.
    pub(crate) fn each<T: Send>(&self, tasks: Vec<T>, work: impl Fn(T) + Sync + Send) {
        match &self.pool {
            Some(_) if tasks.len() > 1 => tasks.into_par_iter().with_max_len(1).for_each(work),
            _ => tasks.into_iter().for_each(work),
        }
    }
}
