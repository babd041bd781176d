//! Exchanges under way, in a file beside the store, so that a recorder that is killed loses none of them silently.
//!
//! Nothing here is waited for: what the kernel has taken outlives the process, and a power cut loses at most what was
//! not yet durable anyway. The file is emptied whenever nothing is under way, and removed at the end. Whoever finds one
//! that nobody holds puts its exchanges into their run, marked as broken off by the recorder.
//!
//! Records: kind, number of the exchange and length (four bytes each, the lowest first), then the bytes.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Read as _;
#[cfg(any(feature = "live", test))]
use std::io::{Seek as _, SeekFrom, Write as _};
#[cfg(any(feature = "live", test))]
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::exchange::Exchange;
use super::head::{Aborted, By, Head};
use crate::canon::RunId;

/// The largest file that is read back.
const LARGEST: u64 = 1 << 30;

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The head as it is known: a later one takes the place of an earlier one, and the first begins the exchange.
    Head = 1,
    /// The body that went out.
    Sent = 2,
    /// The body that the agent sent, where that was another one.
    Received = 3,
    /// More of the reply.
    Reply = 4,
    /// The exchange has ended; nothing of it is under way any more.
    End = 5,
}

impl Part {
    const ALL: [Self; 5] = [Self::Head, Self::Sent, Self::Received, Self::Reply, Self::End];
}

/// The file of one recorder.
#[cfg(any(feature = "live", test))]
#[derive(Debug)]
pub(super) struct Flight {
    file: File,
    path: PathBuf,
    under_way: u32,
    next: u32,
}

#[cfg(any(feature = "live", test))]
impl Flight {
    /// Makes and holds the file of a run in `store`.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub(super) fn begin(store: &Path, run: RunId) -> std::io::Result<Self> {
        let path = path(store, run);
        // Bodies are nobody else's business, and a link that stands there is not followed.
        let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { file, path, under_way: 0, next: 0 })
    }

    /// Notes an exchange that goes out now and returns its number.
    pub(super) fn takes_off(&mut self, exchange: &Exchange) -> u32 {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.under_way += 1;
        self.head(number, &exchange.head);
        if let Some(received) = &exchange.received {
            self.put(Part::Received, number, received);
        }
        self.put(Part::Sent, number, &exchange.sent);
        number
    }

    /// Notes what the head is now.
    pub(super) fn head(&mut self, number: u32, head: &Head) {
        if let Ok(bytes) = head.to_bytes() {
            self.put(Part::Head, number, &bytes);
        }
    }

    /// Notes a piece of the reply.
    pub(super) fn reply(&mut self, number: u32, piece: &[u8]) {
        self.put(Part::Reply, number, piece);
    }

    /// Notes that an exchange has ended.
    pub(super) fn lands(&mut self, number: u32) {
        self.under_way = self.under_way.saturating_sub(1);
        if self.under_way == 0 {
            let _ = self.file.set_len(0);
            let _ = self.file.seek(SeekFrom::Start(0));
        } else {
            self.put(Part::End, number, b"");
        }
    }

    /// A full disk here fails no call: the recording itself would say so.
    fn put(&mut self, part: Part, number: u32, bytes: &[u8]) {
        let Ok(length) = u32::try_from(bytes.len()) else { return };
        let mut record = Vec::with_capacity(12 + bytes.len());
        for word in [part as u32, number, length] {
            record.extend_from_slice(&word.to_le_bytes());
        }
        record.extend_from_slice(bytes);
        let _ = self.file.write_all(&record);
    }
}

