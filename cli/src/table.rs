//! Columns without borders, as `ip` and `wg` print them: aligned, short, numbers to the right.

use std::fmt::Write;

/// A table being filled.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

#[derive(Clone, Copy, Debug)]
struct Column {
    title: &'static str,
    right: bool,
}

impl Table {
    /// With these columns; a title with a leading `>` is aligned to the right.
    pub(crate) fn new(titles: &[&'static str]) -> Self {
        let column = |title: &&'static str| match title.strip_prefix('>') {
            Some(title) => Column { title, right: true },
            None => Column { title, right: false },
        };
        Self { columns: titles.iter().map(column).collect(), rows: Vec::new() }
    }

    /// Adds a row; what is missing stays empty.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    /// True when there are no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, each indented by `indent` spaces.
    pub(crate) fn render(&self, indent: usize) -> String {
        let titles: Vec<String> = self.columns.iter().map(|c| c.title.to_owned()).collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|n| {
                let cells = self.rows.iter().chain([&titles]).filter_map(|row| row.get(n));
                cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
            })
            .collect();
        let mut out = String::new();
        for row in std::iter::once(&titles).chain(&self.rows) {
            let mut line = " ".repeat(indent);
            for ((column, width), n) in self.columns.iter().zip(&widths).zip(0..) {
                let cell = row.get(n).map(String::as_str).unwrap_or_default();
                let written = if column.right {
                    write!(line, "{cell:>width$}  ")
                } else {
                    write!(line, "{cell:<width$}  ")
                };
                debug_assert!(written.is_ok(), "writing to a String cannot fail");
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }
}

/// Seconds as people say them: `12s`, `4m 3s`, `3d 4h`.
pub(crate) fn duration(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "\u{2013}".into();
    }
    if seconds < 10.0 && seconds.fract() > 0.05 {
        return format!("{seconds:.1}s");
    }
    let whole = std::time::Duration::try_from_secs_f64(seconds).map_or(u64::MAX, |d| d.as_secs());
    match whole {
        0..60 => format!("{whole}s"),
        60..3600 => format!("{}m {}s", whole / 60, whole % 60),
        3600..86_400 => format!("{}h {}m", whole / 3600, whole / 60 % 60),
        _ => format!("{}d {}h", whole / 86_400, whole / 3600 % 24),
    }
}

/// Seconds as milliseconds: `8.2 ms`.
pub(crate) fn milliseconds(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}

/// A count with its decimal prefix: `712`, `18.2 M`.
pub(crate) fn count(number: u64) -> String {
    scaled(number, ["", " k", " M", " G", " T"])
}

/// Octets with their decimal prefix: `2.1 GB`.
pub(crate) fn octets(number: u64) -> String {
    scaled(number, [" B", " kB", " MB", " GB", " TB"])
}

fn scaled(number: u64, units: [&str; 5]) -> String {
    let mut value = number as f64;
    for unit in units.iter().take(4) {
        if value < 999.5 {
            let whole = value >= 100.0 || value.fract() < 0.05;
            return if whole { format!("{value:.0}{unit}") } else { format!("{value:.1}{unit}") };
        }
        value /= 1000.0;
    }
    format!("{value:.1}{}", units[4])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_lines_have_no_trailing_spaces() {
        let mut table = Table::new(&["EID", ">PACKETS", "STATE"]);
        table.row(["10.0.0.0/8", "7", "up"]);
        table.row(["::/0", "1234", ""]);
        let text = "EID         PACKETS  STATE\n10.0.0.0/8        7  up\n::/0           1234\n";
        assert_eq!(table.render(0), text);
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(duration(0.4), "0.4s");
        assert_eq!(duration(273_600.0), "3d 4h");
        assert_eq!(count(18_200_000), "18.2 M");
        assert_eq!(count(999), "999");
        assert_eq!(octets(1_500), "1.5 kB");
        assert_eq!(octets(u64::MAX), "18446744.1 TB");
    }
}
