//! Events and their manifest lines.
//!
//! A manifest line is the canonical JSON of one event: its position, kind, own small data, and a reference to every
//! body. The manifest of a run is its lines in order, each ended by a line feed. Two Merkle roots bind it:
//! the raw one over the lines as they stand, and the canonical one over the lines without what two live runs of the
//! same thing may differ in (the position, the raw reply, the wire bytes), leaving failed tries out altogether.

use std::io::Write as _;

use serde_json::{Map, Value};

use crate::canon::{BlobRef, CanonError, json as canonical};

/// What an event is about. The names are part of the manifest format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The run's header: format versions, orchestration digest, configuration.
    Run,
    /// The instance worked on.
    Instance,
    /// The resolved identity of a model.
    Model,
    /// A listing of the worktree: path, mode, digest of every file.
    Tree,
    /// The bytes of one file of the base tree.
    File,
    /// The ranking of files.
    Selection,
    /// The digest of the worktree at a named moment.
    TreeCheck,
    /// What a prompt shows and tells, and which failure it answers to.
    Prompt,
    /// A test execution.
    Test,
    /// A model call.
    ModelCall,
    /// A try of the next event that failed and was, or could have been, repeated.
    FailedTry,
    /// An HTTP exchange between a recorded agent and a model's server.
    Exchange,
    /// What a reply was read as: edits, or a refusal.
    Edit,
    /// The judgement over one attempt or gate.
    Verdict,
    /// Whether git accepts the final patch.
    PatchCheck,
    /// How the run ended.
    Result,
}

impl Kind {
    const NAMES: [(Self, &'static str); 16] = [
        (Self::Run, "run"),
        (Self::Instance, "instance"),
        (Self::Model, "model"),
        (Self::Tree, "tree"),
        (Self::File, "file"),
        (Self::Selection, "selection"),
        (Self::TreeCheck, "tree_check"),
        (Self::Prompt, "prompt"),
        (Self::Test, "test"),
        (Self::ModelCall, "model_call"),
        (Self::FailedTry, "failed_try"),
        (Self::Exchange, "exchange"),
        (Self::Edit, "edit"),
        (Self::Verdict, "verdict"),
        (Self::PatchCheck, "patch_check"),
        (Self::Result, "result"),
    ];

    /// Returns the name in the manifest.
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }

    /// Returns the kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind)
    }
}

/// Slot of the canonical request that an event answers.
pub(crate) const REQUEST: &str = "request";
/// Slot of the exact bytes that came back.
pub(crate) const REPLY: &str = "reply";
/// Slot of the reply after its named normalisation.
pub(crate) const CANONICAL: &str = "canonical";
/// Slot of the exact bytes that went over the wire.
pub(crate) const SENT: &str = "sent";

/// Slot of the exact bytes that a recorded agent asked with, where others were sent on for it.
pub(crate) const RECEIVED: &str = "received";

/// Slots whose bytes may differ between two live runs of the same thing.
const RAW_SLOTS: [&str; 3] = [REPLY, SENT, RECEIVED];

/// Says why an event has no manifest line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// The event's own data is not a canonical JSON object.
    #[error("event {0} holds data that is not a canonical JSON object")]
    Data(u32),
    /// The event has a kind that this version does not know.
    #[error("event {0} is of the unknown kind {1:?}")]
    Kind(u32, String),
    /// A value outside canonical JSON.
    #[error(transparent)]
    Canon(#[from] CanonError),
}

/// Returns the manifest line of an event, without the line feed.
///
/// # Errors
/// An unknown kind, or data that is not a canonical JSON object.
pub fn manifest_line(
    position: u32,
    kind: &str,
    data: &[u8],
    bodies: &[(&str, BlobRef)],
) -> Result<Vec<u8>, ManifestError> {
    check(position, kind, data)?;
    written(Some(position), kind, data, bodies)
}

/// Returns the leaf of the canonical root, or nothing for an event that it leaves out.
///
/// # Errors
/// As [`manifest_line`].
pub fn canonical_leaf(
    position: u32,
    kind: &str,
    data: &[u8],
    bodies: &[(&str, BlobRef)],
) -> Result<Option<Vec<u8>>, ManifestError> {
    check(position, kind, data)?;
    leaf_written(kind, data, bodies)
}

/// Refuses a kind that is unknown and data that is no canonical JSON object.
pub(super) fn check(position: u32, kind: &str, data: &[u8]) -> Result<(), ManifestError> {
    if Kind::from_name(kind).is_none() {
        return Err(ManifestError::Kind(position, kind.chars().take(40).collect()));
    }
    let _: Map<String, Value> = canonical::from_bytes(data).map_err(|_| ManifestError::Data(position))?;
    Ok(())
}

