//! What is wrong with a lab file, shown the way a compiler shows it: file, line, caret, advice.
//! Problems are collected, so that one run names all of them.

use std::fmt::Write as _;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// One mistake and the place it stands at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    message: String,
    span: Range<usize>,
    help: Option<String>,
}

/// The mistakes found so far in one file.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, span: Range<usize>, message: impl Into<String>) {
        self.0.push(Problem { message: message.into(), span, help: None });
    }

    pub(super) fn add_with_help(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        self.0.push(Problem { message: message.into(), span, help });
    }

    /// The value, or nothing with the mistake noted.
    pub(super) fn check<T>(
        &mut self,
        span: Range<usize>,
        result: Result<T, impl Into<String>>,
    ) -> Option<T> {
        result.map_err(|message| self.add(span, message)).ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_vec(mut self) -> Vec<Problem> {
        self.0.sort_by_key(|problem| problem.span.start);
        self.0
    }
}

impl Problem {
    /// The mistake a TOML or schema error describes.
    pub(super) fn from_toml(error: &toml::de::Error) -> Self {
        let message = error.message().to_owned();
        let help = unknown_field_help(&message);
        Self { message, span: error.span().unwrap_or(0..0), help }
    }

    /// The mistake in one line, without its place.
    pub fn message(&self) -> &str {
        &self.message
    }
}

/// Shows all problems of one file.
pub(super) fn render(path: &str, text: &str, problems: &[Problem], color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Unicode);
    let mut out = String::new();
    for problem in problems {
        let start = problem.span.start.min(text.len());
        let end = problem.span.end.clamp(start, text.len());
        let snippet = Snippet::source(text)
            .path(path)
            .annotation(AnnotationKind::Primary.span(start..end).label("here"));
        let group = Level::ERROR.primary_title(problem.message.as_str()).element(snippet);
        let help = problem.help.as_deref();
        let help = help.map(|help| Group::with_title(Level::HELP.secondary_title(help)));
        let groups: Vec<Group<'_>> = std::iter::once(group).chain(help).collect();
        writeln!(out, "{}\n", renderer.render(&groups)).expect("writing to a string");
    }
    out.truncate(out.trim_end().len());
    out
}

/// The candidate most like `word`, as advice; nothing when none is near.
pub(super) fn did_you_mean<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 2)
        .min()
        .map(|(_, candidate)| format!("did you mean `{candidate}`?"))
}

/// `unknown field `x`, expected one of `a`, `b`` holds the candidates in its own words.
fn unknown_field_help(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    message.starts_with("unknown field").then_some(())?;
    let word = quoted.next()?;
    did_you_mean(word, quoted)
}

/// Levenshtein's edit distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let above = row[j + 1];
            let change = diagonal + usize::from(from != *to);
            row[j + 1] = change.min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_given_only_for_a_near_miss() {
        assert_eq!(did_you_mean("xrt1", ["xtr1", "ms"]), Some("did you mean `xtr1`?".into()));
        assert_eq!(did_you_mean("somewhere", ["xtr1", "ms"]), None);
    }

    #[test]
    fn a_problem_shows_its_line_and_a_caret() {
        let text = "[lab]\nname = \"a\"\nvia = \"xrt1\"\n";
        let problem = Problem {
            message: "no node is called `xrt1`".into(),
            span: 23..29,
            help: did_you_mean("xrt1", ["xtr1"]),
        };
        let shown = render("x.toml", text, &[problem], false);
        assert!(shown.contains("x.toml:3:7"), "{shown}");
        assert!(shown.contains("via = \"xrt1\""), "{shown}");
        assert!(shown.contains("did you mean `xtr1`?"), "{shown}");
    }
}
