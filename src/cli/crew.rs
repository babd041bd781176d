//! Several workers over one list: each takes the next piece of work until there is none, or until one says stop.

use std::collections::BTreeMap;
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

/// Has at most `workers` do `work` on each of `items`, each with a thing of its own that `open` gives; returns the results
/// in the items' order, or the failure that one worker alone would have met first.
pub(super) fn map<S, T: Sync, R: Send, E: Send>(
    items: &[T],
    workers: usize,
    open: impl Fn() -> Result<S, E> + Sync,
    work: impl Fn(&S, &T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..workers.min(items.len()) {
            scope.spawn(|| {
                let mut own = None;
                loop {
                    let place = next.fetch_add(1, Ordering::SeqCst);
                    let Some(item) = items.get(place) else { break };
                    let result = match &own {
                        Some(own) => work(own, item),
                        None => open().and_then(|opened| work(own.insert(opened), item)),
                    };
                    if result.is_err() {
                        // What comes before it was taken before it, and is still finished.
                        next.store(items.len(), Ordering::SeqCst);
                    }
                    found.lock().unwrap_or_else(PoisonError::into_inner).insert(place, result);
                }
            });
        }
    });
    found.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
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

    #[test]
    fn results_are_in_order_and_the_failure_is_the_first_one() {
        let items: Vec<u32> = (0..100).collect();
        let opened = AtomicUsize::new(0);
        let open = || Ok(opened.fetch_add(1, Ordering::SeqCst));
        let doubled = map(&items, 4, open, |_, item| Ok::<u32, u32>(item * 2)).unwrap();
        assert_eq!(doubled, items.iter().map(|item| item * 2).collect::<Vec<_>>());
        assert!((1..=4).contains(&opened.into_inner()));
        for _ in 0..20 {
            let failed = map(&items, 4, || Ok(()), |(), item| if item % 7 == 5 { Err(*item) } else { Ok(()) });
            assert_eq!(failed, Err(5), "whoever fails later may be there earlier");
        }
        assert_eq!(map(&items, 3, || Err::<(), u32>(1), |(), _| Ok(())), Err(1));
        assert_eq!(map(&[], 3, || Ok::<(), u32>(()), |(), _: &u32| Ok(())), Ok(Vec::new()));
    }
}
