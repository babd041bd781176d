//! Skills: short habits of repair that stand in the instructions, in our own words or in the user's.

use super::budget::Budget;

/// One skill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skill {
    /// Its name, the file's without its ending.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Bytes of the longest skill that is taken.
pub const LONGEST_SKILL: usize = 16 << 10;
/// Skills that a run takes at most.
pub const MOST_SKILLS: usize = 32;

macro_rules! pack {
    ($($name:literal),*) => { [$(($name, include_str!(concat!("skills/", $name, ".md")))),*] };
}

const PACK: [(&str, &str); 5] = pack![
    "1-read-the-failure",
    "2-smallest-change",
    "3-check-the-borders",
    "4-keep-the-callers",
    "5-after-a-failed-attempt"
];

/// Returns the pack that comes with the program.
pub fn default_skills() -> Vec<Skill> {
    PACK.iter().map(|(name, text)| Skill { name: (*name).to_owned(), text: (*text).to_owned() }).collect()
}

/// Returns the bytes that skills take of a prompt.
pub fn skills_room(skills: &[Skill], budget: &Budget) -> usize {
    fitting(skills, budget.skills_bytes()).0.len()
}

/// Returns the skills that fit into `cap` bytes, in order, as they stand in a prompt, and their names.
pub(super) fn fitting(skills: &[Skill], cap: usize) -> (String, Vec<String>) {
    let (mut text, mut names) = (String::new(), Vec::new());
    for skill in skills {
        let piece = format!("\n\n{}", skill.text.trim());
        if text.len() + piece.len() <= cap {
            text.push_str(&piece);
            names.push(skill.name.clone());
        }
    }
    (text, names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pack_is_short_and_whole_skills_are_taken_while_they_fit() {
        let pack = default_skills();
        assert!(pack.iter().all(|skill| skill.text.starts_with("# ") && skill.text.len() < 400));
        let (text, names) = fitting(&pack, 500);
        assert!(text.len() <= 500 && !names.is_empty() && names.len() < pack.len(), "{names:?}");
        assert_eq!(fitting(&pack, 4096).1.len(), pack.len());
        assert_eq!(fitting(&pack, 10), (String::new(), vec![]));
    }
}
