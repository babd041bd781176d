//! The manifest and the blobs of one run, wherever they lie: in a store, or in an evidence folder without any database.
//!
//! Opening reads the manifest and computes both roots; nothing in it is believed before that. From a folder, blobs are
//! read, and checked against both their digests, when they are asked for; [`Evidence::check_bodies`] asks for all.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value};

use super::event::{Kind, ManifestError};
use super::folder::{self, Folder, MANIFEST, MANIFESTS, Writer};
use super::kept::{Kept, Reference, reference};
use super::roots::Roots;
use crate::canon::{Blake3, BlobRef, RunId, Sha256, json as canonical};
use crate::store::{NewEvent, NewRun, RunEnd, RunStatus, Store, StoreError};

/// Bytes of all different blobs of a run together that are read from a folder.
const MAX_BYTES: u64 = 8 << 30;

/// Says what was wrong with which part of the evidence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// A file that the manifest names is not there.
    #[error("{0} is missing")]
    Missing(String),
    /// A link, folder, device or the like where a file belongs.
    #[error("{0} is not a regular file")]
    NotAFile(String),
    /// The bytes are not the ones that the manifest names.
    #[error("{0} is not what its digests and size say")]
    Differs(String),
    /// A file, or all of them together, are larger than what is read.
    #[error("{name} is {size} bytes; at most {limit} are read")]
    Size {
        /// The file.
        name: String,
        /// Its size in bytes.
        size: u64,
        /// What is read at most.
        limit: u64,
    },
    /// A name that could mean a file elsewhere.
    #[error("{0:?} is not the name of a file of an evidence folder")]
    Name(String),
    /// A line of the manifest.
    #[error("line {line} of the manifest is malformed: {reason}")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// An event lacks a body that every event of its kind has.
    #[error("event {event} has no {slot}")]
    Slot {
        /// Position of the event.
        event: u32,
        /// The body's slot.
        slot: String,
    },
    /// An event without a manifest line.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The store fails, or holds bytes that are not what their digests say.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl EvidenceError {
    pub(super) fn io(path: PathBuf, source: std::io::Error) -> Self {
        Self::Io { path, source }
    }

    /// Says whether the evidence is incomplete, as opposed to wrong.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }
}

/// One event, as its manifest line says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Position in the run, from 0.
    pub position: u32,
    /// What it is about.
    pub kind: Kind,
    /// Its own small data.
    pub data: Map<String, Value>,
    /// Its bodies by slot.
    pub bodies: BTreeMap<String, BlobRef>,
}

impl Entry {
    /// Returns the canonical bytes of the event's own data.
    pub fn data_bytes(&self) -> Vec<u8> {
        canonical::object_to_bytes(&self.data).expect("it was read from canonical JSON")
    }
}

/// A manifest line as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    i: u32,
    kind: String,
    data: Map<String, Value>,
    bodies: BTreeMap<String, BlobRef>,
}

enum Source<'a> {
    Store(&'a Store, RunId),
    Folder(&'a Folder),
}

/// The manifest and the blobs of one run.
pub struct Evidence<'a> {
    source: Source<'a>,
    entries: Vec<Entry>,
    manifest: Vec<u8>,
    roots: Roots,
    kept: RefCell<Kept>,
    /// Number of different blobs, once all were found to be there.
    checked: Cell<Option<usize>>,
}

impl<'a> Evidence<'a> {
    /// Reads a run of a store, every body of it, and computes its manifest.
    ///
    /// # Errors
    /// A store that fails, bytes that are not what their digests say, or an event without a manifest line.
    pub fn of_run(store: &'a Store, run: RunId) -> Result<Self, EvidenceError> {
        let (mut entries, mut manifest, mut roots) = (Vec::new(), Vec::new(), Roots::default());
        let mut kept = Kept::default();
        for (position, event) in (0..).zip(store.events(run)?) {
            if event.seq != position {
                return Err(ManifestError::Data(event.seq).into());
            }
            let mut bodies = BTreeMap::new();
            for body in &event.bodies {
                let bytes = store.body(run, event.seq, &body.slot)?;
                let blob = BlobRef::of(&bytes);
                kept.keep(&blob, &bytes);
                bodies.insert(body.slot.clone(), blob);
            }
            let named: Vec<_> = bodies.iter().map(|(slot, blob)| (slot.as_str(), *blob)).collect();
            manifest.extend(roots.push(position, &event.kind, &event.data, &named)?);
            manifest.push(b'\n');
            let kind = Kind::from_name(&event.kind).ok_or_else(|| ManifestError::Kind(position, event.kind.clone()))?;
            let data = serde_json::from_slice(&event.data).map_err(|_| ManifestError::Data(position))?;
            entries.push(Entry { position, kind, data, bodies });
        }
        Ok(Self {
            source: Source::Store(store, run),
            entries,
            manifest,
            roots,
            kept: RefCell::new(kept),
            checked: Cell::new(None),
        })
    }

