//! The chart of the README: how fast the ways through the overlay are beside plain forwarding,
//! as an SVG that follows the reader's choice of light or dark.

use std::fmt::Write as _;

use super::figure::Figure;

/// A way, and the class that colours its bars.
struct Way {
    title: &'static str,
    class: &'static str,
    /// The figure in each panel that is in one machine, and in each that is on a wire.
    names: [&'static str; 2],
}

const WAYS: [Way; 4] = [
    Way { title: "kernel VXLAN", class: "vxlan", names: ["vxlan", ""] },
    Way { title: "kernel VXLAN-GPE", class: "gpe", names: ["gpe", "gpe"] },
    Way { title: "weft ebpf", class: "ebpf", names: ["ebpf", "ebpf"] },
    Way { title: "weft tun", class: "tun", names: ["tun", ""] },
];

/// A group of bars: what it is called, and the end of its figures' names. Those on a wire are
/// ratios to kernel VXLAN.
const PANELS: [([&str; 2], &str); 6] = [
    (["TCP", "1 stream"], "tcp1"),
    (["TCP", "4 streams"], "tcp4"),
    (["64-octet packets", "1 flow"], "pps64"),
    (["64-octet packets", "16384 flows"], "pps64_flows"),
    (["TCP, 1 stream", "on a wire"], "wire_tcp1"),
    (["TCP, 4 streams", "on a wire"], "wire_tcp4"),
];

const WIDTH: f64 = 920.0;
const LEFT: f64 = 44.0;
const TOP: f64 = 92.0;
/// Height of the bars' area, and what is below it.
const HEIGHT: f64 = 250.0;
const BELOW: f64 = 78.0;
const BAR: f64 = 27.0;
const GAP: f64 = 3.0;

const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2328}\
.title{font-size:16px;font-weight:600}.small{font-size:11px;fill:#59636e}\
.value{font-size:10.5px;paint-order:stroke;stroke:#fff;stroke-width:3px}\
.grid{stroke:#d1d9e0}.plain{stroke:#1f2328;stroke-width:1.5}\
.vxlan{fill:#8c96a3}.gpe{fill:#bdc5cf}.ebpf{fill:#0f766e}.tun{fill:#5eb8ac}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}.grid{stroke:#333a42}\
.value{stroke:#0d1117}.plain{stroke:#e6edf3}.vxlan{fill:#7d8793}.gpe{fill:#505a66}\
.ebpf{fill:#2dd4bf}.tun{fill:#17786e}}";

/// Draws the ratios; `None` when there are none. `caption` says what they were measured on.
pub(super) fn draw(figures: &[Figure], caption: &str) -> Option<String> {
    let panels: Vec<_> = PANELS
        .iter()
        .map(|(title, name)| (title, bars(figures, name)))
        .filter(|(_, bars)| !bars.is_empty())
        .collect();
    let highest = panels.iter().flat_map(|(_, bars)| bars).map(|(_, ratio)| *ratio);
    let highest = highest.fold(1.0, f64::max);
    if panels.is_empty() {
        return None;
    }
    // lines that are not too close, and air for the figure above the highest bar
    let step = if highest < 2.0 { 0.25 } else { (highest / 8.0).ceil() };
    let top = (highest / step + 0.4).ceil() * step;
    let mut out = head(caption);
    grid(&mut out, top, step);
    let width = (WIDTH - LEFT - 12.0) / panels.len() as f64;
    for (number, (title, bars)) in panels.iter().enumerate() {
        let middle = LEFT + width * (number as f64 + 0.5);
        panel(&mut out, middle, title, bars, top);
    }
    out += "</svg>\n";
    Some(out)
}

/// The bars of a panel, as ratios to plain forwarding.
fn bars(figures: &[Figure], name: &str) -> Vec<(&'static Way, f64)> {
    let value = |way: &str| {
        let id = format!("dataplane.{way}.{name}");
        figures.iter().find(|figure| figure.id == id).map(|figure| figure.value)
    };
    let ratio = |way: &Way| {
        if !name.starts_with("wire_") {
            return value(way.names[0]);
        }
        // what is compared with kernel VXLAN there: plain forwarding too
        let plain = value("plain").filter(|plain| *plain > 0.0)?;
        match way.names[1] {
            "" if way.class == "vxlan" => Some(1.0 / plain),
            "" => None,
            other => Some(value(other)? / plain),
        }
    };
    WAYS.iter().filter_map(|way| Some((way, ratio(way)?))).collect()
}

fn head(caption: &str) -> String {
    let height = TOP + HEIGHT + BELOW;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
         aria-label=\"Throughput of overlays beside plain forwarding\">\n<style>{STYLE}</style>\n"
    );
    text(&mut out, 12.0, 26.0, "title", "start", "Throughput beside plain forwarding (= 1)");
    let mut x = 12.0;
    for way in &WAYS {
        let _ = writeln!(
            out,
            "<rect class=\"{}\" x=\"{x}\" y=\"42\" width=\"12\" height=\"12\" rx=\"2\"/>",
            way.class
        );
        text(&mut out, x + 18.0, 52.0, "", "start", way.title);
        x += 44.0 + 7.0 * way.title.len() as f64;
    }
    text(&mut out, 12.0, height - 12.0, "small", "start", caption);
    out
}

/// Lines at every step, the one of plain forwarding stronger.
fn grid(out: &mut String, top: f64, step: f64) {
    let mut ratio = 0.0;
    while ratio <= top + 1e-9 {
        let y = height_of(ratio, top);
        let class = if (ratio - 1.0_f64).abs() < 1e-9 { "plain" } else { "grid" };
        let right = WIDTH - 12.0;
        let _ = writeln!(
            out,
            "<line class=\"{class}\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{right}\" y2=\"{y:.1}\"/>"
        );
        text(out, LEFT - 8.0, y + 4.0, "small", "end", &format!("{ratio}"));
        ratio += step;
    }
}

fn panel(out: &mut String, middle: f64, title: &[&str; 2], bars: &[(&Way, f64)], top: f64) {
    let mut x = middle - (bars.len() as f64 * (BAR + GAP) - GAP) / 2.0;
    for (way, ratio) in bars {
        let y = height_of(*ratio, top);
        let tall = height_of(0.0, top) - y;
        let _ = writeln!(
            out,
            "<rect class=\"{}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{BAR}\" height=\"{tall:.1}\" \
             rx=\"2\"><title>{}: {ratio:.2}</title></rect>",
            way.class, way.title
        );
        text(out, x + BAR / 2.0, y - 4.0, "value", "middle", &format!("{ratio:.2}"));
        x += BAR + GAP;
    }
    let below = TOP + HEIGHT;
    text(out, middle, below + 18.0, "", "middle", title[0]);
    text(out, middle, below + 34.0, "small", "middle", title[1]);
}

fn text(out: &mut String, x: f64, y: f64, class: &str, anchor: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(
        out,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>"
    );
}

fn height_of(ratio: f64, top: f64) -> f64 {
    TOP + HEIGHT * (1.0 - ratio / top)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures() -> Vec<Figure> {
        let all = [("vxlan.tcp1", 0.8), ("ebpf.tcp1", 1.02), ("tun.tcp1", 0.5)];
        all.map(|(id, value)| Figure::new(format!("dataplane.{id}"), value, "")).into()
    }

    #[test]
    fn every_measured_way_has_its_bar_and_no_other() {
        let svg = draw(&figures(), "a machine").unwrap();
        assert_eq!(svg.matches("<title>").count(), 3);
        assert!(svg.contains("weft ebpf: 1.02") && svg.contains("a machine"));
        assert!(!svg.contains("4 streams"), "nothing was measured of it");
        assert_eq!(svg.matches('<').count(), svg.matches('>').count());
    }

    #[test]
    fn nothing_measured_is_nothing_drawn() {
        assert!(draw(&[Figure::new("idle.wakeups_per_s", 3.0, "")], "").is_none());
    }

    #[test]
    fn on_a_wire_all_are_compared_with_plain_by_way_of_vxlan() {
        let figures = [
            Figure::new("dataplane.plain.wire_tcp1", 2.0, ""),
            Figure::new("dataplane.ebpf.wire_tcp1", 1.2, ""),
        ];
        let bars: Vec<_> =
            bars(&figures, "wire_tcp1").iter().map(|(way, ratio)| (way.class, *ratio)).collect();
        assert_eq!(bars, [("vxlan", 0.5), ("ebpf", 0.6)]);
    }

    #[test]
    fn a_taller_bar_begins_higher() {
        assert!(height_of(1.2, 1.5) < height_of(0.8, 1.5));
        assert!((height_of(0.0, 1.5) - (TOP + HEIGHT)).abs() < 1e-9);
    }
}
