//! What a run uses as a whole: processes, memory, files. The kernel bounds most of it per process only, and some of it
//! not for root; this looks again and again, and says which limit was passed.
//!
//! Counted are the descendants of the watching process, which is everything in a process namespace, and without one
//! everything that the kernel hands to it as the nearest reaper.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::plan::Limits;
use crate::gate::Exceeded;
use crate::gate::sandbox::TEMP;

/// Time between two looks where everything is in memory.
const SHORT_PAUSE: Duration = Duration::from_millis(20);
/// Time between two looks where folders have to be walked through.
const LONG_PAUSE: Duration = Duration::from_millis(150);
/// Files beyond which a walk stops; far more than a run may add.
const MOST_WALKED: u64 = 2_000_000;

/// One process.
pub(super) struct Process {
    pub(super) id: i32,
    is_dead: bool,
    parent: i32,
    threads: u64,
}

/// Compares what is used with what may be used.
pub(super) struct Guard {
    limits: Limits,
    /// Whether the temp folder is the file system in memory that holds all that was written.
    in_memory: bool,
    /// Folders on a disk that the command may write to, and what they held at first.
    measured: Vec<PathBuf>,
    before: Written,
}

/// What files take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Written {
    bytes: u64,
    files: u64,
}

impl Guard {
    /// Notes what is there before the command starts.
    pub(super) fn new(limits: Limits, in_memory: bool, measured: Vec<String>) -> Self {
        let measured: Vec<PathBuf> = measured.into_iter().map(PathBuf::from).collect();
        let before = measured.iter().map(|folder| walk(folder)).fold(Written::default(), add);
        Self { limits, in_memory, measured, before }
    }

    /// Returns how long to wait before the next look.
    pub(super) fn pause(&self) -> Duration {
        if self.measured.is_empty() { SHORT_PAUSE } else { LONG_PAUSE }
    }

    /// Says which limit is passed, if one is.
    pub(super) fn check(&self) -> Option<Exceeded> {
        // The cheapest question first: among thousands of processes the others take seconds.
        if let (ids, Some(1)) = ids()
            && ids.len() as u64 > self.limits.processes
        {
            return Some(Exceeded::Processes);
        }
        if let Some(exceeded) = self.check_disk() {
            return Some(exceeded);
        }
        let processes = descendants();
        if processes.iter().map(|process| process.threads).sum::<u64>() > self.limits.processes {
            return Some(Exceeded::Processes);
        }
        // Processes that were forked share pages, which are counted twice; the exact figure takes the kernel longer.
        let is_over = |sum: u64| sum > self.limits.memory_bytes;
        let share = |process: &Process| share_of_memory(process.id).unwrap_or_else(|| memory(process.id));
        (is_over(processes.iter().map(|process| memory(process.id)).sum())
            && is_over(processes.iter().map(share).sum()))
        .then_some(Exceeded::Memory)
    }

    /// Says whether too much was written.
    fn check_disk(&self) -> Option<Exceeded> {
        let mut now = match rustix::fs::statvfs(TEMP) {
            Ok(found) if self.in_memory => Written {
                bytes: (found.f_blocks - found.f_bfree) * found.f_frsize,
                files: found.f_files - found.f_ffree,
            },
            _ => Written::default(),
        };
        now = self.measured.iter().map(|folder| walk(folder)).fold(now, add);
        if !self.measured.is_empty() {
            // A file that was removed while it is open takes its room all the same, but no walk finds it.
            now = descendants().iter().map(|process| removed_files(process.id)).fold(now, add);
        }
        let grown = |now: u64, before: u64, most: u64| now.saturating_sub(before) > most;
        (grown(now.bytes, self.before.bytes, self.limits.written_bytes)
            || grown(now.files, self.before.files, self.limits.written_files))
        .then_some(Exceeded::Disk)
    }
}

fn add(one: Written, other: Written) -> Written {
    Written { bytes: one.bytes + other.bytes, files: one.files + other.files }
}

/// Adds up a folder, links not followed; what vanishes meanwhile is not counted.
fn walk(folder: &Path) -> Written {
    let mut sum = Written::default();
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(metadata) = entry.metadata() else { continue };
            sum = add(sum, Written { bytes: metadata.blocks() * 512, files: 1 });
            if metadata.is_dir() {
                left.push(entry.path());
            }
            if sum.files > MOST_WALKED {
                return sum;
            }
        }
    }
    sum
}

/// Adds up the files that a process holds open and that have no name any more.
fn removed_files(id: i32) -> Written {
    let mut seen = BTreeSet::new();
    let mut sum = Written::default();
    for entry in fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten() {
        let Ok(metadata) = fs::metadata(entry.path()) else { continue };
        if metadata.is_file() && metadata.nlink() == 0 && seen.insert((metadata.dev(), metadata.ino())) {
            sum = add(sum, Written { bytes: metadata.blocks() * 512, files: 1 });
        }
    }
    sum
}