    /// Reads the manifest of an evidence folder; its blobs are read when they are asked for.
    ///
    /// # Errors
    /// A manifest that is missing, too large, or holds a line that we would not have written.
    pub fn of_folder(folder: &'a Folder) -> Result<Self, EvidenceError> {
        Self::read(folder, folder.manifest()?)
    }

    /// Reads a run of a campaign from the campaign's evidence folder, by the digests of its manifest.
    ///
    /// # Errors
    /// As [`Evidence::of_folder`]; a manifest with another digest.
    pub fn of_member(folder: &'a Folder, sha256: Sha256, blake3: Blake3) -> Result<Self, EvidenceError> {
        Self::read(folder, folder.member(sha256, blake3)?)
    }

    fn read(folder: &'a Folder, manifest: Vec<u8>) -> Result<Self, EvidenceError> {
        let (mut entries, mut roots) = (Vec::new(), Roots::default());
        let mut rest = manifest.as_slice();
        while !rest.is_empty() {
            let line = entries.len() + 1;
            let wrong = |reason: &dyn std::fmt::Display| EvidenceError::Line { line, reason: reason.to_string() };
            let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(|| wrong(&"it does not end"))?;
            let (bytes, after) = (&rest[..end], &rest[end + 1..]);
            let parsed: Line = serde_json::from_slice(bytes).map_err(|error| wrong(&error))?;
            if parsed.i as usize != entries.len() {
                return Err(wrong(&format!("it says position {}", parsed.i)));
            }
            let kind = Kind::from_name(&parsed.kind).ok_or_else(|| wrong(&"its kind is unknown"))?;
            let entry = Entry { position: parsed.i, kind, data: parsed.data, bodies: parsed.bodies };
            let named: Vec<_> = entry.bodies.iter().map(|(slot, blob)| (slot.as_str(), *blob)).collect();
            // Every line has one form, so a duplicate, unknown or differently written member shows here.
            let data = canonical::object_to_bytes(&entry.data).map_err(|error| wrong(&error))?;
            if roots.push_canonical(entry.position, kind.name(), &data, &named)? != bytes {
                return Err(wrong(&"it is not in canonical form"));
            }
            entries.push(entry);
            rest = after;
        }
        Ok(Self {
            source: Source::Folder(folder),
            entries,
            manifest,
            roots,
            kept: RefCell::default(),
            checked: Cell::new(None),
        })
    }

    /// Returns the events in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the manifest: a line for each event, each ended by a line feed.
    pub fn manifest(&self) -> &[u8] {
        &self.manifest
    }

    /// Returns both Merkle roots over the manifest's lines.
    pub fn roots(&self) -> &Roots {
        &self.roots
    }

    /// Returns the bytes of one body, after checking size and both digests.
    ///
    /// # Errors
    /// A slot that the event lacks, a blob that is missing, or other bytes than the manifest names.
    pub fn body(&self, entry: &Entry, slot: &str) -> Result<Vec<u8>, EvidenceError> {
        let missing = || EvidenceError::Slot { event: entry.position, slot: slot.into() };
        let blob = entry.bodies.get(slot).ok_or_else(missing)?;
        if let Some(bytes) = self.kept.borrow().get(blob) {
            return Ok(bytes.to_vec());
        }
        let bytes = match self.source {
            Source::Folder(folder) => folder.blob(blob)?,
            Source::Store(store, run) => {
                let bytes = store.body(run, entry.position, slot)?;
                if BlobRef::of(&bytes) != *blob {
                    // The store was changed since the manifest was computed.
                    return Err(EvidenceError::Differs(format!("{slot} of event {}", entry.position)));
                }
                bytes
            }
        };
        self.kept.borrow_mut().keep(blob, &bytes);
        Ok(bytes)
    }

