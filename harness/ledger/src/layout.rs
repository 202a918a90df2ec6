//! Roles: an order can move units of examples as one piece, and say what each of them is there for.

use serde::{Deserialize, Serialize};

/// What the examples of a unit are there for, in the order in which they are consumed: five of `support`,
/// then fifteen of `query`. A round, and every step in it, is of whole units, so that the role of an id of
/// the transcript follows from its place. In JSON `[["support", 5], ["query", 15]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<(String, u32)>")]
pub struct Layout(Vec<(String, u32)>);

/// Why a list of parts is no layout.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Nothing to lay out.
    #[error("a layout has at least one part and at most 2^32 - 1 examples in all")]
    Size,
    /// A part without an example.
    #[error("part {0:?} has no example: leave it out")]
    Empty(String),
    /// Another name than records hold.
    #[error("{0:?} names no role: a role is a word of lower-case letters, digits and dashes")]
    Name(String),
}

impl Layout {
    /// A unit of these parts: role, and number of examples.
    ///
    /// # Errors
    /// When there is no part, or one is empty or has no name.
    pub fn new(parts: Vec<(String, u32)>) -> Result<Self, LayoutError> {
        let size = parts.iter().try_fold(0_u32, |size, (_, count)| size.checked_add(*count));
        if parts.is_empty() || size.is_none() {
            return Err(LayoutError::Size);
        }
        let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        for (role, count) in &parts {
            if role.is_empty() || !role.chars().all(fine) {
                return Err(LayoutError::Name(role.clone()));
            }
            if *count == 0 {
                return Err(LayoutError::Empty(role.clone()));
            }
        }
        Ok(Self(parts))
    }

    /// Role and number of examples of each part, first to last.
    #[must_use]
    pub fn parts(&self) -> &[(String, u32)] {
        &self.0
    }

    /// Examples of a unit.
    #[must_use]
    pub fn size(&self) -> u32 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// The role of the id at `place` of a round, from 0.
    #[must_use]
    pub fn role(&self, place: u64) -> &str {
        let mut within = place % u64::from(self.size().max(1));
        for (role, count) in &self.0 {
            match within.checked_sub(u64::from(*count)) {
                Some(rest) => within = rest,
                None => return role,
            }
        }
        ""
    }

    /// The largest number of examples within `samples` that are whole units.
    #[must_use]
    pub fn whole(&self, samples: u64) -> u64 {
        samples - samples % u64::from(self.size().max(1))
    }

    /// The ids of units, unit `u` being the ids from `u`·size on.
    #[must_use]
    pub fn ids(&self, units: &[u32]) -> Vec<u32> {
        let size = self.size();
        units.iter().flat_map(|unit| (0..size).map(move |k| unit * size + k)).collect()
    }
}

/// As commitments hold it: `support*5 query*15`.
impl std::fmt::Display for Layout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, (role, count)) in self.0.iter().enumerate() {
            write!(f, "{}{role}*{count}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl TryFrom<Vec<(String, u32)>> for Layout {
    type Error = LayoutError;

    fn try_from(parts: Vec<(String, u32)>) -> Result<Self, LayoutError> {
        Self::new(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        serde_json::from_str(r#"[["support",2],["query",3]]"#).unwrap()
    }

    #[test]
    fn the_role_of_every_place_follows_from_the_layout() {
        let roles: Vec<_> = (0..6).map(|place| layout().role(place).to_owned()).collect();
        assert_eq!(roles, ["support", "support", "query", "query", "query", "support"]);
        assert_eq!((layout().size(), layout().whole(14)), (5, 10));
        assert_eq!(layout().ids(&[3, 0]), [15, 16, 17, 18, 19, 0, 1, 2, 3, 4]);
    }

    #[test]
    fn it_is_read_as_it_is_written_and_nothing_else_is() {
        assert_eq!(layout().to_string(), "support*2 query*3");
        assert_eq!(serde_json::to_string(&layout()).unwrap(), r#"[["support",2],["query",3]]"#);
        for (text, reason) in [
            ("[]", "at least one part"),
            (r#"[["support",0]]"#, "has no example"),
            (r#"[["a b",1]]"#, "names no role"),
            (r#"[["",1]]"#, "names no role"),
            (r#"[["a",4294967295],["b",1]]"#, "2^32 - 1"),
        ] {
            let refused = serde_json::from_str::<Layout>(text).unwrap_err().to_string();
            assert!(refused.contains(reason), "{text}: {refused}");
        }
    }
}
