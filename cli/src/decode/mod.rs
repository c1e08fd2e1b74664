//! `weft decode`: LISP messages and packets as text, from hex, raw octets and captures.
//!
//! Captures are read as a stream, so a live one can be piped in. Each message that is refused says
//! why in its place, and decoding goes on with the next one; the exit code tells at the end.

mod capture;
mod frame;
mod input;
mod message;
mod output;

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use crate::arguments::Global;
use crate::exit::{End, NO, Outcome, USAGE};
use input::Input;
use message::Reading;
use output::Printer;

/// `weft decode`
#[derive(Clone, Debug, Args)]
pub(crate) struct Decode {
    /// A capture (pcap or pcapng), one message as raw octets, or one as hexadecimal digits.
    /// Standard input is read when there is no file, or for `-`.
    #[arg(conflicts_with = "hex")]
    file: Option<PathBuf>,
    /// One message as hexadecimal digits; blanks and colons between them do not matter.
    #[arg(long, value_name = "HEX")]
    hex: Option<String>,
    /// What is not a capture is a data packet as it came to this UDP port: 4341 when not given,
    /// 4789 or 4790.
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true)]
    #[arg(default_missing_value = "4341", value_parser = ["4341", "4789", "4790"])]
    data: Option<String>,
    /// Verify authentication with this key.
    #[arg(long, conflicts_with = "key_file")]
    key: Option<String>,
    /// Verify authentication with the key in this file; a line end behind it is not part of it.
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

/// Decodes everything there is.
pub(crate) fn run(decode: &Decode, global: &Global) -> Outcome {
    let reading = Reading { key: key(decode)?, port: port(decode) };
    let input = match &decode.hex {
        Some(hex) => Input::hex(hex),
        None => Input::open(decode.file.as_deref()),
    }
    .map_err(|error| End::new(USAGE, error.to_string()))?;
    match decode_all(input, &reading, Printer::new(std::io::stdout().lock(), global.json)) {
        Ok(true) => Ok(()),
        Ok(false) => Err(End::silent(NO)),
        Err(error) => Err(End::new(NO, error.to_string())),
    }
}

/// Prints everything `input` holds. True when nothing was refused and no MAC is wrong.
fn decode_all(
    mut input: Input,
    reading: &Reading,
    mut printer: Printer<impl Write>,
) -> Result<bool, input::Error> {
    let mut all_well = true;
    while let Some(octets) = input.next()? {
        let Some(finding) = reading.read(octets) else { continue };
        all_well &= finding.is_well();
        if printer.print(&finding).is_err() {
            // Whoever read our output has seen enough.
            break;
        }
    }
    Ok(all_well)
}

fn port(decode: &Decode) -> Option<u16> {
    decode.data.as_ref()?.parse().ok()
}

fn key(decode: &Decode) -> Result<Option<Vec<u8>>, End> {
    let Some(path) = &decode.key_file else {
        return Ok(decode.key.clone().map(String::into_bytes));
    };
    let mut key = std::fs::read(path)
        .map_err(|error| End::new(USAGE, format!("cannot read {}: {error}", path.display())))?;
    while key.last().is_some_and(|octet| b"\r\n".contains(octet)) {
        key.pop();
    }
    Ok(Some(key))
}

#[cfg(test)]
mod tests;