    /// Reads every blob, once for all, and returns how many different ones there are.
    ///
    /// # Errors
    /// The first one that is missing or is not what the manifest names.
    pub fn check_bodies(&self) -> Result<usize, EvidenceError> {
        if let Some(number) = self.checked.get() {
            return Ok(number);
        }
        // By everything that a reference says: equal by one digest is not yet equal by the other.
        let mut seen = BTreeSet::<Reference>::new();
        let mut total = 0_u64;
        for entry in &self.entries {
            for (slot, blob) in &entry.bodies {
                if seen.insert(reference(blob)) {
                    total = total.saturating_add(blob.size);
                    if total > MAX_BYTES {
                        return Err(EvidenceError::Size { name: "the evidence".into(), size: total, limit: MAX_BYTES });
                    }
                    self.body(entry, slot)?;
                }
            }
        }
        self.checked.set(Some(seen.len()));
        Ok(seen.len())
    }

    /// Returns the number of files in the folder's `blobs/` that the manifest does not name; none for a store.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub fn superfluous(&self) -> Result<usize, EvidenceError> {
        let Source::Folder(folder) = self.source else { return Ok(0) };
        let named: BTreeSet<String> =
            self.entries.iter().flat_map(|entry| entry.bodies.values()).map(|blob| blob.sha256.to_hex()).collect();
        folder.superfluous(&|name| named.contains(name))
    }

    /// Writes the evidence as a folder that was not there before, with `files` beside the manifest: all or nothing.
    ///
    /// # Errors
    /// As [`Evidence::check_bodies`]; a path that is taken or cannot be written.
    pub fn write_folder(&self, path: &Path, files: &[(&str, &[u8])]) -> Result<(), EvidenceError> {
        folder::write_new(path, &mut |writer| {
            self.write_blobs(writer)?;
            files.iter().try_for_each(|(name, bytes)| writer.file(name, bytes))?;
            writer.file(MANIFEST, &self.manifest)
        })
    }

    fn write_blobs(&self, writer: &mut Writer) -> Result<(), EvidenceError> {
        for entry in &self.entries {
            for (slot, blob) in &entry.bodies {
                writer.blob(blob.sha256, || self.body(entry, slot))?;
            }
        }
        Ok(())
    }

    /// Writes the evidence of several runs of `store` as a folder that was not there before, with `files` beside their
    /// manifests: all or nothing.
    ///
    /// # Errors
    /// As [`Evidence::of_run`]; a path that is taken or cannot be written.
    pub fn write_campaign(
        store: &Store,
        runs: &[RunId],
        path: &Path,
        files: &[(&str, &[u8])],
    ) -> Result<(), EvidenceError> {
        folder::write_new(path, &mut |writer| {
            for run in runs {
                let evidence = Evidence::of_run(store, *run)?;
                evidence.write_blobs(writer)?;
                let name = Sha256::of(&evidence.manifest).to_hex();
                writer.file(&format!("{MANIFESTS}/{name}"), &evidence.manifest)?;
            }
            files.iter().try_for_each(|(name, bytes)| writer.file(name, bytes))
        })
    }

    /// Puts the run into a store, so that a [`super::Player`] can replay it.
    ///
    /// Only what is evidence is there: the row's columns for people stay empty but for the roots.
    ///
    /// # Errors
    /// As [`Evidence::check_bodies`]; a store that cannot be written or has a run of this id.
    pub fn load_into(&self, store: &mut Store, run: RunId) -> Result<(), EvidenceError> {
        let mut failed = None;
        // In one transaction: nothing of it is worth keeping without the rest.
        let changed = store.change(|change| {
            change.begin_run(&NewRun {
                id: run,
                name: "evidence",
                kind: "evidence",
                instance: "",
                arm: "",
                model: "",
                tests: "",
                orchestration: "",
                started_ms: 0,
            })?;
            let mut append = |entry: &Entry| -> Result<(), EvidenceError> {
                let bodies = entry.bodies.keys().map(|slot| Ok((slot.as_str(), self.body(entry, slot)?)));
                let bodies = bodies.collect::<Result<Vec<_>, EvidenceError>>()?;
                let bodies: Vec<_> = bodies.iter().map(|(slot, bytes)| (*slot, bytes.as_slice())).collect();
                let (kind, data) = (entry.kind.name(), entry.data_bytes());
                change.append(run, &NewEvent { kind, data: &data, bodies: &bodies, observation: "{}" })?;
                Ok(())
            };
            if let Err(error) = self.entries.iter().try_for_each(&mut append) {
                failed = Some(error);
                return Err(StoreError::Invalid("the evidence".into()));
            }
            let (raw_root, canonical_root) = (self.roots.raw(), self.roots.canonical());
            let (status, outcome, attempts, finished_ms) = (RunStatus::Finished, "", 0, 0);
            change.finish_run(run, &RunEnd { status, outcome, attempts, raw_root, canonical_root, finished_ms })
        });
        changed.map_err(|error| failed.unwrap_or(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::store::{Access, Durability};
    use crate::transcript::check_manifest;

    const RUN: RunId = RunId::from_bytes([7; 12]);

    struct Place {
        folder: tempfile::TempDir,
        store: Store,
    }

    /// A store with a run of two calls, and the path of its evidence folder, not yet written.
    fn place() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&folder.path().join("s.sqlite"), Access::Create, Durability::Normal).unwrap();
        store
            .begin_run(&NewRun {
                id: RUN,
                name: "n",
                kind: "solve",
                instance: "i",
                arm: "a",
                model: "m",
                tests: "existing",
                orchestration: "o",
                started_ms: 5,
            })
            .unwrap();
        for number in 0..2 {
            let request = format!("question {number}");
            let bodies: [(&str, &[u8]); 3] = [("request", request.as_bytes()), ("reply", b"yes"), ("canonical", b"y")];
            let event =
                NewEvent { kind: "model_call", data: br#"{"normaliser":"x/1"}"#, bodies: &bodies, observation: "{}" };
            store.append(RUN, &event).unwrap();
        }
        Place { folder, store }
    }

    impl Place {
        fn out(&self) -> PathBuf {
            self.folder.path().join("evidence")
        }

        fn written(&self) -> PathBuf {
            let evidence = Evidence::of_run(&self.store, RUN).unwrap();
            evidence.write_folder(&self.out(), &[("rung-641.json", b"{}")]).unwrap();
            self.out()
        }
    }

    fn blob_of(bytes: &[u8]) -> String {
        Sha256::of(bytes).to_hex()
    }

    #[test]
    fn a_folder_says_what_the_store_says() {
        let place = place();
        let out = place.written();
        let of_store = Evidence::of_run(&place.store, RUN).unwrap();
        let folder = Folder::open(&out).unwrap();
        let of_folder = Evidence::of_folder(&folder).unwrap();
        assert_eq!(of_folder.manifest(), of_store.manifest());
        assert_eq!(of_folder.entries(), of_store.entries());
        assert_eq!(of_folder.roots().raw(), check_manifest(&place.store, RUN, &mut |_| {}).unwrap().raw());
        assert_eq!(of_folder.roots().canonical(), of_store.roots().canonical());
        assert_eq!((of_folder.check_bodies().unwrap(), of_store.check_bodies().unwrap()), (4, 4));
        assert_eq!(of_folder.body(&of_folder.entries()[1], "request").unwrap(), b"question 1");
        assert_eq!(folder.read("rung-641.json", 10).unwrap(), b"{}");
        assert_eq!(of_folder.superfluous().unwrap(), 0);
        fs::write(out.join("blobs/more"), "x").unwrap();
        assert_eq!(of_folder.superfluous().unwrap(), 1);

        let mut copy = Store::open(&place.folder.path().join("c.sqlite"), Access::Create, Durability::Normal).unwrap();
        of_folder.load_into(&mut copy, RUN).unwrap();
        let loaded = Evidence::of_run(&copy, RUN).unwrap();
        assert_eq!(loaded.manifest(), of_store.manifest());
        assert_eq!(copy.run(RUN).unwrap().unwrap().raw_root, Some(of_store.roots().raw()));
    }

    #[test]
    fn a_folder_that_is_there_is_left_alone() {
        let place = place();
        place.written();
        let again = Evidence::of_run(&place.store, RUN).unwrap().write_folder(&place.out(), &[]);
        assert!(matches!(again, Err(EvidenceError::Io { .. })), "{again:?}");
        assert!(place.out().join("rung-641.json").exists());
        assert!(!place.folder.path().join("evidence.part").exists());
    }

    #[test]
    fn a_blob_that_is_not_what_the_manifest_names_is_refused() {
        type Harm = fn(&Path);
        let cases: [(&str, Harm, &str); 7] = [
            ("missing", |blob| fs::remove_file(blob).unwrap(), "is missing"),
            ("one byte", |blob| fs::write(blob, "yEs").unwrap(), "is not what its digests"),
            ("longer", |blob| fs::write(blob, "yes and more").unwrap(), "is not what its digests"),
            ("shorter", |blob| fs::write(blob, "").unwrap(), "is not what its digests"),
            (
                "a link to the right bytes",
                |blob| {
                    let elsewhere = blob.parent().unwrap().parent().unwrap().parent().unwrap().join("yes");
                    fs::rename(blob, &elsewhere).unwrap();
                    symlink(elsewhere, blob).unwrap();
                },
                "is not a regular file",
            ),
            (
                "a folder",
                |blob| {
                    fs::remove_file(blob).unwrap();
                    fs::create_dir(blob).unwrap();
                },
                "is not a regular file",
            ),
            (
                "a fifo, which would wait for a writer",
                |blob| {
                    fs::remove_file(blob).unwrap();
                    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
                    rustix::fs::mknodat(rustix::fs::CWD, blob, rustix::fs::FileType::Fifo, mode, 0).unwrap();
                },
                "is not a regular file",
            ),
        ];
        for (what, harm, word) in cases {
            let place = place();
            let out = place.written();
            harm(&out.join("blobs").join(blob_of(b"yes")));
            let folder = Folder::open(&out).unwrap();
            let evidence = Evidence::of_folder(&folder).unwrap();
            let error = evidence.check_bodies().unwrap_err();
            assert!(error.to_string().contains(word), "{what}: {error}");
            assert_eq!(error.is_missing(), what == "missing");
            let mut copy =
                Store::open(&place.folder.path().join("c.sqlite"), Access::Create, Durability::Normal).unwrap();
            assert!(evidence.load_into(&mut copy, RUN).is_err(), "{what}");
            assert_eq!(copy.runs().unwrap(), [], "{what}");
        }
    }

    #[test]
    fn a_folder_of_blobs_that_is_a_link_is_not_followed() {
        let place = place();
        let out = place.written();
        let moved = place.folder.path().join("moved");
        fs::rename(out.join("blobs"), &moved).unwrap();
        symlink(&moved, out.join("blobs")).unwrap();
        let folder = Folder::open(&out).unwrap();
        assert!(Evidence::of_folder(&folder).unwrap().check_bodies().unwrap_err().is_missing());
    }

    #[test]
    fn a_manifest_that_we_would_not_have_written_is_refused() {
        let place = place();
        let out = place.written();
        let good = fs::read_to_string(out.join(MANIFEST)).unwrap();
        let (first, second) = good.split_once('\n').unwrap();
        let cases = [
            ("no end", good.trim_end().to_owned()),
            ("an empty line", format!("{good}\n")),
            ("lines swapped", format!("{second}{first}\n")),
            ("a line twice", format!("{good}{second}")),
            ("blanks", good.replacen(":", ": ", 1)),
            ("another position", good.replacen("\"i\":0", "\"i\":1", 1)),
            ("an unknown kind", good.replacen("model_call", "dance", 1)),
            ("a member more", good.replacen("\"i\":0", "\"h\":0,\"i\":0", 1)),
            ("an array for the object", "[0,\"run\",{},{}]\n".to_owned()),
            ("a digest in capitals", good.to_uppercase()),
            ("brackets", "[".repeat(100_000)),
        ];
        for (what, text) in cases {
            fs::write(out.join(MANIFEST), text).unwrap();
            let folder = Folder::open(&out).unwrap();
            assert!(matches!(Evidence::of_folder(&folder), Err(EvidenceError::Line { .. })), "{what}");
        }
        fs::remove_file(out.join(MANIFEST)).unwrap();
        assert!(Evidence::of_folder(&Folder::open(&out).unwrap()).is_err_and(|error| error.is_missing()));
    }

    #[test]
    fn only_plain_names_are_opened() {
        let place = place();
        let folder = Folder::open(&place.written()).unwrap();
        for name in ["../s.sqlite", "/etc/passwd", "", ".", "..", "a/b", "a\\b", "a\0b", "c:", "x ", "x."] {
            assert!(matches!(folder.read(name, 9), Err(EvidenceError::Name(_))), "{name:?}");
        }
        assert!(matches!(folder.read(MANIFEST, 9), Err(EvidenceError::Size { .. })));
    }
}
