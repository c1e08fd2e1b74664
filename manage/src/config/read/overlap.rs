//! Prefixes that must not be given twice, or to two owners.

use std::collections::BTreeMap;

use weft_packet::addr::EidPrefix;

use crate::config::report::{Place, Problem, Report, Severity};

/// Prefixes seen so far and who has them.
#[derive(Default)]
pub(super) struct Prefixes(BTreeMap<EidPrefix, Owned>);

struct Owned {
    place: Place,
    owner: String,
    more_specifics: bool,
}

impl Prefixes {
    /// Adds a prefix of `owner`: the same prefix again is an error, wherever it stands.
    /// `more_specifics`: the owner may also register what lies within.
    pub(super) fn add(
        &mut self,
        eid: EidPrefix,
        owner: &str,
        more_specifics: bool,
        place: &Place,
        report: &mut Report,
    ) {
        if let Some(before) = self.0.get(&eid) {
            let message = if before.owner == owner {
                format!("{eid} is given twice")
            } else {
                format!("{eid} is given to both `{}` and `{owner}`", before.owner)
            };
            push(report, Severity::Error, message, place, &before.place);
            return;
        }
        let owner = owner.to_owned();
        self.0.insert(eid, Owned { place: place.clone(), owner, more_specifics });
    }

    /// Reports prefixes of different owners that overlap: an error where both could register the
    /// same prefix, else a warning, since the longest match is well defined.
    pub(super) fn report_overlaps(&self, report: &mut Report) {
        // In order, a prefix comes right before those it covers.
        let mut covering: Vec<(EidPrefix, &Owned)> = Vec::new();
        for (eid, owned) in &self.0 {
            while covering.last().is_some_and(|(above, _)| !above.covers(*eid)) {
                covering.pop();
            }
            if let Some((above, other)) = covering.last()
                && other.owner != owned.owner
            {
                let severity =
                    if other.more_specifics { Severity::Error } else { Severity::Warning };
                let message =
                    format!("{eid} of `{}` lies within {above} of `{}`", owned.owner, other.owner);
                push(report, severity, message, &owned.place, &other.place);
            }
            covering.push((*eid, owned));
        }
    }
}

fn push(report: &mut Report, severity: Severity, message: String, place: &Place, before: &Place) {
    report.push(Problem {
        severity,
        message,
        places: vec![(place.clone(), "this one".into()), (before.clone(), "and this".into())],
        help: None,
    });
}