/// Lists the processes that can be seen, and the number that this one has among them: 1 where it is the first of a
/// namespace and sees nobody else's.
fn ids() -> (Vec<i32>, Option<i32>) {
    // Inside a namespace whose `/proc` is the host's, the number there is another than the one that the kernel tells.
    let own = fs::read_link("/proc/self").ok().and_then(|own| own.to_str()?.parse::<i32>().ok());
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    (ids.collect(), own)
}

/// Lists what descends from this process.
pub(super) fn descendants() -> Vec<Process> {
    let (ids, Some(own)) = ids() else { return Vec::new() };
    let mut others: Vec<Process> =
        ids.into_iter().filter_map(read_process).filter(|process| !process.is_dead).collect();
    let mut family = BTreeSet::from([own]);
    let mut found = Vec::new();
    loop {
        let (children, rest): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|process| process.id != own && family.contains(&process.parent));
        if children.is_empty() {
            return found;
        }
        family.extend(children.iter().map(|process| process.id));
        found.extend(children);
        others = rest;
    }
}

/// Counts the threads of all processes of this user, as far as they can be seen; the kernel counts the dead too.
pub(super) fn threads_of_user() -> u64 {
    let own = rustix::process::getuid().as_raw();
    let is_own = |entry: &fs::DirEntry| entry.metadata().is_ok_and(|metadata| metadata.uid() == own);
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten().filter(is_own);
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    ids.filter_map(read_process).map(|process| process.threads.max(1)).sum()
}

/// Reads `/proc/ID/stat` (proc_pid_stat(5)); the name in brackets may hold anything.
fn read_process(id: i32) -> Option<Process> {
    let stat = fs::read(format!("/proc/{id}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
    let is_dead = matches!(*fields.first()?, "Z" | "X");
    Some(Process { id, is_dead, parent: fields.get(1)?.parse().ok()?, threads: fields.get(17)?.parse().ok()? })
}

/// Bytes of memory that no file on a disk stands behind.
fn memory(id: i32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    sum_of(&status, &["RssAnon:", "RssShmem:"]) + nameless_memory(id)
}

/// Bytes of such memory, each page divided among those that share it; nothing where the kernel does not tell.
fn share_of_memory(id: i32) -> Option<u64> {
    let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup")).ok()?;
    Some(sum_of(&rollup, &["Pss_Anon:", "Pss_Shmem:"]) + nameless_memory(id))
}

/// Bytes of the files without a name in memory that a process holds open, memfd_create(2).
fn nameless_memory(id: i32) -> u64 {
    let held = fs::read_dir(format!("/proc/{id}/fd")).into_iter().flatten().flatten();
    held.filter(|entry| fs::read_link(entry.path()).is_ok_and(|to| to.to_string_lossy().starts_with("/memfd:")))
        .filter_map(|entry| Some(fs::metadata(entry.path()).ok()?.blocks() * 512))
        .sum()
}

/// Adds up lines like `RssAnon:   12 kB`.
fn sum_of(text: &str, names: &[&str]) -> u64 {
    let value = |line: &str| line.split_whitespace().nth(1)?.parse::<u64>().ok();
    text.lines().filter(|line| names.iter().any(|name| line.starts_with(name))).filter_map(value).sum::<u64>() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_added_up_without_following_links() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        fs::write(folder.path().join("sub/file"), vec![1; 100_000]).unwrap();
        std::os::unix::fs::symlink("/usr", folder.path().join("link")).unwrap();
        let sum = walk(folder.path());
        assert_eq!(sum.files, 3);
        assert!((100_000..1_000_000).contains(&sum.bytes), "{sum:?}");
    }

    #[test]
    fn growth_beyond_a_limit_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("before"), vec![1; 50_000]).unwrap();
        let limits = Limits { written_bytes: 30_000, written_files: 3, ..Limits::default() };
        let guard = Guard::new(limits, false, vec![folder.path().to_string_lossy().into_owned()]);
        assert_eq!(guard.check(), None);
        fs::write(folder.path().join("after"), vec![1; 50_000]).unwrap();
        assert_eq!(guard.check(), Some(Exceeded::Disk));
        fs::remove_file(folder.path().join("after")).unwrap();
        assert_eq!(guard.check(), None);
        for name in 0..4 {
            fs::write(folder.path().join(name.to_string()), "").unwrap();
        }
        assert_eq!(guard.check(), Some(Exceeded::Disk));
    }
}
