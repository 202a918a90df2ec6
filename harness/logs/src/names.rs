//! What the name of a folder, a file or a run says: `{arm}/seed{seed}`.

use std::path::Path;

/// A pattern of names, as far as its last part: literal text, `{arm}`, `{seed}`, and `{}` for anything.
/// None of them reaches over a `/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    parts: Vec<Vec<Piece>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Arm,
    Seed,
    Any,
}

/// What a name said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// The arm.
    pub arm: Option<String>,
    /// The seed.
    pub seed: Option<String>,
}

impl std::str::FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let remedy =
            "a pattern is made of {arm}, {seed}, {} for anything, and text, as {arm}/seed{seed}";
        let (mut arms, mut seeds) = (0, 0);
        let part = |part: &str| {
            let (mut pieces, mut rest) = (Vec::new(), part);
            while let Some(open) = rest.find('{') {
                let (before, behind) = rest.split_at(open);
                let close = behind
                    .find('}')
                    .ok_or_else(|| format!("{text:?} opens a brace and closes none; {remedy}"))?;
                if !before.is_empty() {
                    pieces.push(Piece::Text(before.to_owned()));
                }
                pieces.push(match &behind[1..close] {
                    "arm" => Piece::Arm,
                    "seed" => Piece::Seed,
                    "" => Piece::Any,
                    other => return Err(format!("{text:?} has {{{other}}}; {remedy}")),
                });
                rest = &behind[close + 1..];
            }
            if rest.contains('}') {
                return Err(format!("{text:?} closes a brace and opens none; {remedy}"));
            }
            if !rest.is_empty() {
                pieces.push(Piece::Text(rest.to_owned()));
            }
            Ok(pieces)
        };
        let parts = text.split('/').map(part).collect::<Result<Vec<_>, _>>()?;
        for piece in parts.iter().flatten() {
            arms += usize::from(*piece == Piece::Arm);
            seeds += usize::from(*piece == Piece::Seed);
        }
        if arms > 1 || seeds > 1 || arms + seeds == 0 {
            return Err(format!(
                "{text:?} names {arms} arms and {seeds} seeds, but at most one of each, and one of the two; {remedy}"
            ));
        }
        if parts.iter().any(Vec::is_empty) {
            return Err(format!("{text:?} has an empty part between slashes; {remedy}"));
        }
        Ok(Self { parts })
    }
}

impl Pattern {
    /// What the last parts of a name say; none where they do not fit.
    #[must_use]
    pub fn of_name(&self, name: &str) -> Option<Named> {
        let parts: Vec<&str> =
            name.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
        let from = parts.len().checked_sub(self.parts.len())?;
        let mut named = Named::default();
        let fits = self
            .parts
            .iter()
            .zip(&parts[from..])
            .all(|(pieces, part)| fit(pieces, part, &mut named));
        fits.then_some(named)
    }

    /// What a path says: a table's without its ending, then with it, then any of its folders. The first that
    /// fits counts.
    #[must_use]
    pub fn of_path(&self, path: &Path) -> Option<Named> {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        let table = ["csv", "jsonl"].contains(&ending);
        let stem = path.with_extension("");
        let places = table.then_some(stem.as_path()).into_iter().chain(path.ancestors());
        let mut names = places.filter_map(|place| place.to_str());
        names.find_map(|name| self.of_name(&name.replace('\\', "/")))
    }
}

/// Whether a part is these pieces, and what they hold. Shortest first; a part is short, pieces are few.
fn fit(pieces: &[Piece], part: &str, named: &mut Named) -> bool {
    let Some((first, rest)) = pieces.split_first() else { return part.is_empty() };
    if let Piece::Text(text) = first {
        return part.strip_prefix(text.as_str()).is_some_and(|behind| fit(rest, behind, named));
    }
    let ends = part.char_indices().map(|(at, c)| at + c.len_utf8());
    for end in ends {
        let (held, behind) = part.split_at(end);
        if *first == Piece::Seed && !held.bytes().all(|byte| byte.is_ascii_digit()) {
            return false;
        }
        if fit(rest, behind, named) {
            match first {
                Piece::Arm => named.arm = Some(held.to_owned()),
                Piece::Seed => named.seed = Some(held.to_owned()),
                Piece::Any | Piece::Text(_) => {}
            }
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pattern: &str, path: &str) -> Option<(Option<String>, Option<String>)> {
        let named = pattern.parse::<Pattern>().unwrap().of_path(Path::new(path))?;
        Some((named.arm, named.seed))
    }

    fn both(arm: &str, seed: &str) -> Option<(Option<String>, Option<String>)> {
        Some((Some(arm.to_owned()), Some(seed.to_owned())))
    }

    #[test]
    fn folders_and_files_name_arm_and_seed() {
        assert_eq!(of("{arm}/seed{seed}", "logs/adam/seed0.csv"), both("adam", "0"));
        assert_eq!(of("{arm}/seed{seed}", "logs/adam/seed12/events"), both("adam", "12"));
        assert_eq!(
            of("{arm}-{seed}/version_{}", "x/drop-muon-3/version_0/metrics.csv"),
            both("drop-muon", "3")
        );
        assert_eq!(of("{arm}_s{seed}.csv", "a/b_s1.csv"), both("b", "1"));
        assert_eq!(of("{arm}", "a/b.csv"), Some((Some("b".to_owned()), None)));
        assert_eq!(of("{arm}/v{}", "logs/adam/v1.5"), Some((Some("adam".to_owned()), None)));
        assert_eq!(of("{arm}/seed{seed}", "logs/adam/run0.csv"), None);
        assert_eq!(of("{arm}/seed{seed}", "seed0"), None);
        assert_eq!(of("{arm}-s{seed}", "a-s1x/y"), None);
    }

    #[test]
    fn a_pattern_that_says_nothing_or_too_much_is_refused() {
        for wrong in ["", "x", "{arm", "arm}", "{lr}", "{arm}/{arm}", "{arm}//{seed}", "{}"] {
            assert!(wrong.parse::<Pattern>().is_err(), "{wrong}");
        }
    }
}
