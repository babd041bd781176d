//! The configurations that are compared.

use std::fmt;

use crate::edit::Format;

/// One configuration: everything about the loop that a comparison varies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arm {
    /// The form of the answers.
    pub format: Format,
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

    const fn direct(attempts: u32) -> Self {
        Self { format: Format::Direct, attempts, skills: false, fallback: false }
    }

    /// Returns the arm of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMED.into_iter().find(|arm| arm.to_string() == name)
    }
}

impl fmt::Display for Arm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.format, self.attempts) {
            (Format::Direct, attempts) => write!(f, "direct-{attempts}")?,
            (Format::Patch, 1) => f.write_str("patch")?,
            (Format::Patch, attempts) => write!(f, "patch-{attempts}")?,
        }
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
        assert_eq!(Arm::named("direct-7"), None);
    }
}
