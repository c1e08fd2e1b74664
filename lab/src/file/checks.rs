//! Checks: who asks, what is sent where, what is done meanwhile.

use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;

use super::nodes::unknown;
use super::problem::Problems;
use super::raw;
use crate::action::{Action, NodeChange};
use crate::capture;
use crate::check::{CaptureCheck, Check, CommandCheck, Expected, Pattern, SplitCheck};
use crate::json_path::JsonPath;
use crate::quantity;
use crate::topology::{Family, Kind, Subnet, Topology};
use crate::traffic::{Amount, Ping, Storm, Tcp, TooBig, Traffic, UdpFlows};

/// Resolves the checks and adds them to the topology.
pub(super) fn resolve(file: &raw::File, topology: &mut Topology, problems: &mut Problems) {
    let mut resolver = Resolver { topology, problems, tolerant: false };
    let checks: Vec<Check> = file.check.iter().map(|check| resolver.check(check)).collect();
    topology.checks = checks;
}

/// The traffic that a table asks for.
struct Asked<'a> {
    ping: Option<&'a Spanned<raw::Ping>>,
    tcp: Option<&'a Spanned<raw::Tcp>>,
    udp_flows: Option<&'a Spanned<raw::UdpFlows>>,
    storm: Option<&'a Spanned<raw::Storm>>,
}

impl<'a> Asked<'a> {
    fn of_check(check: &'a raw::Check) -> Self {
        let raw::Check { ping, tcp, udp_flows, storm, .. } = check;
        let (ping, tcp) = (ping.as_ref(), tcp.as_ref());
        Self { ping, tcp, udp_flows: udp_flows.as_ref(), storm: storm.as_ref() }
    }

    fn of_background(traffic: &'a raw::Traffic) -> Self {
        let raw::Traffic { ping, tcp, udp_flows, storm } = traffic;
        let (ping, tcp) = (ping.as_ref(), tcp.as_ref());
        Self { ping, tcp, udp_flows: udp_flows.as_ref(), storm: storm.as_ref() }
    }

    fn count(&self) -> usize {
        usize::from(self.ping.is_some())
            + usize::from(self.tcp.is_some())
            + usize::from(self.udp_flows.is_some())
            + usize::from(self.storm.is_some())
    }
}

struct Resolver<'a> {
    topology: &'a Topology,
    problems: &'a mut Problems,
    /// Traffic at hand flows while something is done, so losses are to be expected.
    tolerant: bool,
}

