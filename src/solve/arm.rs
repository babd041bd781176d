//! The configurations that are compared.

use std::fmt;

use crate::edit::Format;
use crate::prompt::Listing;

/// One configuration: everything about the loop that a comparison varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arm {
    /// The form of the answers.
    pub format: Format,
    /// How much of each file is shown.
    pub listing: Listing,
    /// Attempts at most.
    pub attempts: u32,
    /// Whether skills stand in the instructions.
    pub skills: bool,
    /// Whether a stronger model takes over after some attempts.
    pub fallback: bool,
}

impl Arm {
    /// The arms of the comparison, each with one thing more than the one before; the last two share theirs.
    pub const NAMED: [Self; 6] = [
        Self { format: Format::Patch, ..Self::direct(1) },
        Self::direct(1),
        Self::direct(2),
        Self::direct(6),
        Self { skills: true, ..Self::direct(6) },
        Self { fallback: true, ..Self::direct(6) },
    ];

    /// Returns an arm of direct edits.
    pub const fn direct(attempts: u32) -> Self {
        Self { format: Format::Direct, listing: Listing::Fitting, attempts, skills: false, fallback: false }
    }

    /// Returns the arms that differ from an arm of direct edits in one thing that is left out or done otherwise.
    pub const fn ablations(attempts: u32) -> [Self; 5] {
        let direct = Self::direct(attempts);
        [
            Self { listing: Listing::Window, ..direct },
            Self { listing: Listing::Whole, ..direct },
            Self { format: Format::DirectUngated, ..direct },
            Self { format: Format::DirectUnnumbered, ..direct },
            Self { format: Format::TwoStep, ..direct },
        ]
    }

    /// Returns the arm of that name.
    pub fn named(name: &str) -> Option<Self> {
        let ablations = [1, 2, 6].into_iter().flat_map(Self::ablations);
        Self::NAMED.into_iter().chain(ablations).find(|arm| arm.to_string() == name)
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.format, self.attempts) {
            (Format::Patch, 1) => f.write_str("patch")?,
            (Format::Patch, attempts) => write!(f, "patch-{attempts}")?,
            (_, attempts) => write!(f, "direct-{attempts}")?,
        }
        f.write_str(match self.format {
            Format::Direct | Format::Patch => "",
            Format::DirectUngated => "+no-gate",
            Format::DirectUnnumbered => "+no-numbers",
            Format::TwoStep => "+two-step",
        })?;
        f.write_str(match self.listing {
            Listing::Fitting => "",
            Listing::Window => "+window",
            Listing::Whole => "+whole",
        })?;
        f.write_str(if self.skills { "+skills" } else { "" })?;
        f.write_str(if self.fallback { "+fallback" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arms_have_the_names_of_the_plan() {
        let names = Arm::NAMED.map(|arm| arm.to_string());
        assert_eq!(names, ["patch", "direct-1", "direct-2", "direct-6", "direct-6+skills", "direct-6+fallback"]);
        assert!(Arm::NAMED.into_iter().all(|arm| Arm::named(&arm.to_string()) == Some(arm)));
        let names = Arm::ablations(2).map(|arm| arm.to_string());
        let wanted = ["window", "whole", "no-gate", "no-numbers", "two-step"].map(|word| format!("direct-2+{word}"));
        assert_eq!(names, wanted);
        assert!(Arm::ablations(2).into_iter().all(|arm| Arm::named(&arm.to_string()) == Some(arm)));
        for name in ["direct-7", "patch+window", "direct-6+skills+window", "direct-1+window+whole", "direct-3+window"] {
            assert_eq!(Arm::named(name), None, "{name}");
        }
    }
}
