//! How the benchmark was called.

use super::Effort;
use crate::run::Result;

/// Where a ratio is believed: an odd number of rounds, so that the median is one of them.
const ROUNDS: usize = 5;

/// The words behind `cargo xtask bench`.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Options<'a> {
    /// A group, or the first part of the names of several.
    pub(super) group: Option<&'a str>,
    /// Where the figures are written for programs; `-` is the standard output.
    pub(super) json: Option<&'a str>,
    /// The file a line is appended to.
    pub(super) history: Option<&'a str>,
    /// Where the chart is drawn.
    pub(super) svg: Option<&'a str>,
    /// Measured instead of what is in the tree; its `weft-bench` is beside it.
    pub(super) weft: Option<&'a str>,
    rounds: Option<usize>,
    quick: bool,
}

impl<'a> Options<'a> {
    pub(super) fn parse(words: &[&'a str]) -> Result<Self> {
        let mut options = Self::default();
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            match word {
                "--json" => options.json = Some(words.next().ok_or("--json FILE, or --json -")?),
                "--history" => options.history = Some(words.next().ok_or("--history FILE")?),
                "--svg" => options.svg = Some(words.next().ok_or("--svg FILE")?),
                "--weft" => options.weft = Some(words.next().ok_or("--weft PATH")?),
                "--quick" => options.quick = true,
                "--rounds" => {
                    let number = words.next().and_then(|word| word.parse().ok());
                    let possible = number.filter(|n| (1..=1000).contains(n));
                    options.rounds = Some(possible.ok_or("--rounds N, 1 to 1000")?);
                }
                option if option.starts_with('-') => return Err(format!("no option {option}")),
                group if options.group.is_none() => options.group = Some(group),
                more => return Err(format!("one group or all, not also {more}")),
            }
        }
        Ok(options)
    }

    /// Was this group asked for?
    pub(super) fn wants(&self, name: &str) -> bool {
        let Some(asked) = self.group else { return true };
        name.strip_prefix(asked).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    pub(super) fn effort(&self) -> Effort {
        let rounds = self.rounds.unwrap_or(if self.quick { 1 } else { ROUNDS });
        Effort { rounds, quick: self.quick }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_may_come_in_any_order() {
        let options = Options::parse(&["--rounds", "3", "ms", "--json", "-"]);
        let wanted =
            Options { group: Some("ms"), json: Some("-"), rounds: Some(3), ..Options::default() };
        assert_eq!(options, Ok(wanted));
        assert!(Options::parse(&["--rounds", "0"]).is_err());
        assert!(Options::parse(&["ms", "idle"]).is_err());
        assert!(Options::parse(&["--fast"]).is_err());
        assert!(Options::parse(&["--svg"]).is_err());
    }

    #[test]
    fn a_quick_run_is_one_round_unless_told_otherwise() {
        let effort = |words: &[&'static str]| Options::parse(words).unwrap().effort();
        assert_eq!(effort(&[]), Effort { rounds: ROUNDS, quick: false });
        assert_eq!(effort(&["--quick"]), Effort { rounds: 1, quick: true });
        assert_eq!(effort(&["--quick", "--rounds", "3"]), Effort { rounds: 3, quick: true });
    }

    #[test]
    fn a_family_of_groups_has_the_first_part_of_their_names() {
        let family = Options::parse(&["dataplane"]).unwrap();
        assert!(family.wants("dataplane.wire") && family.wants("dataplane.scale"));
        assert!(!family.wants("storm"));
        let one = Options::parse(&["dataplane.wire"]).unwrap();
        assert!(one.wants("dataplane.wire") && !one.wants("dataplane.scale"));
        assert!(!Options::parse(&["data"]).unwrap().wants("dataplane.wire"));
    }
}
