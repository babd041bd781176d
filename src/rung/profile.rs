//! The thresholds that campaigns are held against, as a file whose digest every rung names.

use serde::{Deserialize, Serialize};

use crate::canon::{CanonError, Sha256, json as canonical};
use crate::statistics::MILLION;

/// Bytes of a profile file that are read.
const MAX_PROFILE: usize = 64 << 10;

/// What a campaign must reach. Shares are integers per million.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Profile {
    /// A name for people.
    pub name: String,
    /// The arm of direct edits, whose figures count.
    pub direct: String,
    /// The arm of patches that it is compared with.
    pub patch: String,
    /// Instances at least.
    pub instances: u32,
    /// Share of instances that the direct arm resolves at least, for 274177.
    pub direct_resolved: u64,
    /// Seeds that every instance's direct arm was run with; the first one's runs are compared over the arms.
    pub seeds: Vec<u32>,
    /// Share of instances that the direct arm resolves at least, for 65537.
    pub full_resolved: u64,
    /// How often every call was executed again, at least.
    pub executions: u32,
    /// Calls at most that promise nothing and so were not executed again.
    pub not_reexecutable: u32,
    /// The data set that has to be there completely, for 65537.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_set: Option<DataSet>,
}

/// A data set, pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSet {
    /// A name for people.
    pub name: String,
    /// Digest of its instances: SHA-256 of the canonical JSON object from each instance's id to its digest, which is the
    /// SHA-256 of its published fields, for a row of a data set, or of its recorded bytes.
    pub digest: Sha256,
    /// Number of its instances.
    pub count: u32,
}

impl Default for Profile {
    /// The built-in profile: the thresholds of the source document.
    fn default() -> Self {
        Self {
            name: "built-in".into(),
            direct: "direct-6".into(),
            patch: "patch".into(),
            instances: 5,
            direct_resolved: 400_000,
            seeds: vec![42, 137, 9001],
            full_resolved: MILLION,
            executions: 3,
            not_reexecutable: 0,
            data_set: None,
        }
    }
}

/// The profile of that name pins SWE-bench Lite.
const LITE: &str = "swe-bench-lite";
/// Digest of its instances, as [`DataSet::digest`] has it.
const LITE_DIGEST: &str = "sha256:ef1de0c00f7c51de8414333011c360ee08671ebcf8432a53bf578d3eb6700715";

