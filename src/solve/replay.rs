//! Reads back from a store what a replay needs before it can start: the run's options and its instance.

use crate::canon::{Blake3, RunId};
use crate::instance::Instance;
use crate::prompt::Skill;
use crate::store::{Store, StoreError};
use crate::transcript::Kind;

use super::options::{Options, OptionsError};

/// What a solve run was given.
#[derive(Debug, Clone)]
pub struct Header {
    /// The configuration.
    pub options: Options,
    /// The instance, without paths of the machine that recorded it.
    pub instance: Instance,
}

/// Says why a run cannot be driven again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The store fails.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The first event's data.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The run does not begin as a solve run does.
    #[error("the run does not begin with its header and instance: {0}")]
    Shape(String),
}

/// Names the body of the run's first event that holds a skill.
pub(super) fn skill_slot(name: &str) -> String {
    format!("skill:{name}")
}

/// Reads the header of a solve run.
///
/// # Errors
/// A store that fails, a run that does not begin with header and instance, or one of another version's rules.
pub fn header(store: &Store, run: RunId) -> Result<Header, HeaderError> {
    let events = store.events(run)?;
    let shape = |what: &str| HeaderError::Shape(what.into());
    let (first, second) = match events.as_slice() {
        [first, second, ..] => (first, second),
        _ => return Err(shape("it has fewer than two events")),
    };
    if first.kind != Kind::Run.name() || second.kind != Kind::Instance.name() {
        return Err(shape("its first events are of another kind"));
    }
    let mut options = Options::from_header(&first.data)?;
    for skill in &options.skills {
        let bytes = store.body(run, first.seq, &skill_slot(&skill.name))?;
        if Blake3::of(&bytes) != skill.digest {
            return Err(shape(&format!("the skill {} has another text than the header says", skill.name)));
        }
        let text = String::from_utf8(bytes).map_err(|_| shape("a skill is not text"))?;
        options.skill_texts.push(Skill { name: skill.name.clone(), text });
    }
    let bytes = store.body(run, second.seq, "instance")?;
    let instance = Instance::from_bytes(&bytes).map_err(|error| shape(&error.to_string()))?;
    Ok(Header { options, instance })
}
