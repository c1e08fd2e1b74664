//! Everything wrong with a configuration, each with file, line, caret and remedy.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::mask::masked;

/// A file that was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// As the operator named it.
    pub name: String,
    /// What it holds.
    pub text: String,
    /// The same with secrets covered.
    shown: String,
}

impl Source {
    /// A file called `name` that holds `text`.
    pub fn new(name: String, text: String) -> Self {
        let shown = masked(&text);
        Self { name, text, shown }
    }
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which file.
    pub source: Arc<Source>,
    /// Which octets of it.
    pub span: Range<usize>,
}

impl Place {
    /// `weft.toml:12`.
    pub fn line(&self) -> String {
        let before = self.source.text.get(..self.span.start).unwrap_or_default();
        format!("{}:{}", self.source.name, before.matches('\n').count() + 1)
    }
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The configuration works, but not as one would expect.
    Warning,
    /// The configuration cannot be used.
    Error,
}

/// One thing wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// One sentence.
    pub message: String,
    /// Where, and a word on each place; the first is the one at fault.
    pub places: Vec<(Place, String)>,
    /// What to write instead.
    pub help: Option<String>,
}

/// All problems, in the order of their places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    problems: Vec<Problem>,
}

impl Report {
    /// Adds a problem.
    pub fn push(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Adds an error at one place.
    pub fn error(&mut self, place: &Place, message: impl Into<String>, label: impl Into<String>) {
        self.error_with_help(place, message, label, None);
    }

    /// Adds an error at one place, with a remedy.
    pub fn error_with_help(
        &mut self,
        place: &Place,
        message: impl Into<String>,
        label: impl Into<String>,
        help: Option<String>,
    ) {
        self.push(Problem {
            severity: Severity::Error,
            message: message.into(),
            places: vec![(place.clone(), label.into())],
            help,
        });
    }

    /// Adds a warning at one place.
    pub fn warning(&mut self, place: &Place, message: impl Into<String>, help: Option<String>) {
        self.push(Problem {
            severity: Severity::Warning,
            message: message.into(),
            places: vec![(place.clone(), String::new())],
            help,
        });
    }

    /// Everything that was found.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// How many problems are errors.
    pub fn errors(&self) -> usize {
        self.problems.iter().filter(|p| p.severity == Severity::Error).count()
    }

    /// Sorts by file and line.
    pub fn sort(&mut self) {
        self.problems.sort_by_key(|problem| {
            problem.places.first().map(|(place, _)| (place.source.name.clone(), place.span.start))
        });
    }

    /// For people; coloured for a terminal.
    pub fn render(&self, colored: bool) -> String {
        let renderer = if colored { Renderer::styled() } else { Renderer::plain() };
        let renderer = renderer.decor_style(annotate_snippets::renderer::DecorStyle::Unicode);
        let shown: Vec<_> = self.problems.iter().map(|p| render(p, &renderer)).collect();
        shown.join("\n\n")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

fn render(problem: &Problem, renderer: &Renderer) -> String {
    let level = match problem.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(problem.message.as_str()));
    for (n, (place, label)) in problem.places.iter().enumerate() {
        let kind = if n == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
        let length = place.source.text.len();
        let span = place.span.start.min(length)..place.span.end.min(length);
        let mut annotation = kind.span(span);
        if !label.is_empty() {
            annotation = annotation.label(label.as_str());
        }
        let snippet = Snippet::source(place.source.shown.as_str())
            .path(place.source.name.as_str())
            .annotation(annotation);
        group = group.element(snippet);
    }
    let mut report = vec![group];
    if let Some(help) = &problem.help {
        report.push(Group::with_title(Level::HELP.secondary_title(help.as_str())));
    }
    renderer.render(&report)
}
