//! Everything that the course of a run depends on besides its instance.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::canon::{Blake3, json as canonical};
use crate::edit::Format;
use crate::prompt::{Budget, Listing, Skill};

use super::orchestration::{FORMAT, orchestration_digest};
use super::spending::Spending;
use super::tests_mode::TestsMode;

/// A stronger model for the hard cases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fallback {
    /// Name of the model, `provider:model`.
    pub model: String,
    /// Attempts that the first model has before the fallback takes over.
    pub after: u32,
}

/// A skill by what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SkillDigest {
    /// Its name.
    pub name: String,
    /// Digest of its text, which is a body of the run's first event.
    pub digest: Blake3,
}

/// What the loop is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// Name of the configuration, one of the arms.
    pub arm: String,
    /// Name of the model, `provider:model`; paths of this machine are left out.
    pub model: String,
    /// The stronger model, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
    /// What the model is asked for; only the baseline differs.
    #[serde(default, skip_serializing_if = "Format::is_default")]
    pub format: Format,
    /// How much of each file is shown; only comparisons differ.
    #[serde(default, skip_serializing_if = "Listing::is_default")]
    pub listing: Listing,
    /// Bytes that the skills of another configuration take, which is compared with this one: the files are selected as if
    /// these skills were here, so that both show the same ones.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skills_room: u32,
    /// The skills in the instructions, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skills: Vec<SkillDigest>,
    /// The texts of the skills. They are bodies of the run's first event, so a replay needs no folder.
    #[serde(skip)]
    pub skill_texts: Vec<Skill>,
    /// Which tests drive the loop.
    pub tests: TestsMode,
    /// Attempts at most.
    pub attempts: u32,
    /// Seed of every call. Greedy decoding does not depend on it, and the seeds of a campaign show that.
    pub seed: u32,
    /// Prompt and reply together, in tokens.
    pub context_tokens: u32,
    /// The reply, in tokens.
    pub reply_tokens: u32,
    /// Whether decoding is limited to edits of the files shown, which only the embedded engine can do.
    pub constrained: bool,
    /// How often the tests run before any edit; tests that end differently are flaky.
    pub red_runs: u32,
    /// Limit of one test run in seconds, where the instance names none.
    pub timeout_seconds: u32,
    /// What the run may use of its models.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spending: Option<Spending>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// Says why a run's header cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The header is not what this version writes.
    #[error("the run's header cannot be read: {0}")]
    Malformed(String),
    /// The run was driven by other rules than this version has.
    #[error("the run was orchestrated by {recorded} (runproof {version}); this version is {ours}")]
    OtherOrchestration {
        /// Digest in the header.
        recorded: Blake3,
        /// Version that wrote it.
        version: String,
        /// Digest of this version.
        ours: Blake3,
    },
}

/// The header as it stands in the run's first event.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderData {
    format: u32,
    version: String,
    orchestration: Blake3,
    options: Options,
}

impl Options {
    /// Takes skills, with their texts and digests.
    #[must_use]
    pub fn with_skills(mut self, skills: Vec<Skill>) -> Self {
        let digest =
            |skill: &Skill| SkillDigest { name: skill.name.clone(), digest: Blake3::of(skill.text.as_bytes()) };
        self.skills = skills.iter().map(digest).collect();
        self.skill_texts = skills;
        self
    }

    /// Returns the room for a prompt and its reply.
    pub fn budget(&self) -> Budget {
        Budget { context_tokens: self.context_tokens, reply_tokens: self.reply_tokens }
    }

    /// Returns the name of the model that an attempt asked.
    pub fn model_of(&self, is_fallback: bool) -> &str {
        match &self.fallback {
            Some(fallback) if is_fallback => &fallback.model,
            _ => &self.model,
        }
    }

    /// Names the arm and whoever may have written a patch, so that a fallback's fixes are never counted as the model's.
    pub fn model_name_or_path(&self) -> String {
        let fallback = self.fallback.as_ref().map_or_else(String::new, |it| format!(" + {}", it.model));
        format!("runproof {} {}{fallback}", self.arm, self.model)
    }

    /// Returns the data of the run's first event.
    pub(super) fn header(&self) -> Map<String, Value> {
        let header = HeaderData {
            format: FORMAT,
            version: env!("CARGO_PKG_VERSION").into(),
            orchestration: orchestration_digest(),
            options: self.clone(),
        };
        match serde_json::to_value(header) {
            Ok(Value::Object(data)) => data,
            _ => unreachable!("a struct of strings and integers is a JSON object"),
        }
    }

    /// Reads the options out of the data of a run's first event.
    ///
    /// # Errors
    /// Data of another shape, or of a version whose rules differ from ours: it would diverge for no fault of the run.
    pub fn from_header(data: &[u8]) -> Result<Self, OptionsError> {
        let header: HeaderData =
            canonical::from_bytes(data).map_err(|error| OptionsError::Malformed(error.to_string()))?;
        let ours = orchestration_digest();
        if header.orchestration != ours {
            let (recorded, version) = (header.orchestration, header.version);
            return Err(OptionsError::OtherOrchestration { recorded, version, ours });
        }
        Ok(header.options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> Options {
        Options {
            arm: "direct-6+fallback".into(),
            model: "scripted:x".into(),
            fallback: Some(Fallback { model: "scripted:y".into(), after: 3 }),
            format: Format::Patch,
            listing: Listing::Whole,
            skills_room: 7,
            skills: Vec::new(),
            skill_texts: Vec::new(),
            tests: TestsMode::Oracle,
            attempts: 6,
            seed: 42,
            context_tokens: 8192,
            reply_tokens: 1024,
            constrained: false,
            red_runs: 2,
            timeout_seconds: 600,
            spending: None,
        }
    }

    #[test]
    fn a_header_reads_back() {
        let data = canonical::to_bytes(&options().header()).unwrap();
        assert_eq!(Options::from_header(&data).unwrap(), options());
        let with = options().with_skills(crate::prompt::default_skills());
        let data = canonical::to_bytes(&with.header()).unwrap();
        let read = Options::from_header(&data).unwrap();
        assert_eq!((read.skills.len(), read.skill_texts.len()), (5, 0), "texts are bodies of their own");
        assert_eq!(read.skills, with.skills);
    }

    #[test]
    fn a_header_of_other_rules_is_refused_by_name() {
        let mut header = options().header();
        header.insert("orchestration".into(), serde_json::json!(Blake3::of(b"other")));
        header.insert("version".into(), "0.0.1".into());
        let error = Options::from_header(&canonical::to_bytes(&header).unwrap()).unwrap_err();
        assert!(error.to_string().contains("runproof 0.0.1"), "{error}");
    }
}
