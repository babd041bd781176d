//! Several workers over one list: each takes the next piece of work until there is none, or until one says stop.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::cli::Failure;

/// Has at most `workers` do `work` on each of `items`; a failure ends the work after what is under way.
pub(super) fn each<T: Sync>(
    items: &[T],
    workers: usize,
    work: impl Fn(&T) -> Result<(), Failure> + Sync,
) -> Result<(), Failure> {
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..workers.min(items.len()) {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::SeqCst)) {
                    if let Err(failure) = work(item) {
                        next.store(items.len(), Ordering::SeqCst);
                        failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::FailureKind;

    #[test]
    fn everything_is_done_once_and_a_failure_ends_it() {
        let done = Mutex::new(Vec::new());
        let items: Vec<u32> = (0..50).collect();
        each(&items, 3, |item| {
            done.lock().unwrap().push(*item);
            Ok(())
        })
        .unwrap();
        let mut all = done.into_inner().unwrap();
        all.sort_unstable();
        assert_eq!(all, items);
        let count = AtomicUsize::new(0);
        let failed = each(&items, 1, |item| {
            count.fetch_add(1, Ordering::SeqCst);
            if *item == 4 { Err(Failure::new(FailureKind::Environment, "full")) } else { Ok(()) }
        });
        assert_eq!((failed.unwrap_err().message.as_str(), count.into_inner()), ("full", 5));
    }
}