/// As [`canonical_leaf`], of parts that are in canonical form.
pub(super) fn leaf_written(
    kind: &str,
    data: &[u8],
    bodies: &[(&str, BlobRef)],
) -> Result<Option<Vec<u8>>, ManifestError> {
    if kind == Kind::FailedTry.name() {
        return Ok(None);
    }
    let kept: Vec<_> = bodies.iter().copied().filter(|(slot, _)| !RAW_SLOTS.contains(slot)).collect();
    written(None, kind, data, &kept).map(Some)
}

/// Writes the members in canonical order; the line has a position, the leaf has none. `data` is in canonical form.
pub(super) fn written(
    position: Option<u32>,
    kind: &str,
    data: &[u8],
    bodies: &[(&str, BlobRef)],
) -> Result<Vec<u8>, ManifestError> {
    let mut bodies = bodies.to_vec();
    bodies.sort_by(|(a, _), (b, _)| canonical::order(a, b));
    let mut out = Vec::with_capacity(data.len() + 220 * bodies.len() + 64);
    out.extend_from_slice(b"{\"bodies\":{");
    for (index, (slot, blob)) in bodies.iter().enumerate() {
        if blob.size > canonical::MAX_INTEGER {
            return Err(CanonError::Large(blob.size.to_string()).into());
        }
        if index > 0 {
            out.push(b',');
        }
        canonical::write_string(slot, &mut out);
        let (blake3, sha256, size) = (blob.blake3, blob.sha256, blob.size);
        write!(out, ":{{\"blake3\":\"{blake3}\",\"sha256\":\"{sha256}\",\"size\":{size}}}").expect("memory has room");
    }
    out.extend_from_slice(b"},\"data\":");
    out.extend_from_slice(data);
    if let Some(position) = position {
        write!(out, ",\"i\":{position}").expect("memory has room");
    }
    out.extend_from_slice(b",\"kind\":");
    canonical::write_string(kind, &mut out);
    out.push(b'}');
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_kind_has_one_name() {
        for (kind, name) in Kind::NAMES {
            assert_eq!(kind.name(), name);
            assert_eq!(Kind::from_name(name), Some(kind));
        }
        assert_eq!(Kind::from_name(""), None);
    }

    #[test]
    fn the_canonical_leaf_leaves_out_position_wire_and_raw_reply() {
        let blob = |text: &str| BlobRef::of(text.as_bytes());
        let leaf = |position, raw: &str, sent: &str| {
            let bodies = [(REQUEST, blob("q")), (SENT, blob(sent)), (REPLY, blob(raw)), (CANONICAL, blob("a"))];
            canonical_leaf(position, "model_call", br#"{"try":1}"#, &bodies).unwrap()
        };
        assert_eq!(leaf(3, "x", "y"), leaf(7, "other", "wire"));
        assert_eq!(canonical_leaf(0, "failed_try", b"{}", &[]).unwrap(), None);
        let text = String::from_utf8(leaf(3, "x", "y").unwrap()).unwrap();
        assert!(
            text.contains("\"canonical\"") && text.contains("\"request\"") && !text.contains("\"reply\""),
            "{text}"
        );
    }

    proptest! {
        /// The line is written piece by piece; the general writer says the same.
        #[test]
        fn a_line_is_what_the_canonical_form_of_its_members_is(
            position: u32, slots in prop::collection::btree_set(any::<String>(), 0..5), text in any::<String>(),
        ) {
            let data = canonical::to_bytes(&json!({ "text": text })).unwrap();
            let bodies: Vec<(&str, BlobRef)> =
                slots.iter().map(|slot| (slot.as_str(), BlobRef::of(slot.as_bytes()))).collect();
            let named: Map<String, Value> =
                bodies.iter().map(|(slot, blob)| ((*slot).to_owned(), json!(blob))).collect();
            let whole = json!({"i": position, "kind": "edit", "data": {"text": text}, "bodies": named});
            prop_assert_eq!(
                manifest_line(position, "edit", &data, &bodies).unwrap(),
                canonical::to_bytes(&whole).unwrap()
            );
        }
    }

    #[test]
    fn a_line_is_canonical_json_and_refuses_what_is_not() {
        let line = manifest_line(5, "edit", br#"{"a":1}"#, &[("edits", BlobRef::of(b"e"))]).unwrap();
        let value: Value = canonical::from_bytes(&line).unwrap();
        assert_eq!(value["i"], 5);
        assert_eq!(value["bodies"]["edits"]["size"], 1);
        assert!(manifest_line(5, "edit", b"[]", &[]).is_err());
        assert!(manifest_line(5, "edit", br#"{"a": 1}"#, &[]).is_err());
        assert!(manifest_line(5, "dance", b"{}", &[]).is_err());
    }
}
