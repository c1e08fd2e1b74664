//! How commands end: the documented exit codes, and errors as one sentence with a remedy.

use std::process::ExitCode;

/// The answer is "no": unhealthy, no mapping, a difference, a check that failed.
pub(crate) const NO: u8 = 1;
/// Wrong usage.
pub(crate) const USAGE: u8 = 2;
/// Invalid configuration.
pub(crate) const CONFIG: u8 = 3;
/// The router cannot be reached.
pub(crate) const UNREACHABLE: u8 = 4;
/// Not permitted.
pub(crate) const DENIED: u8 = 5;
/// A mistake of ours.
pub(crate) const BUG: u8 = 70;

/// How a command ended.
pub(crate) type Outcome = Result<(), End>;

/// An end other than success.
#[derive(Debug)]
pub(crate) struct End {
    code: u8,
    error: Option<String>,
    help: Option<String>,
}

impl End {
    /// Ends with `code`; everything was said already.
    pub(crate) fn silent(code: u8) -> Self {
        Self { code, error: None, help: None }
    }

    /// Ends with `code` and a sentence.
    pub(crate) fn new(code: u8, error: impl Into<String>) -> Self {
        Self { code, error: Some(error.into()), help: None }
    }

    /// Adds what to do about it.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds what to do about it, if there is something.
    pub(crate) fn maybe_help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    /// Says it and gives the code.
    pub(crate) fn report(self) -> ExitCode {
        if let Some(error) = self.error {
            // Reports of the configuration come rendered, with their own titles.
            if error.starts_with("error") || error.starts_with("warning") {
                eprintln!("{error}");
            } else {
                eprintln!("error: {error}");
            }
        }
        if let Some(help) = self.help {
            eprintln!("help: {help}");
        }
        ExitCode::from(self.code)
    }
}
