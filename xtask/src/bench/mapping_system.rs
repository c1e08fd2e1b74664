//! How fast a Map-Server works and what a registration costs it: whole messages through the whole
//! engine, by CPU time of one core, without sockets.

use serde_json::Value;

use super::figure::{Figure, median, number};
use super::{Tools, note};
use crate::run::{Result, output};

/// Runs the control-plane rows of `weft-bench`.
pub(super) fn measure(tools: &Tools, rounds: usize) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let (mut renewed, mut first) = (Vec::new(), Vec::new());
    let (mut answered, mut bare) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        let register = run(tools, "register")?;
        renewed.push(figure(&register, "per_s")?);
        first.push(figure(&register, "first_per_s")?);
        let request = run(tools, "request")?;
        answered.push(figure(&request, "in_ecm_per_s")?);
        bare.push(figure(&request, "per_s")?);
        note(&format!("round {round} of {rounds}"));
    }
    let first = median(&first).unwrap_or_default();
    let renewals = median(&renewed).map(|value| {
        let beside = format!("renewals, HMAC-SHA-256, acknowledged; first ones {}", number(first));
        Figure::new("ms.register_per_s", value, beside)
    });
    let bare = median(&bare).unwrap_or_default();
    let requests = median(&answered).map(|value| {
        let beside = format!("in ECMs, answered by proxy; without ECM {}", number(bare));
        Figure::new("ms.request_per_s", value, beside)
    });
    let memory = run(tools, "memory")?;
    let octets = Figure::new(
        "ms.bytes_per_registration",
        figure(&memory, "bytes_per_registration")?,
        format!("at {} registrations", figure(&memory, "registrations")?),
    );
    figures.extend(renewals);
    figures.extend(requests);
    figures.push(octets);
    Ok(figures)
}

fn run(tools: &Tools, what: &str) -> Result<Value> {
    let text = output(std::process::Command::new(&tools.bench).arg(what))?;
    serde_json::from_str(&text).map_err(|error| format!("weft-bench {what}: {error}"))
}

fn figure(answer: &Value, name: &str) -> Result<f64> {
    answer[name].as_f64().ok_or_else(|| format!("weft-bench gives no {name}: {answer}"))
}
