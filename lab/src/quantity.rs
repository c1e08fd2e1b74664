//! Quantities as people write them in a lab file: `"20ms"`, `"5%"`, `"100mbit"`, `"2000/s"`.

use std::time::Duration;

/// Parses `500us`, `20ms`, `10s`, `5m`, `1h`; a fraction is allowed (`1.5s`).
///
/// # Errors
/// A sentence for the person who wrote it.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write \"20ms\", \"10s\" or \"5m\"");
    let (number, unit) = split(text);
    let seconds = match unit {
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())
}

/// Parses a share such as `5%` or `0.5%`, giving percent (0 to 100).
///
/// # Errors
/// A sentence for the person who wrote it.
pub fn percent(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is not a percentage; write \"5%\" or a number from 0 to 100");
    let number: f64 = text.strip_suffix('%').unwrap_or(text).trim().parse().map_err(|_| wrong())?;
    if (0.0..=100.0).contains(&number) { Ok(number) } else { Err(wrong()) }
}

/// Parses a bit rate such as `512kbit`, `100mbit` or `1.5gbit`, giving bits a second.
///
/// # Errors
/// A sentence for the person who wrote it.
pub fn bit_rate(text: &str) -> Result<f64, String> {
    let wrong = || format!("`{text}` is not a rate; write \"512kbit\", \"100mbit\" or \"1gbit\"");
    let (number, unit) = split(text);
    let factor = match unit {
        "bit" => 1.0,
        "kbit" => 1e3,
        "mbit" => 1e6,
        "gbit" => 1e9,
        _ => return Err(wrong()),
    };
    let number: f64 = number.parse().map_err(|_| wrong())?;
    if number > 0.0 && number.is_finite() { Ok(number * factor) } else { Err(wrong()) }
}

/// Parses a packet rate such as `2000/s`, giving packets a second.
///
/// # Errors
/// A sentence for the person who wrote it.
pub fn packet_rate(text: &str) -> Result<u32, String> {
    let wrong = || format!("`{text}` is not a packet rate; write \"2000/s\"");
    let number = text.strip_suffix("/s").ok_or_else(wrong)?;
    match number.trim().parse() {
        Ok(0) | Err(_) => Err(wrong()),
        Ok(rate) => Ok(rate),
    }
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number.trim(), unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(duration("20ms"), Ok(Duration::from_millis(20)));
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Ok(Duration::from_mins(2)));
        for wrong in ["20", "", "ms", "-1s", "1 day", "1e400s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_percentage_may_leave_out_the_sign() {
        assert_eq!(percent("5%"), Ok(5.0));
        assert_eq!(percent("0.5"), Ok(0.5));
        for wrong in ["101%", "-1", "lots", "NaN"] {
            assert!(percent(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rates_are_in_bits_or_packets() {
        assert_eq!(bit_rate("1.5mbit"), Ok(1.5e6));
        assert!(bit_rate("0mbit").is_err());
        assert!(bit_rate("10MB").is_err());
        assert_eq!(packet_rate("2000/s"), Ok(2000));
        assert!(packet_rate("0/s").is_err());
        assert!(packet_rate("2000").is_err());
    }
}