#[cfg(any(feature = "live", test))]
impl Drop for Flight {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn prefix(store: &Path) -> String {
    format!("{}-flight-", store.file_name().unwrap_or_default().to_string_lossy())
}

#[cfg(any(feature = "live", test))]
fn path(store: &Path, run: RunId) -> PathBuf {
    store.with_file_name(format!("{}{run}", prefix(store)))
}

/// A file that a killed recorder left, held by whoever found it.
pub struct Wreck {
    /// The run that was being recorded.
    pub run: RunId,
    /// What was under way, marked as broken off.
    pub exchanges: Vec<Exchange>,
    path: PathBuf,
    _file: File,
}

impl Wreck {
    /// Removes the file, once what it held is in the store.
    pub fn cleared(self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Finds what killed recorders left beside a store.
pub fn wrecks(store: &Path) -> Vec<Wreck> {
    let folder = match store.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let prefix = prefix(store);
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<Wreck> = entries
        .filter_map(|entry| {
            let run = entry.file_name().to_str()?.strip_prefix(&prefix)?.parse().ok()?;
            let path = entry.path();
            if !entry.file_type().ok()?.is_file() {
                return None;
            }
            let mut file = OpenOptions::new().read(true).write(true).open(&path).ok()?;
            // A recorder that is alive holds it.
            flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
            let mut bytes = Vec::new();
            (&mut file).take(LARGEST).read_to_end(&mut bytes).ok()?;
            Some(Wreck { run, exchanges: read(&bytes), path, _file: file })
        })
        .collect();
    found.sort_by_key(|wreck| wreck.run);
    found
}

/// Reads what was under way. The last record may be cut off.
fn read(mut bytes: &[u8]) -> Vec<Exchange> {
    let mut exchanges: BTreeMap<u32, Exchange> = BTreeMap::new();
    while let Some((part, number, body)) = record(&mut bytes) {
        match part {
            Part::Head => {
                if let Ok(head) = Head::from_bytes(body) {
                    exchanges.entry(number).or_default().head = head;
                }
            }
            Part::End => drop(exchanges.remove(&number)),
            Part::Sent | Part::Received | Part::Reply => {
                let Some(exchange) = exchanges.get_mut(&number) else { continue };
                match part {
                    Part::Sent => exchange.sent = body.to_vec(),
                    Part::Received => exchange.received = Some(body.to_vec()),
                    _ => exchange.reply.extend_from_slice(body),
                }
            }
        }
    }
    for (number, exchange) in &mut exchanges {
        let at = exchange.reply.len() as u64;
        exchange.head.arrival = Some(*number);
        exchange.head.aborted = Some(Aborted { at, by: By::Recorder });
    }
    exchanges.into_values().collect()
}

fn record<'b>(bytes: &mut &'b [u8]) -> Option<(Part, u32, &'b [u8])> {
    let mut word = || {
        let (word, rest) = bytes.split_first_chunk::<4>()?;
        *bytes = rest;
        Some(u32::from_le_bytes(*word))
    };
    let (part, number, length) = (word()?, word()?, word()?);
    let part = Part::ALL.into_iter().find(|known| *known as u32 == part)?;
    let length = (length as usize).min(bytes.len());
    let (body, rest) = bytes.split_at(length);
    *bytes = rest;
    Some((part, number, body))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_under_way_is_found_once_nobody_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("s.sqlite");
        let run = RunId::from_bytes([3; 12]);
        let exchange = |text: &str| Exchange {
            head: Head { method: "POST".into(), target: "/v1/chat/completions".into(), ..Head::default() },
            sent: text.into(),
            ..Exchange::default()
        };
        let mut flight = Flight::begin(&store, run).unwrap();
        let (one, two) = (flight.takes_off(&exchange("one")), flight.takes_off(&exchange("two")));
        flight.reply(two, b"half");
        flight.lands(one);
        assert!(wrecks(&store).is_empty(), "it is held");
        // As a kill leaves it: no destructor runs.
        let kept = std::fs::read(path(&store, run)).unwrap();
        drop(flight);
        assert!(!path(&store, run).exists());
        std::fs::write(path(&store, run), kept).unwrap();
        let mut found = wrecks(&store);
        let wreck = found.pop().unwrap();
        assert!(found.is_empty() && wreck.run == run);
        assert_eq!(wreck.exchanges.len(), 1);
        assert_eq!(
            (wreck.exchanges[0].sent.as_slice(), wreck.exchanges[0].reply.as_slice()),
            (&b"two"[..], &b"half"[..])
        );
        assert_eq!(wreck.exchanges[0].head.arrival, Some(1));
        assert_eq!(wreck.exchanges[0].head.aborted, Some(Aborted { at: 4, by: By::Recorder }));
        wreck.cleared();
        assert!(wrecks(&store).is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(noise in prop::collection::vec(any::<u8>(), 0..200), small in prop::collection::vec(0u8..6, 0..200)) {
            read(&noise);
            read(&small);
        }
    }
}