impl Resolver<'_> {
    fn check(&mut self, written: &Spanned<raw::Check>) -> Check {
        let check = written.get_ref();
        let span = written.span().start..written.span().start + "[[check]]".len();
        self.check_shape(check, &span);
        let traffic = self.traffic(&Asked::of_check(check));
        self.tolerant = !check.actions.0.is_empty();
        let during = check.during.as_ref().map_or(&[][..], |during| &during.0);
        let during: Vec<Traffic> =
            during.iter().filter_map(|item| self.traffic(&Asked::of_background(item))).collect();
        self.tolerant = false;
        let captures = check.capture.as_ref().map_or(&[][..], |captures| &captures.0);
        Check {
            name: check.name.as_ref().map(|name| name.get_ref().clone()).unwrap_or_default(),
            until: check.until.as_ref().and_then(|until| self.duration(until)),
            actions: check.actions.0.iter().filter_map(|text| self.action(text)).collect(),
            during,
            command: self.command(check),
            traffic: traffic.into_iter().next(),
            captures: captures.iter().map(|capture| self.capture(capture)).collect(),
            split: check.split.as_ref().and_then(|split| self.split(split)),
            outage: check.outage.as_ref().and_then(|outage| self.duration(outage)),
        }
    }

    /// What belongs together must stand together.
    fn check_shape(&mut self, check: &raw::Check, span: &Range<usize>) {
        let Some(name) = &check.name else {
            return self.problems.add(span.clone(), "a check needs a `name`: what does it claim?");
        };
        let questions = usize::from(check.run.is_some()) + Asked::of_check(check).count();
        let background = check.during.as_ref().map_or(&[][..], |during| &during.0);
        if background.iter().any(|item| Asked::of_background(item).count() != 1) {
            let message = "each table of `while` has one of `ping`, `tcp`, `udp-flows`, `storm`";
            self.problems.add(name.span(), message);
        }
        let watches = check.capture.is_some() || check.split.is_some();
        if questions > 1 {
            let message = "a check asks one question: `run`, `ping`, `tcp`, `udp-flows` or `storm`; \
                           traffic beside it belongs into `while`";
            self.problems.add(name.span(), message);
        }
        if questions == 0 && check.during.is_none() && check.actions.0.is_empty() {
            let message = "this check checks nothing: it needs `run`, `ping`, `tcp`, `udp-flows`, \
                           `storm` or `while`";
            self.problems.add(name.span(), message);
        } else if watches && questions == 0 && check.during.is_none() {
            self.problems.add(name.span(), "nothing flows that could be watched; add `while`");
        }
        match (&check.on, &check.run) {
            (Some(on), None) => self.problems.add(on.span(), "`on` needs `run`"),
            (None, Some(run)) => self.problems.add(run.span(), "`run` needs `on`, a node"),
            _ => {}
        }
        if check.run.is_none() {
            if let Some(path) = check.json.keys().next() {
                self.problems.add(path.span(), "`json` needs `run`");
            }
            if let Some(output) = &check.output {
                self.problems.add(output.span(), "`output` needs `run`");
            }
        }
        if let Some(outage) = check.outage.as_ref().filter(|_| check.during.is_none()) {
            self.problems.add(outage.span(), "`outage` bounds the traffic of `while`");
        }
    }

    fn command(&mut self, check: &raw::Check) -> Option<CommandCheck> {
        let (on, run) = (check.on.as_ref()?, check.run.as_ref()?);
        let json = check.json.iter().filter_map(|(path, expected)| {
            let parsed = self.problems.check(path.span(), JsonPath::parse(path.get_ref()));
            let expected = self.problems.check(path.span(), Expected::parse(expected.clone()));
            Some((parsed?, expected?))
        });
        let json = json.collect();
        let output = check.output.as_ref().and_then(|output| {
            self.problems.check(output.span(), Pattern::parse(output.get_ref()))
        });
        let on = self.node(on)?;
        Some(CommandCheck {
            on,
            run: run.get_ref().clone(),
            exit: check.exit.unwrap_or(0),
            output,
            json,
        })
    }

    fn traffic(&mut self, asked: &Asked<'_>) -> Option<Traffic> {
        let ping = asked.ping.and_then(|ping| self.ping(ping.get_ref())).map(Traffic::Ping);
        let tcp = asked.tcp.and_then(|tcp| self.tcp(tcp)).map(Traffic::Tcp);
        let flows = asked.udp_flows.and_then(|flows| self.udp(flows.get_ref()));
        let storm = asked.storm.and_then(|storm| self.storm(storm.get_ref()));
        ping.or(tcp).or(flows.map(Traffic::UdpFlows)).or(storm.map(Traffic::Storm))
    }

    fn ping(&mut self, ping: &raw::Ping) -> Option<Ping> {
        let family = self.family(ping.family.as_ref());
        let from = self.node(&ping.from);
        let destination = self.destination(&ping.from, &ping.to, family);
        let interval = ping.interval.as_ref().and_then(|interval| self.duration(interval));
        if let Some(written) = ping.interval.as_ref().filter(|_| interval.is_some_and(is_too_short))
        {
            self.problems.add(written.span(), "pings are at least 1 ms apart");
        }
        let too_big = ping.too_big.as_ref().and_then(|too_big| self.too_big(too_big));
        let tolerant = self.tolerant || too_big.is_some();
        let loss = match &ping.loss {
            Some(loss) => self.problems.check(loss.span(), quantity::percent(&loss.get_ref().0)),
            None => (!tolerant).then_some(0.0),
        };
        Some(Ping {
            from: from?,
            to: ping.to.get_ref().clone(),
            destination: destination?,
            count: ping.count.as_ref().map_or(5, |count| *count.get_ref()),
            interval: interval.unwrap_or(Duration::from_millis(100)),
            size: ping.size.as_ref().map_or(56, |size| *size.get_ref()),
            loss,
            df: ping.df,
            too_big,
            reach: ping.reach.unwrap_or(true),
        })
    }

    fn too_big(&mut self, written: &Spanned<raw::Scalar>) -> Option<TooBig> {
        match written.get_ref().0.as_str() {
            "true" => Some(TooBig::Any),
            "false" => None,
            text => {
                let mtu = text.parse().map(TooBig::Mtu);
                let mtu = mtu.map_err(|_| "`too-big` is true, or the MTU that must be named");
                self.problems.check(written.span(), mtu)
            }
        }
    }

    fn tcp(&mut self, written: &Spanned<raw::Tcp>) -> Option<Tcp> {
        let tcp = written.get_ref();
        let family = self.family(tcp.family.as_ref());
        let (from, to) = (self.node(&tcp.from), self.node(&tcp.to));
        let destination = self.destination(&tcp.from, &tcp.to, family);
        let amount = match (&tcp.bytes, &tcp.seconds) {
            (Some(bytes), None) => Amount::Bytes(*bytes.get_ref()),
            (None, Some(seconds)) => {
                let time = Duration::try_from_secs_f64(*seconds.get_ref())
                    .map_err(|_| "`seconds` is a positive number");
                Amount::Time(self.problems.check(seconds.span(), time)?)
            }
            (None, None) => Amount::Bytes(1_000_000),
            (Some(_), Some(_)) => {
                let message = "either `bytes` or `seconds`, not both";
                self.problems.add(written.span(), message);
                return None;
            }
        };
        let reach = tcp.reach.unwrap_or(true);
        Some(Tcp { from: from?, to: to?, destination: destination?, amount, reach })
    }

    fn udp(&mut self, udp: &raw::UdpFlows) -> Option<UdpFlows> {
        let family = self.family(udp.family.as_ref());
        let (from, to) = (self.node(&udp.from), self.node(&udp.to));
        let destination = self.destination(&udp.from, &udp.to, family);
        let flows = udp.flows.as_ref().map_or(1000, |flows| *flows.get_ref());
        if let Some(written) = udp.flows.as_ref().filter(|_| flows == 0 || flows > 20_000) {
            self.problems.add(written.span(), "`flows` is a number from 1 to 20000");
        }
        let loss = match &udp.loss {
            Some(loss) => self.problems.check(loss.span(), quantity::percent(&loss.get_ref().0)),
            None => (!self.tolerant).then_some(0.0),
        };
        let rate = udp.rate.as_ref().and_then(|rate| self.rate(rate));
        Some(UdpFlows {
            from: from?,
            to: to?,
            destination: destination?,
            flows,
            packets: udp.packets.as_ref().map_or(1, |packets| *packets.get_ref()),
            size: udp.size.as_ref().map_or(64, |size| *size.get_ref()),
            rate: rate.unwrap_or(5000),
            loss,
        })
    }

    fn storm(&mut self, storm: &raw::Storm) -> Option<Storm> {
        let from = self.node(&storm.from);
        let rate = storm.rate.as_ref().and_then(|rate| self.rate(rate));
        let to = Subnet::parse(storm.to.get_ref())
            .ok_or("`to` is the subnet that the destinations are in");
        let to = self.problems.check(storm.to.span(), to)?;
        let destinations = *storm.destinations.get_ref();
        if destinations == 0 || to.nth(destinations - 1).is_none() {
            let message = format!("{to} does not hold so many destinations");
            self.problems.add(storm.destinations.span(), message);
        }
        Some(Storm { from: from?, to, destinations, rate: rate.unwrap_or(10_000) })
    }

    fn capture(&mut self, capture: &raw::Capture) -> CaptureCheck {
        let on = capture.on.get_ref();
        if self.topology.node(on).is_none() && self.topology.link(on).is_none() {
            let nodes = self.topology.nodes.iter().map(|node| &*node.name);
            let links = self.topology.links.iter().map(|link| &*link.name);
            unknown("link or node", &capture.on, links.chain(nodes), self.problems);
        }
        if let Some(filter) = &capture.filter {
            let valid = capture::check_filter(filter.get_ref());
            self.problems.check(filter.span(), valid.map_err(|error| error.to_string()));
        }
        let packets = *capture.packets.get_ref();
        CaptureCheck {
            on: on.clone(),
            filter: capture.filter.as_ref().map(|filter| filter.get_ref().clone()),
            min: packets.min,
            max: packets.max,
        }
    }

    fn split(&mut self, written: &Spanned<raw::Split>) -> Option<SplitCheck> {
        let split = written.get_ref();
        let on: Vec<String> = split.on.0.iter().filter_map(|link| self.link(link)).collect();
        let shares = split.shares.get_ref().clone();
        let sum: f64 = shares.iter().sum();
        if shares.len() != split.on.0.len() || (sum - 100.0).abs() > 0.01 {
            let message = "`shares` has a percentage for each link, 100 together";
            self.problems.add(split.shares.span(), message);
        }
        let node = match &split.node {
            Some(node) => Some(self.node(node)?),
            None => None,
        };
        let tolerance = split.tolerance.as_ref().map_or(10.0, |tolerance| *tolerance.get_ref());
        Some(SplitCheck { on, node, shares, tolerance })
    }

    fn action(&mut self, written: &Spanned<String>) -> Option<Action> {
        let parsed = Action::parse(written.get_ref());
        let action = self.problems.check(written.span(), parsed)?;
        let place = |name: &str| Spanned::new(written.span(), name.to_owned());
        let node = match action.node() {
            Some(node) => Some(self.node(&place(node))?),
            None => None,
        };
        if let Some(link) = action.link() {
            let link = self.link(&place(link))?;
            let node = node.as_deref().and_then(|node| self.topology.node(node));
            if let Some(node) = node.filter(|node| node.attachment(&link).is_none()) {
                let message = format!("node `{}` has no link `{link}`", node.name);
                self.problems.add(written.span(), message);
            }
        }
        if let Action::Node { node, change } = &action {
            self.check_process(node, *change, written.span());
        }
        Some(action)
    }

    fn check_process(&mut self, node: &str, change: NodeChange, span: Range<usize>) {
        let kind = self.topology.node(node).map(|node| &node.kind);
        if matches!(kind, Some(Kind::Host | Kind::Router)) {
            let message = format!("node `{node}` runs no process that could be changed");
            self.problems.add(span, format!("{message} ({change:?})").to_lowercase());
        }
    }

    fn node(&mut self, name: &Spanned<String>) -> Option<String> {
        if self.topology.node(name.get_ref()).is_none() {
            let names = self.topology.nodes.iter().map(|node| &*node.name);
            unknown("node", name, names, self.problems);
            return None;
        }
        Some(name.get_ref().clone())
    }

    fn link(&mut self, name: &Spanned<String>) -> Option<String> {
        if self.topology.link(name.get_ref()).is_none() {
            let names = self.topology.links.iter().map(|link| &*link.name);
            unknown("link", name, names, self.problems);
            return None;
        }
        Some(name.get_ref().clone())
    }

    /// The address that traffic is sent to: a literal one, or the node's of the family that was
    /// asked for, IPv4 first if none was and both ends have it.
    fn destination(
        &mut self,
        from: &Spanned<String>,
        to: &Spanned<String>,
        family: Option<Family>,
    ) -> Option<IpAddr> {
        if let Ok(address) = to.get_ref().parse() {
            return Some(address);
        }
        let to_name = self.node(to)?;
        let to_node = self.topology.node(&to_name)?;
        let from_node = self.topology.node(from.get_ref())?;
        let families = match family {
            Some(family) => vec![family],
            None => vec![Family::V4, Family::V6],
        };
        let common = families
            .iter()
            .find_map(|family| from_node.address(*family).and(to_node.address(*family)));
        if common.is_none() {
            let families: Vec<String> = families.iter().map(ToString::to_string).collect();
            let message = format!(
                "`{}` and `{to_name}` do not both have an {} address",
                from_node.name,
                families.join(" or ")
            );
            self.problems.add(to.span(), message);
        }
        common
    }

    fn family(&mut self, written: Option<&Spanned<raw::Scalar>>) -> Option<Family> {
        let written = written?;
        let family = match written.get_ref().0.as_str() {
            "4" | "ipv4" => Ok(Family::V4),
            "6" | "ipv6" => Ok(Family::V6),
            other => Err(format!("`{other}` is not a family; write 4 or 6")),
        };
        self.problems.check(written.span(), family)
    }

    fn duration(&mut self, written: &Spanned<String>) -> Option<Duration> {
        self.problems.check(written.span(), quantity::duration(written.get_ref()))
    }

    fn rate(&mut self, written: &Spanned<String>) -> Option<u32> {
        self.problems.check(written.span(), quantity::packet_rate(written.get_ref()))
    }
}

fn is_too_short(interval: Duration) -> bool {
    interval < Duration::from_millis(1)
}