/// Says why a file is no profile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// Neither TOML nor JSON of the right shape.
    #[error("the profile is malformed: {0}")]
    Malformed(String),
    /// A threshold that asks for nothing, or for the impossible.
    #[error("the profile's {0}")]
    Value(&'static str),
    /// A value that has no canonical form.
    #[error(transparent)]
    Canon(#[from] CanonError),
}

impl Profile {
    /// Returns the built-in profile of a name: `built-in`, or `swe-bench-lite`, which has the same thresholds and pins the
    /// 300 instances of SWE-bench Lite's test split.
    pub fn named(name: &str) -> Option<Self> {
        let data_set = DataSet { name: "SWE-bench Lite".into(), digest: Self::lite_digest(), count: 300 };
        match name {
            "built-in" => Some(Self::default()),
            LITE => Some(Self { name: LITE.into(), data_set: Some(data_set), ..Self::default() }),
            _ => None,
        }
    }

    /// Returns the built-in profile of a digest.
    pub fn of_digest(digest: Sha256) -> Option<Self> {
        let all = ["built-in", LITE].into_iter().filter_map(Self::named);
        all.into_iter().find(|profile| profile.digest().is_ok_and(|own| own == digest))
    }

    /// Returns the digest of the instances of SWE-bench Lite.
    pub(super) fn lite_digest() -> Sha256 {
        LITE_DIGEST.parse().expect("a digest")
    }

    /// Reads a profile in TOML or, where it begins with a brace, in JSON. What it leaves out is as built in; what it
    /// names and we do not know is refused.
    ///
    /// # Errors
    /// Another shape, an unknown key, or a threshold without meaning.
    pub fn from_text(text: &str) -> Result<Self, ProfileError> {
        if text.len() > MAX_PROFILE {
            return Err(ProfileError::Malformed(format!("it is larger than {MAX_PROFILE} bytes")));
        }
        let profile: Self = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| ProfileError::Malformed(error.to_string()))?
        } else {
            toml::from_str(text).map_err(|error| ProfileError::Malformed(error.to_string().trim_end().to_owned()))?
        };
        profile.checked()
    }

    fn checked(self) -> Result<Self, ProfileError> {
        let mut seeds = self.seeds.clone();
        seeds.sort_unstable();
        seeds.dedup();
        let wrong = match () {
            () if self.direct.is_empty() || self.patch.is_empty() || self.direct == self.patch => "arms must be two",
            () if self.instances == 0 => "`instances` must be at least 1",
            () if self.direct_resolved > MILLION || self.full_resolved > MILLION => "shares are at most 1000000",
            () if seeds.is_empty() || seeds.len() != self.seeds.len() => "`seeds` must be different ones, at least one",
            () if self.executions == 0 => "`executions` must be at least 1",
            () if self.data_set.as_ref().is_some_and(|set| set.count == 0) => "data set must have an instance",
            () => return Ok(self),
        };
        Err(ProfileError::Value(wrong))
    }

    /// Returns the digest that rungs and certificates name: SHA-256 of the canonical JSON.
    ///
    /// # Errors
    /// Never for a profile that was read; its numbers are small.
    pub fn digest(&self) -> Result<Sha256, ProfileError> {
        Ok(Sha256::of(&self.to_bytes()?))
    }

    /// Returns the canonical bytes: the file `profile.json` beside a campaign's manifest.
    ///
    /// # Errors
    /// Never for a profile that was read.
    pub fn to_bytes(&self) -> Result<Vec<u8>, ProfileError> {
        Ok(canonical::to_bytes(self)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_the_same_in_toml_and_json_and_fills_in_what_is_built_in() {
        let toml = "name = \"mine\"\ndirect_resolved = 500000\n[data_set]\nname = \"lite\"\ncount = 300\ndigest = \"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"\n";
        let json = "{\"name\":\"mine\",\"direct_resolved\":500000,\"data_set\":{\"name\":\"lite\",\"count\":300,\"digest\":\"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\"}}";
        let (a, b) = (Profile::from_text(toml).unwrap(), Profile::from_text(json).unwrap());
        assert_eq!(a.digest().unwrap(), b.digest().unwrap());
        assert_eq!((a.instances, a.seeds.as_slice()), (5, [42, 137, 9001].as_slice()));
        assert_eq!(Profile::from_text("").unwrap(), Profile::default());
        assert_ne!(a.digest().unwrap(), Profile::default().digest().unwrap());
    }

    #[test]
    fn the_profile_of_swe_bench_lite_pins_the_instances_of_the_table() {
        let profile = Profile::named("swe-bench-lite").unwrap();
        let set = profile.data_set.clone().unwrap();
        let table = super::super::published::lite();
        assert_eq!((set.count as usize, set.digest), (table.len(), super::super::published::digest_of_all(table)));
        assert_eq!(Profile { name: "built-in".into(), data_set: None, ..profile }, Profile::named("built-in").unwrap());
        assert_eq!(Profile::named("swe-bench"), None);
    }

    #[test]
    fn what_is_not_known_or_asks_for_nothing_is_refused() {
        for text in [
            "threshold = 1",
            "instances = 0",
            "instances = -1",
            "direct_resolved = 0.4",
            "direct_resolved = 1000001",
            "seeds = []",
            "seeds = [1, 1]",
            "executions = 0",
            "direct = \"patch\"",
            "[data_set]\nname = \"x\"\ncount = 3\n",
            "{\"instances\":5",
            "[]",
        ] {
            assert!(Profile::from_text(text).is_err(), "{text}");
        }
        assert!(Profile::from_text(&"#".repeat(MAX_PROFILE + 1)).is_err());
    }
}
