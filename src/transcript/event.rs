//! Events and their manifest lines.
//!
//! A manifest line is the canonical JSON of one event: its position, kind, own small data, and a reference to every
//! body. The manifest of a run is its lines in order, each ended by a line feed. Two Merkle roots bind it:
//! the raw one over the lines as they stand, and the canonical one over the lines without what two live runs of the
//! same thing may differ in (the position, the raw reply, the wire bytes), leaving failed tries out altogether.

use serde_json::{Map, Value, json};

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
/// Slot of the method, target, status and headers around an exchange's bodies.
pub(crate) const HEAD: &str = "head";

/// Slots whose bytes may differ between two live runs of the same thing.
const RAW_SLOTS: [&str; 4] = [REPLY, SENT, RECEIVED, HEAD];

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
    let mut members = leaf_members(position, kind, data, bodies, |_| true)?;
    members.insert("i".into(), json!(position));
    Ok(canonical::to_bytes(&members)?)
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
    if kind == Kind::FailedTry.name() {
        return Ok(None);
    }
    let members = leaf_members(position, kind, data, bodies, |slot| !RAW_SLOTS.contains(&slot))?;
    Ok(Some(canonical::to_bytes(&members)?))
}

fn leaf_members(
    position: u32,
    kind: &str,
    data: &[u8],
    bodies: &[(&str, BlobRef)],
    keep: impl Fn(&str) -> bool,
) -> Result<Map<String, Value>, ManifestError> {
    if Kind::from_name(kind).is_none() {
        return Err(ManifestError::Kind(position, kind.chars().take(40).collect()));
    }
    let data: Map<String, Value> = canonical::from_bytes(data).map_err(|_| ManifestError::Data(position))?;
    let kept: Map<String, Value> =
        bodies.iter().filter(|(slot, _)| keep(slot)).map(|(slot, blob)| ((*slot).to_owned(), json!(blob))).collect();
    let mut members = Map::new();
    members.insert("kind".into(), json!(kind));
    members.insert("data".into(), Value::Object(data));
    members.insert("bodies".into(), Value::Object(kept));
    Ok(members)
}

#[cfg(test)]
mod tests {
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
